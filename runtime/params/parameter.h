// Parameter: what is known about one named tensor of a checkpoint. It describes
// the checkpoint as it was trained, before any pass folded or packed it, so
// counts made from it are what the model's authors would count.
//
// Life: a value. Thread-safety: a value.
#ifndef PARAMD_RUNTIME_PARAMS_PARAMETER_H_
#define PARAMD_RUNTIME_PARAMS_PARAMETER_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "runtime/params/content_id.h"
#include "runtime/tensor/dtype.h"
#include "runtime/tensor/shape.h"

namespace paramd {

enum class ParameterRole : uint8_t {
  kWeight = 0,     // On a connection: linear, convolution, recurrent, embedding, norm scale.
  kBias = 1,       // Added per output: biases, norm shifts.
  kStatistic = 2,  // Measured while training: batch-norm mean and variance.
  kNone = 3,       // Shapes, axes and other constants: nothing that training set.
};
inline constexpr int kParameterRoles = 4;

// "weight", "bias", "statistic", "none".
std::string_view ParameterRoleName(ParameterRole role);
std::optional<ParameterRole> ParameterRoleFromName(std::string_view name);

struct Parameter {
  std::string name;
  ParameterRole role = ParameterRole::kNone;
  DType dtype = DType::kUndefined;
  Shape shape;
  ContentId content_id;
  uint64_t bytes = 0;  // Dense, as in the checkpoint.
};

}  // namespace paramd

#endif  // PARAMD_RUNTIME_PARAMS_PARAMETER_H_
