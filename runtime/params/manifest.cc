#include "runtime/params/manifest.h"

#include <cstring>
#include <limits>
#include <string_view>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "runtime/base/byte_reader.h"
#include "runtime/base/byte_writer.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"

namespace paramd {
namespace {

// Layout, little-endian:
//   magic 8 | version u32 | zero u32 | body length u64 | SHA-256 of the body | body
constexpr std::string_view kMagic("PARAMDMF", 8);
constexpr uint64_t kHeaderBytes = 8 + 4 + 4 + 8 + Digest::kBytes;

// The least bytes each record takes: counts are checked against these.
constexpr uint64_t kParameterBytesMin = 4 + 1 + 1 + 1 + ContentId::kBytes + 8;
constexpr uint64_t kValueBytesMin = 4 + 4;
constexpr uint64_t kKeptBytesMin = ContentId::kBytes + 8 + 1;
constexpr uint64_t kPackedBytesMin = ContentId::kBytes + 8 + 1 + 4 + 4 + 4 + 4;

absl::Status CheckFits32(uint64_t value, std::string_view what) {
  if (value <= std::numeric_limits<uint32_t>::max()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      StrCat("a manifest cannot hold ", what, " of ", value, ": the limit is 2^32 - 1"));
}

void WriteParameter(const Parameter& parameter, ByteWriter* out) {
  out->Text32(parameter.name);
  out->U8(static_cast<uint8_t>(parameter.role));
  out->U8(static_cast<uint8_t>(parameter.dtype));
  out->U8(static_cast<uint8_t>(parameter.shape.rank()));
  for (int64_t dim : parameter.shape.dims()) out->I64(dim);
  out->Bytes(parameter.content_id.bytes());
  out->U64(parameter.bytes);
}

void WritePacked(const PackedEntry& packed, ByteWriter* out) {
  out->Bytes(DerivedKey(packed.origin).bytes());
  out->U64(packed.bytes);
  out->U8(static_cast<uint8_t>(packed.dtype));
  out->U32(static_cast<uint32_t>(packed.origin.parents.size()));
  for (const ContentId& parent : packed.origin.parents) out->Bytes(parent.bytes());
  out->Text32(packed.origin.transform);
  out->U32(packed.origin.transform_version);
  out->Text32(packed.origin.layout);
}

absl::StatusOr<ContentId> ReadId(ByteReader* in) {
  PARAMD_ASSIGN_OR_RETURN(const absl::Span<const std::byte> raw, in->ReadBytes(ContentId::kBytes));
  return ContentId::FromBytes(raw);
}

absl::StatusOr<DType> ReadDType(ByteReader* in) {
  PARAMD_ASSIGN_OR_RETURN(const uint8_t number, in->ReadU8());
  if (number == 0) return DType::kUndefined;
  const std::optional<DType> dtype = DTypeFromOnnx(number);
  if (!dtype.has_value()) return absl::DataLossError(StrCat("there is no element type ", number));
  return *dtype;
}

absl::StatusOr<Parameter> ReadParameter(ByteReader* in) {
  Parameter parameter;
  PARAMD_ASSIGN_OR_RETURN(parameter.name, in->ReadText32());
  PARAMD_ASSIGN_OR_RETURN(const uint8_t role, in->ReadU8());
  if (role >= kParameterRoles) return absl::DataLossError(StrCat("there is no role ", role));
  parameter.role = static_cast<ParameterRole>(role);
  PARAMD_ASSIGN_OR_RETURN(parameter.dtype, ReadDType(in));
  PARAMD_ASSIGN_OR_RETURN(const uint8_t rank, in->ReadU8());
  if (rank > kRankMax) return absl::DataLossError(StrCat("rank ", rank, " is above ", kRankMax));
  for (int axis = 0; axis < rank; ++axis) {
    PARAMD_ASSIGN_OR_RETURN(const int64_t dim, in->ReadI64());
    parameter.shape.push_back(dim);
  }
  PARAMD_ASSIGN_OR_RETURN(parameter.content_id, ReadId(in));
  PARAMD_ASSIGN_OR_RETURN(parameter.bytes, in->ReadU64());
  PARAMD_ASSIGN_OR_RETURN(const uint64_t dense,
                          CheckedBytes(parameter.dtype, parameter.shape.dims()));
  if (parameter.bytes != dense) {
    return absl::DataLossError(StrCat("parameter '", parameter.name, "' of ",
                                      DTypeName(parameter.dtype), parameter.shape.ToString(),
                                      " takes ", dense, " bytes, not ", parameter.bytes));
  }
  return parameter;
}

absl::StatusOr<PackedEntry> ReadPacked(ByteReader* in) {
  PackedEntry packed;
  PARAMD_ASSIGN_OR_RETURN(packed.key, ReadId(in));
  PARAMD_ASSIGN_OR_RETURN(packed.bytes, in->ReadU64());
  PARAMD_ASSIGN_OR_RETURN(packed.dtype, ReadDType(in));
  PARAMD_ASSIGN_OR_RETURN(const uint32_t parents, in->ReadCount32(ContentId::kBytes));
  for (uint32_t i = 0; i < parents; ++i) {
    PARAMD_ASSIGN_OR_RETURN(const ContentId parent, ReadId(in));
    packed.origin.parents.push_back(parent);
  }
  PARAMD_ASSIGN_OR_RETURN(packed.origin.transform, in->ReadText32());
  PARAMD_ASSIGN_OR_RETURN(packed.origin.transform_version, in->ReadU32());
  PARAMD_ASSIGN_OR_RETURN(packed.origin.layout, in->ReadText32());
  if (packed.bytes == 0 || packed.bytes > kSealedBytesMax) {
    return absl::DataLossError(StrCat("a packed entry of ", packed.bytes, " bytes"));
  }
  if (DerivedKey(packed.origin) != packed.key) {
    return absl::DataLossError(
        StrCat("packed entry ", packed.key.ShortHex(), " is not what its parents make"));
  }
  return packed;
}

// The values of checkpoint tensors, each checked against the tensor's content id.
absl::Status ReadValues(ByteReader* in, Manifest* manifest) {
  PARAMD_ASSIGN_OR_RETURN(manifest->tensors, in->ReadU32());
  if (manifest->tensors > manifest->parameters.size()) {
    return absl::DataLossError(
        StrCat(manifest->tensors, " tensors among ", manifest->parameters.size(), " parameters"));
  }
  PARAMD_ASSIGN_OR_RETURN(const uint32_t values, in->ReadCount32(kValueBytesMin));
  for (uint32_t i = 0; i < values; ++i) {
    ManifestValue value;
    PARAMD_ASSIGN_OR_RETURN(value.parameter, in->ReadU32());
    if (value.parameter >= manifest->tensors ||
        (i > 0 && value.parameter <= manifest->values.back().parameter)) {
      return absl::DataLossError(
          StrCat("value ", i, " is of tensor ", value.parameter, " of ", manifest->tensors));
    }
    PARAMD_ASSIGN_OR_RETURN(value.bytes, in->ReadText32());
    const Parameter& parameter = manifest->parameters[value.parameter];
    if (TensorContentId(parameter.dtype, parameter.shape.dims(), DigestOf(AsBytes(value.bytes))) !=
        parameter.content_id) {
      return absl::DataLossError(
          StrCat("the value of '", parameter.name, "' is not what its content id says"));
    }
    manifest->values.push_back(std::move(value));
  }
  return absl::OkStatus();
}

absl::Status ReadBody(ByteReader* in, Manifest* manifest) {
  PARAMD_ASSIGN_OR_RETURN(manifest->format, in->ReadText32());
  PARAMD_ASSIGN_OR_RETURN(manifest->graph, in->ReadText64());
  PARAMD_ASSIGN_OR_RETURN(manifest->config, in->ReadText64());

  PARAMD_ASSIGN_OR_RETURN(const uint32_t parameters, in->ReadCount32(kParameterBytesMin));
  absl::flat_hash_set<std::string> names;
  for (uint32_t i = 0; i < parameters; ++i) {
    PARAMD_ASSIGN_OR_RETURN(Parameter parameter, ReadParameter(in));
    if (!names.insert(parameter.name).second) {
      return absl::DataLossError(StrCat("parameter '", parameter.name, "' comes twice"));
    }
    manifest->parameters.push_back(std::move(parameter));
  }

  PARAMD_RETURN_IF_ERROR(ReadValues(in, manifest));

  absl::flat_hash_set<ContentId> keys;
  PARAMD_ASSIGN_OR_RETURN(const uint32_t kept, in->ReadCount32(kKeptBytesMin));
  for (uint32_t i = 0; i < kept; ++i) {
    KeptEntry entry;
    PARAMD_ASSIGN_OR_RETURN(entry.key, ReadId(in));
    PARAMD_ASSIGN_OR_RETURN(entry.bytes, in->ReadU64());
    PARAMD_ASSIGN_OR_RETURN(entry.dtype, ReadDType(in));
    if (entry.bytes == 0 || entry.bytes > kSealedBytesMax || !keys.insert(entry.key).second) {
      return absl::DataLossError(StrCat("entry ", entry.key.ShortHex(), " of ", entry.bytes,
                                        " bytes is empty, too large "
                                        "or comes twice"));
    }
    manifest->kept.push_back(entry);
  }
  PARAMD_ASSIGN_OR_RETURN(const uint32_t packed, in->ReadCount32(kPackedBytesMin));
  for (uint32_t i = 0; i < packed; ++i) {
    PARAMD_ASSIGN_OR_RETURN(PackedEntry entry, ReadPacked(in));
    if (!keys.insert(entry.key).second) {
      return absl::DataLossError(StrCat("entry ", entry.key.ShortHex(), " comes twice"));
    }
    manifest->packed.push_back(std::move(entry));
  }
  PARAMD_ASSIGN_OR_RETURN(manifest->weights_id, ReadId(in));
  if (!in->done()) {
    return absl::DataLossError(StrCat(in->remaining(), " bytes after the manifest's end"));
  }
  return absl::OkStatus();
}

ContentId WeightsIdOf(const std::vector<Parameter>& parameters) {
  std::vector<std::pair<std::string_view, ContentId>> named;
  named.reserve(parameters.size());
  for (const Parameter& parameter : parameters) {
    named.emplace_back(parameter.name, parameter.content_id);
  }
  return WeightsId(std::move(named));
}

}  // namespace

absl::StatusOr<std::string> SerializeManifest(const Manifest& manifest) {
  PARAMD_RETURN_IF_ERROR(CheckFits32(manifest.parameters.size(), "a number of parameters"));
  PARAMD_RETURN_IF_ERROR(CheckFits32(manifest.packed.size(), "a number of packed entries"));
  PARAMD_RETURN_IF_ERROR(CheckFits32(manifest.kept.size(), "a number of entries"));
  ByteWriter body;
  body.Text32(manifest.format);
  body.Text64(manifest.graph);
  body.Text64(manifest.config);
  body.U32(static_cast<uint32_t>(manifest.parameters.size()));
  for (const Parameter& parameter : manifest.parameters) {
    PARAMD_RETURN_IF_ERROR(CheckFits32(parameter.name.size(), "a parameter's name"));
    WriteParameter(parameter, &body);
  }
  body.U32(manifest.tensors);
  body.U32(static_cast<uint32_t>(manifest.values.size()));
  for (const ManifestValue& value : manifest.values) {
    PARAMD_RETURN_IF_ERROR(CheckFits32(value.bytes.size(), "a value"));
    body.U32(value.parameter);
    body.Text32(value.bytes);
  }
  body.U32(static_cast<uint32_t>(manifest.kept.size()));
  for (const KeptEntry& entry : manifest.kept) {
    body.Bytes(entry.key.bytes());
    body.U64(entry.bytes);
    body.U8(static_cast<uint8_t>(entry.dtype));
  }
  body.U32(static_cast<uint32_t>(manifest.packed.size()));
  for (const PackedEntry& entry : manifest.packed) {
    PARAMD_RETURN_IF_ERROR(CheckFits32(entry.origin.layout.size(), "a layout"));
    WritePacked(entry, &body);
  }
  body.Bytes(WeightsIdOf(manifest.parameters).bytes());

  ByteWriter out;
  out.Text(kMagic);
  out.U32(kManifestVersion);
  out.U32(0);
  out.U64(body.bytes().size());
  out.Bytes(DigestOf(AsBytes(body.bytes())).bytes());
  out.Text(body.bytes());
  return std::move(out).Take();
}

absl::StatusOr<Manifest> ParseManifest(absl::Span<const std::byte> bytes) {
  if (bytes.size() < kHeaderBytes || AsText(bytes.subspan(0, kMagic.size())) != kMagic) {
    return absl::DataLossError(StrCat("these ", bytes.size(), " bytes are no manifest"));
  }
  ByteReader in(bytes);
  PARAMD_RETURN_IF_ERROR(in.Skip(kMagic.size()));
  PARAMD_ASSIGN_OR_RETURN(const uint32_t version, in.ReadU32());
  if (version != kManifestVersion) {
    return absl::UnimplementedError(
        StrCat("manifest version ", version, "; this build reads version ", kManifestVersion));
  }
  PARAMD_ASSIGN_OR_RETURN(const uint32_t zero, in.ReadU32());
  PARAMD_ASSIGN_OR_RETURN(const uint64_t body_bytes, in.ReadU64());
  PARAMD_ASSIGN_OR_RETURN(const absl::Span<const std::byte> digest, in.ReadBytes(Digest::kBytes));
  if (zero != 0 || body_bytes != in.remaining()) {
    return absl::DataLossError(
        StrCat("a manifest's body has ", in.remaining(), " bytes, expected ", body_bytes));
  }
  const absl::Span<const std::byte> body = bytes.subspan(in.position());
  if (DigestOf(body) != Digest::FromBytes(digest)) {
    return absl::DataLossError("a manifest's bytes differ from its digest");
  }
  Manifest manifest;
  ByteReader body_in(body);
  // A wrong length or shape inside is damage as well, whatever code it came with.
  if (const absl::Status status = ReadBody(&body_in, &manifest); !status.ok()) {
    return absl::DataLossError(StrCat("damaged manifest: ", FromAbsl(status.message())));
  }
  if (WeightsIdOf(manifest.parameters) != manifest.weights_id) {
    return absl::DataLossError("a manifest's weights_id is not that of its parameters");
  }
  return manifest;
}

absl::StatusOr<ParameterRef> StoreManifest(ParameterStore* store, const std::string& serialized) {
  const Digest digest = DigestOf(AsBytes(serialized));
  const Shape shape = {static_cast<int64_t>(serialized.size())};
  const ContentId key = TensorContentId(DType::kU8, shape.dims(), digest);
  PARAMD_ASSIGN_OR_RETURN(ParameterStore::Claimed claimed,
                          store->Claim(key, serialized.size(), EntryKind::kManifest));
  if (claimed.resident()) return std::move(claimed.ref());
  std::memcpy(claimed.builder()->bytes().data(), serialized.data(), serialized.size());
  claimed.builder()->SetDigest(0, digest);
  return store->Seal(std::move(claimed.builder()));
}

}  // namespace paramd
