#include "runtime/graph/shape_inference.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/graph/dynamic_ops.h"

namespace paramd {
namespace {

// Multiply-adds that folding one node may take: fractions of a second for the
// reference's plain loops. Small results can hide far more.
constexpr double kFoldWorkMax = 1 << 28;

bool IsTooMuchWork(const OpSpec& spec) {
  const OpParams& params = spec.params;
  const bool named = std::holds_alternative<NamedParams>(params);
  if (!named && !std::holds_alternative<ConvParams>(params) &&
      !std::holds_alternative<MatMulParams>(params) &&
      !std::holds_alternative<PoolParams>(params) && !std::holds_alternative<LrnParams>(params)) {
    return false;
  }
  double work = 1;
  for (const Operand& output : spec.outputs) {
    if (output.kind != OperandKind::kAbsent) {
      work = std::max(work, static_cast<double>(output.shape.elements()));
    }
  }
  // Each element of the result reads at most all of one operand; of an einsum,
  // and so of all that are named, each combination of all operands' elements.
  double read = 1;
  for (const Operand& input : spec.inputs) {
    if (input.kind == OperandKind::kAbsent) continue;
    const auto elements = static_cast<double>(std::max<int64_t>(input.shape.elements(), 1));
    read = named ? read * elements : std::max(read, elements);
  }
  return work * read > kFoldWorkMax;
}

size_t Index(int32_t id) { return static_cast<size_t>(id); }

class Inference {
 public:
  // `outer`: what is known of the graph around, which captures refer to; or null.
  Inference(const Graph& graph, const InferOptions& options, const Inferred* outer = nullptr,
            int depth = 0)
      : graph_(graph), options_(options), outer_(outer), depth_(depth) {}

  absl::StatusOr<Inferred> Run(absl::Span<const ValueType> input_types) {
    if (input_types.size() != graph_.inputs.size()) {
      return absl::InvalidArgumentError(StrCat("the graph has ", graph_.inputs.size(),
                                               " inputs, types of ", input_types.size(), " came"));
    }
    result_.types.resize(graph_.values().size());
    result_.known.resize(graph_.values().size());
    for (size_t v = 0; v < graph_.values().size(); ++v) {
      const ConstantId held = graph_.values()[v].constant;
      if (held == kNone) continue;
      const Constant& constant = graph_.constant(held);
      result_.types[v] = {ValueType::Kind::kTensor, constant.dtype, ToSymbolic(constant.shape)};
      if (const auto* tensor = std::get_if<std::shared_ptr<const Tensor>>(&constant.source)) {
        result_.known[v] = *tensor;
      }
    }
    for (const auto& [outer, inner] : graph_.captures) {
      if (outer_ == nullptr) {  // What their types say is all that is known.
        result_.types[Index(inner)] = graph_.value(inner).type;
        continue;
      }
      result_.types[Index(inner)] = outer_->types[Index(outer)];
      result_.known[Index(inner)] = outer_->known[Index(outer)];
    }
    for (size_t i = 0; i < input_types.size(); ++i) {
      result_.types[Index(graph_.inputs[i])] = input_types[i];
    }
    for (const Node& node : graph_.nodes()) {
      if (!node.dead) PARAMD_RETURN_IF_ERROR(Visit(node));
    }
    return std::move(result_);
  }

 private:
  absl::Status Visit(const Node& node) {
    const InferContext context = ContextOf(node, result_);
    if (NeedsDynamicInference(context)) return VisitDynamic(context);
    PARAMD_ASSIGN_OR_RETURN(std::vector<ValueType> types, InferNode(context));
    PARAMD_ASSIGN_OR_RETURN(std::vector<Tensor> tensors, Fold(context, types));
    for (size_t i = 0; i < node.outputs.size(); ++i) {
      const ValueId id = node.outputs[i];
      if (id == kNone) continue;
      result_.types[Index(id)] = std::move(types[i]);
      if (i >= tensors.size()) continue;
      const Tensor& tensor = tensors[i];
      result_.types[Index(id)] = {ValueType::Kind::kTensor, tensor.dtype(),
                                  ToSymbolic(tensor.shape())};
      folded_bytes_ += static_cast<int64_t>(tensor.view().bytes());
      result_.known[Index(id)] = std::make_shared<const Tensor>(std::move(tensors[i]));
    }
    return absl::OkStatus();
  }

