#include "runtime/base/directory.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <string>

#include "tests/support/status_testing.h"
#include "tests/support/temp_folder.h"

namespace paramd {
namespace {

class DirectoryTest : public ::testing::Test {
 protected:
  // outside.txt | root/{a.txt, sub/b.txt}
  void SetUp() override {
    outside_.Write("outside.txt", "secret");
    outside_.Write("root/a.txt", "a");
    outside_.Write("root/sub/b.txt", "b");
    auto root = Directory::Open(outside_.path("root"));
    ASSERT_OK(root.status());
    root_ = *std::move(root);
  }

  TempFolder outside_;
  std::unique_ptr<Directory> root_;
};

TEST_F(DirectoryTest, OpensFilesAndFoldersBeneath) {
  EXPECT_OK(root_->OpenFile("a.txt"));
  EXPECT_OK(root_->OpenFile("sub/b.txt"));
  EXPECT_OK(root_->OpenFile("sub/../a.txt"));  // Never leaves the root.
  ASSERT_OK_AND_ASSIGN(auto sub, root_->OpenDirectory("sub"));
  EXPECT_OK(sub->OpenFile("b.txt"));
  EXPECT_THAT(root_->OpenFile("none"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(root_->OpenFile("sub"), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(DirectoryTest, RefusesEveryWayOut) {
  outside_.Link("../outside.txt", "root/relative_link");
  outside_.Link(outside_.path("outside.txt"), "root/absolute_link");
  outside_.Link("../..", "root/sub/up");
  outside_.Link("/proc/self/root", "root/magic");
  for (const std::string path :
       {"../outside.txt", "sub/../../outside.txt", "relative_link", "absolute_link",
        "sub/up/outside.txt", "magic/etc/passwd", "/etc/passwd"}) {
    EXPECT_THAT(root_->OpenFile(path), StatusIs(absl::StatusCode::kPermissionDenied)) << path;
  }
  // A folder opened through another is a root of its own.
  ASSERT_OK_AND_ASSIGN(auto sub, root_->OpenDirectory("sub"));
  EXPECT_THAT(sub->OpenFile("../a.txt"), StatusIs(absl::StatusCode::kPermissionDenied));
  EXPECT_THAT(root_->OpenFile(""), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(root_->OpenFile(std::string("a.txt\0b", 7)),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(DirectoryTest, FollowsLinksThatStayInside) {
  // As a Hugging Face cache and a ConfigMap have them.
  outside_.Link("../a.txt", "root/sub/link");
  outside_.Link("sub", "root/data");
  EXPECT_OK(root_->OpenFile("sub/link"));
  EXPECT_OK(root_->OpenFile("data/b.txt"));
  outside_.Link("loop", "root/loop");
  EXPECT_THAT(root_->OpenFile("loop"), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(DirectoryTest, RefusesHardLinksWhenAsked) {
  std::filesystem::create_hard_link(outside_.path("outside.txt"), outside_.path("root/hard"));
  EXPECT_OK(root_->OpenFile("hard"));
  EXPECT_THAT(root_->OpenFile("hard", {.refuse_hard_links = true}),
              StatusIs(absl::StatusCode::kPermissionDenied));
  EXPECT_OK(root_->OpenFile("a.txt", {.refuse_hard_links = true}));
}

TEST_F(DirectoryTest, ListsWhatLiesInsideInOrder) {
  outside_.Link("sub", "root/data");
  outside_.Link("../outside.txt", "root/escape");
  ASSERT_EQ(::mkfifo(outside_.path("root/fifo").c_str(), 0600), 0);
  ASSERT_OK_AND_ASSIGN(const auto entries, root_->List());
  std::string text;
  for (const auto& entry : entries) {
    text += entry.name + (entry.is_directory ? "/ " : entry.is_file ? " " : "? ");
  }
  EXPECT_EQ(text, "a.txt data/ fifo? sub/ ");
  EXPECT_THAT(root_->List(2), StatusIs(absl::StatusCode::kResourceExhausted));
  ASSERT_OK_AND_ASSIGN(const auto names, root_->ListNames());
  EXPECT_EQ(names.size(), 5u);  // The link outside too: others judge it.
}

TEST(Directory, ReopenFollowsALinkThatWasFlipped) {
  const TempFolder temp;
  temp.Write("one/file", "1");
  temp.Write("two/file", "22");
  temp.Link("one", "current");
  ASSERT_OK_AND_ASSIGN(const auto directory, Directory::Open(temp.path("current")));
  ASSERT_OK_AND_ASSIGN(const auto before, directory->OpenFile("file"));
  temp.Link("two", "next");
  std::filesystem::rename(temp.path("next"), temp.path("current"));
  ASSERT_OK_AND_ASSIGN(const auto still, directory->OpenFile("file"));
  EXPECT_EQ(still->size(), 1u);
  ASSERT_OK(directory->Reopen());
  ASSERT_OK_AND_ASSIGN(const auto after, directory->OpenFile("file"));
  EXPECT_EQ(after->size(), 2u);
  EXPECT_EQ(before->size(), 1u);  // What was opened before stays.
  std::filesystem::remove_all(temp.path("two"));
  EXPECT_THAT(directory->Reopen(), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_OK(directory->ListNames());
}

}  // namespace
}  // namespace paramd
