#include "runtime/loading/model_loader.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

#include "runtime/backends/backend_list.h"
#include "runtime/graph/graph_program.h"
#include "tests/support/fake_clock.h"
#include "tests/support/model_runner.h"
#include "tests/support/onnx_builder.h"
#include "tests/support/status_testing.h"
#include "tests/support/temp_folder.h"

namespace paramd {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// x [N, width] through `layers` products of [width, width], each of another seed.
std::string Layers(int layers, int64_t width, uint32_t seed) {
  OnnxBuilder builder;
  const std::string size = std::to_string(width);
  builder.Input("x", DType::kF32, {"N", size});
  std::string from = "x";
  for (int i = 0; i < layers; ++i) {
    const std::string n = std::to_string(i);
    builder.RandomFloats("w" + n, {width, width}, seed + static_cast<uint32_t>(i), 0.05f);
    builder.RandomFloats("b" + n, {width}, seed + 100 + static_cast<uint32_t>(i));
    builder.Node("MatMul", {from, "w" + n}, {"m" + n});
    builder.Node("Add", {"m" + n, "b" + n}, {"a" + n});
    builder.Node("Relu", {"a" + n}, {"r" + n});
    from = "r" + n;
  }
  builder.Output(from, DType::kF32, {"N", size});
  return builder.Build();
}

struct Memory {
  uint64_t rss = 0, peak = 0, shmem = 0;
};
Memory ReadMemory() {
  Memory memory;
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    const auto read = [&](const char* key, uint64_t* into) {
      if (line.rfind(key, 0) == 0) *into = std::stoull(line.substr(std::string(key).size())) << 10;
    };
    read("VmRSS:", &memory.rss);
    read("VmHWM:", &memory.peak);
    read("RssShmem:", &memory.shmem);
  }
  return memory;
}
// The peak counts from now on.
void ResetPeak() { std::ofstream("/proc/self/clear_refs") << "5"; }

class ModelLoaderTest : public testing::Test {
 protected:
  absl::StatusOr<ModelLoadResult> Load(const std::string& bytes, ModelLoadOptions options = {}) {
    folder_.Write("model.onnx", bytes);
    return runner_.LoadFile(folder_.path(), "model.onnx", std::move(options));
  }
  uint64_t StoreBytes() { return runner_.store().usage().table.sealed_bytes; }
  uint64_t ReservedBytes() { return runner_.store().usage().table.reserved_bytes; }

  TempFolder folder_;
  ModelRunner runner_;
};

TEST_F(ModelLoaderTest, PeaksAtTheFinalBytesAndOneTensorALoaderThread) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitizer's own memory drowns what is measured";
#endif
  // Eight tensors of 8 MiB; three of one MiB at the end would hide nothing.
  constexpr int kLayers = 8;
  constexpr int64_t kWidth = 1448;
  constexpr uint64_t kTensorBytes = uint64_t{kWidth} * kWidth * 4;
  constexpr uint64_t kFinalBytes = kLayers * kTensorBytes;
  folder_.Write("model.onnx", Layers(kLayers, kWidth, 1));
  // Code and caches of a first load are not this load's.
  folder_.Write("small/model.onnx", Layers(1, 64, 9));
  { ASSERT_OK(runner_.LoadFile(folder_.path("small"), "model.onnx").status()); }
  for (const int threads : {1, 2}) {
    SCOPED_TRACE(threads);
    ModelLoadOptions options;
    options.loader_threads = threads;
    options.max_batch_size = 2;
    ResetPeak();
    const Memory before = ReadMemory();
    ASSERT_OK_AND_ASSIGN(const ModelLoadResult loaded,
                         runner_.LoadFile(folder_.path(), "model.onnx", options));
    const Memory after = ReadMemory();
    if (after.peak < before.rss) GTEST_SKIP() << "this kernel does not reset VmHWM";
    // Page tables, compiled programs, the batching check's activations.
    constexpr uint64_t kSlack = 12 << 20;
    EXPECT_LE(after.peak - before.rss,
              kFinalBytes + static_cast<uint64_t>(threads) * kTensorBytes + kSlack);
    EXPECT_LE(after.rss - before.rss, kFinalBytes + kSlack);
    EXPECT_GE(loaded.model->description().weights_bytes_packed, kFinalBytes);
  }
  EXPECT_EQ(StoreBytes(), 0u);
}

