// FakeModel: a scriptable Model. Input "x" f32 [N, width] (or [N, L] with any L),
// output "y" f32 [N, 2]: y[r] = {scale * sum of x[r], rows of the batch}, and
// output "z" f32 [N, 1]: the first element of x[r]. So every answer shows which
// row it came from, with which weights, and in what company.
//
// A row that begins with kPoison makes Run fail. Costs advance a FakeClock.
// FakeCall: a request that owns its bytes and remembers its answers.
//
// Thread-safety: thread-safe, like every Model; scripts are set before use.
#ifndef PARAMD_TESTS_SUPPORT_FAKE_MODEL_H_
#define PARAMD_TESTS_SUPPORT_FAKE_MODEL_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "runtime/base/mutex.h"
#include "runtime/model.h"
#include "runtime/params/parameter_set.h"
#include "runtime/params/parameter_store.h"
#include "server/predict/predict_call.h"
#include "tests/support/fake_clock.h"

namespace paramd {

inline constexpr float kPoison = -666;

struct FakeModelOptions {
  int64_t width = 2;     // 0: any, symbol "L".
  int64_t rows_max = 8;  // 0: calls run one by one; x is then [N, width] as it is.
  float scale = 1;
  std::vector<int64_t> compiled_rows = {1, 2, 4, 8};  // At the start; width must be known.
  FakeClock* clock = nullptr;                         // Advanced by each Run, if given.
  absl::Duration batch_cost;
  absl::Duration row_cost;
  absl::Duration compile_cost;
  // Asked by Compile; empty: always OK.
  std::function<absl::Status(const Shape& x)> compile_status;
  // Called by the destructor, on its thread.
  std::function<void()> on_destroy;
};

class FakeModel final : public Model {
 public:
  explicit FakeModel(FakeModelOptions options);
  ~FakeModel() override;

  const ModelDescription& description() const override { return description_; }
  const ParameterSet& parameters() const override { return *parameters_; }
  absl::Status CheckCall(CallInputs inputs) const override;
  std::string BatchKey(CallInputs inputs) const override;
  int64_t BatchCost(CallInputs inputs) const override;
  absl::Status Compile(absl::Span<const Shape> input_shapes) const override;
  bool IsCompiled(absl::Span<const Shape> input_shapes) const override;
  std::unique_ptr<Session> NewSession(Arena* arena) const override;

  // The model drops a compiled shape, as its limit might make it.
  void Forget(const Shape& x) const;
  // While blocked, Run waits (a thread other than the test's).
  void Block() const;
  void Unblock() const;
  // Waits until `count` Runs have begun, counted from the start.
  void WaitForRuns(int64_t count) const;

  struct RunRecord {
    Shape x;
    absl::Time began;  // Of `clock`, if given.
    absl::Duration took;
  };
  std::vector<RunRecord> runs() const;
  std::vector<int64_t> rows_run() const;  // First dimension of each Run, in order.
  std::vector<Shape> compiles() const;    // Every call of Compile.
  int sessions_alive() const;

 private:
  class FakeSession;

  const FakeModelOptions options_;
  ModelDescription description_;
  std::unique_ptr<ParameterStore> store_;
  std::unique_ptr<ParameterSet> parameters_;
  mutable Mutex mutex_;
  mutable CondVar changed_;
  mutable std::vector<Shape> compiled_ ABSL_GUARDED_BY(mutex_);
  mutable std::vector<Shape> compiles_ ABSL_GUARDED_BY(mutex_);
  mutable std::vector<RunRecord> runs_ ABSL_GUARDED_BY(mutex_);
  mutable int64_t runs_begun_ ABSL_GUARDED_BY(mutex_) = 0;
  mutable bool blocked_ ABSL_GUARDED_BY(mutex_) = false;
  mutable int sessions_ ABSL_GUARDED_BY(mutex_) = 0;
};

// A request for a FakeModel, and its sink.
class FakeCall final : public PredictCall, public PredictSink {
 public:
  // x: [rows, width], row-major, split into `pieces` fragments.
  FakeCall(std::vector<float> x, int64_t rows, int pieces = 1);
  // One row of `width` equal numbers.
  static std::unique_ptr<FakeCall> OneRow(float value, int64_t width = 2);
  // `rows` rows that begin with first, first + 1, ...; the rest of a row is zero.
  static std::unique_ptr<FakeCall> Rows(int64_t rows, float first, int64_t width = 2);

  void OnDone(absl::StatusOr<PredictAnswer> answer) override;

  // Of the first OnDone; FailedPrecondition before it.
  absl::Status status() const;
  int answers() const;  // How often OnDone came: 1 in the end, always.
  void Wait() const;
  // Output by name, copied.
  std::vector<float> output(std::string_view name) const;
  int64_t answered_rows() const;
  int64_t batch_rows() const;
  StageTimes times() const;

  // Called inside OnDone after recording; must not touch the call afterwards.
  std::function<void(FakeCall*)> on_done;

 private:
  struct Output {
    std::string name;
    std::vector<float> values;
    Shape shape;
  };
  std::vector<std::vector<std::byte>> bytes_;
  mutable Mutex mutex_;
  mutable CondVar done_;
  int answers_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
  std::vector<Output> outputs_ ABSL_GUARDED_BY(mutex_);
  int64_t rows_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t batch_rows_ ABSL_GUARDED_BY(mutex_) = 0;
  StageTimes times_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace paramd

#endif  // PARAMD_TESTS_SUPPORT_FAKE_MODEL_H_
