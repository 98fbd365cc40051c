// The gate: what a version that was loaded must pass before it serves. Golden
// requests are replayed on it; a version that answers NaN or an infinity where
// none is expected, another number, or much slower than the one that serves is
// refused with the numbers, and the old one goes on.
//
// How far an answer may be: |got - expected| <= tolerance * the largest finite
// |expected| of that output. What is no float must be equal.
//
// Without golden requests there is nothing to hold the model to; one row of
// seeded inputs is run, and what is not finite in its outputs is a warning: some
// models answer so to inputs that mean nothing.
//
// Thread-safety: a function of its arguments; the arena is the caller's alone.
#ifndef PARAMD_SERVER_GATE_GATE_H_
#define PARAMD_SERVER_GATE_GATE_H_

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "runtime/base/clock.h"
#include "runtime/graph/arena.h"
#include "runtime/model.h"
#include "server/gate/golden_case.h"

namespace paramd {

// For cases that name none: rounding in other kernels, not other weights.
inline constexpr double kGateToleranceF32 = 1e-3;
inline constexpr double kGateToleranceBF16 = 3e-2;

struct GateOptions {
  // Of cases without a tolerance of their own; nothing: by the model's precision.
  std::optional<double> tolerance;
  // A new version may take at most so many times as long as the one that serves;
  // 0: any time. Generous: the two are timed in turn while others compute.
  double latency_factor = 10;
  int latency_runs = 5;  // Of each of the two; the fastest counts.
  // A difference below this is noise, whatever the factor.
  absl::Duration latency_difference_min = absl::Milliseconds(1);
};

struct GateReport {
  size_t cases = 0;
  double worst_error = 0;      // In units of what `tolerance` bounds...
  std::string worst_at;        // ...and where: "golden/cat.json, output 'y'".
  absl::Duration took;         // Of the first case, on the new version...
  absl::Duration took_before;  // ...and on the one that serves; zero: not compared.
  std::vector<std::string> warnings;
};

// `serving` may be null: then times are not compared. FailedPrecondition: the
// version is refused, and why. InvalidArgument: a case does not fit the model.
absl::StatusOr<GateReport> PassGate(const Model& model, const Model* serving,
                                    absl::Span<const GoldenCase> cases, Arena* arena,
                                    const Clock& clock, const GateOptions& options);

}  // namespace paramd

#endif  // PARAMD_SERVER_GATE_GATE_H_
