#include "runtime/base/file_source.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "runtime/base/byte_reader.h"
#include "tests/support/status_testing.h"
#include "tests/support/temp_folder.h"

namespace paramd {
namespace {

// An old modification time: a write within the same tick of the clock that
// file systems stamp with is then seen too.
void MakeOld(const std::string& path) {
  const timespec times[2] = {{.tv_sec = 1'000'000'000}, {.tv_sec = 1'000'000'000}};
  ASSERT_EQ(::utimensat(AT_FDCWD, path.c_str(), times, 0), 0);
}

std::string ReadAll(const FileSource& file, uint64_t offset, size_t count, absl::Status* status) {
  std::string text(count, '\0');
  *status =
      file.ReadAt(offset, absl::MakeSpan(reinterpret_cast<std::byte*>(text.data()), text.size()));
  return text;
}

TEST(FileSource, ReadsRangesAndCountsBytes) {
  TempFolder folder;
  ASSERT_OK_AND_ASSIGN(auto file, FileSource::Open(folder.Write("f", "0123456789")));
  EXPECT_EQ(file->size(), 10u);
  absl::Status status;
  EXPECT_EQ(ReadAll(*file, 3, 4, &status), "3456");
  EXPECT_OK(status);
  EXPECT_EQ(file->bytes_read(), 4u);
  EXPECT_OK(file->CheckUnchanged());
}

TEST(FileSource, RefusesRangesOutsideOfTheFile) {
  TempFolder folder;
  ASSERT_OK_AND_ASSIGN(auto file, FileSource::Open(folder.Write("f", "0123456789")));
  absl::Status status;
  for (const uint64_t offset : {uint64_t{7}, uint64_t{11}, UINT64_MAX - 1}) {
    ReadAll(*file, offset, 4, &status);
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kOutOfRange)) << offset;
  }
}

TEST(FileSource, SaysDataLossWhenTheFileIsTruncatedWhileItIsRead) {
  TempFolder folder;
  const std::string path = folder.Write("f", std::string(10'000, 'x'));
  ASSERT_OK_AND_ASSIGN(auto file, FileSource::Open(path));
  ASSERT_EQ(::truncate(path.c_str(), 5'000), 0);
  absl::Status status;
  ReadAll(*file, 0, 10'000, &status);
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(file->CheckUnchanged(), StatusIs(absl::StatusCode::kDataLoss));
}

TEST(FileSource, SaysDataLossWhenTheFileIsRewrittenInPlace) {
  TempFolder folder;
  const std::string path = folder.Write("f", "old content");
  MakeOld(path);
  ASSERT_OK_AND_ASSIGN(auto file, FileSource::Open(path));
  ASSERT_OK(file->CheckUnchanged());
  const UniqueFd writer(::open(path.c_str(), O_WRONLY));
  ASSERT_EQ(::pwrite(writer.get(), "new", 3, 0), 3);
  EXPECT_THAT(file->CheckUnchanged(), StatusIs(absl::StatusCode::kDataLoss));
}

TEST(FileSource, SeesAWriterThatSetsTheModificationTimeBack) {
  TempFolder folder;
  const std::string path = folder.Write("f", "old content");
  MakeOld(path);
  ASSERT_OK_AND_ASSIGN(auto file, FileSource::Open(path));
  // Another tick of the file system's clock, by the kernel's own account: the
  // change time of a probe moves until it differs.
  struct stat before {};
  struct stat probe {};
  ASSERT_EQ(::stat(path.c_str(), &before), 0);
  const std::string other = folder.Write("probe", "");
  do {
    MakeOld(other);
    ASSERT_EQ(::stat(other.c_str(), &probe), 0);
  } while (probe.st_ctim.tv_sec == before.st_ctim.tv_sec &&
           probe.st_ctim.tv_nsec == before.st_ctim.tv_nsec);
  const UniqueFd writer(::open(path.c_str(), O_WRONLY));
  ASSERT_EQ(::pwrite(writer.get(), "new", 3, 0), 3);
  MakeOld(path);
  EXPECT_THAT(file->CheckUnchanged(), StatusIs(absl::StatusCode::kDataLoss));
}

TEST(FileSource, KeepsReadingTheOldFileWhenANewOneIsRenamedOverIt) {
  TempFolder folder;
  const std::string path = folder.Write("f", "old");
  ASSERT_OK_AND_ASSIGN(auto file, FileSource::Open(path));
  std::filesystem::rename(folder.Write("g", "new!"), path);
  absl::Status status;
  EXPECT_EQ(ReadAll(*file, 0, 3, &status), "old");
  EXPECT_OK(status);
}

TEST(FileSource, OpensRegularFilesOnlyAndNeverWaits) {
  TempFolder folder;
  EXPECT_THAT(FileSource::Open(folder.path()), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(FileSource::Open(folder.path("none")), StatusIs(absl::StatusCode::kNotFound));
  // Nobody ever writes to this one.
  ASSERT_EQ(::mkfifo(folder.path("fifo").c_str(), 0600), 0);
  EXPECT_THAT(FileSource::Open(folder.path("fifo")), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(FileSource::Open("/dev/zero"), StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace paramd
