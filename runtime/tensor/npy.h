// NumPy's .npy files, versions 1 to 3: one dense tensor a file.
// https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
//
// Little-endian, C order; float and integer types and bool. What NumPy has no
// type for (bf16, 4-bit) is refused. Sizes in a header are checked against the
// bytes that are there before anything is allocated.
//
// Thread-safety: pure functions.
#ifndef PARAMD_RUNTIME_TENSOR_NPY_H_
#define PARAMD_RUNTIME_TENSOR_NPY_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "runtime/tensor/tensor_view.h"

namespace paramd {

// InvalidArgument says what is wrong with the bytes.
absl::StatusOr<Tensor> ParseNpy(absl::Span<const std::byte> file);

// NotFound when there is no such file; InvalidArgument above `bytes_max`.
absl::StatusOr<Tensor> ReadNpyFile(const std::string& path, uint64_t bytes_max = uint64_t{1} << 32);

// A version 1 file. InvalidArgument for a type that NumPy has not.
absl::StatusOr<std::string> ToNpy(const TensorView& tensor);

}  // namespace paramd

#endif  // PARAMD_RUNTIME_TENSOR_NPY_H_
