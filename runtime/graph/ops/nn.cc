// Operators of convolutional networks: convolution, pooling, normalisation, dropout.
#include <algorithm>
#include <utility>

#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/graph/ops/op_support.h"
#include "runtime/graph/ops/window.h"
#include "runtime/graph/tensor_values.h"

namespace paramd::ops {
namespace {

constexpr size_t kSpatialMax = 3;

absl::Status CheckRank(const SymbolicShape& x, std::string_view what) {
  if (x.size() >= 3 && x.size() <= kSpatialMax + 2) return absl::OkStatus();
  if (x.size() < 3) {
    return absl::InvalidArgumentError(
        StrCat(what, " is ", ToString(x), ", expected at least rank 3"));
  }
  return absl::UnimplementedError(
      StrCat(what, " is ", ToString(x), ": more than three spatial dimensions"));
}

absl::Span<const Dim> Spatial(const SymbolicShape& x) {
  return absl::Span<const Dim>(x).subspan(2);
}

// The one rank-1 operand of C elements that every channel has its own of.
absl::Status CheckPerChannel(const InferContext& context, int i, const Dim& channels) {
  const SymbolicShape* shape = InputShape(context, i);
  if (shape == nullptr) return absl::OkStatus();
  if (shape->size() == 1 && MergeDims((*shape)[0], channels).ok()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      StrCat("input ", i, " is ", ToString(*shape), ", expected [", channels.ToString(), "]"));
}

// --- Conv -------------------------------------------------------------------

absl::StatusOr<Window> ConvWindow(const InferContext& context) {
  const SymbolicShape& w = *InputShape(context, 1);
  std::vector<int64_t> kernel;
  for (const Dim& dim : Spatial(w)) {
    if (!dim.known()) return absl::UnimplementedError("the kernel's size is not known");
    kernel.push_back(dim.size);
  }
  const std::vector<int64_t> declared = context.node->GetInts("kernel_shape");
  if (context.node->Has("kernel_shape") && declared != kernel) {
    return absl::InvalidArgumentError(
        StrCat("kernel_shape contradicts the weights' shape ", ToString(w)));
  }
  return ParseWindow(*context.node, std::move(kernel));
}

absl::StatusOr<Types> InferConv(const InferContext& context) {
  PARAMD_RETURN_IF_ERROR(RequireFloat(context, 0));
  PARAMD_RETURN_IF_ERROR(RequireSameDType(context, 0, 1));
  if (HasInput(context, 2)) PARAMD_RETURN_IF_ERROR(RequireSameDType(context, 0, 2));
  const DType dtype = InputDType(context, 0);
  const SymbolicShape* x = InputShape(context, 0);
  const SymbolicShape* w = InputShape(context, 1);
  if (w == nullptr || x == nullptr) return Types{UnknownShape(dtype)};
  PARAMD_RETURN_IF_ERROR(CheckRank(*x, "x"));
  if (w->size() != x->size()) {
    return absl::InvalidArgumentError(
        StrCat("weights ", ToString(*w), " for x ", ToString(*x), ": ranks differ"));
  }
  const int64_t groups = context.node->GetInt("group", 1);
  if (groups < 1) return absl::InvalidArgumentError(StrCat("group is ", groups));
  const Dim &channels = (*x)[1], &outputs = (*w)[0], &per_group = (*w)[1];
  if (channels.known() && per_group.known() &&
      (channels.size % groups != 0 || channels.size / groups != per_group.size)) {
    return absl::InvalidArgumentError(StrCat("weights ", ToString(*w), " in ", groups,
                                             " groups do not fit ", channels.size, " channels"));
  }
  if (outputs.known() && outputs.size % groups != 0) {
    return absl::InvalidArgumentError(
        StrCat(outputs.size, " outputs do not divide into ", groups, " groups"));
  }
  PARAMD_RETURN_IF_ERROR(CheckPerChannel(context, 2, outputs));
  PARAMD_ASSIGN_OR_RETURN(const Window window, ConvWindow(context));
  SymbolicShape y{(*x)[0], outputs};
  for (size_t i = 0; i + 2 < x->size(); ++i) {
    PARAMD_ASSIGN_OR_RETURN(Dim steps, WindowSteps(window, i, (*x)[i + 2]));
    y.push_back(std::move(steps));
  }
  return Types{TensorType(dtype, std::move(y))};
}

absl::StatusOr<OpRow::Lowered> LowerConv(const InferContext& context, const Types& outputs) {
  PARAMD_ASSIGN_OR_RETURN(Window window, ConvWindow(context));
  bool overhang = false;
  PARAMD_RETURN_IF_ERROR(ResolvePads(window, Spatial(*InputShape(context, 0)), &overhang));
  ConvParams params;
  params.strides = std::move(window.strides);
  params.dilations = std::move(window.dilations);
  params.pads_begin = std::move(window.pads_begin);
  params.pads_end = std::move(window.pads_end);
  params.groups = context.node->GetInt("group", 1);
  return MakeLowered(context, outputs, std::move(params), {0, 1, 2});
}

// --- Pools --------------------------------------------------------------------

template <PoolParams::Kind kind>
absl::StatusOr<Types> InferPool(const InferContext& context) {
  const bool max = kind == PoolParams::Kind::kMax;
  const DType dtype = InputDType(context, 0);
  const bool bytes = max && (dtype == DType::kI8 || dtype == DType::kU8);
  if (!bytes) PARAMD_RETURN_IF_ERROR(RequireFloat(context, 0));
  PARAMD_ASSIGN_OR_RETURN(const Window window,
                          ParseWindow(*context.node, context.node->GetInts("kernel_shape")));
  if (window.kernel.empty()) return absl::InvalidArgumentError("has no kernel_shape");
  const SymbolicShape* x = InputShape(context, 0);
  std::optional<SymbolicShape> y;
  if (x != nullptr) {
    PARAMD_RETURN_IF_ERROR(CheckRank(*x, "x"));
    if (window.kernel.size() + 2 != x->size()) {
      return absl::InvalidArgumentError(
          StrCat("kernel_shape has ", window.kernel.size(), " values for ", ToString(*x)));
    }
    y = SymbolicShape{(*x)[0], (*x)[1]};
    for (size_t i = 0; i < window.kernel.size(); ++i) {
      PARAMD_ASSIGN_OR_RETURN(Dim steps, WindowSteps(window, i, (*x)[i + 2]));
      y->push_back(std::move(steps));
    }
  }
  Types types{TensorType(dtype, y)};
  const std::vector<ValueId>& outputs = context.node->outputs;
  if (max && outputs.size() > 1 && outputs[1] != kNone) {
    types.push_back(TensorType(DType::kI64, std::move(y)));
  }
  return types;
}

template <PoolParams::Kind kind>
absl::StatusOr<OpRow::Lowered> LowerPool(const InferContext& context, const Types& outputs) {
  PARAMD_ASSIGN_OR_RETURN(Window window,
                          ParseWindow(*context.node, context.node->GetInts("kernel_shape")));
  bool overhang = false;
  std::vector<int64_t> pads_end = window.pads_end;
  PARAMD_RETURN_IF_ERROR(ResolvePads(window, Spatial(*InputShape(context, 0)), &overhang));
  // Padding that only rounding up adds is none: averages do not count it.
  if (overhang) window.pads_end = std::move(pads_end);
  PoolParams params;
  params.column_major = context.node->GetInt("storage_order", 0) != 0;
  params.kind = kind;
  params.count_include_pad =
      kind == PoolParams::Kind::kAverage && context.node->GetInt("count_include_pad", 0) != 0;
  params.kernel = std::move(window.kernel);
  params.strides = std::move(window.strides);
  params.dilations = std::move(window.dilations);
  params.pads_begin = std::move(window.pads_begin);
  params.pads_end = std::move(window.pads_end);
  OpRow::Lowered lowered = MakeLowered(context, outputs, std::move(params), {0});
  if (outputs.size() > 1 && outputs[1].dtype != DType::kUndefined) {
    lowered.spec.outputs.push_back(ActivationOperand(outputs[1].dtype, *outputs[1].shape));
  }
  return lowered;
}

absl::StatusOr<Types> InferGlobalPool(const InferContext& context) {
  PARAMD_RETURN_IF_ERROR(RequireFloat(context, 0));
  const DType dtype = InputDType(context, 0);
  const SymbolicShape* x = InputShape(context, 0);
  if (x == nullptr) return Types{UnknownShape(dtype)};
  PARAMD_RETURN_IF_ERROR(CheckRank(*x, "x"));
  SymbolicShape y(x->size(), Dim::Of(1));
  y[0] = (*x)[0];
  y[1] = (*x)[1];
  return Types{TensorType(dtype, std::move(y))};
}

template <PoolParams::Kind kind>
absl::StatusOr<OpRow::Lowered> LowerGlobalPool(const InferContext& context, const Types& outputs) {
  PoolParams params;
  params.kind = kind;
  for (const Dim& dim : Spatial(*InputShape(context, 0))) {
    if (dim.size == 0) return absl::InvalidArgumentError("a spatial dimension is 0");
    params.kernel.push_back(dim.size);
  }
  params.strides.assign(params.kernel.size(), 1);
  params.dilations = params.strides;
  params.pads_begin.assign(params.kernel.size(), 0);
  params.pads_end = params.pads_begin;
  return MakeLowered(context, outputs, std::move(params), {0});
}

// --- Normalisation ----------------------------------------------------------------

absl::StatusOr<Types> InferLrn(const InferContext& context) {
  PARAMD_RETURN_IF_ERROR(RequireFloat(context, 0));
  const int64_t size = context.node->GetInt("size", 0);
  if (size < 1 || size > (int64_t{1} << 31)) {
    return absl::InvalidArgumentError(StrCat("size is ", size));
  }
  if (const SymbolicShape* x = InputShape(context, 0); x != nullptr && x->size() < 2) {
    return absl::InvalidArgumentError(StrCat("x is ", ToString(*x), ": it has no channels"));
  }
  return Types{context.inputs[0]};
}

absl::StatusOr<OpRow::Lowered> LowerLrn(const InferContext& context, const Types& outputs) {
  LrnParams params;
  params.size = context.node->GetInt("size", 1);
  params.alpha = context.node->GetFloat("alpha", 0.0001f);
  params.beta = context.node->GetFloat("beta", 0.75f);
  params.bias = context.node->GetFloat("bias", 1);
  return MakeLowered(context, outputs, params, {0});
}

absl::StatusOr<Types> InferBatchNorm(const InferContext& context) {
  PARAMD_RETURN_IF_ERROR(RequireFloat(context, 0));
  const Node& node = *context.node;
  if (node.opset < 9 && node.GetInt("spatial", 1) == 0) {
    return absl::UnimplementedError("spatial=0 is not supported");
  }
  if (const SymbolicShape* x = InputShape(context, 0); x != nullptr) {
    if (x->size() < 2) {
      return absl::InvalidArgumentError(StrCat("x is ", ToString(*x), ": it has no channels"));
    }
    for (int i = 1; i < 5; ++i) PARAMD_RETURN_IF_ERROR(CheckPerChannel(context, i, (*x)[1]));
  }
  Types types{context.inputs[0]};
  if (node.GetInt("training_mode", 0) != 0) {
    types.push_back(context.inputs[3]);
    types.push_back(context.inputs[4]);
  }
  return types;
}

absl::StatusOr<OpRow::Lowered> LowerBatchNorm(const InferContext& context, const Types& outputs) {
  if (context.node->GetInt("training_mode", 0) != 0) {
    // By the batch's own statistics, and the running ones moved towards them.
    return MakeNamed(
        context, outputs, "batch_norm_training", {},
        {context.node->GetFloat("epsilon", 1e-5f), context.node->GetFloat("momentum", 0.9f)},
        {0, 1, 2, 3, 4});
  }
  BatchNormParams params;
  params.epsilon = context.node->GetFloat("epsilon", 1e-5f);
  return MakeLowered(context, outputs, params, {0, 1, 2, 3, 4});
}

absl::StatusOr<Types> InferLayerNorm(const InferContext& context) {
  PARAMD_RETURN_IF_ERROR(RequireFloat(context, 0));
  if (const SymbolicShape* x = InputShape(context, 0); x != nullptr) {
    PARAMD_ASSIGN_OR_RETURN(const int axis, NormalizeAxis(context.node->GetInt("axis", -1),
                                                          static_cast<int>(x->size())));
    SymbolicShape rows = *x;
    for (size_t i = static_cast<size_t>(axis); i < rows.size(); ++i) rows[i] = Dim::Of(1);
    const ValueType statistic = TensorType(InputDType(context, 0), std::move(rows));
    return Types{context.inputs[0], statistic, statistic};
  }
  const ValueType unknown = UnknownShape(InputDType(context, 0));
  return Types{context.inputs[0], unknown, unknown};
}

absl::StatusOr<OpRow::Lowered> LowerLayerNorm(const InferContext& context, const Types& outputs) {
  LayerNormParams params;
  PARAMD_ASSIGN_OR_RETURN(params.axis,
                          NormalizeAxis(context.node->GetInt("axis", -1),
                                        static_cast<int>(InputShape(context, 0)->size())));
  params.epsilon = context.node->GetFloat("epsilon", 1e-5f);
  if (outputs.size() > 1) {  // Somebody reads the mean or the deviation.
    return MakeNamed(context, outputs, "layer_norm_stats", {params.axis}, {params.epsilon},
                     {0, 1, 2});
  }
  return MakeLowered(context, outputs, params, {0, 1, 2});
}

// --- Dropout --------------------------------------------------------------------

// How much is dropped: nothing, unless the model asks for training.
absl::StatusOr<double> DropoutRatio(const InferContext& context) {
  if (!HasInput(context, 2)) return 0;
  const auto training = KnownInts(context, 2);
  if (!training.has_value() || training->size() != 1) {
    return absl::UnimplementedError("training_mode is computed per request");
  }
  if ((*training)[0] == 0) return 0;
  if (!HasInput(context, 1)) return 0.5;
  const Tensor* tensor = Known(context, 1);
  const auto ratio = tensor == nullptr ? std::nullopt : FloatValues(tensor->view());
  if (!ratio.has_value() || ratio->size() != 1) {
    return absl::UnimplementedError("the ratio is computed per request");
  }
  if (!(ratio->front() >= 0 && ratio->front() < 1)) {
    return absl::InvalidArgumentError(StrCat("the ratio is ", ratio->front()));
  }
  return ratio->front();
}

absl::StatusOr<Types> InferDropout(const InferContext& context) {
  // What is computed per request is looked at when it is there.
  if (const auto ratio = DropoutRatio(context);
      !ratio.ok() && !absl::IsUnimplemented(ratio.status())) {
    return ratio.status();
  }
  return Types{context.inputs[0], TensorType(DType::kBool, context.inputs[0].shape)};
}

absl::StatusOr<OpRow::Lowered> LowerDropout(const InferContext& context, const Types& outputs) {
  PARAMD_ASSIGN_OR_RETURN(const double ratio, DropoutRatio(context));
  if (ratio > 0) {
    return MakeNamed(context, outputs, "dropout", {RandomSeed(*context.node)}, {ratio}, {0});
  }
  if (outputs.size() > 1) return MakeNamed(context, outputs, "dropout_mask", {}, {}, {0});
  return MakeLowered(context, outputs, ReshapeParams{}, {0});
}

constexpr auto kMax = PoolParams::Kind::kMax;
constexpr auto kAverage = PoolParams::Kind::kAverage;

constexpr OpRow kNnOps[] = {
    {"", "Conv", 1, kOpsetMax, 2, 3, 1, InferConv, LowerConv},
    {"", "MaxPool", 1, kOpsetMax, 1, 1, 2, InferPool<kMax>, LowerPool<kMax>},
    {"", "AveragePool", 7, kOpsetMax, 1, 1, 1, InferPool<kAverage>, LowerPool<kAverage>},
    {"", "GlobalMaxPool", 1, kOpsetMax, 1, 1, 1, InferGlobalPool, LowerGlobalPool<kMax>},
    {"", "GlobalAveragePool", 1, kOpsetMax, 1, 1, 1, InferGlobalPool, LowerGlobalPool<kAverage>},
    {"", "LRN", 1, kOpsetMax, 1, 1, 1, InferLrn, LowerLrn},
    {"", "BatchNormalization", 7, kOpsetMax, 5, 5, 5, InferBatchNorm, LowerBatchNorm},
    {"", "LayerNormalization", 17, kOpsetMax, 2, 3, 3, InferLayerNorm, LowerLayerNorm},
    {"", "Dropout", 7, 11, 1, 1, 2, InferDropout, LowerDropout},
    {"", "Dropout", 12, kOpsetMax, 1, 3, 2, InferDropout, LowerDropout},
};

}  // namespace

absl::Span<const OpRow> NnOps() { return kNnOps; }

}  // namespace paramd::ops
