// From a DType to a C++ type, once when a kernel is compiled:
//
//   return VisitFloat(dtype, "softmax", [&]<typename T>() -> absl::StatusOr<KernelPlan> {
//     return SoftmaxKernel<T>(...);
//   });
//
// A type outside the visitor's list is Unimplemented with the op's name.
//
// Thread-safety: pure functions.
#ifndef PARAMD_RUNTIME_BACKENDS_REFERENCE_DTYPE_DISPATCH_H_
#define PARAMD_RUNTIME_BACKENDS_REFERENCE_DTYPE_DISPATCH_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "runtime/base/strings.h"
#include "runtime/tensor/dtype.h"

namespace paramd::reference {

inline absl::Status NoSuchType(std::string_view op, DType dtype) {
  return absl::UnimplementedError(StrCat("no ", op, " of ", DTypeName(dtype)));
}

// An element of 16 bytes that is only ever moved.
struct Wide16 {
  uint64_t low, high;
};

template <typename Fn>
auto VisitFloat(DType dtype, std::string_view op, Fn&& fn)
    -> decltype(fn.template operator()<float>()) {
  switch (dtype) {
    case DType::kF32:
      return fn.template operator()<float>();
    case DType::kF64:
      return fn.template operator()<double>();
    default:
      return NoSuchType(op, dtype);
  }
}

// f32, f64 and the 8- to 64-bit integers.
template <typename Fn>
auto VisitNumber(DType dtype, std::string_view op, Fn&& fn)
    -> decltype(fn.template operator()<float>()) {
  switch (dtype) {
    case DType::kI8:
      return fn.template operator()<int8_t>();
    case DType::kU8:
      return fn.template operator()<uint8_t>();
    case DType::kI16:
      return fn.template operator()<int16_t>();
    case DType::kU16:
      return fn.template operator()<uint16_t>();
    case DType::kI32:
      return fn.template operator()<int32_t>();
    case DType::kU32:
      return fn.template operator()<uint32_t>();
    case DType::kI64:
      return fn.template operator()<int64_t>();
    case DType::kU64:
      return fn.template operator()<uint64_t>();
    default:
      return VisitFloat(dtype, op, fn);
  }
}

// For elements that are only moved: a type of the same size, or std::string.
template <typename Fn>
auto VisitMovable(DType dtype, std::string_view op, Fn&& fn)
    -> decltype(fn.template operator()<float>()) {
  if (dtype == DType::kString) return fn.template operator()<std::string>();
  switch (DTypeBits(dtype)) {
    case 8:
      return fn.template operator()<uint8_t>();
    case 16:
      return fn.template operator()<uint16_t>();
    case 32:
      return fn.template operator()<uint32_t>();
    case 64:
      return fn.template operator()<uint64_t>();
    case 128:
      return fn.template operator()<Wide16>();
    default:
      return NoSuchType(op, dtype);
  }
}

}  // namespace paramd::reference

#endif  // PARAMD_RUNTIME_BACKENDS_REFERENCE_DTYPE_DISPATCH_H_
