#include "server/keeper/breadcrumb.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <new>
#include <utility>

#include "absl/log/check.h"
#include "runtime/base/strings.h"

namespace paramd {
namespace {

constexpr uint64_t kBreadcrumbMagic = 0x31424d4152415024;  // "$PARAMB1"
constexpr size_t kThreadBytes = 16;              // As prctl(PR_GET_NAME) writes it.
constexpr size_t kNameBytes = 192;               // A model's name, a version, a revision's digest.
constexpr uint32_t kSlots = 2048;                // 1,024 streams, loaders, and to spare.
constexpr uint32_t kNames = 4096;
constexpr std::array<int, 5> kFatal = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};

static_assert(std::atomic<uint32_t>::is_always_lock_free);

uint32_t MarkOf(Activity activity, uint32_t name) {
  return (static_cast<uint32_t>(activity) << 30) | name;
}

// Printable, and short: it goes into logs.
std::string CleanText(const char* text, size_t bytes_max) {
  std::string clean(text, strnlen(text, bytes_max));
  for (char& c : clean) {
    if (c < 0x20 || c > 0x7e) c = '?';
  }
  return clean;
}

}  // namespace

struct BreadcrumbWriter::Page {
  struct Slot {
    char thread[kThreadBytes];
    std::atomic<uint32_t> mark;
    // A line of its own: streams write here with every batch.
    char unused[64 - kThreadBytes - sizeof(std::atomic<uint32_t>)];
  };

  uint64_t magic;
  std::atomic<int32_t> crash_signal;
  char crash_thread[kThreadBytes];
  char unused[64 - 8 - 4 - kThreadBytes];
  Slot slots[kSlots];
  char names[kNames][kNameBytes];
};

// The reader's view of the private layout.
struct BreadcrumbLayout {
  using Page = BreadcrumbWriter::Page;
};
namespace {
using Page = BreadcrumbLayout::Page;
static_assert(offsetof(Page, slots) == 64 && sizeof(Page::Slot) == 64);

// Of the handler: the page, and what each signal did before.
std::atomic<Page*> crash_page{nullptr};
struct sigaction before[kFatal.size()];

}  // namespace

std::string_view ActivityName(Activity activity) {
  return activity == Activity::kLoading   ? "loading"
         : activity == Activity::kRunning ? "running"
                                          : "idle";
}

