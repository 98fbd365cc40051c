#include "runtime/params/content_id.h"

#include <openssl/evp.h>

#include <algorithm>

#include "absl/log/check.h"
#include "absl/strings/escaping.h"
#include "runtime/base/byte_reader.h"
#include "runtime/base/byte_writer.h"
#include "runtime/base/strings.h"

namespace paramd {

template <typename Tag>
Hash256<Tag> Hash256<Tag>::FromBytes(absl::Span<const std::byte> bytes) {
  CHECK_EQ(bytes.size(), kBytes);
  Hash256 hash;
  std::memcpy(hash.bytes_.data(), bytes.data(), kBytes);
  return hash;
}

template <typename Tag>
absl::StatusOr<Hash256<Tag>> Hash256<Tag>::FromHex(std::string_view hex) {
  std::string raw;
  if (hex.size() != 2 * kBytes || !absl::HexStringToBytes(ToAbsl(hex), &raw)) {
    return absl::InvalidArgumentError(StrCat("an id has ", 2 * kBytes,
                                             " hexadecimal digits; this text of ", hex.size(),
                                             " characters is none"));
  }
  return FromBytes(AsBytes(raw));
}

template <typename Tag>
std::string Hash256<Tag>::ToHex() const {
  return absl::BytesToHexString(ToAbsl(AsText(bytes())));
}

template class Hash256<struct DigestTag>;
template class Hash256<struct ContentIdTag>;

struct ContentHasher::State {
  EVP_MD_CTX* context = EVP_MD_CTX_new();

  State() {
    CHECK(context != nullptr);
    Start();
  }
  ~State() { EVP_MD_CTX_free(context); }
  void Start() { CHECK_EQ(EVP_DigestInit_ex(context, EVP_sha256(), nullptr), 1); }
};

ContentHasher::ContentHasher() : state_(std::make_unique<State>()) {}
ContentHasher::~ContentHasher() = default;
ContentHasher::ContentHasher(ContentHasher&&) noexcept = default;
ContentHasher& ContentHasher::operator=(ContentHasher&&) noexcept = default;

void ContentHasher::Update(absl::Span<const std::byte> bytes) {
  if (bytes.empty()) return;
  CHECK_EQ(EVP_DigestUpdate(state_->context, bytes.data(), bytes.size()), 1);
}

Digest ContentHasher::Finish() {
  std::array<uint8_t, Digest::kBytes> raw;
  unsigned size = 0;
  CHECK_EQ(EVP_DigestFinal_ex(state_->context, raw.data(), &size), 1);
  CHECK_EQ(size, raw.size());
  state_->Start();
  return Digest(raw);
}

Digest DigestOf(absl::Span<const std::byte> bytes) {
  ContentHasher hasher;
  hasher.Update(bytes);
  return hasher.Finish();
}

namespace {

// The version in the tag changes with any change to what is hashed.
ContentId Named(const ByteWriter& preimage) {
  return ContentId::FromBytes(DigestOf(AsBytes(preimage.bytes())).bytes());
}

}  // namespace

ContentId TensorContentId(DType dtype, absl::Span<const int64_t> dims, const Digest& digest) {
  ByteWriter preimage;
  preimage.Text32("paramd.tensor.1");
  preimage.U8(static_cast<uint8_t>(dtype));
  preimage.U32(static_cast<uint32_t>(dims.size()));
  for (int64_t dim : dims) preimage.I64(dim);
  preimage.Bytes(digest.bytes());
  return Named(preimage);
}

ContentId DerivedKey(const FormOrigin& origin) {
  ByteWriter preimage;
  preimage.Text32("paramd.derived.1");
  preimage.U32(static_cast<uint32_t>(origin.parents.size()));
  for (const ContentId& parent : origin.parents) preimage.Bytes(parent.bytes());
  preimage.Text32(origin.transform);
  preimage.U32(origin.transform_version);
  preimage.Text64(origin.layout);
  return Named(preimage);
}

ContentId WeightsId(std::vector<std::pair<std::string_view, ContentId>> named) {
  std::sort(named.begin(), named.end());
  ByteWriter preimage;
  preimage.Text32("paramd.weights.1");
  preimage.U64(named.size());
  for (const auto& [name, id] : named) {
    preimage.Text64(name);
    preimage.Bytes(id.bytes());
  }
  return Named(preimage);
}

}  // namespace paramd
