#include "runtime/backends/kernels/kernels_backend.h"

#include "runtime/backends/kernels/attention_op.h"
#include "runtime/backends/spec_validation.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"

namespace paramd {
namespace {

class Kernels final : public Backend {
 public:
  std::string_view name() const override { return "kernels"; }
  // Nothing is packed, so no layout depends on the instruction set.
  std::string_view fingerprint() const override { return "kernels 1"; }

  absl::StatusOr<std::unique_ptr<const CompiledOp>> Compile(const OpSpec& spec) const override {
    const auto* attention = std::get_if<AttentionParams>(&spec.params);
    if (attention == nullptr) return absl::UnimplementedError(StrCat("no ", OpName(spec.params)));
    PARAMD_RETURN_IF_ERROR(ValidateSpec(spec));
    return kernels::CompileAttention(spec, *attention);
  }
};

}  // namespace

const Backend& KernelsBackend() {
  static const Kernels backend;
  return backend;
}

}  // namespace paramd
