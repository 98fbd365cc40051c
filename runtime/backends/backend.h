// Backend: where the arithmetic happens. A backend knows tensors and ops; it
// knows nothing of models, requests, versions or adapters.
//
//   Compile(OpSpec) -> CompiledOp, or Unimplemented with a reason   (once a shape)
//   CompiledOp.Pack: parameters into the layout it asked for        (once, at load)
//   CompiledOp.Bind(addresses) -> BoundOp                           (once a stream)
//   BoundOp.Run                                                     (every request)
//
// A new op changes op_specs.h and the backends that have it, never this header.
// A new backend implements this header in runtime/backends/<name>/, adds one
// line to backend_list.cc, and must pass tests/conformance.
//
// Thread-safety: Backend and CompiledOp are thread-safe. A BoundOp belongs to
// the thread that runs its stream.
#ifndef PARAMD_RUNTIME_BACKENDS_BACKEND_H_
#define PARAMD_RUNTIME_BACKENDS_BACKEND_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "runtime/backends/op_specs.h"
#include "runtime/tensor/tensor_view.h"

namespace paramd {

// One op at fixed addresses, ready to run again and again.
class BoundOp {
 public:
  virtual ~BoundOp() = default;

  // Reads the inputs and writes the outputs that Bind was given; allocates
  // nothing. InvalidArgument where the data itself is wrong (an index out of
  // range); Internal for a fault of the backend.
  virtual absl::Status Run() = 0;
};

// Addresses for Bind, in the order of the spec's operands; null for absent ones.
struct BindArgs {
  absl::Span<const void* const> inputs;
  absl::Span<void* const> outputs;
  void* scratch = nullptr;  // CompiledOp::scratch_bytes() bytes, 64-byte aligned.
};

// One op, chosen and configured once for its shapes.
class CompiledOp {
 public:
  virtual ~CompiledOp() = default;

  // What runs: "brgconv:avx512_core_bf16", "plain loops". For plans and logs.
  virtual std::string implementation() const = 0;

  // The layout in which activation input i must arrive. The program reorders
  // where it differs from what the producer left.
  virtual Layout input_layout(int i) const = 0;
  // The layout in which output i is left.
  virtual Layout output_layout(int i) const = 0;

  // The layout in which parameter input i must arrive; plain for activations.
  virtual PackedLayout parameter_layout(int i) const {
    (void)i;
    return {};
  }

  // Writes parameter i, given plain (`source`, in the spec's type or f32 where
  // the spec says bf16), into `packed` of parameter_layout(i).bytes.
  virtual absl::Status Pack(int i, const TensorView& source, absl::Span<std::byte> packed) const {
    (void)i, (void)source, (void)packed;
    return absl::InternalError("this op packs nothing");
  }

  // Output 0 may be written over input i (same address). -1: none. Not where
  // that address is bound to another operand as well: only the caller sees it.
  virtual int in_place_input() const { return -1; }

  // Bytes of scratch that a BoundOp needs while it runs. Fixed at Compile.
  virtual uint64_t scratch_bytes() const { return 0; }

  virtual absl::StatusOr<std::unique_ptr<BoundOp>> Bind(const BindArgs& args) const = 0;
};

class Backend {
 public:
  virtual ~Backend() = default;

  // "reference", "onednn", "cuda". Part of the configuration, of metric labels
  // and of packed-parameter keys, so it never changes.
  virtual std::string_view name() const = 0;

  // Part of the keys of packed parameters: the library's version and the
  // instruction set, e.g. "onednn 3.7.2 avx512_core_bf16".
  virtual std::string_view fingerprint() const = 0;

  // Unimplemented, with a one-line reason, if this backend does not do this op
  // for these shapes, types, layouts or this machine: the planner notes the
  // reason and asks the next backend. The reference accepts every op in plain
  // layout that an importer makes.
  virtual absl::StatusOr<std::unique_ptr<const CompiledOp>> Compile(const OpSpec& spec) const = 0;
};

}  // namespace paramd

#endif  // PARAMD_RUNTIME_BACKENDS_BACKEND_H_
