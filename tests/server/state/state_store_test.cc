#include "server/state/state_store.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/status_testing.h"
#include "tests/support/temp_folder.h"

namespace paramd {
namespace {

std::string ContentOf(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

TEST(StateStore, AnEditUnderAnOldRevisionIsAborted) {
  ASSERT_OK_AND_ASSIGN(const auto store, MemoryStateStore::Open(""));
  ASSERT_OK_AND_ASSIGN(const StoredState empty, store->Read());
  EXPECT_EQ(empty.revision, 0u);
  EXPECT_EQ(empty.bytes, "");
  ASSERT_OK_AND_ASSIGN(const uint64_t first, store->CompareAndSet(0, "one"));
  EXPECT_GT(first, 0u);
  const absl::Status late = store->CompareAndSet(0, "another").status();
  EXPECT_THAT(late, StatusIs(absl::StatusCode::kAborted));
  ASSERT_OK_AND_ASSIGN(const uint64_t second, store->CompareAndSet(first, "two"));
  EXPECT_GT(second, first);
  EXPECT_EQ(store->Read()->bytes, "two");
}

TEST(StateStore, ManyEditorsLoseNoEdit) {
  ASSERT_OK_AND_ASSIGN(const auto store, MemoryStateStore::Open(""));
  std::vector<std::thread> editors;
  for (int i = 0; i < 4; ++i) {
    editors.emplace_back([&] {
      for (int edits = 0; edits < 200;) {
        const StoredState now = *store->Read();
        if (store->CompareAndSet(now.revision, now.bytes + "x").ok()) ++edits;
      }
    });
  }
  for (std::thread& editor : editors) editor.join();
  EXPECT_EQ(store->Read()->bytes.size(), 800u);
  EXPECT_EQ(store->Read()->revision, 800u);
}

TEST(StateStore, AStateAboveTheLimitIsRefused) {
  ASSERT_OK_AND_ASSIGN(const auto store, MemoryStateStore::Open(""));
  EXPECT_THAT(store->CompareAndSet(0, std::string(kStateBytesMax + 1, 'x')).status(),
              StatusIs(absl::StatusCode::kInvalidArgument));
  ASSERT_OK(store->CompareAndSet(0, std::string(kStateBytesMax, 'x')).status());
}

TEST(StateStore, AFileOutlivesTheStore) {
  const TempFolder folder;
  const std::string file = folder.path("state");
  {
    ASSERT_OK_AND_ASSIGN(const auto store, MemoryStateStore::Open(file));
    EXPECT_FALSE(std::filesystem::exists(file));  // Nothing was set.
    ASSERT_OK(store->CompareAndSet(0, "one").status());
    ASSERT_OK(store->CompareAndSet(1, std::string("two\0three", 9)).status());
  }
  ASSERT_OK_AND_ASSIGN(const auto store, MemoryStateStore::Open(file));
  EXPECT_EQ(store->Read()->revision, 2u);
  EXPECT_EQ(store->Read()->bytes, std::string("two\0three", 9));
  struct stat info {};
  ASSERT_EQ(::stat(file.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  EXPECT_FALSE(std::filesystem::exists(file + ".new"));
}

// A reader that opened the old file keeps a whole old one: it is replaced, never written into.
TEST(StateStore, TheFileIsReplacedInOneStep) {
  const TempFolder folder;
  const std::string file = folder.path("state");
  ASSERT_OK_AND_ASSIGN(const auto store, MemoryStateStore::Open(file));
  ASSERT_OK(store->CompareAndSet(0, "one").status());
  std::filesystem::create_hard_link(file, folder.path("seen"));
  const std::string before = ContentOf(file);
  ASSERT_OK(store->CompareAndSet(1, "two").status());
  EXPECT_EQ(ContentOf(folder.path("seen")), before);
  EXPECT_NE(ContentOf(file), before);
}

TEST(StateStore, TheRestOfACrashIsInNobodysWay) {
  const TempFolder folder;
  const std::string file = folder.path("state");
  const std::string elsewhere = folder.Write("elsewhere", "untouched");
  folder.Link(elsewhere, "state.new");  // Worse than a rest: a link somebody made.
  ASSERT_OK_AND_ASSIGN(const auto store, MemoryStateStore::Open(file));
  ASSERT_OK(store->CompareAndSet(0, "one").status());
  EXPECT_EQ(ContentOf(elsewhere), "untouched");
  EXPECT_EQ((*MemoryStateStore::Open(file))->Read()->bytes, "one");
}

TEST(StateStore, AFileThatCannotBeWrittenLeavesTheStateAsItWas) {
  const TempFolder folder;
  const std::string file = folder.path("inner/state");
  folder.MakeFolder("inner");
  ASSERT_OK_AND_ASSIGN(const auto store, MemoryStateStore::Open(file));
  ASSERT_OK(store->CompareAndSet(0, "one").status());
  std::filesystem::rename(folder.path("inner"), folder.path("moved"));
  EXPECT_FALSE(store->CompareAndSet(1, "two").ok());
  EXPECT_EQ(store->Read()->revision, 1u);
  EXPECT_EQ(store->Read()->bytes, "one");
  std::filesystem::rename(folder.path("moved"), folder.path("inner"));
  ASSERT_OK(store->CompareAndSet(1, "two").status());
}

TEST(StateStore, EveryDamagedFileIsDataLossAndStaysWhereItIs) {
  const TempFolder folder;
  const std::string file = folder.path("state");
  {
    ASSERT_OK_AND_ASSIGN(const auto store, MemoryStateStore::Open(file));
    ASSERT_OK(store->CompareAndSet(0, "the desired state").status());
  }
  const std::string good = ContentOf(file);
  std::vector<std::string> bad = {good + "x", "", "paramd", std::string(200, '\0')};
  for (size_t length = 1; length < good.size(); ++length) bad.push_back(good.substr(0, length));
  for (size_t i = 0; i < good.size(); ++i) {
    std::string damaged = good;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x10);
    bad.push_back(damaged);
  }
  for (const std::string& content : bad) {
    folder.Write("state", content);
    EXPECT_THAT(MemoryStateStore::Open(file).status(), StatusIs(absl::StatusCode::kDataLoss))
        << content.size();
    EXPECT_EQ(ContentOf(file), content);
  }
  std::filesystem::resize_file(file, kStateBytesMax + 4'096);
  EXPECT_THAT(MemoryStateStore::Open(file).status(), StatusIs(absl::StatusCode::kDataLoss));
  std::filesystem::remove(file);
  std::filesystem::create_directory(file);
  EXPECT_FALSE(MemoryStateStore::Open(file).ok());
}

TEST(StateStore, ANewerSavedStateIsAdoptedAndAnOlderOneIsNot) {
  const TempFolder folder;
  const std::string file = folder.path("state");
  ASSERT_OK_AND_ASSIGN(const auto store, MemoryStateStore::Open(file));
  ASSERT_OK(store->AdoptIfNewer({.revision = 5, .bytes = "five"}));
  EXPECT_EQ(store->Read()->bytes, "five");
  ASSERT_OK(store->AdoptIfNewer({.revision = 5, .bytes = "other"}));
  ASSERT_OK(store->AdoptIfNewer({.revision = 0, .bytes = ""}));
  EXPECT_EQ(store->Read()->bytes, "five");
  EXPECT_EQ(*store->CompareAndSet(5, "six"), 6u);
  EXPECT_EQ((*MemoryStateStore::Open(file))->Read()->revision, 6u);
}

}  // namespace
}  // namespace paramd
