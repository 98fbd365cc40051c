#include "server/desired_models.h"

#include <any>
#include <filesystem>

#include "server/config/model_config.h"
#include "tests/support/status_testing.h"
#include "tests/support/temp_folder.h"

namespace paramd {
namespace {

class DesiredModelsTest : public ::testing::Test {
 protected:
  std::vector<DesiredModel> Desired() {
    const auto repository = ModelRepository::Open(folder_.path());
    EXPECT_OK(repository.status());
    const auto listing = (*repository)->Scan();
    EXPECT_OK(listing.status());
    return DesiredModels(*listing, folder_.path(), server_);
  }

  TempFolder folder_;
  ServerConfig server_;
};

TEST_F(DesiredModelsTest, TheVersionsThatThePolicySelects) {
  folder_.Write("m/1/model.onnx", "one");
  folder_.Write("m/2/model.onnx", "two");
  std::vector<DesiredModel> desired = Desired();
  ASSERT_EQ(desired.size(), 1u);
  ASSERT_EQ(desired[0].versions.size(), 1u);
  EXPECT_EQ(desired[0].versions[0].number, 2);
  EXPECT_EQ(desired[0].versions[0].directory, "m/2");
  folder_.Write("m/config.pbtxt", "version_policy { all {} }");
  desired = Desired();
  EXPECT_EQ(desired[0].versions.size(), 2u);
}

TEST_F(DesiredModelsTest, ARevisionChangesWithItsFilesAndOnlyThen) {
  folder_.Write("m/1/model.onnx", "one");
  const std::string before = Desired()[0].versions[0].revision;
  EXPECT_EQ(Desired()[0].versions[0].revision, before);
  folder_.Write("m/1/model.onnx", "another");
  const std::string rewritten = Desired()[0].versions[0].revision;
  EXPECT_NE(rewritten, before);
  folder_.Write("m/config.pbtxt", "max_batch_size: 4");
  EXPECT_NE(Desired()[0].versions[0].revision, rewritten);
}

TEST_F(DesiredModelsTest, ConfigurationBecomesBatching) {
  folder_.Write("m/1/model.onnx", "one");
  folder_.Write("m/config.pbtxt",
                "max_batch_size: 4 dynamic_batching { max_queue_delay_microseconds: 500 } "
                "instance_group { count: 3 }");
  server_.queue_requests_max = 17;
  const DesiredModel model = Desired()[0];
  EXPECT_TRUE(model.error.empty()) << model.error;
  EXPECT_EQ(model.batching.queue_delay_max, absl::Microseconds(500));
  EXPECT_EQ(model.batching.concurrent_batches_max, 3);
  EXPECT_EQ(model.batching.queue_requests_max, 17);
  EXPECT_EQ(std::any_cast<ModelConfig>(model.config).max_batch_size, 4);
}

TEST_F(DesiredModelsTest, ABadConfigurationIsTheModelsError) {
  folder_.Write("bad/1/model.onnx", "one");
  folder_.Write("bad/config.pbtxt", "max_batch_size: -3");
  folder_.Write("good/1/model.onnx", "one");
  const std::vector<DesiredModel> desired = Desired();
  ASSERT_EQ(desired.size(), 2u);
  EXPECT_FALSE(desired[0].error.empty());
  EXPECT_TRUE(desired[1].error.empty());
}

TEST_F(DesiredModelsTest, ARevisionCoversEveryFileOfTheFolder) {
  folder_.Write("m/1/model.onnx", "one");
  const std::string before = Desired()[0].versions[0].revision;
  folder_.Write("m/1/weights.bin", "external data");
  const std::string with_data = Desired()[0].versions[0].revision;
  EXPECT_NE(with_data, before);
  folder_.Write("m/1/golden/a.json", "{}");
  const std::string with_golden = Desired()[0].versions[0].revision;
  EXPECT_NE(with_golden, with_data);
  folder_.Write("m/1/golden/a.json", "{ }");
  EXPECT_NE(Desired()[0].versions[0].revision, with_golden);
}

TEST_F(DesiredModelsTest, AFolderThatShouldServeAndCannotIsAFailedVersion) {
  folder_.Write("m/1/model.onnx", "one");
  folder_.Write("m/2/readme.txt", "no model here");
  const std::vector<DesiredModel> desired = Desired();
  ASSERT_EQ(desired.size(), 1u);
  EXPECT_TRUE(desired[0].error.empty()) << desired[0].error;
  ASSERT_EQ(desired[0].versions.size(), 2u);
  EXPECT_TRUE(desired[0].versions[0].refusal.empty());
  EXPECT_THAT(desired[0].versions[1].refusal, testing::HasSubstr("model.onnx"));
}

// A document is all that a restarted worker has: no file is read again.
TEST_F(DesiredModelsTest, TheDocumentIsEnough) {
  folder_.Write("m/1/model.onnx", "one");
  folder_.Write("m/config.pbtxt",
                "max_batch_size: 4 parameters { key: \"swap_order\" value { string_value: "
                "\"memory_first\" } } version_policy { latest { num_versions: 2 } }");
  const auto repository = ModelRepository::Open(folder_.path());
  ASSERT_OK(repository.status());
  ASSERT_OK_AND_ASSIGN(const RepositoryListing listing, (*repository)->Scan());
  DesiredState state;
  ApplyListing(ListedModels(listing, folder_.path()), &state);
  ASSERT_TRUE(VersionCameUp("m", 1, {}, &state));
  ASSERT_OK_AND_ASSIGN(const std::string bytes, EncodeState(state));
  std::filesystem::remove_all(folder_.path("m"));
  ASSERT_OK_AND_ASSIGN(const DesiredState read, DecodeState(bytes));
  const std::vector<DesiredModel> desired = DesiredModels(read, server_);
  ASSERT_EQ(desired.size(), 1u);
  EXPECT_EQ(std::any_cast<ModelConfig>(desired[0].config).max_batch_size, 4);
  EXPECT_EQ(desired[0].swap_order, SwapOrder::kMemoryFirst);
  ASSERT_EQ(desired[0].versions.size(), 1u);
  EXPECT_EQ(desired[0].versions[0].directory, "m/1");
  EXPECT_EQ(desired[0].versions[0].why, "latest 2; named by default");
  ASSERT_EQ(desired[0].names.size(), 1u);
  EXPECT_EQ(desired[0].names[0].version, 1);
}

TEST(DesiredModels, PoliciesInWords) {
  EXPECT_EQ(PolicyText({}), "latest 1");
  EXPECT_EQ(PolicyText({.kind = VersionPolicy::Kind::kAll}), "all");
  EXPECT_EQ(PolicyText({.kind = VersionPolicy::Kind::kSpecific, .versions = {1, 3}}),
            "specific 1, 3");
}

}  // namespace
}  // namespace paramd
