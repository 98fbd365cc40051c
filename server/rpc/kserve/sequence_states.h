// SequenceStates: what stateful models remember between the requests of one
// sequence, kept by the daemon (Triton's implicit state). One request of a
// sequence runs at a time; those that come meanwhile wait in their order.
//
//   Begin -> the lease, at once or when the request before is done
//   lease: states in, states out;  Keep on success;  destroyed: the next may go
//
// Bounded in sequences, in bytes and in requests that wait for one sequence; a
// sequence that nobody asks for within idle_max (its model's own, or the daemon's) is
// forgotten. States are of one
// generation of weights: when another answers, the sequence is over, and its next
// request is told so.
//
// Life: leases must be gone before it is destroyed.
// Thread-safety: thread-safe. A lease belongs to its request.
#ifndef PARAMD_SERVER_RPC_KSERVE_SEQUENCE_STATES_H_
#define PARAMD_SERVER_RPC_KSERVE_SEQUENCE_STATES_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "runtime/base/clock.h"
#include "runtime/base/mutex.h"
#include "runtime/tensor/tensor_view.h"

namespace paramd {

struct SequenceOptions {
  size_t sequences_max = 4096;
  uint64_t bytes_max = uint64_t{256} << 20;
  size_t waiting_max = 64;  // Requests of one sequence that wait.
  absl::Duration idle_max = absl::Minutes(1);
};

// Which sequence, and what its request says of it.
struct SequenceRequest {
  std::string model;
  std::string id;
  bool start = false;
  bool end = false;
  uint64_t generation = 0;  // Of the weights that would answer.
  std::optional<absl::Duration> idle_max = {};  // Instead of SequenceOptions::idle_max.
};

class SequenceStates {
 private:
  struct Entry;

 public:
  // The one request of a sequence that runs.
  class Lease {
   public:
    Lease() = default;
    Lease(Lease&& other) noexcept { *this = std::move(other); }
    Lease& operator=(Lease&& other) noexcept;
    ~Lease() { Release(); }

    explicit operator bool() const { return owner_ != nullptr; }
    // What the request before left; empty at the start of a sequence.
    const std::vector<Tensor>& states() const { return *states_; }
    // The request succeeded, and these go to the next. ResourceExhausted beyond the
    // bytes that all sequences may have: the states stay what they were.
    absl::Status Keep(std::vector<Tensor> states);
    // Lets the next request of the sequence go.
    void Release();

   private:
    friend class SequenceStates;
    SequenceStates* owner_ = nullptr;
    Entry* entry_ = nullptr;
    const std::vector<Tensor>* states_ = nullptr;
    bool end_ = false;
    bool kept_ = false;
    bool fresh_ = false;
  };
  using Ready = absl::AnyInvocable<void(absl::StatusOr<Lease>) &&>;

  SequenceStates(SequenceOptions options, const Clock* clock)
      : options_(std::move(options)), clock_(clock) {}
  ~SequenceStates();
  SequenceStates(const SequenceStates&) = delete;
  SequenceStates& operator=(const SequenceStates&) = delete;

  // Calls `ready` exactly once: on this thread, or on that of the request that is
  // before it. InvalidArgument for a sequence that was not started (or is
  // forgotten), FailedPrecondition after a swap, ResourceExhausted.
  void Begin(SequenceRequest request, Ready ready);

  // Forgets what has been idle for too long; returns when to look again.
  absl::Time Sweep();

  size_t sequences() const;
  uint64_t bytes() const;

 private:
  using Key = std::pair<std::string, std::string>;  // Model and id.
  struct Waiting {
    SequenceRequest request;
    Ready ready;
  };
  struct Entry {
    Key key;
    uint64_t generation = 0;
    std::vector<Tensor> states;
    uint64_t bytes = 0;
    bool busy = false;
    absl::Duration idle_max;
    std::deque<Waiting> waiting;
    std::multimap<absl::Time, Entry*>::iterator place;  // In idle_, while not busy.
  };

  absl::StatusOr<Lease> LeaseLocked(Entry* entry, const SequenceRequest& request)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<Entry*> FindLocked(const SequenceRequest& request)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void SetIdleLocked(Entry* entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ForgetLocked(Entry* entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void SweepLocked(absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status NotStarted(const SequenceRequest& request) const;
  // Gives the sequence to those that wait, one after the other.
  void Next(Entry* entry, bool forget);

  const SequenceOptions options_;
  const Clock* const clock_;
  mutable Mutex mutex_;
  std::map<Key, Entry> entries_ ABSL_GUARDED_BY(mutex_);
  // By when they are forgotten.
  std::multimap<absl::Time, Entry*> idle_ ABSL_GUARDED_BY(mutex_);
  uint64_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace paramd

#endif  // PARAMD_SERVER_RPC_KSERVE_SEQUENCE_STATES_H_
