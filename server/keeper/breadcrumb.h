// Breadcrumbs: what each thread of a worker is about to do with which version,
// in memory that the keeper still has when the worker is gone.
//
// The keeper makes a small memfd for each worker. The worker gives every version
// a number beforehand and every thread that loads or runs models a slot; a mark
// is one store, no lock, no allocation, no system call. Its handler for fatal
// signals adds the name of the thread that was hit, so that only the version
// which that thread worked for is blamed.
//
// Life: a writer maps the memory until it is destroyed; a report is a copy.
// Thread-safety: Name, Forget and AddSlot lock; Mark belongs to the slot's thread.
#ifndef PARAMD_SERVER_KEEPER_BREADCRUMB_H_
#define PARAMD_SERVER_KEEPER_BREADCRUMB_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "runtime/base/mutex.h"
#include "runtime/base/unique_fd.h"

namespace paramd {

enum class Activity : uint8_t { kNone = 0, kLoading = 1, kRunning = 2 };
std::string_view ActivityName(Activity activity);  // "loading", "running".

// The memory of one worker; its size is sealed. Of the keeper.
absl::StatusOr<UniqueFd> MakeBreadcrumbs();

// Of the worker.
class BreadcrumbWriter {
 public:
  // InvalidArgument: not memory that MakeBreadcrumbs made.
  static absl::StatusOr<std::unique_ptr<BreadcrumbWriter>> Map(UniqueFd fd);
  ~BreadcrumbWriter();
  BreadcrumbWriter(const BreadcrumbWriter&) = delete;
  BreadcrumbWriter& operator=(const BreadcrumbWriter&) = delete;

  // The number of "digits/3"; the same one for the same text. 0, which marks
  // nothing, when there is no room. Longer texts are cut.
  uint32_t Name(std::string_view version);
  // The number may be given to another version.
  void Forget(uint32_t name);

  // For the calling thread, whose name (PR_SET_NAME) it keeps. -1: no room.
  int AddSlot();
  void Mark(int slot, Activity activity, uint32_t name);

  // SIGSEGV, SIGBUS, SIGFPE, SIGILL and SIGABRT leave the thread's name here,
  // and then do what they did before. One writer a process.
  void InstallCrashHandler();

 private:
  struct Page;
  BreadcrumbWriter(Page* page, UniqueFd fd) : page_(page), fd_(std::move(fd)) {}
  static void OnCrash(int signal);

  friend struct BreadcrumbLayout;
  Page* const page_;
  const UniqueFd fd_;
  Mutex mutex_;
  std::map<std::string, uint32_t, std::less<>> numbers_ ABSL_GUARDED_BY(mutex_);
  std::vector<uint32_t> free_ ABSL_GUARDED_BY(mutex_);
  uint32_t names_used_ ABSL_GUARDED_BY(mutex_) = 0;
  int slots_used_ ABSL_GUARDED_BY(mutex_) = 0;
};

// What a version was being used for when its worker died.
struct Suspect {
  std::string version;
  Activity activity = Activity::kNone;

  friend bool operator==(const Suspect&, const Suspect&) = default;
};

// What a dead worker left. Nothing in it is trusted: whatever crashed may have
// written anywhere.
struct BreadcrumbReport {
  struct Mark {
    std::string thread;
    Suspect doing;
  };
  std::vector<Mark> marks;  // Of slots that were busy.
  struct Crash {
    int signal = 0;
    std::string thread;
  };
  std::optional<Crash> crash;  // Nothing: no handler ran (SIGKILL).
};
absl::StatusOr<BreadcrumbReport> ReadBreadcrumbs(int fd);

// Whom a death by `signal` is blamed on, each once:
// * the handler saw the thread: what that thread was doing (nobody, if it
//   worked for no version);
// * a fatal signal that no handler saw (a stack overflow): all that was going on;
// * SIGKILL (the kernel out of memory, an operator): what was loading, since
//   that takes memory; what was running answers for nothing.
std::vector<Suspect> FindSuspects(const BreadcrumbReport& report, int signal);

}  // namespace paramd

#endif  // PARAMD_SERVER_KEEPER_BREADCRUMB_H_
