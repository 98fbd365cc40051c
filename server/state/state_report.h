// StateReport: what is desired beside what is, for GetState; and hashing what is
// in memory again, for Verify.
//
// Thread-safety: functions of their arguments.
#ifndef PARAMD_SERVER_STATE_STATE_REPORT_H_
#define PARAMD_SERVER_STATE_STATE_REPORT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/base/clock.h"
#include "server/state/desired_state.h"
#include "server/state/model_admin.h"
#include "server/versions/routing_snapshot.h"
#include "server/versions/version_manager.h"

namespace paramd {

// Null: nothing is known of it.
const ModelStatus* FindModel(const ServingStatus& status, const std::string& name);

StateReport ReportState(uint64_t revision, const DesiredState& desired,
                        const ServingStatus& actual);

// Every version of `model` that serves, or of all models if empty. Takes a
// second for 2 GB. A version that is unloaded meanwhile is left out.
std::vector<VerifyReport> VerifyServing(const ServingStatus& status, const RoutingTable& routing,
                                        const Clock& clock, const std::string& model);

}  // namespace paramd

#endif  // PARAMD_SERVER_STATE_STATE_REPORT_H_
