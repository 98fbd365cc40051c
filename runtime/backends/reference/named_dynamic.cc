#include "runtime/backends/reference/named_ops.h"

namespace paramd::reference {

absl::Span<const NamedOp> NamedDynamic() { return {}; }

}  // namespace paramd::reference
