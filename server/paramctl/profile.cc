// paramctl profile: where a model's time goes, by operator and backend, measured
// here and without a daemon.
#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include "absl/strings/str_format.h"
#include "runtime/backends/onednn/onednn_threads.h"
#include "runtime/base/clock.h"
#include "runtime/base/directory.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/graph/arena.h"
#include "runtime/graph/op_profile.h"
#include "runtime/loading/model_loader.h"
#include "runtime/params/parameter_store.h"
#include "runtime/tensor/npy.h"
#include "server/paramctl/command.h"
#include "server/paramctl/inputs.h"
#include "server/paramctl/text_table.h"

namespace paramd {
namespace {

constexpr uint64_t kStoreBytes = uint64_t{64} << 30;

struct ProfileOptions {
  std::string path;
  std::vector<std::string> inputs, shapes, values;
  std::string precision = "f32";
  int threads = 1;
  int64_t rows = 1;
  int runs = 100;
  uint64_t seed = 1;
  bool nodes = false;
};

// Lines that are shown as one: an operator's on one backend, or a node.
struct Row {
  std::string name, type, backend, implementation;
  int64_t calls = 0;
  double seconds = 0;  // Of one run of the model.
};

struct Profile {
  std::vector<Row> rows;     // The longest first.
  double run_seconds = 0;    // Mean of a run, unprofiled.
  double nodes_seconds = 0;  // Sum of the rows.
  std::vector<std::string> inputs;
};

absl::Status SplitPair(std::string_view option, const std::string& text, std::string* name,
                       std::string* value) {
  const size_t equals = text.rfind('=');
  if (equals == std::string::npos || equals == 0 || equals + 1 == text.size()) {
    return absl::InvalidArgumentError(StrCat(option, " takes NAME=VALUE, not '", text, "'"));
  }
  *name = text.substr(0, equals);
  *value = text.substr(equals + 1);
  return absl::OkStatus();
}

// "1x3x224x224".
absl::StatusOr<Shape> ParseShape(const std::string& text) {
  Shape shape;
  const char *at = text.data(), *const end = at + text.size();
  while (at < end) {
    int64_t dim = 0;
    const auto [next, error] = std::from_chars(at, end, dim);
    if (error != std::errc() || dim < 0 || (next < end && *next != 'x')) {
      return absl::InvalidArgumentError(StrCat("'", text, "' is no shape like 1x3x224x224"));
    }
    shape.push_back(dim);
    at = next + (next < end ? 1 : 0);
  }
  return shape;
}

absl::Status FillWith(double value, const MutableTensorView& view) {
  for (int64_t i = 0; i < view.shape.elements(); ++i) {
    switch (view.dtype) {
      case DType::kF32:
        static_cast<float*>(view.data)[i] = static_cast<float>(value);
        break;
      case DType::kI64:
        static_cast<int64_t*>(view.data)[i] = static_cast<int64_t>(value);
        break;
      case DType::kI32:
        static_cast<int32_t*>(view.data)[i] = static_cast<int32_t>(value);
        break;
      default:
        return absl::UnimplementedError(
            StrCat("--value for ", DTypeName(view.dtype), "; use --input"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Tensor>> MakeInputs(const ModelDescription& description,
                                               const ProfileOptions& options) {
  std::map<std::string, std::string> files, shapes, values;
  for (const auto& [option, list, map] : {std::tuple{"--input", &options.inputs, &files},
                                          {"--shape", &options.shapes, &shapes},
                                          {"--value", &options.values, &values}}) {
    for (const std::string& text : *list) {
      std::string name, value;
      PARAMD_RETURN_IF_ERROR(SplitPair(option, text, &name, &value));
      const bool known = std::any_of(description.inputs.begin(), description.inputs.end(),
                                     [&](const TensorSpec& input) { return input.name == name; });
      if (!known) return absl::NotFoundError(StrCat("the model has no input '", name, "'"));
      (*map)[name] = value;
    }
  }
  std::mt19937_64 random(options.seed);
  std::vector<Tensor> tensors;
  for (const TensorSpec& input : description.inputs) {
    if (const auto file = files.find(input.name); file != files.end()) {
      PARAMD_ASSIGN_OR_RETURN(Tensor tensor, ReadNpyFile(file->second));
      tensors.push_back(std::move(tensor));
      continue;
    }
    Shape shape;
    if (const auto given = shapes.find(input.name); given != shapes.end()) {
      PARAMD_ASSIGN_OR_RETURN(shape, ParseShape(given->second));
    } else {
      for (const Dim& dim : input.shape) {
        shape.push_back(dim.known() ? dim.size : shape.rank() == 0 ? options.rows : 1);
      }
    }
    PARAMD_RETURN_IF_ERROR(CheckedBytes(input.dtype, shape.dims()).status());
    Tensor tensor(input.dtype, shape);
    if (const auto value = values.find(input.name); value != values.end()) {
      PARAMD_RETURN_IF_ERROR(FillWith(std::atof(value->second.c_str()), tensor.view()));
    } else {
      PARAMD_RETURN_IF_ERROR(FillRandom(&random, tensor.view()));
    }
    tensors.push_back(std::move(tensor));
  }
  return tensors;
}

absl::Status RunOnce(Session* session, absl::Span<const Shape> shapes,
                     absl::Span<const Tensor> inputs) {
  PARAMD_RETURN_IF_ERROR(session->Prepare(shapes));
  for (size_t i = 0; i < inputs.size(); ++i) {
    const MutableTensorView place = session->input(static_cast<int>(i));
    if (place.bytes() > 0) std::memcpy(place.data, inputs[i].view().data, place.bytes());
  }
  return session->Run();
}

std::vector<Row> RowsOf(const OpProfile& profile, const ProfileOptions& options) {
  std::map<std::tuple<std::string, DType, std::string, std::string>, Row> by_key;
  for (const OpProfile::Line& line : profile.lines()) {
    if (line.runs == 0) continue;
    Row& row = by_key[{options.nodes ? StrCat(line.node, "\t", line.spec) : line.op, line.dtype,
                       line.backend, line.implementation}];
    row.name = options.nodes ? (line.spec.empty() ? StrCat(line.op, " ", line.node)
                                                  : StrCat(line.node, ": ", line.spec))
                             : line.op;
    row.type = line.dtype == DType::kUndefined ? "" : std::string(DTypeName(line.dtype));
    row.backend = line.backend;
    row.implementation = line.implementation;
    row.calls += line.runs;
    row.seconds += absl::ToDoubleSeconds(line.time) / options.runs;
  }
  std::vector<Row> rows;
  for (auto& [key, row] : by_key) rows.push_back(std::move(row));
  std::stable_sort(rows.begin(), rows.end(),
                   [](const Row& a, const Row& b) { return a.seconds > b.seconds; });
  return rows;
}

absl::StatusOr<Profile> Measure(const ProfileOptions& options) {
  const std::filesystem::path file(options.path);
  const std::string parent = file.parent_path().empty() ? "." : file.parent_path().string();
  PARAMD_ASSIGN_OR_RETURN(const std::unique_ptr<Directory> folder, Directory::Open(parent));
  PARAMD_ASSIGN_OR_RETURN(const std::unique_ptr<ParameterStore> store,
                          ParameterStore::Create({.capacity_bytes = kStoreBytes}));
  PARAMD_ASSIGN_OR_RETURN(const std::unique_ptr<Arena> arena, Arena::Create(kArenaAddressBytes));
  SetKernelThreads(options.threads);
  PARAMD_ASSIGN_OR_RETURN(const ModelLoadResult loaded,
                          LoadModel(*folder, file.filename().string(), store.get(), Clock::Real(),
                                    {.label = "profile/1",
                                     .precision = options.precision,
                                     .threads = options.threads,
                                     .max_batch_size = 0}));
  const Model& model = *loaded.model;
  PARAMD_ASSIGN_OR_RETURN(const std::vector<Tensor> inputs,
                          MakeInputs(model.description(), options));
  std::vector<TensorView> views;
  std::vector<Shape> shapes;
  Profile result;
  for (const Tensor& input : inputs) {
    views.push_back(input.view());
    shapes.push_back(input.shape());
    result.inputs.push_back(StrCat(DTypeName(input.dtype()), input.shape().ToString()));
  }
  PARAMD_RETURN_IF_ERROR(model.CheckCall(views));
  if (!model.IsCompiled(shapes)) PARAMD_RETURN_IF_ERROR(model.Compile(shapes));
  const std::unique_ptr<Session> session = model.NewSession(arena.get());
  OpProfile profile(Clock::Real());
  // The first runs meet cold caches and an interpreter that still compiles.
  const int warm_up = std::max(2, options.runs / 10);
  for (int i = 0; i < warm_up; ++i) {
    PARAMD_RETURN_IF_ERROR(RunOnce(session.get(), shapes, inputs));
  }
  // Runs with and without the profile take turns, so that both see the same machine.
  absl::Duration plain;
  for (int i = 0; i < options.runs; ++i) {
    session->set_profile(nullptr);
    const absl::Time begin = Clock::Real()->Now();
    PARAMD_RETURN_IF_ERROR(RunOnce(session.get(), shapes, inputs));
    plain += Clock::Real()->Now() - begin;
    session->set_profile(&profile);
    PARAMD_RETURN_IF_ERROR(RunOnce(session.get(), shapes, inputs));
  }
  result.rows = RowsOf(profile, options);
  result.run_seconds = absl::ToDoubleSeconds(plain) / options.runs;
  for (const Row& row : result.rows) result.nodes_seconds += row.seconds;
  return result;
}

double Share(const Row& row, const Profile& profile) {
  return profile.nodes_seconds > 0 ? 100 * row.seconds / profile.nodes_seconds : 0;
}

void PrintProfileTable(const Profile& profile, const ProfileOptions& options) {
  TextTable table({options.nodes ? "NODE" : "OPERATOR", "TYPE", "BACKEND", "IMPLEMENTATION",
                   "CALLS>", "TIME>", "SHARE>"});
  for (const Row& row : profile.rows) {
    table.Add({row.name, row.type, row.backend, row.implementation,
               StrCat(row.calls / options.runs), absl::StrFormat("%.1f us", row.seconds * 1e6),
               absl::StrFormat("%.1f %%", Share(row, profile))});
  }
  std::fputs(table.ToString().c_str(), stdout);
  std::string inputs;
  for (const std::string& input : profile.inputs) {
    StrAppend(&inputs, inputs.empty() ? "" : ", ", input);
  }
  std::printf("\n%s in %s with %d thread%s on %s: nodes %.1f us, a run without profile %.1f us\n",
              options.path.c_str(), options.precision.c_str(), options.threads,
              options.threads == 1 ? "" : "s", inputs.c_str(), profile.nodes_seconds * 1e6,
              profile.run_seconds * 1e6);
}

void PrintProfileJson(const Profile& profile, const ProfileOptions& options) {
  nlohmann::ordered_json object = {{"model", options.path},
                                   {"precision", options.precision},
                                   {"threads", options.threads},
                                   {"inputs", profile.inputs},
                                   {"run_seconds", profile.run_seconds},
                                   {"nodes_seconds", profile.nodes_seconds},
                                   {"rows", nlohmann::ordered_json::array()}};
  for (const Row& row : profile.rows) {
    object["rows"].push_back({{options.nodes ? "node" : "operator", row.name},
                              {"type", row.type},
                              {"backend", row.backend},
                              {"implementation", row.implementation},
                              {"calls", row.calls / options.runs},
                              {"seconds", row.seconds},
                              {"share_percent", Share(row, profile)}});
  }
  std::puts(object.dump(2, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
}

absl::Status Run(const GlobalOptions& options, const ProfileOptions& profile_options) {
  PARAMD_ASSIGN_OR_RETURN(const Profile profile, Measure(profile_options));
  options.json ? PrintProfileJson(profile, profile_options)
               : PrintProfileTable(profile, profile_options);
  return absl::OkStatus();
}

}  // namespace

void AddProfileCommand(CLI::App* app, const GlobalOptions* options, Work* work) {
  auto profile = std::make_shared<ProfileOptions>();
  CLI::App* command = app->add_subcommand(
      "profile", "Show where a model file's time goes, by operator and backend, without a daemon");
  command->add_option("path", profile->path, "The model file")->required();
  command->add_option("--shape", profile->shapes,
                      "NAME=1x3x224x224: an input's shape; random values");
  command->add_option("--input", profile->inputs, "NAME=FILE.npy: an input's values");
  command->add_option("--value", profile->values, "NAME=NUMBER: everywhere in that input");
  command->add_option("--rows", profile->rows, "First dimension where it is open and not given")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->add_option("--precision", profile->precision, "f32 or bf16")
      ->check(CLI::IsMember({"f32", "bf16"}))
      ->capture_default_str();
  command->add_option("--threads", profile->threads, "Threads of one run")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  command->add_option("--runs", profile->runs, "Runs that are counted")
      ->check(CLI::Range(1, 1000000))
      ->capture_default_str();
  command->add_option("--seed", profile->seed, "Of the random values")->capture_default_str();
  command->add_flag("--nodes", profile->nodes, "One line a node instead of one an operator");
  command->footer(
      "Times are means of a run. The clock is read around every node, which adds about 50 ns "
      "each.\n"
      "\n"
      "  paramctl profile model.onnx --shape x=1x3x640x640\n"
      "  paramctl profile bert.onnx --shape input_ids=8x128 --shape attention_mask=8x128 --nodes");
  command->callback([=] { *work = [=] { return Run(*options, *profile); }; });
}

}  // namespace paramd
