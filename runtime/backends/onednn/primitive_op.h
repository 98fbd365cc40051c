// PrimitivePlan: what an op family decides for a spec: one oneDNN primitive and
// where its arguments come from. PrimitiveOp: the CompiledOp made of it.
//
// A bound op holds its memory objects, its stream and its argument list from
// Bind on; Run only executes. oneDNN itself still makes a few small heap
// allocations a call (its argument map and context), which no interface of the
// library avoids.
//
// Thread-safety: a plan is a value; PrimitiveOp is thread-safe.
#ifndef PARAMD_RUNTIME_BACKENDS_ONEDNN_PRIMITIVE_OP_H_
#define PARAMD_RUNTIME_BACKENDS_ONEDNN_PRIMITIVE_OP_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "oneapi/dnnl/dnnl.hpp"
#include "runtime/backends/backend.h"
#include "runtime/backends/onednn/gemv.h"
#include "runtime/backends/onednn/packed_parameter.h"

namespace paramd::onednn {

// One argument of a primitive: operand `index` of the spec, read through `desc`.
struct PrimitiveArg {
  enum class Source : uint8_t { kInput, kOutput };
  int dnnl_arg = 0;
  Source source = Source::kInput;
  int index = 0;
  dnnl::memory::desc desc;
};

struct PrimitivePlan {
  dnnl::primitive primitive;
  std::string implementation;
  std::vector<PrimitiveArg> args;
  dnnl::memory::desc scratchpad;
  std::vector<Layout> input_layouts;  // One per input of the spec.
  Layout output_layout = Layout::kPlain;
  std::vector<PackedParameter> packed;
  int in_place_input = -1;
  int threads = 1;  // The team it was created for.
  // Run this instead of the primitive, on the same packed weights.
  std::optional<GemvPlan> gemv;

  void AddInput(int dnnl_arg, int index, const dnnl::memory::desc& desc) {
    args.push_back({dnnl_arg, PrimitiveArg::Source::kInput, index, desc});
  }
  // Input `index` of the spec is packed as `desc` from plain bytes in `strides`.
  void PackInput(int index, const Shape& shape, const dnnl::memory::desc& desc,
                 dnnl::memory::dims strides) {
    packed.push_back({index, shape, desc, std::move(strides), EncodePackedLayout(desc)});
  }
  void AddOutput(const dnnl::memory::desc& desc) {
    args.push_back({DNNL_ARG_DST, PrimitiveArg::Source::kOutput, 0, desc});
  }
};

// Fills primitive, implementation and scratchpad from a primitive descriptor
// created with Attributes(). Unimplemented for reference implementations.
template <typename Primitive>
absl::Status SetPrimitive(const typename Primitive::primitive_desc& desc, PrimitivePlan* plan);

// Attributes every primitive here has: scratch comes from the caller's arena.
dnnl::primitive_attr Attributes(const dnnl::post_ops& post_ops);

// `plan_in(layout)` for the layout in which x comes, or if that is refused and
// x can be re-laid, for the other.
absl::StatusOr<PrimitivePlan> InEitherLayout(
    const Operand& x, const std::function<absl::StatusOr<PrimitivePlan>(Layout)>& plan_in);

std::unique_ptr<const CompiledOp> MakePrimitiveOp(PrimitivePlan plan);

// An op whose output has no elements: nothing to run, any layout will do.
std::unique_ptr<const CompiledOp> MakeEmptyOp(const OpSpec& spec);

// ---- implementation

absl::Status CheckImplementation(std::string_view implementation);

template <typename Primitive>
absl::Status SetPrimitive(const typename Primitive::primitive_desc& desc, PrimitivePlan* plan) {
  plan->implementation = desc.impl_info_str();
  if (absl::Status status = CheckImplementation(plan->implementation); !status.ok()) return status;
  plan->scratchpad = desc.scratchpad_desc();
  plan->primitive = Primitive(desc);
  return absl::OkStatus();
}

}  // namespace paramd::onednn

#endif  // PARAMD_RUNTIME_BACKENDS_ONEDNN_PRIMITIVE_OP_H_
