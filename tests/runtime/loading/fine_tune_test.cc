// What fine-tuned versions cost: k of n tensors changed costs those k, to the byte.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "runtime/loading/model_loader.h"
#include "runtime/params/sealed_memory.h"
#include "tests/support/model_runner.h"
#include "tests/support/onnx_builder.h"
#include "tests/support/status_testing.h"
#include "tests/support/temp_folder.h"

namespace paramd {
namespace {

constexpr int64_t kWidth = 512;
constexpr int kLayers = 6;
constexpr uint64_t kWeightBytes = uint64_t{kWidth} * kWidth * 4;

// x [N, 512] through six products with biases, each layer from its own seed.
std::string Network(const std::vector<uint32_t>& layer_seeds) {
  OnnxBuilder builder;
  builder.Input("x", DType::kF32, {"N", std::to_string(kWidth)});
  std::string from = "x";
  for (size_t i = 0; i < layer_seeds.size(); ++i) {
    const std::string n = std::to_string(i);
    builder.RandomFloats("w" + n, {kWidth, kWidth}, layer_seeds[i], 0.05f);
    builder.RandomFloats("b" + n, {kWidth}, 1000 + layer_seeds[i]);
    builder.Node("Gemm", {from, "w" + n, "b" + n}, {"g" + n});
    builder.Node("Relu", {"g" + n}, {"r" + n});
    from = "r" + n;
  }
  builder.Output(from, DType::kF32, {"N", std::to_string(kWidth)});
  return builder.Build();
}

std::vector<uint32_t> Seeds(uint32_t first) {
  std::vector<uint32_t> seeds;
  for (int i = 0; i < kLayers; ++i) seeds.push_back(first + static_cast<uint32_t>(i));
  return seeds;
}

class FineTuneTest : public testing::Test {
 protected:
  void Load(const std::string& label, const std::string& bytes) {
    folder_.Write("model.onnx", bytes);
    ModelLoadOptions options;
    options.label = label;
    auto loaded = runner_.LoadFile(folder_.path(), "model.onnx", options);
    ASSERT_OK(loaded.status());
    models_.push_back(*std::move(loaded));
  }
  uint64_t Sealed() { return runner_.store().usage().table.sealed_bytes; }
  // Whole pages of a set's manifest, whose size follows from the graph.
  uint64_t ManifestBytes(const ModelLoadResult& loaded) {
    return PageRoundedBytes(loaded.record.manifest_bytes);
  }

