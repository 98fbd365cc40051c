#include "runtime/backends/onednn/onednn_threads.h"

#include "absl/log/check.h"

// Of OpenMP's binary interface, declared here because omp.h comes with the
// compiler while the team is that of oneDNN's runtime: clang cannot read GCC's
// header, and its own would bring a second runtime.
extern "C" {
void omp_set_num_threads(int threads);
int omp_get_max_threads(void);
}

namespace paramd {

void SetKernelThreads(int threads) {
  CHECK_GE(threads, 1);
  omp_set_num_threads(threads);
}

int KernelThreads() { return omp_get_max_threads(); }

}  // namespace paramd
