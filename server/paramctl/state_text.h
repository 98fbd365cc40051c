// The answer to GetState as a table.
//
// Thread-safety: pure function.
#ifndef PARAMD_SERVER_PARAMCTL_STATE_TEXT_H_
#define PARAMD_SERVER_PARAMCTL_STATE_TEXT_H_

#include <string>

#include "proto/paramd/v1/admin.pb.h"

namespace paramd {

std::string AdminStateText(const v1::GetStateResponse& state);

}  // namespace paramd

#endif  // PARAMD_SERVER_PARAMCTL_STATE_TEXT_H_
