// FakeModelAdmin: answers what the test set, and remembers what it was asked.
//
// Thread-safety: thread-safe; set the answers before the first call.
#ifndef PARAMD_TESTS_SUPPORT_FAKE_MODEL_ADMIN_H_
#define PARAMD_TESTS_SUPPORT_FAKE_MODEL_ADMIN_H_

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "runtime/base/mutex.h"
#include "runtime/base/strings.h"
#include "server/state/model_admin.h"

namespace paramd {

class FakeModelAdmin final : public ModelAdmin {
 public:
  using LoadFn = std::function<absl::StatusOr<std::vector<LoadPlan>>(
      const LoadCommand&, const std::function<void(const LoadEvent&)>&)>;
  // Empty: Load succeeds at once with no plan.
  LoadFn load;
  absl::Status status;  // Of everything that edits.
  NameState name;       // Of everything that points names.
  absl::StatusOr<StateReport> state = StateReport();
  absl::StatusOr<std::vector<VerifyReport>> verify = std::vector<VerifyReport>();
  absl::StatusOr<std::vector<LoadPlan>> plan = std::vector<LoadPlan>();

  // "promote digits stable 3", in the order in which they came.
  std::vector<std::string> calls() const {
    MutexLock lock(&mutex_);
    return calls_;
  }

  absl::StatusOr<std::vector<LoadPlan>> Load(
      const LoadCommand& command, const std::function<void(const LoadEvent&)>& progress) override {
    Note(StrCat(command.dry_run ? "dry-run " : "load ", command.model, " ",
                command.version.value_or(0)));
    return load == nullptr ? std::vector<LoadPlan>() : load(command, progress);
  }
  absl::Status Unload(const std::string& model, std::optional<int64_t> version,
                      bool force) override {
    Note(StrCat(force ? "force-unload " : "unload ", model, " ", version.value_or(0)));
    return status;
  }
  absl::StatusOr<NameState> Promote(const std::string& model, const std::string& label,
                                    int64_t version) override {
    return Named(StrCat("promote ", model, " ", label, " ", version));
  }
  absl::StatusOr<NameState> Rollback(const std::string& model, const std::string& label) override {
    return Named(StrCat("rollback ", model, " ", label));
  }
  absl::StatusOr<NameState> RemoveName(const std::string& model,
                                       const std::string& label) override {
    return Named(StrCat("remove-name ", model, " ", label));
  }
  absl::Status SetAutoPromote(const std::string& model, bool on) override {
    Note(StrCat("auto-promote ", model, on ? " on" : " off"));
    return status;
  }
  absl::StatusOr<StateReport> GetState() const override { return state; }
  absl::StatusOr<std::vector<VerifyReport>> Verify(const std::string& model) const override {
    Note(StrCat("verify ", model));
    return verify;
  }
  absl::StatusOr<std::vector<LoadPlan>> Plan(const std::string& model) const override {
    Note(StrCat("plan ", model));
    return plan;
  }
  absl::Status Rescan(const std::string& model) override {
    Note(StrCat("rescan ", model));
    return status;
  }

 private:
  void Note(std::string call) const {
    MutexLock lock(&mutex_);
    calls_.push_back(std::move(call));
  }
  absl::StatusOr<NameState> Named(std::string call) {
    Note(std::move(call));
    if (!status.ok()) return status;
    return name;
  }

  mutable Mutex mutex_;
  mutable std::vector<std::string> calls_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace paramd

#endif  // PARAMD_TESTS_SUPPORT_FAKE_MODEL_ADMIN_H_
