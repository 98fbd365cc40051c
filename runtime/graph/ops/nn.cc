#include "runtime/graph/ops/op_support.h"
namespace paramd::ops {
absl::Span<const OpRow> NnOps() { return {}; }
}  // namespace paramd::ops