TEST_F(ModelLoaderTest, ReadsEachByteOnceAndTellsHowFarItIs) {
  const std::string bytes = Layers(3, 256, 1);
  std::atomic<uint64_t> last{0}, total{0};
  std::atomic<int> steps{0};
  ModelLoadOptions options;
  options.progress = [&](const LoadStep& step) {
    ++steps;
    total = std::max<uint64_t>(total, step.bytes_total);
    last = std::max<uint64_t>(last, step.bytes_done);
  };
  ASSERT_OK(Load(bytes, options).status());
  EXPECT_EQ(last.load(), total.load());
  EXPECT_EQ(total.load(), 3u * (256 * 256 + 256) * 4);
  EXPECT_GE(steps.load(), 8);
}

TEST_F(ModelLoaderTest, EqualVersionsShareEverything) {
  const std::string bytes = Layers(3, 256, 1);
  ASSERT_OK_AND_ASSIGN(const ModelLoadResult first, Load(bytes));
  const uint64_t one = StoreBytes();
  std::vector<ModelLoadResult> more;
  for (int i = 0; i < 3; ++i) {
    ASSERT_OK_AND_ASSIGN(ModelLoadResult next, Load(bytes));
    more.push_back(std::move(next));
  }
  EXPECT_EQ(StoreBytes(), one);
  EXPECT_EQ(first.weights_id, more[0].weights_id);
  EXPECT_LT(first.generation, more[0].generation);
  EXPECT_EQ(first.model->parameters().unique_bytes(), 0u);
  more.clear();
  EXPECT_EQ(StoreBytes(), one);
  EXPECT_GT(first.model->parameters().unique_bytes(), 0u);
  EXPECT_OK(first.model->parameters().Verify());
}

TEST_F(ModelLoaderTest, AFineTuneOfOneLayerSharesTheOthers) {
  // Seeds 1, 2, 3 and 2, 3, 4: two layers of three are equal.
  ASSERT_OK_AND_ASSIGN(const ModelLoadResult first, Load(Layers(3, 512, 1)));
  const uint64_t one = StoreBytes();
  ASSERT_OK_AND_ASSIGN(const ModelLoadResult second, Load(Layers(3, 512, 2)));
  EXPECT_LT(StoreBytes() - one, 512u * 512 * 4 + (128 << 10));
  EXPECT_NE(first.weights_id, second.weights_id);
}

TEST_F(ModelLoaderTest, NothingStaysAfterTheModelIsGone) {
  { ASSERT_OK(Load(Layers(2, 256, 1)).status()); }
  EXPECT_EQ(StoreBytes(), 0u);
  EXPECT_EQ(ReservedBytes(), 0u);
}

TEST_F(ModelLoaderTest, ParametersHaveRolesIdsAndAManifest) {
  ASSERT_OK_AND_ASSIGN(const ModelLoadResult loaded, Load(Layers(2, 64, 1)));
  const ParameterSet& set = loaded.model->parameters();
  ASSERT_EQ(set.parameters().size(), 4u);
  EXPECT_EQ(set.counts().of(ParameterRole::kWeight), 2 * 64 * 64);
  EXPECT_EQ(set.counts().of(ParameterRole::kBias), 2 * 64);
  const Parameter* weight = set.FindParameter("w1");
  ASSERT_NE(weight, nullptr);
  EXPECT_EQ(weight->bytes, 64u * 64 * 4);
  EXPECT_FALSE(weight->content_id.is_zero());
  int manifests = 0;
  for (const ParameterRef& entry : set.entries()) {
    if (entry.kind() == EntryKind::kManifest) ++manifests;
  }
  EXPECT_EQ(manifests, 1);
}

TEST_F(ModelLoaderTest, AWeightThatIsReadPackedOnlyIsKeptPackedOnly) {
  if (AllBackends().size() < 2) GTEST_SKIP() << "only the reference is built";
  ASSERT_OK_AND_ASSIGN(const ModelLoadResult loaded, Load(Layers(1, 256, 1)));
  const ParameterSet& set = loaded.model->parameters();
  EXPECT_EQ(set.FindEntry(set.FindParameter("w0")->content_id), nullptr);
  EXPECT_LE(StoreBytes(), 256u * 256 * 4 + (64 << 10));
}

