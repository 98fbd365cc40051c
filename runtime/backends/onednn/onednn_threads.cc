#include "runtime/backends/onednn/onednn_threads.h"

#include <omp.h>

#include "absl/log/check.h"

namespace paramd {

void SetKernelThreads(int threads) {
  CHECK_GE(threads, 1);
  omp_set_num_threads(threads);
}

int KernelThreads() { return omp_get_max_threads(); }

}  // namespace paramd
