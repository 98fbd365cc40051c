// TraceSettings: which requests are traced, as TraceSetting says it, and the log
// lines that traces become: one a request, with Triton's names of its events in
// nanoseconds. Settings of a model that it does not have itself are those for all.
//
// Thread-safety: thread-safe; on() is one relaxed load, so that nobody pays for
// traces that are off.
#ifndef PARAMD_SERVER_RPC_KSERVE_TRACE_SETTINGS_H_
#define PARAMD_SERVER_RPC_KSERVE_TRACE_SETTINGS_H_

#include <atomic>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "runtime/base/mutex.h"

namespace paramd {

// A request that was answered.
struct TracedRequest {
  std::string_view model;
  int64_t version = 0;
  std::string_view request_id;
  absl::Time arrival;
  absl::Time submitted;  // To the queue.
  absl::Time computed;   // By the model.
  absl::Time answered;
  absl::Duration queue;
  absl::Duration input;
};

class TraceSettings {
 public:
  using Values = std::map<std::string, std::vector<std::string>>;

  // Empty model: for all. An empty list takes a setting back. All or nothing:
  // InvalidArgument, or Unimplemented for what is not done here (files, tensors).
  absl::Status Update(std::string_view model, const Values& values);
  Values Get(std::string_view model) const;

  // Whether any request might be traced.
  bool on() const { return on_.load(std::memory_order_relaxed); }
  // Writes a line if this request is one of the sample.
  void Trace(const TracedRequest& request);

 private:
  struct Settings {
    std::optional<bool> timestamps;
    std::optional<uint32_t> rate;           // One request in so many.
    std::optional<int64_t> count;           // Traces that are left; -1: no end.
    std::optional<uint32_t> log_frequency;  // Kept and shown; lines are written at once.
  };
  static absl::Status Set(const std::string& name, const std::vector<std::string>& values,
                          Settings* settings);
  Settings InForceLocked(std::string_view model) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  std::atomic<bool> on_{false};
  std::atomic<uint64_t> next_id_{1};
  mutable Mutex mutex_;
  Settings for_all_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, Settings, std::less<>> of_model_ ABSL_GUARDED_BY(mutex_);
  // Requests seen since the last that was traced, by model.
  std::map<std::string, uint32_t, std::less<>> seen_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace paramd

#endif  // PARAMD_SERVER_RPC_KSERVE_TRACE_SETTINGS_H_
