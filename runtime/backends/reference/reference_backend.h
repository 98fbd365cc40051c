// The reference backend: plain loops, the definition of right. It accepts every
// op of op_specs.h in plain layout; the other backends are compared with it.
//
// Life: one for the process. Thread-safety: as backend.h says.
#ifndef PARAMD_RUNTIME_BACKENDS_REFERENCE_REFERENCE_BACKEND_H_
#define PARAMD_RUNTIME_BACKENDS_REFERENCE_REFERENCE_BACKEND_H_

#include "runtime/backends/backend.h"

namespace paramd {

const Backend& ReferenceBackend();

}  // namespace paramd

#endif  // PARAMD_RUNTIME_BACKENDS_REFERENCE_REFERENCE_BACKEND_H_
