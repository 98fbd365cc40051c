#include "server/rpc/kserve/sequence_states.h"

#include <string>
#include <utility>
#include <vector>

#include "tests/support/fake_clock.h"
#include "tests/support/status_testing.h"

namespace paramd {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<Tensor> States(float value, int64_t count = 2) {
  std::vector<Tensor> states;
  const std::vector<float> values(static_cast<size_t>(count), value);
  states.push_back(Tensor::Of<float>(DType::kF32, Shape({count}), absl::Span<const float>(values)));
  return states;
}

float Value(const SequenceStates::Lease& lease) { return lease.states()[0].view().as<float>()[0]; }

class SequenceStatesTest : public ::testing::Test {
 protected:
  absl::StatusOr<SequenceStates::Lease> Begin(SequenceRequest request) {
    absl::StatusOr<SequenceStates::Lease> begun = absl::UnknownError("it waits");
    states.Begin(std::move(request),
                 [&](absl::StatusOr<SequenceStates::Lease> lease) { begun = std::move(lease); });
    return begun;
  }
  static SequenceRequest Start(const std::string& id, uint64_t generation = 1) {
    return {.model = "vad", .id = id, .start = true, .generation = generation};
  }
  static SequenceRequest Next(const std::string& id, uint64_t generation = 1) {
    return {.model = "vad", .id = id, .generation = generation};
  }

  FakeClock clock;
  SequenceStates states{
      {.sequences_max = 3, .bytes_max = 40, .waiting_max = 2, .idle_max = absl::Seconds(10)},
      &clock};
};

TEST_F(SequenceStatesTest, StatesGoFromRequestToRequest) {
  {
    ASSERT_OK_AND_ASSIGN(auto lease, Begin(Start("7")));
    EXPECT_TRUE(lease.states().empty());
    ASSERT_OK(lease.Keep(States(1)));
  }
  {
    ASSERT_OK_AND_ASSIGN(auto lease, Begin(Next("7")));
    EXPECT_EQ(Value(lease), 1);
    ASSERT_OK(lease.Keep(States(2)));
  }
  {
    // A request that fails leaves them as they were.
    ASSERT_OK_AND_ASSIGN(auto lease, Begin(Next("7")));
    EXPECT_EQ(Value(lease), 2);
  }
  {
    ASSERT_OK_AND_ASSIGN(auto lease,
                         Begin({.model = "vad", .id = "7", .end = true, .generation = 1}));
    EXPECT_EQ(Value(lease), 2);
    ASSERT_OK(lease.Keep(States(3)));
  }
  EXPECT_EQ(states.sequences(), 0u);
  EXPECT_EQ(states.bytes(), 0u);
  EXPECT_THAT(Begin(Next("7")).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("START flag")));
}

