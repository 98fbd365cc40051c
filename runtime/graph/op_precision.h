// Which ops may run in bf16 when a model is configured so. A list, because it
// is a promise about numbers: answers stay within cosine 0.999 of f32.
//
// Thread-safety: a pure function.
#ifndef PARAMD_RUNTIME_GRAPH_OP_PRECISION_H_
#define PARAMD_RUNTIME_GRAPH_OP_PRECISION_H_

#include <cstdint>

#include "runtime/backends/op_specs.h"

namespace paramd {

enum class Bf16Use : uint8_t {
  kNever,    // Sensitive to the eight bits of a bf16: softmax, norms, logarithms.
  kFollows,  // Costs memory traffic only: in bf16 where its input already is.
  kGains,    // Twice the arithmetic speed: always, where a backend has it.
};

Bf16Use Bf16UseOf(const OpParams& params);

}  // namespace paramd

#endif  // PARAMD_RUNTIME_GRAPH_OP_PRECISION_H_
