#include "server/state/state_controller.h"

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "tests/server/state/controller_rig.h"

namespace paramd {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(StateController, TakesTheRepositoryFirstAndTheDocumentFromThenOn) {
  ControllerRig rig;
  rig.Put("m", {1, 2});
  ASSERT_OK(rig.controller->Start(/*rescan=*/false));
  rig.versions.Settle();
  EXPECT_EQ(rig.StatesOf("m"), "2:serving");
  EXPECT_EQ(rig.Answers("m"), 2);
  EXPECT_EQ(rig.lists(), 1);

  // The next process serves the document, whatever has become of the files.
  rig.Remove("m");
  rig.Restart();
  ASSERT_OK(rig.controller->Start(false));
  rig.versions.Settle();
  EXPECT_EQ(rig.lists(), 1);
  EXPECT_EQ(rig.StatesOf("m"), "2:serving");
  EXPECT_EQ(rig.versions.loads, 1);
  ASSERT_OK_AND_ASSIGN(const StateReport state, rig.controller->GetState());
  ASSERT_EQ(state.models.size(), 1u);
  EXPECT_EQ(state.models[0].names[0].name, "default");
  EXPECT_EQ(state.models[0].names[0].version, 2);
  EXPECT_TRUE(state.converged);
  EXPECT_GT(state.revision, 0u);

