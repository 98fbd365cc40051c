#include "server/config/parameter_capacity.h"

#include <algorithm>

#include "runtime/base/cpu_budget.h"

namespace paramd {
namespace {

// Of the memory that the process may use, what parameters may take by default.
constexpr double kParameterShare = 0.8;

}  // namespace

uint64_t ParameterCapacity(const ServerConfig& config) {
  if (config.parameter_capacity_bytes != 0) return config.parameter_capacity_bytes;
  const MemoryBudget memory = ReadMemoryBudget();
  const uint64_t limit = std::min(memory.total_bytes, memory.limit_bytes.value_or(UINT64_MAX));
  return static_cast<uint64_t>(static_cast<double>(limit) * kParameterShare);
}

}  // namespace paramd
