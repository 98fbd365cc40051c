// A request's inputs from the command line: .npy files, JSON, or made up.
#ifndef PARAMD_SERVER_PARAMCTL_INPUTS_H_
#define PARAMD_SERVER_PARAMCTL_INPUTS_H_

#include <random>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "runtime/tensor/tensor_view.h"
#include "server/paramctl/client.h"

namespace paramd {

// `npy`: "NAME=FILE" each. `json_path`: a file of {"NAME": nested lists}, "-" for
// standard input, or empty. Asks the daemon for the types that JSON does not have.
absl::Status AddInputs(Client* client, const std::string& version,
                       const std::vector<std::string>& npy, const std::string& json_path,
                       v1::PredictRequest* request);

// Random numbers for every input of the model: `rows` for its first dimension
// where that is open, 1 for other open ones. For load tests.
absl::Status AddRandomInputs(const v1::GetModelInfoResponse& info, int64_t rows, uint64_t seed,
                             v1::PredictRequest* request);

// Numbers from 0 to 1 in the tensor's type; integers are 0 or 1, which every
// vocabulary has.
absl::Status FillRandom(std::mt19937_64* random, const MutableTensorView& view);

}  // namespace paramd

#endif  // PARAMD_SERVER_PARAMCTL_INPUTS_H_
