// OnednnBackend: Intel's oneDNN on the CPU, for the ops and layouts in which it
// has a tuned kernel; everything else it refuses with a reason.
//
// Convolutions and pooling run channels-last, matmul and friends plain; weights
// are packed once into a layout that every batch size can read. A compiled op
// keeps the spec's number of threads and runs with it, whatever its caller's
// setting (see onednn_threads.h).
//
// Life: the whole process.
// Thread-safety: thread-safe.
#ifndef PARAMD_RUNTIME_BACKENDS_ONEDNN_ONEDNN_BACKEND_H_
#define PARAMD_RUNTIME_BACKENDS_ONEDNN_ONEDNN_BACKEND_H_

#include "runtime/backends/backend.h"

namespace paramd {

const Backend& OnednnBackend();

}  // namespace paramd

#endif  // PARAMD_RUNTIME_BACKENDS_ONEDNN_ONEDNN_BACKEND_H_
