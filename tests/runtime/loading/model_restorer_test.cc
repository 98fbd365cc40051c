// A model again from its manifest: no file, the same bits.
#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "runtime/backends/backend_list.h"
#include "runtime/graph/graph_program.h"
#include "runtime/loading/batching_check.h"
#include "runtime/loading/model_loader.h"
#include "runtime/params/manifest.h"
#include "tests/support/fake_clock.h"
#include "tests/support/model_runner.h"
#include "tests/support/onnx_builder.h"
#include "tests/support/status_testing.h"
#include "tests/support/temp_folder.h"

namespace paramd {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr uint32_t kSeed = 20261124;

// A process that can be replaced: its store goes, the table stays.
class Machine {
 public:
  explicit Machine(uint64_t capacity_bytes = uint64_t{1} << 32)
      : table_({.capacity_bytes = capacity_bytes, .generation_start = 1000}) {
    Restart();
  }

  // REQUIRES: no model of the old store is left.
  void Restart() {
    store_.reset();
    auto store = ParameterStore::Create({.table = &table_});
    if (store.ok()) store_ = *std::move(store);
  }

  ParameterStore& store() { return *store_; }
  InProcessSegmentTable& table() { return table_; }

  absl::StatusOr<ModelLoadResult> Load(const std::string& folder, ModelLoadOptions options = {}) {
    PARAMD_ASSIGN_OR_RETURN(const std::unique_ptr<Directory> directory, Directory::Open(folder));
    if (options.label.empty()) options.label = "test/1";
    return LoadModel(*directory, "model.onnx", store_.get(), Clock::Real(), options);
  }
  absl::StatusOr<ModelLoadResult> Restore(const ModelRecord& record,
                                          ModelLoadOptions options = {}) {
    if (options.label.empty()) options.label = "test/1";
    return RestoreModel(record, store_.get(), Clock::Real(), options);
  }
  absl::Status Hold(const ModelLoadResult& loaded, std::string name = "test/1") {
    SegmentTable::Holding holding{.name = std::move(name)};
    for (const ParameterRef& entry : loaded.model->parameters().entries()) {
      holding.keys.push_back(entry.key());
    }
    PARAMD_ASSIGN_OR_RETURN(holding.note, SerializeModelRecord(loaded.record));
    return table_.Hold(std::move(holding));
  }
  absl::StatusOr<ModelRecord> Held(std::string_view name = "test/1") {
    for (const SegmentTable::Holding& holding : table_.Holdings()) {
      if (holding.name == name) return ParseModelRecord(holding.note);
    }
    return absl::NotFoundError("not held");
  }

