// The control thread against everything at once: loads that end and fail, names
// that move, versions that come, change, go and expire, and requests that hold
// handles, in an order that a seed decides.
#include <atomic>
#include <filesystem>
#include <iostream>
#include <iterator>
#include <map>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "server/predict/predict_router.h"
#include "tests/server/state/controller_rig.h"
#include "tests/support/fake_model.h"

namespace paramd {
namespace {

// One thread, every order: each event is followed by a look at the invariants.
class Interleaving {
 public:
  explicit Interleaving(uint32_t seed)
      : random_(seed), rig_(false, {.keep_previous = absl::Minutes(10)}) {
    rig_.versions.script = [this](const LoadRequest&, FakeModelOptions* options) {
      const uint64_t generation = 1000 + static_cast<uint64_t>(rig_.versions.loads);
      alive_.insert(generation);
      options->on_destroy = [this, generation, counted = options->on_destroy] {
        alive_.erase(generation);
        counted();
      };
    };
    // Whatever the controller waits for happens in a random order too.
    rig_.step = [this] {
      VersionManager& manager = *rig_.versions.manager;
      return Chance(50) ? manager.RunControl() || manager.RunLoad()
                        : manager.RunLoad() || manager.RunControl();
    };
  }
  ~Interleaving() { held_.clear(); }

  void Run(int events) {
    Publish("a");
    Publish("b");
    ASSERT_OK(rig_.controller->Start(false));
    for (int event = 0; event < events; ++event) {
      const int kind = Pick(0, 13);
      SCOPED_TRACE(testing::Message() << "event " << event << " of kind " << kind);
      Act(kind);
      Check();
      if (testing::Test::HasFailure()) return;
    }
    held_.clear();
    rig_.versions.failures.clear();
    rig_.versions.fake_clock.Advance(absl::Hours(1));
    while (rig_.Step()) {
    }
    Check();
    EXPECT_TRUE(rig_.versions.manager->status().converged);
    rig_.controller->Shutdown();
    rig_.versions.manager->Shutdown();
    EXPECT_TRUE(alive_.empty());
    EXPECT_EQ(rig_.versions.alive, 0);
  }

 private:
  int Pick(int least, int most) { return std::uniform_int_distribution<int>(least, most)(random_); }
  bool Chance(int percent) { return Pick(1, 100) <= percent; }
  // "a" is never unloaded by force: it must go on serving, come what may.
  std::string AnyModel() { return Chance(60) ? "a" : "b"; }
  std::string AnyName() { return Chance(60) ? "default" : Chance(50) ? "stable" : "canary"; }

  // The repository changes: another version, other files, a broken folder.
  void Publish(const std::string& model) {
    std::vector<int64_t>& numbers = numbers_[model];
    if (numbers.empty() || Chance(50)) numbers.push_back(++last_number_);
    if (numbers.size() > 5) numbers.erase(numbers.begin());
    if (Chance(20)) ++revision_[model];
    rig_.Put(model, numbers, static_cast<size_t>(Pick(1, 2)), StrCat("r", revision_[model]));
    const std::string newest = StrCat(model, "/", numbers.back());
    rig_.versions.failures.erase(newest);
    if (Chance(30)) rig_.versions.failures[newest] = absl::DataLossError("truncated");
  }

  void Promoted(const std::string& model, const absl::StatusOr<NameState>& moved) {
    if (!moved.ok()) return;
    const absl::StatusOr<ModelHandle> by_name =
        rig_.versions.routing.Find(model, {.label = moved->name});
    const absl::StatusOr<ModelHandle> by_number =
        rig_.versions.routing.Find(model, {.number = moved->version});
    ASSERT_OK(by_name.status());
    ASSERT_OK(by_number.status());
    EXPECT_EQ((*by_name)->id().number, moved->version);
    EXPECT_EQ((*by_name)->generation(), (*by_number)->generation());
  }

  void Act(int kind) {
    VersionManager& manager = *rig_.versions.manager;
    const std::string model = AnyModel();
    const int64_t number =
        numbers_[model][static_cast<size_t>(Pick(0, static_cast<int>(numbers_[model].size()) - 1))];
    switch (kind) {
      case 0:
      case 1:
        manager.RunControl();
        break;
      case 2:
        manager.RunLoad();
        break;
      case 3:
        Publish(model);
        (void)rig_.controller->Rescan(Chance(50) ? "" : model);
        break;
      case 4:
        (void)rig_.Load(model, Chance(50) ? std::optional<int64_t>(number) : std::nullopt);
        break;
      case 5:
        Promoted(model, rig_.controller->Promote(model, AnyName(), number));
        break;
      case 6:
        Promoted(model, rig_.controller->Rollback(model, AnyName()));
        break;
      case 7:
        (void)rig_.controller->Unload(model, number, /*force=*/model == "b" && Chance(50));
        break;
      case 8:
        if (model == "b" && Chance(20)) (void)rig_.controller->Unload(model, std::nullopt, false);
        (void)rig_.controller->RemoveName(model, "canary");
        break;
      case 9:
        rig_.versions.fake_clock.Advance(absl::Minutes(Pick(0, 6)));
        break;
      case 10:
      case 11: {
        absl::StatusOr<ModelHandle> handle = rig_.versions.routing.Find(
            model, Chance(50) ? VersionChoice{} : VersionChoice{.number = number});
        if (handle.ok()) held_.push_back(*std::move(handle));
        break;
      }
      case 12:
        if (!held_.empty())
          held_.erase(held_.begin() + Pick(0, static_cast<int>(held_.size()) - 1));
        break;
      case 13:
        rig_.store.LoseTo(Pick(0, 2), [](const std::string& bytes) { return bytes; });
        (void)rig_.controller->SetAutoPromote(model, Chance(70));
        break;
    }
  }

