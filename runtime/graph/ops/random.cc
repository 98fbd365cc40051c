// Random numbers. They are made from a seed and an element's place alone
// (reference/named_random.cc): the same request gets the same answer, from
// every batch size, worker and machine. The seed is the node's, or follows
// from its name.
#include <bit>
#include <utility>

#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/graph/ops/op_support.h"
#include "runtime/graph/tensor_values.h"

namespace paramd::ops {
namespace {

// The type that attribute dtype names, or `otherwise`.
absl::StatusOr<DType> ResultType(const InferContext& context, DType otherwise) {
  if (!context.node->Has("dtype")) return otherwise;
  const int64_t number = context.node->GetInt("dtype", 0);
  const auto dtype =
      number < 0 || number > 255 ? std::nullopt : DTypeFromOnnx(static_cast<int32_t>(number));
  if (!dtype.has_value()) return absl::InvalidArgumentError(StrCat("dtype is ", number));
  return *dtype;
}

absl::StatusOr<Types> InferRandom(const InferContext& context) {
  PARAMD_ASSIGN_OR_RETURN(const DType dtype, ResultType(context, DType::kF32));
  if (!IsFloat(dtype)) {
    return absl::InvalidArgumentError(StrCat("random numbers of ", DTypeName(dtype)));
  }
  SymbolicShape shape;
  for (const int64_t dim : context.node->GetInts("shape")) {
    if (dim < 0) return absl::InvalidArgumentError(StrCat("shape names a dimension of ", dim));
    shape.push_back(Dim::Of(dim));
  }
  return Types{TensorType(dtype, std::move(shape))};
}

absl::StatusOr<Types> InferRandomLike(const InferContext& context) {
  const DType x = InputDType(context, 0);
  PARAMD_ASSIGN_OR_RETURN(const DType dtype, ResultType(context, x));
  if (!IsFloat(dtype)) {
    return absl::InvalidArgumentError(StrCat("random numbers of ", DTypeName(dtype)));
  }
  return Types{TensorType(dtype, context.inputs[0].shape)};
}

template <bool normal>
absl::StatusOr<OpRow::Lowered> LowerRandom(const InferContext& context, const Types& outputs) {
  const Node& node = *context.node;
  const double first = normal ? node.GetFloat("mean", 0) : node.GetFloat("low", 0);
  const double second = normal ? node.GetFloat("scale", 1) : node.GetFloat("high", 1);
  return MakeNamed(context, outputs, normal ? "random_normal" : "random_uniform",
                   {RandomSeed(node)}, {first, second}, {});
}

// {log-probabilities [rows, classes]}: classes drawn, [rows, sample_size].
absl::StatusOr<Types> InferMultinomial(const InferContext& context) {
  PARAMD_RETURN_IF_ERROR(RequireFloat(context, 0));
  PARAMD_ASSIGN_OR_RETURN(const DType dtype, ResultType(context, DType::kI32));
  if (dtype != DType::kI32 && dtype != DType::kI64) {
    return absl::InvalidArgumentError(StrCat("dtype is ", DTypeName(dtype)));
  }
  const int64_t samples = context.node->GetInt("sample_size", 1);
  if (samples < 1) return absl::InvalidArgumentError(StrCat("sample_size is ", samples));
  const SymbolicShape* x = InputShape(context, 0);
  if (x != nullptr && x->size() != 2) {
    return absl::InvalidArgumentError(StrCat("x is ", ToString(*x), ", expected two dimensions"));
  }
  return Types{TensorType(
      dtype, SymbolicShape{x == nullptr ? Dim::Unknown() : x->front(), Dim::Of(samples)})};
}

absl::StatusOr<OpRow::Lowered> LowerMultinomial(const InferContext& context, const Types& outputs) {
  return MakeNamed(context, outputs, "multinomial", {RandomSeed(*context.node)}, {}, {0});
}

constexpr OpRow kRandomOps[] = {
    {"", "RandomUniform", 1, kOpsetMax, 0, 0, 1, InferRandom, LowerRandom<false>},
    {"", "RandomNormal", 1, kOpsetMax, 0, 0, 1, InferRandom, LowerRandom<true>},
    {"", "RandomUniformLike", 1, kOpsetMax, 1, 1, 1, InferRandomLike, LowerRandom<false>},
    {"", "RandomNormalLike", 1, kOpsetMax, 1, 1, 1, InferRandomLike, LowerRandom<true>},
    {"", "Multinomial", 7, kOpsetMax, 1, 1, 1, InferMultinomial, LowerMultinomial},
};

}  // namespace

int64_t RandomSeed(const Node& node) {
  if (node.Has("seed")) {
    if (const int64_t seed = node.GetInt("seed", 0); seed != 0) return seed;
    return std::bit_cast<int32_t>(node.GetFloat("seed", 0));
  }
  // FNV-1a: two nodes without a seed draw different numbers.
  uint64_t hash = 0xcbf29ce484222325;
  for (const char c : node.name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return static_cast<int64_t>(hash);
}

absl::Span<const OpRow> RandomOps() { return kRandomOps; }

}  // namespace paramd::ops
