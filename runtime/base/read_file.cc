#include "runtime/base/read_file.h"

#include "absl/types/span.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"

namespace paramd {

absl::StatusOr<std::vector<std::byte>> ReadFile(const FileSource& file, uint64_t bytes_max) {
  if (file.size() > bytes_max) {
    return absl::InvalidArgumentError(
        StrCat("it has ", file.size(), " bytes, the limit is ", bytes_max));
  }
  std::vector<std::byte> bytes(file.size());
  PARAMD_RETURN_IF_ERROR(file.ReadAt(0, absl::MakeSpan(bytes)));
  PARAMD_RETURN_IF_ERROR(file.CheckUnchanged());
  return bytes;
}

}  // namespace paramd
