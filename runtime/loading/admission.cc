#include "runtime/loading/admission.h"

#include <algorithm>
#include <string>

#include "runtime/base/strings.h"

namespace paramd {

uint64_t AdmissionRoom::store_left() const {
  const uint64_t used = store_used_bytes - std::min(store_used_bytes, freed_bytes);
  return store_capacity_bytes > used ? store_capacity_bytes - used : 0;
}

AdmissionMargin TighterLimit(const AdmissionNeed& need, const AdmissionRoom& room) {
  const AdmissionMargin store{need.parameter_bytes, room.store_left()};
  const AdmissionMargin machine{need.peak(), room.machine_left()};
  // What one lacks more than the other, or has less to spare: no difference wraps.
  const bool store_is_tighter =
      store.left_bytes + machine.needed_bytes <= machine.left_bytes + store.needed_bytes;
  return store_is_tighter ? store : machine;
}

absl::Status Admit(std::string_view label, const AdmissionNeed& need, const AdmissionRoom& room) {
  const std::string freed = room.freed_bytes == 0 ? std::string()
                                                  : StrCat(" once ", room.freed_bytes,
                                                           " are freed by what goes before it");
  if (need.parameter_bytes > room.store_left()) {
    return absl::ResourceExhaustedError(StrCat(
        "'", label, "' needs ", need.parameter_bytes, " bytes of parameters, ", room.store_left(),
        " of the store's ", room.store_capacity_bytes, " are left", freed));
  }
  if (need.peak() > room.machine_left()) {
    return absl::ResourceExhaustedError(
        StrCat("'", label, "' needs ", need.peak(), " bytes while it loads (", need.parameter_bytes,
               " parameters, ", need.scratch_bytes, " scratch, ", need.arena_bytes,
               " activations), ", room.machine_left(), " are available", freed));
  }
  return absl::OkStatus();
}

}  // namespace paramd
