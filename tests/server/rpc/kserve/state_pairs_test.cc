#include "server/rpc/kserve/state_pairs.h"

#include "tests/support/status_testing.h"

namespace paramd {
namespace {

// As silero-vad exports it.
ModelDescription VoiceDetector() {
  ModelDescription description;
  description.inputs = {
      {"input", DType::kF32, {Dim::Named("batch"), Dim::Named("samples")}},
      {"state", DType::kF32, {Dim::Of(2), Dim::Named("batch"), Dim::Of(128)}},
      {"sr", DType::kI64, {}},
  };
  description.outputs = {
      {"output", DType::kF32, {Dim::Named("batch"), Dim::Of(1)}},
      {"stateN", DType::kF32, {Dim::Unknown(), Dim::Unknown(), Dim::Unknown()}},
  };
  return description;
}

TEST(StatePairs, AreFoundByTheirNames) {
  const std::vector<StatePair> pairs = FindStatePairs(VoiceDetector(), nullptr);
  ASSERT_EQ(pairs.size(), 1u);
  EXPECT_EQ(pairs[0].input, 1);
  EXPECT_EQ(pairs[0].output, 1);
}

TEST(StatePairs, NeedOneTypeAndRank) {
  ModelDescription description = VoiceDetector();
  description.outputs[1].dtype = DType::kF64;
  EXPECT_TRUE(FindStatePairs(description, nullptr).empty());
  description = VoiceDetector();
  description.outputs[1].shape.pop_back();
  EXPECT_TRUE(FindStatePairs(description, nullptr).empty());
}

TEST(StatePairs, TheConfigurationDecides) {
  ModelDescription description = VoiceDetector();
  description.outputs[1].name = "memory";
  EXPECT_TRUE(FindStatePairs(description, nullptr).empty());
  ModelConfig config;
  config.states = {{"state", "memory"}};
  ASSERT_EQ(FindStatePairs(description, &config).size(), 1u);
}

TEST(StatePairs, BeginWithTheSizesOfTheRequest) {
  const ModelDescription description = VoiceDetector();
  std::vector<NamedTensor> inputs(1);
  inputs[0].name = "input";
  inputs[0].shape = Shape({3, 512});
  EXPECT_EQ(InitialShape(description, description.inputs[1], inputs).ToString(), "[2,3,128]");
  EXPECT_EQ(InitialShape(description, description.inputs[1], {}).ToString(), "[2,1,128]");
}

}  // namespace
}  // namespace paramd
