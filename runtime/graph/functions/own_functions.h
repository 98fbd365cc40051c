// Operators of other domains that this build defines by operators that it
// has. One row an operator and range of versions of its domain, in the file of
// its family.
//
// Only the importer's sources include this header: it brings ONNX's messages.
// Thread-safety: pure functions.
#ifndef PARAMD_RUNTIME_GRAPH_FUNCTIONS_OWN_FUNCTIONS_H_
#define PARAMD_RUNTIME_GRAPH_FUNCTIONS_OWN_FUNCTIONS_H_

#include <cstdint>
#include <limits>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "runtime/graph/functions/function_body.h"

namespace paramd {

inline constexpr std::string_view kMlDomain = "ai.onnx.ml";
inline constexpr std::string_view kMicrosoftDomain = "com.microsoft";
inline constexpr int64_t kAnyVersion = std::numeric_limits<int64_t>::max();

struct OwnFunction {
  std::string_view domain, op;
  int64_t since, until;
  int inputs_min;
  // InvalidArgument where attributes contradict each other; Unimplemented for
  // what is missing. The caller names the node.
  absl::Status (*define)(FunctionBody& body);
};

// Null if there is none for this version of the domain.
const OwnFunction* FindOwnFunction(std::string_view domain, std::string_view op, int64_t version);
std::vector<const OwnFunction*> AllOwnFunctions();

// The families, one file each.
absl::Span<const OwnFunction> MlLinearFunctions();
absl::Span<const OwnFunction> MlLabelFunctions();
absl::Span<const OwnFunction> MlTreeFunctions();
absl::Span<const OwnFunction> MlSupportVectorFunctions();
absl::Span<const OwnFunction> MicrosoftFunctions();
absl::Span<const OwnFunction> MicrosoftAttentionFunctions();

// What the families of ai.onnx.ml share.
// Columns of scores as the attribute post_transform wants them.
absl::StatusOr<std::string> PostTransformed(FunctionBody& body, std::string scores);
// The class labels of attribute `strings` or, without it, `ints`, as a vector.
struct ClassLabels {
  std::string value;  // In the body.
  int64_t count = 0;
};
absl::StatusOr<ClassLabels> LabelsOf(FunctionBody& body, std::string_view strings,
                                     std::string_view ints);
// Input i in f32, with rows as its first of two dimensions.
std::string FloatRows(FunctionBody& body, int input);

}  // namespace paramd

#endif  // PARAMD_RUNTIME_GRAPH_FUNCTIONS_OWN_FUNCTIONS_H_