 private:
  InProcessSegmentTable table_;
  std::unique_ptr<ParameterStore> store_;
};

std::vector<Tensor> RandomInputs(const ModelDescription& description, int64_t rows) {
  std::mt19937 random(kSeed);
  std::normal_distribution<float> normal;
  std::vector<Tensor> inputs;
  for (const TensorSpec& spec : description.inputs) {
    Shape shape;
    for (const Dim& dim : spec.shape) shape.push_back(dim.known() ? dim.size : rows);
    Tensor tensor(spec.dtype, shape);
    for (float& value : tensor.view().as<float>()) value = normal(random);
    inputs.push_back(std::move(tensor));
  }
  return inputs;
}

bool SameBits(const Tensor& a, const Tensor& b) {
  return a.dtype() == b.dtype() && a.shape() == b.shape() &&
         std::memcmp(a.view().data, b.view().data, a.view().bytes()) == 0;
}

struct Sample {
  const char* folder;
  const char* precision;
  const char* backends;  // "all" or "reference".
};

class RestoredSamples : public testing::TestWithParam<Sample> {};
INSTANTIATE_TEST_SUITE_P(Models, RestoredSamples,
                         testing::Values(Sample{"deploy/models/digits/1", "f32", "all"},
                                         Sample{"deploy/models/digits/1", "bf16", "all"},
                                         Sample{"deploy/models/digits/1", "f32", "reference"},
                                         Sample{"deploy/models/house-price/1", "f32", "all"},
                                         Sample{"tests/golden/efficientnet-lite0", "f32", "all"},
                                         Sample{"tests/golden/efficientnet-lite0", "bf16", "all"}));

TEST_P(RestoredSamples, AnswerBitForBitAsLoadedWithoutAnyFile) {
  const Sample& sample = GetParam();
  Machine machine;
  ModelLoadOptions options;
  options.precision = sample.precision;
  if (std::string(sample.backends) == "reference") options.backends = AllBackends().last(1);
  ModelDescription before;
  std::map<int64_t, std::vector<Tensor>> answers;
  uint64_t generation = 0;
  ContentId weights_id;
  std::map<ContentId, uint64_t> entries;
  ParameterCounts counts;
  {
    ASSERT_OK_AND_ASSIGN(const ModelLoadResult loaded, machine.Load(sample.folder, options));
    ASSERT_OK(machine.Hold(loaded));
    before = loaded.model->description();
    generation = loaded.generation;
    weights_id = loaded.weights_id;
    counts = loaded.model->parameters().counts();
    for (const ParameterRef& entry : loaded.model->parameters().entries()) {
      entries[entry.key()] = entry.bytes().size();
    }
    for (const int64_t rows : {1, 2, 3, 8, 32}) {
      if (rows > std::max<int64_t>(1, before.batch_rows_max)) break;
      ASSERT_OK_AND_ASSIGN(answers[rows], RunModel(*loaded.model, RandomInputs(before, rows)));
    }
  }
  machine.Restart();
  const uint64_t sealed = machine.table().usage().sealed_bytes;
  EXPECT_GT(sealed, 0u);

  ASSERT_OK_AND_ASSIGN(const ModelRecord record, machine.Held());
  ASSERT_OK_AND_ASSIGN(const ModelLoadResult restored, machine.Restore(record, options));
  EXPECT_EQ(machine.table().usage().sealed_bytes, sealed);
  EXPECT_EQ(machine.table().usage().reserved_bytes, 0u);
  EXPECT_EQ(restored.generation, generation);
  EXPECT_EQ(restored.weights_id, weights_id);
  EXPECT_EQ(restored.model->parameters().weights_id(), weights_id);
  EXPECT_OK(restored.model->parameters().Verify());
  std::map<ContentId, uint64_t> entries_again;
  for (const ParameterRef& entry : restored.model->parameters().entries()) {
    entries_again[entry.key()] = entry.bytes().size();
  }
  EXPECT_EQ(entries_again, entries);
  const ModelDescription& after = restored.model->description();
  EXPECT_EQ(after.batch_rows_max, before.batch_rows_max);
  EXPECT_EQ(after.batching_reason, before.batching_reason);
  EXPECT_EQ(after.weights_bytes_packed, before.weights_bytes_packed);
  EXPECT_EQ(after.arena_bytes, before.arena_bytes);
  EXPECT_EQ(after.producer, before.producer);
  EXPECT_EQ(after.precision, before.precision);
  ASSERT_EQ(after.ops.size(), before.ops.size());
  for (size_t i = 0; i < after.ops.size(); ++i) {
    EXPECT_EQ(after.ops[i].implementation, before.ops[i].implementation) << after.ops[i].node;
  }
  EXPECT_EQ(restored.model->parameters().counts().elements, counts.elements);
  for (const auto& [rows, wanted] : answers) {
    SCOPED_TRACE(rows);
    ASSERT_OK_AND_ASSIGN(const std::vector<Tensor> got,
                         RunModel(*restored.model, RandomInputs(before, rows)));
    ASSERT_EQ(got.size(), wanted.size());
    for (size_t i = 0; i < got.size(); ++i) EXPECT_TRUE(SameBits(got[i], wanted[i])) << i;
  }
}

class ModelRestorerTest : public testing::Test {
 protected:
  void Load(const std::string& bytes, ModelLoadOptions options = {}) {
    folder_.Write("model.onnx", bytes);
    ASSERT_OK_AND_ASSIGN(const ModelLoadResult loaded, machine_.Load(folder_.path(), options));
    record_ = loaded.record;
    ASSERT_OK(machine_.Hold(loaded));
  }

  TempFolder folder_;
  Machine machine_;
  ModelRecord record_;
};

// Shape arithmetic on constants of the file, a fill, and a subgraph with
// parameters of its own: all that an import reads besides names.
std::string ModelThatReadsValues() {
  OnnxBuilder builder;
  builder.Input("x", DType::kF32, {"N", "8"});
  builder.RandomFloats("w", {8, 8}, 1);
  std::vector<int64_t> many(600, 0);  // 4,800 bytes: beyond what stays in the skeleton.
  for (size_t i = 0; i < many.size(); ++i) many[i] = static_cast<int64_t>(i % 8);
  builder.Ints("indices", {600}, many);
  builder.Ints("shape", {2}, {-1, 600});
  builder.Node("MatMul", {"x", "w"}, {"y"});
  builder.Node("Gather", {"y", "indices"}, {"z"}, {{"axis", int64_t{1}}});
  builder.Node("Reshape", {"z", "shape"}, {"out"});
  builder.Output("out", DType::kF32, {"N", "600"});
  return builder.Build();
}

TEST_F(ModelRestorerTest, ShapesAndIndicesThatTheImportReadsComeBackToo) {
  ASSERT_NO_FATAL_FAILURE(Load(ModelThatReadsValues()));
  machine_.Restart();
  folder_.Write("model.onnx", "overwritten");
  ASSERT_OK_AND_ASSIGN(const ModelLoadResult restored, machine_.Restore(record_));
  const std::vector<Tensor> inputs = RandomInputs(restored.model->description(), 2);
  ASSERT_OK_AND_ASSIGN(const std::vector<Tensor> got, RunModel(*restored.model, inputs));
  Machine fresh;
  folder_.Write("model.onnx", ModelThatReadsValues());
  ASSERT_OK_AND_ASSIGN(const ModelLoadResult loaded, fresh.Load(folder_.path()));
  ASSERT_OK_AND_ASSIGN(const std::vector<Tensor> wanted, RunModel(*loaded.model, inputs));
  EXPECT_TRUE(SameBits(got[0], wanted[0]));
}

TEST_F(ModelRestorerTest, AnotherFormatOrOtherChoicesAreLoadedAnew) {
  ASSERT_NO_FATAL_FAILURE(Load(ModelThatReadsValues()));
  ModelRecord other = record_;
  other.format = "record 1, manifest 2, onednn (onednn 3.6 avx2)";
  EXPECT_THAT(machine_.Restore(other).status(),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       AllOf(HasSubstr("onednn 3.6 avx2"), HasSubstr(LoadFormat()))));
  ModelLoadOptions options;
  options.precision = "bf16";
  EXPECT_THAT(machine_.Restore(record_, options).status(),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("precision bf16")));
  options = {};
  options.max_batch_size = 4;
  EXPECT_THAT(machine_.Restore(record_, options).status(),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("max_batch_size 4")));
}

