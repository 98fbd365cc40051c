#include "server/config/precision.h"

namespace paramd {

std::string_view PrecisionName(Precision precision) {
  return precision == Precision::kBF16 ? "bf16" : "f32";
}

std::optional<Precision> PrecisionFromName(std::string_view name) {
  if (name == "f32" || name == "fp32" || name == "float32") return Precision::kF32;
  if (name == "bf16" || name == "bfloat16") return Precision::kBF16;
  return std::nullopt;
}

}  // namespace paramd
