#include "runtime/backends/onednn/packed_parameter.h"

#include <cstdint>
#include <cstring>
#include <string>
#include <unordered_map>
#include <vector>

#include "runtime/backends/onednn/dnnl_support.h"
#include "runtime/backends/onednn/onednn_threads.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"

namespace paramd::onednn {
namespace {

constexpr std::string_view kTag = "onednn-packed-1";
constexpr size_t kChecksumBytes = 8;

// FNV-1a: against damage, not against forgery (layouts are kept in sealed
// manifests that carry their own digest).
uint64_t Checksum(std::string_view bytes) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (char c : bytes) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3u;
  return hash;
}

// The descriptor's bytes without what the compiler left between its fields: a
// blob is the raw struct, and the padding after its 32-bit fields is whatever
// lay on the stack. Every 64-bit field of ours is below 2^31 (CheckSpec), so
// only the upper halves of words can be padding; those that oneDNN does not
// miss are zeroed. Equal descriptors then have equal bytes, in any process.
std::string CanonicalBlob(dnnl::memory::desc desc) {
  constexpr size_t kWord = 8, kHalf = 4;
  std::vector<uint8_t> blob = desc.get_blob();
  for (size_t at = 0; at + kWord <= blob.size(); at += kWord) {
    uint32_t upper = 0;
    std::memcpy(&upper, &blob[at + kHalf], kHalf);
    if (upper == 0) continue;
    std::memset(&blob[at + kHalf], 0, kHalf);
    if (dnnl::memory::desc(blob) != desc) std::memcpy(&blob[at + kHalf], &upper, kHalf);
  }
  return {blob.begin(), blob.end()};
}

std::string Header() { return StrCat(kTag, "\n", Fingerprint(), "\n"); }

absl::StatusOr<dnnl::memory::desc> DecodeDescriptor(std::string_view text) {
  if (!text.starts_with(StrCat(kTag, "\n"))) {
    return absl::UnimplementedError("the weights were packed by another backend");
  }
  const std::string header = Header();
  if (!text.starts_with(header)) {
    return absl::UnimplementedError(
        StrCat("the weights were not packed by ", Fingerprint(), ", which reads them"));
  }
  std::string_view rest = text.substr(header.size());
  // The struct's size is the library's secret; any descriptor's blob tells it.
  static const size_t blob_bytes =
      dnnl::memory::desc({1}, dnnl::memory::data_type::f32, dnnl::memory::dims{1})
          .get_blob()
          .size();
  uint64_t checksum = 0;
  if (rest.size() != kChecksumBytes + blob_bytes) {
    return absl::DataLossError(StrCat("a packed layout's descriptor has ", rest.size(),
                                      " bytes after its header, expected ",
                                      kChecksumBytes + blob_bytes));
  }
  std::memcpy(&checksum, rest.data(), kChecksumBytes);
  rest.remove_prefix(kChecksumBytes);
  if (checksum != Checksum(rest)) {
    return absl::DataLossError("a packed layout's descriptor differs from its checksum");
  }
  return dnnl::memory::desc(std::vector<uint8_t>(rest.begin(), rest.end()));
}

}  // namespace

std::string_view Fingerprint() {
  static const auto* fingerprint = [] {
    const dnnl_version_t* version = dnnl_version();
    return new std::string(StrCat("onednn ", version->major, ".", version->minor, ".",
                                  version->patch, " ", EffectiveIsaName()));
  }();
  return *fingerprint;
}

PackedLayout EncodePackedLayout(const dnnl::memory::desc& desc) {
  const std::string bytes = CanonicalBlob(desc);
  const uint64_t checksum = Checksum(bytes);
  std::string checksum_bytes(kChecksumBytes, '\0');
  std::memcpy(checksum_bytes.data(), &checksum, kChecksumBytes);
  return {.descriptor = Header() + checksum_bytes + bytes, .bytes = desc.get_size()};
}

absl::StatusOr<dnnl::memory::desc> DecodePackedLayout(const PackedLayout& layout,
                                                      const dnnl::memory::dims& dims,
                                                      dnnl::memory::data_type type) {
  return DecodeTaggedLayout(layout, "", dims, type,
                            [](const dnnl::memory::desc& desc) { return desc.get_size(); });
}

PackedLayout EncodeTaggedLayout(std::string_view tag, const dnnl::memory::desc& desc,
                                uint64_t bytes) {
  PackedLayout layout = EncodePackedLayout(desc);
  layout.descriptor.insert(0, tag);
  layout.bytes = bytes;
  return layout;
}

absl::StatusOr<dnnl::memory::desc> DecodeTaggedLayout(
    const PackedLayout& layout, std::string_view tag, const dnnl::memory::dims& dims,
    dnnl::memory::data_type type, absl::FunctionRef<uint64_t(const dnnl::memory::desc&)> bytes_of) {
  const std::string_view text = layout.descriptor;
  if (!text.starts_with(tag)) {
    return absl::UnimplementedError(StrCat("the weights were not packed as ", tag));
  }
  PARAMD_ASSIGN_OR_RETURN(const dnnl::memory::desc desc, DecodeDescriptor(text.substr(tag.size())));
  if (desc.get_dims() != dims || desc.get_data_type() != type || bytes_of(desc) != layout.bytes) {
    return absl::InvalidArgumentError("the packed layout is of other weights than this op's");
  }
  return desc;
}

absl::Status PackParameter(const PackedParameter& parameter, const TensorView& source,
                           absl::Span<std::byte> packed) {
  if (source.shape != parameter.shape) {
    return absl::InvalidArgumentError(StrCat("parameter ", parameter.index, " has shape ",
                                             source.shape.ToString(), ", expected ",
                                             parameter.shape.ToString()));
  }
  const bool bytes = parameter.desc.get_data_type() == dnnl::memory::data_type::s8;
  if (bytes ? source.dtype != DType::kI8
            : source.dtype != DType::kF32 && source.dtype != DType::kBF16) {
    return absl::InvalidArgumentError(StrCat("parameter ", parameter.index, " is ",
                                             DTypeName(source.dtype), ", expected ",
                                             bytes ? "i8" : "f32 or bf16"));
  }
  if (packed.size() != parameter.layout.bytes) {
    return absl::InvalidArgumentError(StrCat("parameter ", parameter.index, " packs into ",
                                             parameter.layout.bytes, " bytes, not ",
                                             packed.size()));
  }
  if (source.data == nullptr || packed.data() == nullptr) {
    return absl::InvalidArgumentError("a parameter to pack has no bytes");
  }
  // Loaders run one thread a core already; a team in each would only spin.
  ScopedKernelThreads one_thread(1);
  return WithoutThrowing([&]() -> absl::Status {
    PARAMD_ASSIGN_OR_RETURN(const auto source_type, CopyType(source.dtype));
    const dnnl::memory::desc source_desc(parameter.desc.get_dims(), source_type,
                                         parameter.source_strides);
    // oneDNN's interface has no const; a reorder only reads its source.
    dnnl::memory from(source_desc, CpuEngine(), const_cast<void*>(source.data));
    dnnl::memory to(parameter.desc, CpuEngine(), packed.data());
    dnnl::stream stream(CpuEngine());
    dnnl::reorder(from, to).execute(stream, from, to);
    stream.wait();
    return absl::OkStatus();
  });
}

}  // namespace paramd::onednn