TEST_F(SequenceStatesTest, AStartThatFailedLeavesNothing) {
  { ASSERT_OK_AND_ASSIGN(auto lease, Begin(Start("7"))); }
  EXPECT_EQ(states.sequences(), 0u);
  EXPECT_THAT(Begin(Next("7")).status(), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(SequenceStatesTest, RequestsOfOneSequenceRunInTheirOrder) {
  std::vector<std::string> order;
  absl::StatusOr<SequenceStates::Lease> second = absl::UnknownError("it waits");
  absl::StatusOr<SequenceStates::Lease> third = absl::UnknownError("it waits");
  {
    ASSERT_OK_AND_ASSIGN(auto lease, Begin(Start("7")));
    states.Begin(Next("7"), [&](absl::StatusOr<SequenceStates::Lease> next) {
      order.push_back("second");
      second = std::move(next);
    });
    states.Begin(Next("7"), [&](absl::StatusOr<SequenceStates::Lease> next) {
      order.push_back("third");
      third = std::move(next);
    });
    EXPECT_THAT(Begin(Next("7")).status(), StatusIs(absl::StatusCode::kResourceExhausted));
    EXPECT_OK(Begin(Start("8")).status()) << "another sequence does not wait";
    ASSERT_OK(lease.Keep(States(1)));
    EXPECT_TRUE(order.empty());
  }
  EXPECT_THAT(order, ElementsAre("second"));
  ASSERT_OK(second.status());
  EXPECT_EQ(Value(*second), 1);
  ASSERT_OK(second->Keep(States(2)));
  second->Release();
  ASSERT_OK(third.status());
  EXPECT_EQ(Value(*third), 2);
}

TEST_F(SequenceStatesTest, ThoseThatWaitForAFailedStartAreTold) {
  absl::StatusOr<SequenceStates::Lease> second = absl::UnknownError("it waits");
  {
    ASSERT_OK_AND_ASSIGN(auto lease, Begin(Start("7")));
    states.Begin(Next("7"),
                 [&](absl::StatusOr<SequenceStates::Lease> next) { second = std::move(next); });
  }
  EXPECT_THAT(second.status(), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(states.sequences(), 0u);
}

TEST_F(SequenceStatesTest, ASwapEndsASequenceAndSaysSo) {
  {
    ASSERT_OK_AND_ASSIGN(auto lease, Begin(Start("7", 1)));
    ASSERT_OK(lease.Keep(States(1)));
  }
  EXPECT_THAT(Begin(Next("7", 2)).status(),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("generation 1 of the weights, and generation 2 answers now")));
  EXPECT_EQ(states.sequences(), 0u);
  EXPECT_OK(Begin(Start("7", 2)).status());
}

TEST_F(SequenceStatesTest, IdleSequencesAreForgotten) {
  for (const char* id : {"a", "b"}) {
    {
      ASSERT_OK_AND_ASSIGN(auto lease, Begin(Start(id)));
      ASSERT_OK(lease.Keep(States(1)));
    }
    clock.Advance(absl::Seconds(6));
  }
  EXPECT_EQ(states.sequences(), 2u);
  EXPECT_EQ(states.Sweep(), clock.Now() + absl::Seconds(4));  // "a" went just now.
  EXPECT_EQ(states.sequences(), 1u);
  EXPECT_THAT(Begin(Next("a")).status(), StatusIs(absl::StatusCode::kInvalidArgument));
  ASSERT_OK_AND_ASSIGN(auto busy, Begin(Next("b")));
  clock.Advance(absl::Hours(1));
  states.Sweep();
  EXPECT_EQ(states.sequences(), 1u) << "one whose request runs is not idle";
}

TEST_F(SequenceStatesTest, AModelMayHaveAnotherIdleTime) {
  SequenceRequest brief = Start("brief"), patient = Start("patient");
  brief.idle_max = absl::Seconds(2);
  patient.idle_max = absl::Minutes(5);
  for (const SequenceRequest& start : {patient, Start("daemon's"), brief}) {
    ASSERT_OK_AND_ASSIGN(auto lease, Begin(start));
    ASSERT_OK(lease.Keep(States(1)));
  }
  clock.Advance(absl::Seconds(2));
  EXPECT_EQ(states.Sweep(), clock.Now() + absl::Seconds(8));
  SequenceRequest next = Next("brief");
  next.idle_max = brief.idle_max;
  EXPECT_THAT(Begin(next).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("after 2s without")));
  clock.Advance(absl::Minutes(4));
  EXPECT_OK(Begin(Next("patient")).status());
  EXPECT_EQ(states.sequences(), 1u);
}

TEST_F(SequenceStatesTest, NumbersAndBytesAreBounded) {
  std::vector<SequenceStates::Lease> leases;
  for (const char* id : {"a", "b", "c"}) {
    ASSERT_OK_AND_ASSIGN(auto lease, Begin(Start(id)));
    leases.push_back(std::move(lease));
  }
  EXPECT_THAT(Begin(Start("d")).status(), StatusIs(absl::StatusCode::kResourceExhausted));
  ASSERT_OK(leases[0].Keep(States(1, 10)));  // All 40 bytes.
  EXPECT_THAT(leases[1].Keep(States(1, 1)), StatusIs(absl::StatusCode::kResourceExhausted));
  ASSERT_OK(leases[0].Keep(States(1, 9)));
  ASSERT_OK(leases[1].Keep(States(1, 1)));
  leases.clear();
  EXPECT_EQ(states.bytes(), 40u);
  // Starting anew gives back what there was.
  ASSERT_OK_AND_ASSIGN(auto again, Begin(Start("a")));
  EXPECT_EQ(states.bytes(), 4u);
}

TEST_F(SequenceStatesTest, ModelsHaveSequencesOfTheirOwn) {
  {
    ASSERT_OK_AND_ASSIGN(auto lease, Begin(Start("7")));
    ASSERT_OK(lease.Keep(States(1)));
  }
  EXPECT_THAT(Begin({.model = "other", .id = "7", .generation = 1}).status(),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace paramd