absl::StatusOr<UniqueFd> MakeBreadcrumbs() {
  UniqueFd fd(memfd_create("paramd-breadcrumbs", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  const uint64_t magic = kBreadcrumbMagic;
  if (!fd.valid() || ftruncate(fd.get(), sizeof(Page)) != 0 ||
      fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0 ||
      pwrite(fd.get(), &magic, sizeof(magic), 0) != sizeof(magic)) {
    return absl::InternalError(StrCat("memory for breadcrumbs: ", strerror(errno)));
  }
  return fd;
}

absl::StatusOr<std::unique_ptr<BreadcrumbWriter>> BreadcrumbWriter::Map(UniqueFd fd) {
  struct stat found = {};
  if (fstat(fd.get(), &found) != 0 || found.st_size != sizeof(Page)) {
    return absl::InvalidArgumentError("the descriptor is no memory for breadcrumbs");
  }
  void* const mapped = mmap(nullptr, sizeof(Page), PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  if (mapped == MAP_FAILED) {
    return absl::InternalError(StrCat("mapping breadcrumbs: ", strerror(errno)));
  }
  Page* const page = std::launder(static_cast<Page*>(mapped));
  if (page->magic != kBreadcrumbMagic) {
    munmap(mapped, sizeof(Page));
    return absl::InvalidArgumentError("breadcrumbs of another layout");
  }
  return std::unique_ptr<BreadcrumbWriter>(new BreadcrumbWriter(page, std::move(fd)));
}

BreadcrumbWriter::~BreadcrumbWriter() {
  Page* mine = page_;
  if (crash_page.compare_exchange_strong(mine, nullptr)) {
    for (size_t i = 0; i < kFatal.size(); ++i) sigaction(kFatal[i], &before[i], nullptr);
  }
  munmap(page_, sizeof(Page));
}

uint32_t BreadcrumbWriter::Name(std::string_view version) {
  version = version.substr(0, kNameBytes - 1);
  MutexLock lock(&mutex_);
  if (const auto found = numbers_.find(version); found != numbers_.end()) return found->second;
  uint32_t number = 0;
  if (!free_.empty()) {
    number = free_.back();
    free_.pop_back();
  } else if (names_used_ + 1 < kNames) {
    number = ++names_used_;  // 0 is nobody.
  } else {
    return 0;
  }
  char* const place = page_->names[number];
  std::memset(place, 0, kNameBytes);
  std::memcpy(place, version.data(), version.size());
  numbers_.emplace(version, number);
  return number;
}

void BreadcrumbWriter::Forget(uint32_t name) {
  MutexLock lock(&mutex_);
  if (std::erase_if(numbers_, [name](const auto& entry) { return entry.second == name; }) > 0) {
    free_.push_back(name);
  }
}

int BreadcrumbWriter::AddSlot() {
  MutexLock lock(&mutex_);
  if (slots_used_ == static_cast<int>(kSlots)) return -1;
  prctl(PR_GET_NAME, page_->slots[slots_used_].thread, 0, 0, 0);
  return slots_used_++;
}

void BreadcrumbWriter::Mark(int slot, Activity activity, uint32_t name) {
  if (slot < 0) return;
  page_->slots[slot].mark.store(name == 0 ? 0 : MarkOf(activity, name), std::memory_order_relaxed);
  // What follows on this thread, and may crash, stays behind the store.
  std::atomic_signal_fence(std::memory_order_seq_cst);
}

// Only what signal-safety(7) allows.
void BreadcrumbWriter::OnCrash(int signal) {
  if (Page* const page = crash_page.load(std::memory_order_relaxed); page != nullptr) {
    int32_t none = 0;
    if (page->crash_signal.compare_exchange_strong(none, signal)) {
      prctl(PR_GET_NAME, page->crash_thread, 0, 0, 0);
    }
  }
  for (size_t i = 0; i < kFatal.size(); ++i) {
    if (kFatal[i] == signal) sigaction(signal, &before[i], nullptr);
  }
  raise(signal);  // Comes when this handler returns.
}

void BreadcrumbWriter::InstallCrashHandler() {
  Page* none = nullptr;
  CHECK(crash_page.compare_exchange_strong(none, page_)) << "one writer a process";
  struct sigaction action = {};
  action.sa_handler = &BreadcrumbWriter::OnCrash;
  sigemptyset(&action.sa_mask);
  for (size_t i = 0; i < kFatal.size(); ++i) sigaction(kFatal[i], &action, &before[i]);
}

absl::StatusOr<BreadcrumbReport> ReadBreadcrumbs(int fd) {
  // A copy, and not a map, which the worker could still write to.
  std::vector<std::byte> bytes(sizeof(Page));
  if (pread(fd, bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {
    return absl::DataLossError(StrCat("reading breadcrumbs: ", strerror(errno)));
  }
  const auto* const page = reinterpret_cast<const Page*>(bytes.data());
  if (page->magic != kBreadcrumbMagic) return absl::DataLossError("the breadcrumbs are overwritten");
  BreadcrumbReport report;
  for (const Page::Slot& slot : page->slots) {
    const uint32_t mark = slot.mark.load(std::memory_order_relaxed);
    const auto activity = static_cast<Activity>(mark >> 30);
    const uint32_t name = mark & ((uint32_t{1} << 30) - 1);
    if (mark == 0 || name == 0 || name >= kNames ||
        (activity != Activity::kLoading && activity != Activity::kRunning)) {
      continue;
    }
    std::string version = CleanText(page->names[name], kNameBytes);
    if (version.empty()) continue;
    report.marks.push_back(
        {.thread = CleanText(slot.thread, kThreadBytes), .doing = {std::move(version), activity}});
  }
  if (const int signal = page->crash_signal.load(std::memory_order_relaxed); signal != 0) {
    report.crash = BreadcrumbReport::Crash{.signal = signal,
                                           .thread = CleanText(page->crash_thread, kThreadBytes)};
  }
  return report;
}

std::vector<Suspect> FindSuspects(const BreadcrumbReport& report, int signal) {
  std::vector<Suspect> suspects;
  const bool fatal = std::ranges::find(kFatal, signal) != kFatal.end();
  for (const BreadcrumbReport::Mark& mark : report.marks) {
    const bool blamed = report.crash ? mark.thread == report.crash->thread
                        : fatal      ? true
                                : signal == SIGKILL && mark.doing.activity == Activity::kLoading;
    if (blamed && std::ranges::find(suspects, mark.doing) == suspects.end()) {
      suspects.push_back(mark.doing);
    }
  }
  return suspects;
}

}  // namespace paramd
