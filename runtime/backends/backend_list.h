// The backends of this build, best first, the reference last.
//
// Thread-safety: pure after start.
#ifndef PARAMD_RUNTIME_BACKENDS_BACKEND_LIST_H_
#define PARAMD_RUNTIME_BACKENDS_BACKEND_LIST_H_

#include <string_view>

#include "absl/types/span.h"
#include "runtime/backends/backend.h"

namespace paramd {

// Live for the whole process. The last one accepts everything.
absl::Span<const Backend* const> AllBackends();

// Null if this build has no such backend.
const Backend* FindBackend(std::string_view name);

}  // namespace paramd

#endif  // PARAMD_RUNTIME_BACKENDS_BACKEND_LIST_H_
