#include "server/versions/task_loop.h"

#include <atomic>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/fake_clock.h"

namespace paramd {
namespace {

TEST(TaskLoop, RunsInOrderInTheTestsHand) {
  TaskLoop loop;
  std::vector<int> ran;
  for (int i = 0; i < 3; ++i) loop.Post([&ran, i] { ran.push_back(i); });
  EXPECT_TRUE(loop.RunOne());
  EXPECT_TRUE(loop.RunOne());
  EXPECT_THAT(ran, testing::ElementsAre(0, 1));
  loop.Stop();
  EXPECT_FALSE(loop.RunOne());
  loop.Post([&ran] { ran.push_back(9); });
  EXPECT_FALSE(loop.RunOne());
}

TEST(TaskLoop, DroppedTasksAreDestroyedOutsideItsLock) {
  TaskLoop loop;
  // A task that, dropped, posts: what the last handle of a version does.
  struct PostsWhenDropped {
    explicit PostsWhenDropped(TaskLoop* l) : loop(l) {}
    PostsWhenDropped(PostsWhenDropped&& other) : loop(std::exchange(other.loop, nullptr)) {}
    ~PostsWhenDropped() {
      if (loop != nullptr) loop->Post([] {});
    }
    TaskLoop* loop;
  };
  loop.Post([posts = PostsWhenDropped(&loop)] {});
  loop.Stop();
}

TEST(TaskLoop, RunsOnItsThreads) {
  std::atomic<int> started{0};
  std::atomic<int> ran{0};
  TaskLoop loop;
  loop.Start(3, [&] { ++started; });
  Mutex mutex;
  CondVar done;
  for (int i = 0; i < 100; ++i) {
    loop.Post([&] {
      MutexLock lock(&mutex);
      if (++ran == 100) done.SignalAll();
    });
  }
  {
    MutexLock lock(&mutex);
    while (ran < 100) done.Wait(&mutex);
  }
  loop.Stop();
  EXPECT_EQ(started, 3);
}

TEST(TaskLoop, TimedTasksRunWhenTheyAreDueAndBeforeTheOthers) {
  FakeClock clock;
  TaskLoop loop(&clock);
  std::string ran;
  loop.PostAt(clock.Now() + absl::Seconds(2), [&ran] { ran += "late "; });
  loop.PostAt(clock.Now() + absl::Seconds(1), [&ran] { ran += "early "; });
  EXPECT_FALSE(loop.RunOne());
  clock.Advance(absl::Seconds(2));
  loop.Post([&ran] { ran += "now"; });
  while (loop.RunOne()) {
  }
  EXPECT_EQ(ran, "early late now");
  loop.PostAt(clock.Now(), [&ran] { ran += "dropped"; });
  loop.Stop();
  EXPECT_FALSE(loop.RunOne());
}

TEST(TaskLoop, AThreadWakesForATimedTask) {
  TaskLoop loop;
  Mutex mutex;
  CondVar changed;
  bool ran = false;
  loop.Start(1, nullptr);
  loop.PostAt(Clock::Real()->Now() + absl::Hours(1), [] { FAIL(); });
  loop.PostAt(Clock::Real()->Now() + absl::Milliseconds(1), [&] {
    MutexLock lock(&mutex);
    ran = true;
    changed.SignalAll();
  });
  MutexLock lock(&mutex);
  while (!ran) changed.Wait(&mutex);
}

}  // namespace
}  // namespace paramd
