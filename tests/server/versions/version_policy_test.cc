#include "server/versions/version_policy.h"

#include <map>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace paramd {
namespace {

using S = VersionState;
constexpr bool kWanted = true;
constexpr bool kExtra = false;

struct Case {
  std::string name;
  std::vector<VersionView> versions;
  VersionStep step;
  uint64_t instance = 0;
  SwapOrder order = SwapOrder::kAvailabilityFirst;
};

TEST(VersionPolicy, TakesTheNextStep) {
  const SwapOrder memory_first = SwapOrder::kMemoryFirst;
  const Case cases[] = {
      {"nothing", {}, VersionStep::kNothing},
      {"a new one loads", {{1, 1, S::kPending, kWanted}}, VersionStep::kLoad, 1},
      {"the newest first",
       {{1, 1, S::kPending, kWanted}, {2, 2, S::kPending, kWanted}},
       VersionStep::kLoad,
       2},
      {"loading: wait", {{1, 1, S::kLoading, kWanted}}, VersionStep::kNothing},
      {"the new one loads beside the old",
       {{1, 1, S::kServing, kExtra}, {2, 2, S::kPending, kWanted}},
       VersionStep::kLoad,
       2},
      {"the old one serves while the new one loads",
       {{1, 1, S::kServing, kExtra}, {2, 2, S::kWarming, kWanted}},
       VersionStep::kNothing},
      {"the new one serves: the old one goes",
       {{1, 1, S::kServing, kExtra}, {2, 2, S::kServing, kWanted}},
       VersionStep::kUnload,
       1},
      {"the new one failed: the old one stays",
       {{1, 1, S::kServing, kExtra}, {2, 2, S::kFailed, kWanted}},
       VersionStep::kNothing},
      {"going back to a lower number",
       {{1, 2, S::kServing, kExtra}, {2, 1, S::kServing, kWanted}},
       VersionStep::kUnload,
       1},
      {"the model is not wanted", {{1, 1, S::kServing, kExtra}}, VersionStep::kUnload, 1},
      {"not wanted and never loaded", {{1, 1, S::kPending, kExtra}}, VersionStep::kForget, 1},
      {"not wanted while it loads: wait", {{1, 1, S::kLoading, kExtra}}, VersionStep::kNothing},
      {"gone", {{1, 1, S::kUnloaded, kExtra}}, VersionStep::kForget, 1},
      {"failed and wanted: shown, not tried again",
       {{1, 1, S::kFailed, kWanted}},
       VersionStep::kNothing},
      {"memory first: the old one makes room",
       {{1, 1, S::kServing, kExtra}, {2, 2, S::kPending, kWanted}},
       VersionStep::kUnload,
       1,
       memory_first},
      {"memory first: not before the room is there",
       {{1, 1, S::kDraining, kExtra, true}, {2, 2, S::kPending, kWanted}},
       VersionStep::kNothing,
       0,
       memory_first},
      {"memory first: now",
       {{1, 1, S::kUnloaded, kExtra, true}, {2, 2, S::kPending, kWanted}},
       VersionStep::kLoad,
       2,
       memory_first},
      {"memory first: the new one failed, the old one comes back",
       {{1, 1, S::kUnloaded, kExtra, true}, {2, 2, S::kFailed, kWanted}},
       VersionStep::kReload,
       1,
       memory_first},
      {"memory first: it is coming back",
       {{1, 1, S::kLoading, kExtra, true}, {2, 2, S::kFailed, kWanted}},
       VersionStep::kNothing,
       0,
       memory_first},
      {"memory first: it is back",
       {{1, 1, S::kServing, kExtra}, {2, 2, S::kFailed, kWanted}},
       VersionStep::kNothing,
       0,
       memory_first},
      {"memory first: the new one serves, the old one is forgotten",
       {{1, 1, S::kUnloaded, kExtra, true}, {2, 2, S::kServing, kWanted}},
       VersionStep::kForget,
       1,
       memory_first},
      {"other files of a number wait for nothing else",
       {{1, 1, S::kServing, kExtra}, {2, 1, S::kLoading, kWanted}, {3, 2, S::kServing, kWanted}},
       VersionStep::kNothing},
      {"and if they fail, the old ones serve on",
       {{1, 1, S::kServing, kExtra}, {2, 1, S::kFailed, kWanted}, {3, 2, S::kServing, kWanted}},
       VersionStep::kNothing},
      {"and if they serve, the old ones go",
       {{1, 1, S::kServing, kExtra}, {2, 1, S::kServing, kWanted}, {3, 2, S::kFailed, kWanted}},
       VersionStep::kUnload,
       1},
      {"what default points at loads first",
       {{1, 1, S::kPending, kWanted, false, true}, {2, 2, S::kPending, kWanted}},
       VersionStep::kLoad,
       1},
      {"what failed just now waits",
       {{1, 1, S::kPending, kWanted, false, false, true}},
       VersionStep::kNothing},
      {"memory first: no room for one that waits",
       {{1, 1, S::kServing, kExtra}, {2, 2, S::kPending, kWanted, false, false, true}},
       VersionStep::kNothing,
       0,
       memory_first},
      {"memory first: the old one comes back while the new one waits",
       {{1, 1, S::kUnloaded, kExtra, true}, {2, 2, S::kPending, kWanted, false, false, true}},
       VersionStep::kReload,
       1,
       memory_first},
      {"memory first: the old one is wanted no more at all",
       {{1, 1, S::kUnloaded, kExtra, true}},
       VersionStep::kForget,
       1,
       memory_first},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    const VersionAction action = NextAction(c.versions, c.order);
    EXPECT_EQ(action.step, c.step);
    EXPECT_TRUE(c.instance == 0 || action.instance == c.instance) << action.instance;
  }
}

TEST(VersionPolicy, DefaultIsTheHighestWantedThatServes) {
  EXPECT_EQ(DefaultVersion({}), 0);
  EXPECT_EQ(DefaultVersion(std::vector<VersionView>{{1, 3, S::kLoading, kWanted}}), 0);
  EXPECT_EQ(DefaultVersion(std::vector<VersionView>{{1, 1, S::kServing, kWanted},
                                                    {2, 3, S::kServing, kWanted}}),
            3);
  EXPECT_EQ(DefaultVersion(std::vector<VersionView>{{1, 1, S::kServing, kWanted},
                                                    {2, 3, S::kServing, kExtra}}),
            1);
  EXPECT_EQ(DefaultVersion(std::vector<VersionView>{{1, 1, S::kLoading, kWanted},
                                                    {2, 3, S::kServing, kExtra}}),
            3);
}

// Any wishes, any outcomes of loads: availability first never leaves a wanted
// model that once served without a serving version, and always comes to rest.
TEST(VersionPolicy, NeverUnloadsTheLastServingVersionBeforeItsSuccessorServes) {
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  const auto chance = [&](int percent) {
    return std::uniform_int_distribution<int>(1, 100)(random) <= percent;
  };
  for (int round = 0; round < 300; ++round) {
    std::vector<VersionView> versions;
    uint64_t last = 0;
    bool served = false;
    for (int event = 0; event < 60; ++event) {
      if (chance(20)) {  // A new list, never empty: some of the known, one new.
        for (VersionView& v : versions) v.desired = chance(30);
        ++last;
        versions.push_back({last, static_cast<int64_t>(last), S::kPending, true});
      }
      for (VersionView& v : versions) {  // Something ends.
        if (v.state == S::kLoading && chance(40)) {
          v.state = !v.desired ? S::kUnloaded : chance(50) ? S::kFailed : S::kServing;
        } else if (v.state == S::kDraining && chance(40)) {
          v.state = S::kUnloaded;
        }
      }
      int steps = 0;
      while (true) {
        const VersionAction action = NextAction(versions, SwapOrder::kAvailabilityFirst);
        if (action.step == VersionStep::kNothing) break;
        ASSERT_LT(++steps, 1000);
        for (size_t i = 0; i < versions.size(); ++i) {
          VersionView& v = versions[i];
          if (v.instance != action.instance) continue;
          switch (action.step) {
            case VersionStep::kLoad:
              ASSERT_EQ(v.state, S::kPending);
              v.state = S::kLoading;
              break;
            case VersionStep::kUnload:
              ASSERT_EQ(v.state, S::kServing);
              ASSERT_FALSE(v.desired);
              v.state = S::kDraining;
              break;
            case VersionStep::kForget:
              ASSERT_FALSE(v.desired);
              versions.erase(versions.begin() + static_cast<std::ptrdiff_t>(i));
              break;
            default:
              FAIL();
          }
          break;
        }
        const bool serves = DefaultVersion(versions) != 0;
        ASSERT_TRUE(!served || serves);
        served = serves;
      }
      served = DefaultVersion(versions) != 0;
    }
  }
}

}  // namespace
}  // namespace paramd
