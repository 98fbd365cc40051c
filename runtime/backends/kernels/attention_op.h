// Attention as a CompiledOp over attention_kernel.h.
//
// Thread-safety: a pure function; the op is thread-safe, a bound one is its
// thread's.
#ifndef PARAMD_RUNTIME_BACKENDS_KERNELS_ATTENTION_OP_H_
#define PARAMD_RUNTIME_BACKENDS_KERNELS_ATTENTION_OP_H_

#include <memory>

#include "absl/status/statusor.h"
#include "runtime/backends/backend.h"

namespace paramd::kernels {

// Unimplemented for types other than f32 and bf16 (a mask that is added: f32),
// for operands beyond 2^31 elements, and without any keys.
// REQUIRES: the spec is valid.
absl::StatusOr<std::unique_ptr<const CompiledOp>> CompileAttention(const OpSpec& spec,
                                                                   const AttentionParams& params);

}  // namespace paramd::kernels

#endif  // PARAMD_RUNTIME_BACKENDS_KERNELS_ATTENTION_OP_H_
