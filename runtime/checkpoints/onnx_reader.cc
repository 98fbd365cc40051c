#include "runtime/checkpoints/onnx_reader.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream.h>
#include <google/protobuf/wire_format_lite.h>

#include <algorithm>
#include <array>
#include <limits>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "runtime/base/byte_reader.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/checkpoints/onnx_tensor.h"

namespace paramd {
namespace {

using google::protobuf::internal::WireFormatLite;
using Field = OnnxTensorField;

// CodedInputStream's input: preads small pieces, and skips without reading.
class FileInput final : public google::protobuf::io::ZeroCopyInputStream {
 public:
  explicit FileInput(const FileSource& file) : file_(file) {}

  bool Next(const void** data, int* size) override {
    if (backed_up_ > 0) {
      *data = buffer_.data() + filled_ - backed_up_;
      *size = std::exchange(backed_up_, 0);
      return true;
    }
    const uint64_t left = file_.size() - position_;
    if (left == 0 || !status_.ok()) return false;
    filled_ = static_cast<int>(std::min<uint64_t>(left, buffer_.size()));
    status_ = file_.ReadAt(position_, absl::MakeSpan(buffer_).subspan(0, filled_));
    if (!status_.ok()) return false;
    position_ += static_cast<uint64_t>(filled_);
    *data = buffer_.data();
    *size = filled_;
    return true;
  }
  void BackUp(int count) override { backed_up_ = count; }
  bool Skip(int count) override {
    const int from_buffer = std::min(count, backed_up_);
    backed_up_ -= from_buffer;
    const auto rest = static_cast<uint64_t>(count - from_buffer);
    const uint64_t left = file_.size() - position_;
    position_ += std::min(rest, left);
    return rest <= left;
  }
  int64_t ByteCount() const override { return static_cast<int64_t>(position_) - backed_up_; }

  const absl::Status& status() const { return status_; }

 private:
  const FileSource& file_;
  // Small: what is read beyond a header before a large tensor is skipped is
  // read twice.
  std::array<std::byte, 1024> buffer_;
  uint64_t position_ = 0;  // Of the file, after what the buffer holds.
  int filled_ = 0;
  int backed_up_ = 0;
  absl::Status status_;
};

void AppendVarint(uint64_t value, std::string* out) {
  uint8_t buffer[10];
  const uint8_t* end = google::protobuf::io::CodedOutputStream::WriteVarint64ToArray(value, buffer);
  out->append(reinterpret_cast<const char*>(buffer), static_cast<size_t>(end - buffer));
}
void AppendTag(int field, WireFormatLite::WireType type, std::string* out) {
  AppendVarint(WireFormatLite::MakeTag(field, type), out);
}
void AppendText(int field, std::string_view text, std::string* out) {
  AppendTag(field, WireFormatLite::WIRETYPE_LENGTH_DELIMITED, out);
  AppendVarint(text.size(), out);
  out->append(text);
}
void AppendNumber(int field, uint64_t value, std::string* out) {
  AppendTag(field, WireFormatLite::WIRETYPE_VARINT, out);
  AppendVarint(value, out);
}

// The messages of onnx.proto that lead to tensors, and how.
enum class Message { kModel, kTraining, kGraph, kFunction, kNode, kAttribute, kTensor };
struct Edge {
  Message from;
  int field;
  Message to;
  bool repeated;
};
constexpr Edge kEdges[] = {
    {Message::kModel, 7, Message::kGraph, false},
    {Message::kModel, 20, Message::kTraining, true},
    {Message::kModel, 25, Message::kFunction, true},
    {Message::kTraining, 1, Message::kGraph, false},
    {Message::kTraining, 2, Message::kGraph, false},
    {Message::kGraph, 1, Message::kNode, true},
    {Message::kGraph, 5, Message::kTensor, true},  // initializer
    {Message::kFunction, 7, Message::kNode, true},
    {Message::kFunction, 11, Message::kAttribute, true},
    {Message::kNode, 5, Message::kAttribute, true},
    {Message::kAttribute, 5, Message::kTensor, false},
    {Message::kAttribute, 6, Message::kGraph, false},
    {Message::kAttribute, 10, Message::kTensor, true},
    {Message::kAttribute, 11, Message::kGraph, true},
};
constexpr int kNodeOutputField = 2;

const Edge* FindEdge(Message from, int field) {
  for (const Edge& edge : kEdges) {
    if (edge.from == from && edge.field == field) return &edge;
  }
  return nullptr;
}

// Where the skim is: which names must differ, and how deep it is.
struct Scope {
  std::string prefix;  // "subgraph3/" in front of names inside.
  uint32_t depth = 0;  // Graphs around.
  absl::flat_hash_set<std::string> initializers;
};

class Skim {
 public:
  Skim(Checkpoint* checkpoint, const Directory* folder, const OnnxLimits& limits)
      : checkpoint_(checkpoint),
        folder_(folder),
        limits_(limits),
        input_(*checkpoint->files()[0]),
        in_(&input_) {}

