// ModelRunner: a store, an arena and loaded models, for tests that load files
// and run them on one thread.
//
// Life: models must be dropped before the runner. Thread-safety: one thread.
#ifndef PARAMD_TESTS_SUPPORT_MODEL_RUNNER_H_
#define PARAMD_TESTS_SUPPORT_MODEL_RUNNER_H_

#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/base/clock.h"
#include "runtime/base/directory.h"
#include "runtime/base/status_macros.h"
#include "runtime/graph/arena.h"
#include "runtime/loading/model_loader.h"
#include "runtime/model.h"
#include "runtime/params/parameter_store.h"

namespace paramd {

// The shapes of some tensors.
inline std::vector<Shape> ShapesOf(absl::Span<const Tensor> tensors) {
  std::vector<Shape> shapes;
  for (const Tensor& tensor : tensors) shapes.push_back(tensor.shape());
  return shapes;
}

// Compiles for the inputs if need be, runs once, copies the outputs.
inline absl::StatusOr<std::vector<Tensor>> RunSession(const Model& model, Session& session,
                                                      absl::Span<const Tensor> inputs) {
  const std::vector<Shape> shapes = ShapesOf(inputs);
  std::vector<TensorView> views;
  for (const Tensor& input : inputs) views.push_back(input.view());
  PARAMD_RETURN_IF_ERROR(model.CheckCall(views));
  PARAMD_RETURN_IF_ERROR(model.Compile(shapes));
  PARAMD_RETURN_IF_ERROR(session.Prepare(shapes));
  for (size_t i = 0; i < inputs.size(); ++i) {
    const TensorView from = inputs[i].view();
    if (from.bytes() > 0) {
      std::memcpy(session.input(static_cast<int>(i)).data, from.data, from.bytes());
    }
  }
  PARAMD_RETURN_IF_ERROR(session.Run());
  std::vector<Tensor> outputs;
  for (size_t i = 0; i < model.description().outputs.size(); ++i) {
    outputs.push_back(Tensor::CopyOf(session.output(static_cast<int>(i))));
  }
  return outputs;
}

inline absl::StatusOr<std::vector<Tensor>> RunModel(const Model& model,
                                                    absl::Span<const Tensor> inputs) {
  PARAMD_ASSIGN_OR_RETURN(const std::unique_ptr<Arena> arena, Arena::Create(uint64_t{1} << 36));
  const std::unique_ptr<Session> session = model.NewSession(arena.get());
  return RunSession(model, *session, inputs);
}

class ModelRunner {
 public:
  explicit ModelRunner(uint64_t capacity_bytes = uint64_t{1} << 32) {
    auto store = ParameterStore::Create({.capacity_bytes = capacity_bytes});
    if (store.ok()) store_ = *std::move(store);
  }

  ParameterStore& store() { return *store_; }

  absl::StatusOr<ModelLoadResult> LoadFile(const std::string& folder, const std::string& file,
                                           ModelLoadOptions options = {}) {
    PARAMD_ASSIGN_OR_RETURN(const std::unique_ptr<Directory> directory, Directory::Open(folder));
    if (options.label.empty()) options.label = "test/1";
    return LoadModel(*directory, file, store_.get(), Clock::Real(), options);
  }

 private:
  std::unique_ptr<ParameterStore> store_;
};

}  // namespace paramd

#endif  // PARAMD_TESTS_SUPPORT_MODEL_RUNNER_H_
