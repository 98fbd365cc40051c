#include "server/state/state_edits.h"

#include <random>
#include <string>
#include <vector>

#include "runtime/base/strings.h"
#include "tests/support/status_testing.h"

namespace paramd {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr std::string_view kModel = "m";
const absl::Time kNoon = absl::FromUnixSeconds(1'700'000'000);
const EditTime kNow = {.now = kNoon, .keep_previous = absl::Minutes(10)};

// "m" with `there`, of which the policy selects the highest `latest`.
ListedModel Listed(const std::vector<int64_t>& there, size_t latest = 1) {
  ListedModel listed;
  listed.name = kModel;
  listed.policy = StrCat("latest ", latest);
  for (size_t i = 0; i < there.size(); ++i) {
    listed.versions.push_back({.number = there[i],
                               .directory = StrCat("m/", there[i]),
                               .revision = "r1",
                               .selected = i + latest >= there.size()});
  }
  return listed;
}

class StateEditsTest : public ::testing::Test {
 protected:
  void Apply(const ListedModel& listed) { ApplyListing({listed}, &state_); }
  void CameUp(int64_t number) { VersionCameUp(kModel, number, kNow, &state_); }
  WantedModel& model() { return *state_.FindModel(kModel); }
  std::vector<int64_t> Wanted() {
    std::vector<int64_t> numbers;
    const WantedModel* const model = state_.FindModel(kModel);
    if (model == nullptr) return numbers;
    for (const WantedVersion& version : model->versions) {
      if (IsWanted(*model, version)) numbers.push_back(version.number);
    }
    return numbers;
  }
  int64_t Default() {
    const NameEntry* const name = model().FindName("default");
    return name == nullptr ? 0 : name->version;
  }

  DesiredState state_;
};

TEST_F(StateEditsTest, ANewModelTakesTheDaemonsAutoPromoteAndKeepsItsOwn) {
  ListedModel listed = Listed({1, 2}, 2);
  listed.auto_promote = false;
  Apply(listed);
  EXPECT_FALSE(model().auto_promote);
  CameUp(1);
  EXPECT_EQ(Default(), 1);  // Something has to answer.
  CameUp(2);
  EXPECT_EQ(Default(), 1);
  model().auto_promote = true;
  Apply(listed);
  EXPECT_TRUE(model().auto_promote);
}

TEST_F(StateEditsTest, TheFirstVersionThatServesIsTheDefault) {
  Apply(Listed({1, 2}, 2));
  EXPECT_THAT(Wanted(), ElementsAre(1, 2));
  EXPECT_EQ(Default(), 0);
  CameUp(1);
  EXPECT_EQ(Default(), 1);
  CameUp(2);
  EXPECT_EQ(Default(), 2);
}

TEST_F(StateEditsTest, ANewVersionIsPromotedAndTheOldOneKeptForTenMinutes) {
  Apply(Listed({1}));
  CameUp(1);
  Apply(Listed({1, 2}));
  EXPECT_THAT(Wanted(), ElementsAre(1, 2));  // 1 by its name, 2 by the policy.
  EXPECT_EQ(WhyWanted(model(), *model().FindVersion(1)), "named by default");
  EXPECT_EQ(WhyWanted(model(), *model().FindVersion(2)), "latest 1");
  CameUp(2);
  EXPECT_EQ(Default(), 2);
  EXPECT_EQ(model().FindName("default")->previous, 1);
  EXPECT_THAT(Wanted(), ElementsAre(1, 2));
  EXPECT_EQ(WhyWanted(model(), *model().FindVersion(1)), "kept until 22:23:20 UTC");
  EXPECT_EQ(NextExpiry(state_), kNoon + absl::Minutes(10));

  EXPECT_FALSE(Expire(kNoon + absl::Minutes(10) - absl::Nanoseconds(1), &state_));
  EXPECT_TRUE(Expire(kNoon + absl::Minutes(10), &state_));
  EXPECT_THAT(Wanted(), ElementsAre(2));
  EXPECT_EQ(NextExpiry(state_), absl::InfiniteFuture());
  EXPECT_THAT(RollBackName(kModel, "default", kNow, &state_).status(),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("1")));
}

TEST_F(StateEditsTest, RollbackGoesBackAndForth) {
  Apply(Listed({1}));
  CameUp(1);
  EXPECT_THAT(RollBackName(kModel, "default", kNow, &state_).status(),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("nowhere to go back")));
  Apply(Listed({1, 2}));
  CameUp(2);
  ASSERT_OK_AND_ASSIGN(const NameEntry back, RollBackName(kModel, "default", kNow, &state_));
  EXPECT_EQ(back.version, 1);
  EXPECT_EQ(back.previous, 2);
  // 1 is held by its name now; 2 by the policy, and it is not promoted again.
  CameUp(2);
  EXPECT_EQ(Default(), 1);
  EXPECT_TRUE(Expire(kNoon + absl::Hours(1), &state_));
  EXPECT_THAT(Wanted(), ElementsAre(1, 2));
  ASSERT_OK_AND_ASSIGN(const NameEntry forth, RollBackName(kModel, "default", kNow, &state_));
  EXPECT_EQ(forth.version, 2);
  // A higher one is.
  Apply(Listed({1, 2, 3}));
  CameUp(3);
  EXPECT_EQ(Default(), 3);
}

