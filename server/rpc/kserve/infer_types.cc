#include "server/rpc/kserve/infer_types.h"

namespace paramd {
namespace {

struct NamedType {
  DType dtype;
  std::string_view name;
};
constexpr NamedType kTypes[] = {
    {DType::kF32, "FP32"},   {DType::kI64, "INT64"},    {DType::kI32, "INT32"},
    {DType::kU8, "UINT8"},   {DType::kString, "BYTES"}, {DType::kF16, "FP16"},
    {DType::kBF16, "BF16"},  {DType::kBool, "BOOL"},    {DType::kI8, "INT8"},
    {DType::kI16, "INT16"},  {DType::kU16, "UINT16"},   {DType::kU32, "UINT32"},
    {DType::kU64, "UINT64"}, {DType::kF64, "FP64"},
};

}  // namespace

std::string_view InferTypeName(DType dtype) {
  for (const NamedType& type : kTypes) {
    if (type.dtype == dtype) return type.name;
  }
  return "";
}

std::optional<DType> DTypeFromInferName(std::string_view name) {
  for (const NamedType& type : kTypes) {
    if (type.name == name) return type.dtype;
  }
  return std::nullopt;
}

}  // namespace paramd
