// DType: the element types of ONNX, with ONNX's own numbers
// (TensorProto.DataType of onnx.proto, IR version 10), so that importing is a
// checked cast and model info needs no second table.
//
// Thread-safety: values and pure functions.
#ifndef PARAMD_RUNTIME_TENSOR_DTYPE_H_
#define PARAMD_RUNTIME_TENSOR_DTYPE_H_

#include <cstdint>
#include <optional>
#include <string_view>

namespace paramd {

enum class DType : uint8_t {
  kUndefined = 0,
  kF32 = 1,
  kU8 = 2,
  kI8 = 3,
  kU16 = 4,
  kI16 = 5,
  kI32 = 6,
  kI64 = 7,
  kString = 8,
  kBool = 9,
  kF16 = 10,
  kF64 = 11,
  kU32 = 12,
  kU64 = 13,
  kC64 = 14,
  kC128 = 15,
  kBF16 = 16,
  kF8E4M3FN = 17,
  kF8E4M3FNUZ = 18,
  kF8E5M2 = 19,
  kF8E5M2FNUZ = 20,
  kU4 = 21,
  kI4 = 22,
  kF4E2M1 = 23,
};

// "f32", "bf16", "i64", "u4", "string", ...; "undefined" for anything else.
std::string_view DTypeName(DType dtype);
// The inverse of DTypeName.
std::optional<DType> DTypeFromName(std::string_view name);
// Maps ONNX's number; nothing for numbers this build does not know.
std::optional<DType> DTypeFromOnnx(int32_t number);

// Bits of one element: 32 for f32, 4 for i4; 0 for strings and kUndefined.
int DTypeBits(DType dtype);
// f16, bf16, f32, f64 and the 8- and 4-bit floats.
bool IsFloat(DType dtype);
// Signed and unsigned integers; not bool.
bool IsInteger(DType dtype);

}  // namespace paramd

#endif  // PARAMD_RUNTIME_TENSOR_DTYPE_H_
