#include "runtime/checkpoints/safetensors_reader.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "runtime/base/byte_reader.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"

namespace paramd {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kMetadataKey = "__metadata__";

// The names of safetensors' `Dtype`.
std::optional<DType> DTypeFromSafetensors(std::string_view name) {
  static constexpr std::pair<std::string_view, DType> kNames[] = {
      {"BOOL", DType::kBool},
      {"U8", DType::kU8},
      {"I8", DType::kI8},
      {"F8_E5M2", DType::kF8E5M2},
      {"F8_E4M3", DType::kF8E4M3FN},
      {"I16", DType::kI16},
      {"U16", DType::kU16},
      {"F16", DType::kF16},
      {"BF16", DType::kBF16},
      {"I32", DType::kI32},
      {"U32", DType::kU32},
      {"F32", DType::kF32},
      {"F64", DType::kF64},
      {"I64", DType::kI64},
      {"U64", DType::kU64},
      {"C64", DType::kC64},
  };
  for (const auto& [known, dtype] : kNames) {
    if (known == name) return dtype;
  }
  return std::nullopt;
}

// One entry of the header as written, not yet believed.
struct HeaderEntry {
  std::string name;
  std::string dtype;
  std::vector<int64_t> dims;
  std::vector<uint64_t> data_offsets;
  bool has_shape = false;
};

// Events that no caller of these formats accepts refuse here; subclasses
// override what they expect. SAX: no tree is built, so neither depth nor
// repeated names can hurt, and both are seen.
class StrictSax : public nlohmann::json_sax<Json> {
 public:
  const std::string& error() const { return error_; }

  bool null() override { return Refuse("null"); }
  bool boolean(bool) override { return Refuse("a boolean"); }
  bool number_integer(number_integer_t) override { return Refuse("a negative number"); }
  bool number_unsigned(number_unsigned_t) override { return Refuse("a number"); }
  bool number_float(number_float_t, const string_t&) override { return Refuse("a fraction"); }
  bool string(string_t&) override { return Refuse("a text"); }
  bool binary(binary_t&) override { return Refuse("binary"); }
  bool start_array(std::size_t) override { return Refuse("a list"); }
  bool end_array() override { return Refuse("the end of a list"); }
  bool parse_error(std::size_t position, const std::string&, const Json::exception&) override {
    // Not the library's text: it quotes the file.
    if (error_.empty()) error_ = StrCat("no valid JSON at byte ", position);
    return false;
  }

 protected:
  bool Refuse(std::string_view what) {
    if (error_.empty()) error_ = StrCat(what, " where the format has none");
    return false;
  }
  bool Fail(std::string message) {
    if (error_.empty()) error_ = std::move(message);
    return false;
  }

 private:
  std::string error_;
};

class HeaderSax final : public StrictSax {
 public:
  explicit HeaderSax(uint32_t tensors_max) : tensors_max_(tensors_max) {}

  std::vector<HeaderEntry> entries;
  absl::btree_map<std::string, std::string> metadata;

