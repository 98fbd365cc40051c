// Derivations: how the loader computes a constant from others when it packs
// them (batch-norm folded into a convolution, a transposed weight, a fill).
// A row's name ends in its version, and is part of the key of what is packed:
// a row whose results change gets a new version, never a new meaning.
//
//   transform       parents                                     args
//   fill/1          -                                           value
//   copy/1          x (another shape, as many elements)         -
//   transpose/1     x                                           perm...
//   cast/1          x (float, i8 or u8, to float)               -
//   dequantize/1    x (8 bits or i32), scale [n or 1], zero?    axis
//   scale-axis/1    x, scale [n]                                axis
//   add-vector/1    a [n or 1], b [n or 1]                      factor of a, factor of b
//   bn-weight/1     w, scale [n], variance [n]                  epsilon, axis
//   bn-bias/1       scale, shift, mean, variance [n], bias?     epsilon, factor of bias
//
// Thread-safety: pure functions.
#ifndef PARAMD_RUNTIME_GRAPH_DERIVATIONS_H_
#define PARAMD_RUNTIME_GRAPH_DERIVATIONS_H_

#include <string_view>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "runtime/tensor/tensor_view.h"

namespace paramd {

// Writes the derived tensor into `result`, whose type and shape the constant
// gives. InvalidArgument if parents and result do not fit together;
// Unimplemented for a transform or a type that there is not.
absl::Status Derive(std::string_view transform, absl::Span<const TensorView> parents,
                    absl::Span<const double> args, const MutableTensorView& result);

}  // namespace paramd

#endif  // PARAMD_RUNTIME_GRAPH_DERIVATIONS_H_
