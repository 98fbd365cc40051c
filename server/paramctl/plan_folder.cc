#include "server/paramctl/plan_folder.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "runtime/base/clock.h"
#include "runtime/base/cpu_budget.h"
#include "runtime/base/directory.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/loading/admission.h"
#include "runtime/loading/model_loader.h"
#include "runtime/params/parameter_store.h"
#include "server/config/parameter_capacity.h"
#include "server/config/server_config.h"
#include "server/repository/model_repository.h"

namespace paramd {
namespace {

class FolderPlan {
 public:
  FolderPlan(const Directory* root, ParameterStore* store, int streams)
      : root_(root), store_(store), streams_(streams) {}

  void Add(const RepositoryModel& model) {
    if (!model.status.ok()) return Refuse(model.name, 0, model.status);
    for (const RepositoryVersion& version : model.versions) {
      if (std::ranges::binary_search(model.selected, version.number)) Add(model, version);
    }
  }
  v1::PlanResponse Take() { return std::move(response_); }

 private:
  void Add(const RepositoryModel& model, const RepositoryVersion& version) {
    const absl::StatusOr<LoadEstimate> estimate = Estimate(model, version);
    if (!estimate.ok()) return Refuse(model.name, version.number, estimate.status());
    // As if all before it were loaded and stay.
    AdmissionRoom room = estimate->room;
    room.store_used_bytes += before_bytes_;
    room.available_bytes -= std::min(room.available_bytes, before_bytes_);
    const AdmissionMargin margin = TighterLimit(estimate->need, room);
    v1::LoadPlan* plan = response_.add_plans();
    plan->set_model(model.name);
    plan->set_version(version.number);
    plan->set_parameter_bytes(estimate->form_bytes);
    plan->set_scratch_bytes(estimate->need.scratch_bytes);
    plan->set_arena_bytes(estimate->need.arena_bytes);
    plan->set_needed_bytes(margin.needed_bytes);
    plan->set_left_bytes(margin.left_bytes);
    plan->set_capacity_bytes(room.store_capacity_bytes);
    const absl::Status verdict =
        Admit(StrCat(model.name, "/", version.number), estimate->need, room);
    plan->set_fits(verdict.ok());
    plan->set_refusal(std::string(verdict.message()));
    if (verdict.ok()) before_bytes_ += estimate->need.parameter_bytes;
  }

  absl::StatusOr<LoadEstimate> Estimate(const RepositoryModel& model,
                                        const RepositoryVersion& version) const {
    ModelLoadOptions options;
    options.label = StrCat(model.name, "/", version.number);
    options.precision =
        std::string(PrecisionName(model.config.precision.value_or(Precision::kF32)));
    options.max_batch_size = model.config.max_batch_size;
    if (model.config.batch_invariant) options.max_batch_size = 0;
    options.streams = streams_;
    options.disabled_passes = model.config.disabled_passes;
    PARAMD_ASSIGN_OR_RETURN(const std::unique_ptr<Directory> folder,
                            root_->OpenDirectory(version.folder));
    return EstimateLoad(*folder, model.config.model_filename, store_, Clock::Real(), options,
                        /*freed_bytes=*/0);
  }

  void Refuse(const std::string& model, int64_t version, const absl::Status& status) {
    v1::LoadPlan* plan = response_.add_plans();
    plan->set_model(model);
    plan->set_version(version);
    plan->set_refusal(std::string(status.message()));
  }

  const Directory* const root_;
  ParameterStore* const store_;
  const int streams_;
  uint64_t before_bytes_ = 0;
  v1::PlanResponse response_;
};

}  // namespace

absl::StatusOr<v1::PlanResponse> PlanFolder(const PlanFolderOptions& options) {
  PARAMD_ASSIGN_OR_RETURN(const std::unique_ptr<ModelRepository> repository,
                          ModelRepository::Open(options.folder));
  ServerConfig defaults;
  defaults.parameter_capacity_bytes = options.capacity_bytes;
  PARAMD_ASSIGN_OR_RETURN(const std::unique_ptr<ParameterStore> store,
                          ParameterStore::Create({.capacity_bytes = ParameterCapacity(defaults)}));
  const int streams = options.streams > 0 ? options.streams : ReadCpuBudget().threads();
  FolderPlan plan(&repository->directory(), store.get(), streams);
  if (!options.model.empty()) {
    PARAMD_ASSIGN_OR_RETURN(const RepositoryModel model, repository->ScanModel(options.model));
    plan.Add(model);
    return plan.Take();
  }
  PARAMD_ASSIGN_OR_RETURN(const RepositoryListing listing, repository->Scan());
  for (const RepositoryModel& model : listing.models) plan.Add(model);
  return plan.Take();
}

}  // namespace paramd