  bool start_object(std::size_t) override {
    switch (place_) {
      case Place::kStart:
        place_ = Place::kTop;
        return true;
      case Place::kTopKey:
        if (key_ == kMetadataKey) {
          place_ = Place::kMetadata;
          return true;
        }
        if (entries.size() >= tensors_max_) {
          return Fail(StrCat("more than ", tensors_max_, " tensors"));
        }
        entries.push_back({.name = key_});
        fields_seen_.clear();
        place_ = Place::kTensor;
        return true;
      default:
        return Refuse("an object");
    }
  }
  bool key(string_t& key) override {
    switch (place_) {
      case Place::kTop:
        if (!names_.insert(key).second) return Fail(StrCat("the name '", key, "' comes twice"));
        key_ = key;
        place_ = Place::kTopKey;
        return true;
      case Place::kMetadata:
        if (metadata.contains(key)) return Fail(StrCat("the metadata '", key, "' comes twice"));
        key_ = key;
        place_ = Place::kMetadataKey;
        return true;
      case Place::kTensor:
        if (!fields_seen_.insert(key).second) {
          return Fail(StrCat("tensor '", entries.back().name, "' has '", key, "' twice"));
        }
        if (key == "dtype") {
          place_ = Place::kDType;
        } else if (key == "shape") {
          place_ = Place::kShape;
        } else if (key == "data_offsets") {
          place_ = Place::kOffsets;
        } else {
          return Fail(StrCat("tensor '", entries.back().name, "' has an unknown field"));
        }
        return true;
      default:
        return Refuse("a key");
    }
  }
  bool string(string_t& text) override {
    switch (place_) {
      case Place::kMetadataKey:
        metadata[key_] = text;
        place_ = Place::kMetadata;
        return true;
      case Place::kDType:
        entries.back().dtype = text;
        place_ = Place::kTensor;
        return true;
      default:
        return Refuse("a text");
    }
  }
  bool start_array(std::size_t) override {
    if (place_ == Place::kShape) {
      entries.back().has_shape = true;
      place_ = Place::kShapeList;
      return true;
    }
    if (place_ == Place::kOffsets) {
      place_ = Place::kOffsetsList;
      return true;
    }
    return Refuse("a list");
  }
  bool number_unsigned(number_unsigned_t number) override {
    HeaderEntry* entry = entries.empty() ? nullptr : &entries.back();
    if (place_ == Place::kShapeList) {
      if (entry->dims.size() >= static_cast<size_t>(kRankMax)) {
        return Fail(StrCat("tensor '", entry->name, "' has more than ", kRankMax, " dimensions"));
      }
      if (number > static_cast<uint64_t>(INT64_MAX)) {
        return Fail(StrCat("tensor '", entry->name, "' has a dimension of ", number));
      }
      entry->dims.push_back(static_cast<int64_t>(number));
      return true;
    }
    if (place_ == Place::kOffsetsList) {
      if (entry->data_offsets.size() >= 2) {
        return Fail(StrCat("tensor '", entry->name, "' has more than two data_offsets"));
      }
      entry->data_offsets.push_back(number);
      return true;
    }
    return Refuse("a number");
  }
  bool end_array() override {
    if (place_ != Place::kShapeList && place_ != Place::kOffsetsList) return Refuse("a list's end");
    place_ = Place::kTensor;
    return true;
  }
  bool end_object() override {
    switch (place_) {
      case Place::kTensor:
      case Place::kMetadata:
        place_ = Place::kTop;
        return true;
      case Place::kTop:
        place_ = Place::kEnd;
        return true;
      default:
        return Refuse("an object's end");
    }
  }

 private:
  enum class Place {
    kStart,
    kTop,
    kTopKey,
    kMetadata,
    kMetadataKey,
    kTensor,
    kDType,
    kShape,
    kShapeList,
    kOffsets,
    kOffsetsList,
    kEnd,
  };

  const uint32_t tensors_max_;
  Place place_ = Place::kStart;
  std::string key_;
  absl::flat_hash_set<std::string> names_;
  absl::flat_hash_set<std::string> fields_seen_;
};

// The index: {"metadata": anything, "weight_map": {"tensor": "shard", ...}}.
class IndexSax final : public StrictSax {
 public:
  explicit IndexSax(uint32_t tensors_max) : tensors_max_(tensors_max) {}

  absl::btree_map<std::string, std::string> shard_of;
  bool has_map = false;