  absl::Status Run(std::string* skeleton) {
    in_.PushLimit(static_cast<int>(checkpoint_->files()[0]->size()));
    Scope scope;
    PARAMD_RETURN_IF_ERROR(SkimMessage(Message::kModel, &scope, skeleton));
    if (!has_graph_) {
      return absl::InvalidArgumentError(
          StrCat("'", checkpoint_->files()[0]->name(), "' is no ONNX model: it has no graph"));
    }
    for (CheckpointTensor& tensor : tensors_) {
      PARAMD_RETURN_IF_ERROR(checkpoint_->AddTensor(std::move(tensor)));
    }
    return absl::OkStatus();
  }

 private:
  absl::Status Damaged() const {
    if (!input_.status().ok()) return input_.status();
    return absl::InvalidArgumentError(StrCat("'", checkpoint_->files()[0]->name(),
                                             "' is no valid ONNX file: damaged near byte ",
                                             in_.CurrentPosition()));
  }

  // Counts what goes into the skeleton before memory for it is reserved.
  absl::Status Charge(uint64_t bytes) {
    skeleton_bytes_ += bytes;
    if (skeleton_bytes_ <= limits_.skeleton_bytes_max) return absl::OkStatus();
    return absl::InvalidArgumentError(StrCat("the model without its tensors is above the limit of ",
                                             limits_.skeleton_bytes_max, " bytes"));
  }

  // The length of the field that comes now, which must lie inside the message.
  absl::StatusOr<uint32_t> ReadLength() {
    uint32_t length = 0;
    if (!in_.ReadVarint32(&length)) return Damaged();
    const int left = in_.BytesUntilLimit();
    if (left < 0 || length > static_cast<uint32_t>(left)) return Damaged();
    return length;
  }

  absl::StatusOr<std::string> ReadText() {
    PARAMD_ASSIGN_OR_RETURN(const uint32_t length, ReadLength());
    PARAMD_RETURN_IF_ERROR(Charge(length));
    std::string text;
    if (!in_.ReadString(&text, static_cast<int>(length))) return Damaged();
    return text;
  }

  absl::Status CopyField(uint32_t tag, std::string* out) {
    PARAMD_RETURN_IF_ERROR(Charge(16));
    switch (WireFormatLite::GetTagWireType(tag)) {
      case WireFormatLite::WIRETYPE_VARINT: {
        uint64_t value = 0;
        if (!in_.ReadVarint64(&value)) return Damaged();
        AppendVarint(tag, out);
        AppendVarint(value, out);
        return absl::OkStatus();
      }
      case WireFormatLite::WIRETYPE_FIXED32:
      case WireFormatLite::WIRETYPE_FIXED64: {
        char raw[8];
        const int size =
            WireFormatLite::GetTagWireType(tag) == WireFormatLite::WIRETYPE_FIXED32 ? 4 : 8;
        if (!in_.ReadRaw(raw, size)) return Damaged();
        AppendVarint(tag, out);
        out->append(raw, static_cast<size_t>(size));
        return absl::OkStatus();
      }
      case WireFormatLite::WIRETYPE_LENGTH_DELIMITED: {
        PARAMD_ASSIGN_OR_RETURN(const std::string text, ReadText());
        AppendText(WireFormatLite::GetTagFieldNumber(tag), text, out);
        return absl::OkStatus();
      }
      default:
        return Damaged();  // Groups: onnx.proto has none.
    }
  }

  // Calls visit(tag) for every field up to the current limit.
  template <typename Visit>
  absl::Status ForEachField(Visit visit) {
    while (const uint32_t tag = in_.ReadTag()) {
      if (WireFormatLite::GetTagFieldNumber(tag) == 0) return Damaged();
      PARAMD_RETURN_IF_ERROR(visit(tag));
    }
    return in_.ConsumedEntireMessage() && input_.status().ok() ? absl::OkStatus() : Damaged();
  }

