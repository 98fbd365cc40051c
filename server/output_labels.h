// OutputLabels: the texts that the indices of an output stand for, in the file
// that config.pbtxt names (output.label_filename), in the model's folder: a line
// for each index. The classification extension answers with them.
//
// The file may be hostile: it is limited in bytes and lines, and a name that
// leads out of the folder was refused with the configuration.
//
// Thread-safety: pure functions.
#ifndef PARAMD_SERVER_OUTPUT_LABELS_H_
#define PARAMD_SERVER_OUTPUT_LABELS_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/base/directory.h"
#include "server/config/model_config.h"

namespace paramd {

// Of all label files of a model together.
inline constexpr uint64_t kLabelBytesMax = uint64_t{4} << 20;
inline constexpr size_t kLabelsMax = size_t{1} << 18;

// Lines, without what ends them. InvalidArgument for more than `count_max`.
absl::StatusOr<std::vector<std::string>> ParseLabels(std::string_view text,
                                                     size_t count_max = kLabelsMax);

// Fills in `labels` of the outputs whose configuration names a file; `folder` is
// the model's, beneath the repository. The error names the file.
absl::Status ReadLabels(const Directory& repository, std::string_view folder, ModelConfig* config);

}  // namespace paramd

#endif  // PARAMD_SERVER_OUTPUT_LABELS_H_
