// The OpenMP team of the calling thread, which oneDNN runs its kernels on.
//
// oneDNN reads the team's size when a primitive is created (blockings, scratch
// for each member) and again when it runs. Running with more members than it
// was created for would write beyond the scratch, so compiled ops set their
// own number around each call; a stream thread that has called
// SetKernelThreads once makes that a comparison of two integers.
//
// Thread-safety: acts on the calling thread only.
#ifndef PARAMD_RUNTIME_BACKENDS_ONEDNN_ONEDNN_THREADS_H_
#define PARAMD_RUNTIME_BACKENDS_ONEDNN_ONEDNN_THREADS_H_

namespace paramd {

// Members of the team that kernels started by this thread will use, itself
// included. A stream calls it once, before its first batch. REQUIRES: threads >= 1.
void SetKernelThreads(int threads);

// What this thread has now.
int KernelThreads();

// Another number while it lives.
class ScopedKernelThreads {
 public:
  explicit ScopedKernelThreads(int threads) : before_(KernelThreads()), now_(threads) {
    if (now_ != before_) SetKernelThreads(now_);
  }
  ~ScopedKernelThreads() {
    if (now_ != before_) SetKernelThreads(before_);
  }
  ScopedKernelThreads(const ScopedKernelThreads&) = delete;
  ScopedKernelThreads& operator=(const ScopedKernelThreads&) = delete;

 private:
  const int before_;
  const int now_;
};

}  // namespace paramd

#endif  // PARAMD_RUNTIME_BACKENDS_ONEDNN_ONEDNN_THREADS_H_