TEST_F(ModelLoaderTest, ANaNAmongTrainedParametersIsNamedAndRefused) {
  OnnxBuilder builder;
  builder.Input("x", DType::kF32, {"N", "2"});
  builder.Floats("w", {2, 3}, {1, 2, 3, 4, std::nanf(""), 6});
  // No parameter: masks may hold anything.
  builder.Floats("mask", {3}, {0, -std::numeric_limits<float>::infinity(), 0});
  builder.Node("MatMul", {"x", "w"}, {"y"});
  builder.Node("Max", {"y", "mask"}, {"z"});
  builder.Output("z", DType::kF32, {"N", "3"});
  EXPECT_THAT(Load(builder.Build()).status(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("parameter 'w'"), HasSubstr("NaN at element 4"))));
  EXPECT_EQ(StoreBytes(), 0u);
  EXPECT_EQ(ReservedBytes(), 0u);
}

TEST_F(ModelLoaderTest, ReadsNoFasterThanItsLimit) {
  FakeClock clock;
  absl::Duration slept;
  RateLimit rate(&clock, 1 << 20, [&](absl::Duration wait) {
    slept += wait;
    clock.Advance(wait);
  });
  ModelLoadOptions options;
  options.rate = &rate;
  // Four weights of a MiB each: the first at once, each other after a second.
  ASSERT_OK(Load(Layers(4, 512, 1), options).status());
  EXPECT_GE(slept, absl::Seconds(2.9));
  EXPECT_LE(slept, absl::Seconds(4.1));
}

TEST_F(ModelLoaderTest, AModelThatDoesNotFitIsRefusedWithBothNumbers) {
  ModelRunner small(1 << 20);
  folder_.Write("model.onnx", Layers(4, 256, 1));
  EXPECT_THAT(small.LoadFile(folder_.path(), "model.onnx").status(),
              StatusIs(absl::StatusCode::kResourceExhausted,
                       AllOf(HasSubstr("bytes of parameters"), HasSubstr("1048576"))));
  EXPECT_EQ(small.store().usage().table.reserved_bytes, 0u);
  ModelLoadOptions options;
  options.memory_budget = [] {
    return MemoryBudget{.total_bytes = 1 << 20, .available_bytes = 1000};
  };
  EXPECT_THAT(Load(Layers(4, 256, 1), options).status(),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("1000 are available")));
  EXPECT_EQ(StoreBytes(), 0u);
}

TEST_F(ModelLoaderTest, AFullStoreStillTakesAVersionThatItHasAlready) {
  ModelRunner tight(3 << 20);
  folder_.Write("model.onnx", Layers(8, 256, 1));  // 2 MiB.
  ASSERT_OK_AND_ASSIGN(const ModelLoadResult first, tight.LoadFile(folder_.path(), "model.onnx"));
  ASSERT_OK_AND_ASSIGN(const ModelLoadResult second, tight.LoadFile(folder_.path(), "model.onnx"));
  folder_.Write("other.onnx", Layers(8, 256, 50));
  EXPECT_THAT(tight.LoadFile(folder_.path(), "other.onnx").status(),
              StatusIs(absl::StatusCode::kResourceExhausted));
}

TEST_F(ModelLoaderTest, EveryTruncationIsAnErrorAndLeaksNothing) {
  const std::string bytes = Layers(2, 160, 1);
  for (size_t length = 0; length < bytes.size(); length += 1 + bytes.size() / 97) {
    EXPECT_FALSE(Load(bytes.substr(0, length)).ok()) << length;
  }
  EXPECT_EQ(StoreBytes(), 0u);
  EXPECT_EQ(ReservedBytes(), 0u);
}

// Shrinks or rewrites the file in the middle of the load: once the first tensor
// was read, as the progress tells.
TEST_F(ModelLoaderTest, AFileThatChangesWhileItIsReadIsAnErrorAndLeaksNothing) {
  const std::string bytes = Layers(4, 256, 1);
  for (const bool truncate : {true, false}) {
    SCOPED_TRACE(truncate);
    std::atomic<bool> done{false};
    const std::string path = folder_.path("model.onnx");
    ModelLoadOptions options;
    options.progress = [&](const LoadStep& step) {
      if (step.bytes_done < 256 * 256 * 4 || done.exchange(true)) return;
      if (truncate) {
        EXPECT_EQ(::truncate(path.c_str(), static_cast<off_t>(bytes.size() / 2)), 0);
      } else {
        std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
        file.seekp(static_cast<std::streamoff>(bytes.size() / 2));
        file << "other bytes than before";
      }
    };
    const auto loaded = Load(bytes, options);
    EXPECT_TRUE(done.load());
    EXPECT_THAT(loaded.status(), StatusIs(absl::StatusCode::kDataLoss));
    EXPECT_EQ(StoreBytes(), 0u);
    EXPECT_EQ(ReservedBytes(), 0u);
  }
}

