// FirstNaN: a parameter that training set is a number. One that is not makes
// every answer it touches nonsense, so a file that has one is refused by name.
// Infinities are let through: masks are made of them.
//
// Thread-safety: a pure function.
#ifndef PARAMD_RUNTIME_LOADING_FINITE_CHECK_H_
#define PARAMD_RUNTIME_LOADING_FINITE_CHECK_H_

#include <cstdint>
#include <optional>

#include "runtime/tensor/tensor_view.h"

namespace paramd {

// The place of the first NaN among the elements; nothing if there is none, or
// if the type has none.
std::optional<int64_t> FirstNaN(const TensorView& tensor);

}  // namespace paramd

#endif  // PARAMD_RUNTIME_LOADING_FINITE_CHECK_H_
