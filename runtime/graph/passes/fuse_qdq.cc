// DequantizeLinear around a Conv or MatMul and QuantizeLinear behind it, which is
// how exporters write 8-bit networks: one QLinearConv or QLinearMatMul, whose
// sums are of whole numbers instead of f32.
#include <cmath>
#include <optional>
#include <utility>

#include "runtime/backends/quantized_specs.h"
#include "runtime/graph/passes/pass_support.h"
#include "runtime/graph/passes/passes.h"
#include "runtime/graph/tensor_values.h"

namespace paramd {
namespace {

// A tensor of few bits with its scale and zero point.
struct QuantizedTensor {
  ValueId x = kNone, scale = kNone, zero = kNone;
};

// x, scale and zero point of the DequantizeLinear that makes `id`.
std::optional<QuantizedTensor> QuantizedOf(const Graph& graph, ValueId id) {
  if (id == kNone || graph.value(id).producer == kNone) return std::nullopt;
  const Node& node = graph.node(graph.value(id).producer);
  if (!Is(node, "DequantizeLinear") || !node.post_ops.empty()) return std::nullopt;
  if (node.GetInt("block_size", 0) != 0) return std::nullopt;
  return QuantizedTensor{node.inputs[0], node.inputs[1],
                         node.inputs.size() > 2 ? node.inputs[2] : kNone};
}

int64_t ElementsOf(const Graph& graph, ValueId id) {
  const auto& shape = graph.value(id).type.shape;
  if (!shape.has_value()) return -1;
  const std::optional<Shape> concrete = ToConcrete(*shape);
  return concrete.has_value() ? concrete->elements() : -1;
}

// One scale for the whole tensor.
bool IsOneScale(const Graph& graph, const QuantizedTensor& q) {
  return ElementsOf(graph, q.scale) == 1 && graph.value(q.scale).type.dtype == DType::kF32;
}

// Weights: constant bytes with one scale, or one along `axis`.
bool IsWeights(const Graph& graph, const Node& dequantize, const QuantizedTensor& q, int axis,
               int64_t columns) {
  const Constant* w = ConstantOf(graph, q.x);
  if (w == nullptr || !IsByte(w->dtype) || graph.value(q.scale).type.dtype != DType::kF32) {
    return false;
  }
  const int64_t scales = ElementsOf(graph, q.scale);
  if (scales == 1) return true;
  const int64_t own = dequantize.GetInt("axis", 1);
  return scales == columns && (own < 0 ? own + w->shape.rank() : own) == axis;
}

// Whether the bias' steps are those of the sums, as far as the file's small
// constants say. Larger ones are trusted: every quantizer makes them so, and
// ONNX Runtime does not look either.
bool HasScaleOfSums(const Graph& graph, const QuantizedTensor& bias, const QuantizedTensor& a,
                    const QuantizedTensor& w) {
  const auto values = [&](ValueId id) -> std::optional<std::vector<double>> {
    const Tensor* tensor = graph.InlineConstant(id);
    return tensor == nullptr ? std::nullopt : FloatValues(tensor->view());
  };
  const auto b = values(bias.scale), x = values(a.scale), y = values(w.scale);
  if (!b.has_value() || !x.has_value() || !y.has_value()) return true;
  if (x->size() != 1 || b->empty() || y->empty()) return false;
  for (size_t i = 0; i < std::max(b->size(), y->size()); ++i) {
    const double want = (*x)[0] * (*y)[y->size() == 1 ? 0 : i];
    const double got = (*b)[b->size() == 1 ? 0 : i];
    if ((b->size() != 1 && i >= b->size()) || std::fabs(got - want) > 1e-3 * std::fabs(want)) {
      return false;
    }
  }
  return true;
}

class QdqFuser {
 public:
  explicit QdqFuser(Graph& graph) : graph_(graph), index_(graph) {}

  int Run() {
    int changes = 0;
    for (size_t n = 0; n < graph_.nodes().size(); ++n) {
      if (Is(graph_.node(static_cast<NodeId>(n)), "QuantizeLinear")) {
        changes += TryQuantize(static_cast<NodeId>(n)) ? 1 : 0;
      }
    }
    return changes;
  }

