// The reference's Run allocates nothing, whatever the op: counted by this
// executable's operator new.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>

#include "runtime/backends/reference/reference_backend.h"
#include "tests/conformance/cases.h"
#include "tests/conformance/data.h"
#include "tests/conformance/op_runner.h"
#include "tests/support/status_testing.h"

namespace {

thread_local uint64_t allocations = 0;

void* Allocate(size_t bytes) {
  ++allocations;
  void* memory = std::malloc(bytes == 0 ? 1 : bytes);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

// Not inlined, or GCC sees free() meet new and warns.
[[gnu::noinline]] void* operator new(size_t bytes) { return Allocate(bytes); }
[[gnu::noinline]] void* operator new[](size_t bytes) { return Allocate(bytes); }
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete[](void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, size_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete[](void* memory, size_t) noexcept { std::free(memory); }

namespace paramd::conformance {
namespace {

TEST(AllocationTest, TheReferenceRunsWithoutAllocating) {
  std::mt19937_64 random(Seed());
  for (const Case& c : AllCases()) {
    SCOPED_TRACE(c.name);
    ASSERT_OK_AND_ASSIGN(const auto op, ReferenceBackend().Compile(c.spec));
    EXPECT_OK(RunCompiled(*op, c.spec, FillAll(c, random), {.allocations = [] {
                return allocations;
              }}).status());
  }
}

}  // namespace
}  // namespace paramd::conformance
