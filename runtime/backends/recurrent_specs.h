// RecurrentSpec: what "rnn", "gru" and "lstm" of NamedParams mean. ValidateSpec
// asks for it, so that every backend finds operands that fit together.
//
// Operands {x, w [D, gates h, in], r [D, gates h, h], b [D, 2 gates h]?, lengths i32 [N]?,
// initial h?, initial c?, peepholes [D, 3h]?}; outputs {y?, last h?, last c?}.
// ints {direction: 0 forward, 1 reverse, 2 both; hidden; layout; input_forget;
// linear_before_reset; activation...}; numbers {clip or 0, alpha..., beta...}.
//
// Thread-safety: values and pure functions.
#ifndef PARAMD_RUNTIME_BACKENDS_RECURRENT_SPECS_H_
#define PARAMD_RUNTIME_BACKENDS_RECURRENT_SPECS_H_

#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/backends/op_specs.h"

namespace paramd {

// The numbers of recurrent activations in NamedParams::ints.
enum class RecurrentGate : uint8_t {
  kSigmoid,
  kTanh,
  kRelu,
  kAffine,
  kLeakyRelu,
  kThresholdedRelu,
  kScaledTanh,
  kHardSigmoid,
  kElu,
  kSoftsign,
  kSoftplus,
};

struct RecurrentCell {
  RecurrentGate gate = RecurrentGate::kSigmoid;
  double alpha = 0, beta = 0;
};

struct RecurrentSpec {
  int gates = 1;  // RNN 1, GRU 3 (z, r, h), LSTM 4 (i, o, f, c).
  int cells_per_direction = 1;
  int64_t steps = 0, batch = 0, inputs = 0, hidden = 0, directions = 1, direction = 0;
  bool batch_first = false, input_forget = false, linear_before_reset = false;
  double clip = 0;
  std::vector<RecurrentCell> cells;  // As many for each direction.
  bool bias = false, lengths = false, initial_h = false, initial_c = false, peepholes = false;
  bool y = false, last_h = false, last_c = false;

  // Whether direction d of `directions` runs from the end.
  bool reverse(int64_t d) const { return direction == 1 || d == 1; }
};

bool IsRecurrentOp(std::string_view op);

// InvalidArgument that says what does not fit. REQUIRES: IsRecurrentOp(params.op).
absl::StatusOr<RecurrentSpec> ParseRecurrentSpec(const OpSpec& spec, const NamedParams& params);

}  // namespace paramd

#endif  // PARAMD_RUNTIME_BACKENDS_RECURRENT_SPECS_H_
