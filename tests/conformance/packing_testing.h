// Parameters that one op packed and another one of other shapes reads: what both
// tables of cases ask of every backend.
//
// Thread-safety: pure functions.
#ifndef PARAMD_TESTS_CONFORMANCE_PACKING_TESTING_H_
#define PARAMD_TESTS_CONFORMANCE_PACKING_TESTING_H_

#include <gtest/gtest.h>

#include <cstddef>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "runtime/backends/backend.h"
#include "tests/support/status_testing.h"

namespace paramd::conformance {

// The spec with its parameters as `first` packs them.
inline OpSpec PackedAs(const CompiledOp& first, OpSpec spec) {
  for (size_t i = 0; i < spec.inputs.size(); ++i) {
    if (spec.inputs[i].kind != OperandKind::kParameter) continue;
    spec.inputs[i].packed = first.parameter_layout(static_cast<int>(i));
  }
  return spec;
}

// Both have the same layouts, and write the same bytes over whatever was there.
inline void ExpectPackedAlike(const CompiledOp& first, const CompiledOp& second, const OpSpec& spec,
                              absl::Span<const Tensor> inputs) {
  for (size_t i = 0; i < spec.inputs.size(); ++i) {
    if (spec.inputs[i].kind != OperandKind::kParameter) continue;
    const int at = static_cast<int>(i);
    const PackedLayout layout = second.parameter_layout(at);
    ASSERT_TRUE(layout == first.parameter_layout(at));
    if (layout.plain()) continue;
    std::vector<std::byte> by_first(layout.bytes, std::byte{1});
    std::vector<std::byte> by_second(layout.bytes, std::byte{2});
    ASSERT_OK(first.Pack(at, inputs[i].view(), absl::MakeSpan(by_first)));
    ASSERT_OK(second.Pack(at, inputs[i].view(), absl::MakeSpan(by_second)));
    EXPECT_TRUE(by_first == by_second);
  }
}

}  // namespace paramd::conformance

#endif  // PARAMD_TESTS_CONFORMANCE_PACKING_TESTING_H_
