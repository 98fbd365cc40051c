// RunOp: one op from a spec and plain tensors to plain tensors, on any backend,
// keeping the contract of backend.h on the way: activations are laid as the op
// asks, parameters packed, outputs read in the layout that the op reports, and
// everything the op may not touch (inputs, the bytes around outputs and
// scratch) is checked afterwards.
//
// Life: nothing is kept. Thread-safety: pure functions.
#ifndef PARAMD_TESTS_CONFORMANCE_OP_RUNNER_H_
#define PARAMD_TESTS_CONFORMANCE_OP_RUNNER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "runtime/backends/backend.h"
#include "runtime/tensor/tensor_view.h"

namespace paramd::conformance {

struct RunOptions {
  // Bind output 0 to the address of CompiledOp::in_place_input.
  bool in_place = false;
  // Runs of the same BoundOp; every one must give the same bytes.
  int runs = 2;
  // A count that Run may not raise: that of allocations, in a program that
  // counts them. Null: not looked at.
  uint64_t (*allocations)() = nullptr;
};

// The outputs in plain layout. `inputs` are plain, in the spec's types, one an
// operand (an empty Tensor where absent). A parameter may also be f32 where the
// spec says bf16: it is then packed from f32. Internal, with what happened, if
// the op broke its contract.
absl::StatusOr<std::vector<Tensor>> RunCompiled(const CompiledOp& op, const OpSpec& spec,
                                                absl::Span<const Tensor> inputs,
                                                const RunOptions& options);

// Compiles and runs, out of place and, where the op allows it, in place: both
// must give the same bytes.
absl::StatusOr<std::vector<Tensor>> RunOp(const Backend& backend, const OpSpec& spec,
                                          absl::Span<const Tensor> inputs);

// The same elements in another layout. Any type of whole bytes.
Tensor Relaid(const TensorView& tensor, Layout from, Layout to);

}  // namespace paramd::conformance

#endif  // PARAMD_TESTS_CONFORMANCE_OP_RUNNER_H_
