#include "server/keeper/upgrade_policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/fake_clock.h"
#include "tests/support/status_testing.h"

namespace paramd {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Phase = UpgradeStatus::Phase;

class UpgradePolicyTest : public ::testing::Test {
 protected:
  void Begin() {
    ASSERT_OK(policy_.Request(clock_.Now(), /*worker_serves=*/true));
    EXPECT_THAT(policy_.OnStart(), ElementsAre(UpgradeStep::kStartSuccessor));
  }

  FakeClock clock_;
  UpgradePolicy policy_{{.ready_max = absl::Minutes(10), .drain_max = absl::Minutes(2)}};
};

TEST_F(UpgradePolicyTest, OneAcceptsAtATimeAndTheOldOneEndsLast) {
  Begin();
  EXPECT_EQ(policy_.phase(), Phase::kStarting);
  EXPECT_THAT(policy_.OnSuccessorReady(clock_.Now()),
              ElementsAre(UpgradeStep::kRetireOld, UpgradeStep::kServeNew));
  EXPECT_EQ(policy_.phase(), Phase::kDraining);
  EXPECT_THAT(policy_.OnOldGone(), IsEmpty());
  EXPECT_EQ(policy_.phase(), Phase::kDone);
  Begin();  // And again.
}

TEST_F(UpgradePolicyTest, OnlyOneIsOnItsWay) {
  Begin();
  EXPECT_THAT(policy_.Request(clock_.Now(), true),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("coming up")));
  policy_.OnSuccessorReady(clock_.Now());
  EXPECT_THAT(policy_.Request(clock_.Now(), true),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("connections")));
  policy_.OnOldGone();
  EXPECT_THAT(policy_.Request(clock_.Now(), false),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("no worker serves")));
}

TEST_F(UpgradePolicyTest, ASuccessorThatDiesChangesNothing) {
  Begin();
  EXPECT_THAT(policy_.OnSuccessorGone("it ended with status 1"), IsEmpty());
  EXPECT_EQ(policy_.phase(), Phase::kFailed);
  EXPECT_THAT(policy_.message(), HasSubstr("it ended with status 1; the old one serves on"));
  EXPECT_EQ(policy_.next_deadline(), absl::InfiniteFuture());
}

TEST_F(UpgradePolicyTest, ASuccessorThatIsLateIsKilled) {
  Begin();
  clock_.Advance(absl::Minutes(10) - absl::Seconds(1));
  EXPECT_THAT(policy_.OnTime(clock_.Now()), IsEmpty());
  clock_.Advance(absl::Seconds(1));
  EXPECT_THAT(policy_.OnTime(clock_.Now()), ElementsAre(UpgradeStep::kKillSuccessor));
  EXPECT_EQ(policy_.phase(), Phase::kFailed);
  EXPECT_THAT(policy_.OnSuccessorGone("it was killed"), IsEmpty());
  EXPECT_THAT(policy_.message(), HasSubstr("not ready within 10m"));
}

TEST_F(UpgradePolicyTest, AnOldOneWithConnectionsThatDoNotEndIsKilledInTheEnd) {
  Begin();
  policy_.OnSuccessorReady(clock_.Now());
  clock_.Advance(absl::Minutes(2));
  EXPECT_THAT(policy_.OnTime(clock_.Now()), ElementsAre(UpgradeStep::kKillOld));
  EXPECT_THAT(policy_.OnTime(clock_.Now()), IsEmpty());
  policy_.OnOldGone();
  EXPECT_EQ(policy_.phase(), Phase::kDone);
}

TEST_F(UpgradePolicyTest, WhenTheOldOneDiesMeanwhileTheNewOneServesAsSoonAsItCan) {
  Begin();
  EXPECT_THAT(policy_.OnOldGone(), ElementsAre(UpgradeStep::kServeNew));
  // It is the only one now: it may take longer.
  clock_.Advance(absl::Minutes(20));
  EXPECT_THAT(policy_.OnTime(clock_.Now()), IsEmpty());
  EXPECT_THAT(policy_.OnSuccessorReady(clock_.Now()), IsEmpty());
  EXPECT_EQ(policy_.phase(), Phase::kDone);
}

TEST_F(UpgradePolicyTest, TheNextImageGoesOnWhereThisOneStopped) {
  Begin();
  UpgradePolicy next({.ready_max = absl::Minutes(10), .drain_max = absl::Minutes(2)});
  next.Restore(policy_.Save());
  EXPECT_EQ(next.phase(), Phase::kStarting);
  EXPECT_EQ(next.next_deadline(), policy_.next_deadline());
  EXPECT_THAT(next.OnSuccessorReady(clock_.Now()),
              ElementsAre(UpgradeStep::kRetireOld, UpgradeStep::kServeNew));
  next.Restore("rubbish");
  EXPECT_EQ(next.phase(), Phase::kDraining);
}

}  // namespace
}  // namespace paramd
