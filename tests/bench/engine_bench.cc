// engine_bench: the engine alone, no daemon, under the hand of engine_vs_peers.py.
//
//   engine_bench MODEL.onnx INPUT.npy[,INPUT.npy...] OUTPUT.npy PRECISION THREADS
//
// Inputs are in the model's order. Loads the model, answers once into OUTPUT.npy and prints
//   ready LOAD_SECONDS FIRST_ANSWER_SECONDS RESIDENT_BYTES_BEFORE RESIDENT_BYTES_AFTER
// Then each line of standard input is a number of answers to compute, and the
// line that comes back is how many seconds they took. It ends with its input.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "runtime/backends/onednn/onednn_threads.h"
#include "runtime/base/clock.h"
#include "runtime/base/directory.h"
#include "runtime/base/status_macros.h"
#include "runtime/graph/arena.h"
#include "runtime/loading/model_loader.h"
#include "runtime/params/parameter_store.h"
#include "runtime/tensor/npy.h"

namespace paramd {
namespace {

constexpr uint64_t kStoreBytes = uint64_t{8} << 30;

uint64_t ResidentBytes() {
  std::ifstream statm("/proc/self/statm");
  uint64_t size = 0, resident = 0;
  statm >> size >> resident;
  return resident * 4096;
}

absl::Status Answer(Session* session, absl::Span<const Shape> shapes,
                    const std::vector<Tensor>& inputs) {
  PARAMD_RETURN_IF_ERROR(session->Prepare(shapes));
  for (size_t i = 0; i < inputs.size(); ++i) {
    const MutableTensorView place = session->input(static_cast<int>(i));
    std::memcpy(place.data, inputs[i].view().data, place.bytes());
  }
  return session->Run();
}

absl::Status Run(const std::string& model_path, const std::string& input_path,
                 const std::string& output_path, const std::string& precision, int threads) {
  SetKernelThreads(threads);
  std::vector<Tensor> inputs;
  std::vector<Shape> shapes;
  for (const std::string& path : std::vector<std::string>(absl::StrSplit(input_path, ','))) {
    PARAMD_ASSIGN_OR_RETURN(Tensor input, ReadNpyFile(path));
    shapes.push_back(input.shape());
    inputs.push_back(std::move(input));
  }
  const size_t slash = model_path.rfind('/');
  const std::string folder_path = slash == std::string::npos ? "." : model_path.substr(0, slash);
  PARAMD_ASSIGN_OR_RETURN(const std::unique_ptr<Directory> folder, Directory::Open(folder_path));
  PARAMD_ASSIGN_OR_RETURN(const std::unique_ptr<ParameterStore> store,
                          ParameterStore::Create({.capacity_bytes = kStoreBytes}));
  PARAMD_ASSIGN_OR_RETURN(const std::unique_ptr<Arena> arena, Arena::Create(kArenaAddressBytes));

  const uint64_t resident_before = ResidentBytes();
  const absl::Time begin = absl::Now();
  PARAMD_ASSIGN_OR_RETURN(
      ModelLoadResult loaded,
      LoadModel(*folder, model_path.substr(slash + 1), store.get(), Clock::Real(),
                {.label = "bench/1",
                 .precision = precision,
                 .threads = threads,
                 .loader_threads = threads,
                 .max_batch_size = shapes[0].rank() == 0 ? 0 : shapes[0].dim(0)}));
  const absl::Duration load = absl::Now() - begin;
  if (!loaded.model->IsCompiled(shapes)) PARAMD_RETURN_IF_ERROR(loaded.model->Compile(shapes));
  const std::unique_ptr<Session> session = loaded.model->NewSession(arena.get());
  PARAMD_RETURN_IF_ERROR(Answer(session.get(), shapes, inputs));
  const absl::Duration first_answer = absl::Now() - begin;
  PARAMD_ASSIGN_OR_RETURN(const std::string npy, ToNpy(session->output(0)));
  std::ofstream(output_path, std::ios::binary) << npy;

  std::printf("ready %.6f %.6f %lu %lu\n", absl::ToDoubleSeconds(load),
              absl::ToDoubleSeconds(first_answer), static_cast<unsigned long>(resident_before),
              static_cast<unsigned long>(ResidentBytes()));
  std::fflush(stdout);
  for (int64_t answers = 0; std::cin >> answers;) {
    const absl::Time start = absl::Now();
    for (int64_t i = 0; i < answers; ++i) {
      PARAMD_RETURN_IF_ERROR(Answer(session.get(), shapes, inputs));
    }
    std::printf("%.9f\n", absl::ToDoubleSeconds(absl::Now() - start));
    std::fflush(stdout);
  }
  return absl::OkStatus();
}

}  // namespace
}  // namespace paramd

int main(int argc, char** argv) {
  if (argc != 6) {
    std::fprintf(stderr, "engine_bench MODEL.onnx INPUT.npy[,...] OUTPUT.npy PRECISION THREADS\n");
    return 2;
  }
  const absl::Status status = paramd::Run(argv[1], argv[2], argv[3], argv[4], std::atoi(argv[5]));
  if (status.ok()) return EXIT_SUCCESS;
  std::fprintf(stderr, "engine_bench: %s\n", std::string(status.message()).c_str());
  return EXIT_FAILURE;
}
