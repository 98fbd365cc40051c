// Precision: what a model's arithmetic runs in. Apart, because both the daemon's
// options and config.pbtxt name it, and the keeper reads only the first.
//
// Thread-safety: values and pure functions.
#ifndef PARAMD_SERVER_CONFIG_PRECISION_H_
#define PARAMD_SERVER_CONFIG_PRECISION_H_

#include <optional>
#include <string_view>

namespace paramd {

enum class Precision { kF32, kBF16 };
std::string_view PrecisionName(Precision precision);                // "f32", "bf16"
std::optional<Precision> PrecisionFromName(std::string_view name);  // And "fp32", "float32".

}  // namespace paramd

#endif  // PARAMD_SERVER_CONFIG_PRECISION_H_
