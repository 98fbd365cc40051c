// The oracle: every op again, in double, element by element from its definition
// and without any of the reference's machinery: each output element's index is
// taken apart, and the inputs that it depends on are looked up. Slow, and easy
// to compare with ONNX's text.
//
// Life: nothing is kept. Thread-safety: pure functions.
#ifndef PARAMD_TESTS_CONFORMANCE_ORACLE_H_
#define PARAMD_TESTS_CONFORMANCE_ORACLE_H_

#include <vector>

#include "absl/types/span.h"
#include "runtime/backends/op_specs.h"
#include "runtime/tensor/tensor_view.h"

namespace paramd::conformance {

using Numbers = std::vector<double>;

// The elements as doubles: floats of every size, integers, bools (0 or 1).
// REQUIRES: not strings.
Numbers ToNumbers(const TensorView& tensor);
// The reverse; the numbers are rounded to the nearest of the type.
Tensor FromNumbers(DType dtype, const Shape& shape, absl::Span<const double> numbers);

// Output 0 of the spec, post-ops included. REQUIRES: the spec is valid.
Numbers Oracle(const OpSpec& spec, absl::Span<const Numbers> inputs);

}  // namespace paramd::conformance

#endif  // PARAMD_TESTS_CONFORMANCE_ORACLE_H_