  // Runs `body` with the limit of the message that comes now.
  template <typename Body>
  absl::Status InsideMessage(Body body) {
    PARAMD_ASSIGN_OR_RETURN(const uint32_t length, ReadLength());
    const auto limit = in_.PushLimit(static_cast<int>(length));
    PARAMD_RETURN_IF_ERROR(body());
    in_.PopLimit(limit);
    return absl::OkStatus();
  }

  absl::Status SkimMessage(Message type, Scope* scope, std::string* out) {
    uint64_t singular_seen = 0;  // By field number, all below 64.
    const size_t tensors_before = tensors_.size();
    std::string first_output;
    PARAMD_RETURN_IF_ERROR(ForEachField([&](uint32_t tag) -> absl::Status {
      const int field = WireFormatLite::GetTagFieldNumber(tag);
      const bool is_message =
          WireFormatLite::GetTagWireType(tag) == WireFormatLite::WIRETYPE_LENGTH_DELIMITED;
      const Edge* edge = is_message ? FindEdge(type, field) : nullptr;
      if (edge != nullptr) {
        if (!edge->repeated) {
          // Protobuf would merge the two, and a merged tensor means neither.
          if ((singular_seen >> field & 1) != 0) return Damaged();
          singular_seen |= uint64_t{1} << field;
        }
        return SkimChild(*edge, scope, out);
      }
      if (type == Message::kNode && field == kNodeOutputField && is_message &&
          first_output.empty()) {
        PARAMD_ASSIGN_OR_RETURN(first_output, ReadText());
        PARAMD_RETURN_IF_ERROR(Charge(16));
        AppendText(field, first_output, out);
        return absl::OkStatus();
      }
      return CopyField(tag, out);
    }));
    if (type == Message::kNode) NameAttributeTensors(tensors_before, first_output, *scope);
    return absl::OkStatus();
  }

  absl::Status SkimChild(const Edge& edge, Scope* scope, std::string* out) {
    if (edge.to == Message::kTensor) {
      return SkimTensor(edge.field, edge.from == Message::kGraph, scope, out);
    }
    PARAMD_RETURN_IF_ERROR(Charge(16));
    if (edge.to == Message::kNode && ++nodes_ > limits_.nodes_max) {
      return absl::InvalidArgumentError(StrCat("more than ", limits_.nodes_max, " nodes"));
    }
    Scope inner;
    Scope* child_scope = scope;
    if (edge.to == Message::kGraph || edge.to == Message::kFunction) {
      inner.depth = scope->depth + 1;
      if (inner.depth > limits_.graph_depth_max + 1) {
        return absl::InvalidArgumentError(
            StrCat("graphs nested deeper than ", limits_.graph_depth_max));
      }
      if (edge.to == Message::kFunction) {
        inner.prefix = StrCat("function", functions_++, "/");
      } else if (edge.from != Message::kModel) {
        inner.prefix = StrCat("subgraph", subgraphs_++, "/");
      } else {
        has_graph_ = true;
      }
      child_scope = &inner;
    }
    std::string child;
    PARAMD_RETURN_IF_ERROR(
        InsideMessage([&] { return SkimMessage(edge.to, child_scope, &child); }));
    AppendText(edge.field, child, out);
    return absl::OkStatus();
  }

  // A node's tensors are named when it has been read: its outputs may come
  // after its attributes.
  void NameAttributeTensors(size_t begin, const std::string& first_output, const Scope& scope) {
    int count = 0;
    for (size_t i = begin; i < tensors_.size(); ++i) {
      if (!unnamed_.contains(i)) continue;  // Of a graph inside: has a name.
      const std::string base = first_output.empty() ? StrCat("node", nodes_) : first_output;
      tensors_[i].name = StrCat(scope.prefix, base, count == 0 ? "" : StrCat(".", count));
      ++count;
      unnamed_.erase(i);
    }
  }

  absl::Status ReadDims(uint32_t tag, OnnxTensor* tensor) {
    const auto add = [&]() -> absl::Status {
      uint64_t dim = 0;
      if (!in_.ReadVarint64(&dim)) return Damaged();
      if (tensor->dims.size() >= static_cast<size_t>(kRankMax)) {
        return absl::InvalidArgumentError(
            StrCat("a tensor has more than ", kRankMax, " dimensions"));
      }
      tensor->dims.push_back(static_cast<int64_t>(dim));
      return absl::OkStatus();
    };
    if (WireFormatLite::GetTagWireType(tag) == WireFormatLite::WIRETYPE_VARINT) return add();
    if (WireFormatLite::GetTagWireType(tag) != WireFormatLite::WIRETYPE_LENGTH_DELIMITED) {
      return Damaged();
    }
    return InsideMessage([&]() -> absl::Status {
      while (in_.BytesUntilLimit() > 0) PARAMD_RETURN_IF_ERROR(add());
      return absl::OkStatus();
    });
  }

