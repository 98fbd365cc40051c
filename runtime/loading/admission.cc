#include "runtime/loading/admission.h"

#include "runtime/base/strings.h"

namespace paramd {

absl::Status Admit(std::string_view label, const AdmissionNeed& need, const AdmissionRoom& room) {
  const uint64_t left = room.store_capacity_bytes > room.store_used_bytes
                            ? room.store_capacity_bytes - room.store_used_bytes
                            : 0;
  if (need.parameter_bytes > left) {
    return absl::ResourceExhaustedError(StrCat("'", label, "' needs ", need.parameter_bytes,
                                               " bytes of parameters, ", left, " of the store's ",
                                               room.store_capacity_bytes, " are left"));
  }
  const uint64_t peak = need.parameter_bytes + need.scratch_bytes + need.arena_bytes;
  if (peak > room.available_bytes) {
    return absl::ResourceExhaustedError(
        StrCat("'", label, "' needs ", peak, " bytes while it loads (", need.parameter_bytes,
               " parameters, ", need.scratch_bytes, " scratch, ", need.arena_bytes,
               " activations), ", room.available_bytes, " are available"));
  }
  return absl::OkStatus();
}

}  // namespace paramd