TEST_F(ModelLoaderTest, RowsThatMixAreNotBatchedAndTheReasonIsGiven) {
  // The mean over the batch: row i depends on row j.
  OnnxBuilder builder;
  builder.Input("x", DType::kF32, {"N", "4"})
      .Node("ReduceMean", {"x"}, {"mean"}, {{"axes", std::vector<int64_t>{0}}})
      .Node("Sub", {"x", "mean"}, {"y"})
      .Output("y", DType::kF32, {"N", "4"});
  ASSERT_OK_AND_ASSIGN(const ModelLoadResult loaded, Load(builder.Build()));
  EXPECT_EQ(loaded.model->description().batch_rows_max, 0);
  EXPECT_FALSE(loaded.model->description().batching_reason.empty());
}

TEST_F(ModelLoaderTest, BatchingFollowsTheConfigurationWhereItIsSafe) {
  ModelLoadOptions options;
  options.max_batch_size = 12;
  ASSERT_OK_AND_ASSIGN(const ModelLoadResult twelve, Load(Layers(1, 16, 1), options));
  EXPECT_EQ(twelve.model->description().batch_rows_max, 12);
  for (const int64_t rows : {1, 2, 4, 8, 12}) {
    EXPECT_TRUE(twelve.model->IsCompiled(std::vector<Shape>{Shape{rows, 16}})) << rows;
  }
  options.max_batch_size = 0;
  ASSERT_OK_AND_ASSIGN(const ModelLoadResult never, Load(Layers(1, 16, 1), options));
  EXPECT_EQ(never.model->description().batch_rows_max, 0);
  EXPECT_THAT(never.model->description().batching_reason, HasSubstr("max_batch_size is 0"));
  ASSERT_OK_AND_ASSIGN(const ModelLoadResult automatic, Load(Layers(1, 16, 1)));
  EXPECT_EQ(automatic.model->description().batch_rows_max, ModelLoadOptions().rows_max_automatic);
}

TEST_F(ModelLoaderTest, StagesAreTimedByTheClockThatIsGiven) {
  folder_.Write("model.onnx", Layers(1, 16, 1));
  ASSERT_OK_AND_ASSIGN(const auto directory, Directory::Open(folder_.path()));
  FakeClock clock;
  ModelLoadOptions options;
  options.label = "clock/1";
  options.progress = [&](const LoadStep& step) {
    if (step.stage == "import" && step.bytes_done == 0) clock.Advance(absl::Seconds(3));
  };
  ASSERT_OK_AND_ASSIGN(const ModelLoadResult loaded,
                       LoadModel(*directory, "model.onnx", &runner_.store(), &clock, options));
  const auto& stages = loaded.model->description().load_stages;
  ASSERT_EQ(stages.size(), 8u);
  EXPECT_EQ(stages[0], std::pair(std::string("skim"), absl::ZeroDuration()));
  EXPECT_EQ(stages[1], std::pair(std::string("import"), absl::Seconds(3)));
}

TEST_F(ModelLoaderTest, EveryPlannedOpSaysWhoTookItAndWhyOthersRefused) {
  ASSERT_OK_AND_ASSIGN(const ModelLoadResult loaded, Load(Layers(2, 64, 1)));
  const std::vector<OpReport>& ops = loaded.model->description().ops;
  ASSERT_FALSE(ops.empty());
  for (const OpReport& op : ops) {
    EXPECT_FALSE(op.node.empty());
    EXPECT_FALSE(op.backend.empty());
    EXPECT_FALSE(op.implementation.empty());
    EXPECT_TRUE(op.backend != "reference" || AllBackends().size() == 1 || !op.refusals.empty());
  }
}

TEST_F(ModelLoaderTest, OptionsOutOfRangeAreRefused) {
  ModelLoadOptions options;
  options.precision = "int7";
  EXPECT_THAT(Load(Layers(1, 16, 1), options).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("int7")));
  options = {};
  options.loader_threads = 0;
  EXPECT_THAT(Load(Layers(1, 16, 1), options).status(),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace paramd
