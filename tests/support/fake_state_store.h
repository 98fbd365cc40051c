// FakeStateStore: a StateStore in memory in which others are faster when the test
// says so, and which can fail.
//
// Thread-safety: thread-safe; scripts are set before use or between calls.
#ifndef PARAMD_TESTS_SUPPORT_FAKE_STATE_STORE_H_
#define PARAMD_TESTS_SUPPORT_FAKE_STATE_STORE_H_

#include <functional>
#include <string>
#include <utility>

#include "runtime/base/mutex.h"
#include "server/state/state_store.h"

namespace paramd {

class FakeStateStore final : public StateStore {
 public:
  absl::StatusOr<StoredState> Read() const override {
    MutexLock lock(&mutex_);
    if (!read_error_.ok()) return read_error_;
    return state_;
  }

  absl::StatusOr<uint64_t> CompareAndSet(uint64_t expected, std::string bytes) override {
    MutexLock lock(&mutex_);
    if (!write_error_.ok()) return write_error_;
    if (conflicts_ > 0) {
      --conflicts_;
      ++state_.revision;
      if (rival_) state_.bytes = rival_(state_.bytes);
    }
    if (state_.revision != expected) return absl::AbortedError("somebody was faster");
    ++state_.revision;
    state_.bytes = std::move(bytes);
    ++writes_;
    return state_.revision;
  }

  // Before each of the next `count` writes another process makes one; `rival`
  // (may be empty) is what it makes of the document.
  void LoseTo(int count, std::function<std::string(const std::string&)> rival) {
    MutexLock lock(&mutex_);
    conflicts_ = count;
    rival_ = std::move(rival);
  }
  void Set(std::string bytes) {
    MutexLock lock(&mutex_);
    ++state_.revision;
    state_.bytes = std::move(bytes);
  }
  void FailWrites(absl::Status error) {
    MutexLock lock(&mutex_);
    write_error_ = std::move(error);
  }
  int writes() const {
    MutexLock lock(&mutex_);
    return writes_;
  }

 private:
  mutable Mutex mutex_;
  StoredState state_ ABSL_GUARDED_BY(mutex_);
  absl::Status read_error_ ABSL_GUARDED_BY(mutex_);
  absl::Status write_error_ ABSL_GUARDED_BY(mutex_);
  int conflicts_ ABSL_GUARDED_BY(mutex_) = 0;
  std::function<std::string(const std::string&)> rival_ ABSL_GUARDED_BY(mutex_);
  int writes_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace paramd

#endif  // PARAMD_TESTS_SUPPORT_FAKE_STATE_STORE_H_