  // Unless it is told to look.
  rig.Put("m", {1, 2, 3});
  rig.Restart();
  ASSERT_OK(rig.controller->Start(/*rescan=*/true));
  rig.versions.Settle();
  EXPECT_EQ(rig.Answers("m"), 3);
}

TEST(StateController, AStoredDocumentThatCannotBeReadIsReplaced) {
  for (const std::string bytes : {"rubbish", R"({"format": 77})"}) {
    ControllerRig rig;
    rig.store.Set(bytes);
    rig.Put("m", {1});
    ASSERT_OK(rig.controller->Start(false));
    rig.versions.Settle();
    EXPECT_EQ(rig.Answers("m"), 1);
    ASSERT_OK(rig.controller->GetState().status());
  }
}

TEST(StateController, ANewVersionTakesOverAndTheOldOneIsKeptForAWhile) {
  ControllerRig rig(false, {.keep_previous = absl::Minutes(10)});
  rig.Put("m", {1});
  ASSERT_OK(rig.controller->Start(false));
  rig.versions.Settle();
  rig.Put("m", {1, 2});
  ASSERT_OK(rig.controller->Rescan(""));
  rig.versions.Control();
  EXPECT_EQ(rig.Answers("m"), 1);
  rig.versions.Settle();
  EXPECT_EQ(rig.Answers("m"), 2);
  EXPECT_EQ(rig.StatesOf("m"), "1:serving 2:serving");
  rig.versions.fake_clock.Advance(absl::Minutes(10) - absl::Seconds(1));
  rig.versions.Settle();
  EXPECT_EQ(rig.StatesOf("m"), "1:serving 2:serving");
  rig.versions.fake_clock.Advance(absl::Seconds(1));
  rig.versions.Settle();
  EXPECT_EQ(rig.StatesOf("m"), "2:serving");
  EXPECT_EQ(rig.versions.alive, 1);
}

TEST(StateController, PromoteAndRollbackMoveANameInOneCall) {
  ControllerRig rig;
  rig.Put("m", {1, 2}, 2);
  ASSERT_OK(rig.controller->Start(false));
  rig.versions.Settle();
  EXPECT_EQ(rig.Answers("m"), 2);
  ASSERT_OK_AND_ASSIGN(const NameState first, rig.controller->Promote("m", "", 1));
  EXPECT_EQ(first.name, "default");
  EXPECT_EQ(first.previous, 2);
  EXPECT_EQ(rig.Answers("m"), 1);  // Before anything else ran.
  ASSERT_OK_AND_ASSIGN(const NameState back, rig.controller->Rollback("m", ""));
  EXPECT_EQ(back.version, 2);
  EXPECT_EQ(rig.Answers("m"), 2);
  ASSERT_OK(rig.controller->Promote("m", "stable", 1).status());
  EXPECT_EQ(rig.Answers("m", {.label = "stable"}), 1);
  EXPECT_EQ(rig.Answers("m", {.number = 2}), 2);
  ASSERT_OK(rig.controller->RemoveName("m", "stable").status());
  EXPECT_EQ(rig.Answers("m", {.label = "stable"}), 0);
  EXPECT_EQ(rig.versions.loads, 2);  // Nothing was loaded again for it.
}

TEST(StateController, RefusesToPromoteWhatDoesNotServe) {
  ControllerRig rig;
  rig.Put("m", {1});
  ASSERT_OK(rig.controller->Start(false));
  rig.versions.Settle();
  EXPECT_THAT(rig.controller->Promote("m", "", 7),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("7")));
  EXPECT_THAT(rig.controller->Promote("x", "", 1), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(rig.controller->Rollback("m", ""), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(rig.controller->Promote("m", "12", 1), StatusIs(absl::StatusCode::kInvalidArgument));
  rig.versions.failures["m/2"] = absl::DataLossError("truncated");
  rig.Put("m", {1, 2});
  ASSERT_OK(rig.controller->Rescan("m"));
  rig.versions.Settle();
  EXPECT_THAT(rig.controller->Promote("m", "", 2),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("failed (truncated)")));
  EXPECT_EQ(rig.Answers("m"), 1);
}

TEST(StateController, LoadWaitsForTheOutcomeAndTellsHowFarItIs) {
  ControllerRig rig;
  rig.Put("m", {1});
  ASSERT_OK(rig.controller->Start(false));
  rig.versions.Settle();
  rig.Put("m", {1, 2});
  std::vector<std::string> told;
  ASSERT_OK(rig.controller
                ->Load({.model = "m"},
                       [&](const LoadEvent& event) {
                         EXPECT_EQ(event.version, 2);
                         told.push_back(event.state);
                       })
                .status());
  EXPECT_EQ(told.front(), "loading");
  EXPECT_EQ(told.back(), "serving");
  EXPECT_EQ(rig.Answers("m"), 2);  // Promoted when the call returns.

  rig.Put("m", {1, 2, 3});
  ASSERT_OK(rig.Load("m", 1));  // An older one beside it, by number.
  EXPECT_EQ(rig.Answers("m", {.number = 1}), 1);
  rig.versions.Settle();
  EXPECT_EQ(rig.Answers("m"), 3);  // What the policy selects came with it.
  EXPECT_THAT(rig.Load("m", 9), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(rig.Load("x"), StatusIs(absl::StatusCode::kNotFound));
}

TEST(StateController, ALoadThatFailsSaysWhyAndTheOldVersionServesOn) {
  ControllerRig rig;
  rig.Put("m", {1});
  ASSERT_OK(rig.controller->Start(false));
  rig.versions.Settle();
  rig.versions.failures["m/2"] = absl::ResourceExhaustedError("needs 9 bytes, 4 are left");
  rig.Put("m", {1, 2});
  EXPECT_THAT(rig.Load("m"),
              StatusIs(absl::StatusCode::kResourceExhausted, "needs 9 bytes, 4 are left"));
  EXPECT_EQ(rig.Answers("m"), 1);
  EXPECT_EQ(rig.StatesOf("m"), "1:serving 2:failed");
  // Its reason stays readable; a scan of the same files tries nothing.
  ASSERT_OK(rig.controller->Rescan(""));
  rig.versions.Settle();
  EXPECT_EQ(rig.versions.metrics.load_failures, 1);
  ASSERT_OK_AND_ASSIGN(StateReport state, rig.controller->GetState());
  EXPECT_EQ(state.models[0].versions[1].reason, "needs 9 bytes, 4 are left");
  // Who asks is heard.
  EXPECT_FALSE(rig.Load("m").ok());
  EXPECT_EQ(rig.versions.metrics.load_failures, 2);
  rig.versions.failures.clear();
  ASSERT_OK(rig.Load("m"));
  EXPECT_EQ(rig.Answers("m"), 2);
  ASSERT_OK_AND_ASSIGN(state, rig.controller->GetState());
  EXPECT_EQ(state.models[0].versions[1].reason, "");
}

TEST(StateController, ABrokenConfigurationIsTheAnswerAndStaysReadable) {
  ControllerRig rig;
  rig.Put("m", {1});
  ASSERT_OK(rig.controller->Start(false));
  rig.versions.Settle();
  ListedModel broken;
  broken.name = "m";
  broken.error = "config.pbtxt line 3: what?";
  rig.Put(broken);
  EXPECT_THAT(rig.Load("m"), StatusIs(absl::StatusCode::kFailedPrecondition, broken.error));
  EXPECT_THAT(rig.Load("m", 1), StatusIs(absl::StatusCode::kFailedPrecondition, broken.error));
  rig.versions.Settle();
  EXPECT_EQ(rig.Answers("m"), 1);
  EXPECT_EQ(rig.versions.manager->status().models[0].error, broken.error);
  rig.Put("m", {1});
  ASSERT_OK(rig.Load("m"));
  EXPECT_EQ(rig.versions.manager->status().models[0].error, "");
  EXPECT_EQ(rig.versions.loads, 1);
}

TEST(StateController, UnloadGivesBackAtOnceAndStaysUnloaded) {
  ControllerRig rig;
  rig.Put("m", {1, 2}, 2);
  ASSERT_OK(rig.controller->Start(false));
  rig.versions.Settle();
  EXPECT_THAT(rig.controller->Unload("m", 2, false),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  ASSERT_OK(rig.controller->Unload("m", 1, false));
  rig.versions.Settle();
  EXPECT_EQ(rig.versions.alive, 1);
  ASSERT_OK(rig.controller->Rescan(""));
  rig.versions.Settle();
  EXPECT_EQ(rig.StatesOf("m"), "2:serving");
  ASSERT_OK(rig.controller->Unload("m", std::nullopt, false));
  rig.versions.Settle();
  EXPECT_EQ(rig.versions.alive, 0);
  ASSERT_OK(rig.controller->Rescan(""));
  rig.versions.Settle();
  EXPECT_EQ(rig.versions.alive, 0);
  ASSERT_OK_AND_ASSIGN(const StateReport state, rig.controller->GetState());
  EXPECT_EQ(state.models[0].error, "unloaded by an operator");
  ASSERT_OK(rig.Load("m"));
  EXPECT_EQ(rig.Answers("m"), 2);
}

TEST(StateController, EditsStartOverWhenAnotherProcessWasFaster) {
  ControllerRig rig;
  rig.Put("m", {1, 2}, 2);
  ASSERT_OK(rig.controller->Start(false));
  rig.versions.Settle();
  // The rival makes a name of its own, five times in a row.
  int made = 0;
  rig.store.LoseTo(5, [&made](const std::string& bytes) {
    DesiredState state = *DecodeState(bytes);
    EXPECT_OK(PointName("m", StrCat("rival", made++), 1, {}, &state).status());
    return *EncodeState(state);
  });
  ASSERT_OK(rig.controller->Promote("m", "", 1).status());
  EXPECT_EQ(rig.Answers("m"), 1);
  ASSERT_OK_AND_ASSIGN(const StateReport state, rig.controller->GetState());
  EXPECT_EQ(state.models[0].names.size(), 6u);  // Both are in the document.
  EXPECT_EQ(rig.Answers("m", {.label = "rival4"}), 1);

  // The rival unloads what is to be promoted: that is the answer then.
  rig.store.LoseTo(1, [](const std::string& bytes) {
    DesiredState state = *DecodeState(bytes);
    EXPECT_OK(UnloadVersion("m", 2, true, &state));
    return *EncodeState(state);
  });
  EXPECT_THAT(rig.controller->Promote("m", "", 2), StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST(StateController, AStoreThatCannotBeWrittenChangesNothing) {
  ControllerRig rig;
  rig.Put("m", {1, 2}, 2);
  ASSERT_OK(rig.controller->Start(false));
  rig.versions.Settle();
  rig.store.FailWrites(absl::InternalError("disk full"));
  EXPECT_THAT(rig.controller->Promote("m", "", 1),
              StatusIs(absl::StatusCode::kInternal, "disk full"));
  EXPECT_EQ(rig.Answers("m"), 2);
  rig.store.FailWrites(absl::OkStatus());
  ASSERT_OK(rig.controller->Promote("m", "", 1).status());
}

TEST(StateController, AutoPromoteCanBeTurnedOffAndOn) {
  ControllerRig rig;
  rig.Put("m", {1});
  ASSERT_OK(rig.controller->Start(false));
  rig.versions.Settle();
  ASSERT_OK(rig.controller->SetAutoPromote("m", false));
  rig.Put("m", {1, 2});
  ASSERT_OK(rig.Load("m"));
  EXPECT_EQ(rig.Answers("m"), 1);
  EXPECT_EQ(rig.Answers("m", {.number = 2}), 2);
  ASSERT_OK(rig.controller->SetAutoPromote("m", true));  // 2 serves: now it is promoted.
  rig.versions.Settle();
  EXPECT_EQ(rig.Answers("m"), 2);
}

TEST(StateController, QuarantineLastsUntilFilesChangeOrSomebodyAsks) {
  StateControllerOptions options;
  options.quarantined["m/2"] = "the worker crashed 3 times while running it";
  for (const bool ask : {false, true}) {
    ControllerRig rig(false, options);
    {
      DesiredState state;
      ListedModel listed;
      listed.name = "m";
      listed.versions = {{.number = 1, .directory = "m/1", .revision = "r1", .selected = true},
                         {.number = 2, .directory = "m/2", .revision = "r1", .selected = true}};
      ApplyListing({listed}, &state);
      VersionCameUp("m", 2, {}, &state);
      rig.store.Set(*EncodeState(state));
    }
    ASSERT_OK(rig.controller->Start(false));
    rig.versions.Settle();
    EXPECT_EQ(rig.StatesOf("m"), "1:serving 2:failed");
    EXPECT_EQ(rig.Answers("m"), 1);  // The others serve.
    EXPECT_THAT(rig.versions.manager->status().models[0].versions[1].reason,
                HasSubstr("crashed 3 times"));
    EXPECT_TRUE(rig.versions.manager->status().settled);
    rig.Put("m", {1, 2}, 2);
    ASSERT_OK(rig.controller->Rescan(""));
    rig.versions.Settle();
    EXPECT_EQ(rig.StatesOf("m"), "1:serving 2:failed");
    if (ask) {
      ASSERT_OK(rig.Load("m", 2));
    } else {
      rig.Put("m", {1, 2}, 2, "r2");
      ASSERT_OK(rig.controller->Rescan(""));
      rig.versions.Settle();
    }
    EXPECT_EQ(rig.StatesOf("m"), "1:serving 2:serving");
  }
}

TEST(StateController, MemoryFirstComesBackWhenTheNewVersionFails) {
  ControllerRig rig;
  ListedModel listed;
  listed.name = "m";
  listed.memory_first = true;
  listed.versions = {{.number = 1, .directory = "m/1", .revision = "r1", .selected = true}};
  rig.Put(listed);
  ASSERT_OK(rig.controller->Start(false));
  rig.versions.Settle();
  EXPECT_EQ(rig.Answers("m"), 1);
  listed.versions[0].selected = false;
  listed.versions.push_back({.number = 2, .directory = "m/2", .revision = "r1", .selected = true});
  rig.Put(listed);
  rig.versions.failures["m/2"] = absl::InternalError("NaN in output 'y'");
  EXPECT_THAT(rig.Load("m"), StatusIs(absl::StatusCode::kInternal));
  rig.versions.Settle();
  EXPECT_EQ(rig.StatesOf("m"), "1:serving 2:failed");
  EXPECT_EQ(rig.Answers("m"), 1);
  rig.versions.failures.clear();
  ASSERT_OK(rig.Load("m"));
  rig.versions.Settle();
  EXPECT_EQ(rig.StatesOf("m"), "2:serving");
  EXPECT_EQ(rig.Answers("m"), 2);
  EXPECT_EQ(rig.versions.alive, 1);
}

TEST(StateController, OnlyTheActiveOneEdits) {
  ControllerRig rig(false, {.active = false});
  rig.Put("m", {1, 2}, 2);
  ASSERT_OK(rig.controller->Start(false));
  rig.versions.Settle();
  EXPECT_EQ(rig.StatesOf("m"), "1:serving 2:serving");
  EXPECT_THAT(rig.controller->Promote("m", "", 1), StatusIs(absl::StatusCode::kUnavailable));
  ASSERT_OK_AND_ASSIGN(StateReport state, rig.controller->GetState());
  EXPECT_TRUE(state.models[0].names.empty());
  // Meanwhile the process before edits the document.
  DesiredState edited = *DecodeState(rig.store.Read()->bytes);
  ASSERT_OK(PointName("m", "stable", 1, {}, &edited).status());
  rig.store.Set(*EncodeState(edited));
  rig.controller->Activate();
  rig.versions.Settle();
  EXPECT_EQ(rig.Answers("m", {.label = "stable"}), 1);
  EXPECT_EQ(rig.Answers("m"), 2);
  rig.controller->Deactivate();
  EXPECT_THAT(rig.Load("m"), StatusIs(absl::StatusCode::kUnavailable));
}

// An upgrade is draining: clients are still connected to the process before, and
// see what is promoted in the one after it.
TEST(StateController, ADeactivatedOneFollowsAsFarAsItNeedsNoFile) {
  ControllerRig rig;
  rig.Put("m", {1, 2}, 2);
  ASSERT_OK(rig.controller->Start(false));
  rig.versions.Settle();
  ASSERT_EQ(rig.Answers("m"), 2);
  rig.controller->Follow();  // The active one follows nobody.
  rig.controller->Deactivate();

  DesiredState edited = *DecodeState(rig.store.Read()->bytes);
  ASSERT_OK(PointName("m", "default", 1, {}, &edited).status());
  // And one that the successor has begun to load.
  rig.Put("m", {1, 2, 3}, 3);
  ApplyListing(*rig.List("m"), &edited);
  rig.store.Set(*EncodeState(edited));
  rig.controller->Follow();
  rig.versions.Settle();
  EXPECT_EQ(rig.Answers("m"), 1);
  EXPECT_EQ(rig.StatesOf("m"), "1:serving 2:serving");

  // The successor has loaded it, and moves the name.
  rig.held = {"m/3 r1"};
  ASSERT_OK(PointName("m", "default", 3, {}, &edited).status());
  rig.store.Set(*EncodeState(edited));
  rig.controller->Follow();
  rig.versions.Settle();
  EXPECT_EQ(rig.Answers("m"), 3);
  EXPECT_EQ(rig.StatesOf("m"), "1:serving 2:serving 3:serving");

  // New files under the same number: the version that is here serves on.
  rig.Put("m", {1, 2, 3}, 3, "r2");
  ApplyListing(*rig.List("m"), &edited);
  rig.store.Set(*EncodeState(edited));
  rig.controller->Follow();
  rig.versions.Settle();
  EXPECT_EQ(rig.Answers("m"), 3);
  EXPECT_EQ(rig.StatesOf("m"), "1:serving 2:serving 3:serving");

  // What is unloaded goes here too.
  edited.models.front().unloaded = true;
  rig.store.Set(*EncodeState(edited));
  rig.controller->Follow();
  rig.versions.Settle();
  EXPECT_EQ(rig.Answers("m"), 0);
}

TEST(StateController, VerifiesWhatIsInMemoryWhenAskedAndOnSchedule) {
  ControllerRig rig(false, {.verify_interval = absl::Hours(1)});
  rig.Put("a", {1});
  rig.Put("b", {1, 2}, 2);
  ASSERT_OK(rig.controller->Start(false));
  rig.versions.Settle();
  ASSERT_OK_AND_ASSIGN(const std::vector<VerifyReport> reports, rig.controller->Verify("b"));
  ASSERT_EQ(reports.size(), 2u);
  EXPECT_OK(reports[0].status);
  EXPECT_EQ(reports[1].version, 2);
  EXPECT_THAT(rig.controller->Verify("x"), StatusIs(absl::StatusCode::kNotFound));
  rig.verified.clear();
  for (int hour = 1; hour <= 3; ++hour) {
    rig.versions.fake_clock.Advance(absl::Hours(1));
    rig.versions.Settle();
    EXPECT_EQ(rig.verified.size(), 3u * static_cast<size_t>(hour));
  }
}

TEST(StateController, PlansWithoutChangingAnything) {
  ControllerRig rig;
  rig.plan = [](const PlanRequest& request) -> absl::StatusOr<LoadPlan> {
    LoadPlan plan;
    plan.model = request.load.id.model;
    plan.version = request.load.id.number;
    plan.freed_bytes = 10 * request.goes_first.size();
    if (plan.version == 3) plan.verdict = absl::ResourceExhaustedError("needs 9, has 4");
    return plan;
  };
  rig.Restart();
  rig.Put("m", {1});
  ASSERT_OK(rig.controller->Start(false));
  rig.versions.Settle();
  const int writes = rig.store.writes();
  rig.Put("m", {1, 2, 3}, 2);
  ListedModel broken;
  broken.name = "z";
  broken.error = "no version";
  rig.Put(broken);
  ASSERT_OK_AND_ASSIGN(const std::vector<LoadPlan> dry,
                       rig.controller->Load({.model = "m", .dry_run = true}, {}));
  ASSERT_EQ(dry.size(), 2u);
  EXPECT_EQ(dry[0].version, 2);
  EXPECT_EQ(dry[1].version, 3);
  EXPECT_THAT(dry[1].verdict, StatusIs(absl::StatusCode::kResourceExhausted));
  ASSERT_OK_AND_ASSIGN(const std::vector<LoadPlan> all, rig.controller->Plan(""));
  ASSERT_EQ(all.size(), 4u);  // m/1 by its name, m/2, m/3, and what is wrong with z.
  EXPECT_THAT(all[3].verdict, StatusIs(absl::StatusCode::kFailedPrecondition, "no version"));
  EXPECT_EQ(rig.store.writes(), writes);
  EXPECT_EQ(rig.StatesOf("m"), "1:serving");
}

TEST(StateController, AModelWhoseFolderIsGoneGoesToo) {
  ControllerRig rig;
  rig.Put("a", {1});
  rig.Put("b", {1});
  ASSERT_OK(rig.controller->Start(false));
  rig.versions.Settle();
  rig.Remove("a");
  rig.Remove("b");
  ASSERT_OK(rig.controller->Rescan("a"));
  rig.versions.Settle();
  EXPECT_EQ(rig.versions.alive, 1);
  ASSERT_OK(rig.controller->Rescan(""));
  rig.versions.Settle();
  EXPECT_EQ(rig.versions.alive, 0);
}

TEST(StateController, ShutdownEndsWhoWaits) {
  ControllerRig rig(/*threads=*/true);
  rig.Put("m", {1});
  ASSERT_OK(rig.controller->Start(false));
  ASSERT_OK(rig.Load("m"));
  // A load that does not end before the waiting does.
  Mutex mutex;
  CondVar go;
  bool may_go = false;
  std::atomic<bool> began{false};
  rig.versions.script = [&](const LoadRequest&, FakeModelOptions*) {
    began = true;
    MutexLock lock(&mutex);
    while (!may_go) go.Wait(&mutex);
  };
  rig.Put("m", {1, 2});
  absl::Status outcome;
  std::thread waiter([&] { outcome = rig.Load("m"); });
  while (!began) std::this_thread::yield();
  rig.controller->Shutdown();
  waiter.join();
  EXPECT_THAT(outcome, StatusIs(absl::StatusCode::kCancelled));
  MutexLock lock(&mutex);
  may_go = true;
  go.SignalAll();
}

}  // namespace
}  // namespace paramd
