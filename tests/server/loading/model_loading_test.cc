// Loading as the version manager asks for it: from files, or from what an
// earlier worker left in memory.
#include "server/model_loading.h"

#include <gtest/gtest.h>

#include <any>
#include <atomic>
#include <cmath>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "runtime/graph/graph_program.h"
#include "server/config/model_config.h"
#include "server/held_models.h"
#include "tests/support/model_runner.h"
#include "tests/support/onnx_builder.h"
#include "tests/support/status_testing.h"
#include "tests/support/temp_folder.h"

namespace paramd {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// x [N, 64] -> y [N, 4]; another seed, other weights.
std::string Classifier(uint32_t seed, int64_t classes = 4) {
  OnnxBuilder builder;
  builder.Input("x", DType::kF32, {"N", "64"});
  builder.RandomFloats("base", {64, 512}, 7);  // 128 KiB, the same for every seed.
  builder.RandomFloats("head", {512, classes}, seed);
  builder.Node("MatMul", {"x", "base"}, {"h"});
  builder.Node("Relu", {"h"}, {"r"});
  builder.Node("MatMul", {"r", "head"}, {"y"});
  builder.Output("y", DType::kF32, {"N", std::to_string(classes)});
  return builder.Build();
}

// The request of 64 ones, and what is expected of it.
std::string GoldenOnes(const std::string& y, const std::string& more = "") {
  std::string ones = "1";
  for (int i = 1; i < 64; ++i) ones += ", 1";
  return R"({"inputs": {"x": {"dtype": "f32", "shape": [1, 64], "data": [)" + ones +
         R"(]}}, "outputs": {"y": {"dtype": "f32", "shape": [1, 4], "data": )" + y + "}}" + more +
         "}";
}

// A machine whose worker can be replaced; the table is what the keeper has.
class ModelLoadingTest : public testing::Test {
 protected:
  ModelLoadingTest() : table_({.capacity_bytes = uint64_t{1} << 30, .generation_start = 100}) {
    StartWorker();
  }

  void StartWorker() {
    loading_.reset();
    store_.reset();
    auto store = ParameterStore::Create({.table = &table_});
    ASSERT_OK(store.status());
    store_ = *std::move(store);
    auto directory = Directory::Open(folder_.path());
    ASSERT_OK(directory.status());
    directory_ = *std::move(directory);
    loading_ = std::make_unique<ModelLoading>(config_, StreamPlan(), directory_.get(), store_.get(),
                                              Clock::Real());
  }

  void WriteVersion(int64_t number, const std::string& bytes) {
    folder_.Write("m/" + std::to_string(number) + "/model.onnx", bytes);
  }
  LoadRequest Request(int64_t number, std::string revision) {
    LoadRequest request;
    request.id = {"m", number};
    request.directory = "m/" + std::to_string(number);
    request.revision = std::move(revision);
    request.config = model_config_;
    return request;
  }
  absl::StatusOr<LoadedModel> Load(int64_t number, std::string revision = "r1") {
    return loading_->Load(Request(number, std::move(revision)), [this](const LoadNote& note) {
      if (stages_.empty() || stages_.back() != note.stage) stages_.push_back(note.stage);
    });
  }
  std::vector<Tensor> Run(const LoadedModel& loaded) {
    std::vector<Tensor> inputs;
    inputs.push_back(Tensor::Of<float>(DType::kF32, Shape{1, 64}, std::vector<float>(64, 0.5f)));
    auto outputs = RunModel(*loaded.model, inputs);
    EXPECT_OK(outputs.status());
    return outputs.ok() ? *std::move(outputs) : std::vector<Tensor>();
  }
  std::vector<std::string> HeldNames() {
    std::vector<std::string> names;
    for (const auto& holding : table_.Holdings()) names.push_back(holding.name);
    return names;
  }

