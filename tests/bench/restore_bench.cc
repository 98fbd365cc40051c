// Where the time goes between a model file, or what is resident of it, and the
// first answer:
//
//   restore_bench ~/.cache/paramd/bench-models/alexnet/1 [precision] [rounds]
//
// Each round loads the file into an empty store, drops the store while the table
// keeps the segments (as the keeper does), restores, and runs one row.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "runtime/base/clock.h"
#include "runtime/base/directory.h"
#include "runtime/base/status_macros.h"
#include "runtime/graph/arena.h"
#include "runtime/loading/model_loader.h"
#include "runtime/params/parameter_store.h"
#include "runtime/params/segment_table.h"

namespace paramd {
namespace {

double Milliseconds(absl::Duration duration) { return absl::ToDoubleMilliseconds(duration); }

void PrintStages(const char* what, absl::Duration whole, const Model& model) {
  std::printf("%-8s %8.1f ms:", what, Milliseconds(whole));
  for (const auto& [stage, took] : model.description().load_stages) {
    std::printf(" %s %.1f", stage.c_str(), Milliseconds(took));
  }
  std::printf("\n");
}

// One row of zeros, twice: what the first answer costs, and the next.
absl::Status RunOneRow(const Model& model) {
  PARAMD_ASSIGN_OR_RETURN(const std::unique_ptr<Arena> arena, Arena::Create(uint64_t{1} << 36));
  const std::unique_ptr<Session> session = model.NewSession(arena.get());
  std::vector<Shape> shapes;
  for (const TensorSpec& spec : model.description().inputs) {
    Shape shape;
    for (const Dim& dim : spec.shape) shape.push_back(dim.known() ? dim.size : 1);
    shapes.push_back(std::move(shape));
  }
  const Clock& clock = *Clock::Real();
  for (const char* which : {"first", "second"}) {
    const absl::Time start = clock.Now();
    PARAMD_RETURN_IF_ERROR(session->Prepare(shapes));
    for (size_t i = 0; i < shapes.size(); ++i) {
      const MutableTensorView input = session->input(static_cast<int>(i));
      std::memset(input.data, 0, input.bytes());
    }
    PARAMD_RETURN_IF_ERROR(session->Run());
    std::printf("  %-6s run %6.1f ms\n", which, Milliseconds(clock.Now() - start));
  }
  return absl::OkStatus();
}

absl::Status Round(const std::string& folder, const ModelLoadOptions& options) {
  const Clock* const clock = Clock::Real();
  InProcessSegmentTable table({.capacity_bytes = uint64_t{16} << 30});
  PARAMD_ASSIGN_OR_RETURN(auto store, ParameterStore::Create({.table = &table}));
  PARAMD_ASSIGN_OR_RETURN(const auto directory, Directory::Open(folder));
  ModelRecord record;
  {
    const absl::Time start = clock->Now();
    PARAMD_ASSIGN_OR_RETURN(const ModelLoadResult loaded,
                            LoadModel(*directory, "model.onnx", store.get(), clock, options));
    PrintStages("load", clock->Now() - start, *loaded.model);
    PARAMD_RETURN_IF_ERROR(RunOneRow(*loaded.model));
    record = loaded.record;
    SegmentTable::Holding holding{.name = options.label};
    for (const ParameterRef& entry : loaded.model->parameters().entries()) {
      holding.keys.push_back(entry.key());
    }
    PARAMD_RETURN_IF_ERROR(table.Hold(std::move(holding)));
  }
  store.reset();
  PARAMD_ASSIGN_OR_RETURN(store, ParameterStore::Create({.table = &table}));
  {
    const absl::Time start = clock->Now();
    PARAMD_ASSIGN_OR_RETURN(const ModelLoadResult restored,
                            RestoreModel(record, store.get(), clock, options));
    PrintStages("restore", clock->Now() - start, *restored.model);
    PARAMD_RETURN_IF_ERROR(RunOneRow(*restored.model));
    std::vector<Shape> shapes;
    for (const TensorSpec& spec : restored.model->description().inputs) {
      Shape shape;
      for (const Dim& dim : spec.shape) shape.push_back(dim.known() ? dim.size : 1);
      shapes.push_back(std::move(shape));
    }
    for (const MeasuredBatch& size : record.warm) {
      for (Shape& shape : shapes) shape.set_dim(0, size.rows);
      const absl::Time compile = clock->Now();
      PARAMD_RETURN_IF_ERROR(restored.model->Compile(shapes));
      std::printf("  compile %3lld rows %6.1f ms\n", static_cast<long long>(size.rows),
                  Milliseconds(clock->Now() - compile));
    }
  }
  store.reset();
  return absl::OkStatus();
}

int Main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: restore_bench FOLDER [f32|bf16] [rounds]\n");
    return 2;
  }
  ModelLoadOptions options;
  options.label = "bench/1";
  options.threads = 2;
  options.loader_threads = 2;
  if (argc > 2) options.precision = argv[2];
  const int rounds = argc > 3 ? std::max(1, std::atoi(argv[3])) : 3;
  for (int i = 0; i < rounds; ++i) {
    if (const absl::Status status = Round(argv[1], options); !status.ok()) {
      std::fprintf(stderr, "%s\n", status.ToString().c_str());
      return 1;
    }
  }
  return 0;
}

}  // namespace
}  // namespace paramd

int main(int argc, char** argv) { return paramd::Main(argc, argv); }
