// StatePairs: which inputs of a model are what an output of the request before
// was: by the configuration (sequence_batching.state), else by their names and
// types, which is how exporters write them ("state" and "stateN", "h" and "hn").
//
// Thread-safety: pure functions.
#ifndef PARAMD_SERVER_RPC_KSERVE_STATE_PAIRS_H_
#define PARAMD_SERVER_RPC_KSERVE_STATE_PAIRS_H_

#include <string>
#include <vector>

#include "absl/types/span.h"
#include "runtime/model.h"
#include "server/batching/batch_call.h"
#include "server/config/model_config.h"

namespace paramd {

struct StatePair {
  int input = 0;   // Index of ModelDescription::inputs ...
  int output = 0;  // ... and outputs.
};

// `config` may be null. Empty: the model has no state.
std::vector<StatePair> FindStatePairs(const ModelDescription& description,
                                      const ModelConfig* config);

// The shape that a state has at the start of a sequence: dimensions that other
// inputs share are theirs, what nobody says is 1.
Shape InitialShape(const ModelDescription& description, const TensorSpec& state,
                   absl::Span<const NamedTensor> inputs);

}  // namespace paramd

#endif  // PARAMD_SERVER_RPC_KSERVE_STATE_PAIRS_H_