  TempFolder folder_;
  ServerConfig config_;
  ModelConfig model_config_;
  InProcessSegmentTable table_;
  std::unique_ptr<ParameterStore> store_;
  std::unique_ptr<Directory> directory_;
  std::unique_ptr<ModelLoading> loading_;
  std::vector<std::string> stages_;
};

TEST_F(ModelLoadingTest, ASuccessorServesWithoutOpeningAFile) {
  WriteVersion(1, Classifier(1));
  WeightsIdentity weights;
  std::vector<float> wanted;
  {
    ASSERT_OK_AND_ASSIGN(const LoadedModel loaded, Load(1));
    weights = loaded.weights;
    ASSERT_GE(loaded.warm.size(), 6u);  // 1, 2, 4 .. 32
    EXPECT_TRUE(loaded.warm_later.empty());
    const std::vector<Tensor> outputs = Run(loaded);
    const auto values = outputs[0].view().as<float>();
    wanted.assign(values.begin(), values.end());
  }
  std::filesystem::remove_all(folder_.path("m"));
  StartWorker();
  stages_.clear();
  ASSERT_OK_AND_ASSIGN(const LoadedModel restored, Load(1));
  EXPECT_EQ(restored.weights.generation, weights.generation);
  EXPECT_EQ(restored.weights.weights_id, weights.weights_id);
  EXPECT_EQ(stages_.front(), "manifest");
  // One row is ready, with the time that was measured then; the others follow.
  ASSERT_EQ(restored.warm.size(), 1u);
  EXPECT_EQ(restored.warm[0].rows, 1);
  EXPECT_GT(restored.warm[0].took, absl::ZeroDuration());
  EXPECT_EQ(restored.warm_later.size(), 5u);
  const std::vector<Tensor> outputs = Run(restored);
  const auto values = outputs[0].view().as<float>();
  EXPECT_EQ(std::vector<float>(values.begin(), values.end()), wanted);
}

TEST_F(ModelLoadingTest, LabelsComeWithTheConfigurationAndMayBeGoneForASuccessor) {
  WriteVersion(1, Classifier(1));
  model_config_.outputs = {{"y", DType::kF32, {-1, 4}}};
  model_config_.outputs[0].label_filename = "labels.txt";
  EXPECT_THAT(Load(1).status(), StatusIs(absl::StatusCode::kNotFound, HasSubstr("m/labels.txt")));
  folder_.Write("m/labels.txt", "cat\ndog\n");
  const auto labels = [](const LoadedModel& loaded) {
    return std::any_cast<const ModelConfig&>(loaded.config).outputs[0].labels;
  };
  for (int worker = 0; worker < 2; ++worker) {  // From the file, then from what is held.
    {
      ASSERT_OK_AND_ASSIGN(const LoadedModel loaded, Load(1));
      EXPECT_THAT(labels(loaded), testing::ElementsAre("cat", "dog"));
    }
    StartWorker();
  }
  std::filesystem::remove_all(folder_.path("m"));
  ASSERT_OK_AND_ASSIGN(const LoadedModel without, Load(1));
  EXPECT_THAT(labels(without), testing::IsEmpty());
}

TEST_F(ModelLoadingTest, AnotherRevisionOrPrecisionIsLoadedAnew) {
  WriteVersion(1, Classifier(1));
  { ASSERT_OK(Load(1).status()); }
  StartWorker();
  WriteVersion(1, Classifier(2));
  ASSERT_OK_AND_ASSIGN(const LoadedModel second, Load(1, "r2"));
  EXPECT_EQ(stages_.front(), "skim");
  // The holding is of the second one now: the first one's head is gone.
  ASSERT_OK_AND_ASSIGN(const LoadedModel again, Load(1, "r2"));
  EXPECT_EQ(again.weights.generation, second.weights.generation);
  model_config_.precision = Precision::kBF16;
  ASSERT_OK_AND_ASSIGN(const LoadedModel bf16, Load(1, "r2"));
  EXPECT_NE(bf16.weights.generation, second.weights.generation);
  EXPECT_EQ(bf16.weights.weights_id, second.weights.weights_id);
}

TEST_F(ModelLoadingTest, UnloadGivesItsBytesBackAtOnceAndNeverItsSuccessors) {
  WriteVersion(1, Classifier(1));
  WeightsIdentity first, second;
  {
    ASSERT_OK_AND_ASSIGN(const LoadedModel loaded, Load(1, "r1"));
    first = loaded.weights;
  }
  EXPECT_GT(table_.usage().sealed_bytes, 0u);  // Held, though no model is left.
  WriteVersion(1, Classifier(2));
  {
    ASSERT_OK_AND_ASSIGN(const LoadedModel loaded, Load(1, "r2"));
    second = loaded.weights;
  }
  loading_->Unloaded({"m", 1}, first);  // The older one under the same name.
  EXPECT_EQ(HeldNames(), std::vector<std::string>{"m/1"});
  loading_->Unloaded({"m", 1}, second);
  EXPECT_TRUE(HeldNames().empty());
  EXPECT_EQ(table_.usage().sealed_bytes, 0u);
}

TEST_F(ModelLoadingTest, WhatADeadWorkerHeldAndNobodyWantsGoesOnceAllHasSettled) {
  for (const int64_t version : {1, 2, 3}) {
    WriteVersion(version, Classifier(static_cast<uint32_t>(version)));
    ASSERT_OK(Load(version).status());
  }
  StartWorker();
  ASSERT_OK_AND_ASSIGN(const LoadedModel restored, Load(2));
  ServingStatus status;
  ModelStatus& model = status.models.emplace_back();
  model.name = "m";
  model.versions.push_back({.number = 2, .weights = restored.weights});
  model.versions.push_back({.number = 3});  // Is still loading.
  loading_->ReleaseUnserved(status);
  EXPECT_EQ(HeldNames().size(), 3u);  // Not before everything has come.
  status.settled = true;
  status.converged = true;
  loading_->ReleaseUnserved(status);
  EXPECT_EQ(HeldNames(), std::vector<std::string>{"m/2"});
}

TEST_F(ModelLoadingTest, ARecordThatCannotBeReadIsAsGoodAsNone) {
  WriteVersion(1, Classifier(1));
  ASSERT_OK(Load(1).status());
  SegmentTable::Holding holding = table_.Holdings()[0];
  for (const std::string& note : {std::string(), std::string("PARAMDMR nonsense"),
                                  holding.note.substr(0, holding.note.size() - 1)}) {
    holding.note = note;
    ASSERT_OK(table_.Hold(holding));
    stages_.clear();
    ASSERT_OK(Load(1).status());
    EXPECT_EQ(stages_.front(), "skim");
  }
}

// ---- Every way a load can fail leaves what is held as it was. ----

TEST_F(ModelLoadingTest, AVersionThatFailsAtAnyStageLeavesTheOldOneHeld) {
  WriteVersion(1, Classifier(1));
  ASSERT_OK_AND_ASSIGN(const LoadedModel old, Load(1));
  const uint64_t sealed = table_.usage().sealed_bytes;
  const std::string good = Classifier(2);
  const auto after = [&] {
    EXPECT_EQ(HeldNames(), std::vector<std::string>{"m/1"});
    EXPECT_EQ(table_.usage().sealed_bytes, sealed);
    EXPECT_EQ(table_.usage().reserved_bytes, 0u);
    EXPECT_FALSE(Run(old).empty());
  };

  // Missing: the folder, then the file.
  EXPECT_THAT(Load(2).status(), StatusIs(absl::StatusCode::kNotFound, HasSubstr("m/2")));
  after();
  folder_.Write("m/2/readme.txt", "no model");
  EXPECT_THAT(Load(2).status(), StatusIs(absl::StatusCode::kNotFound, HasSubstr("model.onnx")));
  after();

  // Truncated: the last bytes are those of a tensor.
  WriteVersion(2, good.substr(0, good.size() / 2));
  EXPECT_THAT(Load(2).status(), StatusIs(absl::StatusCode::kInvalidArgument));
  after();

  // Rewritten while it is read.
  WriteVersion(2, good);
  bool rewritten = false;
  const absl::Status status =
      loading_
          ->Load(Request(2, "r1"),
                 [&](const LoadNote& note) {
                   if (note.stage != "parameters" || std::exchange(rewritten, true)) return;
                   std::string other = good;
                   other.back() ^= 1;
                   WriteVersion(2, other);
                 })
          .status();
  EXPECT_TRUE(rewritten);
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kDataLoss, HasSubstr("model.onnx")));
  after();

  // A parameter that is not a number.
  OnnxBuilder broken;
  broken.Input("x", DType::kF32, {"N", "64"});
  std::vector<float> head(64 * 4, 0.5f);
  head[17] = std::nanf("");
  broken.Floats("head", {64, 4}, head);
  broken.Node("MatMul", {"x", "head"}, {"y"});
  broken.Output("y", DType::kF32, {"N", "4"});
  WriteVersion(2, broken.Build());
  EXPECT_THAT(Load(2).status(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("'head'"), HasSubstr("NaN at element 17"))));
  after();

  // A golden request that it answers otherwise.
  WriteVersion(2, good);
  folder_.Write("m/2/golden/one.json", GoldenOnes("[1, 2, 3, 4]"));
  EXPECT_THAT(Load(2).status(), StatusIs(absl::StatusCode::kFailedPrecondition,
                                         AllOf(HasSubstr("golden/one.json, output 'y'"),
                                               HasSubstr("expected "), HasSubstr("it answers "))));
  after();
  folder_.Write("m/2/golden/one.json", "{");
  EXPECT_THAT(Load(2).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("golden/one.json")));
  after();
  std::filesystem::remove_all(folder_.path("m/2/golden"));

  // Another shape than the configuration declares.
  WriteVersion(2, good);
  model_config_.outputs.push_back({.name = "y", .dtype = DType::kF32, .dims = {-1, 5}});
  EXPECT_THAT(Load(2).status(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("y")));
  model_config_.outputs.clear();
  after();
}

