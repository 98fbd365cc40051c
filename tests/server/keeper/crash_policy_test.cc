#include "server/keeper/crash_policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "tests/support/fake_clock.h"

namespace paramd {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

const absl::Time kNever = absl::InfiniteFuture();
const std::vector<Suspect> kNobody;

std::vector<Suspect> Loading(const std::string& version) { return {{version, Activity::kLoading}}; }
std::vector<Suspect> Running(const std::string& version) { return {{version, Activity::kRunning}}; }

TEST(CrashPolicy, TheFirstRestartIsImmediateAndTheNextOnesWaitLongerUpToACap) {
  FakeClock clock;
  CrashPolicy policy;
  EXPECT_EQ(policy.OnCrash(clock.Now(), kNever, kNobody).delay, absl::ZeroDuration());
  EXPECT_EQ(policy.OnCrash(clock.Now(), kNever, kNobody).delay, absl::Milliseconds(100));
  EXPECT_EQ(policy.OnCrash(clock.Now(), kNever, kNobody).delay, absl::Milliseconds(200));
  EXPECT_EQ(policy.OnCrash(clock.Now(), kNever, kNobody).delay, absl::Milliseconds(400));
  for (int i = 0; i < 100; ++i) policy.OnCrash(clock.Now(), kNever, kNobody);
  EXPECT_EQ(policy.OnCrash(clock.Now(), kNever, kNobody).delay, absl::Seconds(30));
  EXPECT_EQ(policy.crashes(), 105u);
}

TEST(CrashPolicy, AWorkerThatWasReadyForAWhileBeginsANewRow) {
  FakeClock clock;
  CrashPolicy policy;
  for (int i = 0; i < 5; ++i) policy.OnCrash(clock.Now(), kNever, kNobody);
  const absl::Time ready = clock.Now();
  clock.Advance(absl::Seconds(4));
  EXPECT_GT(policy.OnCrash(clock.Now(), ready, kNobody).delay, absl::ZeroDuration());
  clock.Advance(absl::Seconds(1));
  EXPECT_EQ(policy.OnCrash(clock.Now(), ready, kNobody).delay, absl::ZeroDuration());
  EXPECT_EQ(policy.row(), 1);
}

TEST(CrashPolicy, ThreeCrashesInOneVersionQuarantineItAndNoOther) {
  FakeClock clock;
  CrashPolicy policy;
  EXPECT_THAT(policy.OnCrash(clock.Now(), kNever, Loading("digits/3")).newly, IsEmpty());
  EXPECT_THAT(policy.OnCrash(clock.Now(), kNever, Loading("house/1")).newly, IsEmpty());
  EXPECT_THAT(policy.OnCrash(clock.Now(), kNever, Loading("digits/3")).newly, IsEmpty());
  const CrashPolicy::Verdict third = policy.OnCrash(clock.Now(), kNever, Loading("digits/3"));
  ASSERT_THAT(third.newly, SizeIs(1));
  EXPECT_EQ(third.newly[0].version, "digits/3");
  EXPECT_EQ(third.newly[0].reason, "the worker crashed 3 times while loading it");
  // Said once; it stays.
  EXPECT_THAT(policy.OnCrash(clock.Now(), kNever, Loading("digits/3")).newly, IsEmpty());
  EXPECT_THAT(policy.quarantined(), SizeIs(1));
}

TEST(CrashPolicy, LoadingAndRunningAreCountedApart) {
  FakeClock clock;
  CrashPolicy policy;
  for (int i = 0; i < 2; ++i) {
    EXPECT_THAT(policy.OnCrash(clock.Now(), kNever, Loading("a/1")).newly, IsEmpty());
    EXPECT_THAT(policy.OnCrash(clock.Now(), kNever, Running("a/1")).newly, IsEmpty());
  }
  EXPECT_EQ(policy.OnCrash(clock.Now(), kNever, Running("a/1")).newly.at(0).reason,
            "the worker crashed 3 times while running it");
}

TEST(CrashPolicy, AVersionThatLoadsHasItsLoadingForgivenButNotItsRunning) {
  FakeClock clock;
  CrashPolicy policy;
  for (int i = 0; i < 2; ++i) policy.OnCrash(clock.Now(), kNever, Loading("a/1"));
  policy.OnHealthy("a/1");
  for (int i = 0; i < 2; ++i) policy.OnCrash(clock.Now(), kNever, Loading("a/1"));
  EXPECT_THAT(policy.quarantined(), IsEmpty());
  // One that crashes with its first request each time loads well each time.
  for (int i = 0; i < 3; ++i) {
    policy.OnHealthy("b/1");
    policy.OnCrash(clock.Now(), clock.Now(), Running("b/1"));
  }
  EXPECT_THAT(policy.quarantined(), SizeIs(1));
  // Somebody asked for it, and it loaded: it has another three.
  policy.OnHealthy("b/1");
  EXPECT_THAT(policy.quarantined(), IsEmpty());
  EXPECT_THAT(policy.OnCrash(clock.Now(), clock.Now(), Running("b/1")).newly, IsEmpty());
}

TEST(CrashPolicy, CrashesOfLongAgoDoNotCount) {
  FakeClock clock;
  CrashPolicy policy;
  for (int i = 0; i < 10; ++i) {
    EXPECT_THAT(policy.OnCrash(clock.Now(), clock.Now(), Running("a/1")).newly, IsEmpty());
    clock.Advance(absl::Minutes(40));
  }
}

TEST(CrashPolicy, TheNextImageKnowsWhatThisOneKnew) {
  FakeClock clock;
  CrashPolicy policy;
  for (int i = 0; i < 3; ++i) policy.OnCrash(clock.Now(), kNever, Loading("a/1"));
  for (int i = 0; i < 2; ++i) policy.OnCrash(clock.Now(), kNever, Running("b/1"));
  CrashPolicy next;
  next.Restore(policy.Save());
  EXPECT_EQ(next.crashes(), 5u);
  ASSERT_THAT(next.quarantined(), SizeIs(1));
  EXPECT_EQ(next.quarantined()[0].version, "a/1");
  EXPECT_THAT(next.OnCrash(clock.Now(), kNever, Running("b/1")).newly, SizeIs(1));
  CrashPolicy damaged;
  damaged.Restore(policy.Save().substr(0, 30));  // Half of it is no reason to fall over.
  damaged.Restore("rubbish");
}

TEST(CrashPolicy, DoesNotGrowForEver) {
  FakeClock clock;
  CrashPolicy policy;
  for (int i = 0; i < 3; ++i) policy.OnCrash(clock.Now(), kNever, Loading("kept/1"));
  for (int i = 0; i < 5000; ++i) {
    policy.OnCrash(clock.Now(), kNever, Loading("daily/" + std::to_string(i)));
  }
  EXPECT_LT(policy.Save().size(), 200'000u);
  EXPECT_THAT(policy.quarantined(), SizeIs(1));
}

}  // namespace
}  // namespace paramd
