// PlanFolder: what serving a repository would take on this machine, without a
// daemon: each selected version after those before it, none unloaded between.
//
// The files are read and the models planned, nothing is kept. Tensors that two
// versions share are counted for each: only a daemon that has them knows.
//
// Thread-safety: a pure function of files and machine.
#ifndef PARAMD_SERVER_PARAMCTL_PLAN_FOLDER_H_
#define PARAMD_SERVER_PARAMCTL_PLAN_FOLDER_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "proto/paramd/v1/admin.pb.h"

namespace paramd {

struct PlanFolderOptions {
  std::string folder;
  std::string model;            // Empty: all.
  uint64_t capacity_bytes = 0;  // 0: what paramd takes by default on this machine.
  int streams = 0;              // 0: one for each core that may be used.
};

// A version that cannot be loaded at all is in the answer with its error as the
// refusal. Fails only if the folder cannot be read, or the model is not there.
absl::StatusOr<v1::PlanResponse> PlanFolder(const PlanFolderOptions& options);

}  // namespace paramd

#endif  // PARAMD_SERVER_PARAMCTL_PLAN_FOLDER_H_
