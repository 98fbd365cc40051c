// KServe V2's request codec against arbitrary bytes: an error or a well-formed
// request, and an answer made of what was decoded can be written. The first byte
// says into how many pieces the rest is cut.
#include <cstddef>
#include <cstdint>
#include <vector>

#include "server/rpc/kserve/infer_codec.h"
#include "server/rpc/kserve/infer_types.h"
#include "tests/support/fragmented_message.h"

namespace {

void Answer(const paramd::InferRequest& request, const std::vector<paramd::InferOutput>& outputs,
            bool in_stream) {
  std::vector<std::byte> encoded;
  const auto allocate = [&](uint64_t bytes) {
    encoded.resize(bytes);
    return encoded.data();
  };
  paramd::EncodeInferResponse({.model = request.call.model,
                               .version = request.call.version.value_or(1),
                               .request_id = request.call.request_id,
                               .in_stream = in_stream},
                              outputs, allocate);
  paramd::EncodeStreamError("error", request.call.model, request.call.request_id, allocate);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const paramd::FragmentedMessage message({reinterpret_cast<const char*>(data + 1), size - 1},
                                          /*piece=*/1 + size_t{data[0]});
  const paramd::CodecLimits limits = {.typed_bytes_max = 1 << 20};
  const auto request = paramd::DecodeInferRequest(message.fragments(), limits);
  if (!request.ok()) return 0;
  for (size_t i = 0; i < request->call.inputs.size(); ++i) {
    const paramd::WireTensor& wire = request->call.inputs[i];
    if (request->input_places[i].used()) continue;
    const auto raw = paramd::CheckRaw(wire, wire.dtype);
    if (!raw.ok() || *raw) continue;
    const auto tensor = paramd::DecodeTyped(wire, wire.dtype, limits);
    if (tensor.ok()) Answer(*request, {{wire.name, tensor->view()}}, i % 2 == 0);
  }
  return 0;
}
