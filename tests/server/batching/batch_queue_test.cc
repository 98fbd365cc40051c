#include "server/batching/batch_queue.h"

#include <memory>
#include <string>
#include <vector>

#include "tests/support/fake_model.h"
#include "tests/support/status_testing.h"

namespace paramd {
namespace {

const std::vector<TensorView> kViews = {{DType::kF32, Shape{1, 2}, nullptr}};

// Effective priorities and times are the batcher's to set: through it, these
// tests would need an executor. BatchQueue orders what it gets, so equal ones do.
TEST(BatchQueue, IsFirstInFirstOutAndForgetsWhatLeaves) {
  BatchQueue queue;
  ShapeGroup* const group = queue.FindOrAdd("", kViews);
  std::vector<std::unique_ptr<FakeCall>> calls;
  for (int i = 0; i < 5; ++i) {
    calls.push_back(FakeCall::OneRow(1));
    queue.Push(group, calls.back().get());
  }
  EXPECT_EQ(queue.calls(), 5);
  ASSERT_EQ(queue.waiting().size(), 1u);
  queue.Remove(calls[2].get());  // From the middle,
  queue.Remove(calls[0].get());  // the front,
  queue.Remove(calls[4].get());  // and the end.
  EXPECT_EQ(group->head, calls[1].get());
  EXPECT_EQ(BatchQueue::Next(group->head), calls[3].get());
  EXPECT_EQ(group->tail, calls[3].get());
  queue.PushFront(group, calls[0].get());
  EXPECT_EQ(group->head, calls[0].get());
  for (const int i : {0, 1, 3}) queue.Remove(calls[static_cast<size_t>(i)].get());
  EXPECT_EQ(queue.calls(), 0);
  EXPECT_EQ(queue.bytes(), 0u);
  EXPECT_TRUE(queue.waiting().empty());
  EXPECT_EQ(group->rows_waiting, 0);
}

TEST(BatchQueue, RemembersShapesUpToItsLimitAndDropsTheLeastUsed) {
  BatchQueue queue;
  for (size_t i = 0; i < BatchQueue::kGroupsMax; ++i) {
    queue.FindOrAdd(std::to_string(i), kViews)->AddWarm(1);
  }
  queue.FindOrAdd("0", kViews);  // Used again: "1" is now the oldest.
  ASSERT_NE(queue.FindOrAdd("new", kViews), nullptr);
  EXPECT_EQ(queue.FindOrAdd("0", kViews)->warm.size(), 1u);
  EXPECT_EQ(queue.FindOrAdd("1", kViews)->warm.size(), 0u);
}

TEST(BatchQueue, RefusesMoreShapesThanMayWait) {
  BatchQueue queue;
  std::vector<std::unique_ptr<FakeCall>> calls;
  for (size_t i = 0; i < BatchQueue::kGroupsMax; ++i) {
    calls.push_back(FakeCall::OneRow(1));
    queue.Push(queue.FindOrAdd(std::to_string(i), kViews), calls.back().get());
  }
  EXPECT_EQ(queue.FindOrAdd("one more", kViews), nullptr);
  queue.Remove(calls[7].get());
  EXPECT_NE(queue.FindOrAdd("one more", kViews), nullptr);
  for (size_t i = 0; i < calls.size(); ++i) {
    if (i != 7) queue.Remove(calls[i].get());
  }
}

TEST(BatchQueue, SizesStaySortedAndDistinct) {
  ShapeGroup group;
  for (const int64_t rows : {8, 1, 4, 8, 2}) group.AddWarm(rows);
  EXPECT_THAT(group.warm, testing::ElementsAre(1, 2, 4, 8));
  group.Refuse(4);
  EXPECT_THAT(group.warm, testing::ElementsAre(1, 2, 8));
  EXPECT_THAT(group.refused, testing::ElementsAre(4));
  group.AddWarm(4);
  EXPECT_TRUE(group.refused.empty());
  group.DropWarm(3);
  EXPECT_THAT(group.warm, testing::ElementsAre(1, 2, 4, 8));
}

}  // namespace
}  // namespace paramd