 private:
  bool TryQuantize(NodeId id) {
    const Node& quantize = graph_.node(id);
    const QuantizedTensor y = {quantize.inputs[0], quantize.inputs[1],
                               quantize.inputs.size() > 2 ? quantize.inputs[2] : kNone};
    if (!quantize.post_ops.empty() || !IsByte(graph_.value(quantize.outputs[0]).type.dtype) ||
        !IsOneScale(graph_, y)) {
      return false;
    }
    NodeId linear = graph_.value(y.x).producer;
    if (linear == kNone || index_.OnlyReader(y.x) != id) return false;
    NodeId relu = kNone;
    if (Is(graph_.node(linear), "Relu") && graph_.node(linear).post_ops.empty() &&
        ZeroIsLowest(y.zero, graph_.value(quantize.outputs[0]).type.dtype)) {
      // What is below 0 saturates at the zero point anyway.
      relu = linear;
      linear = graph_.value(graph_.node(relu).inputs[0]).producer;
      if (linear == kNone || index_.OnlyReader(graph_.node(relu).inputs[0]) != relu) return false;
    }
    const Node& node = graph_.node(linear);
    const bool is_conv = Is(node, "Conv");
    if ((!is_conv && !Is(node, "MatMul")) || !node.post_ops.empty()) return false;
    const std::optional<QuantizedTensor> a = QuantizedOf(graph_, node.inputs[0]);
    const std::optional<QuantizedTensor> b = QuantizedOf(graph_, node.inputs[1]);
    if (!a.has_value() || !b.has_value() || !IsByte(graph_.value(a->x).type.dtype) ||
        !IsOneScale(graph_, *a)) {
      return false;
    }
    const Constant* w = ConstantOf(graph_, b->x);
    if (w == nullptr || w->shape.rank() < 2 || (!is_conv && w->shape.rank() != 2)) return false;
    const int axis = is_conv ? 0 : 1;
    const int64_t columns = w->shape.dim(axis);
    const Node& weights = graph_.node(graph_.value(node.inputs[1]).producer);
    if (!IsWeights(graph_, weights, *b, axis, columns)) return false;
    ValueId bias = kNone;
    if (is_conv && node.inputs.size() > 2 && node.inputs[2] != kNone) {
      const std::optional<QuantizedTensor> c = QuantizedOf(graph_, node.inputs[2]);
      if (!c.has_value() || graph_.value(c->x).type.dtype != DType::kI32 ||
          ElementsOf(graph_, c->x) != columns || !HasScaleOfSums(graph_, *c, *a, *b)) {
        return false;
      }
      bias = c->x;
    }
    Replace(id, relu, linear, *a, *b, y, bias);
    return true;
  }

  bool ZeroIsLowest(ValueId zero, DType dtype) const {
    if (zero == kNone) return dtype == DType::kU8;
    const Tensor* tensor = graph_.InlineConstant(zero);
    if (tensor == nullptr) return false;
    const auto values = FloatValues(tensor->view());
    return values.has_value() && values->size() == 1 &&
           (*values)[0] == (dtype == DType::kU8 ? 0 : -128);
  }

  // The zero point, or a 0 where the file leaves it out.
  ValueId ZeroOf(ValueId zero, DType dtype) {
    if (zero != kNone) return zero;
    Constant constant;
    constant.dtype = dtype;
    constant.source = std::make_shared<const Tensor>(*FilledTensor(dtype, Shape(), 0));
    return graph_.AddConstantValue(std::move(constant));
  }

  void Replace(NodeId id, NodeId relu, NodeId linear_id, const QuantizedTensor& a,
               const QuantizedTensor& b, const QuantizedTensor& y, ValueId bias) {
    const DType y_dtype = graph_.value(graph_.node(id).outputs[0]).type.dtype;
    const ValueId a_zero = ZeroOf(a.zero, graph_.value(a.x).type.dtype);
    const ValueId b_zero = ZeroOf(b.zero, graph_.value(b.x).type.dtype);
    const ValueId y_zero = ZeroOf(y.zero, y_dtype);
    Node& linear = graph_.node(linear_id);
    linear.inputs = {a.x, a.scale, a_zero, b.x, b.scale, b_zero, y.scale, y_zero};
    if (bias != kNone) linear.inputs.push_back(bias);
    linear.op = linear.op == "Conv" ? "QLinearConv" : "QLinearMatMul";
    linear.opset = kQLinearOpset;
    if (relu != kNone) TakeOverOutput(graph_, linear_id, relu);
    TakeOverOutput(graph_, linear_id, id);
  }

  static constexpr int64_t kQLinearOpset = 10;
  Graph& graph_;
  const PassIndex index_;
};

}  // namespace

absl::StatusOr<int> FuseQdq(Graph& graph, const PassOptions&) { return QdqFuser(graph).Run(); }

}  // namespace paramd
