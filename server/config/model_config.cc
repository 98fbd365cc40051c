#include "server/config/model_config.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/text_format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "proto/inference/model_config.pb.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"

namespace paramd {
namespace {

using google::protobuf::TextFormat;

constexpr int64_t kMicrosecondsMax = 86'400'000'000;  // A day.
constexpr int64_t kPriorityLevelsMax = 1'000'000;
constexpr size_t kPassNameMax = 128;
constexpr size_t kNamesMax = 10'000;  // Inputs, outputs, preferred sizes, versions: each.

// Fields of Triton's that model_config.proto does not declare, by message.
// Those that would change what a request means are refused, the others are
// named in a warning.
struct UndeclaredField {
  std::string_view message;
  std::string_view name;
  bool changes_answers;
};
constexpr UndeclaredField kUndeclaredFields[] = {
    {"inference.ModelConfig", "cc_model_filenames", false},
    {"inference.ModelConfig", "metric_tags", false},
    {"inference.ModelConfig", "optimization", false},
    {"inference.ModelConfig", "ensemble_scheduling", true},
    {"inference.ModelConfig", "model_warmup", false},
    {"inference.ModelConfig", "model_operations", true},
    {"inference.ModelConfig", "batch_input", true},
    {"inference.ModelConfig", "batch_output", true},
    {"inference.ModelConfig", "model_repository_agents", true},
    {"inference.ModelConfig", "response_cache", false},
    {"inference.ModelConfig", "runtime", false},
    {"inference.ModelConfig", "model_metrics", false},
    {"inference.ModelInstanceGroup", "rate_limiter", false},
    {"inference.ModelInstanceGroup", "secondary_devices", false},
    {"inference.ModelSequenceBatching.ControlInput", "control", true},
    {"inference.ModelInput", "reshape", true},
    {"inference.ModelOutput", "reshape", true},
};

// protobuf counts lines from 0, people from 1; -1 means that it does not know.
std::string AtLine(int line) { return line < 0 ? "" : StrCat("line ", line + 1, ": "); }

// Takes what TextFormat says about the file. Errors are kept, the first counts;
// warnings are fields that the .proto does not have.
class Complaints final : public google::protobuf::io::ErrorCollector {
 public:
  void AddError(int line, int /*column*/, const std::string& message) override {
    Fail(absl::InvalidArgumentError(AtLine(line) + Printable(message)));
  }

  // 3.21 says: Message type "inference.ModelConfig" has no field named "x".
  void AddWarning(int line, int /*column*/, const std::string& message) override {
    for (const UndeclaredField& field : kUndeclaredFields) {
      const std::string expected =
          StrCat("Message type \"", field.message, "\" has no field named \"", field.name, "\".");
      if (message != expected) continue;
      if (field.changes_answers) {
        Fail(absl::UnimplementedError(
            StrCat(AtLine(line), "'", field.name,
                   "' is not supported, and to ignore it would change the model's answers")));
      } else {
        unused.emplace_back(field.name);
      }
      return;
    }
    Fail(absl::InvalidArgumentError(AtLine(line) + Printable(message)));
  }

  absl::Status first_error;
  std::vector<std::string> unused;

 private:
  // The message quotes the file, which may hold anything.
  static std::string Printable(const std::string& message) {
    constexpr size_t kBytesMax = 400;
    return absl::CHexEscape(message.substr(0, kBytesMax));
  }
  void Fail(absl::Status status) {
    if (first_error.ok()) first_error = std::move(status);
  }
};

// A message with the lines its fields stand on.
class Located {
 public:
  Located(const google::protobuf::Message& message, const TextFormat::ParseInfoTree* tree,
          std::string path)
      : message_(message), tree_(tree), path_(std::move(path)) {}

