#include "server/paramctl/model_text.h"

#include <string_view>

#include "absl/strings/ascii.h"
#include "runtime/base/strings.h"
#include "runtime/tensor/dtype.h"

namespace paramd {
namespace {

// "VERSION_STATE_SERVING" without its prefix, in small letters.
std::string EnumText(const std::string& name, std::string_view prefix) {
  std::string text = name.starts_with(prefix) ? name.substr(prefix.size()) : name;
  absl::AsciiStrToLower(&text);
  return text;
}

}  // namespace

std::string StateText(v1::VersionState state) {
  return EnumText(v1::VersionState_Name(state), "VERSION_STATE_");
}

std::string RoleText(v1::ParameterRole role) {
  return EnumText(v1::ParameterRole_Name(role), "PARAMETER_ROLE_");
}

std::string DataTypeText(v1::DataType dtype) {
  return std::string(DTypeName(static_cast<DType>(dtype)));
}

std::string TensorText(const v1::TensorInfo& tensor) {
  std::string dims;
  for (const v1::Dim& dim : tensor.shape()) {
    StrAppend(&dims, dims.empty() ? "" : ",", dim.has_size() ? StrCat(dim.size()) : dim.symbol());
  }
  return StrCat(tensor.name(), " ", DataTypeText(tensor.dtype()), "[", dims, "]");
}

}  // namespace paramd
