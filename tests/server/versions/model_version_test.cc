#include "server/versions/model_version.h"

#include <memory>
#include <thread>
#include <utility>

#include "server/batching/batcher.h"
#include "server/observability/metrics.h"
#include "tests/support/fake_model.h"
#include "tests/support/status_testing.h"

namespace paramd {
namespace {

TEST(ModelHandle, HandsItsVersionOverWhenTheLastCopyGoes) {
  std::unique_ptr<const ModelVersion> retired;
  bool destroyed = false;
  FakeModelOptions options;
  options.on_destroy = [&] { destroyed = true; };
  ModelHandle handle(
      std::make_unique<const ModelVersion>(VersionId{"a", 1}, WeightsIdentity{7, "abc"},
                                           std::make_unique<const FakeModel>(std::move(options)),
                                           nullptr, nullptr, absl::UnixEpoch()),
      [&](std::unique_ptr<const ModelVersion> last) { retired = std::move(last); });
  const HandleWatch watch(handle);
  ModelHandle copy = handle;
  EXPECT_EQ(watch.holders(), 2);
  EXPECT_EQ(copy->generation(), 7u);
  EXPECT_EQ(copy->weights_id(), "abc");
  handle = ModelHandle();
  EXPECT_EQ(retired, nullptr);
  std::thread request([moved = std::move(copy)]() mutable { moved = ModelHandle(); });
  request.join();
  EXPECT_NE(retired, nullptr);
  EXPECT_FALSE(destroyed);  // Not on the request's thread.
  EXPECT_EQ(watch.holders(), 0);
  retired.reset();
  EXPECT_TRUE(destroyed);
}

TEST(VersionState, HasNames) {
  EXPECT_EQ(VersionStateName(VersionState::kServing), "serving");
  EXPECT_EQ(VersionStateName(VersionState::kFailed), "failed");
}

}  // namespace
}  // namespace paramd
