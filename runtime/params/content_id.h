// Digest: SHA-256 of bytes. ContentId: what names a tensor (or a packed form of
// some) wherever paramd keeps one: equal content, equal id, on every machine.
//
//   content id of a tensor  = H("tensor" | type | shape | digest of its bytes)
//   key of a packed form    = H("derived" | parents | transform, version | layout)
//   weights_id of a version = H("weights" | sorted (name, content id) pairs)
//
// The digest of the bytes goes in, not the bytes, so one pass over them gives
// both: the id that names the tensor, and the digest that a segment is checked
// against later without knowing type and shape. Every part has its length in
// front, so no two different inputs run into the same bytes.
//
// Life: values. Thread-safety: values; a hasher is not synchronised.
#ifndef PARAMD_RUNTIME_PARAMS_CONTENT_ID_H_
#define PARAMD_RUNTIME_PARAMS_CONTENT_ID_H_

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "runtime/tensor/dtype.h"
#include "runtime/tensor/shape.h"

namespace paramd {

// 32 bytes with comparison, hashing and hex; the base of Digest and ContentId,
// which are different types so that one is never passed for the other.
template <typename Tag>
class Hash256 {
 public:
  static constexpr size_t kBytes = 32;

  Hash256() = default;  // All zero: "none".
  explicit Hash256(const std::array<uint8_t, kBytes>& bytes) : bytes_(bytes) {}
  // REQUIRES: bytes.size() == 32 (checked).
  static Hash256 FromBytes(absl::Span<const std::byte> bytes);
  // 64 hexadecimal digits; InvalidArgument otherwise.
  static absl::StatusOr<Hash256> FromHex(std::string_view hex);

  absl::Span<const std::byte> bytes() const {
    return {reinterpret_cast<const std::byte*>(bytes_.data()), kBytes};
  }
  bool is_zero() const { return *this == Hash256(); }
  std::string ToHex() const;
  // The first 12 digits: for logs and tables.
  std::string ShortHex() const { return ToHex().substr(0, 12); }

  friend bool operator==(const Hash256&, const Hash256&) = default;
  friend auto operator<=>(const Hash256&, const Hash256&) = default;
  template <typename H>
  friend H AbslHashValue(H h, const Hash256& id) {
    // Already uniform: eight of its bytes are as good as all.
    uint64_t word;
    std::memcpy(&word, id.bytes_.data(), sizeof(word));
    return H::combine(std::move(h), word);
  }

 private:
  std::array<uint8_t, kBytes> bytes_{};
};

using Digest = Hash256<struct DigestTag>;
using ContentId = Hash256<struct ContentIdTag>;
extern template class Hash256<struct DigestTag>;
extern template class Hash256<struct ContentIdTag>;

// SHA-256 over pieces as they come.
class ContentHasher {
 public:
  ContentHasher();
  ~ContentHasher();
  ContentHasher(ContentHasher&&) noexcept;
  ContentHasher& operator=(ContentHasher&&) noexcept;

  void Update(absl::Span<const std::byte> bytes);
  // Ends this hash and starts the next.
  Digest Finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

Digest DigestOf(absl::Span<const std::byte> bytes);

// The name of a tensor whose dense bytes have `digest`.
ContentId TensorContentId(DType dtype, absl::Span<const int64_t> dims, const Digest& digest);

// What a packed, folded or quantized form was made of.
struct FormOrigin {
  std::vector<ContentId> parents;  // In the order that the transform takes them.
  std::string transform;           // "onednn.matmul.pack", "fold_batch_norm+...".
  uint32_t transform_version = 0;
  std::string layout;  // Descriptor bytes, library version, instruction set.
};
ContentId DerivedKey(const FormOrigin& origin);

// Order of the pairs does not matter; names must differ (the callers' check).
ContentId WeightsId(std::vector<std::pair<std::string_view, ContentId>> named);

}  // namespace paramd

#endif  // PARAMD_RUNTIME_PARAMS_CONTENT_ID_H_
