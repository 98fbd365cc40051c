// The request codec against arbitrary bytes: an error or a well-formed request,
// and an answer made of what was decoded can be written. The first byte says
// into how many pieces the rest is cut.
#include <cstddef>
#include <cstdint>
#include <vector>

#include "server/rpc/tensor_codec.h"
#include "tests/support/fragmented_message.h"

namespace {

void Answer(const std::vector<paramd::NamedOutput>& outputs, bool typed) {
  std::vector<std::byte> encoded;
  paramd::EncodePredictResponse({.model = "m", .typed_outputs = typed}, outputs,
                                [&](uint64_t bytes) {
                                  encoded.resize(bytes);
                                  return encoded.data();
                                });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const paramd::FragmentedMessage message({reinterpret_cast<const char*>(data + 1), size - 1},
                                          /*piece=*/1 + size_t{data[0]});
  const paramd::CodecLimits limits = {.typed_bytes_max = 1 << 20};
  const auto request = paramd::DecodePredictRequest(message.fragments(), limits);
  if (!request.ok()) return 0;
  for (const paramd::WireTensor& wire : request->inputs) {
    const auto raw = paramd::CheckRaw(wire, paramd::DType::kF32);
    if (!raw.ok() || *raw) continue;
    const auto tensor = paramd::DecodeTyped(wire, paramd::DType::kF32, limits);
    if (tensor.ok()) Answer({{wire.name, tensor->view()}}, request->typed_outputs);
  }
  return 0;
}
