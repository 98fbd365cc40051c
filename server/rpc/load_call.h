// LoadCall: one ModelAdmin.Load on the wire: progress as it comes, then the
// outcome, then the status. The load runs on a thread of its own and speaks
// through Progress and End; a reader that is slow gets the newest progress of
// each version and misses what lay between, so nothing piles up.
//
// Life: shared by gRPC (until OnDone) and by the loading thread, which may
// outlive the call: a caller that goes away, or a server that stops, ends the
// call and not the load.
// Thread-safety: thread-safe.
#ifndef PARAMD_SERVER_RPC_LOAD_CALL_H_
#define PARAMD_SERVER_RPC_LOAD_CALL_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "proto/paramd/v1/admin.grpc.pb.h"
#include "runtime/base/mutex.h"

namespace paramd {

class LoadCall final : public grpc::ServerWriteReactor<v1::LoadResponse> {
 public:
  static std::shared_ptr<LoadCall> Create();

  void Progress(v1::LoadProgress progress);
  // Once. `outcome` is sent before the status, if there is one.
  void End(std::optional<v1::LoadOutcome> outcome, grpc::Status status);

  // gRPC's.
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  LoadCall() = default;
  // Does the next thing on the wire, if one may be done now.
  void Step();

  // Keeps this alive until OnDone; set before gRPC knows of it.
  std::shared_ptr<LoadCall> self_;

  Mutex mutex_;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
  std::map<int64_t, v1::LoadProgress> progress_ ABSL_GUARDED_BY(mutex_);  // By version.
  std::optional<v1::LoadOutcome> outcome_ ABSL_GUARDED_BY(mutex_);
  std::optional<grpc::Status> status_ ABSL_GUARDED_BY(mutex_);
  v1::LoadResponse message_;  // Of whoever has set writing_.
};

}  // namespace paramd

#endif  // PARAMD_SERVER_RPC_LOAD_CALL_H_