  // Control flow and sequences: types alone. What a subgraph computes on the way
  // is inferred again each time, for each time its inputs are others.
  absl::Status VisitDynamic(const InferContext& context) {
    const auto infer_subgraph =
        [this](const Graph& graph,
               absl::Span<const ValueType> inputs) -> absl::StatusOr<std::vector<ValueType>> {
      if (depth_ >= kSubgraphDepthMax) {
        return absl::InvalidArgumentError(StrCat("subgraphs nest deeper than ", kSubgraphDepthMax));
      }
      PARAMD_ASSIGN_OR_RETURN(const Inferred inner,
                              Inference(graph, options_, &result_, depth_ + 1).Run(inputs));
      std::vector<ValueType> types;
      for (const ValueId id : graph.outputs) types.push_back(inner.type(id));
      return types;
    };
    PARAMD_ASSIGN_OR_RETURN(std::vector<ValueType> types, InferDynamic(context, infer_subgraph));
    for (size_t i = 0; i < types.size(); ++i) {
      const ValueId id = context.node->outputs[i];
      if (id != kNone) result_.types[Index(id)] = std::move(types[i]);
    }
    return absl::OkStatus();
  }

  // The outputs' data if they are known and small; else nothing.
  absl::StatusOr<std::vector<Tensor>> Fold(const InferContext& context,
                                           const std::vector<ValueType>& types) {
    for (const ValueType& type : types) {
      if (type.dtype == DType::kUndefined) continue;
      if (type.kind != ValueType::Kind::kTensor || !type.shape.has_value()) return Nothing();
      const std::optional<Shape> shape = ToConcrete(*type.shape);
      if (!shape.has_value()) return Nothing();
      const auto elements = CheckedElements(shape->dims());
      if (!elements.ok() || *elements > options_.fold_elements_max) return Nothing();
    }
    if (folded_bytes_ > options_.fold_bytes_max) return Nothing();
    PARAMD_ASSIGN_OR_RETURN(std::vector<Tensor> tensors, FoldNode(context, types));
    if (!tensors.empty() || !options_.evaluate) return tensors;

    for (size_t i = 0; i < context.inputs.size(); ++i) {
      const bool absent = context.inputs[i].dtype == DType::kUndefined;
      if (!absent && context.known[i] == nullptr) return Nothing();
    }
    if (types.size() != 1) return Nothing();  // No foldable op has more.
    absl::StatusOr<OpRow::Lowered> lowered = LowerNode(context, types);
    if (!lowered.ok()) return Nothing();  // Left to run, or to be refused, in its place.
    if (IsTooMuchWork(lowered->spec)) return Nothing();
    std::vector<TensorView> views;
    for (size_t i = 0; i < lowered->operands.size(); ++i) {
      TensorView view;
      if (const int from = lowered->operands[i]; from != kNone) {
        view = context.known[Index(from)]->view();
        view.shape = lowered->spec.inputs[i].shape;  // A widened MatMul differs.
      }
      views.push_back(std::move(view));
    }
    absl::StatusOr<std::vector<Tensor>> results = options_.evaluate(lowered->spec, views);
    if (!results.ok() || results->size() != 1) return Nothing();
    const Shape shape = *ToConcrete(*types[0].shape);
    if (results->front().shape() == shape) return results;
    TensorView reshaped = results->front().view();
    reshaped.shape = shape;
    std::vector<Tensor> copies;
    copies.push_back(Tensor::CopyOf(reshaped));
    return copies;
  }

  static std::vector<Tensor> Nothing() { return {}; }