TEST_F(StateEditsTest, WithoutAutoPromoteNewVersionsWaitForAPromotion) {
  Apply(Listed({1}));
  CameUp(1);
  ASSERT_OK(SetAutoPromote(kModel, false, &state_));
  Apply(Listed({1, 2}));
  EXPECT_FALSE(WouldPromote(model(), 2));
  CameUp(2);
  EXPECT_EQ(Default(), 1);
  EXPECT_THAT(Wanted(), ElementsAre(1, 2));
  ASSERT_OK(PointName(kModel, "default", 2, kNow, &state_).status());
  EXPECT_EQ(Default(), 2);
}

TEST_F(StateEditsTest, ANamedVersionIsNeverUnloadedByThePolicy) {
  Apply(Listed({1}));
  CameUp(1);
  ASSERT_OK(PointName(kModel, "stable", 1, kNow, &state_).status());
  for (int64_t newest = 2; newest < 6; ++newest) {
    std::vector<int64_t> there;
    for (int64_t n = 1; n <= newest; ++n) there.push_back(n);
    Apply(Listed(there));
    CameUp(newest);
    Expire(kNoon + absl::Hours(newest), &state_);
    EXPECT_THAT(Wanted(), ElementsAre(1, newest));
  }
  // Its folder may even go, and the model's.
  Apply(Listed({5}));
  EXPECT_THAT(Wanted(), ElementsAre(1, 5));
  ApplyListing({}, &state_);
  EXPECT_THAT(Wanted(), ElementsAre(1, 5));  // `default` holds 5 as long as there is a model.
  ASSERT_OK(RemoveName(kModel, "stable", kNow, &state_).status());
  EXPECT_THAT(Wanted(), ElementsAre(1, 5));  // Kept for a while, as whatever a name leaves.
  ApplyListing({}, &state_);
  EXPECT_EQ(state_.FindModel(kModel), nullptr);
}

TEST_F(StateEditsTest, ExplicitLoadsAreKeptUntilTheyAreUnloaded) {
  Apply(Listed({1, 2, 3}));
  CameUp(3);
  ASSERT_OK(LoadVersion(Listed({1, 2, 3}), 1, &state_));
  EXPECT_THAT(Wanted(), ElementsAre(1, 3));
  EXPECT_EQ(WhyWanted(model(), *model().FindVersion(1)), "asked for");
  Apply(Listed({1, 2, 3, 4}));
  EXPECT_THAT(Wanted(), ElementsAre(1, 3, 4));
  ASSERT_OK(UnloadVersion(kModel, 1, false, &state_));
  EXPECT_THAT(Wanted(), ElementsAre(3, 4));
  EXPECT_THAT(LoadVersion(Listed({1, 2}), 9, &state_),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("it has 1, 2")));
}

TEST_F(StateEditsTest, LoadingOneVersionOfANewModelLoadsOnlyIt) {
  ASSERT_OK(LoadVersion(Listed({1, 2, 3}), 2, &state_));
  EXPECT_THAT(Wanted(), ElementsAre(2));
  CameUp(2);
  EXPECT_EQ(Default(), 2);
  Apply(Listed({1, 2, 3}));  // The next scan does not bring what nobody asked for,
  EXPECT_THAT(Wanted(), ElementsAre(2));
  Apply(Listed({1, 2, 3, 4}));  // a new folder is news.
  EXPECT_THAT(Wanted(), ElementsAre(2, 4));
}

TEST_F(StateEditsTest, UnloadRefusesWhatANamePointsAtUnlessForced) {
  Apply(Listed({1, 2}, 2));
  CameUp(2);
  ASSERT_OK(PointName(kModel, "canary", 2, kNow, &state_).status());
  EXPECT_THAT(UnloadVersion(kModel, 2, false, &state_),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("'canary', 'default'")));
  ASSERT_OK(UnloadVersion(kModel, 2, true, &state_));
  EXPECT_THAT(Wanted(), ElementsAre(1));
  EXPECT_TRUE(model().names.empty());
  // The policy does not bring it back,
  Apply(Listed({1, 2}, 2));
  EXPECT_THAT(Wanted(), ElementsAre(1));
  EXPECT_THAT(UnloadVersion(kModel, 2, false, &state_), StatusIs(absl::StatusCode::kNotFound));
  // other files or somebody who asks do.
  DesiredState before = state_;
  ListedModel changed = Listed({1, 2}, 2);
  changed.versions[1].revision = "r2";
  Apply(changed);
  EXPECT_THAT(Wanted(), ElementsAre(1, 2));
  state_ = before;
  ASSERT_OK(LoadSelected(Listed({1, 2}, 2), &state_));
  EXPECT_THAT(Wanted(), ElementsAre(1, 2));
}