  TempFolder folder_;
  ModelRunner runner_;
  std::vector<ModelLoadResult> models_;
};

// Below this tensors share a segment.
constexpr uint64_t kSmall = 64 << 10;
// Biases of 2 KiB: six of them in one bundle of a base, one in a variant's.
constexpr uint64_t kBaseBundle = 12 << 10;
constexpr uint64_t kOneBias = 4 << 10;  // Its page.

TEST_F(FineTuneTest, OneChangedLayerCostsThatLayer) {
  Load("base/1", Network(Seeds(1)));
  if (HasFatalFailure()) return;
  const uint64_t base = Sealed();
  EXPECT_EQ(base, kLayers * kWeightBytes + kBaseBundle + ManifestBytes(models_[0]));
  std::vector<uint32_t> tuned = Seeds(1);
  tuned.back() = 500;
  Load("base/2", Network(tuned));
  if (HasFatalFailure()) return;
  EXPECT_EQ(Sealed() - base, kWeightBytes + kOneBias + ManifestBytes(models_[1]));
}

TEST_F(FineTuneTest, TwoModelsAndSixVariantsOfABaseCostTheBaseAndTheDifferences) {
  Load("base/1", Network(Seeds(1)));
  Load("other/1", Network(Seeds(100)));
  if (HasFatalFailure()) return;
  uint64_t expected = 2 * (kLayers * kWeightBytes + kBaseBundle);
  // Variant v changes the last v layers; its biases are a bundle of their own.
  for (uint32_t v = 1; v <= kLayers; ++v) {
    std::vector<uint32_t> seeds = Seeds(1);
    for (uint32_t i = 0; i < v; ++i) seeds[kLayers - 1 - i] = 1000 * v + i;
    Load("base/" + std::to_string(v + 1), Network(seeds));
    if (HasFatalFailure()) return;
    expected += v * kWeightBytes + PageRoundedBytes(v * kWidth * 4);
  }
  for (const ModelLoadResult& model : models_) expected += ManifestBytes(model);
  EXPECT_EQ(Sealed(), expected);

  // And the ledger says the same, line by line: nothing is what is left over.
  const MemoryLedger ledger = runner_.store().Ledger();
  ASSERT_EQ(ledger.sets.size(), 8u);
  uint64_t unique = 0;
  for (const MemoryLedger::SetLine& line : ledger.sets) unique += line.bytes.unique.total();
  EXPECT_EQ(unique + ledger.shared_once_bytes + ledger.unowned_bytes, ledger.held_bytes);
  EXPECT_EQ(ledger.held_bytes, expected);
  EXPECT_EQ(ledger.unowned_bytes, 0u);
  // Of the base nothing is its own but the manifest and what every variant changed.
  EXPECT_EQ(ledger.sets[0].bytes.unique.total(), kWeightBytes + ManifestBytes(models_[0]));
  // The other model shares nothing.
  EXPECT_EQ(ledger.sets[1].bytes.shared.total(), 0u);

  // Each variant gives back its difference, and only that.
  uint64_t left = expected;
  for (uint32_t v = kLayers; v >= 1; --v) {
    left -= v * kWeightBytes + PageRoundedBytes(v * kWidth * 4) + ManifestBytes(models_.back());
    models_.pop_back();
    EXPECT_EQ(Sealed(), left) << v;
  }
}

TEST_F(FineTuneTest, VerifyHashesThePackedFormsToo) {
  Load("base/1", Network(Seeds(1)));
  if (HasFatalFailure()) return;
  const ParameterSet& set = models_[0].model->parameters();
  EXPECT_OK(set.Verify());
  size_t packed = 0;
  for (const ParameterRef& entry : set.entries()) packed += entry.kind() == EntryKind::kPacked;
  if (packed == 0) GTEST_SKIP() << "no backend packs on this machine";
  // Every entry has the digest of its bytes: what Verify compares.
  for (const ParameterRef& entry : set.entries()) {
    EXPECT_EQ(entry.digest(), DigestOf(entry.bytes())) << EntryKindName(entry.kind());
  }
}

// AlexNet's last layers. A head of 4,096,000 weights and 1,000 biases in f32 is
// 16,388,000 bytes; oneDNN's layout gives each row of 1,000 columns 1,024 places,
// so that kernels never meet a ragged edge: 16,777,216 and the biases' page.
TEST_F(FineTuneTest, ANewHeadOfAlexNetsSizeCosts16Point4Megabytes) {
  const auto network = [](uint32_t head) {
    OnnxBuilder builder;
    builder.Input("x", DType::kF32, {"N", "256"});
    builder.RandomFloats("fc6.w", {256, 4096}, 1, 0.05f);
    builder.RandomFloats("fc6.b", {4096}, 2);
    builder.RandomFloats("fc8.w", {4096, 1000}, head, 0.05f);
    builder.RandomFloats("fc8.b", {1000}, head + 1);
    builder.Node("Gemm", {"x", "fc6.w", "fc6.b"}, {"h"});
    builder.Node("Relu", {"h"}, {"r"});
    builder.Node("Gemm", {"r", "fc8.w", "fc8.b"}, {"y"});
    builder.Output("y", DType::kF32, {"N", "1000"});
    return builder.Build();
  };
  Load("alexnet/1", network(10));
  if (HasFatalFailure()) return;
  const uint64_t base = Sealed();
  Load("alexnet/2", network(20));
  if (HasFatalFailure()) return;
  constexpr uint64_t kHead = 4'096'000 * 4 + 1'000 * 4;
  static_assert(kHead == 16'388'000);
  uint64_t packed = 0;
  for (const ParameterRef& entry : models_[1].model->parameters().entries()) {
    if (entry.kind() == EntryKind::kManifest || entry.bytes().size() < kSmall) continue;
    if (models_[0].model->parameters().FindEntry(entry.key()) == nullptr) {
      packed += PageRoundedBytes(entry.bytes().size());
    }
  }
  const uint64_t added = Sealed() - base - ManifestBytes(models_[1]);
  EXPECT_EQ(added, packed + PageRoundedBytes(1'000 * 4));
  EXPECT_GE(added, kHead);
  EXPECT_LE(added, 4096u * 1024 * 4 + kPageBytes);
}

}  // namespace
}  // namespace paramd