TEST_F(ModelRestorerTest, ASegmentThatWentIsNamedAndNothingStays) {
  ASSERT_NO_FATAL_FAILURE(Load(ModelThatReadsValues()));
  machine_.Restart();
  // All but the manifest goes.
  ASSERT_OK(machine_.table().Hold({.name = "manifest", .keys = {record_.manifest}}));
  machine_.table().Unhold("test/1");
  EXPECT_THAT(machine_.Restore(record_).status(),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("not in memory any more")));
  machine_.table().Unhold("manifest");
  EXPECT_THAT(machine_.Restore(record_).status(), StatusIs(absl::StatusCode::kFailedPrecondition,
                                                           HasSubstr(record_.manifest.ShortHex())));
  EXPECT_EQ(machine_.table().usage().sealed_bytes, 0u);
  EXPECT_EQ(machine_.table().usage().reserved_bytes, 0u);
  EXPECT_EQ(machine_.table().usage().builders, 0u);
}

TEST_F(ModelRestorerTest, ARecordOfAnotherModelIsDataLoss) {
  ASSERT_NO_FATAL_FAILURE(Load(ModelThatReadsValues()));
  ModelRecord other = record_;
  other.weights_id = ContentId::FromBytes(record_.manifest.bytes());
  EXPECT_THAT(machine_.Restore(other).status(), StatusIs(absl::StatusCode::kDataLoss));
}

TEST_F(ModelRestorerTest, AHostileManifestIsRefused) {
  ASSERT_NO_FATAL_FAILURE(Load(ModelThatReadsValues()));
  ASSERT_OK_AND_ASSIGN(const ModelLoadResult restored, machine_.Restore(record_));
  const ParameterRef* entry = restored.model->parameters().FindEntry(record_.manifest);
  ASSERT_NE(entry, nullptr);
  ASSERT_OK_AND_ASSIGN(const Manifest good, ParseManifest(entry->bytes()));
  std::mt19937 random(kSeed);
  SCOPED_TRACE(kSeed);
  for (int round = 0; round < 300; ++round) {
    Manifest damaged = good;
    for (int flips = 1 + static_cast<int>(random() % 8); flips > 0; --flips) {
      damaged.graph[random() % damaged.graph.size()] = static_cast<char>(random());
    }
    ASSERT_OK_AND_ASSIGN(const std::string bytes, SerializeManifest(damaged));
    ASSERT_OK_AND_ASSIGN(const ParameterRef stored, StoreManifest(&machine_.store(), bytes));
    ModelRecord record = record_;
    record.manifest = stored.key();
    record.manifest_bytes = bytes.size();
    // Some bytes are names that nobody reads; then it is the model still.
    (void)machine_.Restore(record);
  }
}

TEST_F(ModelRestorerTest, RestoringPlansNoMoreBatchSizesThanTheFormsNeed) {
  ASSERT_NO_FATAL_FAILURE(Load(ModelThatReadsValues()));
  EXPECT_EQ(record_.plan_sizes, 1u);
  ASSERT_EQ(record_.warm.size(), 6u);  // 1, 2, 4 .. 32.
  machine_.Restart();
  ASSERT_OK_AND_ASSIGN(const ModelLoadResult restored, machine_.Restore(record_));
  const std::vector<Shape> one = {{1, 8}};
  EXPECT_TRUE(restored.model->IsCompiled(one));
  EXPECT_FALSE(restored.model->IsCompiled(WithRows(one, 2)));
  EXPECT_OK(restored.model->Compile(WithRows(one, 32)));
}

}  // namespace
}  // namespace paramd
