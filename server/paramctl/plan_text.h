// Load plans as a table: what a load takes, against what there is.
//
// Thread-safety: pure functions.
#ifndef PARAMD_SERVER_PARAMCTL_PLAN_TEXT_H_
#define PARAMD_SERVER_PARAMCTL_PLAN_TEXT_H_

#include <google/protobuf/repeated_ptr_field.h>

#include <string>

#include "absl/status/status.h"
#include "proto/paramd/v1/admin.pb.h"

namespace paramd {

using LoadPlans = google::protobuf::RepeatedPtrField<v1::LoadPlan>;

std::string PlanTable(const LoadPlans& plans);
// ResourceExhausted if one of them does not fit.
absl::Status PlanVerdict(const LoadPlans& plans);

}  // namespace paramd

#endif  // PARAMD_SERVER_PARAMCTL_PLAN_TEXT_H_
