// KServeService: inference.GRPCInferenceService, the second face of the daemon:
// the same router, versions and administration as paramd.v1, under the names that
// tritonclient, perf_analyzer and KServe know.
//
//   kserve_service.cc      what is served, and inference
//   kserve_control.cc      what changes it: repository, shared memory, traces, logs
//
// This header has no gRPC in it but the service's base, because generated headers
// are what compiling costs most.
//
// Life: what the parts point at outlives it, and it the grpc::Server. Its
// destructor waits for loads that run, so the ModelAdmin must have been told to
// give up by then.
// Thread-safety: gRPC calls it from many threads.
#ifndef PARAMD_SERVER_RPC_KSERVE_KSERVE_SERVICE_H_
#define PARAMD_SERVER_RPC_KSERVE_KSERVE_SERVICE_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "server/rpc/kserve/infer_call.h"
#include "server/state/model_admin.h"
#include "server/versions/version_manager.h"

namespace grpc {
class Service;
}

namespace paramd {

struct KServeParts {
  InferCallParts calls;
  const VersionManager* versions = nullptr;
  ModelAdmin* admin = nullptr;
  std::function<absl::Status()> readiness;
  std::string version;  // Of the daemon: "0.1.0".
  // Cut out of messages.
  std::string repository_root;
  // Not empty: models, traces and logs may not be changed through this service,
  // and this is why.
  std::string control_refusal;
};

std::unique_ptr<grpc::Service> NewKServeService(KServeParts parts);

}  // namespace paramd

#endif  // PARAMD_SERVER_RPC_KSERVE_KSERVE_SERVICE_H_
