// What a load would take, said before it is tried, against what it then takes.
#include <gtest/gtest.h>

#include <string>

#include "runtime/backends/backend_list.h"
#include "runtime/loading/model_loader.h"
#include "tests/support/model_runner.h"
#include "tests/support/onnx_builder.h"
#include "tests/support/status_testing.h"
#include "tests/support/temp_folder.h"

namespace paramd {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr uint64_t kWeightBytes = 512 * 512 * 4;

// x [N, 512] through `layers` products, each of another seed.
std::string Layers(int layers, uint32_t seed) {
  OnnxBuilder builder;
  builder.Input("x", DType::kF32, {"N", "512"});
  std::string from = "x";
  for (int i = 0; i < layers; ++i) {
    const std::string n = std::to_string(i);
    builder.RandomFloats("w" + n, {512, 512}, seed + static_cast<uint32_t>(i), 0.05f);
    builder.Node("MatMul", {from, "w" + n}, {"m" + n});
    from = "m" + n;
  }
  builder.Output(from, DType::kF32, {"N", "512"});
  return builder.Build();
}

class LoadEstimateTest : public testing::Test {
 protected:
  absl::StatusOr<LoadEstimate> Estimate(ParameterStore* store, const std::string& bytes,
                                        ModelLoadOptions options = {}, uint64_t freed = 0) {
    folder_.Write("model.onnx", bytes);
    PARAMD_ASSIGN_OR_RETURN(const auto folder, Directory::Open(folder_.path()));
    options.label = "test/2";
    return EstimateLoad(*folder, "model.onnx", store, Clock::Real(), options, freed);
  }
  absl::StatusOr<ModelLoadResult> Load(ModelRunner* runner, const std::string& bytes) {
    folder_.Write("model.onnx", bytes);
    return runner->LoadFile(folder_.path(), "model.onnx");
  }

  TempFolder folder_;
};

TEST_F(LoadEstimateTest, SaysWhatALoadThenAdds) {
  ModelRunner runner;
  ASSERT_OK_AND_ASSIGN(const LoadEstimate estimate, Estimate(&runner.store(), Layers(3, 1)));
  EXPECT_OK(estimate.verdict);
  EXPECT_EQ(estimate.resident_bytes, 0u);
  EXPECT_EQ(runner.store().usage().table.sealed_bytes, 0u);
  ASSERT_OK_AND_ASSIGN(const ModelLoadResult loaded, Load(&runner, Layers(3, 1)));
  const uint64_t added = runner.store().usage().table.sealed_bytes;
  // All but the manifest, which has the graph's size.
  EXPECT_LE(estimate.need.parameter_bytes, added);
  EXPECT_GE(estimate.need.parameter_bytes + (16 << 10), added);
}

TEST_F(LoadEstimateTest, WhatIsResidentIsNotNeededAgain) {
  ModelRunner runner;
  ASSERT_OK_AND_ASSIGN(const ModelLoadResult first, Load(&runner, Layers(3, 1)));
  ASSERT_OK_AND_ASSIGN(LoadEstimate estimate, Estimate(&runner.store(), Layers(3, 1)));
  EXPECT_EQ(estimate.need.parameter_bytes, 0u);
  EXPECT_EQ(estimate.resident_bytes, estimate.form_bytes);
  // Seeds 1, 2, 3 are there; of 2, 3, 4 the last is new.
  ASSERT_OK_AND_ASSIGN(estimate, Estimate(&runner.store(), Layers(3, 2)));
  EXPECT_EQ(estimate.need.parameter_bytes, kWeightBytes);
  EXPECT_EQ(estimate.resident_bytes, 2 * kWeightBytes);
}

TEST_F(LoadEstimateTest, ARefusalSaysWhatWouldFit) {
  if (AllBackends().size() < 2) GTEST_SKIP() << "the reference packs nothing in bf16";
  // Room for the model that is there and half of another.
  ModelRunner runner(6 * kWeightBytes + (64 << 10));
  ASSERT_OK_AND_ASSIGN(const ModelLoadResult first, Load(&runner, Layers(4, 1)));
  ASSERT_OK_AND_ASSIGN(const LoadEstimate estimate, Estimate(&runner.store(), Layers(4, 100)));
  EXPECT_THAT(estimate.verdict,
              StatusIs(absl::StatusCode::kResourceExhausted,
                       AllOf(HasSubstr(std::to_string(4 * kWeightBytes) + " bytes of parameters"),
                             HasSubstr("of the store's"), HasSubstr("unloading 'test/1'"))));
  // bf16 is a promise only where some backend computes in it.
  ModelLoadOptions bf16;
  bf16.precision = "bf16";
  ASSERT_OK_AND_ASSIGN(const LoadEstimate half, Estimate(&runner.store(), Layers(4, 100), bf16));
  if (half.verdict.ok()) {
    EXPECT_THAT(estimate.verdict.message(), HasSubstr("as bf16 it would fit"));
  } else {
    EXPECT_THAT(estimate.verdict.message(), Not(HasSubstr("bf16")));
  }
  // The load itself says the same.
  EXPECT_THAT(Load(&runner, Layers(4, 100)).status(),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("unloading 'test/1'")));
}

TEST_F(LoadEstimateTest, MemoryFirstCountsWhatIsFreed) {
  ModelRunner runner(6 * kWeightBytes + (64 << 10));
  ASSERT_OK_AND_ASSIGN(const ModelLoadResult first, Load(&runner, Layers(4, 1)));
  const uint64_t freed = first.model->parameters().unique_bytes();
  ASSERT_OK_AND_ASSIGN(const LoadEstimate estimate,
                       Estimate(&runner.store(), Layers(4, 100), {}, freed));
  EXPECT_OK(estimate.verdict);
  EXPECT_EQ(estimate.room.freed_bytes, freed);
}

TEST_F(LoadEstimateTest, AFileThatCannotBeLoadedIsAnError) {
  ModelRunner runner;
  EXPECT_THAT(Estimate(&runner.store(), "no model").status(),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace paramd
