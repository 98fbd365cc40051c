// How far two tensors are apart, and how far they may be.
//
// Thread-safety: pure functions.
#ifndef PARAMD_TESTS_CONFORMANCE_COMPARISON_H_
#define PARAMD_TESTS_CONFORMANCE_COMPARISON_H_

#include <algorithm>
#include <cmath>
#include <limits>

#include "runtime/tensor/dtype.h"
#include "tests/conformance/oracle.h"

namespace paramd::conformance {

struct Distance {
  double relative = 0;  // max|a - b| / max|b|
  double cosine = 1;
};

// Equal NaNs and infinities count as equal; unequal ones are infinitely far.
inline Distance DistanceOf(const Numbers& a, const Numbers& b) {
  double difference = 0, largest = 0, ab = 0, aa = 0, bb = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    if ((std::isnan(a[i]) && std::isnan(b[i])) || a[i] == b[i]) {
      if (!std::isfinite(a[i])) continue;
    } else if (!std::isfinite(a[i]) || !std::isfinite(b[i])) {
      return {std::numeric_limits<double>::infinity(), -1};
    }
    difference = std::max(difference, std::fabs(a[i] - b[i]));
    largest = std::max(largest, std::fabs(b[i]));
    ab += a[i] * b[i];
    aa += a[i] * a[i];
    bb += b[i] * b[i];
  }
  Distance distance;
  distance.relative = largest == 0 ? difference : difference / largest;
  if (aa > 0 && bb > 0) distance.cosine = ab / std::sqrt(aa * bb);
  if ((aa > 0) != (bb > 0)) distance.cosine = 0;
  return distance;
}

// What the reference may be off the oracle: it rounds each result once, from a
// sum in its own type.
inline double ReferenceBound(DType dtype) {
  switch (dtype) {
    case DType::kF64:
      return 1e-9;
    case DType::kF32:
      return 1e-5;
    case DType::kF16:
      return 1e-3;
    case DType::kBF16:
      return 1e-2;
    default:
      return 0;  // Integers, bools and what is only moved.
  }
}

// What any other backend may be off the reference (DESIGN section 8).
inline bool CloseEnough(DType dtype, const Distance& distance) {
  switch (dtype) {
    case DType::kF64:
      return distance.relative <= 1e-9;
    case DType::kF32:
      return distance.relative <= 1e-4;
    case DType::kF16:
    case DType::kBF16:
      return distance.cosine >= 0.999 && distance.relative <= 0.05;
    default:
      return distance.relative == 0;
  }
}

}  // namespace paramd::conformance

#endif  // PARAMD_TESTS_CONFORMANCE_COMPARISON_H_
