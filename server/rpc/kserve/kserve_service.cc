#include "server/rpc/kserve/kserve_service.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "proto/inference/grpc_service.grpc.pb.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "server/rpc/call_threads.h"
#include "server/rpc/kserve/infer_stream.h"
#include "server/rpc/kserve/kserve_control.h"
#include "server/rpc/kserve/model_metadata.h"
#include "server/rpc/kserve/model_statistics.h"
#include "server/rpc/kserve/repository_index.h"
#include "server/rpc/status_mapping.h"
#include "server/rpc/unary_call.h"

namespace paramd {
namespace {

using inference::GRPCInferenceService;

// The generated wrappers put around each other: inference takes bytes, the rest
// messages.
template <typename Service, template <typename> class... Wrappers>
struct Wrapped {
  using Type = Service;
};
template <typename Service, template <typename> class First, template <typename> class... Rest>
struct Wrapped<Service, First, Rest...> {
  using Type = First<typename Wrapped<Service, Rest...>::Type>;
};
using Base =
    Wrapped<GRPCInferenceService::Service, GRPCInferenceService::WithRawCallbackMethod_ModelInfer,
            GRPCInferenceService::WithRawCallbackMethod_ModelStreamInfer,
            GRPCInferenceService::WithCallbackMethod_ServerLive,
            GRPCInferenceService::WithCallbackMethod_ServerReady,
            GRPCInferenceService::WithCallbackMethod_ModelReady,
            GRPCInferenceService::WithCallbackMethod_ServerMetadata,
            GRPCInferenceService::WithCallbackMethod_ModelMetadata,
            GRPCInferenceService::WithCallbackMethod_ModelConfig,
            GRPCInferenceService::WithCallbackMethod_ModelStatistics,
            GRPCInferenceService::WithCallbackMethod_RepositoryIndex,
            GRPCInferenceService::WithCallbackMethod_RepositoryModelLoad,
            GRPCInferenceService::WithCallbackMethod_RepositoryModelUnload,
            GRPCInferenceService::WithCallbackMethod_SystemSharedMemoryStatus,
            GRPCInferenceService::WithCallbackMethod_SystemSharedMemoryRegister,
            GRPCInferenceService::WithCallbackMethod_SystemSharedMemoryUnregister,
            GRPCInferenceService::WithCallbackMethod_CudaSharedMemoryStatus,
            GRPCInferenceService::WithCallbackMethod_CudaSharedMemoryRegister,
            GRPCInferenceService::WithCallbackMethod_CudaSharedMemoryUnregister,
            GRPCInferenceService::WithCallbackMethod_TraceSetting,
            GRPCInferenceService::WithCallbackMethod_LogSettings>::Type;

constexpr char kServerName[] = "paramd";
// Triton's names, as far as they are here.
constexpr const char* kExtensions[] = {"classification",
                                       "sequence",
                                       "model_repository",
                                       "schedule_policy",
                                       "model_configuration",
                                       "binary_tensor_data",
                                       "parameters",
                                       "statistics",
                                       "trace",
                                       "logging"};
constexpr char kMemoryExtension[] = "system_shared_memory";
constexpr int kLoadsMax = 8;

absl::StatusOr<VersionChoice> ChoiceOf(const std::string& version) {
  VersionChoice choice;
  if (version.empty()) return choice;
  int64_t number = 0;
  if (!absl::SimpleAtoi(version, &number) || number < 1) {
    return absl::InvalidArgumentError(
        StrCat("version '", std::string_view(version).substr(0, 64),
               "' is no version: expected a whole number from 1, or nothing"));
  }
  choice.number = number;
  return choice;
}

absl::Status WithoutCuda() {
  return absl::UnimplementedError(
      "CUDA shared memory is not in this build; system shared memory is (--allow-client-shm)");
}

// A lone ModelInfer. Deletes itself when gRPC is done with it.
class UnaryInfer final : public grpc::ServerUnaryReactor, public InferCall {
 public:
  UnaryInfer(const InferCallParts& parts, grpc::ByteBuffer* response)
      : InferCall(parts, /*in_stream=*/false), response_(response) {}

  // grpc::ServerUnaryReactor:
  using InferCall::OnDone;
  void OnCancel() override { Cancel(); }
  void OnDone() override { delete this; }

 private:
  void Finished(absl::Status status) override {
    if (status.ok()) *response_ = TakeWritten();
    Finish(ToGrpcStatus(status));
  }

  grpc::ByteBuffer* const response_;  // gRPC's; good until Finish.
};

class KServeService final : public Base {
 public:
  explicit KServeService(KServeParts parts)
      : parts_(std::move(parts)), control_(parts_), threads_("kserve-load", kLoadsMax) {}

