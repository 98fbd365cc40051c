#include "runtime/base/task_queue.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <sched.h>

#include <memory>
#include <string>
#include <vector>

#include "runtime/base/mutex.h"

namespace paramd {
namespace {

// Holds a queue's thread until it is opened.
class Gate {
 public:
  void Open() {
    MutexLock lock(&mutex_);
    open_ = true;
    changed_.SignalAll();
  }
  void Pass() {
    MutexLock lock(&mutex_);
    while (!open_) changed_.Wait(&mutex_);
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  bool open_ ABSL_GUARDED_BY(mutex_) = false;
};

TEST(TaskQueue, RunsTasksInOrderOnItsThread) {
  TaskQueue queue({.name = "ordered"});
  std::vector<int> order;
  EXPECT_FALSE(queue.IsCurrentThread());
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(queue.Post([&, i] {
      EXPECT_TRUE(queue.IsCurrentThread());
      order.push_back(i);
    }));
  }
  queue.WaitUntilIdle();
  ASSERT_EQ(order.size(), 100u);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(order[static_cast<size_t>(i)], i);
}

TEST(TaskQueue, FinishesWhatIsQueuedWhenDestroyed) {
  int ran = 0;
  {
    Gate gate;
    TaskQueue queue({});
    queue.Post([&] { gate.Pass(); });
    for (int i = 0; i < 10; ++i) queue.Post([&] { ++ran; });
    gate.Open();
  }
  EXPECT_EQ(ran, 10);
}

TEST(TaskQueue, ATaskMayPostToItsOwnQueue) {
  int ran = 0;
  TaskQueue queue({});
  queue.Post([&] {
    queue.Post([&] { ++ran; });
    ++ran;
  });
  queue.WaitUntilIdle();
  EXPECT_EQ(ran, 2);
}

TEST(TaskQueue, RefusesAboveItsBoundAndAfterStop) {
  Gate gate;
  TaskQueue queue({.pending_max = 2});
  queue.Post([&] { gate.Pass(); });
  while (queue.pending() > 0) std::this_thread::yield();  // The first one runs.
  EXPECT_TRUE(queue.Post([] {}));
  EXPECT_TRUE(queue.Post([] {}));
  EXPECT_FALSE(queue.Post([] {}));
  EXPECT_EQ(queue.CancelPending(), 2u);
  EXPECT_TRUE(queue.Post([] {}));
  queue.Stop();
  EXPECT_FALSE(queue.Post([] {}));
  gate.Open();
}

TEST(TaskQueue, WhatATaskOwnsIsGoneWhenTheQueueIsIdle) {
  TaskQueue queue({});
  auto owned = std::make_shared<int>(1);
  std::weak_ptr<int> watch = owned;
  queue.Post([owned = std::move(owned)] {});
  queue.WaitUntilIdle();
  EXPECT_TRUE(watch.expired());
}

TEST(TaskQueue, NamesItsThreadAndYieldsToOthersWhenAsked) {
  TaskQueue queue({.name = "a-name-longer-than-linux-takes", .idle_priority = true});
  std::string name(32, '\0');
  int policy = -1;
  queue.Post([&] {
    ::pthread_getname_np(::pthread_self(), name.data(), name.size());
    sched_param param{};
    ::pthread_getschedparam(::pthread_self(), &policy, &param);
  });
  queue.WaitUntilIdle();
  EXPECT_STREQ(name.c_str(), "a-name-longer-t");
  EXPECT_EQ(policy, SCHED_IDLE);
}

}  // namespace
}  // namespace paramd