  Located Nested(const std::string& field, int index = -1) const {
    const auto* const descriptor = message_.GetDescriptor()->FindFieldByName(field);
    const auto* const reflection = message_.GetReflection();
    const auto& nested = index < 0 ? reflection->GetMessage(message_, descriptor)
                                   : reflection->GetRepeatedMessage(message_, descriptor, index);
    return {nested, tree_ == nullptr ? nullptr : tree_->GetTreeForNested(descriptor, index),
            path_ + field + "."};
  }

  absl::Status Error(const std::string& field, std::string_view why, int index = -1) const {
    int line = -1;
    if (tree_ != nullptr) {
      const auto* const descriptor = message_.GetDescriptor()->FindFieldByName(field);
      // protobuf aborts when it is asked for a repeated field without an index,
      // and knows only the first line of a list in brackets.
      if (descriptor->is_repeated()) index = std::max(index, 0);
      line = tree_->GetLocation(descriptor, index).line;
      if (line < 0 && index > 0) line = tree_->GetLocation(descriptor, 0).line;
    }
    return absl::InvalidArgumentError(StrCat(AtLine(line), path_, field, ": ", why));
  }

  std::string path(std::string_view field) const { return StrCat(path_, field); }

 private:
  const google::protobuf::Message& message_;
  const TextFormat::ParseInfoTree* const tree_;
  const std::string path_;
};

DType DTypeFromConfig(inference::DataType type) {
  switch (type) {
    case inference::TYPE_BOOL:
      return DType::kBool;
    case inference::TYPE_UINT8:
      return DType::kU8;
    case inference::TYPE_UINT16:
      return DType::kU16;
    case inference::TYPE_UINT32:
      return DType::kU32;
    case inference::TYPE_UINT64:
      return DType::kU64;
    case inference::TYPE_INT8:
      return DType::kI8;
    case inference::TYPE_INT16:
      return DType::kI16;
    case inference::TYPE_INT32:
      return DType::kI32;
    case inference::TYPE_INT64:
      return DType::kI64;
    case inference::TYPE_FP16:
      return DType::kF16;
    case inference::TYPE_FP32:
      return DType::kF32;
    case inference::TYPE_FP64:
      return DType::kF64;
    case inference::TYPE_STRING:
      return DType::kString;
    case inference::TYPE_BF16:
      return DType::kBF16;
    default:
      return DType::kUndefined;
  }
}

// Of a file beside the versions: nothing that leads elsewhere.
bool IsPlainFileName(std::string_view name) {
  return name.size() <= 128 && name[0] != '.' && name.find('/') == std::string_view::npos &&
         name.find('\0') == std::string_view::npos;
}

absl::Status ReadIdentity(const inference::ModelConfig& file, const Located& at,
                          ModelConfig* config) {
  config->name = file.name();
  const std::string& backend = file.backend();
  if (!backend.empty() && backend != "onnxruntime" && backend != "paramd") {
    return absl::UnimplementedError(StrCat("backend '", absl::CHexEscape(backend.substr(0, 64)),
                                           "': paramd serves ONNX models (backend \"\", "
                                           "\"onnxruntime\" or \"paramd\")"));
  }
  const std::string& platform = file.platform();
  if (!platform.empty() && platform != "onnxruntime_onnx") {
    return absl::UnimplementedError(StrCat("platform '", absl::CHexEscape(platform.substr(0, 64)),
                                           "': paramd serves ONNX models (platform \"\" or "
                                           "\"onnxruntime_onnx\")"));
  }
  if (file.model_transaction_policy().decoupled()) {
    return absl::UnimplementedError(
        "model_transaction_policy.decoupled: one request has one answer here");
  }
  if (const std::string& name = file.default_model_filename(); !name.empty()) {
    if (!IsPlainFileName(name) || !name.ends_with(".onnx")) {
      return at.Error("default_model_filename", "expected a plain file name that ends in '.onnx'");
    }
    config->model_filename = name;
  }
  return absl::OkStatus();
}

absl::Status ReadVersionPolicy(const inference::ModelConfig& file, const Located& at,
                               ModelConfig* config) {
  VersionPolicy& policy = config->version_policy;
  const inference::ModelVersionPolicy& from = file.version_policy();
  switch (from.policy_choice_case()) {
    case inference::ModelVersionPolicy::kAll:
      policy.kind = VersionPolicy::Kind::kAll;
      break;
    case inference::ModelVersionPolicy::kSpecific: {
      policy.kind = VersionPolicy::Kind::kSpecific;
      const Located specific = at.Nested("version_policy").Nested("specific");
      const auto& versions = from.specific().versions();
      if (versions.empty()) return specific.Error("versions", "no version is named");
      if (static_cast<size_t>(versions.size()) > kNamesMax) {
        return specific.Error("versions", "too many versions");
      }
      for (int i = 0; i < versions.size(); ++i) {
        if (versions[i] < 1) return specific.Error("versions", "versions start at 1", i);
        policy.versions.push_back(versions[i]);
      }
      std::sort(policy.versions.begin(), policy.versions.end());
      policy.versions.erase(std::unique(policy.versions.begin(), policy.versions.end()),
                            policy.versions.end());
      break;
    }
    default:
      policy.kind = VersionPolicy::Kind::kLatest;
      policy.latest_count = std::max<int64_t>(1, from.latest().num_versions());
  }
  return absl::OkStatus();
}

absl::Status ReadQueuePolicy(const inference::ModelQueuePolicy& from, const Located& at,
                             ModelConfig* config) {
  if (from.default_timeout_microseconds() > static_cast<uint64_t>(kMicrosecondsMax)) {
    return at.Error("default_timeout_microseconds", "more than a day");
  }
  if (from.default_timeout_microseconds() > 0) {
    config->request_timeout_default =
        absl::Microseconds(static_cast<int64_t>(from.default_timeout_microseconds()));
  }
  config->queue_requests_max = from.max_queue_size();
  if (from.timeout_action() == inference::ModelQueuePolicy::DELAY) {
    config->unused_fields.push_back(at.path("timeout_action"));
  }
  if (from.allow_timeout_override()) {
    config->unused_fields.push_back(at.path("allow_timeout_override"));
  }
  return absl::OkStatus();
}

absl::Status ReadBatching(const inference::ModelConfig& file, const Located& at,
                          ModelConfig* config) {
  if (file.has_max_batch_size()) {
    if (file.max_batch_size() < 0 || file.max_batch_size() > kMaxBatchSizeMax) {
      return at.Error("max_batch_size",
                      StrCat(file.max_batch_size(), " is not 0 to ", kMaxBatchSizeMax));
    }
    config->max_batch_size = file.max_batch_size();
  }
  if (!file.has_dynamic_batching()) return absl::OkStatus();
  const inference::ModelDynamicBatching& from = file.dynamic_batching();
  const Located batching = at.Nested("dynamic_batching");
  if (static_cast<size_t>(from.preferred_batch_size_size()) > kNamesMax) {
    return batching.Error("preferred_batch_size", "too many sizes");
  }
  const int64_t size_max = config->max_batch_size.value_or(kMaxBatchSizeMax);
  for (int i = 0; i < from.preferred_batch_size_size(); ++i) {
    const int64_t size = from.preferred_batch_size(i);
    if (size < 1 || size > size_max) {
      return batching.Error("preferred_batch_size", StrCat(size, " is not 1 to ", size_max), i);
    }
    config->preferred_batch_sizes.push_back(size);
  }
  std::vector<int64_t>& sizes = config->preferred_batch_sizes;
  std::sort(sizes.begin(), sizes.end());
  sizes.erase(std::unique(sizes.begin(), sizes.end()), sizes.end());

  const int64_t delay_max = absl::ToInt64Microseconds(kQueueDelayMaxMax);
  if (from.max_queue_delay_microseconds() > static_cast<uint64_t>(delay_max)) {
    return batching.Error("max_queue_delay_microseconds",
                          StrCat(from.max_queue_delay_microseconds(), " is more than ", delay_max));
  }
  config->queue_delay_max =
      absl::Microseconds(static_cast<int64_t>(from.max_queue_delay_microseconds()));

  if (from.priority_levels() > static_cast<uint64_t>(kPriorityLevelsMax)) {
    return batching.Error("priority_levels", StrCat("more than ", kPriorityLevelsMax));
  }
  config->priority_levels = static_cast<int64_t>(from.priority_levels());
  if (from.default_priority_level() > from.priority_levels() ||
      (from.priority_levels() > 0 && from.default_priority_level() == 0)) {
    return batching.Error("default_priority_level",
                          StrCat(from.default_priority_level(), " is not 1 to priority_levels (",
                                 from.priority_levels(), ")"));
  }
  config->default_priority = static_cast<int64_t>(from.default_priority_level());
  if (from.preserve_ordering()) {
    config->unused_fields.push_back(batching.path("preserve_ordering"));
  }
  if (!from.priority_queue_policy().empty()) {
    config->unused_fields.push_back(batching.path("priority_queue_policy"));
  }
  if (!from.has_default_queue_policy()) return absl::OkStatus();
  return ReadQueuePolicy(from.default_queue_policy(), batching.Nested("default_queue_policy"),
                         config);
}

absl::Status ReadSequences(const inference::ModelConfig& file, const Located& at,
                           ModelConfig* config) {
  if (!file.has_sequence_batching()) return absl::OkStatus();
  const inference::ModelSequenceBatching& from = file.sequence_batching();
  const Located where = at.Nested("sequence_batching");
  if (!from.control_input().empty()) {
    return absl::UnimplementedError(
        "sequence_batching.control_input: inputs that the server makes up are not supported");
  }
  if (from.iterative_sequence()) {
    return absl::UnimplementedError("sequence_batching.iterative_sequence is not supported");
  }
  if (static_cast<size_t>(from.state_size()) > kNamesMax) return where.Error("state", "too many");
  for (int i = 0; i < from.state_size(); ++i) {
    const inference::ModelSequenceBatching::State& state = from.state(i);
    if (state.input_name().empty() || state.output_name().empty()) {
      return where.Error("state", "input_name and output_name are both needed", i);
    }
    for (const auto& initial : state.initial_state()) {
      if (!initial.data_file().empty()) {
        return absl::UnimplementedError(
            "sequence_batching.state.initial_state.data_file: states begin as zeros here");
      }
    }
    config->states.push_back({state.input_name(), state.output_name()});
  }
  if (from.max_sequence_idle_microseconds() > static_cast<uint64_t>(kMicrosecondsMax)) {
    return where.Error("max_sequence_idle_microseconds", "more than a day");
  }
  if (from.max_sequence_idle_microseconds() > 0) {
    config->sequence_idle_max =
        absl::Microseconds(static_cast<int64_t>(from.max_sequence_idle_microseconds()));
  }
  return absl::OkStatus();
}

absl::Status ReadInstances(const inference::ModelConfig& file, const Located& at,
                           ModelConfig* config) {
  for (int i = 0; i < file.instance_group_size(); ++i) {
    const inference::ModelInstanceGroup& group = file.instance_group(i);
    const Located where = at.Nested("instance_group", i);
    if (group.count() < 0 || group.count() > 4096) {
      return where.Error("count", StrCat(group.count(), " is not 0 to 4096"));
    }
    if (group.kind() == inference::ModelInstanceGroup::KIND_GPU) {
      config->unused_fields.push_back(where.path("kind"));
    }
    // A group that says no count sets no limit.
    config->concurrent_batches_max += group.count();
    if (!group.gpus().empty()) config->unused_fields.push_back(where.path("gpus"));
    if (!group.profile().empty()) config->unused_fields.push_back(where.path("profile"));
    if (group.passive()) config->unused_fields.push_back(where.path("passive"));
    if (!group.host_policy().empty()) config->unused_fields.push_back(where.path("host_policy"));
  }
  return absl::OkStatus();
}

absl::Status ReadLabelFilenames(const inference::ModelConfig& file, const Located& at,
                                ModelConfig* config) {
  for (int i = 0; i < file.output_size(); ++i) {
    const std::string& name = file.output(i).label_filename();
    if (name.empty()) continue;
    if (!IsPlainFileName(name)) {
      return at.Nested("output", i).Error("label_filename",
                                          "expected a plain file name, in the model's folder");
    }
    config->outputs[static_cast<size_t>(i)].label_filename = name;
  }
  return absl::OkStatus();
}

template <typename Tensors>
absl::Status ReadTensors(const Tensors& from, const std::string& field, const Located& at,
                         std::vector<DeclaredTensor>* tensors) {
  if (static_cast<size_t>(from.size()) > kNamesMax) return at.Error(field, "too many");
  for (int i = 0; i < from.size(); ++i) {
    const Located where = at.Nested(field, i);
    DeclaredTensor tensor;
    tensor.name = from[i].name();
    if (tensor.name.empty()) {
      return absl::InvalidArgumentError(StrCat(field, " number ", i + 1, " has no name"));
    }
    for (const DeclaredTensor& other : *tensors) {
      if (other.name == tensor.name) return where.Error("name", "is declared twice");
    }
    tensor.dtype = DTypeFromConfig(from[i].data_type());
    constexpr int kRankMax = 64;
    if (from[i].dims_size() > kRankMax) return where.Error("dims", "more than 64 dimensions");
    for (int d = 0; d < from[i].dims_size(); ++d) {
      const int64_t dim = from[i].dims(d);
      if (dim < 1 && dim != -1) {
        return where.Error("dims", StrCat(dim, " is neither a size nor -1 (any size)"), d);
      }
      tensor.dims.push_back(dim);
    }
    tensors->push_back(std::move(tensor));
  }
  return absl::OkStatus();
}

void ListUnusedTensorFields(const inference::ModelConfig& file, std::vector<std::string>* unused) {
  const auto add = [unused](bool is_set, std::string_view name) {
    if (is_set && std::find(unused->begin(), unused->end(), name) == unused->end()) {
      unused->emplace_back(name);
    }
  };
  for (const auto& input : file.input()) {
    add(input.format() != inference::ModelInput::FORMAT_NONE, "input.format");
    add(input.is_shape_tensor(), "input.is_shape_tensor");
    add(input.allow_ragged_batch(), "input.allow_ragged_batch");
    add(input.optional(), "input.optional");
    add(input.is_non_linear_format_io(), "input.is_non_linear_format_io");
  }
  for (const auto& output : file.output()) {
    add(output.is_shape_tensor(), "output.is_shape_tensor");
    add(output.is_non_linear_format_io(), "output.is_non_linear_format_io");
  }
}

absl::Status ReadParameters(const inference::ModelConfig& file, const Located& at,
                            ModelConfig* config) {
  // In the order of their names: the map has none, and warnings should be stable.
  std::map<std::string, std::string> parameters;
  for (const auto& [key, value] : file.parameters()) parameters[key] = value.string_value();
  for (const auto& [key, value] : parameters) {
    if (key == "precision") {
      config->precision = PrecisionFromName(value);
      if (!config->precision) {
        return at.Error("parameters",
                        StrCat("precision '", absl::CHexEscape(value.substr(0, 32)),
                               "' is neither f32 nor bf16"),
                        0);
      }
    } else if (key == "batch_invariant") {
      if (value != "true" && value != "false") {
        return at.Error("parameters", "batch_invariant is neither true nor false", 0);
      }
      config->batch_invariant = value == "true";
    } else if (key == "gate_tolerance" || key == "gate_latency_factor") {
      double number = 0;
      if (!absl::SimpleAtod(value, &number) || !std::isfinite(number) || number < 0) {
        return at.Error("parameters",
                        StrCat(key, " '", absl::CHexEscape(value.substr(0, 32)),
                               "' is not a number of at least 0"),
                        0);
      }
      (key == "gate_tolerance" ? config->gate_tolerance : config->gate_latency_factor) = number;
    } else if (key == "disabled_passes") {
      for (const absl::string_view piece : absl::StrSplit(value, ',')) {
        const std::string_view trimmed = FromAbsl(absl::StripAsciiWhitespace(piece));
        if (trimmed.empty() || trimmed.size() > kPassNameMax) {
          return at.Error("parameters", "disabled_passes is not a list of names with commas", 0);
        }
        if (config->disabled_passes.size() == kNamesMax) {
          return at.Error("parameters", "disabled_passes has too many names", 0);
        }
        config->disabled_passes.emplace_back(trimmed);
      }
    } else if (key == "swap_order") {
      if (value != "availability_first" && value != "memory_first") {
        return at.Error("parameters",
                        StrCat("swap_order '", absl::CHexEscape(value.substr(0, 32)),
                               "' is neither availability_first nor memory_first"),
                        0);
      }
      config->memory_first = value == "memory_first";
    } else {
      config->unused_fields.push_back(
          StrCat("parameters[\"", absl::CHexEscape(key.substr(0, 64)), "\"]"));
    }
  }
  return absl::OkStatus();
}

// The same text with a colon between a field's name and a list in brackets.
// Triton's own examples leave it out ("instance_group [ { ... } ]"), which
// protobuf accepts for fields that it knows, and not for those that it skips.
std::string WithColonsBeforeLists(std::string_view text) {
  std::string result;
  result.reserve(text.size() + 64);
  char before = ' ';  // The last character that is neither blank nor comment.
  size_t i = 0;
  const auto copy_until = [&](size_t end) {
    result.append(text.substr(i, end - i));
    i = end;
  };
  while (i < text.size()) {
    const char c = text[i];
    if (c == '#') {
      copy_until(std::min(text.find('\n', i), text.size()));
      continue;
    }
    if (c == '"' || c == '\'') {
      size_t end = i + 1;
      while (end < text.size() && text[end] != c && text[end] != '\n') {
        end += text[end] == '\\' ? 2 : 1;
      }
      copy_until(std::min(end + 1, text.size()));
      before = c;
      continue;
    }
    const bool after_name = (before >= 'a' && before <= 'z') || (before >= 'A' && before <= 'Z') ||
                            (before >= '0' && before <= '9') || before == '_';
    if (c == '[' && after_name) result.push_back(':');
    if (c != ' ' && c != '\t' && c != '\n' && c != '\r') before = c;
    copy_until(i + 1);
  }
  return result;
}

std::string PrintDims(const std::vector<int64_t>& dims) {
  return StrCat("[", absl::StrJoin(dims, ", "), "]");
}

absl::Status CheckDeclared(std::string_view kind, bool dims_leave_out_batch,
                           absl::Span<const DeclaredTensor> declared,
                           absl::Span<const DeclaredTensor> actual) {
  for (const DeclaredTensor& tensor : declared) {
    const auto it = std::find_if(actual.begin(), actual.end(), [&](const DeclaredTensor& other) {
      return other.name == tensor.name;
    });
    const auto bad = [&](std::string_view why) {
      return absl::InvalidArgumentError(
          StrCat("config.pbtxt declares ", kind, " '", absl::CHexEscape(tensor.name), "' ", why));
    };
    if (it == actual.end()) {
      std::vector<std::string> names;
      for (const DeclaredTensor& other : actual) names.push_back(other.name);
      return bad(StrCat("which the model does not have; it has ", absl::StrJoin(names, ", ")));
    }
    if (tensor.dtype != DType::kUndefined && tensor.dtype != it->dtype) {
      return bad(StrCat("as ", DTypeName(tensor.dtype), ", the model's is ", DTypeName(it->dtype)));
    }
    std::vector<int64_t> dims = it->dims;
    if (dims_leave_out_batch && !dims.empty()) dims.erase(dims.begin());
    if (tensor.dims.empty()) continue;  // Says nothing.
    bool fits = tensor.dims.size() == dims.size();
    for (size_t i = 0; fits && i < dims.size(); ++i) {
      fits = dims[i] == -1 || dims[i] == tensor.dims[i];
    }
    if (!fits) {
      return bad(
          StrCat("with dims ", PrintDims(tensor.dims), ", the model's are ", PrintDims(dims),
                 dims_leave_out_batch ? " without the batch dimension (max_batch_size > 0)" : ""));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ModelConfig> ParseModelConfig(std::string_view text) {
  if (text.size() > static_cast<size_t>(kModelConfigBytesMax)) {
    return absl::InvalidArgumentError(
        StrCat("the file has ", text.size(), " bytes, allowed are ", kModelConfigBytesMax));
  }
  inference::ModelConfig file;
  Complaints complaints;
  TextFormat::ParseInfoTree tree;
  TextFormat::Parser parser;
  parser.RecordErrorsTo(&complaints);
  parser.WriteLocationsTo(&tree);
  // Unknown fields arrive as warnings, of which Complaints makes errors unless
  // they are Triton's.
  parser.AllowUnknownField(true);
  parser.SetRecursionLimit(kModelConfigDepthMax);
  const bool parsed = parser.ParseFromString(WithColonsBeforeLists(text), &file);
  if (!complaints.first_error.ok()) return complaints.first_error;
  if (!parsed) return absl::InvalidArgumentError("the file is not a model configuration");

  ModelConfig config;
  config.unused_fields = std::move(complaints.unused);
  const Located at(file, &tree, "");
  PARAMD_RETURN_IF_ERROR(ReadIdentity(file, at, &config));
  PARAMD_RETURN_IF_ERROR(ReadVersionPolicy(file, at, &config));
  PARAMD_RETURN_IF_ERROR(ReadBatching(file, at, &config));
  PARAMD_RETURN_IF_ERROR(ReadSequences(file, at, &config));
  PARAMD_RETURN_IF_ERROR(ReadInstances(file, at, &config));
  PARAMD_RETURN_IF_ERROR(ReadTensors(file.input(), "input", at, &config.inputs));
  PARAMD_RETURN_IF_ERROR(ReadTensors(file.output(), "output", at, &config.outputs));
  PARAMD_RETURN_IF_ERROR(ReadLabelFilenames(file, at, &config));
  ListUnusedTensorFields(file, &config.unused_fields);
  PARAMD_RETURN_IF_ERROR(ReadParameters(file, at, &config));
  return config;
}

const DeclaredTensor* FindDeclaredOutput(const ModelConfig& config, std::string_view name) {
  for (const DeclaredTensor& output : config.outputs) {
    if (output.name == name) return &output;
  }
  return nullptr;
}

absl::Status CheckDeclarations(const ModelConfig& config, absl::Span<const DeclaredTensor> inputs,
                               absl::Span<const DeclaredTensor> outputs) {
  const bool dims_leave_out_batch = config.max_batch_size.value_or(0) > 0;
  PARAMD_RETURN_IF_ERROR(CheckDeclared("input", dims_leave_out_batch, config.inputs, inputs));
  PARAMD_RETURN_IF_ERROR(CheckDeclared("output", dims_leave_out_batch, config.outputs, outputs));
  for (const DeclaredState& state : config.states) {
    const auto find = [](absl::Span<const DeclaredTensor> tensors, const std::string& name) {
      return std::find_if(tensors.begin(), tensors.end(),
                          [&](const DeclaredTensor& tensor) { return tensor.name == name; });
    };
    const auto input = find(inputs, state.input);
    const auto output = find(outputs, state.output);
    if (input == inputs.end() || output == outputs.end() || input->dtype != output->dtype ||
        input->dtype == DType::kString) {
      return absl::InvalidArgumentError(StrCat("config.pbtxt declares a state from output '",
                                               absl::CHexEscape(state.output), "' to input '",
                                               absl::CHexEscape(state.input),
                                               "': the model has no such two of one numeric type"));
    }
  }
  return absl::OkStatus();
}

}  // namespace paramd
