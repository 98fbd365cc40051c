// ActivationKind in oneDNN's algorithms, standing alone or fused as post-ops.
//
// Thread-safety: pure functions.
#ifndef PARAMD_RUNTIME_BACKENDS_ONEDNN_ACTIVATION_H_
#define PARAMD_RUNTIME_BACKENDS_ONEDNN_ACTIVATION_H_

#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "oneapi/dnnl/dnnl.hpp"
#include "runtime/backends/onednn/primitive_op.h"
#include "runtime/backends/op_specs.h"

namespace paramd::onednn {

struct EltwiseStep {
  dnnl::algorithm algorithm = dnnl::algorithm::undef;
  float alpha = 0;
  float beta = 0;
};

// One step for most kinds, two for those that oneDNN has only composed (selu).
// Unimplemented where it has neither.
absl::StatusOr<std::vector<EltwiseStep>> EltwiseSteps(ActivationKind kind, float alpha, float beta);

// Appends the spec's post-ops. A residual operand is read as `dims` in
// `layout`, and becomes an argument of the plan.
absl::Status AppendPostOps(const OpSpec& spec, const dnnl::memory::dims& dims, Layout layout,
                           dnnl::post_ops* post_ops, PrimitivePlan* plan);

// For families whose primitive takes no post-ops.
absl::Status RefusePostOps(const OpSpec& spec);

// Pooling in plain layout with an operand added: oneDNN 3.7 reads the operand at
// wrong addresses there (its kernels work on transposed blocks), past its end
// too. Found by tests/conformance.
absl::Status RefusePooledAdd(const OpSpec& spec, Layout layout);

}  // namespace paramd::onednn

#endif  // PARAMD_RUNTIME_BACKENDS_ONEDNN_ACTIVATION_H_
