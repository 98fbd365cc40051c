// ReadFile: all of a file at once, for kinds of files that are small.
//
// Thread-safety: a pure function of the file.
#ifndef PARAMD_RUNTIME_BASE_READ_FILE_H_
#define PARAMD_RUNTIME_BASE_READ_FILE_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/base/file_source.h"

namespace paramd {

// InvalidArgument beyond `bytes_max`; an error too when the file changes meanwhile.
absl::StatusOr<std::vector<std::byte>> ReadFile(const FileSource& file, uint64_t bytes_max);

}  // namespace paramd

#endif  // PARAMD_RUNTIME_BASE_READ_FILE_H_
