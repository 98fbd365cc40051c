#include "server/desired_models.h"

#include <any>

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

}  // namespace
}  // namespace paramd
