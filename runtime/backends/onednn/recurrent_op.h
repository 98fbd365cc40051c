// RecurrentOp: LSTM, GRU and RNN with ONNX's usual activations, one oneDNN
// primitive a direction; weights packed, and both biases of a gate summed when
// they are packed.
//
// Refused, and left to the reference: lengths of rows, peepholes, clipping,
// other activations, coupled gates, batch-first layout.
//
// Thread-safety: the op is thread-safe.
#ifndef PARAMD_RUNTIME_BACKENDS_ONEDNN_RECURRENT_OP_H_
#define PARAMD_RUNTIME_BACKENDS_ONEDNN_RECURRENT_OP_H_

#include <memory>

#include "absl/status/statusor.h"
#include "runtime/backends/backend.h"

namespace paramd::onednn {

// For a team of `threads`, which the caller has set; throws what oneDNN throws.
// REQUIRES: the spec is valid and an operation of recurrent_specs.h.
absl::StatusOr<std::unique_ptr<const CompiledOp>> CompileRecurrent(const OpSpec& spec,
                                                                   const NamedParams& params,
                                                                   int threads);

}  // namespace paramd::onednn

#endif  // PARAMD_RUNTIME_BACKENDS_ONEDNN_RECURRENT_OP_H_
