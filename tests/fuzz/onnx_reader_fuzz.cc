// Any bytes as an ONNX file: the skim refuses, or finds every tensor's bytes
// and leaves a skeleton that is itself a file it accepts.
#include "runtime/checkpoints/onnx_reader.h"
#include "tests/fuzz/fuzz_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // Small limits, so that the fuzzer reaches them.
  const paramd::OnnxLimits limits{.skeleton_bytes_max = 1 << 20,
                                  .inline_bytes_max = 16,
                                  .decoded_bytes_max = 1 << 12,
                                  .nodes_max = 100,
                                  .tensors_max = 100,
                                  .graph_depth_max = 4};
  const auto file = paramd::ReadOnnx(paramd::FuzzFile(data, size), nullptr, limits);
  if (!file.ok()) return 0;
  if (file->skeleton.size() > 2 * limits.skeleton_bytes_max) std::abort();
  paramd::FuzzReadAll(*file->checkpoint, size);
  return 0;
}
