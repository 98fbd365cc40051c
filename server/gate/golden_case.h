// GoldenCase: a request beside a version, and what the model must answer.
//
//   <version>/golden/<name>.json
//     {"inputs":  {"x": {"dtype": "f32", "shape": [1, 2], "data": [0.5, 1]}},
//      "outputs": {"y": {"dtype": "f32", "shape": [1, 1], "data": [0.75]}},
//      "tolerance": 0.001}
//   <version>/golden/<name>.npz
//     numpy.savez(file, **{"input.x": ..., "output.y": ..., "tolerance": 0.001})
//
// "data" is the elements in order, in lists of any nesting. Outputs that are not
// named are only looked at for NaN and infinities; "tolerance" may be left out.
//
// Files are limited in number and size and may be hostile: every reader has a
// table of damaged ones.
//
// Life: values. Thread-safety: pure functions.
#ifndef PARAMD_SERVER_GATE_GOLDEN_CASE_H_
#define PARAMD_SERVER_GATE_GOLDEN_CASE_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "runtime/base/directory.h"
#include "runtime/tensor/tensor_view.h"

namespace paramd {

struct GoldenCase {
  std::string file;  // "golden/cat.json".
  std::map<std::string, Tensor> inputs;
  std::map<std::string, Tensor> outputs;
  std::optional<double> tolerance;  // See gate.h.
};

inline constexpr size_t kGoldenCasesMax = 64;
inline constexpr uint64_t kGoldenJsonBytesMax = uint64_t{16} << 20;
inline constexpr uint64_t kGoldenNpzBytesMax = uint64_t{256} << 20;
inline constexpr uint64_t kGoldenBytesMax = uint64_t{512} << 20;  // Of a version's tensors.

// InvalidArgument, naming the file and what is wrong with it.
absl::StatusOr<GoldenCase> ParseGoldenJson(std::string_view file, std::string_view text);
absl::StatusOr<GoldenCase> ParseGoldenNpz(std::string_view file, absl::Span<const std::byte> bytes);

// All of a version's folder, by name; none if it has no folder "golden". Files
// of other names are left alone. InvalidArgument above a limit.
absl::StatusOr<std::vector<GoldenCase>> ReadGoldenCases(const Directory& version);

}  // namespace paramd

#endif  // PARAMD_SERVER_GATE_GOLDEN_CASE_H_
