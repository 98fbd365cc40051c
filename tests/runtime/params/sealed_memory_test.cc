#include "runtime/params/sealed_memory.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <string>
#include <thread>
#include <utility>

#include "runtime/base/byte_reader.h"
#include "tests/support/status_testing.h"

namespace paramd {
namespace {

SealedMemory Sealed(std::string_view content) {
  auto memory = WritableMemory::Create("test", content.size());
  EXPECT_OK(memory.status());
  std::memcpy(memory->bytes().data(), content.data(), content.size());
  auto sealed = std::move(*memory).Seal();
  EXPECT_OK(sealed.status());
  return *std::move(sealed);
}

TEST(SealedMemory, HoldsWhatWasWritten) {
  const SealedMemory sealed = Sealed("parameters");
  EXPECT_EQ(AsText(sealed.bytes()), "parameters");
  EXPECT_EQ(reinterpret_cast<uintptr_t>(sealed.bytes().data()) % kPageBytes, 0u);
}

TEST(SealedMemory, StartsZeroed) {
  ASSERT_OK_AND_ASSIGN(auto memory, WritableMemory::Create("test", 100'000));
  for (const std::byte byte : memory.bytes()) ASSERT_EQ(byte, std::byte{0});
}

TEST(SealedMemory, LargeMapsStartAtAHugePage) {
  const SealedMemory sealed = Sealed(std::string(3 * kHugePageBytes + 1, 'x'));
  EXPECT_EQ(reinterpret_cast<uintptr_t>(sealed.bytes().data()) % kHugePageBytes, 0u);
}

TEST(SealedMemory, TheKernelRefusesEveryWayToWrite) {
  const SealedMemory sealed = Sealed(std::string(100'000, 'x'));
  const int fd = sealed.fd().get();
  // Mapped for writing, by this descriptor and by a new one.
  EXPECT_EQ(::mmap(nullptr, kPageBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
  EXPECT_EQ(errno, EPERM);
  const UniqueFd again(::open(("/proc/self/fd/" + std::to_string(fd)).c_str(), O_RDWR));
  if (again.valid()) {
    EXPECT_EQ(::mmap(nullptr, kPageBytes, PROT_WRITE, MAP_SHARED, again.get(), 0), MAP_FAILED);
    EXPECT_EQ(::pwrite(again.get(), "y", 1, 0), -1);
  }
  // The map that is there made writable.
  EXPECT_EQ(
      ::mprotect(const_cast<std::byte*>(sealed.bytes().data()), kPageBytes, PROT_READ | PROT_WRITE),
      -1);
  // Written, truncated, extended, punched, zeroed.
  EXPECT_EQ(::pwrite(fd, "y", 1, 0), -1);
  EXPECT_EQ(errno, EPERM);
  EXPECT_EQ(::ftruncate(fd, 10), -1);
  EXPECT_EQ(::ftruncate(fd, 1'000'000), -1);
  EXPECT_EQ(::fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, kPageBytes), -1);
  EXPECT_EQ(errno, EPERM);
  EXPECT_EQ(::fallocate(fd, 0, 0, 1'000'000), -1);
  EXPECT_EQ(::madvise(const_cast<std::byte*>(sealed.bytes().data()), kPageBytes, MADV_REMOVE), -1);
  // The seals themselves.
  EXPECT_EQ(::fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL), -1);
  EXPECT_EQ(AsText(sealed.bytes()), std::string(100'000, 'x'));
}

TEST(SealedMemory, AStrayStoreFaults) {
  const SealedMemory sealed = Sealed("parameters");
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    ::signal(SIGSEGV, SIG_DFL);  // Not the sanitizer's report.
    *const_cast<volatile std::byte*>(sealed.bytes().data()) = std::byte{'X'};
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status)) << status;
  EXPECT_EQ(WTERMSIG(status), SIGSEGV);
  EXPECT_EQ(AsText(sealed.bytes()), "parameters");
}

TEST(SealedMemory, IsMappedAgainFromItsDescriptorAlone) {
  const SealedMemory sealed = Sealed("parameters");
  UniqueFd copy(::dup(sealed.fd().get()));
  ASSERT_OK_AND_ASSIGN(const SealedMemory other, SealedMemory::FromFd(std::move(copy), 10));
  EXPECT_EQ(AsText(other.bytes()), "parameters");
  EXPECT_NE(other.bytes().data(), sealed.bytes().data());
}

TEST(SealedMemory, IsNeverTakenFromADescriptorThatCanStillChange) {
  UniqueFd open_fd(::memfd_create("test", MFD_ALLOW_SEALING));
  ASSERT_EQ(::ftruncate(open_fd.get(), kPageBytes), 0);
  ASSERT_EQ(::fcntl(open_fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 0);
  EXPECT_THAT(SealedMemory::FromFd(std::move(open_fd), 10).status(),
              StatusIs(absl::StatusCode::kInvalidArgument));
  // Smaller than it should be: reading its end would be a SIGBUS.
  const SealedMemory sealed = Sealed("parameters");
  EXPECT_THAT(SealedMemory::FromFd(UniqueFd(::dup(sealed.fd().get())), 2 * kPageBytes).status(),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(SealedMemory::FromFd(UniqueFd(::open("/dev/zero", O_RDONLY)), 10).status(),
              ::testing::Not(IsOk()));
  EXPECT_THAT(SealedMemory::FromFd(UniqueFd(), 10).status(), ::testing::Not(IsOk()));
}

// What else could hold a page while a segment is sealed: a second writable map,
// opened through the first.
class SecondMap {
 public:
  explicit SecondMap(const WritableMemory& memory) {
    const auto start = reinterpret_cast<uintptr_t>(memory.bytes().data());
    char name[64];
    std::snprintf(name, sizeof(name), "/proc/self/map_files/%lx-%lx", static_cast<long>(start),
                  static_cast<long>(start + kPageBytes));
    const UniqueFd fd(::open(name, O_RDWR));
    map_ = fd.valid() ? ::mmap(nullptr, kPageBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0)
                      : MAP_FAILED;
  }
  ~SecondMap() { Unmap(); }
  bool valid() const { return map_ != MAP_FAILED; }
  void Unmap() {
    if (valid()) ::munmap(std::exchange(map_, MAP_FAILED), kPageBytes);
  }

 private:
  void* map_;
};

TEST(SealedMemory, IsSealedOnceNothingElseHoldsItsPages) {
  ASSERT_OK_AND_ASSIGN(auto memory, WritableMemory::Create("test", 100));
  SecondMap second(memory);
  if (!second.valid()) GTEST_SKIP() << "no /proc/self/map_files for this user";
  std::thread holder([&second] { second.Unmap(); });
  const auto sealed = std::move(memory).Seal();
  holder.join();
  EXPECT_OK(sealed.status());
}

TEST(SealedMemory, SaysThatSomethingElseHoldsItsPages) {
  ASSERT_OK_AND_ASSIGN(auto memory, WritableMemory::Create("test", 100));
  const SecondMap second(memory);
  if (!second.valid()) GTEST_SKIP() << "no /proc/self/map_files for this user";
  EXPECT_THAT(std::move(memory).Seal(absl::ZeroDuration()).status(),
              StatusIs(absl::StatusCode::kUnavailable, ::testing::HasSubstr("keeps its pages")));
}

TEST(SealedMemory, RefusesSizesThatCannotBe) {
  EXPECT_THAT(WritableMemory::Create("test", 0).status(),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(WritableMemory::Create("test", UINT64_MAX).status(),
              StatusIs(absl::StatusCode::kResourceExhausted));
}

TEST(SealedMemory, CollapsesOrSaysThatTheKernelWillNot) {
  const SealedMemory sealed = Sealed(std::string(2 * kHugePageBytes + 5, 'x'));
  const absl::Status status = sealed.Collapse();
  if (!status.ok()) {
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kUnavailable));
  }
  EXPECT_EQ(AsText(sealed.bytes()), std::string(2 * kHugePageBytes + 5, 'x'));
  EXPECT_OK(Sealed("small").Collapse());  // Nothing to do.
}

}  // namespace
}  // namespace paramd
