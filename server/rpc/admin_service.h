// AdminService: paramd.v1.ModelAdmin over the protocol-free ModelAdmin.
//
// Names and numbers are checked here; whether a version exists, fits or serves
// is the ModelAdmin's business. Calls that may block run on threads of their own
// (call_threads.h), never on gRPC's: so many for loads and so many for the rest,
// so that a rollback does not wait until loads have ended. What reads or hashes
// gigabytes runs at idle priority, as loading does.
//
// Life: what it borrows outlives it; it outlives the grpc::Server. Its
// destructor waits for the calls that run, so the ModelAdmin must have been told
// to give up by then.
// Thread-safety: gRPC calls it from many threads.
#ifndef PARAMD_SERVER_RPC_ADMIN_SERVICE_H_
#define PARAMD_SERVER_RPC_ADMIN_SERVICE_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "proto/paramd/v1/admin.grpc.pb.h"
#include "server/keeper/keeper_client.h"
#include "server/rpc/call_threads.h"
#include "server/state/model_admin.h"

namespace paramd {

struct AdminServiceOptions {
  int loads_max = 8;    // Calls of Load that wait at a time.
  int readers_max = 4;  // Calls that read or hash much: Plan, dry runs, Verify.
  int others_max = 8;   // Calls of everything else that may block.
  // Cut out of messages: where the repository lies is nobody's business.
  std::string repository_root;
};

struct AdminServiceParts {
  ModelAdmin* admin = nullptr;
  // Empty where no keeper is.
  std::function<absl::Status()> request_upgrade;
  std::function<KeeperClient::UpgradeStatus()> upgrade_status;
};

class AdminService final : public v1::ModelAdmin::CallbackService {
 public:
  AdminService(AdminServiceOptions options, AdminServiceParts parts);

  grpc::ServerWriteReactor<v1::LoadResponse>* Load(grpc::CallbackServerContext* context,
                                                   const v1::LoadRequest* request) override;
  grpc::ServerUnaryReactor* Unload(grpc::CallbackServerContext* context,
                                   const v1::UnloadRequest* request,
                                   v1::UnloadResponse* response) override;
  grpc::ServerUnaryReactor* Promote(grpc::CallbackServerContext* context,
                                    const v1::PromoteRequest* request,
                                    v1::PromoteResponse* response) override;
  grpc::ServerUnaryReactor* Rollback(grpc::CallbackServerContext* context,
                                     const v1::RollbackRequest* request,
                                     v1::RollbackResponse* response) override;
  grpc::ServerUnaryReactor* RemoveName(grpc::CallbackServerContext* context,
                                       const v1::RemoveNameRequest* request,
                                       v1::RemoveNameResponse* response) override;
  grpc::ServerUnaryReactor* SetAutoPromote(grpc::CallbackServerContext* context,
                                           const v1::SetAutoPromoteRequest* request,
                                           v1::SetAutoPromoteResponse* response) override;
  grpc::ServerUnaryReactor* GetState(grpc::CallbackServerContext* context,
                                     const v1::GetStateRequest* request,
                                     v1::GetStateResponse* response) override;
  grpc::ServerUnaryReactor* Verify(grpc::CallbackServerContext* context,
                                   const v1::VerifyRequest* request,
                                   v1::VerifyResponse* response) override;
  grpc::ServerUnaryReactor* Plan(grpc::CallbackServerContext* context,
                                 const v1::PlanRequest* request,
                                 v1::PlanResponse* response) override;
  grpc::ServerUnaryReactor* Upgrade(grpc::CallbackServerContext* context,
                                    const v1::UpgradeRequest* request,
                                    v1::UpgradeResponse* response) override;
  grpc::ServerUnaryReactor* UpgradeStatus(grpc::CallbackServerContext* context,
                                          const v1::UpgradeStatusRequest* request,
                                          v1::UpgradeStatusResponse* response) override;

 private:
  // Runs work(response) on one of the threads, unless `checked` is an error.
  // `edit` not empty: what the log is told of.
  template <typename Response>
  grpc::ServerUnaryReactor* StartOn(CallThreads* threads, std::string edit, absl::Status checked,
                                    Response* response,
                                    std::function<absl::Status(Response*)> work);
  template <typename Response>
  grpc::ServerUnaryReactor* Start(std::string edit, absl::Status checked, Response* response,
                                  std::function<absl::Status(Response*)> work);
  void AddPlans(const std::vector<LoadPlan>& plans,
                google::protobuf::RepeatedPtrField<v1::LoadPlan>* messages) const;
  grpc::Status ToClient(const absl::Status& status) const;
  std::string WithoutRoot(std::string text) const;

  const AdminServiceOptions options_;
  const AdminServiceParts parts_;
  CallThreads loads_, readers_, others_;  // Last: they wait for what uses the members above.
};

}  // namespace paramd

#endif  // PARAMD_SERVER_RPC_ADMIN_SERVICE_H_