TEST_F(ModelLoadingTest, AVersionThatAnswersItsGoldenRequestsPassesTheGate) {
  // What the first version answers is what the second one, of equal weights, must.
  WriteVersion(1, Classifier(1));
  std::string y;
  {
    ASSERT_OK_AND_ASSIGN(const LoadedModel loaded, Load(1));
    std::vector<Tensor> inputs;
    inputs.push_back(Tensor::Of<float>(DType::kF32, Shape{1, 64}, std::vector<float>(64, 1.0f)));
    ASSERT_OK_AND_ASSIGN(const std::vector<Tensor> outputs, RunModel(*loaded.model, inputs));
    const absl::Span<const float> values = outputs[0].view().as<float>();
    for (const float value : values) {
      y += (y.empty() ? "[" : ", ") + std::to_string(value);
    }
    y += "]";
  }
  WriteVersion(2, Classifier(1));
  folder_.Write("m/2/golden/one.json", GoldenOnes(y));
  stages_.clear();
  ASSERT_OK(Load(2).status());
  EXPECT_EQ(stages_.back(), "gate");
  // The configuration's tolerance holds where the file has none.
  WriteVersion(3, Classifier(2));
  folder_.Write("m/3/golden/one.json", GoldenOnes(y));
  EXPECT_THAT(Load(3).status(), StatusIs(absl::StatusCode::kFailedPrecondition));
  model_config_.gate_tolerance = 1e6;
  EXPECT_OK(Load(3).status());
  folder_.Write("m/3/golden/one.json", GoldenOnes(y, ", \"tolerance\": 0.001"));
  EXPECT_THAT(Load(3, "r2").status(), StatusIs(absl::StatusCode::kFailedPrecondition));
  // Restoring asks nobody: it has passed.
  StartWorker();
  folder_.Write("m/2/golden/one.json", GoldenOnes("[9, 9, 9, 9]"));
  ASSERT_OK(Load(2).status());
}

