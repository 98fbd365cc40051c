#include "tests/support/graph_testing.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cmath>
#include <limits>
#include <map>
#include <random>
#include <utility>

#include "absl/status/status.h"
#include "runtime/backends/backend_list.h"
#include "runtime/base/file_source.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/unique_fd.h"
#include "runtime/checkpoints/onnx_reader.h"
#include "runtime/graph/derivations.h"
#include "runtime/graph/evaluate_op.h"
#include "runtime/graph/interpreter.h"

namespace paramd {
namespace {

absl::StatusOr<std::unique_ptr<FileSource>> MemoryFile(std::string_view bytes) {
  UniqueFd fd(memfd_create("onnx_test", MFD_CLOEXEC));
  for (size_t at = 0; at < bytes.size();) {
    const ssize_t written = write(fd.get(), bytes.data() + at, bytes.size() - at);
    if (written <= 0) return absl::InternalError("cannot write the test's file");
    at += static_cast<size_t>(written);
  }
  return FileSource::FromFd(std::move(fd), "model.onnx");
}

// Brings constants as the loader does: read, held or derived.
class ConstantBytes {
 public:
  ConstantBytes(const Graph& graph, const Checkpoint& checkpoint)
      : graph_(graph), checkpoint_(checkpoint) {}

  absl::StatusOr<TensorView> Get(ConstantId id) {
    if (const auto it = made_.find(id); it != made_.end()) return it->second.view();
    const Constant& constant = graph_.constant(id);
    if (const Tensor* held = constant.inline_tensor()) return held->view();
    Tensor tensor(constant.dtype, constant.shape);
    if (const auto* index = std::get_if<int32_t>(&constant.source)) {
      const CheckpointTensor& from = checkpoint_.tensors()[static_cast<size_t>(*index)];
      PARAMD_RETURN_IF_ERROR(checkpoint_.ReadTensor(
          from, {static_cast<std::byte*>(tensor.view().data), from.bytes}, nullptr));
    } else {
      const auto& derivation = std::get<Derivation>(constant.source);
      std::vector<TensorView> parents;
      for (ConstantId parent : derivation.parents) {
        PARAMD_ASSIGN_OR_RETURN(TensorView view, Get(parent));
        parents.push_back(std::move(view));
      }
      PARAMD_RETURN_IF_ERROR(Derive(derivation.transform, parents, derivation.args, tensor.view()));
    }
    return made_.emplace(id, std::move(tensor)).first->second.view();
  }

 private:
  const Graph& graph_;
  const Checkpoint& checkpoint_;
  std::map<ConstantId, Tensor> made_;
};

}  // namespace

absl::StatusOr<TestModel> ImportBytes(std::string_view onnx_bytes, bool require_runnable) {
  PARAMD_ASSIGN_OR_RETURN(std::unique_ptr<FileSource> file, MemoryFile(onnx_bytes));
  PARAMD_ASSIGN_OR_RETURN(OnnxFile read, ReadOnnx(std::move(file), nullptr));
  OnnxImportOptions options;
  options.evaluate = ReferenceEvaluator();
  options.require_runnable = require_runnable;
  TestModel result;
  PARAMD_ASSIGN_OR_RETURN(result.model, ImportOnnx(read.skeleton, *read.checkpoint, options));
  result.checkpoint = std::move(read.checkpoint);
  return result;
}

absl::StatusOr<std::vector<Tensor>> RunGraph(const Graph& graph, const Checkpoint& checkpoint,
                                             absl::Span<const Tensor> inputs) {
  ConstantBytes bytes(graph, checkpoint);
  InterpreterOptions options;
  options.backends = AllBackends().last(1);  // The reference.
  options.constants = [&](const Graph&, ConstantId id) { return bytes.Get(id); };
  Interpreter interpreter(options);
  std::vector<RuntimeValue> values;
  for (const Tensor& input : inputs) values.push_back(RuntimeValue::Borrow(input.view()));
  PARAMD_ASSIGN_OR_RETURN(const std::vector<RuntimeValue> results, interpreter.Run(graph, values));
  std::vector<Tensor> outputs;
  for (const RuntimeValue& result : results) outputs.push_back(Tensor::CopyOf(result.view()));
  return outputs;
}

Tensor RandomTensor(const Shape& shape, uint32_t seed) {
  Tensor tensor(DType::kF32, shape);
  std::mt19937 random(seed);
  for (float& value : tensor.view().as<float>()) {
    value = static_cast<float>(random()) / 2147483648.0f - 1.0f;
  }
  return tensor;
}

double RelativeError(const TensorView& a, const TensorView& b) {
  if (a.dtype != DType::kF32 || b.dtype != DType::kF32 || !(a.shape == b.shape)) {
    return std::numeric_limits<double>::infinity();
  }
  double worst = 0, largest = 0;
  for (size_t i = 0; i < a.as<float>().size(); ++i) {
    const double left = a.as<float>()[i], right = b.as<float>()[i];
    worst = std::max(worst, std::abs(left - right));
    largest = std::max(largest, std::abs(right));
    if (std::isnan(left) != std::isnan(right)) return std::numeric_limits<double>::infinity();
  }
  return largest == 0 ? worst : worst / largest;
}

}  // namespace paramd
