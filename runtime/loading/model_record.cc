#include "runtime/loading/model_record.h"

#include <utility>

#include "runtime/backends/backend_list.h"
#include "runtime/base/byte_reader.h"
#include "runtime/base/byte_writer.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/graph/passes/pass_list.h"
#include "runtime/params/manifest.h"
#include "runtime/params/sealed_memory.h"

namespace paramd {
namespace {

// Layout, little-endian: magic 8 | version u32 | digest of the rest 32 | rest.
constexpr std::string_view kMagic("PARAMDMR", 8);
constexpr uint32_t kRecordVersion = 1;
constexpr uint64_t kWarmBytes = 8 + 8;
constexpr uint32_t kPlanSizesMax = 16;
constexpr int64_t kRowsMax = int64_t{1} << 40;

absl::StatusOr<ContentId> ReadId(ByteReader* in) {
  PARAMD_ASSIGN_OR_RETURN(const absl::Span<const std::byte> raw, in->ReadBytes(ContentId::kBytes));
  return ContentId::FromBytes(raw);
}

absl::Status ReadBody(ByteReader* in, ModelRecord* record) {
  for (std::string* text : {&record->format, &record->revision, &record->choices}) {
    PARAMD_ASSIGN_OR_RETURN(*text, in->ReadText32());
  }
  PARAMD_ASSIGN_OR_RETURN(record->generation, in->ReadU64());
  PARAMD_ASSIGN_OR_RETURN(record->weights_id, ReadId(in));
  PARAMD_ASSIGN_OR_RETURN(record->manifest, ReadId(in));
  PARAMD_ASSIGN_OR_RETURN(record->manifest_bytes, in->ReadU64());
  PARAMD_ASSIGN_OR_RETURN(record->plan_sizes, in->ReadU32());
  PARAMD_ASSIGN_OR_RETURN(record->batch_rows_max, in->ReadI64());
  PARAMD_ASSIGN_OR_RETURN(record->batching_reason, in->ReadText32());
  PARAMD_ASSIGN_OR_RETURN(record->arena_bytes, in->ReadU64());
  PARAMD_ASSIGN_OR_RETURN(const uint32_t warm, in->ReadCount32(kWarmBytes));
  if (warm > kModelRecordWarmMax) {
    return absl::DataLossError(StrCat(warm, " warm sizes, at most ", kModelRecordWarmMax));
  }
  int64_t before = 0;
  for (uint32_t i = 0; i < warm; ++i) {
    MeasuredBatch size;
    PARAMD_ASSIGN_OR_RETURN(size.rows, in->ReadI64());
    PARAMD_ASSIGN_OR_RETURN(const int64_t nanoseconds, in->ReadI64());
    size.took = absl::Nanoseconds(nanoseconds);
    if (size.rows <= before || nanoseconds < 0) {
      return absl::DataLossError(
          StrCat("a batch of ", size.rows, " rows takes ", nanoseconds, " ns"));
    }
    before = size.rows;
    record->warm.push_back(size);
  }
  if (!in->done()) return absl::DataLossError(StrCat(in->remaining(), " bytes after its end"));
  if (record->generation == 0 || record->weights_id.is_zero() || record->manifest.is_zero() ||
      record->manifest_bytes == 0 || record->manifest_bytes > kSealedBytesMax ||
      record->plan_sizes == 0 || record->plan_sizes > kPlanSizesMax || record->batch_rows_max < 0 ||
      record->batch_rows_max > kRowsMax || before > std::max<int64_t>(1, record->batch_rows_max)) {
    return absl::DataLossError("a number in it cannot be");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> SerializeModelRecord(const ModelRecord& record) {
  ByteWriter body;
  for (const std::string* text : {&record.format, &record.revision, &record.choices}) {
    if (text->size() > kModelRecordBytesMax) {
      return absl::InvalidArgumentError(StrCat("a record cannot hold a text of ", text->size(),
                                               " bytes, the limit is ", kModelRecordBytesMax));
    }
    body.Text32(*text);
  }
  body.U64(record.generation);
  body.Bytes(record.weights_id.bytes());
  body.Bytes(record.manifest.bytes());
  body.U64(record.manifest_bytes);
  body.U32(record.plan_sizes);
  body.I64(record.batch_rows_max);
  // It is for people, and may repeat an error of any length.
  body.Text32(std::string_view(record.batching_reason).substr(0, 4096));
  body.U64(record.arena_bytes);
  body.U32(static_cast<uint32_t>(record.warm.size()));
  for (const MeasuredBatch& size : record.warm) {
    body.I64(size.rows);
    body.I64(absl::ToInt64Nanoseconds(size.took));
  }
  ByteWriter out;
  out.Text(kMagic);
  out.U32(kRecordVersion);
  out.Bytes(DigestOf(AsBytes(body.bytes())).bytes());
  out.Text(body.bytes());
  if (out.bytes().size() > kModelRecordBytesMax || record.warm.size() > kModelRecordWarmMax) {
    return absl::InvalidArgumentError(StrCat("a record of ", out.bytes().size(), " bytes and ",
                                             record.warm.size(),
                                             " warm sizes is beyond the limits"));
  }
  return std::move(out).Take();
}

absl::StatusOr<ModelRecord> ParseModelRecord(std::string_view bytes) {
  if (bytes.size() > kModelRecordBytesMax || !bytes.starts_with(kMagic)) {
    return absl::DataLossError(StrCat("these ", bytes.size(), " bytes are no record of a model"));
  }
  ByteReader in(bytes);
  PARAMD_RETURN_IF_ERROR(in.Skip(kMagic.size()));
  const absl::StatusOr<uint32_t> version = in.ReadU32();
  if (!version.ok()) return absl::DataLossError("a model's record ends early");
  if (*version != kRecordVersion) {
    return absl::UnimplementedError(StrCat("a model's record has version ", *version,
                                           "; this build reads version ", kRecordVersion));
  }
  const absl::StatusOr<absl::Span<const std::byte>> digest = in.ReadBytes(Digest::kBytes);
  if (!digest.ok()) return absl::DataLossError("a model's record ends early");
  const std::string_view body = bytes.substr(in.position());
  if (DigestOf(AsBytes(body)) != Digest::FromBytes(*digest)) {
    return absl::DataLossError("a model's record differs from its digest");
  }
  ModelRecord record;
  ByteReader body_in(body);
  if (const absl::Status status = ReadBody(&body_in, &record); !status.ok()) {
    return absl::DataLossError(StrCat("damaged record of a model: ", FromAbsl(status.message())));
  }
  return record;
}

std::string LoadFormat(absl::Span<const Backend* const> backends) {
  std::string format = StrCat("record ", kRecordVersion, ", manifest ", kManifestVersion);
  for (const Backend* backend : backends) {
    StrAppend(&format, ", ", backend->name(), " (", backend->fingerprint(), ")");
  }
  StrAppend(&format, ", passes");
  for (const Pass& pass : AllPasses()) StrAppend(&format, " ", pass.name);
  return format;
}

std::string LoadFormat() { return LoadFormat(AllBackends()); }

}  // namespace paramd
