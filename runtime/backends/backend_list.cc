#include "runtime/backends/backend_list.h"

#include <array>

#include "runtime/backends/kernels/kernels_backend.h"
#include "runtime/backends/onednn/onednn_backend.h"
#include "runtime/backends/reference/reference_backend.h"

namespace paramd {

absl::Span<const Backend* const> AllBackends() {
  static const std::array kBackends = {
      &OnednnBackend(),
      &KernelsBackend(),    // What oneDNN has no primitive for.
      &ReferenceBackend(),  // The last one accepts everything.
  };
  return kBackends;
}

const Backend* FindBackend(std::string_view name) {
  for (const Backend* backend : AllBackends()) {
    if (backend->name() == name) return backend;
  }
  return nullptr;
}

}  // namespace paramd
