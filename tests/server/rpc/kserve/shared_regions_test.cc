#include "server/rpc/kserve/shared_regions.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

#include "tests/support/status_testing.h"
#include "tests/support/temp_folder.h"

namespace paramd {
namespace {

using ::testing::HasSubstr;

std::string Read(const SharedRegion& region, uint64_t offset, size_t bytes, absl::Status* status) {
  std::string text(bytes, '?');
  *status = region.Read(offset, {reinterpret_cast<std::byte*>(text.data()), text.size()});
  return text;
}

class SharedRegionsTest : public ::testing::Test {
 protected:
  TempFolder folder;
  SharedRegions regions{{.regions_max = 3, .folder = folder.path()}};
};

TEST_F(SharedRegionsTest, ReadsWhatTheClientWrote) {
  folder.Write("mine", "0123456789");
  ASSERT_OK(regions.Register({"r", "/mine", 2, 6}));
  ASSERT_OK_AND_ASSIGN(const auto region, regions.Find("r"));
  ASSERT_OK(region->Check(1, 5));
  absl::Status status;
  EXPECT_EQ(Read(*region, 1, 5, &status), "34567");
  EXPECT_OK(status);
  ASSERT_OK(region->Write(0, {reinterpret_cast<const std::byte*>("ab"), 2}));
  EXPECT_EQ(Read(*region, 0, 6, &status), "ab4567");
  EXPECT_EQ(std::filesystem::file_size(folder.path("mine")), 10u);
  ASSERT_OK_AND_ASSIGN(const auto infos, regions.List("r"));
  ASSERT_EQ(infos.size(), 1u);
  EXPECT_EQ(infos[0].key, "/mine");
  EXPECT_EQ(infos[0].offset, 2u);
  EXPECT_EQ(infos[0].bytes, 6u);
}

TEST_F(SharedRegionsTest, ARegionThatIsCutOffIsAnErrorAndNoCrash) {
  folder.Write("mine", std::string(1 << 20, 'x'));
  ASSERT_OK(regions.Register({"r", "mine", 0, 1 << 20}));
  ASSERT_OK_AND_ASSIGN(const auto region, regions.Find("r"));
  ASSERT_OK(region->Check(0, 1 << 20));
  std::filesystem::resize_file(folder.path("mine"), 100);
  absl::Status status;
  Read(*region, 0, 1 << 20, &status);  // Between the check and the use.
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("cut off")));
  EXPECT_THAT(region->Check(0, 1 << 20),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("cut off")));
  const std::string text(200, 'y');
  EXPECT_THAT(region->Write(0, {reinterpret_cast<const std::byte*>(text.data()), text.size()}),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(std::filesystem::file_size(folder.path("mine")), 100u) << "it is not ours to grow";
}

TEST_F(SharedRegionsTest, RangesThatWrapOrEndBeyondAreRefused) {
  folder.Write("mine", "0123456789");
  constexpr uint64_t kMost = std::numeric_limits<uint64_t>::max();
  for (const auto& [offset, bytes] : {std::pair<uint64_t, uint64_t>{0, 11},
                                      {10, 1},
                                      {kMost, 2},
                                      {2, kMost},
                                      {kMost, kMost},
                                      {0, 0}}) {
    EXPECT_THAT(regions.Register({"r", "mine", offset, bytes}),
                StatusIs(absl::StatusCode::kInvalidArgument));
  }
  ASSERT_OK(regions.Register({"r", "mine", 0, 10}));
  ASSERT_OK_AND_ASSIGN(const auto region, regions.Find("r"));
  for (const auto& [offset, bytes] :
       {std::pair<uint64_t, uint64_t>{0, 11}, {11, 0}, {kMost, 1}, {1, kMost}}) {
    EXPECT_THAT(region->Check(offset, bytes), StatusIs(absl::StatusCode::kInvalidArgument));
  }
}

TEST_F(SharedRegionsTest, KeysThatAreNoSharedMemoryAreRefused) {
  folder.Write("inside/mine", "0123456789");
  folder.Write("paramd-own", "0123456789");
  folder.Write("target", "0123456789");
  folder.Link("target", "link");
  ASSERT_EQ(mkfifo(folder.path("pipe").c_str(), 0600), 0);
  for (const char* key : {"", "/", ".", "..", "/..", "inside/mine", "/inside/mine", "//target",
                          "inside", "link", "pipe", "/paramd-own", "paramd-own"}) {
    EXPECT_THAT(regions.Register({"r", key, 0, 10}), StatusIs(absl::StatusCode::kInvalidArgument))
        << key;
  }
  EXPECT_THAT(regions.Register({"r", std::string("tar\0get", 7), 0, 10}),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(regions.Register({"r", std::string(300, 'x'), 0, 10}),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(regions.Register({"r", "/absent", 0, 10}), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(regions.Register({"", "target", 0, 10}),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(SharedRegionsTest, NamesAreOnceAndBounded) {
  folder.Write("mine", "0123456789");
  ASSERT_OK(regions.Register({"a", "mine", 0, 10}));
  EXPECT_THAT(regions.Register({"a", "mine", 0, 5}), StatusIs(absl::StatusCode::kAlreadyExists));
  ASSERT_OK(regions.Register({"b", "mine", 0, 10}));
  ASSERT_OK(regions.Register({"c", "mine", 0, 10}));
  EXPECT_THAT(regions.Register({"d", "mine", 0, 10}),
              StatusIs(absl::StatusCode::kResourceExhausted));
  ASSERT_OK_AND_ASSIGN(const auto all, regions.List(""));
  EXPECT_EQ(all.size(), 3u);
  EXPECT_THAT(regions.List("d"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(regions.Find("d"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(regions.Unregister("d"), StatusIs(absl::StatusCode::kNotFound));
  ASSERT_OK(regions.Unregister("a"));
  ASSERT_OK(regions.Unregister(""));
  ASSERT_OK_AND_ASSIGN(const auto none, regions.List(""));
  EXPECT_TRUE(none.empty());
}

TEST_F(SharedRegionsTest, UnregisteringWhileInUseTakesTheNameOnly) {
  folder.Write("mine", "0123456789");
  ASSERT_OK(regions.Register({"r", "mine", 0, 10}));
  ASSERT_OK_AND_ASSIGN(const auto region, regions.Find("r"));
  ASSERT_OK(regions.Unregister("r"));
  std::filesystem::remove(folder.path("mine"));
  absl::Status status;
  EXPECT_EQ(Read(*region, 0, 10, &status), "0123456789");
  EXPECT_OK(status);
  EXPECT_THAT(regions.Find("r"), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(SharedRegionsTest, InputsNeedNoPermissionToWrite) {
  folder.Write("mine", "0123456789");
  ASSERT_EQ(chmod(folder.path("mine").c_str(), 0400), 0);
  ASSERT_OK(regions.Register({"r", "mine", 0, 10}));
  ASSERT_OK_AND_ASSIGN(const auto region, regions.Find("r"));
  absl::Status status;
  EXPECT_EQ(Read(*region, 0, 10, &status), "0123456789");
  if (geteuid() == 0) return;  // Root may write anything.
  EXPECT_THAT(region->Write(0, {reinterpret_cast<const std::byte*>("a"), 1}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("may not be written")));
}

}  // namespace
}  // namespace paramd