  const Graph& graph_;
  const InferOptions& options_;
  const Inferred* const outer_;
  const int depth_;
  Inferred result_;
  int64_t folded_bytes_ = 0;
};

// Every symbol gets a number: `batch` for the name of the first dimension of
// the inputs, `other` for the rest. Unknown dimensions become `other` too.
std::vector<ValueType> Probe(const Graph& graph, const std::string& batch_symbol, int64_t batch,
                             int64_t other) {
  std::vector<ValueType> types;
  for (ValueId id : graph.inputs) {
    ValueType type = graph.value(id).type;
    if (type.shape.has_value()) {
      for (Dim& dim : *type.shape) {
        if (!dim.known()) dim = Dim::Of(dim.symbol == batch_symbol ? batch : other);
      }
    }
    types.push_back(std::move(type));
  }
  return types;
}

// The one symbol that is the first dimension of every input; empty if there is none.
std::string BatchSymbol(const Graph& graph) {
  std::string symbol;
  for (ValueId id : graph.inputs) {
    const auto& shape = graph.value(id).type.shape;
    if (!shape.has_value() || shape->empty() || (*shape)[0].symbol.empty()) return {};
    if (!symbol.empty() && symbol != (*shape)[0].symbol) return {};
    symbol = (*shape)[0].symbol;
  }
  return symbol;
}

// Sizes that other symbols take while the batch is probed: 224 is what image
// models accept, 32 what the rest do.
constexpr int64_t kOtherSizes[] = {224, 32, 8};

void NameDimsByProbing(Graph& graph, const InferOptions& options) {
  const std::string symbol = BatchSymbol(graph);
  if (symbol.empty()) return;
  bool other_symbols = false;
  for (ValueId id : graph.inputs) {
    const SymbolicShape& shape = *graph.value(id).type.shape;
    for (const Dim& dim : shape) other_symbols |= !dim.known() && dim.symbol != symbol;
  }
  for (const int64_t other : kOtherSizes) {
    const auto two = InferShapes(graph, Probe(graph, symbol, 2, other), options);
    if (!two.ok()) continue;
    const auto three = InferShapes(graph, Probe(graph, symbol, 3, other), options);
    if (!three.ok()) continue;
    for (size_t v = 0; v < graph.values().size(); ++v) {
      ValueType& type = graph.value(static_cast<ValueId>(v)).type;
      const auto& small = two->types[v].shape;
      const auto& large = three->types[v].shape;
      if (!small.has_value() || !large.has_value() || small->size() != large->size()) continue;
      if (!type.shape.has_value()) type.shape = SymbolicShape(small->size());
      if (type.shape->size() != small->size()) continue;
      for (size_t d = 0; d < small->size(); ++d) {
        Dim& dim = (*type.shape)[d];
        if (dim.known() || !dim.symbol.empty()) continue;
        if (!(*small)[d].known() || !(*large)[d].known()) continue;
        if ((*small)[d].size == 2 && (*large)[d].size == 3) {
          dim = Dim::Named(symbol);
        } else if ((*small)[d].size == (*large)[d].size && !other_symbols) {
          dim = (*small)[d];  // Does not follow the batch, the only thing that varies.
        }
      }
    }
    return;
  }
}

}  // namespace

bool Inferred::Folded(const Node& node) const {
  for (ValueId id : node.outputs) {
    if (id != kNone && value(id) == nullptr) return false;
  }
  return true;
}

InferContext ContextOf(const Node& node, const Inferred& inferred) {
  InferContext context;
  context.node = &node;
  context.inputs.reserve(node.inputs.size());
  context.known.reserve(node.inputs.size());
  for (ValueId id : node.inputs) {
    context.inputs.push_back(id == kNone ? ValueType{} : inferred.type(id));
    context.known.push_back(inferred.value(id));
  }
  return context;
}

absl::StatusOr<Inferred> InferShapes(const Graph& graph, absl::Span<const ValueType> input_types,
                                     const InferOptions& options) {
  return Inference(graph, options).Run(input_types);
}

absl::StatusOr<Inferred> InferShapes(const Graph& graph, const InferOptions& options) {
  std::vector<ValueType> types;
  for (ValueId id : graph.inputs) types.push_back(graph.value(id).type);
  return InferShapes(graph, types, options);
}

std::vector<ValueType> ConcreteInputTypes(const Graph& graph, absl::Span<const Shape> shapes) {
  std::vector<ValueType> types;
  for (size_t i = 0; i < shapes.size() && i < graph.inputs.size(); ++i) {
    ValueType type = graph.value(graph.inputs[i]).type;
    type.shape = ToSymbolic(shapes[i]);
    types.push_back(std::move(type));
  }
  return types;
}

absl::Status InferAndRecord(Graph& graph, const InferOptions& options) {
  PARAMD_ASSIGN_OR_RETURN(Inferred inferred, InferShapes(graph, options));
  bool unknown = false;
  for (const Node& node : graph.nodes()) {
    if (node.dead) continue;
    for (ValueId id : node.outputs) {
      if (id == kNone) continue;
      const ValueType& type = inferred.type(id);
      graph.value(id).type = type;
      unknown |= !type.shape.has_value();
      if (!type.shape.has_value()) continue;
      for (const Dim& dim : *type.shape) unknown |= dim == Dim::Unknown();
    }
  }
  if (unknown) NameDimsByProbing(graph, options);
  return absl::OkStatus();
}

}  // namespace paramd