  // Elements: one packed piece is remembered by its range and skipped; single
  // elements are collected.
  absl::Status ReadData(uint32_t tag, OnnxTensor* tensor) {
    const int field = WireFormatLite::GetTagFieldNumber(tag);
    const auto type = WireFormatLite::GetTagWireType(tag);
    const bool first = tensor->data_field == 0;
    if (!first && (tensor->data_field != field || tensor->has_range)) {
      return absl::InvalidArgumentError("a tensor has its data in more than one piece");
    }
    tensor->data_field = field;
    if (type == WireFormatLite::WIRETYPE_LENGTH_DELIMITED) {
      if (!first) {
        return absl::InvalidArgumentError("a tensor has its data in more than one piece");
      }
      PARAMD_ASSIGN_OR_RETURN(const uint32_t length, ReadLength());
      tensor->has_range = true;
      tensor->offset = static_cast<uint64_t>(in_.CurrentPosition());
      tensor->file_bytes = length;
      return in_.Skip(static_cast<int>(length)) ? absl::OkStatus() : Damaged();
    }
    decoded_bytes_ += 8;
    if (decoded_bytes_ > limits_.decoded_bytes_max) {
      return absl::InvalidArgumentError(
          StrCat("more than ", limits_.decoded_bytes_max, " bytes of data that are not packed"));
    }
    if (IsVarintField(field) && type == WireFormatLite::WIRETYPE_VARINT) {
      uint64_t value = 0;
      if (!in_.ReadVarint64(&value)) return Damaged();
      tensor->loose_varints.push_back(value);
      return absl::OkStatus();
    }
    const bool is_float = field == Field::kFloatData && type == WireFormatLite::WIRETYPE_FIXED32;
    const bool is_double = field == Field::kDoubleData && type == WireFormatLite::WIRETYPE_FIXED64;
    if (!is_float && !is_double) return Damaged();
    char raw[8];
    const int size = is_float ? 4 : 8;
    if (!in_.ReadRaw(raw, size)) return Damaged();
    tensor->loose_bytes.append(raw, static_cast<size_t>(size));
    return absl::OkStatus();
  }

  // One key and value of external_data; keys that do not say where are dropped.
  absl::Status ReadExternalEntry(OnnxTensor* tensor) {
    std::string key;
    std::string value;
    PARAMD_RETURN_IF_ERROR(InsideMessage([&] {
      return ForEachField([&](uint32_t tag) -> absl::Status {
        std::string ignored;
        const int field = WireFormatLite::GetTagFieldNumber(tag);
        const bool is_text =
            WireFormatLite::GetTagWireType(tag) == WireFormatLite::WIRETYPE_LENGTH_DELIMITED;
        if (!is_text || field > 2) return CopyField(tag, &ignored);
        PARAMD_ASSIGN_OR_RETURN((field == 1 ? key : value), ReadText());
        return absl::OkStatus();
      });
    }));
    std::optional<std::string>* target = key == "location" ? &tensor->location
                                         : key == "offset" ? &tensor->external_offset
                                         : key == "length" ? &tensor->external_length
                                                           : nullptr;
    if (target == nullptr) return absl::OkStatus();
    if (target->has_value()) {
      return absl::InvalidArgumentError(StrCat("external data has '", key, "' twice"));
    }
    *target = std::move(value);
    return absl::OkStatus();
  }