  bool null() override { return Skipped() || Refuse("null"); }
  bool boolean(bool) override { return Skipped() || Refuse("a boolean"); }
  bool number_integer(number_integer_t) override { return Skipped() || Refuse("a number"); }
  bool number_unsigned(number_unsigned_t) override { return Skipped() || Refuse("a number"); }
  bool number_float(number_float_t, const string_t&) override {
    return Skipped() || Refuse("a fraction");
  }
  bool string(string_t& text) override {
    if (depth_ == 2 && in_map_) {
      shard_of[key_] = text;
      return true;
    }
    return Skipped() || Refuse("a text");
  }
  bool start_object(std::size_t) override { return Enter(); }
  bool start_array(std::size_t) override {
    if (depth_ == 0 || in_map_ || (depth_ == 1 && key_ == "weight_map")) return Refuse("a list");
    return Enter();
  }
  bool key(string_t& key) override {
    if (depth_ == 1) {
      if (!top_keys_.insert(key).second) return Fail(StrCat("'", key, "' comes twice"));
      key_ = key;
    } else if (in_map_) {
      if (shard_of.contains(key)) return Fail(StrCat("tensor '", key, "' comes twice"));
      if (shard_of.size() >= tensors_max_)
        return Fail(StrCat("more than ", tensors_max_, " tensors"));
      key_ = key;
    }
    return true;
  }
  bool end_object() override { return Leave(); }
  bool end_array() override { return Leave(); }

 private:
  static constexpr int kDepthMax = 16;

  // Whatever lies outside of weight_map is not ours to judge, but bounded.
  bool Skipped() const { return depth_ >= 1 && !in_map_ && !(depth_ == 1 && key_ == "weight_map"); }
  bool Enter() {
    if (in_map_) return Refuse("an object");
    if (depth_ == 1 && key_ == "weight_map") in_map_ = has_map = true;
    return ++depth_ <= kDepthMax || Fail(StrCat("nested deeper than ", kDepthMax));
  }
  bool Leave() {
    if (--depth_ == 1) in_map_ = false;
    return true;
  }

