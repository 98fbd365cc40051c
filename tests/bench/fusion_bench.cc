// fusion_bench: what graph passes are worth, under the hand of fusions_vs_peers.py.
//
//   fusion_bench MODEL.onnx THREADS PASS,PASS... INPUT.npy...
//
// Loads the model as it is served and once more without these passes; inputs in
// the model's order. Prints how far the two answers are apart, and then answers
// each line "with N" or "without N" by the seconds that N answers took.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
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

// A loaded model, ready for one shape.
struct Candidate {
  std::unique_ptr<Model> model;
  std::unique_ptr<Arena> arena;
  std::unique_ptr<Session> session;

  absl::Status Answer(const std::vector<Tensor>& inputs) {
    std::vector<Shape> shapes;
    for (const Tensor& input : inputs) shapes.push_back(input.shape());
    PARAMD_RETURN_IF_ERROR(session->Prepare(shapes));
    for (size_t i = 0; i < inputs.size(); ++i) {
      const MutableTensorView place = session->input(static_cast<int>(i));
      std::memcpy(place.data, inputs[i].view().data, place.bytes());
    }
    return session->Run();
  }
};

absl::StatusOr<Candidate> Load(const std::string& path, int threads,
                               std::vector<std::string> without, ParameterStore* store,
                               const std::vector<Tensor>& inputs) {
  const size_t slash = path.rfind('/');
  PARAMD_ASSIGN_OR_RETURN(
      const std::unique_ptr<Directory> folder,
      Directory::Open(slash == std::string::npos ? "." : path.substr(0, slash)));
  PARAMD_ASSIGN_OR_RETURN(ModelLoadResult loaded,
                          LoadModel(*folder, path.substr(slash + 1), store, Clock::Real(),
                                    {.label = without.empty() ? "with/1" : "without/1",
                                     .threads = threads,
                                     .max_batch_size = inputs[0].shape().dim(0),
                                     .disabled_passes = std::move(without)}));
  Candidate candidate{.model = std::move(loaded.model)};
  PARAMD_ASSIGN_OR_RETURN(candidate.arena, Arena::Create(kArenaAddressBytes));
  std::vector<Shape> shapes;
  for (const Tensor& input : inputs) shapes.push_back(input.shape());
  if (!candidate.model->IsCompiled(shapes)) {
    PARAMD_RETURN_IF_ERROR(candidate.model->Compile(shapes));
  }
  candidate.session = candidate.model->NewSession(candidate.arena.get());
  PARAMD_RETURN_IF_ERROR(candidate.Answer(inputs));
  return candidate;
}

// Over all outputs of f32, as a share of each one's largest number.
double Apart(const Candidate& a, const Candidate& b) {
  double apart = 0;
  for (size_t i = 0; i < a.model->description().outputs.size(); ++i) {
    const TensorView left = a.session->output(static_cast<int>(i));
    const TensorView right = b.session->output(static_cast<int>(i));
    if (left.dtype != DType::kF32) continue;  // Some models hand on their inputs.
    double worst = 0, largest = 0;
    for (size_t k = 0; k < right.as<float>().size(); ++k) {
      worst = std::max(worst, std::abs(static_cast<double>(left.as<float>()[k]) -
                                       static_cast<double>(right.as<float>()[k])));
      largest = std::max(largest, std::abs(static_cast<double>(right.as<float>()[k])));
    }
    apart = std::max(apart, worst / largest);
  }
  return apart;
}

absl::Status Run(int argc, char** argv) {
  const int threads = std::atoi(argv[2]);
  SetKernelThreads(threads);
  std::vector<Tensor> inputs;
  for (int i = 4; i < argc; ++i) {
    PARAMD_ASSIGN_OR_RETURN(Tensor input, ReadNpyFile(argv[i]));
    inputs.push_back(std::move(input));
  }
  PARAMD_ASSIGN_OR_RETURN(const std::unique_ptr<ParameterStore> store,
                          ParameterStore::Create({.capacity_bytes = kStoreBytes}));
  PARAMD_ASSIGN_OR_RETURN(Candidate with, Load(argv[1], threads, {}, store.get(), inputs));
  const std::vector<std::string> names = absl::StrSplit(argv[3], ',');
  PARAMD_ASSIGN_OR_RETURN(Candidate without, Load(argv[1], threads, names, store.get(), inputs));
  std::printf("ready %g\n", Apart(with, without));
  std::fflush(stdout);
  std::string which;
  for (int64_t answers = 0; std::cin >> which >> answers;) {
    Candidate& candidate = which == "with" ? with : without;
    const absl::Time start = absl::Now();
    for (int64_t i = 0; i < answers; ++i) PARAMD_RETURN_IF_ERROR(candidate.Answer(inputs));
    std::printf("%.9f\n", absl::ToDoubleSeconds(absl::Now() - start));
    std::fflush(stdout);
  }
  return absl::OkStatus();
}

}  // namespace
}  // namespace paramd

int main(int argc, char** argv) {
  if (argc < 5) {
    std::fprintf(stderr, "fusion_bench MODEL.onnx THREADS PASS,PASS... INPUT.npy...\n");
    return 2;
  }
  const absl::Status status = paramd::Run(argc, argv);
  if (status.ok()) return EXIT_SUCCESS;
  std::fprintf(stderr, "fusion_bench: %s\n", std::string(status.message()).c_str());
  return EXIT_FAILURE;
}