  // Reads one TensorProto. `kept`: fields that go to the skeleton as they are.
  absl::Status ReadTensorProto(OnnxTensor* tensor, std::string* kept) {
    return ForEachField([&](uint32_t tag) -> absl::Status {
      const auto type = WireFormatLite::GetTagWireType(tag);
      const bool is_text = type == WireFormatLite::WIRETYPE_LENGTH_DELIMITED;
      const bool is_number = type == WireFormatLite::WIRETYPE_VARINT;
      uint64_t number = 0;
      switch (WireFormatLite::GetTagFieldNumber(tag)) {
        case Field::kDims:
          return ReadDims(tag, tensor);
        case Field::kDataType:
          if (!is_number || !in_.ReadVarint64(&number)) return Damaged();
          tensor->data_type = static_cast<int32_t>(number);
          return absl::OkStatus();
        case Field::kDataLocation:
          if (!is_number || !in_.ReadVarint64(&number)) return Damaged();
          tensor->external = number == 1;
          return absl::OkStatus();
        case Field::kSegment:
          return absl::UnimplementedError("tensors in segments are not supported");
        case Field::kName: {
          if (!is_text) return Damaged();
          PARAMD_ASSIGN_OR_RETURN(tensor->name, ReadText());
          return absl::OkStatus();
        }
        case Field::kRawData:
          if (!is_text) return Damaged();
          return ReadData(tag, tensor);
        case Field::kFloatData:
        case Field::kInt32Data:
        case Field::kInt64Data:
        case Field::kDoubleData:
        case Field::kUint64Data:
          return ReadData(tag, tensor);
        case Field::kExternalData:
          if (!is_text) return Damaged();
          return ReadExternalEntry(tensor);
        case Field::kMetadataProps: {
          // Dropped: the index in it is ours to give.
          std::string dropped;
          return CopyField(tag, &dropped);
        }
        default:
          return CopyField(tag, kept);  // string_data, doc_string.
      }
    });
  }

  absl::Status SkimTensor(int field, bool is_initializer, Scope* scope, std::string* out) {
    if (++tensor_count_ > limits_.tensors_max) {
      return absl::InvalidArgumentError(StrCat("more than ", limits_.tensors_max, " tensors"));
    }
    // Room for the rank, type, index and external location that are written anew.
    PARAMD_RETURN_IF_ERROR(Charge(128 + 11 * kRankMax));
    OnnxTensor tensor;
    std::string child;
    PARAMD_RETURN_IF_ERROR(InsideMessage([&] { return ReadTensorProto(&tensor, &child); }));
    if (is_initializer) {
      if (tensor.name.empty()) return absl::InvalidArgumentError("an initializer has no name");
      if (!scope->initializers.insert(tensor.name).second) {
        return absl::InvalidArgumentError(
            StrCat("the initializer '", tensor.name, "' comes twice"));
      }
    }
    for (int64_t dim : tensor.dims) AppendNumber(Field::kDims, static_cast<uint64_t>(dim), &child);
    AppendNumber(Field::kDataType, static_cast<uint64_t>(tensor.data_type), &child);
    if (!tensor.name.empty()) AppendText(Field::kName, tensor.name, &child);
    if (tensor.data_type == static_cast<int32_t>(DType::kString)) {
      if (tensor.external || tensor.data_field != 0) {
        return absl::InvalidArgumentError(
            StrCat("tensor '", tensor.name, "' of strings has other data"));
      }
    } else {
      PARAMD_RETURN_IF_ERROR(Place(tensor, is_initializer, *scope, &child));
    }
    AppendText(field, child, out);
    return absl::OkStatus();
  }

  // Decides where a tensor's data lives from now on: skeleton, checkpoint, both.
  absl::Status Place(const OnnxTensor& tensor, bool is_initializer, const Scope& scope,
                     std::string* child) {
    PARAMD_ASSIGN_OR_RETURN(CheckpointTensor resolved, ResolveOnnxTensor(tensor, 0));
    if (tensor.external) PARAMD_RETURN_IF_ERROR(OpenExternal(tensor, &resolved));
    const bool is_small = resolved.bytes <= limits_.inline_bytes_max;
    if (is_small && resolved.bytes > 0) {
      if (resolved.encoding != CheckpointTensor::Encoding::kInline) {
        std::string dense(resolved.bytes, '\0');
        PARAMD_RETURN_IF_ERROR(checkpoint_->ReadTensor(
            resolved, absl::MakeSpan(reinterpret_cast<std::byte*>(dense.data()), dense.size()),
            nullptr));
        resolved.inline_bytes = std::move(dense);
        resolved.encoding = CheckpointTensor::Encoding::kInline;
      }
      PARAMD_RETURN_IF_ERROR(Charge(resolved.bytes));
      AppendText(Field::kRawData, resolved.inline_bytes, child);
    }
    if (is_small && !is_initializer) return absl::OkStatus();
    if (!is_small) {
      std::string entry;
      AppendText(1, "location", &entry);
      AppendText(2, kOnnxStrippedLocation, &entry);
      AppendText(Field::kExternalData, entry, child);
      AppendNumber(Field::kDataLocation, 1, child);
    }
    std::string entry;
    AppendText(1, kOnnxTensorIndexKey, &entry);
    AppendText(2, StrCat(tensors_.size()), &entry);
    AppendText(Field::kMetadataProps, entry, child);
    if (is_initializer) {
      resolved.name = StrCat(scope.prefix, tensor.name);
    } else {
      unnamed_.insert(tensors_.size());
      // Stays for attributes outside of nodes: defaults of functions.
      resolved.name = StrCat(scope.prefix, "attribute", tensors_.size());
    }
    tensors_.push_back(std::move(resolved));
    return absl::OkStatus();
  }

