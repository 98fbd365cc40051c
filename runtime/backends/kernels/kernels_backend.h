// KernelsBackend: paramd's own SIMD kernels. It takes the operations that no
// library has a primitive for (README.md lists them) and refuses all others.
//
// Life: static. Thread-safety: thread-safe.
#ifndef PARAMD_RUNTIME_BACKENDS_KERNELS_KERNELS_BACKEND_H_
#define PARAMD_RUNTIME_BACKENDS_KERNELS_KERNELS_BACKEND_H_

#include "runtime/backends/backend.h"

namespace paramd {

const Backend& KernelsBackend();

}  // namespace paramd

#endif  // PARAMD_RUNTIME_BACKENDS_KERNELS_KERNELS_BACKEND_H_
