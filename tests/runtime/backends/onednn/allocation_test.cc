// Run allocates nothing: counted by this executable's operator new, which the
// library's calls reach too.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <new>

#include "runtime/backends/onednn/onednn_backend.h"
#include "tests/runtime/backends/onednn/op_testing.h"
#include "tests/support/status_testing.h"

// The sanitizers bring their own operator new, which must stay.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define COUNTED 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define COUNTED 0
#endif
#endif
#ifndef COUNTED
#define COUNTED 1
#endif

namespace {

// Bytes that this thread asked operator new for; libdnnl's calls come here too.
thread_local uint64_t allocated_bytes = 0;

#if COUNTED
void* Allocate(size_t bytes, size_t alignment) {
  allocated_bytes += bytes;
  if (bytes == 0) bytes = 1;
  void* memory = nullptr;
  if (alignment <= alignof(std::max_align_t)) {
    memory = std::malloc(bytes);
  } else if (posix_memalign(&memory, alignment, bytes) != 0) {
    memory = nullptr;
  }
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
#endif

}  // namespace

#if COUNTED

// Not inlined, or GCC sees free() meet new and warns.
#define KEPT __attribute__((noinline))
KEPT void* operator new(size_t bytes) { return Allocate(bytes, 1); }
KEPT void* operator new[](size_t bytes) { return Allocate(bytes, 1); }
KEPT void* operator new(size_t bytes, std::align_val_t alignment) {
  return Allocate(bytes, static_cast<size_t>(alignment));
}
KEPT void* operator new[](size_t bytes, std::align_val_t alignment) {
  return Allocate(bytes, static_cast<size_t>(alignment));
}
KEPT void operator delete(void* memory) noexcept { std::free(memory); }
KEPT void operator delete[](void* memory) noexcept { std::free(memory); }
KEPT void operator delete(void* memory, size_t) noexcept { std::free(memory); }
KEPT void operator delete[](void* memory, size_t) noexcept { std::free(memory); }
KEPT void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
KEPT void operator delete[](void* memory, std::align_val_t) noexcept { std::free(memory); }
KEPT void operator delete(void* memory, size_t, std::align_val_t) noexcept { std::free(memory); }
KEPT void operator delete[](void* memory, size_t, std::align_val_t) noexcept { std::free(memory); }
#undef KEPT
#endif

namespace paramd {
namespace {

using namespace onednn_testing;  // NOLINT: the test's vocabulary.

TEST(OnednnBackend, RunAllocatesNothingButOnednnsOwnSmallChange) {
  if (!COUNTED) GTEST_SKIP() << "not counted under a sanitizer";
  for (const OpSpec& spec : OneOfEach()) {
    ASSERT_OK_AND_ASSIGN(const auto op, OnednnBackend().Compile(spec));
    ASSERT_OK_AND_ASSIGN(const auto bound, BindTo(*op, spec, RandomInputs(spec, 1)));
    ASSERT_OK(bound->op->Run());
    const uint64_t before = allocated_bytes;
    constexpr int kRuns = 16;
    bool ok = true;
    for (int i = 0; i < kRuns; ++i) ok &= bound->op->Run().ok();
    const uint64_t bytes = (allocated_bytes - before) / kRuns;
    EXPECT_TRUE(ok);
    std::cout << Describe(spec) << ": " << bytes << " bytes a run\n";
    // The library's argument map and execution context; no tensor, no scratch,
    // no primitive fits in it.
    EXPECT_LE(bytes, 2048u) << Describe(spec);
  }
}

}  // namespace
}  // namespace paramd