  absl::Status OpenExternal(const OnnxTensor& tensor, CheckpointTensor* resolved) {
    const std::string where = StrCat("external data of tensor '", tensor.name, "'");
    if (folder_ == nullptr) {
      return absl::InvalidArgumentError(StrCat(where, ": there is no folder to look in"));
    }
    if (!tensor.location.has_value()) {
      return absl::InvalidArgumentError(StrCat(where, " has no location"));
    }
    uint64_t length = resolved->bytes;
    if (tensor.external_offset.has_value()) {
      PARAMD_ASSIGN_OR_RETURN(resolved->offset,
                              ParseExternalNumber(*tensor.external_offset, "offset"));
    } else {
      resolved->offset = 0;
    }
    if (tensor.external_length.has_value()) {
      PARAMD_ASSIGN_OR_RETURN(length, ParseExternalNumber(*tensor.external_length, "length"));
    }
    if (length != resolved->bytes) {
      return absl::InvalidArgumentError(
          StrCat(where, " has ", length, " bytes, but its type and shape take ", resolved->bytes));
    }
    const auto known = external_files_.find(*tensor.location);
    if (known != external_files_.end()) {
      resolved->file = known->second;
    } else {
      if (external_files_.size() >= limits_.external_files_max) {
        return absl::InvalidArgumentError(
            StrCat("more than ", limits_.external_files_max, " files of external data"));
      }
      absl::StatusOr<std::unique_ptr<FileSource>> file =
          folder_->OpenFile(*tensor.location, {.refuse_hard_links = true});
      if (!file.ok()) {
        return absl::Status(file.status().code(),
                            ToAbsl(StrCat(where, ": ", FromAbsl(file.status().message()))));
      }
      resolved->file = checkpoint_->AddFile(*std::move(file));
      external_files_.emplace(*tensor.location, resolved->file);
    }
    const FileSource& file = *checkpoint_->files()[resolved->file];
    if (!RangeIsInside(resolved->offset, resolved->bytes, file.size())) {
      return absl::InvalidArgumentError(StrCat(where, " is ", resolved->bytes, " bytes at offset ",
                                               resolved->offset, ", but its file has ",
                                               file.size()));
    }
    return absl::OkStatus();
  }

  Checkpoint* const checkpoint_;
  const Directory* const folder_;
  const OnnxLimits limits_;
  FileInput input_;
  google::protobuf::io::CodedInputStream in_;

  std::vector<CheckpointTensor> tensors_;
  absl::flat_hash_set<size_t> unnamed_;  // Attribute tensors of the node being read.
  absl::flat_hash_map<std::string, uint32_t> external_files_;
  uint64_t skeleton_bytes_ = 0;
  uint64_t decoded_bytes_ = 0;
  bool has_graph_ = false;
  uint32_t nodes_ = 0;
  uint32_t tensor_count_ = 0;
  uint32_t subgraphs_ = 0;
  uint32_t functions_ = 0;
};

}  // namespace

absl::StatusOr<OnnxFile> ReadOnnx(std::unique_ptr<FileSource> model, const Directory* folder,
                                  const OnnxLimits& limits) {
  // Protobuf's own limit for one message; larger models have external data.
  constexpr auto kModelBytesMax = static_cast<uint64_t>(std::numeric_limits<int32_t>::max());
  if (model->size() > kModelBytesMax) {
    return absl::InvalidArgumentError(StrCat(
        "'", model->name(), "' has ", model->size(), " bytes; a protobuf message has at most ",
        kModelBytesMax, ": large tensors belong into external data"));
  }
  OnnxFile result;
  result.checkpoint = std::make_unique<Checkpoint>();
  result.checkpoint->AddFile(std::move(model));
  Skim skim(result.checkpoint.get(), folder, limits);
  PARAMD_RETURN_IF_ERROR(skim.Run(&result.skeleton));
  PARAMD_RETURN_IF_ERROR(result.checkpoint->CheckUnchanged());
  return result;
}

}  // namespace paramd
