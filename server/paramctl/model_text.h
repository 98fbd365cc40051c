// Parts of paramd.v1's model messages as text.
#ifndef PARAMD_SERVER_PARAMCTL_MODEL_TEXT_H_
#define PARAMD_SERVER_PARAMCTL_MODEL_TEXT_H_

#include <string>

#include "proto/paramd/v1/model.pb.h"

namespace paramd {

std::string StateText(v1::VersionState state);         // "serving"
std::string RoleText(v1::ParameterRole role);          // "weight"
std::string DataTypeText(v1::DataType dtype);          // "f32"
std::string TensorText(const v1::TensorInfo& tensor);  // "pixels f32[N,64]"

}  // namespace paramd

#endif  // PARAMD_SERVER_PARAMCTL_MODEL_TEXT_H_
