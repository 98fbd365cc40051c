#include "server/predict/predict_router.h"

#include <functional>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tests/server/versions/versions_rig.h"

namespace paramd {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class PredictRouterTest : public ::testing::Test {
 protected:
  PredictRouterTest() : router_(&rig_.routing) {
    rig_.Want({{"fake", {1}}});
    rig_.Settle();
  }

  std::unique_ptr<FakeCall> Good(int64_t rows = 1, float first = 7) {
    auto call = FakeCall::Rows(rows, first);
    call->model = "fake";
    return call;
  }
  absl::Status Ask(FakeCall* call) {
    router_.Predict(call);
    while (rig_.executor->RunOne(0) || rig_.executor->CompileOne()) {
    }
    EXPECT_EQ(call->answers(), 1);
    return call->status();
  }

  VersionsRig rig_;
  PredictRouter router_;
};

TEST_F(PredictRouterTest, AnswersAGoodRequest) {
  auto call = Good(2);
  EXPECT_OK(Ask(call.get()));
  EXPECT_THAT(call->output("z"), ElementsAre(7, 8));
}

TEST_F(PredictRouterTest, ReturnsTheOutputsAskedForInTheirOrder) {
  auto call = Good();
  call->outputs = {"z"};
  EXPECT_OK(Ask(call.get()));
  EXPECT_THAT(call->output("z"), ElementsAre(7));
  EXPECT_TRUE(call->output("y").empty());
}

TEST_F(PredictRouterTest, TakesTheDeclaredTypeWhereNoneIsGiven) {
  auto call = Good();
  call->inputs[0].dtype = DType::kUndefined;
  EXPECT_OK(Ask(call.get()));
}

TEST_F(PredictRouterTest, UsesAVersionThatWasResolvedBefore) {
  auto call = Good();
  call->model = "";
  ASSERT_OK_AND_ASSIGN(call->version, router_.Resolve("fake", {}));
  EXPECT_OK(Ask(call.get()));
}

// One malformed request each, and what its message must say.
struct Malformed {
  std::string name;
  std::function<void(FakeCall*)> damage;
  absl::StatusCode code;
  std::vector<std::string> says;
};

std::vector<Malformed> AllMalformed() {
  const auto code = absl::StatusCode::kInvalidArgument;
  const auto not_found = absl::StatusCode::kNotFound;
  return {
      {"no model", [](FakeCall* c) { c->model = "nobody"; }, not_found, {"'nobody'"}},
      {"empty model", [](FakeCall* c) { c->model = ""; }, not_found, {"''"}},
      {"version", [](FakeCall* c) { c->choice.number = 9; }, not_found, {"version 9", "1"}},
      {"negative version", [](FakeCall* c) { c->choice.number = -1; }, not_found, {"-1"}},
      {"label", [](FakeCall* c) { c->choice.label = "canary"; }, not_found, {"'canary'"}},
      {"no inputs", [](FakeCall* c) { c->inputs.clear(); }, code, {"'x'", "f32[N,2]", "missing"}},
      {"other input", [](FakeCall* c) { c->inputs[0].name = "w"; }, code, {"'w'", "'x'"}},
      {"input twice",
       [](FakeCall* c) { c->inputs.push_back(c->inputs[0]); },
       code,
       {"'x' comes twice"}},
      {"type", [](FakeCall* c) { c->inputs[0].dtype = DType::kI32; }, code, {"i32", "f32"}},
      {"string",
       [](FakeCall* c) { c->inputs[0].dtype = DType::kString; },
       code,
       {"0 elements, expected 2"}},
      {"too many dims",
       [](FakeCall* c) {
         c->inputs[0].shape = Shape{1, 1, 2};
       },
       code,
       {"[1,1,2]"}},
      {"width",
       [](FakeCall* c) {
         c->inputs[0].shape = Shape{2, 1};
       },
       code,
       {"[2,1]"}},
      {"negative dim",
       [](FakeCall* c) {
         c->inputs[0].shape = Shape{-1, 2};
       },
       code,
       {"-1", "negative"}},
      {"two negative dims",
       [](FakeCall* c) {
         c->inputs[0].shape = Shape{-1, -2};
       },
       code,
       {"negative"}},
      {"too large",
       [](FakeCall* c) {
         c->inputs[0].shape = Shape{int64_t{1} << 61, 2};
       },
       code,
       {"2^62"}},
      {"product wraps",
       [](FakeCall* c) {
         c->inputs[0].shape = Shape{int64_t{1} << 62, 2, int64_t{1} << 62};
       },
       code,
       {"2^62"}},
      {"too few bytes",
       [](FakeCall* c) { c->inputs[0].fragments.pop_back(); },
       code,
       {"bytes, expected 8"}},
      {"too many bytes",
       [](FakeCall* c) { c->inputs[0].fragments.push_back(c->inputs[0].fragments[0]); },
       code,
       {"bytes, expected 8"}},
      {"rows without bytes",
       [](FakeCall* c) { c->inputs[0].shape.set_dim(0, 1000000); },
       code,
       {"8 bytes, expected 8000000"}},
      {"no rows",
       [](FakeCall* c) {
         c->inputs[0].shape.set_dim(0, 0);
         c->inputs[0].fragments.clear();
       },
       code,
       {"0 rows"}},
      {"unknown output", [](FakeCall* c) { c->outputs = {"q"}; }, code, {"'q'", "'y', 'z'"}},
      {"output twice",
       [](FakeCall* c) {
         c->outputs = {"y", "y"};
       },
       code,
       {"'y'", "twice"}},
      {"poison", nullptr, code, {"poisoned"}},  // Passes all checks: the model refuses it.
  };
}

TEST_F(PredictRouterTest, SaysWhatWasExpectedAndWhatCame) {
  for (const Malformed& malformed : AllMalformed()) {
    if (malformed.name == "poison") continue;  // Needs a call of its own, below.
    SCOPED_TRACE(malformed.name);
    auto call = Good();
    malformed.damage(call.get());
    const absl::Status status = Ask(call.get());
    EXPECT_EQ(status.code(), malformed.code) << status;
    for (const std::string& text : malformed.says) {
      EXPECT_THAT(std::string(FromAbsl(status.message())), HasSubstr(text));
    }
    EXPECT_LT(status.message().size(), 400u);
  }
}

TEST_F(PredictRouterTest, CutsLongNamesShortInMessages) {
  auto call = Good();
  call->inputs[0].name = std::string(1 << 20, 'x');
  EXPECT_LT(Ask(call.get()).message().size(), 400u);
}

// 1,000 malformed requests between good ones, from several threads and in the
// same batches: every good answer is right, and every request is answered once.
TEST(PredictRouter, AnswersGoodRequestsBetweenAThousandMalformedOnes) {
  constexpr int kThreads = 4;
  constexpr int kEach = 250;
  constexpr int kUnderWay = 100;
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE(seed);
  VersionsRig rig(/*threads=*/true);
  const PredictRouter router(&rig.routing);
  rig.Want({{"fake", {1}}});
  while (!rig.Find("fake").ok()) std::this_thread::yield();
  const std::vector<Malformed> malformed = AllMalformed();
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937 random(seed + static_cast<uint32_t>(t));
      std::vector<std::unique_ptr<FakeCall>> bad;
      std::vector<std::unique_ptr<FakeCall>> good;
      std::vector<absl::StatusCode> codes;
      for (int i = 0; i < kEach; ++i) {
        // Fewer calls under way than the queue takes: 4 threads, 100 pairs each.
        if (i >= kUnderWay) {
          bad[static_cast<size_t>(i - kUnderWay)]->Wait();
          good[static_cast<size_t>(i - kUnderWay)]->Wait();
        }
        const Malformed& kind = malformed[random() % malformed.size()];
        auto call = kind.name == "poison" ? FakeCall::OneRow(kPoison) : FakeCall::Rows(1, 7);
        call->model = "fake";
        if (kind.name != "poison") kind.damage(call.get());
        codes.push_back(kind.code);
        router.Predict(call.get());
        bad.push_back(std::move(call));
        good.push_back(FakeCall::Rows(1 + i % 3, static_cast<float>(10 * i + 1)));
        good.back()->model = "fake";
        router.Predict(good.back().get());
      }
      for (size_t i = 0; i < bad.size(); ++i) {
        bad[i]->Wait();
        EXPECT_EQ(bad[i]->status().code(), codes[i]);
        good[i]->Wait();
        ASSERT_OK(good[i]->status());
        const std::vector<float> z = good[i]->output("z");
        ASSERT_EQ(z.size(), 1 + i % 3);
        for (size_t r = 0; r < z.size(); ++r) {
          EXPECT_EQ(z[r], static_cast<float>(10 * i + 1 + r));
        }
      }
      for (const auto& call : bad) EXPECT_EQ(call->answers(), 1);
      for (const auto& call : good) EXPECT_EQ(call->answers(), 1);
    });
  }
  for (std::thread& thread : threads) thread.join();
  rig.executor->Drain(Clock::Real()->Now() + absl::Seconds(60));
}

}  // namespace
}  // namespace paramd
