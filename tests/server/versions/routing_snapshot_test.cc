#include "server/versions/routing_snapshot.h"

#include <atomic>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "server/batching/batcher.h"
#include "server/observability/metrics.h"
#include "tests/support/fake_model.h"
#include "tests/support/status_testing.h"

namespace paramd {
namespace {

using ::testing::HasSubstr;

// A handle to a version without a batcher: routing looks at nothing but its id.
ModelHandle Handle(std::string model, int64_t number, std::atomic<int>* retired = nullptr) {
  auto version = std::make_unique<const ModelVersion>(
      VersionId{std::move(model), number}, WeightsIdentity{},
      std::make_unique<const FakeModel>(FakeModelOptions{}), nullptr, nullptr, absl::Time());
  return ModelHandle(std::move(version), [retired](std::unique_ptr<const ModelVersion>) {
    if (retired != nullptr) ++*retired;
  });
}

std::unique_ptr<const RoutingSnapshot> Snapshot(std::vector<RoutingSnapshot::Routes> routes) {
  return std::make_unique<const RoutingSnapshot>(std::move(routes));
}

TEST(RoutingSnapshot, FindsByNumberAndByDefault) {
  RoutingTable table;
  table.Publish(
      Snapshot({{.model = "a", .serving = {Handle("a", 1), Handle("a", 3)}, .default_number = 1}}));
  ASSERT_OK_AND_ASSIGN(const ModelHandle unnamed, table.Find("a", {}));
  EXPECT_EQ(unnamed->id().number, 1);
  ASSERT_OK_AND_ASSIGN(const ModelHandle label, table.Find("a", {.label = "default"}));
  EXPECT_EQ(label->id().number, 1);
  ASSERT_OK_AND_ASSIGN(const ModelHandle three, table.Find("a", {.number = 3}));
  EXPECT_EQ(three->id().number, 3);
}

TEST(RoutingSnapshot, SaysWhatIsMissing) {
  RoutingTable table;
  EXPECT_THAT(table.Find("a", {}), StatusIs(absl::StatusCode::kNotFound, HasSubstr("'a'")));
  table.Publish(
      Snapshot({{.model = "a", .serving = {Handle("a", 1), Handle("a", 3)}, .default_number = 3},
                {.model = "coming", .coming = true},
                {.model = "failed"}}));
  EXPECT_THAT(table.Find("a", {.number = 2}),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("no version 2; serving: 1, 3")));
  EXPECT_THAT(table.Find("a", {.label = "canary"}),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("no label 'canary'")));
  EXPECT_THAT(table.Find("coming", {}), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(table.Find("failed", {}), StatusIs(absl::StatusCode::kNotFound));
  const absl::Status huge = table.Find(std::string(100000, 'x'), {}).status();
  EXPECT_LT(huge.message().size(), 200u);
}

TEST(RoutingSnapshot, LabelsPointAtVersions) {
  RoutingTable table;
  table.Publish(Snapshot({{.model = "a",
                           .serving = {Handle("a", 1), Handle("a", 3)},
                           .default_number = 3,
                           .coming_numbers = {4},
                           .names = {{"stable", 1}, {"next", 4}, {"lost", 7}}}}));
  ASSERT_OK_AND_ASSIGN(const ModelHandle stable, table.Find("a", {.label = "stable"}));
  EXPECT_EQ(stable->id().number, 1);
  EXPECT_THAT(table.Find("a", {.label = "canary"}),
              StatusIs(absl::StatusCode::kNotFound,
                       HasSubstr("it has 'default', 'stable', 'next', 'lost'")));
  EXPECT_THAT(table.Find("a", {.label = "next"}),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("label 'next' points at")));
  EXPECT_THAT(table.Find("a", {.number = 4}), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(table.Find("a", {.label = "lost"}),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("does not serve; serving: 1, 3")));
}

TEST(RoutingSnapshot, NoOtherVersionAnswersForADefaultThatIsOnItsWay) {
  RoutingTable table;
  table.Publish(Snapshot({{.model = "a", .serving = {Handle("a", 3)}, .default_coming = true}}));
  EXPECT_THAT(table.Find("a", {}), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_OK(table.Find("a", {.number = 3}).status());
}

TEST(RoutingTable, NoHandleOfTheOldSnapshotCanBeHadAfterPublish) {
  std::atomic<int> retired{0};
  RoutingTable table;
  table.Publish(
      Snapshot({{.model = "a", .serving = {Handle("a", 1, &retired)}, .default_number = 1}}));
  ModelHandle held = *table.Find("a", {});
  table.Publish(Snapshot({}));
  EXPECT_EQ(retired, 0);
  held = ModelHandle();
  EXPECT_EQ(retired, 1);  // It was the last.
}

TEST(RoutingTable, IsReadWhileItChanges) {
  constexpr int kReaders = 3;
  constexpr int64_t kSnapshots = 200;
  std::atomic<int> retired{0};
  std::atomic<bool> stop{false};
  // Numbers published so far: a reader that starts after Publish sees no less.
  std::atomic<int64_t> published{0};
  RoutingTable table;
  table.Publish(
      Snapshot({{.model = "a", .serving = {Handle("a", 1, &retired)}, .default_number = 1}}));
  std::vector<std::thread> readers;
  for (int i = 0; i < kReaders; ++i) {
    readers.emplace_back([&] {
      while (!stop) {
        const int64_t least = published;
        const absl::StatusOr<ModelHandle> found = table.Find("a", {});
        ASSERT_OK(found.status());
        ASSERT_GE((*found)->id().number, least);
        std::this_thread::yield();
      }
    });
  }
  for (int64_t number = 2; number <= kSnapshots; ++number) {
    table.Publish(Snapshot(
        {{.model = "a", .serving = {Handle("a", number, &retired)}, .default_number = number}}));
    published = number;
  }
  stop = true;
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(retired, kSnapshots - 1);
}

}  // namespace
}  // namespace paramd
