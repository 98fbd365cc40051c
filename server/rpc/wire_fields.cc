#include "server/rpc/wire_fields.h"

#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"

namespace paramd {

namespace {

absl::Status AddDim(uint64_t bits, Shape* shape) {
  const auto dim = static_cast<int64_t>(bits);
  if (dim < 0) {
    return absl::InvalidArgumentError(StrCat("a shape has the negative dimension ", dim));
  }
  if (shape->rank() >= kRankMax) {
    return absl::InvalidArgumentError(StrCat("a shape has more than ", kRankMax, " dimensions"));
  }
  shape->push_back(dim);
  return absl::OkStatus();
}

}  // namespace

absl::Status ExpectType(WireTag tag, WireType expected, std::string_view what) {
  if (tag.type == expected) return absl::OkStatus();
  return absl::InvalidArgumentError(StrCat("field '", what, "' has wire type ",
                                           static_cast<int>(tag.type), ", expected ",
                                           static_cast<int>(expected)));
}

absl::Status ReadShape(WireTag tag, WireReader* reader, Shape* shape) {
  if (tag.type == WireType::kVarint) {
    PARAMD_ASSIGN_OR_RETURN(const uint64_t bits, reader->ReadVarint());
    return AddDim(bits, shape);
  }
  PARAMD_RETURN_IF_ERROR(ExpectType(tag, WireType::kBytes, "shape"));
  PARAMD_ASSIGN_OR_RETURN(WireReader packed, reader->ReadBytes());
  while (!packed.done()) {
    PARAMD_ASSIGN_OR_RETURN(const uint64_t bits, packed.ReadVarint());
    PARAMD_RETURN_IF_ERROR(AddDim(bits, shape));
  }
  return absl::OkStatus();
}

}  // namespace paramd
