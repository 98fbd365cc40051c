#include "runtime/params/parameter.h"

#include <array>

namespace paramd {
namespace {

constexpr std::array<std::string_view, kParameterRoles> kNames = {"weight", "bias", "statistic",
                                                                  "none"};

}  // namespace

std::string_view ParameterRoleName(ParameterRole role) {
  const auto index = static_cast<size_t>(role);
  return index < kNames.size() ? kNames[index] : "none";
}

std::optional<ParameterRole> ParameterRoleFromName(std::string_view name) {
  for (size_t i = 0; i < kNames.size(); ++i) {
    if (kNames[i] == name) return static_cast<ParameterRole>(i);
  }
  return std::nullopt;
}

}  // namespace paramd
