// ParseNpz: NumPy's .npz archives: a zip file of .npy files, stored or deflated.
//
// Everything in the file is taken for hostile: the central directory alone says
// what there is, every offset and length is checked against the bytes, sizes
// are limited before anything is unpacked, and checksums must fit. Encrypted
// and split archives, and zip64 sizes in the central directory, are refused.
//
// Thread-safety: a pure function.
#ifndef PARAMD_SERVER_GATE_NPZ_READER_H_
#define PARAMD_SERVER_GATE_NPZ_READER_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "runtime/tensor/tensor_view.h"

namespace paramd {

struct NpzLimits {
  size_t entries_max = 256;
  uint64_t unpacked_bytes_max = uint64_t{256} << 20;  // Of all entries together.
};

// Tensors by name, without ".npy". InvalidArgument says what is wrong with the
// bytes; Unimplemented for what zip files may be and .npz files are not.
absl::StatusOr<std::map<std::string, Tensor>> ParseNpz(absl::Span<const std::byte> file,
                                                       const NpzLimits& limits = {});

}  // namespace paramd

#endif  // PARAMD_SERVER_GATE_NPZ_READER_H_