TEST_F(ModelLoadingTest, APlanSaysWhatTheLoadWillAddAndWhatWouldGoFirst) {
  WriteVersion(1, Classifier(1));
  LoadRequest request = Request(1, "r1");
  ASSERT_OK_AND_ASSIGN(LoadPlan plan, loading_->Plan(request, {}));
  EXPECT_OK(plan.verdict);
  EXPECT_EQ(plan.model, "m");
  EXPECT_EQ(plan.version, 1);
  EXPECT_GE(plan.parameter_bytes, (64u * 512 + 512 * 4) * 4);
  EXPECT_EQ(plan.resident_bytes, 0u);
  EXPECT_EQ(plan.capacity_bytes, uint64_t{1} << 30);
  EXPECT_GE(plan.left_bytes, plan.needed_bytes);
  EXPECT_EQ(table_.usage().sealed_bytes, 0u);

  ASSERT_OK_AND_ASSIGN(const LoadedModel loaded, Load(1));
  // Held as it is: nothing is needed, and no file is opened for saying so.
  std::filesystem::remove_all(folder_.path("m"));
  ASSERT_OK_AND_ASSIGN(plan, loading_->Plan(request, {}));
  EXPECT_EQ(plan.resident_bytes, plan.parameter_bytes);
  EXPECT_EQ(plan.parameter_bytes, table_.usage().sealed_bytes);
  EXPECT_EQ(plan.needed_bytes, 0u);

  WriteVersion(2, Classifier(2));
  const VersionId goes_first[] = {{"m", 1}};
  ASSERT_OK_AND_ASSIGN(plan, loading_->Plan(Request(2, "r1"), goes_first));
  EXPECT_EQ(plan.freed_bytes, loaded.model->parameters().unique_bytes());
  EXPECT_GT(plan.resident_bytes, 64u * 512 * 4 - 1);  // The base is shared.
}