  const uint32_t tensors_max_;
  int depth_ = 0;
  bool in_map_ = false;
  std::string key_;
  absl::flat_hash_set<std::string> top_keys_;
};

absl::Status ParseJson(std::string_view text, StrictSax* sax, std::string_view file) {
  if (Json::sax_parse(text.begin(), text.end(), sax)) return absl::OkStatus();
  return absl::InvalidArgumentError(StrCat("'", file, "': ", sax->error()));
}

absl::StatusOr<CheckpointTensor> CheckEntry(const HeaderEntry& entry, uint64_t data_start,
                                            uint64_t data_bytes, std::string_view file) {
  const std::string where = StrCat("'", file, "': tensor '", entry.name, "'");
  const std::optional<DType> dtype = DTypeFromSafetensors(entry.dtype);
  if (entry.dtype.empty() || !entry.has_shape || entry.data_offsets.size() != 2) {
    return absl::InvalidArgumentError(StrCat(where, " needs dtype, shape and two data_offsets"));
  }
  if (!dtype.has_value()) {
    return absl::UnimplementedError(StrCat(where, " has the element type '",
                                           entry.dtype.substr(0, 32),
                                           "', which this build does not know"));
  }
  const absl::StatusOr<uint64_t> bytes = CheckedBytes(*dtype, entry.dims);
  if (!bytes.ok()) {
    return absl::InvalidArgumentError(StrCat(where, ": ", FromAbsl(bytes.status().message())));
  }
  const uint64_t begin = entry.data_offsets[0];
  const uint64_t end = entry.data_offsets[1];
  if (begin > end || end > data_bytes) {
    return absl::InvalidArgumentError(StrCat(where, " has data_offsets ", begin, " to ", end,
                                             ", but the file has ", data_bytes, " bytes of data"));
  }
  if (end - begin != *bytes) {
    return absl::InvalidArgumentError(
        StrCat(where, " has ", end - begin, " bytes, but its type and shape take ", *bytes));
  }
  return CheckpointTensor{.name = entry.name,
                          .dtype = *dtype,
                          .shape = Shape(entry.dims),
                          .bytes = *bytes,
                          .encoding = CheckpointTensor::Encoding::kDense,
                          .offset = data_start + begin,
                          .file_bytes = *bytes};
}

// The tensors of one file, in the order of their bytes, covering its data.
absl::StatusOr<std::vector<CheckpointTensor>> ReadHeader(
    const FileSource& file, const SafetensorsLimits& limits,
    absl::btree_map<std::string, std::string>* metadata) {
  constexpr uint64_t kLengthBytes = 8;
  if (file.size() < kLengthBytes) {
    return absl::InvalidArgumentError(StrCat("'", file.name(), "' has ", file.size(),
                                             " bytes: no safetensors file is that small"));
  }
  std::byte length_bytes[kLengthBytes];
  PARAMD_RETURN_IF_ERROR(file.ReadAt(0, absl::MakeSpan(length_bytes)));
  PARAMD_ASSIGN_OR_RETURN(const uint64_t header_bytes,
                          ByteReader(absl::MakeConstSpan(length_bytes)).ReadU64());
  if (header_bytes > limits.header_bytes_max) {
    return absl::InvalidArgumentError(StrCat("'", file.name(), "' has a header of ", header_bytes,
                                             " bytes; the limit is ", limits.header_bytes_max));
  }
  if (!RangeIsInside(kLengthBytes, header_bytes, file.size())) {
    return absl::InvalidArgumentError(StrCat("'", file.name(), "' has a header of ", header_bytes,
                                             " bytes, but only ", file.size(), " in all"));
  }
  std::string header(header_bytes, '\0');
  PARAMD_RETURN_IF_ERROR(file.ReadAt(
      kLengthBytes, absl::MakeSpan(reinterpret_cast<std::byte*>(header.data()), header.size())));
  if (header.empty() || header[0] != '{') {
    return absl::InvalidArgumentError(
        StrCat("'", file.name(), "' is no safetensors file: its header does not start with '{'"));
  }
  HeaderSax sax(limits.tensors_max);
  PARAMD_RETURN_IF_ERROR(ParseJson(header, &sax, file.name()));
  *metadata = std::move(sax.metadata);

  const uint64_t data_start = kLengthBytes + header_bytes;
  const uint64_t data_bytes = file.size() - data_start;
  std::vector<CheckpointTensor> tensors;
  tensors.reserve(sax.entries.size());
  for (const HeaderEntry& entry : sax.entries) {
    PARAMD_ASSIGN_OR_RETURN(CheckpointTensor tensor,
                            CheckEntry(entry, data_start, data_bytes, file.name()));
    tensors.push_back(std::move(tensor));
  }
  // Empty tensors sort before the one that starts where they lie.
  std::sort(tensors.begin(), tensors.end(),
            [](const CheckpointTensor& a, const CheckpointTensor& b) {
              return std::tie(a.offset, a.bytes, a.name) < std::tie(b.offset, b.bytes, b.name);
            });
  uint64_t next = data_start;
  for (const CheckpointTensor& tensor : tensors) {
    if (tensor.offset != next) {
      return absl::InvalidArgumentError(
          StrCat("'", file.name(), "': tensor '", tensor.name, "' starts at byte ",
                 tensor.offset - data_start, " of the data, expected ", next - data_start,
                 tensor.offset < next ? " (it overlaps another)" : " (there is a gap)"));
    }
    next += tensor.bytes;  // Inside the file: CheckEntry.
  }
  if (next != file.size()) {
    return absl::InvalidArgumentError(
        StrCat("'", file.name(), "' has ", file.size() - next, " bytes after its last tensor"));
  }
  return tensors;
}

absl::StatusOr<IndexSax> ReadIndex(const FileSource& file, const SafetensorsLimits& limits) {
  if (file.size() > limits.index_bytes_max) {
    return absl::InvalidArgumentError(StrCat("'", file.name(), "' has ", file.size(),
                                             " bytes; the limit is ", limits.index_bytes_max));
  }
  std::string text(file.size(), '\0');
  PARAMD_RETURN_IF_ERROR(
      file.ReadAt(0, absl::MakeSpan(reinterpret_cast<std::byte*>(text.data()), text.size())));
  PARAMD_RETURN_IF_ERROR(file.CheckUnchanged());
  IndexSax sax(limits.tensors_max);
  PARAMD_RETURN_IF_ERROR(ParseJson(text, &sax, file.name()));
  if (!sax.has_map) {
    return absl::InvalidArgumentError(StrCat("'", file.name(), "' has no weight_map"));
  }
  return sax;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Checkpoint>> ReadSafetensors(std::unique_ptr<FileSource> file,
                                                            const SafetensorsLimits& limits) {
  auto checkpoint = std::make_unique<Checkpoint>();
  absl::btree_map<std::string, std::string> metadata;
  PARAMD_ASSIGN_OR_RETURN(std::vector<CheckpointTensor> tensors,
                          ReadHeader(*file, limits, &metadata));
  PARAMD_RETURN_IF_ERROR(file->CheckUnchanged());
  const uint32_t index = checkpoint->AddFile(std::move(file));
  for (CheckpointTensor& tensor : tensors) {
    tensor.file = index;
    PARAMD_RETURN_IF_ERROR(checkpoint->AddTensor(std::move(tensor)));
  }
  for (auto& [key, value] : metadata) checkpoint->SetMetadata(key, value);
  return checkpoint;
}

absl::StatusOr<std::unique_ptr<Checkpoint>> ReadShardedSafetensors(
    const Directory& folder, std::string_view index, const SafetensorsLimits& limits) {
  PARAMD_ASSIGN_OR_RETURN(const std::unique_ptr<FileSource> index_file, folder.OpenFile(index));
  PARAMD_ASSIGN_OR_RETURN(const IndexSax sax, ReadIndex(*index_file, limits));
  absl::btree_map<std::string, std::vector<std::string>> tensors_of;
  for (const auto& [tensor, shard] : sax.shard_of) tensors_of[shard].push_back(tensor);
  if (tensors_of.size() > limits.shards_max) {
    return absl::InvalidArgumentError(StrCat("'", index, "' names ", tensors_of.size(),
                                             " shards; the limit is ", limits.shards_max));
  }
  auto checkpoint = std::make_unique<Checkpoint>();
  for (const auto& [shard, names] : tensors_of) {
    // Shards lie beside their index; a path would be a way to somewhere else.
    if (shard.find('/') != std::string::npos) {
      return absl::InvalidArgumentError(
          StrCat("'", index, "' names the shard '", shard, "', which is no plain file name"));
    }
    PARAMD_ASSIGN_OR_RETURN(std::unique_ptr<FileSource> file, folder.OpenFile(shard));
    absl::btree_map<std::string, std::string> metadata;
    PARAMD_ASSIGN_OR_RETURN(std::vector<CheckpointTensor> tensors,
                            ReadHeader(*file, limits, &metadata));
    PARAMD_RETURN_IF_ERROR(file->CheckUnchanged());
    const uint32_t file_index = checkpoint->AddFile(std::move(file));
    size_t taken = 0;
    for (CheckpointTensor& tensor : tensors) {
      const auto wanted = sax.shard_of.find(tensor.name);
      if (wanted == sax.shard_of.end() || wanted->second != shard) continue;
      tensor.file = file_index;
      PARAMD_RETURN_IF_ERROR(checkpoint->AddTensor(std::move(tensor)));
      ++taken;
    }
    for (const std::string& name : names) {
      if (taken == names.size()) break;
      if (checkpoint->Find(name) == nullptr) {
        return absl::InvalidArgumentError(StrCat("'", index, "' says that tensor '", name,
                                                 "' is in '", shard, "', but it is not there"));
      }
    }
    for (auto& [key, value] : metadata) checkpoint->SetMetadata(key, value);
  }
  return checkpoint;
}

absl::StatusOr<std::unique_ptr<Checkpoint>> ReadSafetensorsFolder(const Directory& folder,
                                                                  const SafetensorsLimits& limits) {
  absl::StatusOr<std::unique_ptr<FileSource>> single = folder.OpenFile("model.safetensors");
  if (single.ok()) return ReadSafetensors(*std::move(single), limits);
  if (!absl::IsNotFound(single.status())) return single.status();
  return ReadShardedSafetensors(folder, "model.safetensors.index.json", limits);
}

}  // namespace paramd
