// Admission: does a model fit, before anything of it is read? The answer is
// made of numbers that the refusal repeats, so that whoever reads it knows what
// to change.
//
// Thread-safety: a pure function.
#ifndef PARAMD_RUNTIME_LOADING_ADMISSION_H_
#define PARAMD_RUNTIME_LOADING_ADMISSION_H_

#include <cstdint>
#include <string_view>

#include "absl/status/status.h"

namespace paramd {

struct AdmissionNeed {
  uint64_t parameter_bytes = 0;  // That will stay and are not resident yet.
  uint64_t scratch_bytes = 0;    // Tensors between disk and kernel, of all loader threads.
  uint64_t arena_bytes = 0;      // Activations of the largest batch, of all streams.

  // The most that is taken at one moment while it loads.
  uint64_t peak() const { return parameter_bytes + scratch_bytes + arena_bytes; }
};

struct AdmissionRoom {
  uint64_t store_capacity_bytes = 0;
  uint64_t store_used_bytes = 0;  // Sealed and reserved.
  uint64_t available_bytes = 0;   // Of the machine or the cgroup, what is less.
  // What goes before the load begins: of the store, and so of the machine too.
  uint64_t freed_bytes = 0;

  uint64_t store_left() const;
  uint64_t machine_left() const { return available_bytes + freed_bytes; }
};

// The tighter of the two limits, in its own terms: parameters against the store,
// or the peak against the machine.
struct AdmissionMargin {
  uint64_t needed_bytes = 0;
  uint64_t left_bytes = 0;

  bool fits() const { return needed_bytes <= left_bytes; }
};
AdmissionMargin TighterLimit(const AdmissionNeed& need, const AdmissionRoom& room);

// ResourceExhausted, saying what is needed and what there is.
absl::Status Admit(std::string_view label, const AdmissionNeed& need, const AdmissionRoom& room);

}  // namespace paramd

#endif  // PARAMD_RUNTIME_LOADING_ADMISSION_H_
