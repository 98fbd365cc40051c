#include "server/batching/batch_call.h"

#include "server/batching/assembled_outputs.h"

namespace paramd {

uint64_t NamedTensor::bytes() const {
  uint64_t sum = 0;
  for (const absl::Span<const std::byte> fragment : fragments) sum += fragment.size();
  for (const std::string& text : strings) sum += text.size();
  return sum;
}

BatchCall::BatchCall() = default;
BatchCall::~BatchCall() = default;

}  // namespace paramd