  void Check() {
    // No handle to a destroyed version.
    for (const ModelHandle& handle : held_) {
      EXPECT_TRUE(alive_.contains(handle->generation()));
      EXPECT_FALSE(handle->model().description().inputs.empty());
    }
    // Once it has served, a model that nobody unloads goes on.
    const absl::StatusOr<ModelHandle> found = rig_.versions.routing.Find("a", {});
    if (found.ok()) served_ = true;
    if (served_) {
      EXPECT_OK(found.status());
    }
    if (found.ok()) {
      EXPECT_TRUE(alive_.contains((*found)->generation()));
    }
    for (const ModelStatus& model : rig_.versions.manager->status().models) {
      for (const VersionStatus& version : model.versions) {
        if (version.state == VersionState::kFailed) {
          EXPECT_FALSE(version.reason.empty());
        }
      }
    }
  }

  std::mt19937 random_{1};    // The constructor seeds it.
  std::set<uint64_t> alive_;  // Generations. Versions die after what follows.
  ControllerRig rig_;
  std::map<std::string, std::vector<int64_t>> numbers_;
  std::map<std::string, int> revision_;
  int64_t last_number_ = 0;
  std::vector<ModelHandle> held_;
  bool served_ = false;
};

TEST(StateInterleaving, EveryOrderKeepsTheInvariants) {
  // Again with what it prints: --gtest_random_seed=N, from 1 to 99999.
  const int given = GTEST_FLAG_GET(random_seed);
  const uint32_t first =
      given != 0 ? static_cast<uint32_t>(given) : std::random_device{}() % 99'999 + 1;
  std::cout << "seeds from " << first << "\n";
  for (uint32_t round = 0; round < (given != 0 ? 1 : 150); ++round) {
    const uint32_t seed = (first + round - 1) % 99'999 + 1;
    SCOPED_TRACE(testing::Message() << "--gtest_random_seed=" << seed);
    Interleaving interleaving(seed);
    interleaving.Run(300);
    if (testing::Test::HasFailure()) return;
  }
}

// Real threads: two operators, a repository that changes, and clients that check
// what each of them was promised.
TEST(StateInterleaving, EveryRequestAfterPromoteIsAnsweredByTheNewVersion) {
  ControllerRig rig(/*threads=*/true, {.keep_previous = absl::ZeroDuration()});
  rig.Put("a", {1, 2}, 2);
  ASSERT_OK(rig.controller->Start(false));
  ASSERT_OK(rig.Load("a"));
  std::atomic<bool> stop{false};
  std::atomic<int64_t> answered{0};
  std::vector<std::thread> threads;
  const PredictRouter router(&rig.versions.routing);
  for (int c = 0; c < 2; ++c) {
    threads.emplace_back([&] {
      while (!stop) {
        auto call = FakeCall::Rows(2, 1);
        call->model = "a";
        router.Predict(call.get());
        call->Wait();
        EXPECT_OK(call->status());
        if (!call->status().ok()) continue;
        EXPECT_EQ(call->output("y")[2], 2 * call->output("y")[0]);  // One set of weights.
        ++answered;
      }
    });
  }
  threads.emplace_back([&] {  // Versions come and go beside the two.
    for (int64_t n = 3; !stop; ++n) {
      rig.Put("a", {1, 2, n}, 3);
      EXPECT_OK(rig.controller->SetAutoPromote("a", false));
      (void)rig.Load("a");
      (void)rig.controller->Unload("a", n, false);
    }
  });
  for (int i = 0; i < 300; ++i) {
    const int64_t number = 1 + i % 2;
    const absl::StatusOr<NameState> moved =
        i % 3 == 2 ? rig.controller->Rollback("a", "") : rig.controller->Promote("a", "", number);
    ASSERT_OK(moved.status());
    ASSERT_EQ(rig.Answers("a"), moved->version);
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_GT(answered, 0);
}

int64_t EntriesOf(const char* folder) {
  return std::distance(std::filesystem::directory_iterator(folder),
                       std::filesystem::directory_iterator());
}

TEST(StateInterleaving, AThousandSwapsLeaveHandlesThreadsAndDescriptorsAsTheyWere) {
  ControllerRig rig(/*threads=*/true, {.keep_previous = absl::ZeroDuration()});
  rig.Put("a", {1});
  ASSERT_OK(rig.controller->Start(false));
  int64_t threads = 0, descriptors = 0;
  for (int64_t number = 1; number <= 1000; ++number) {
    rig.Put("a", {number});
    ASSERT_OK(rig.Load("a"));
    ASSERT_EQ(rig.Answers("a"), number);
    if (number == 100) {
      threads = EntriesOf("/proc/self/task");
      descriptors = EntriesOf("/proc/self/fd");
    }
  }
  while (rig.versions.alive > 1) std::this_thread::yield();
  EXPECT_EQ(EntriesOf("/proc/self/task"), threads);
  EXPECT_EQ(EntriesOf("/proc/self/fd"), descriptors);
  const ServingStatus status = rig.versions.manager->status();
  ASSERT_EQ(status.models.size(), 1u);
  ASSERT_EQ(status.models[0].versions.size(), 1u);
  // The manager's, and the snapshot's.
  EXPECT_EQ(status.models[0].versions[0].holders, 2);
}

}  // namespace
}  // namespace paramd
