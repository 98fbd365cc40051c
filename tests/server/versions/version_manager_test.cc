#include "server/versions/version_manager.h"

#include <atomic>
#include <set>
#include <sstream>
#include <string>
#include <thread>

#include "tests/server/versions/versions_rig.h"

namespace paramd {
namespace {

using ::testing::HasSubstr;

int64_t DefaultNumber(const VersionsRig& rig, const std::string& model) {
  const absl::StatusOr<ModelHandle> found = rig.Find(model);
  return found.ok() ? (*found)->id().number : 0;
}

TEST(VersionManager, LoadsAndServesWhatIsDesired) {
  VersionsRig rig;
  EXPECT_FALSE(rig.manager->status().settled);  // Nothing is desired yet.
  rig.Want({{"a", {1}}, {"b", {3, 4}}});
  rig.Control();
  EXPECT_EQ(rig.StatesOf("a"), "1:loading");
  EXPECT_EQ(rig.StatesOf("b"), "3:loading 4:loading");
  EXPECT_FALSE(rig.manager->status().settled);
  EXPECT_THAT(rig.Find("a"), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("loaded")));

  rig.Settle();
  EXPECT_EQ(rig.StatesOf("a"), "1:serving");
  EXPECT_EQ(rig.StatesOf("b"), "3:serving 4:serving");
  EXPECT_TRUE(rig.manager->status().settled);
  EXPECT_TRUE(rig.manager->status().all_ready);
  EXPECT_EQ(DefaultNumber(rig, "b"), 4);
  ASSERT_OK_AND_ASSIGN(const ModelHandle three, rig.Find("b", {.number = 3}));
  EXPECT_EQ(three->id(), (VersionId{"b", 3}));
  EXPECT_EQ(three->weights_id(), "weights-b/3");
  EXPECT_GT(three->generation(), 1000u);
  EXPECT_EQ(rig.metrics.loads, 3);
  EXPECT_EQ(rig.metrics.loads_in_progress, 0);
  EXPECT_EQ(rig.metrics.counts("b", 3).generation, three->generation());
}

// Lines of /metrics that are samples; those of the process come and go with /proc.
int Series(const Metrics& metrics) {
  int count = 0;
  std::istringstream page(metrics.Render());
  for (std::string line; std::getline(page, line);) {
    if (line.starts_with("paramd_") && !line.starts_with("paramd_process_")) ++count;
  }
  return count;
}

TEST(VersionManager, AThousandVersionsLeaveNoSeriesBehind) {
  const auto metrics = Metrics::Create({});
  VersionsRig rig(/*threads=*/false, metrics.get());
  const int before = Series(*metrics);
  constexpr int64_t kVersions = 1000;
  int with_one = 0;
  for (int64_t version = 1; version <= kVersions; ++version) {
    // Every seventh fails, every hundredth model is another one.
    const std::string model = StrCat("m", version / 100);
    if (version % 7 == 0) {
      rig.failures[StrCat(model, "/", version)] = absl::DataLossError(StrCat("damaged ", version));
    }
    rig.names = {{"default", version}, {StrCat("label-", version), version}};
    rig.Want({{model, {version}}});
    rig.Settle();
    if (version == 1) with_one = Series(*metrics);
    // What the first had, the same of a predecessor that stays because this one
    // failed, and a few by code.
    EXPECT_LE(Series(*metrics), before + 2 * (with_one - before) + 8) << version;
  }
  EXPECT_GT(with_one, before);
  rig.Want({});
  rig.Settle();
  EXPECT_EQ(Series(*metrics), before) << metrics->Render();
}

TEST(VersionManager, AModelThatFailsStopsNobodyElse) {
  VersionsRig rig;
  rig.failures["bad/1"] = absl::UnimplementedError("operator 'Foo' of node 7 is not known");
  rig.Want({{"bad", {1}}, {"good", {1}}});
  rig.Settle();
  EXPECT_EQ(rig.StatesOf("bad"), "1:failed");
  EXPECT_EQ(rig.StatesOf("good"), "1:serving");
  const ServingStatus status = rig.manager->status();
  EXPECT_TRUE(status.settled);
  EXPECT_FALSE(status.all_ready);
  EXPECT_THAT(status.models[0].versions[0].reason, HasSubstr("operator 'Foo'"));
  EXPECT_TRUE(status.models[0].failed);
  EXPECT_THAT(rig.Find("bad"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_EQ(rig.metrics.load_failures, 1);
  ASSERT_EQ(rig.metrics.failed_versions().size(), 1u);
  EXPECT_EQ(rig.metrics.failed_versions()[0].code, absl::StatusCode::kUnimplemented);
  EXPECT_THAT(rig.metrics.failed_versions()[0].reason, HasSubstr("operator 'Foo'"));

  rig.Want({{"bad", {1}}, {"good", {1}}});  // The same files are not tried again,
  rig.Settle();
  EXPECT_EQ(rig.metrics.load_failures, 1);
  rig.failures.clear();
  rig.revision = "r2";  // changed files are.
  rig.Want({{"bad", {1}}});
  rig.Settle();
  EXPECT_EQ(rig.StatesOf("bad"), "1:serving");
  EXPECT_TRUE(rig.metrics.failed_versions().empty());
}

TEST(VersionManager, ABrokenFolderIsAFailedModelAndLeavesWhatServes) {
  VersionsRig rig;
  rig.Want({{"a", {1}}});
  rig.Settle();
  rig.manager->SetDesired({{.name = "a", .error = "config.pbtxt line 3: what?"},
                           {.name = "b", .error = "no version folder"}});
  rig.Settle();
  EXPECT_EQ(rig.StatesOf("a"), "1:serving");
  const ServingStatus status = rig.manager->status();
  EXPECT_TRUE(status.settled);
  EXPECT_TRUE(status.models[0].ready);
  EXPECT_EQ(status.models[0].error, "config.pbtxt line 3: what?");
  EXPECT_TRUE(status.models[1].failed);
}

TEST(VersionManager, LoadsTheNewVersionThenSwitchesThenUnloadsTheOld) {
  VersionsRig rig;
  rig.Want({{"a", {1}}});
  rig.Settle();
  ASSERT_OK_AND_ASSIGN(ModelHandle held, rig.Find("a"));
  rig.Want({{"a", {2}}});
  rig.Control();
  EXPECT_EQ(rig.StatesOf("a"), "1:serving 2:loading");
  EXPECT_EQ(DefaultNumber(rig, "a"), 1);
  EXPECT_TRUE(rig.manager->RunLoad());
  EXPECT_EQ(DefaultNumber(rig, "a"), 1);  // Loaded, not yet published.
  rig.Control();
  EXPECT_EQ(DefaultNumber(rig, "a"), 2);
  EXPECT_EQ(rig.StatesOf("a"), "1:draining 2:serving");
  EXPECT_THAT(rig.Find("a", {.number = 1}), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_EQ(rig.alive, 2);  // A request still holds the old one,
  EXPECT_EQ(rig.manager->status().models[0].versions[0].holders, 1);

  held = ModelHandle();
  EXPECT_EQ(rig.alive, 2);  // whose end is the control thread's business.
  rig.Control();
  EXPECT_EQ(rig.alive, 1);
  EXPECT_EQ(rig.StatesOf("a"), "2:serving");
}

TEST(VersionManager, KeepsTheOldVersionWhereTheNewOneFails) {
  VersionsRig rig;
  rig.Want({{"a", {1}}});
  rig.Settle();
  rig.failures["a/2"] = absl::DataLossError("truncated");
  rig.Want({{"a", {2}}});
  rig.Settle();
  EXPECT_EQ(rig.StatesOf("a"), "1:serving 2:failed");
  EXPECT_EQ(DefaultNumber(rig, "a"), 1);
  EXPECT_TRUE(rig.manager->status().settled);
}

TEST(VersionManager, ANewRevisionOfTheSameNumberIsSwappedLikeANewVersion) {
  VersionsRig rig;
  rig.Want({{"a", {1}}});
  rig.Settle();
  ASSERT_OK_AND_ASSIGN(ModelHandle before, rig.Find("a"));
  const uint64_t generation = before->generation();
  before = ModelHandle();
  rig.revision = "r2";
  rig.Want({{"a", {1}}});
  rig.Settle();
  EXPECT_EQ(rig.StatesOf("a"), "1:serving");
  ASSERT_OK_AND_ASSIGN(ModelHandle after, rig.Find("a"));
  EXPECT_GT(after->generation(), generation);
  EXPECT_EQ(rig.alive, 1);
}

TEST(VersionManager, MemoryFirstMakesRoomAndComesBackIfTheNewOneFails) {
  VersionsRig rig;
  rig.swap_order = SwapOrder::kMemoryFirst;
  rig.Want({{"a", {1}}});
  rig.Settle();
  rig.failures["a/2"] = absl::ResourceExhaustedError("needs 5, has 4");
  rig.Want({{"a", {2}}});
  rig.Control();
  EXPECT_EQ(rig.alive, 0);
  EXPECT_THAT(rig.Find("a"), StatusIs(absl::StatusCode::kUnavailable));
  rig.Settle();
  EXPECT_EQ(rig.StatesOf("a"), "1:serving 2:failed");
  EXPECT_EQ(DefaultNumber(rig, "a"), 1);

  rig.Want({{"a", {3}}});
  rig.Settle();
  EXPECT_EQ(rig.StatesOf("a"), "3:serving");
  EXPECT_EQ(rig.alive, 1);
}

TEST(VersionManager, NamesMoveInOneSnapshotAndTheListSaysWhenItIsPublished) {
  VersionsRig rig;
  rig.names = {{"default", 1}, {"stable", 2}};
  rig.Want({{"a", {1, 2}}});
  rig.Settle();
  EXPECT_EQ(DefaultNumber(rig, "a"), 1);  // Not the highest: the one that is named.
  EXPECT_EQ((*rig.Find("a", {.label = "stable"}))->id().number, 2);
  DesiredModel model = {.name = "a"};
  model.versions = {{.number = 1, .directory = "a/1", .revision = "r1"},
                    {.number = 2, .directory = "a/2", .revision = "r1"}};
  model.names = {{"default", 2}};
  bool published = false;
  rig.manager->SetDesired({model}, {.revision = 7, .on_published = [&] {
                                      published = true;
                                      EXPECT_EQ(DefaultNumber(rig, "a"), 2);
                                    }});
  EXPECT_FALSE(published);
  EXPECT_TRUE(rig.manager->RunControl());
  EXPECT_TRUE(published);
  EXPECT_EQ(rig.manager->status().revision, 7u);
  EXPECT_THAT(rig.Find("a", {.label = "stable"}), StatusIs(absl::StatusCode::kNotFound));

  // A list that was overtaken changes nothing, but who waits for it is told.
  model.names = {{"default", 1}};
  published = false;
  rig.manager->SetDesired({model}, {.revision = 6, .on_published = [&] { published = true; }});
  rig.Settle();
  EXPECT_TRUE(published);
  EXPECT_EQ(DefaultNumber(rig, "a"), 2);
  EXPECT_EQ(rig.manager->status().models[0].names[0].version, 2);
}

TEST(VersionManager, ADefaultThatFailedIsAnsweredByTheHighestThatServes) {
  VersionsRig rig;
  rig.failures["a/2"] = absl::DataLossError("truncated");
  rig.names = {{"default", 2}};
  rig.Want({{"a", {1, 2}}});
  rig.Control();
  EXPECT_TRUE(rig.manager->RunLoad());  // 2 first: it is the default.
  EXPECT_TRUE(rig.manager->RunLoad());
  rig.Control();
  EXPECT_EQ(DefaultNumber(rig, "a"), 1);
}

TEST(VersionManager, NobodyElseAnswersForADefaultThatIsOnItsWay) {
  VersionsRig rig;
  rig.Want({{"a", {2}}});
  rig.Settle();
  rig.names = {{"default", 1}};
  rig.Want({{"a", {1, 2}}});
  rig.Control();
  EXPECT_THAT(rig.Find("a"), StatusIs(absl::StatusCode::kUnavailable));
  rig.Settle();
  EXPECT_EQ(DefaultNumber(rig, "a"), 1);
}

TEST(VersionManager, FilesThatKeepFailingAreTriedLessAndLessOften) {
  VersionsRig rig;
  rig.failures["a/1"] = absl::DataLossError("truncated");
  const auto rewrite = [&rig](int n) {
    rig.revision = StrCat("r", n);
    rig.Want({{"a", {1}}});
    rig.Settle();
  };
  rewrite(0);
  rewrite(1);  // A fix is taken at once.
  EXPECT_EQ(rig.metrics.load_failures, 2);
  rewrite(2);
  EXPECT_EQ(rig.metrics.load_failures, 2);  // Now it waits a second,
  EXPECT_EQ(rig.StatesOf("a"), "1:pending");
  ServingStatus status = rig.manager->status();
  EXPECT_TRUE(status.settled);
  EXPECT_TRUE(status.models[0].failed);
  EXPECT_THAT(status.models[0].versions[0].reason, HasSubstr("it failed: truncated"));
  rewrite(3);
  rig.fake_clock.Advance(absl::Seconds(1));
  rig.Settle();
  EXPECT_EQ(rig.metrics.load_failures, 3);  // and reads the newest files once;
  rewrite(4);
  rig.fake_clock.Advance(absl::Seconds(1));
  rig.Settle();
  EXPECT_EQ(rig.metrics.load_failures, 3);  // then two seconds, and so on.
  rig.attempt = 1;
  rig.Want({{"a", {1}}});  // Who asks does not wait,
  rig.Settle();
  EXPECT_EQ(rig.metrics.load_failures, 4);
  rig.fake_clock.Advance(absl::Hours(1));
  rig.Settle();
  EXPECT_EQ(rig.metrics.load_failures, 4);  // and time alone tries nothing.
  rig.failures.clear();
  rig.attempt = 2;
  rig.Want({{"a", {1}}});
  rig.Settle();
  EXPECT_EQ(rig.StatesOf("a"), "1:serving");
  EXPECT_EQ(rig.manager->status().models[0].versions[0].reason, "");
}

TEST(VersionManager, ARefusedVersionIsAFailedOne) {
  VersionsRig rig;
  DesiredModel model = {.name = "a"};
  model.versions = {{.number = 1, .directory = "a/1", .revision = "r1"},
                    {.number = 2, .directory = "a/2", .revision = "r1", .refusal = "crashed"}};
  rig.manager->SetDesired({model});
  rig.Settle();
  EXPECT_EQ(rig.StatesOf("a"), "1:serving 2:failed");
  EXPECT_EQ(rig.manager->status().models[0].versions[1].reason, "crashed");
  EXPECT_EQ(rig.loads, 1);
  model.versions[1].refusal = "";
  model.versions[1].attempt = 1;
  rig.manager->SetDesired({model});
  rig.Settle();
  EXPECT_EQ(rig.StatesOf("a"), "1:serving 2:serving");
}

TEST(VersionManager, MemoryFirstKnowsItsFallbackAlsoAfterARestart) {
  VersionsRig rig;
  DesiredModel model = {.name = "a", .swap_order = SwapOrder::kMemoryFirst};
  model.versions = {{.number = 1, .directory = "a/1", .revision = "r1", .fallback = true},
                    {.number = 2, .directory = "a/2", .revision = "r1"}};
  rig.failures["a/2"] = absl::InternalError("NaN");
  rig.manager->SetDesired({model});
  rig.Settle();
  EXPECT_EQ(rig.StatesOf("a"), "1:serving 2:failed");
}

TEST(VersionManager, TellsWhatWasUnloadedAndTidiesAfterwards) {
  VersionsRig rig;
  rig.Want({{"a", {1}}, {"b", {1}}});
  rig.Settle();
  EXPECT_EQ(rig.tidied, 2);  // Once for each version that began to serve.
  ASSERT_OK_AND_ASSIGN(ModelHandle held, rig.Find("a"));
  rig.Want({{"b", {1}}});
  rig.Settle();
  EXPECT_TRUE(rig.unloaded.empty());  // Somebody uses it.
  held = ModelHandle();
  rig.Control();
  EXPECT_THAT(rig.unloaded, ::testing::ElementsAre("a/1 weights-a/1"));
  EXPECT_EQ(rig.tidied, 2);  // On a loader thread, after what waits there.
  rig.Settle();
  EXPECT_EQ(rig.tidied, 3);
  // A process that ends leaves what is held for the next one.
  rig.manager->Shutdown();
  EXPECT_EQ(rig.unloaded.size(), 1u);
  EXPECT_EQ(rig.alive, 0);
}

TEST(VersionManager, SettlesOnceEveryVersionServesOrHasFailed) {
  VersionsRig rig;
  rig.failures["a/2"] = absl::DataLossError("truncated");
  rig.names = {{"default", 1}};
  rig.Want({{"a", {1, 2}}});
  rig.Control();
  EXPECT_TRUE(rig.manager->RunLoad());
  rig.Control();
  EXPECT_EQ(DefaultNumber(rig, "a"), 1);
  EXPECT_FALSE(rig.manager->status().settled);  // A label may point at 2.
  rig.Settle();
  EXPECT_TRUE(rig.manager->status().settled);
}

TEST(VersionManager, OnceSettledItStaysReadyWhileMoreIsLoaded) {
  VersionsRig rig;
  rig.Want({{"a", {1}}});
  rig.Control();
  EXPECT_FALSE(rig.manager->status().settled);
  rig.Settle();
  EXPECT_TRUE(rig.manager->status().settled);
  rig.Want({{"a", {1}}, {"b", {1}}});
  rig.Control();
  EXPECT_TRUE(rig.manager->status().settled);
  EXPECT_FALSE(rig.manager->status().all_ready);
  EXPECT_FALSE(rig.manager->status().converged);
  rig.Settle();
  EXPECT_TRUE(rig.manager->status().converged);
}

TEST(VersionManager, UnloadsWhatIsNotDesiredAnyMore) {
  VersionsRig rig;
  rig.Want({{"a", {1}}, {"b", {1}}});
  rig.Settle();
  rig.Want({{"b", {1}}});
  rig.Settle();
  EXPECT_EQ(rig.alive, 1);
  EXPECT_THAT(rig.Find("a"), StatusIs(absl::StatusCode::kNotFound, HasSubstr("no model 'a'")));
  EXPECT_EQ(rig.manager->status().models.size(), 1u);
}

TEST(VersionManager, AWishThatChangesDuringTheLoadIsKept) {
  VersionsRig rig;
  rig.Want({{"a", {1}}});
  rig.Control();
  rig.Want({{"a", {2}}});  // 1 is loading: it finishes, and goes.
  rig.Settle();
  EXPECT_EQ(rig.StatesOf("a"), "2:serving");
  rig.Want({{"a", {3}}});
  rig.Control();
  rig.Want({{"a", {2}}});
  rig.Control();
  EXPECT_TRUE(rig.manager->RunLoad());  // Nobody wants 3: it is not read.
  rig.Want({{"a", {3}}});               // Or somebody does, after all.
  rig.Settle();
  EXPECT_EQ(rig.StatesOf("a"), "3:serving");
  EXPECT_EQ(rig.alive, 1);
}

TEST(VersionManager, AVersionThatCannotWarmUpFails) {
  VersionsRig rig;
  rig.script = [](const LoadRequest&, FakeModelOptions* options) {
    options->compiled_rows = {};
    options->compile_status = [](const Shape&) { return absl::InternalError("no kernel"); };
  };
  rig.Want({{"a", {1}}});
  rig.Settle();
  EXPECT_EQ(rig.StatesOf("a"), "1:failed");
  EXPECT_EQ(rig.alive, 0);
}

TEST(VersionManager, TellsOfEveryChange) {
  VersionsRig rig;
  rig.Want({{"a", {1}}});
  rig.Control();
  const int before = rig.changes;
  EXPECT_GT(before, 0);
  rig.Settle();
  EXPECT_GE(rig.changes, before + 2);  // Warming, serving.
}

TEST(VersionManager, ShutdownUnloadsEverything) {
  VersionsRig rig;
  rig.Want({{"a", {1}}, {"b", {1, 2}}});
  rig.Settle();
  rig.Want({{"c", {1}}});
  rig.Control();  // And one is on its way.
  rig.manager->Shutdown();
  EXPECT_EQ(rig.alive, 0);
  EXPECT_THAT(rig.Find("a"), StatusIs(absl::StatusCode::kNotFound));
  rig.manager->Shutdown();
}

// Real threads: requests hold handles of all versions while versions come and
// go; every version dies on one thread, which is none of the requests'.
TEST(VersionManager, DestroysVersionsOnTheControlThreadOnly) {
  constexpr int kClients = 3;
  constexpr int64_t kVersions = 25;
  VersionsRig rig(/*threads=*/true);
  const PredictRouter router(&rig.routing);
  rig.Want({{"a", {1}}});
  std::atomic<bool> stop{false};
  std::atomic<int64_t> answered{0};
  std::vector<std::thread> clients;
  Mutex mutex;
  std::set<std::thread::id> client_ids;
  for (int c = 0; c < kClients; ++c) {
    clients.emplace_back([&] {
      {
        MutexLock lock(&mutex);
        client_ids.insert(std::this_thread::get_id());
      }
      bool was_there = false;
      while (!stop) {
        auto call = FakeCall::Rows(2, 1);
        call->model = "a";
        router.Predict(call.get());
        call->Wait();
        // Swapping fails nobody, once the first version serves.
        if (was_there) {
          EXPECT_OK(call->status());
        }
        if (!call->status().ok()) continue;
        was_there = true;
        // Both rows come from one set of weights.
        EXPECT_EQ(call->output("y")[2], 2 * call->output("y")[0]);
        ++answered;
      }
    });
  }
  for (int64_t number = 2; number <= kVersions; ++number) {
    rig.Want({{"a", {number}}});
    while (DefaultNumber(rig, "a") < number) std::this_thread::yield();
  }
  stop = true;
  for (std::thread& client : clients) client.join();
  rig.manager->Shutdown();
  EXPECT_GT(answered, 0);
  EXPECT_EQ(rig.alive, 0);
  MutexLock lock(&rig.mutex);
  const std::set<std::thread::id> threads(rig.destroyed_on.begin(), rig.destroyed_on.end());
  EXPECT_EQ(threads.size(), 1u);
  for (const std::thread::id id : threads) EXPECT_EQ(client_ids.count(id), 0u);
}

}  // namespace
}  // namespace paramd
