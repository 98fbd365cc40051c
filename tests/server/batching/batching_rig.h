// BatchingRig: an executor without threads, a clock in the test's hand, and a
// batcher for each FakeModel.
#ifndef PARAMD_TESTS_SERVER_BATCHING_BATCHING_RIG_H_
#define PARAMD_TESTS_SERVER_BATCHING_BATCHING_RIG_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "server/batching/batcher.h"
#include "server/batching/executor.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_model.h"
#include "tests/support/status_testing.h"

namespace paramd {

// What PredictRouter does between a good request and its queue.
inline void SubmitTo(Batcher* batcher, FakeCall* call) {
  call->output_indexes = {0, 1};
  std::vector<TensorView> views;
  for (const NamedTensor& input : call->inputs)
    views.push_back({input.dtype, input.shape, nullptr});
  batcher->Submit(call, views);
}

inline std::vector<WarmSize> WarmRows(const std::vector<int64_t>& rows,
                                      absl::Duration batch = absl::ZeroDuration(),
                                      absl::Duration row = absl::ZeroDuration()) {
  std::vector<WarmSize> warm;
  for (const int64_t r : rows) warm.push_back({r, batch + r * row});
  return warm;
}

class BatchingRig {
 public:
  explicit BatchingRig(ExecutorOptions options = {}, Clock* clock = nullptr) {
    options.start_threads = false;
    ExecutorParts parts;
    parts.clock = clock != nullptr ? clock : &fake_clock;
    auto made = Executor::Create(options, std::move(parts));
    EXPECT_OK(made.status());
    executor = *std::move(made);
  }

  std::unique_ptr<Batcher> NewBatcher(const FakeModel& model, BatcherOptions options = {},
                                      std::vector<WarmSize> warm = WarmRows({1, 2, 4, 8}),
                                      std::string name = "fake") {
    auto made = Batcher::Create(executor.get(), options,
                                {.model_name = std::move(name), .model = &model, .warm = warm});
    EXPECT_OK(made.status());
    return *std::move(made);
  }

  // Runs what can run now, on one stream. Returns how many batches did.
  int RunAll(int stream = 0) {
    int batches = 0;
    while (executor->RunOne(stream)) ++batches;
    return batches;
  }
  // And compiles what it wants compiled, until nothing moves any more.
  void Settle() {
    while (RunAll() > 0 || executor->CompileOne()) {
    }
  }

  FakeClock fake_clock;
  std::unique_ptr<Executor> executor;
};

}  // namespace paramd

#endif  // PARAMD_TESTS_SERVER_BATCHING_BATCHING_RIG_H_