TEST_F(StateEditsTest, NothingButForceTakesAModelsLastVersion) {
  Apply(Listed({1, 2}, 2));
  ASSERT_OK(UnloadVersion(kModel, 2, false, &state_));
  EXPECT_THAT(UnloadVersion(kModel, 1, false, &state_),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("only one")));
  Apply(Listed({1, 2}, 1));  // Only 2 is selected, and that was unloaded.
  EXPECT_THAT(Wanted(), ElementsAre(1));
  CameUp(1);
  ASSERT_OK(UnloadVersion(kModel, 1, true, &state_));
  EXPECT_THAT(Wanted(), ElementsAre());
}

TEST_F(StateEditsTest, AnUnloadedModelStaysSoUntilSomebodyAsks) {
  Apply(Listed({1}));
  CameUp(1);
  ASSERT_OK(UnloadModel(kModel, &state_));
  EXPECT_THAT(Wanted(), ElementsAre());
  EXPECT_THAT(UnloadModel(kModel, &state_), StatusIs(absl::StatusCode::kNotFound));
  Apply(Listed({1, 2}));
  EXPECT_THAT(Wanted(), ElementsAre());
  ASSERT_OK(LoadSelected(Listed({1, 2}), &state_));
  EXPECT_THAT(Wanted(), ElementsAre(2));
  CameUp(2);
  EXPECT_EQ(Default(), 2);
  EXPECT_THAT(UnloadModel("other", &state_), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(StateEditsTest, AskingCountsAsAnotherAttemptAndAScanDoesNot) {
  Apply(Listed({1}));
  Apply(Listed({1}));
  EXPECT_EQ(model().FindVersion(1)->attempt, 0u);
  ASSERT_OK(LoadSelected(Listed({1}), &state_));
  ASSERT_OK(LoadVersion(Listed({1}), 1, &state_));
  EXPECT_EQ(model().FindVersion(1)->attempt, 2u);
}

TEST_F(StateEditsTest, ABrokenModelKeepsWhatServesAndItsErrorUntilItIsFixed) {
  Apply(Listed({1}));
  CameUp(1);
  ListedModel broken;
  broken.name = kModel;
  broken.error = "config.pbtxt line 3: what?";
  Apply(broken);
  EXPECT_THAT(Wanted(), ElementsAre(1));
  EXPECT_EQ(model().error, broken.error);
  Apply(Listed({1}));
  EXPECT_EQ(model().error, "");
}

TEST_F(StateEditsTest, ABrokenFolderIsAFailedVersionAndStopsNoOther) {
  ListedModel listed = Listed({1, 2});
  listed.versions[1].error = "'m/2' has no model.onnx";
  listed.versions[1].selected = true;  // It would have been.
  listed.versions[0].selected = true;
  Apply(listed);
  EXPECT_THAT(Wanted(), ElementsAre(1));
  EXPECT_EQ(model().FindVersion(2)->error, "'m/2' has no model.onnx");
  Apply(Listed({1, 2}));
  EXPECT_THAT(Wanted(), ElementsAre(2));
  EXPECT_EQ(model().FindVersion(2)->error, "");
  // What serves outlives its folder.
  CameUp(2);
  listed.versions[0].selected = false;
  Apply(listed);
  EXPECT_THAT(Wanted(), ElementsAre(2));
}

TEST_F(StateEditsTest, OneBadModelStopsNoOther) {
  std::vector<ListedModel> listing(3);
  listing[0].name = "../bad";
  listing[1] = Listed({1});
  listing[2].name = "z";
  listing[2].config = std::string(kStateTextBytesMax + 1, 'x');
  ApplyListing(listing, &state_);
  EXPECT_EQ(state_.FindModel("../bad"), nullptr);
  EXPECT_THAT(Wanted(), ElementsAre(1));
  EXPECT_THAT(state_.FindModel("z")->error, HasSubstr("allowed are"));
}

TEST_F(StateEditsTest, NamesPointOnlyAtWhatIsWanted) {
  Apply(Listed({1, 2, 3}));
  EXPECT_THAT(PointName(kModel, "stable", 2, kNow, &state_).status(),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("on their way: 3")));
  EXPECT_THAT(PointName(kModel, "7", 3, kNow, &state_).status(),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(PointName("x", "stable", 3, kNow, &state_).status(),
              StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(RollBackName(kModel, "stable", kNow, &state_).status(),
              StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(RemoveName(kModel, "stable", kNow, &state_).status(),
              StatusIs(absl::StatusCode::kNotFound));
  CameUp(3);
  EXPECT_THAT(RemoveName(kModel, "default", kNow, &state_).status(),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  for (size_t i = 0; i + 1 < kStateNamesMax; ++i) {
    ASSERT_OK(PointName(kModel, StrCat("n", i), 3, kNow, &state_).status());
  }
  EXPECT_THAT(PointName(kModel, "more", 3, kNow, &state_).status(),
              StatusIs(absl::StatusCode::kResourceExhausted));
}

TEST_F(StateEditsTest, MemoryFirstGivesTheOldVersionsMemoryToTheNewOne) {
  ListedModel one = Listed({1});
  one.memory_first = true;
  Apply(one);
  CameUp(1);
  ListedModel two = Listed({1, 2});
  two.memory_first = true;
  Apply(two);
  EXPECT_THAT(Wanted(), ElementsAre(2));
  ASSERT_NE(model().FindVersion(1), nullptr);  // It comes back if 2 fails.
  EXPECT_TRUE(IsFallback(model(), *model().FindVersion(1)));
  CameUp(2);
  EXPECT_EQ(Default(), 2);
  EXPECT_EQ(model().FindVersion(1), nullptr);  // Not kept: that is what the order is for.
}

TEST_F(StateEditsTest, FailedEditsChangeNothing) {
  Apply(Listed({1, 2}));
  CameUp(2);
  const DesiredState before = state_;
  EXPECT_FALSE(UnloadVersion(kModel, 2, false, &state_).ok());
  EXPECT_FALSE(UnloadVersion(kModel, 7, true, &state_).ok());
  EXPECT_FALSE(LoadVersion(Listed({1}), 7, &state_).ok());
  EXPECT_FALSE(PointName(kModel, "stable", 1, kNow, &state_).ok());
  EXPECT_FALSE(RollBackName(kModel, "default", kNow, &state_).ok());
  EXPECT_FALSE(RemoveName(kModel, "x", kNow, &state_).ok());
  EXPECT_EQ(state_, before);
}

// Any edits in any order: the document can always be written and read, names
// point at versions that are there, and a promoted version is wanted.
TEST_F(StateEditsTest, EveryOrderOfEditsLeavesADocumentThatHolds) {
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  const auto pick = [&random](int64_t least, int64_t most) {
    return std::uniform_int_distribution<int64_t>(least, most)(random);
  };
  const std::vector<std::string> names = {"default", "stable", "canary"};
  for (int round = 0; round < 50; ++round) {
    state_ = {};
    EditTime time = kNow;
    for (int event = 0; event < 100; ++event) {
      ListedModel listed = Listed({1, 2, 3, 4}, static_cast<size_t>(pick(1, 3)));
      listed.memory_first = round % 2 == 1;
      const std::string& name = names[static_cast<size_t>(pick(0, 2))];
      const int64_t number = pick(1, 4);
      time.now += absl::Minutes(pick(0, 3));
      switch (pick(0, 9)) {
        case 0:
          listed.versions.erase(listed.versions.begin() + pick(0, 3));
          Apply(listed);
          break;
        case 1:
          (void)LoadVersion(listed, number, &state_);
          break;
        case 2:
          (void)LoadSelected(listed, &state_);
          break;
        case 3:
          (void)UnloadVersion(kModel, number, pick(0, 1) == 1, &state_);
          break;
        case 4:
          if (pick(0, 9) == 0) (void)UnloadModel(kModel, &state_);
          break;
        case 5:
          if (PointName(kModel, name, number, time, &state_).ok()) {
            EXPECT_TRUE(IsNamed(model(), number));
          }
          break;
        case 6:
          (void)RollBackName(kModel, name, time, &state_);
          break;
        case 7:
          (void)RemoveName(kModel, name, time, &state_);
          break;
        case 8:
          VersionCameUp(kModel, number, time, &state_);
          break;
        case 9:
          Expire(time.now, &state_);
          break;
      }
      ASSERT_OK_AND_ASSIGN(const std::string bytes, EncodeState(state_));
      ASSERT_OK_AND_ASSIGN(const DesiredState again, DecodeState(bytes));
      ASSERT_EQ(again, state_) << bytes;
      if (state_.FindModel(kModel) == nullptr) continue;
      for (const NameEntry& entry : model().names) {
        const WantedVersion* const version = model().FindVersion(entry.version);
        ASSERT_NE(version, nullptr);
        ASSERT_TRUE(IsWanted(model(), *version) || IsFallback(model(), *version)) << bytes;
      }
    }
  }
}

}  // namespace
}  // namespace paramd
