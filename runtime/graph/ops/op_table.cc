#include "runtime/graph/ops/op_table.h"

#include <algorithm>
#include <map>
#include <utility>

#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/graph/ops/op_support.h"

namespace paramd {
namespace {

using RowsByOp = std::map<std::string_view, std::vector<const OpRow*>>;

const RowsByOp& Table() {
  static const RowsByOp& table = *[] {
    auto* rows = new RowsByOp;
    for (const OpRow* row : AllOps()) (*rows)[row->op].push_back(row);
    return rows;
  }();
  return table;
}

absl::Status AboutNode(const Node& node, const absl::Status& status) {
  return absl::Status(
      status.code(),
      ToAbsl(StrCat("node '", node.name, "' (", node.domain.empty() ? "" : "domain ", node.domain,
                    node.domain.empty() ? "" : " ", node.op, "): ", FromAbsl(status.message()))));
}

// Where the operation's own inputs end when its last, optional one is absent.
size_t OptionalInputsEnd(const OpSpec& spec) {
  const bool optional_third = std::holds_alternative<ConvParams>(spec.params) ||
                              std::holds_alternative<MatMulParams>(spec.params) ||
                              std::holds_alternative<LayerNormParams>(spec.params);
  return optional_third ? 3 : 0;
}

// The context without the inputs that only post-ops read, which follow the
// operator's own, and its row.
struct OwnContext {
  const OpRow* row = nullptr;
  InferContext context;
};

absl::StatusOr<OwnContext> MakeOwnContext(const InferContext& context) {
  const Node& node = *context.node;
  OwnContext own;
  own.row = FindOp(node.domain, node.op, node.opset);
  if (own.row == nullptr) {
    return AboutNode(node,
                     absl::UnimplementedError(StrCat("no such operator in domain '",
                                                     node.domain.empty() ? "ai.onnx" : node.domain,
                                                     "' at opset ", node.opset)));
  }
  own.context = context;
  size_t count = context.inputs.size();
  for (const PostOp& post_op : node.post_ops) {
    if (post_op.kind == PostOp::Kind::kAdd) {
      count = std::min(count, static_cast<size_t>(std::max(post_op.operand, 0)));
    }
  }
  own.context.inputs.resize(count);
  own.context.known.resize(count, nullptr);
  // Absent optional inputs at the end are as good as not written.
  while (count > 0 && own.context.inputs[count - 1].dtype == DType::kUndefined) --count;
  const auto inputs_min = static_cast<size_t>(own.row->inputs_min);
  const auto inputs_max = static_cast<size_t>(own.row->inputs_max);
  if (count < inputs_min || count > inputs_max) {
    return AboutNode(node, absl::InvalidArgumentError(
                               StrCat("has ", count, " inputs, expected ", inputs_min,
                                      inputs_min == inputs_max ? "" : StrCat(" to ", inputs_max))));
  }
  for (size_t i = 0; i < inputs_min; ++i) {
    const ValueType& type = own.context.inputs[i];
    if (type.dtype == DType::kUndefined) {
      return AboutNode(node, absl::InvalidArgumentError(StrCat("input ", i, " is missing")));
    }
  }
  for (size_t i = 0; i < own.context.inputs.size(); ++i) {
    if (own.context.inputs[i].kind != ValueType::Kind::kTensor) {
      return AboutNode(
          node, absl::UnimplementedError(StrCat("input ", i, " is a sequence or an optional")));
    }
  }
  if (node.outputs.size() > static_cast<size_t>(own.row->outputs_max)) {
    return AboutNode(node, absl::InvalidArgumentError(StrCat("has ", node.outputs.size(),
                                                             " outputs, expected at most ",
                                                             own.row->outputs_max)));
  }
  return own;
}

}  // namespace

std::vector<const OpRow*> AllOps() {
  std::vector<const OpRow*> rows;
  for (absl::Span<const OpRow> family :
       {ops::ElementwiseOps(), ops::LinearOps(), ops::MovementOps(), ops::NnOps(), ops::ReduceOps(),
        ops::ReshapeOps(), ops::ShapeOps(), ops::SlicingOps(), ops::ElementwiseNamedOps(),
        ops::IndexingOps(), ops::SelectionOps(), ops::ResamplingOps(), ops::WindowNamedOps(),
        ops::QuantizedOps(), ops::RecurrentOps(), ops::NormalizationOps(), ops::SignalOps(),
        ops::DynamicOps(), ops::AttentionOps(), ops::MlOps(), ops::RandomOps(), ops::DeformConvOps(),
        ops::StringOps()}) {
    for (const OpRow& row : family) rows.push_back(&row);
  }
  return rows;
}

const OpRow* FindOp(std::string_view domain, std::string_view op, int64_t opset) {
  const auto it = Table().find(op);
  if (it == Table().end()) return nullptr;
  for (const OpRow* row : it->second) {
    if (row->domain == domain && row->since <= opset && opset <= row->until) return row;
  }
  return nullptr;
}

absl::StatusOr<std::vector<ValueType>> InferNode(const InferContext& context) {
  PARAMD_ASSIGN_OR_RETURN(const OwnContext own, MakeOwnContext(context));
  absl::StatusOr<std::vector<ValueType>> types = own.row->infer(own.context);
  if (!types.ok()) return AboutNode(*context.node, types.status());
  types->resize(context.node->outputs.size());
  for (size_t i = 0; i < types->size(); ++i) {
    const ValueType& type = (*types)[i];
    if (type.dtype == DType::kUndefined) {
      if (context.node->outputs[i] == kNone) continue;
      return AboutNode(*context.node,
                       absl::UnimplementedError(StrCat("output ", i, " is not supported")));
    }
    if (!type.shape.has_value()) continue;
    // Known dimensions alone may already be more than any tensor can have.
    std::vector<int64_t> dims;
    for (const Dim& dim : *type.shape) dims.push_back(dim.known() ? dim.size : 1);
    if (const auto elements = CheckedElements(dims); !elements.ok()) {
      return AboutNode(*context.node, elements.status());
    }
  }
  return types;
}

absl::StatusOr<OpRow::Lowered> LowerNode(const InferContext& context,
                                         const std::vector<ValueType>& outputs) {
  const Node& node = *context.node;
  PARAMD_ASSIGN_OR_RETURN(const OwnContext own, MakeOwnContext(context));
  if (own.row->lower == nullptr) {
    return AboutNode(node, absl::UnimplementedError("its result is not known before the request"));
  }
  const auto concrete = [](const ValueType& type) {
    return type.dtype == DType::kUndefined ||
           (type.shape.has_value() && ToConcrete(*type.shape).has_value());
  };
  for (const std::vector<ValueType>* types : {&context.inputs, &outputs}) {
    for (const ValueType& type : *types) {
      if (concrete(type)) continue;
      return AboutNode(node,
                       absl::UnimplementedError("has a shape that is known only while it runs"));
    }
  }
  absl::StatusOr<OpRow::Lowered> lowered = own.row->lower(own.context, outputs);
  if (!lowered.ok()) return AboutNode(node, lowered.status());
  // Operands of post-ops follow the operation's own, absent optional ones included.
  if (!node.post_ops.empty()) {
    lowered->spec.inputs.resize(
        std::max(OptionalInputsEnd(lowered->spec), lowered->spec.inputs.size()));
    lowered->operands.resize(lowered->spec.inputs.size(), kNone);
  }
  for (PostOp post_op : node.post_ops) {
    if (post_op.kind == PostOp::Kind::kAdd) {
      const int from = post_op.operand;
      post_op.operand = static_cast<int>(lowered->spec.inputs.size());
      lowered->spec.inputs.push_back(ops::InputOperand(context, from));
      lowered->operands.push_back(from);
    }
    lowered->spec.post_ops.push_back(post_op);
  }
  return lowered;
}

absl::StatusOr<std::vector<Tensor>> FoldNode(const InferContext& context,
                                             const std::vector<ValueType>& outputs) {
  PARAMD_ASSIGN_OR_RETURN(const OwnContext own, MakeOwnContext(context));
  if (own.row->fold == nullptr) return std::vector<Tensor>{};
  absl::StatusOr<std::vector<Tensor>> tensors = own.row->fold(own.context, outputs);
  if (!tensors.ok()) return AboutNode(*context.node, tensors.status());
  return tensors;
}

}  // namespace paramd
