// ParameterCapacity: how many bytes of parameters the machine's table may hold.
// The keeper counts them; the worker does where there is none.
//
// Thread-safety: pure but for what it reads of the machine.
#ifndef PARAMD_SERVER_CONFIG_PARAMETER_CAPACITY_H_
#define PARAMD_SERVER_CONFIG_PARAMETER_CAPACITY_H_

#include <cstdint>

#include "server/config/server_config.h"

namespace paramd {

// As configured; else 80% of the memory that this process may use.
uint64_t ParameterCapacity(const ServerConfig& config);

}  // namespace paramd

#endif  // PARAMD_SERVER_CONFIG_PARAMETER_CAPACITY_H_