TEST_F(ModelLoadingTest, BytesReadAreTold) {
  WriteVersion(1, Classifier(1));
  std::atomic<uint64_t> read{0};
  ModelLoading loading(config_, StreamPlan(), directory_.get(), store_.get(), Clock::Real(),
                       ModelLoadingOptions{.on_read = [&](const std::string& model, uint64_t n) {
                         EXPECT_EQ(model, "m");
                         read += n;
                       }});
  ASSERT_OK(loading.Load(Request(1, "r1"), [](const LoadNote&) {}).status());
  EXPECT_EQ(read.load(), (64u * 512 + 512 * 4) * 4);
}

TEST_F(ModelLoadingTest, TooLargeIsRefusedWithBothNumbers) {
  InProcessSegmentTable small({.capacity_bytes = 320 << 10});
  ASSERT_OK_AND_ASSIGN(auto store, ParameterStore::Create({.table = &small}));
  ModelLoading loading(config_, StreamPlan(), directory_.get(), store.get(), Clock::Real());
  WriteVersion(1, Classifier(1));
  const auto quiet = [](const LoadNote&) {};
  ASSERT_OK_AND_ASSIGN(const LoadedModel old, loading.Load(Request(1, "r1"), quiet));
  WriteVersion(2, Classifier(2, 64));  // A head of 128 KiB more.
  EXPECT_THAT(loading.Load(Request(2, "r1"), quiet).status(),
              StatusIs(absl::StatusCode::kResourceExhausted,
                       AllOf(HasSubstr("'m/2' needs"), HasSubstr("327680"))));
  EXPECT_EQ(small.Holdings().size(), 1u);
}

}  // namespace
}  // namespace paramd
