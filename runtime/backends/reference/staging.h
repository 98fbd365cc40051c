// Staging: kernels compute in f32 and f64 and move whole bytes. Operands of
// other types (f16, bf16, 8-bit floats; 4-bit types) are widened into scratch
// before the kernel runs, and its outputs narrowed after it and its post-ops,
// so a bf16 op rounds once, at its end.
//
// Thread-safety: pure functions.
#ifndef PARAMD_RUNTIME_BACKENDS_REFERENCE_STAGING_H_
#define PARAMD_RUNTIME_BACKENDS_REFERENCE_STAGING_H_

#include <cstdint>

#include "runtime/backends/op_specs.h"
#include "runtime/tensor/dtype.h"

namespace paramd::reference {

// The type in which this spec's kernel sees an operand of `dtype`.
DType StagedType(const OpSpec& spec, DType dtype);

// `count` elements of `from` at `source` to StagedType `to` at `target`.
void Widen(DType from, const void* source, DType to, void* target, int64_t count);
// And back: floats round to nearest even, 4-bit integers saturate.
void Narrow(DType from, const void* source, DType to, void* target, int64_t count);

}  // namespace paramd::reference

#endif  // PARAMD_RUNTIME_BACKENDS_REFERENCE_STAGING_H_
