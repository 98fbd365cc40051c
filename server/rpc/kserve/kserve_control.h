// KServeControl: the calls of GRPCInferenceService that change something, as plain
// functions of their messages: the repository, shared memory, traces and logs.
//
// Thread-safety: thread-safe. Load and Unload block, so call them from a thread
// that may.
#ifndef PARAMD_SERVER_RPC_KSERVE_KSERVE_CONTROL_H_
#define PARAMD_SERVER_RPC_KSERVE_KSERVE_CONTROL_H_

#include "absl/status/status.h"
#include "proto/inference/grpc_service.pb.h"
#include "server/rpc/kserve/kserve_service.h"

namespace paramd {

class KServeControl {
 public:
  explicit KServeControl(const KServeParts& parts) : parts_(parts) {}

  // Unavailable where this service may not change models, as Triton says it.
  absl::Status CheckControl() const;
  absl::Status Load(const inference::RepositoryModelLoadRequest& request) const;
  absl::Status Unload(const inference::RepositoryModelUnloadRequest& request) const;

  // Unavailable without --allow-client-shm; unregistering succeeds where nothing
  // can be registered, because clients do it before they begin.
  absl::Status MemoryStatus(const inference::SystemSharedMemoryStatusRequest& request,
                            inference::SystemSharedMemoryStatusResponse* response) const;
  absl::Status RegisterMemory(const inference::SystemSharedMemoryRegisterRequest& request) const;
  absl::Status UnregisterMemory(
      const inference::SystemSharedMemoryUnregisterRequest& request) const;

  absl::Status TraceSetting(const inference::TraceSettingRequest& request,
                            inference::TraceSettingResponse* response) const;
  absl::Status LogSettings(const inference::LogSettingsRequest& request,
                           inference::LogSettingsResponse* response) const;

 private:
  const KServeParts& parts_;
};

}  // namespace paramd

#endif  // PARAMD_SERVER_RPC_KSERVE_KSERVE_CONTROL_H_
