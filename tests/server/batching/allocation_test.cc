// A request costs the batching and routing rooms no allocation: counted with an
// operator new of this program's own.
#include <atomic>
#include <cstdlib>
#include <new>

#include "server/batching/batcher.h"
#include "server/batching/executor.h"
#include "server/observability/metrics.h"
#include "server/predict/predict_router.h"
#include "tests/support/fake_model.h"
#include "tests/support/status_testing.h"

namespace {
std::atomic<int64_t> allocations{0};
}  // namespace

void* operator new(size_t bytes) {
  ++allocations;
  if (void* const memory = std::malloc(bytes == 0 ? 1 : bytes); memory != nullptr) return memory;
  std::abort();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }

namespace paramd {
namespace {

// A model of fixed shapes that allocates only when it is made.
class LeanModel final : public Model {
 public:
  LeanModel() {
    description_.inputs = {{"x", DType::kF32, {Dim::Named("N"), Dim::Of(2)}}};
    description_.outputs = {{"y", DType::kF32, {Dim::Named("N"), Dim::Of(2)}}};
    description_.batch_rows_max = 8;
  }
  const ModelDescription& description() const override { return description_; }
  const ParameterSet& parameters() const override { std::abort(); }
  absl::Status CheckCall(CallInputs) const override { return absl::OkStatus(); }
  std::string BatchKey(CallInputs) const override { std::abort(); }  // There is one key.
  int64_t BatchCost(CallInputs inputs) const override { return inputs[0].shape.dim(0); }
  absl::Status Compile(absl::Span<const Shape>) const override { return absl::OkStatus(); }
  bool IsCompiled(absl::Span<const Shape>) const override { return true; }
  std::unique_ptr<Session> NewSession(Arena*) const override {
    return std::make_unique<LeanSession>();
  }

 private:
  class LeanSession final : public Session {
   public:
    absl::Status Prepare(absl::Span<const Shape> shapes) override {
      rows_ = shapes[0].dim(0);
      return absl::OkStatus();
    }
    MutableTensorView input(int) override { return {DType::kF32, Shape{rows_, 2}, x_}; }
    absl::Status Run() override { return absl::OkStatus(); }
    TensorView output(int) const override { return {DType::kF32, Shape{rows_, 2}, x_}; }

   private:
    int64_t rows_ = 0;
    float x_[16] = {};
  };
  ModelDescription description_;
};

class LeanCall final : public PredictCall, public PredictSink {
 public:
  LeanCall() {
    NamedTensor x;
    x.name = "x";
    x.dtype = DType::kF32;
    x.shape = Shape{1, 2};
    x.fragments.push_back({reinterpret_cast<const std::byte*>(bytes_), sizeof(bytes_)});
    inputs.push_back(std::move(x));
    model = "lean";
    sink = this;
  }
  void OnDone(absl::StatusOr<PredictAnswer> answer) override {
    ok = answer.ok();
    if (ok) batch_rows = answer->batch_rows;
    version = ModelHandle();
  }
  bool ok = false;
  int64_t batch_rows = 0;

 private:
  float bytes_[2] = {1, 2};
};

TEST(HotPath, ARequestAllocatesNothingBelowItsFrontDoor) {
  constexpr int kCalls = 8;
  ExecutorParts parts;
  parts.clock = Clock::Real();
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Executor> executor,
                       Executor::Create({.start_threads = false}, std::move(parts)));
  auto model = std::make_unique<const LeanModel>();
  ASSERT_OK_AND_ASSIGN(
      std::unique_ptr<Batcher> batcher,
      Batcher::Create(executor.get(), {},
                      {.model_name = "lean", .model = model.get(), .warm = {{1}, {2}, {4}, {8}}}));
  RoutingTable routing;
  {
    ModelHandle handle(std::make_unique<const ModelVersion>(VersionId{"lean", 1}, WeightsIdentity{},
                                                            std::move(model), nullptr,
                                                            std::move(batcher), absl::UnixEpoch()),
                       [](std::unique_ptr<const ModelVersion>) {});
    std::vector<RoutingSnapshot::Routes> routes;
    routes.push_back({.model = "lean", .serving = {handle}, .default_number = 1});
    routing.Publish(std::make_unique<const RoutingSnapshot>(std::move(routes)));
  }
  const PredictRouter router(&routing);
  // Twice: the first round makes the session and grows the scratch of the stream.
  for (int round = 0; round < 2; ++round) {
    std::vector<LeanCall> calls(kCalls);
    const int64_t before = allocations;
    for (LeanCall& call : calls) router.Predict(&call);
    ASSERT_TRUE(executor->RunOne(0));
    const int64_t made = allocations - before;
    for (const LeanCall& call : calls) {
      ASSERT_TRUE(call.ok);
      ASSERT_EQ(call.batch_rows, kCalls);
    }
    if (round == 1) {
      EXPECT_EQ(made, 0);
    }
  }
}

}  // namespace
}  // namespace paramd
