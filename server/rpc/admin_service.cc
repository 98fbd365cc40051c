#include "server/rpc/admin_service.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/log/log.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "server/repository/model_repository.h"
#include "server/rpc/admin_messages.h"
#include "server/rpc/load_call.h"
#include "server/rpc/status_mapping.h"
#include "server/rpc/unary_call.h"

namespace paramd {
namespace {

constexpr char kDefaultName[] = "default";

absl::Status CheckNumber(int64_t version, int64_t least) {
  if (version >= least) return absl::OkStatus();
  return absl::InvalidArgumentError(StrCat("version ", version,
                                           ": a version is a number from 1 to 2^63-1",
                                           least == 0 ? ", or 0 for none in particular" : ""));
}

absl::Status CheckVersion(const std::string& model, int64_t version, int64_t least = 0) {
  PARAMD_RETURN_IF_ERROR(CheckModelName(model));
  return CheckNumber(version, least);
}

absl::Status CheckOptionalModel(const std::string& model) {
  return model.empty() ? absl::OkStatus() : CheckModelName(model);
}

absl::Status CheckName(const std::string& model, const std::string& name) {
  PARAMD_RETURN_IF_ERROR(CheckModelName(model));
  return name.empty() ? absl::OkStatus() : CheckLabel(name);
}

std::string NameOrDefault(const std::string& name) { return name.empty() ? kDefaultName : name; }

std::optional<int64_t> OptionalVersion(int64_t version) {
  return version == 0 ? std::nullopt : std::optional<int64_t>(version);
}

absl::Status TooMany(std::string_view what, int running_max) {
  return absl::ResourceExhaustedError(
      StrCat(running_max, " ", what, " are under way, which is the most; try again later"));
}

absl::Status NoKeeper() {
  return absl::FailedPreconditionError(
      "this worker runs without a keeper, which is who replaces workers; start paramd without "
      "--no-keeper, or restart it");
}

}  // namespace

AdminService::AdminService(AdminServiceOptions options, AdminServiceParts parts)
    : options_(std::move(options)),
      parts_(std::move(parts)),
      loads_("admin-load", options_.loads_max),
      readers_("admin-read", options_.readers_max, /*idle_priority=*/true),
      others_("admin", options_.others_max) {}

std::string AdminService::WithoutRoot(std::string text) const {
  return ::paramd::WithoutRoot(std::move(text), options_.repository_root);
}

grpc::Status AdminService::ToClient(const absl::Status& status) const {
  if (status.ok()) return grpc::Status::OK;
  return ToGrpcStatus(absl::Status(status.code(), WithoutRoot(std::string(status.message()))));
}

void AdminService::AddPlans(const std::vector<LoadPlan>& plans,
                            google::protobuf::RepeatedPtrField<v1::LoadPlan>* messages) const {
  for (const LoadPlan& plan : plans) {
    v1::LoadPlan* message = messages->Add();
    FillPlan(plan, message);
    message->set_refusal(WithoutRoot(message->refusal()));
  }
}

template <typename Response>
grpc::ServerUnaryReactor* AdminService::Start(std::string edit, absl::Status checked,
                                              Response* response,
                                              std::function<absl::Status(Response*)> work) {
  return StartOn<Response>(&others_, std::move(edit), std::move(checked), response,
                           std::move(work));
}

template <typename Response>
grpc::ServerUnaryReactor* AdminService::StartOn(CallThreads* threads, std::string edit,
                                                absl::Status checked, Response* response,
                                                std::function<absl::Status(Response*)> work) {
  const auto call = UnaryCall<Response>::Create(response);
  UnaryCall<Response>* const reactor = call.get();
  if (!checked.ok()) {
    reactor->End({}, ToClient(checked));
  } else if (!threads->Start([this, call, edit = std::move(edit), work = std::move(work)] {
               Response answer;
               const absl::Status status = work(&answer);
               if (!edit.empty()) LOG(INFO) << "admin: " << edit << ": " << status;
               call->End(std::move(answer), ToClient(status));
             })) {
    reactor->End({}, ToClient(TooMany("admin calls", threads->running_max())));
  }
  return reactor;
}

grpc::ServerWriteReactor<v1::LoadResponse>* AdminService::Load(grpc::CallbackServerContext*,
                                                               const v1::LoadRequest* request) {
  const auto call = LoadCall::Create();
  LoadCall* const reactor = call.get();
  const absl::Status checked = CheckVersion(request->model(), request->version());
  if (!checked.ok()) {
    reactor->End(std::nullopt, ToClient(checked));
    return reactor;
  }
  const LoadCommand command = {.model = request->model(),
                               .version = OptionalVersion(request->version()),
                               .dry_run = request->dry_run()};
  CallThreads& threads = command.dry_run ? readers_ : loads_;
  const bool started = threads.Start([this, call, command] {
    const absl::StatusOr<std::vector<LoadPlan>> plans =
        parts_.admin->Load(command, [this, &call](const LoadEvent& event) {
          v1::LoadProgress progress;
          FillProgress(event, &progress);
          progress.set_stage(WithoutRoot(progress.stage()));
          call->Progress(std::move(progress));
        });
    LOG(INFO) << "admin: " << (command.dry_run ? "dry run of loading " : "load ") << command.model
              << " " << command.version.value_or(0) << ": " << plans.status();
    if (!plans.ok()) return call->End(std::nullopt, ToClient(plans.status()));
    v1::LoadOutcome outcome;
    outcome.set_dry_run(command.dry_run);
    AddPlans(*plans, outcome.mutable_plans());
    call->End(std::move(outcome), grpc::Status::OK);
  });
  if (!started) {
    reactor->End(std::nullopt,
                 ToClient(TooMany("loads with somebody waiting for them", threads.running_max())));
  }
  return reactor;
}

grpc::ServerUnaryReactor* AdminService::Unload(grpc::CallbackServerContext*,
                                               const v1::UnloadRequest* request,
                                               v1::UnloadResponse* response) {
  return Start<v1::UnloadResponse>(
      StrCat(request->force() ? "force unload " : "unload ", request->model(), " ",
             request->version()),
      CheckVersion(request->model(), request->version()), response,
      [this, model = request->model(), version = OptionalVersion(request->version()),
       force = request->force()](v1::UnloadResponse*) {
        return parts_.admin->Unload(model, version, force);
      });
}

grpc::ServerUnaryReactor* AdminService::Promote(grpc::CallbackServerContext*,
                                                const v1::PromoteRequest* request,
                                                v1::PromoteResponse* response) {
  absl::Status checked = CheckName(request->model(), request->name());
  if (checked.ok()) checked = CheckNumber(request->version(), 1);
  return Start<v1::PromoteResponse>(
      StrCat("point ", NameOrDefault(request->name()), " of ", request->model(), " at ",
             request->version()),
      std::move(checked), response,
      [this, model = request->model(), name = NameOrDefault(request->name()),
       version = request->version()](v1::PromoteResponse* answer) -> absl::Status {
        PARAMD_ASSIGN_OR_RETURN(const NameState state, parts_.admin->Promote(model, name, version));
        FillName(state, answer->mutable_name());
        return absl::OkStatus();
      });
}

grpc::ServerUnaryReactor* AdminService::Rollback(grpc::CallbackServerContext*,
                                                 const v1::RollbackRequest* request,
                                                 v1::RollbackResponse* response) {
  return Start<v1::RollbackResponse>(
      StrCat("point ", NameOrDefault(request->name()), " of ", request->model(), " back"),
      CheckName(request->model(), request->name()), response,
      [this, model = request->model(),
       name = NameOrDefault(request->name())](v1::RollbackResponse* answer) -> absl::Status {
        PARAMD_ASSIGN_OR_RETURN(const NameState state, parts_.admin->Rollback(model, name));
        FillName(state, answer->mutable_name());
        return absl::OkStatus();
      });
}

grpc::ServerUnaryReactor* AdminService::RemoveName(grpc::CallbackServerContext*,
                                                   const v1::RemoveNameRequest* request,
                                                   v1::RemoveNameResponse* response) {
  absl::Status checked = CheckModelName(request->model());
  if (checked.ok()) checked = CheckLabel(request->name());
  if (checked.ok() && request->name() == kDefaultName) {
    checked = absl::FailedPreconditionError(
        "'default' cannot be removed; promote another version, or unload the model");
  }
  return Start<v1::RemoveNameResponse>(
      StrCat("remove ", request->name(), " of ", request->model()), std::move(checked), response,
      [this, model = request->model(),
       name = request->name()](v1::RemoveNameResponse* answer) -> absl::Status {
        PARAMD_ASSIGN_OR_RETURN(const NameState state, parts_.admin->RemoveName(model, name));
        FillName(state, answer->mutable_name());
        return absl::OkStatus();
      });
}

grpc::ServerUnaryReactor* AdminService::SetAutoPromote(grpc::CallbackServerContext*,
                                                       const v1::SetAutoPromoteRequest* request,
                                                       v1::SetAutoPromoteResponse* response) {
  return Start<v1::SetAutoPromoteResponse>(
      StrCat("auto-promote of ", request->model(), request->on() ? " on" : " off"),
      CheckModelName(request->model()), response,
      [this, model = request->model(), on = request->on()](v1::SetAutoPromoteResponse*) {
        return parts_.admin->SetAutoPromote(model, on);
      });
}

grpc::ServerUnaryReactor* AdminService::GetState(grpc::CallbackServerContext*,
                                                 const v1::GetStateRequest* request,
                                                 v1::GetStateResponse* response) {
  return Start<v1::GetStateResponse>(
      std::string(), CheckOptionalModel(request->model()), response,
      [this, model = request->model()](v1::GetStateResponse* answer) -> absl::Status {
        PARAMD_ASSIGN_OR_RETURN(const StateReport state, parts_.admin->GetState());
        FillState(state, model, answer);
        for (v1::ModelAdminState& known : *answer->mutable_models()) {
          known.set_error(WithoutRoot(known.error()));
          for (v1::VersionAdminState& version : *known.mutable_versions()) {
            version.set_reason(WithoutRoot(version.reason()));
          }
        }
        if (!model.empty() && answer->models().empty()) {
          return absl::NotFoundError(StrCat("model '", model, "' is neither desired nor there"));
        }
        return absl::OkStatus();
      });
}

grpc::ServerUnaryReactor* AdminService::Verify(grpc::CallbackServerContext*,
                                               const v1::VerifyRequest* request,
                                               v1::VerifyResponse* response) {
  return StartOn<v1::VerifyResponse>(
      &readers_, std::string(), CheckOptionalModel(request->model()), response,
      [this, model = request->model()](v1::VerifyResponse* answer) -> absl::Status {
        PARAMD_ASSIGN_OR_RETURN(const std::vector<VerifyReport> reports,
                                parts_.admin->Verify(model));
        for (const VerifyReport& report : reports) {
          v1::VerifyReport* message = answer->add_reports();
          FillVerify(report, message);
          message->set_difference(WithoutRoot(message->difference()));
        }
        return absl::OkStatus();
      });
}

grpc::ServerUnaryReactor* AdminService::Plan(grpc::CallbackServerContext*,
                                             const v1::PlanRequest* request,
                                             v1::PlanResponse* response) {
  return StartOn<v1::PlanResponse>(
      &readers_, std::string(), CheckOptionalModel(request->model()), response,
      [this, model = request->model()](v1::PlanResponse* answer) -> absl::Status {
        PARAMD_ASSIGN_OR_RETURN(const std::vector<LoadPlan> plans, parts_.admin->Plan(model));
        AddPlans(plans, answer->mutable_plans());
        return absl::OkStatus();
      });
}

grpc::ServerUnaryReactor* AdminService::Upgrade(grpc::CallbackServerContext*,
                                                const v1::UpgradeRequest*,
                                                v1::UpgradeResponse* response) {
  return Start<v1::UpgradeResponse>(
      "upgrade", parts_.request_upgrade == nullptr ? NoKeeper() : absl::OkStatus(), response,
      [this](v1::UpgradeResponse*) { return parts_.request_upgrade(); });
}

grpc::ServerUnaryReactor* AdminService::UpgradeStatus(grpc::CallbackServerContext*,
                                                      const v1::UpgradeStatusRequest*,
                                                      v1::UpgradeStatusResponse* response) {
  return Start<v1::UpgradeStatusResponse>(
      std::string(), parts_.upgrade_status == nullptr ? NoKeeper() : absl::OkStatus(), response,
      [this](v1::UpgradeStatusResponse* answer) {
        FillUpgrade(parts_.upgrade_status(), answer);
        answer->set_message(WithoutRoot(answer->message()));
        return absl::OkStatus();
      });
}

}  // namespace paramd
