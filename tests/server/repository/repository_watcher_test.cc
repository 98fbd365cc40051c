// The watcher on real folders: the kernel's reports are waited for with poll(),
// time is the test's.
#include "server/repository/repository_watcher.h"

#include <poll.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "tests/support/fake_clock.h"
#include "tests/support/status_testing.h"
#include "tests/support/temp_folder.h"

namespace paramd {
namespace {

namespace fs = std::filesystem;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr absl::Duration kSettle = absl::Seconds(1);

class RepositoryWatcherTest : public ::testing::Test {
 protected:
  void Watch(RepositoryWatcherOptions options = {}) { Watch(folder_.path(), options); }
  void Watch(const std::string& root, RepositoryWatcherOptions options = {}) {
    options.settle_time = kSettle;
    ASSERT_OK_AND_ASSIGN(watcher_, RepositoryWatcher::Create(root, &clock_, options,
                                                             [this](const std::string& model) {
                                                               changed_.push_back(model);
                                                             }));
    // What was there before is reported once, as everything.
    clock_.Advance(kSettle);
    watcher_->Look();
    EXPECT_THAT(Taken(), ElementsAre(""));
  }

  // Takes the kernel's reports of what was just done; they are there at once or,
  // on a slow machine, soon.
  absl::Time Hear() {
    pollfd waiting = {.fd = watcher_->fd(), .events = POLLIN};
    EXPECT_EQ(poll(&waiting, 1, 10'000), 1) << "the kernel reported nothing";
    return watcher_->Look();
  }
  bool Silent() {
    pollfd waiting = {.fd = watcher_->fd(), .events = POLLIN};
    return poll(&waiting, 1, 0) == 0;
  }
  std::vector<std::string> Taken() { return std::exchange(changed_, {}); }
  std::vector<std::string> AfterSettling() {
    clock_.Advance(kSettle);
    watcher_->Look();
    return Taken();
  }

  TempFolder folder_;
  FakeClock clock_;
  std::unique_ptr<RepositoryWatcher> watcher_;
  std::vector<std::string> changed_;
};

TEST_F(RepositoryWatcherTest, ANewVersionIsReportedWhenItHasSettled) {
  folder_.Write("digits/1/model.onnx", "one");
  ASSERT_NO_FATAL_FAILURE(Watch());
  folder_.Write("digits/2/model.onnx", "two");
  const absl::Time next = Hear();
  EXPECT_EQ(next, clock_.Now() + kSettle);
  EXPECT_THAT(Taken(), IsEmpty());
  clock_.Advance(kSettle / 2);
  watcher_->Look();
  EXPECT_THAT(Taken(), IsEmpty());
  EXPECT_THAT(AfterSettling(), ElementsAre("digits"));
  EXPECT_THAT(AfterSettling(), IsEmpty());
}

TEST_F(RepositoryWatcherTest, EachReportStartsTheSettleTimeAnew) {
  folder_.Write("digits/1/model.onnx", "one");
  ASSERT_NO_FATAL_FAILURE(Watch());
  for (int i = 0; i < 5; ++i) {
    folder_.Write("digits/2/part" + std::to_string(i), "bytes");
    Hear();
    clock_.Advance(kSettle * 0.9);
    watcher_->Look();
    EXPECT_THAT(Taken(), IsEmpty());
  }
  EXPECT_THAT(AfterSettling(), ElementsAre("digits"));
}

TEST_F(RepositoryWatcherTest, AFileThatGrowsSilentlyHasNotSettled) {
  folder_.Write("digits/1/model.onnx", "one");
  ASSERT_NO_FATAL_FAILURE(Watch());
  // Open all the while: what is written to it is not reported, as its size shows it.
  folder_.MakeFolder("digits/2");
  std::ofstream slow(folder_.path("digits/2/model.onnx"), std::ios::binary);
  Hear();
  for (int i = 0; i < 3; ++i) {
    slow << "more bytes" << std::flush;
    EXPECT_TRUE(Silent());
    EXPECT_THAT(AfterSettling(), IsEmpty());
  }
  slow.close();
  Hear();
  EXPECT_THAT(AfterSettling(), ElementsAre("digits"));
}

TEST_F(RepositoryWatcherTest, ANewModelAndFoldersMadeLaterAreListenedTo) {
  ASSERT_NO_FATAL_FAILURE(Watch());
  folder_.MakeFolder("digits");
  Hear();
  EXPECT_THAT(AfterSettling(), ElementsAre("digits"));
  folder_.MakeFolder("digits/1");
  Hear();
  EXPECT_THAT(AfterSettling(), ElementsAre("digits"));
  folder_.Write("digits/1/model.onnx", "one");
  Hear();
  EXPECT_THAT(AfterSettling(), ElementsAre("digits"));
  folder_.Write("digits/1/golden/requests.json", "[]");
  Hear();
  EXPECT_THAT(AfterSettling(), ElementsAre("digits"));
  folder_.Write("digits/1/golden/requests.json", "[1]");
  Hear();
  EXPECT_THAT(AfterSettling(), ElementsAre("digits"));
}

TEST_F(RepositoryWatcherTest, ConfigurationsRenamesAndRemovalsAreChanges) {
  folder_.Write("digits/1/model.onnx", "one");
  folder_.Write("price/1/model.onnx", "one");
  ASSERT_NO_FATAL_FAILURE(Watch());
  folder_.Write("digits/config.pbtxt", "max_batch_size: 4");
  Hear();
  EXPECT_THAT(AfterSettling(), ElementsAre("digits"));
  fs::rename(folder_.path("digits/1"), folder_.path("digits/2"));
  Hear();
  EXPECT_THAT(AfterSettling(), ElementsAre("digits"));
  fs::remove_all(folder_.path("digits"));
  Hear();
  EXPECT_THAT(AfterSettling(), ElementsAre("digits"));
  folder_.Write("price/1/model.onnx", "two");
  Hear();
  EXPECT_THAT(AfterSettling(), ElementsAre("price"));
}

TEST_F(RepositoryWatcherTest, ReadingChangesNothing) {
  folder_.Write("digits/1/model.onnx", "one");
  ASSERT_NO_FATAL_FAILURE(Watch());
  std::ifstream(folder_.path("digits/1/model.onnx")).get();
  EXPECT_TRUE(Silent());
}

// A ConfigMap: model.onnx -> ..data/model.onnx, ..data -> ..2026_1; an update makes
// a new folder and renames a new link over ..data.
TEST_F(RepositoryWatcherTest, AConfigMapsFlipIsAChangeOfItsModel) {
  folder_.Write("digits/1/..2026_1/model.onnx", "one");
  folder_.Link("..2026_1", "digits/1/..data");
  folder_.Link("..data/model.onnx", "digits/1/model.onnx");
  ASSERT_NO_FATAL_FAILURE(Watch());
  folder_.Write("digits/1/..2026_2/model.onnx", "two");
  folder_.Link("..2026_2", "digits/1/..data_tmp");
  fs::rename(folder_.path("digits/1/..data_tmp"), folder_.path("digits/1/..data"));
  Hear();
  EXPECT_THAT(AfterSettling(), ElementsAre("digits"));
}

TEST_F(RepositoryWatcherTest, AFlipAtTheRootIsAChangeOfEverything) {
  folder_.Write("..2026_1/digits/1/model.onnx", "one");
  folder_.Link("..2026_1", "..data");
  folder_.Link("..data/digits", "digits");
  ASSERT_NO_FATAL_FAILURE(Watch());
  folder_.Write("..2026_2/digits/1/model.onnx", "two");
  Hear();
  AfterSettling();
  folder_.Link("..2026_2", "..data_tmp");
  fs::rename(folder_.path("..data_tmp"), folder_.path("..data"));
  Hear();
  EXPECT_THAT(AfterSettling(), ElementsAre(""));
  // It listens to where the link leads now.
  folder_.Write("..2026_2/digits/2/model.onnx", "three");
  Hear();
  EXPECT_THAT(AfterSettling(), Contains("digits"));
}

// git-sync: the repository is <root>/current/models, current -> .worktrees/<commit>.
TEST_F(RepositoryWatcherTest, AFlipOfALinkOnTheWayToTheRootIsAChangeOfEverything) {
  folder_.Write("git/.worktrees/aaaa/models/digits/1/model.onnx", "one");
  folder_.Link(".worktrees/aaaa", "git/current");
  ASSERT_NO_FATAL_FAILURE(Watch(folder_.path("git/current/models")));
  folder_.Write("git/.worktrees/bbbb/models/digits/1/model.onnx", "two");
  EXPECT_TRUE(Silent());
  folder_.Link(".worktrees/bbbb", "git/current.tmp");
  fs::rename(folder_.path("git/current.tmp"), folder_.path("git/current"));
  Hear();
  EXPECT_THAT(AfterSettling(), ElementsAre(""));
  fs::remove_all(folder_.path("git/.worktrees/aaaa"));
  folder_.Write("git/.worktrees/bbbb/models/digits/2/model.onnx", "three");
  Hear();
  EXPECT_THAT(AfterSettling(), ElementsAre("digits"));
}

TEST_F(RepositoryWatcherTest, AVersionThatIsALinkIsListenedToWhereItLeads) {
  folder_.Write("digits/.snapshots/abc/model.onnx", "one");
  folder_.Link(".snapshots/abc", "digits/1");
  ASSERT_NO_FATAL_FAILURE(Watch());
  folder_.Write("digits/.snapshots/abc/model.onnx", "two");
  Hear();
  EXPECT_THAT(AfterSettling(), ElementsAre("digits"));
}

TEST_F(RepositoryWatcherTest, LinksInACircleOrOutsideAreLeftAlone) {
  TempFolder outside;
  outside.Write("secret/file", "x");
  folder_.Write("digits/1/model.onnx", "one");
  folder_.Link("..", "digits/1/up");
  folder_.Link(outside.path(), "digits/2");
  ASSERT_NO_FATAL_FAILURE(Watch());
  EXPECT_EQ(watcher_->watches(), 3u);  // The root, the model, its version.
  outside.Write("secret/file", "y");
  EXPECT_TRUE(Silent());
}

TEST_F(RepositoryWatcherTest, WatchesOfWhatIsGoneAreGivenBack) {
  ASSERT_NO_FATAL_FAILURE(Watch());
  const size_t before = watcher_->watches();
  for (int i = 0; i < 50; ++i) {
    folder_.Write("digits/1/model.onnx", std::to_string(i));
    Hear();
    EXPECT_EQ(watcher_->watches(), before + 2);
    fs::remove_all(folder_.path("digits"));
    Hear();
    EXPECT_EQ(watcher_->watches(), before);
  }
}

TEST_F(RepositoryWatcherTest, BeyondTheMostWatchesEverythingIsLookedAtNowAndThen) {
  folder_.Write("a/1/model.onnx", "one");
  folder_.Write("b/1/model.onnx", "one");
  ASSERT_NO_FATAL_FAILURE(Watch({.poll_interval = absl::Minutes(1), .watches_max = 3}));
  EXPECT_EQ(watcher_->watches(), 3u);
  folder_.Write("b/1/model.onnx", "two");
  EXPECT_TRUE(Silent());
  clock_.Advance(absl::Minutes(1));
  watcher_->Look();
  EXPECT_THAT(AfterSettling(), ElementsAre(""));
  // And again, as long as it cannot listen.
  clock_.Advance(absl::Minutes(1));
  watcher_->Look();
  EXPECT_THAT(AfterSettling(), ElementsAre(""));
  EXPECT_EQ(watcher_->watches(), 3u);
}

TEST_F(RepositoryWatcherTest, WhenTheKernelDropsReportsEverythingIsLookedAt) {
  folder_.Write("digits/1/model.onnx", "one");
  ASSERT_NO_FATAL_FAILURE(Watch());
  size_t queued = 16384;
  std::ifstream("/proc/sys/fs/inotify/max_queued_events") >> queued;
  if (queued > 100'000) GTEST_SKIP() << "fs.inotify.max_queued_events is " << queued;
  const std::string a = folder_.path("digits/1/a");
  const std::string b = folder_.path("digits/1/b");
  folder_.Write("digits/1/a", "x");
  // Each rename is two reports.
  for (size_t i = 0; i <= queued / 4 + 1; ++i) {
    fs::rename(a, b);
    fs::rename(b, a);
  }
  Hear();
  EXPECT_THAT(AfterSettling(), ElementsAre(""));
}

TEST_F(RepositoryWatcherTest, ARepositoryThatIsMovedAwayAndBackIsSeen) {
  folder_.Write("models/digits/1/model.onnx", "one");
  ASSERT_NO_FATAL_FAILURE(Watch(folder_.path("models"), {.poll_interval = absl::Seconds(10)}));
  fs::rename(folder_.path("models"), folder_.path("away"));
  Hear();
  EXPECT_THAT(AfterSettling(), ElementsAre(""));
  folder_.Write("models/digits/2/model.onnx", "two");
  clock_.Advance(absl::Seconds(10));
  watcher_->Look();
  EXPECT_THAT(AfterSettling(), ElementsAre(""));
  folder_.Write("models/digits/3/model.onnx", "three");
  Hear();
  EXPECT_THAT(AfterSettling(), ElementsAre("digits"));
}

TEST(RepositoryWatcher, ARootThatIsNotThereIsAnError) {
  FakeClock clock;
  EXPECT_THAT(RepositoryWatcher::Create("/no/such/folder", &clock, {}, [](const std::string&) {}),
              StatusIs(absl::StatusCode::kNotFound));
}

}  // namespace
}  // namespace paramd
