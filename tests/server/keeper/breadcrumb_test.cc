#include "server/keeper/breadcrumb.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <thread>
#include <vector>

#include "runtime/base/strings.h"
#include "tests/support/status_testing.h"

namespace paramd {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

UniqueFd Duplicate(const UniqueFd& fd) { return UniqueFd(dup(fd.get())); }

TEST(Breadcrumb, TheKeeperReadsWhatTheWorkerMarked) {
  ASSERT_OK_AND_ASSIGN(const UniqueFd fd, MakeBreadcrumbs());
  ASSERT_OK_AND_ASSIGN(const auto writer, BreadcrumbWriter::Map(Duplicate(fd)));
  const uint32_t digits = writer->Name("digits/3");
  EXPECT_NE(digits, 0u);
  EXPECT_EQ(writer->Name("digits/3"), digits);
  const int slot = writer->AddSlot();
  writer->Mark(slot, Activity::kLoading, digits);
  ASSERT_OK_AND_ASSIGN(const BreadcrumbReport busy, ReadBreadcrumbs(fd.get()));
  ASSERT_EQ(busy.marks.size(), 1u);
  EXPECT_EQ(busy.marks[0].doing, (Suspect{"digits/3", Activity::kLoading}));
  EXPECT_FALSE(busy.crash.has_value());
  writer->Mark(slot, Activity::kRunning, 0);
  ASSERT_OK_AND_ASSIGN(const BreadcrumbReport idle, ReadBreadcrumbs(fd.get()));
  EXPECT_THAT(idle.marks, IsEmpty());
}

TEST(Breadcrumb, NumbersAreGivenToOthersWhenTheirVersionIsGone) {
  ASSERT_OK_AND_ASSIGN(const UniqueFd fd, MakeBreadcrumbs());
  ASSERT_OK_AND_ASSIGN(const auto writer, BreadcrumbWriter::Map(Duplicate(fd)));
  for (int i = 0; i < 20'000; ++i) {
    const uint32_t number = writer->Name(StrCat("m/", i));
    ASSERT_NE(number, 0u) << i;
    writer->Forget(number);
  }
  int named = 0;
  while (writer->Name(StrCat("kept/", named)) != 0) ++named;  // Full: 0, and nothing breaks.
  EXPECT_GT(named, 4000);
}

TEST(Breadcrumb, BlamesTheThreadThatWasHit) {
  BreadcrumbReport report;
  report.marks = {{"stream-0", {"a/1", Activity::kRunning}},
                  {"stream-1", {"b/1", Activity::kRunning}},
                  {"loader", {"c/1", Activity::kLoading}}};
  report.crash = {{.signal = SIGSEGV, .thread = "stream-1"}};
  EXPECT_THAT(FindSuspects(report, SIGSEGV), ElementsAre(Suspect{"b/1", Activity::kRunning}));
  report.crash->thread = "grpc";  // Worked for no version.
  EXPECT_THAT(FindSuspects(report, SIGSEGV), IsEmpty());
  report.crash.reset();  // No handler ran: a stack overflow.
  EXPECT_THAT(
      FindSuspects(report, SIGSEGV),
      UnorderedElementsAre(Suspect{"a/1", Activity::kRunning}, Suspect{"b/1", Activity::kRunning},
                           Suspect{"c/1", Activity::kLoading}));
  // kill -9 of a busy worker says nothing against what it was running.
  EXPECT_THAT(FindSuspects(report, SIGKILL), ElementsAre(Suspect{"c/1", Activity::kLoading}));
  EXPECT_THAT(FindSuspects(report, 0), IsEmpty());
}

// In a child, as it happens: a thread of this name faults.
TEST(Breadcrumb, TheHandlerLeavesTheNameOfTheThreadAndTheSignalStays) {
  ASSERT_OK_AND_ASSIGN(const UniqueFd fd, MakeBreadcrumbs());
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    for (const int signal : {SIGSEGV, SIGABRT}) ::signal(signal, SIG_DFL);  // Not the sanitizer's.
    auto writer = BreadcrumbWriter::Map(Duplicate(fd));
    (*writer)->InstallCrashHandler();
    std::thread stream([&] {
      prctl(PR_SET_NAME, "stream-7");
      (*writer)->Mark((*writer)->AddSlot(), Activity::kRunning, (*writer)->Name("digits/3"));
      raise(SIGSEGV);
    });
    stream.join();
    _exit(0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), SIGSEGV);
  ASSERT_OK_AND_ASSIGN(const BreadcrumbReport report, ReadBreadcrumbs(fd.get()));
  ASSERT_TRUE(report.crash.has_value());
  EXPECT_EQ(report.crash->signal, SIGSEGV);
  EXPECT_EQ(report.crash->thread, "stream-7");
  EXPECT_THAT(FindSuspects(report, SIGSEGV), ElementsAre(Suspect{"digits/3", Activity::kRunning}));
}

TEST(Breadcrumb, WhateverTheWorkerWroteTheKeeperReadsItUnharmed) {
  ASSERT_OK_AND_ASSIGN(const UniqueFd fd, MakeBreadcrumbs());
  struct stat found = {};
  ASSERT_EQ(fstat(fd.get(), &found), 0);
  EXPECT_NE(ftruncate(fd.get(), 0), 0) << "its size is sealed";
  const std::string rubbish(static_cast<size_t>(found.st_size) - 8, '\xff');
  ASSERT_EQ(pwrite(fd.get(), rubbish.data(), rubbish.size(), 8),
            static_cast<ssize_t>(rubbish.size()));
  ASSERT_OK_AND_ASSIGN(const BreadcrumbReport report, ReadBreadcrumbs(fd.get()));
  for (const BreadcrumbReport::Mark& mark : report.marks) {
    EXPECT_LT(mark.doing.version.size(), 300u);
    for (const char c : mark.doing.version) EXPECT_TRUE(c >= 0x20 && c < 0x7f);
  }
  ASSERT_EQ(pwrite(fd.get(), rubbish.data(), 8, 0), 8);
  EXPECT_FALSE(ReadBreadcrumbs(fd.get()).ok());
  EXPECT_FALSE(BreadcrumbWriter::Map(Duplicate(fd)).ok());
  const UniqueFd other(memfd_create("other", MFD_CLOEXEC));
  EXPECT_FALSE(BreadcrumbWriter::Map(Duplicate(other)).ok());
}

}  // namespace
}  // namespace paramd
