#include "server/rpc/call_threads.h"

#include <atomic>

#include "absl/synchronization/notification.h"
#include "tests/support/status_testing.h"

namespace paramd {
namespace {

TEST(CallThreads, RunsSoManyAtATimeAndTakesMoreWhenOneHasEnded) {
  absl::Notification release;
  std::atomic<int> ran{0};
  {
    CallThreads threads("test", 2);
    for (int i = 0; i < 2; ++i) {
      EXPECT_TRUE(threads.Start([&] {
        release.WaitForNotification();
        ++ran;
      }));
    }
    EXPECT_FALSE(threads.Start([&] { ++ran; }));
    release.Notify();
    // Sooner or later one of them has ended.
    while (!threads.Start([&] { ++ran; })) std::this_thread::yield();
  }
  EXPECT_EQ(ran, 3);
}

TEST(CallThreads, AnEndedCallHoldsNothing) {
  auto held = std::make_shared<int>(1);
  std::weak_ptr<int> watch = held;
  CallThreads threads("test", 1);
  ASSERT_TRUE(threads.Start([held = std::move(held)] {}));
  while (!threads.Start([] {})) std::this_thread::yield();
  EXPECT_TRUE(watch.expired());
}

}  // namespace
}  // namespace paramd
