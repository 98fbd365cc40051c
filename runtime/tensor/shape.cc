#include "runtime/tensor/shape.h"

#include "absl/status/status.h"
#include "absl/strings/str_join.h"
#include "runtime/base/strings.h"

namespace paramd {

int64_t Shape::elements() const {
  int64_t product = 1;
  for (int64_t dim : dims_) product *= dim;
  return product;
}

std::string Shape::ToString() const { return StrCat("[", absl::StrJoin(dims_, ","), "]"); }

absl::StatusOr<int64_t> CheckedElements(absl::Span<const int64_t> dims) {
  if (dims.size() > static_cast<size_t>(kRankMax)) {
    return absl::InvalidArgumentError(
        StrCat("rank ", dims.size(), " is above the limit of ", kRankMax));
  }
  constexpr int64_t kElementsMax = int64_t{1} << 62;
  // A zero anywhere makes the tensor empty, but the other dimensions must
  // still be sane: strides are made of them.
  int64_t product = 1;
  bool empty = false;
  for (int64_t dim : dims) {
    if (dim < 0) {
      return absl::InvalidArgumentError(
          StrCat("dimension ", dim, " in [", absl::StrJoin(dims, ","), "] is negative"));
    }
    if (dim == 0) {
      empty = true;
      continue;
    }
    if (dim > kElementsMax / product) {
      return absl::InvalidArgumentError(
          StrCat("shape [", absl::StrJoin(dims, ","), "] has more than 2^62 elements"));
    }
    product *= dim;
  }
  return empty ? 0 : product;
}

absl::StatusOr<uint64_t> CheckedBytes(DType dtype, absl::Span<const int64_t> dims) {
  const int bits = DTypeBits(dtype);
  if (bits == 0) {
    return absl::InvalidArgumentError(
        StrCat("elements of type ", DTypeName(dtype), " have no fixed size"));
  }
  absl::StatusOr<int64_t> elements = CheckedElements(dims);
  if (!elements.ok()) return elements.status();
  const auto count = static_cast<uint64_t>(*elements);
  constexpr uint64_t kBytesMax = uint64_t{1} << 62;
  if (bits < 8) return (count + 1) / 2;
  const uint64_t element_bytes = static_cast<uint64_t>(bits) / 8;
  if (count > kBytesMax / element_bytes) {
    return absl::InvalidArgumentError(StrCat("a tensor of ", count, " elements of ", element_bytes,
                                             " bytes is above 2^62 bytes"));
  }
  return count * element_bytes;
}

}  // namespace paramd