  template <typename T>
  using In = const T*;
  using Context = grpc::CallbackServerContext;
  using Reactor = grpc::ServerUnaryReactor;

  // ---- Inference. ----

  Reactor* ModelInfer(Context* context, const grpc::ByteBuffer* request,
                      grpc::ByteBuffer* response) override {
    auto* const call = new UnaryInfer(parts_.calls, response);  // Deletes itself.
    call->Start(*context, *request);
    return call;
  }
  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* ModelStreamInfer(
      Context* context) override {
    return new InferStream(parts_.calls, context);  // Deletes itself.
  }

  // ---- What is here. ----

  Reactor* ServerLive(Context* context, In<inference::ServerLiveRequest>,
                      inference::ServerLiveResponse* response) override {
    response->set_live(true);
    return End(context, absl::OkStatus());
  }
  Reactor* ServerReady(Context* context, In<inference::ServerReadyRequest>,
                       inference::ServerReadyResponse* response) override {
    response->set_ready(parts_.readiness().ok());
    return End(context, absl::OkStatus());
  }
  Reactor* ModelReady(Context* context, In<inference::ModelReadyRequest> request,
                      inference::ModelReadyResponse* response) override {
    const absl::StatusOr<VersionChoice> choice = ChoiceOf(request->version());
    if (!choice.ok()) return End(context, choice.status());
    response->set_ready(router().Resolve(request->name(), *choice).ok());
    return End(context, absl::OkStatus());
  }
  Reactor* ServerMetadata(Context* context, In<inference::ServerMetadataRequest>,
                          inference::ServerMetadataResponse* response) override {
    response->set_name(kServerName);
    response->set_version(parts_.version);
    for (const char* extension : kExtensions) response->add_extensions(extension);
    if (parts_.calls.regions != nullptr) response->add_extensions(kMemoryExtension);
    return End(context, absl::OkStatus());
  }
  Reactor* ModelMetadata(Context* context, In<inference::ModelMetadataRequest> request,
                         inference::ModelMetadataResponse* response) override {
    const absl::StatusOr<ModelHandle> version = Find(request->name(), request->version());
    if (!version.ok()) return End(context, version.status());
    const ServingStatus status = parts_.versions->status();
    FillModelMetadata(**version, StatusOf(status, request->name()), response);
    return End(context, absl::OkStatus());
  }
  Reactor* ModelConfig(Context* context, In<inference::ModelConfigRequest> request,
                       inference::ModelConfigResponse* response) override {
    const absl::StatusOr<ModelHandle> version = Find(request->name(), request->version());
    if (version.ok()) FillModelConfig(**version, response->mutable_config());
    return End(context, version.status());
  }
  Reactor* ModelStatistics(Context* context, In<inference::ModelStatisticsRequest> request,
                           inference::ModelStatisticsResponse* response) override {
    return End(context, Statistics(*request, response));
  }
  Reactor* RepositoryIndex(Context* context, In<inference::RepositoryIndexRequest> request,
                           inference::RepositoryIndexResponse* response) override {
    if (!request->repository_name().empty()) {
      return End(context, absl::NotFoundError("there is one repository, and its name is empty"));
    }
    FillRepositoryIndex(parts_.versions->status(), request->ready(), response);
    for (auto& model : *response->mutable_models()) {
      model.set_reason(WithoutRoot(model.reason(), parts_.repository_root));
    }
    return End(context, absl::OkStatus());
  }

  // ---- What changes it. ----

