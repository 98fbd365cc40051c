#include "runtime/graph/role_analysis.h"

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/graph/ops/op_table.h"

namespace paramd {
namespace {

struct SlotRole {
  std::string_view op;
  int input;
  ParameterRole role;
};

constexpr ParameterRole kWeight = ParameterRole::kWeight;
constexpr ParameterRole kBias = ParameterRole::kBias;
constexpr ParameterRole kStatistic = ParameterRole::kStatistic;

// Uses that say it all, in ai.onnx. Operators are here before they are
// implemented: model info of `paramctl inspect` covers them.
constexpr SlotRole kSlots[] = {
    {"Conv", 1, kWeight},
    {"Conv", 2, kBias},
    {"ConvTranspose", 1, kWeight},
    {"ConvTranspose", 2, kBias},
    {"ConvInteger", 1, kWeight},
    {"Gemm", 0, kWeight},
    {"Gemm", 1, kWeight},
    {"Gemm", 2, kBias},
    {"MatMul", 0, kWeight},
    {"MatMul", 1, kWeight},
    {"MatMulInteger", 1, kWeight},
    {"Gather", 0, kWeight},
    {"PRelu", 1, kWeight},
    {"BatchNormalization", 1, kWeight},
    {"BatchNormalization", 2, kBias},
    {"BatchNormalization", 3, kStatistic},
    {"BatchNormalization", 4, kStatistic},
    {"InstanceNormalization", 1, kWeight},
    {"InstanceNormalization", 2, kBias},
    {"LayerNormalization", 1, kWeight},
    {"LayerNormalization", 2, kBias},
    {"GroupNormalization", 1, kWeight},
    {"GroupNormalization", 2, kBias},
    {"LSTM", 1, kWeight},
    {"LSTM", 2, kWeight},
    {"LSTM", 3, kBias},
    {"GRU", 1, kWeight},
    {"GRU", 2, kWeight},
    {"GRU", 3, kBias},
    {"RNN", 1, kWeight},
    {"RNN", 2, kWeight},
    {"RNN", 3, kBias},
};

// Operators through which a constant keeps its meaning: by their first input,
// or by all of them.
constexpr std::string_view kPassFirst[] = {
    "Transpose", "Reshape", "Squeeze", "Unsqueeze",        "Flatten",        "Cast", "Identity",
    "Slice",     "Expand",  "Pad",     "DequantizeLinear", "QuantizeLinear", "Split"};
constexpr std::string_view kPassAll[] = {"Concat", "Mul", "Div", "Add", "Sub"};

template <size_t n>
bool Contains(const std::string_view (&names)[n], std::string_view name) {
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

int64_t Elements(const Graph& graph, ValueId id) {
  const ConstantId held = graph.value(id).constant;
  return held == kNone ? -1 : graph.constant(held).shape.elements();
}

class Analysis {
 public:
  explicit Analysis(Graph& graph) : graph_(graph) {}

  void Run() {
    FindConstantValues();
    for (const Node& node : graph_.nodes()) {
      if (node.dead || !node.domain.empty()) continue;
      for (const SlotRole& slot : kSlots) {
        const auto i = static_cast<size_t>(slot.input);
        if (slot.op == node.op && i < node.inputs.size()) Give(node.inputs[i], slot.role);
      }
      if (node.op == "Add" || node.op == "Mul") VisitArithmetic(node);
      for (const auto& [key, attribute] : node.attributes) {
        const auto* subgraph = std::get_if<std::shared_ptr<Graph>>(&attribute);
        if (subgraph != nullptr && *subgraph != nullptr) AssignRoles(**subgraph);
      }
    }
  }

 private:
  bool IsConstant(ValueId id) const { return id != kNone && constant_[static_cast<size_t>(id)]; }

  // Values that follow from constants alone.
  void FindConstantValues() {
    constant_.assign(graph_.values().size(), false);
    for (size_t v = 0; v < constant_.size(); ++v) {
      constant_[v] = graph_.values()[v].constant != kNone;
    }
    for (const Node& node : graph_.nodes()) {
      if (node.dead || node.inputs.empty()) continue;
      bool all = true;
      for (ValueId id : node.inputs) all &= id == kNone || IsConstant(id);
      for (ValueId id : node.outputs) {
        if (id != kNone) constant_[static_cast<size_t>(id)] = all;
      }
    }
  }

  // The constants that `id` is made of take the role, unless they have a
  // stronger one: a tied embedding is a weight wherever else it is added.
  void Give(ValueId first, ParameterRole role) {
    std::vector<ValueId> pending{first};
    // A constant expression reaches few constants; the bound keeps a hostile
    // lattice of them from being walked exponentially often.
    for (int steps = 0; !pending.empty() && steps < 4096; ++steps) {
      const ValueId id = pending.back();
      pending.pop_back();
      if (!IsConstant(id)) continue;
      const Value& value = graph_.value(id);
      if (value.constant != kNone) {
        Constant& constant = graph_.constant(value.constant);
        const bool number = IsFloat(constant.dtype) || DTypeBits(constant.dtype) <= 8;
        if (number && constant.dtype != DType::kBool && constant.dtype != DType::kString &&
            role < constant.role) {
          constant.role = role;
        }
        continue;
      }
      const Node& node = graph_.node(value.producer);
      if (!node.domain.empty() || node.inputs.empty()) continue;
      if (Contains(kPassFirst, node.op)) {
        pending.push_back(node.inputs[0]);
      } else if (Contains(kPassAll, node.op)) {
        for (ValueId input : node.inputs) {
          if (input != kNone && Elements(graph_, input) != 1) pending.push_back(input);
        }
      }
    }
  }

  // The node that makes `id`, looked at through reshapes; null for none.
  const Node* Producer(ValueId id) const {
    for (int steps = 0; steps < 8; ++steps) {
      const NodeId producer = graph_.value(id).producer;
      if (producer == kNone) return nullptr;
      const Node& node = graph_.node(producer);
      const bool passes = node.domain.empty() &&
                          (node.op == "Reshape" || node.op == "Identity" || node.op == "Squeeze");
      if (!passes || node.inputs.empty() || node.inputs[0] == kNone) return &node;
      id = node.inputs[0];
    }
    return nullptr;
  }

  bool MadeBy(ValueId id, std::initializer_list<std::string_view> ops) const {
    const Node* node = Producer(id);
    return node != nullptr && node->domain.empty() &&
           std::find(ops.begin(), ops.end(), node->op) != ops.end();
  }

  // A constant in x * c or x + c is a parameter where x comes out of a linear
  // operator or of a normalisation written in single steps.
  void VisitArithmetic(const Node& node) {
    if (node.inputs.size() != 2) return;
    for (size_t i = 0; i < 2; ++i) {
      const ValueId c = node.inputs[i], x = node.inputs[1 - i];
      if (c == kNone || x == kNone || !IsConstant(c) || IsConstant(x)) continue;
      const auto& shape = graph_.value(c).type.shape;
      const int64_t elements = Elements(graph_, c);
      if (node.op == "Mul") {
        // (x - mean) / deviation * scale, or a scale after a batch-norm that has none.
        if (elements != 1 && MadeBy(x, {"Div", "Mul", "BatchNormalization"})) Give(c, kWeight);
        continue;
      }
      if (MadeBy(x, {"MatMul", "Conv", "ConvTranspose", "Gemm", "MatMulInteger"})) {
        if (!shape.has_value() || !shape->empty() || elements != 1) Give(c, kBias);
      } else if (elements != 1 && MadeBy(x, {"Mul"}) && ScaledByWeight(x)) {
        Give(c, kBias);
      } else if (MadeBy(x, {"Gather", "Concat", "Add"}) && IsTable(c)) {
        Give(c, kWeight);  // A learned position embedding.
      }
    }
  }

  bool ScaledByWeight(ValueId x) const {
    for (ValueId id : Producer(x)->inputs) {
      // A constant, or one that a node only reshapes.
      for (int steps = 0; id != kNone && steps < 8; ++steps) {
        const Value& value = graph_.value(id);
        if (value.constant != kNone) {
          if (graph_.constant(value.constant).role == kWeight) return true;
          break;
        }
        if (value.producer == kNone || !IsConstant(id)) break;
        const Node& node = graph_.node(value.producer);
        id = Contains(kPassFirst, node.op) && !node.inputs.empty() ? node.inputs[0] : kNone;
      }
    }
    return false;
  }

  bool IsTable(ValueId id) const {
    const ConstantId held = graph_.value(id).constant;
    if (held == kNone) return false;
    int wide = 0;
    for (int64_t dim : graph_.constant(held).shape.dims()) wide += dim > 1 ? 1 : 0;
    return wide >= 2;
  }

  Graph& graph_;
  std::vector<bool> constant_;
};

}  // namespace

void AssignRoles(Graph& graph) { Analysis(graph).Run(); }

}  // namespace paramd
