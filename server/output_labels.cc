#include "server/output_labels.h"

#include <memory>
#include <utility>

#include "runtime/base/read_file.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"

namespace paramd {

absl::StatusOr<std::vector<std::string>> ParseLabels(std::string_view text, size_t count_max) {
  std::vector<std::string> labels;
  while (!text.empty()) {
    if (labels.size() == count_max) {
      return absl::InvalidArgumentError(StrCat("it has more than ", count_max, " labels"));
    }
    const size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    if (line.ends_with('\r')) line.remove_suffix(1);
    labels.emplace_back(line);
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
  }
  return labels;
}

absl::Status ReadLabels(const Directory& repository, std::string_view folder, ModelConfig* config) {
  uint64_t bytes_left = kLabelBytesMax;
  size_t labels_left = kLabelsMax;
  for (DeclaredTensor& output : config->outputs) {
    if (output.label_filename.empty()) continue;
    const std::string path = StrCat(folder, "/", output.label_filename);
    const auto read = [&]() -> absl::Status {
      PARAMD_ASSIGN_OR_RETURN(const std::unique_ptr<FileSource> file, repository.OpenFile(path));
      PARAMD_ASSIGN_OR_RETURN(const std::vector<std::byte> bytes, ReadFile(*file, bytes_left));
      const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
      PARAMD_ASSIGN_OR_RETURN(output.labels, ParseLabels(text, labels_left));
      bytes_left -= bytes.size();
      labels_left -= output.labels.size();
      return absl::OkStatus();
    };
    if (const absl::Status status = read(); !status.ok()) {
      return absl::Status(status.code(), StrCat("labels of output '", output.name, "' in ", path,
                                                ": ", FromAbsl(status.message())));
    }
  }
  return absl::OkStatus();
}

}  // namespace paramd