  Reactor* RepositoryModelLoad(Context*, In<inference::RepositoryModelLoadRequest> request,
                               inference::RepositoryModelLoadResponse* response) override {
    return OnThread(*request, response, [this](const auto& load) { return control_.Load(load); });
  }
  Reactor* RepositoryModelUnload(Context*, In<inference::RepositoryModelUnloadRequest> request,
                                 inference::RepositoryModelUnloadResponse* response) override {
    return OnThread(*request, response,
                    [this](const auto& unload) { return control_.Unload(unload); });
  }
  Reactor* SystemSharedMemoryStatus(
      Context* context, In<inference::SystemSharedMemoryStatusRequest> request,
      inference::SystemSharedMemoryStatusResponse* response) override {
    return End(context, control_.MemoryStatus(*request, response));
  }
  Reactor* SystemSharedMemoryRegister(Context* context,
                                      In<inference::SystemSharedMemoryRegisterRequest> request,
                                      inference::SystemSharedMemoryRegisterResponse*) override {
    return End(context, control_.RegisterMemory(*request));
  }
  Reactor* SystemSharedMemoryUnregister(Context* context,
                                        In<inference::SystemSharedMemoryUnregisterRequest> request,
                                        inference::SystemSharedMemoryUnregisterResponse*) override {
    return End(context, control_.UnregisterMemory(*request));
  }
  Reactor* CudaSharedMemoryStatus(Context* context, In<inference::CudaSharedMemoryStatusRequest>,
                                  inference::CudaSharedMemoryStatusResponse*) override {
    return End(context, WithoutCuda());
  }
  Reactor* CudaSharedMemoryRegister(Context* context,
                                    In<inference::CudaSharedMemoryRegisterRequest>,
                                    inference::CudaSharedMemoryRegisterResponse*) override {
    return End(context, WithoutCuda());
  }
  Reactor* CudaSharedMemoryUnregister(Context* context,
                                      In<inference::CudaSharedMemoryUnregisterRequest>,
                                      inference::CudaSharedMemoryUnregisterResponse*) override {
    return End(context, WithoutCuda());
  }
  Reactor* TraceSetting(Context* context, In<inference::TraceSettingRequest> request,
                        inference::TraceSettingResponse* response) override {
    return End(context, control_.TraceSetting(*request, response));
  }
  Reactor* LogSettings(Context* context, In<inference::LogSettingsRequest> request,
                       inference::LogSettingsResponse* response) override {
    return End(context, control_.LogSettings(*request, response));
  }

 private:
  const PredictRouter& router() const { return *parts_.calls.wire.router; }

  Reactor* End(Context* context, const absl::Status& status) const {
    Reactor* const reactor = context->DefaultReactor();
    reactor->Finish(Told(status));
    return reactor;
  }
  grpc::Status Told(const absl::Status& status) const {
    if (status.ok()) return grpc::Status::OK;
    return ToGrpcStatus(absl::Status(
        status.code(), WithoutRoot(std::string(status.message()), parts_.repository_root)));
  }

  absl::StatusOr<ModelHandle> Find(const std::string& model, const std::string& version) const {
    PARAMD_ASSIGN_OR_RETURN(const VersionChoice choice, ChoiceOf(version));
    return router().Resolve(model, choice);
  }
  static const ModelStatus* StatusOf(const ServingStatus& status, const std::string& model) {
    const auto it = std::find_if(status.models.begin(), status.models.end(),
                                 [&](const ModelStatus& known) { return known.name == model; });
    return it == status.models.end() ? nullptr : &*it;
  }

  absl::Status Statistics(const inference::ModelStatisticsRequest& request,
                          inference::ModelStatisticsResponse* response) const {
    if (!request.name().empty()) {
      PARAMD_ASSIGN_OR_RETURN(const ModelHandle named, Find(request.name(), request.version()));
      if (!request.version().empty()) {
        FillModelStatistics(*named, response->add_model_stats());
        return absl::OkStatus();
      }
    }
    for (const ModelStatus& model : parts_.versions->status().models) {
      if (!request.name().empty() && model.name != request.name()) continue;
      for (const VersionStatus& version : model.versions) {
        VersionChoice choice;
        choice.number = version.number;
        const absl::StatusOr<ModelHandle> serving = router().Resolve(model.name, choice);
        if (serving.ok() && version.state == VersionState::kServing) {
          FillModelStatistics(**serving, response->add_model_stats());
        }
      }
    }
    return absl::OkStatus();
  }

  // Loads and unloads block, and gRPC's threads may not.
  template <typename Request, typename Response, typename Work>
  Reactor* OnThread(const Request& request, Response* response, Work work) {
    const auto call = UnaryCall<Response>::Create(response);
    Reactor* const reactor = call.get();
    // Refused at once, without a thread.
    if (absl::Status allowed = control_.CheckControl(); !allowed.ok()) {
      call->End({}, Told(allowed));
    } else if (!threads_.Start([this, call, request, work = std::move(work)] {
                 call->End({}, Told(work(request)));
               })) {
      call->End({}, ToGrpcStatus(absl::ResourceExhaustedError(
                        StrCat(threads_.running_max(),
                               " loads are under way, which is the most; "
                               "try again later"))));
    }
    return reactor;
  }

  const KServeParts parts_;
  const KServeControl control_;
  CallThreads threads_;  // Last: it waits for what uses the members above.
};

}  // namespace

std::unique_ptr<grpc::Service> NewKServeService(KServeParts parts) {
  return std::make_unique<KServeService>(std::move(parts));
}

}  // namespace paramd
