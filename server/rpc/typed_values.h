// Typed values: the fields 5 to 12 of paramd.v1.Tensor, in which elements
// travel as numbers instead of raw bytes. Slower than `raw`, kinder to people.
// Those of KServe V2 (kserve/infer_codec.h) are the same kinds under other numbers.
//
// Thread-safety: pure functions.
#ifndef PARAMD_SERVER_RPC_TYPED_VALUES_H_
#define PARAMD_SERVER_RPC_TYPED_VALUES_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/tensor/tensor_view.h"
#include "server/rpc/wire_reader.h"

namespace paramd {

// Field numbers of paramd.v1.Tensor (proto/paramd/v1/predict.proto).
enum class TypedField : uint8_t {
  kNone = 0,
  kF32 = 5,
  kF64 = 6,
  kI32 = 7,
  kI64 = 8,
  kU32 = 9,
  kU64 = 10,
  kBools = 11,
  kStrings = 12,
};

// How signed numbers are written: zigzag is sint32 and sint64 (paramd.v1), plain
// is int32 and int64 (KServe V2).
enum class SignedForm : uint8_t { kZigZag, kPlain };

std::string_view TypedFieldName(TypedField field);

// The field in which elements of `dtype` travel; kNone for kUndefined.
TypedField TypedFieldOf(DType dtype);
// The type that a field's elements have when the tensor does not say.
DType NaturalType(TypedField field);

// Counts one occurrence of the field (packed or not) without keeping it.
// InvalidArgument for a wire type that the field cannot have.
absl::StatusOr<uint64_t> CountTyped(TypedField field, WireType type, WireReader* reader);

// Appends one occurrence's values to `target` from element `*next` on, and
// moves `*next`. The caller has made room (CountTyped). InvalidArgument for a
// number outside the tensor's type.
absl::Status ReadTyped(TypedField field, SignedForm form, WireType type, WireReader* reader,
                       const MutableTensorView& target, uint64_t* next);

// The bytes of `view` as one typed field, tag included.
uint64_t TypedSize(const TensorView& view);
// Writes TypedSize(view) bytes and returns the end.
std::byte* WriteTyped(const TensorView& view, std::byte* out);

}  // namespace paramd

#endif  // PARAMD_SERVER_RPC_TYPED_VALUES_H_
