// Packed weights: oneDNN's memory descriptor as paramd's PackedLayout, and the
// reorder that fills it.
//
// A layout's descriptor is a tag, the backend's fingerprint, a checksum and
// the bytes of memory::desc::get_blob() (with the struct's padding zeroed),
// which rebuild an equal descriptor in another process of the same library and
// instruction set. They are the raw fields of oneDNN's struct: nothing is
// decoded whose fingerprint or checksum differs.
//
// Thread-safety: pure functions.
#ifndef PARAMD_RUNTIME_BACKENDS_ONEDNN_PACKED_PARAMETER_H_
#define PARAMD_RUNTIME_BACKENDS_ONEDNN_PACKED_PARAMETER_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "oneapi/dnnl/dnnl.hpp"
#include "runtime/backends/op_specs.h"
#include "runtime/tensor/tensor_view.h"

namespace paramd::onednn {

// "onednn 3.7.2 avx512_core_bf16".
std::string_view Fingerprint();

PackedLayout EncodePackedLayout(const dnnl::memory::desc& desc);

// DataLoss for damaged bytes, Unimplemented for those of another library
// version or instruction set, InvalidArgument if it describes other weights
// than `dims` of `type`.
absl::StatusOr<dnnl::memory::desc> DecodePackedLayout(const PackedLayout& layout,
                                                      const dnnl::memory::dims& dims,
                                                      dnnl::memory::data_type type);

// The same for a parameter that is more than the descriptor says (parts side by side,
// numbers behind): `tag` says what is packed, `bytes_of` a descriptor how much it is.
PackedLayout EncodeTaggedLayout(std::string_view tag, const dnnl::memory::desc& desc,
                                uint64_t bytes);
absl::StatusOr<dnnl::memory::desc> DecodeTaggedLayout(
    const PackedLayout& layout, std::string_view tag, const dnnl::memory::dims& dims,
    dnnl::memory::data_type type, absl::FunctionRef<uint64_t(const dnnl::memory::desc&)> bytes_of);

// How parameter `index` of a spec is packed. The plain bytes are dims in
// `source_strides` (so that transposed weights need no copy of their own).
struct PackedParameter {
  int index = -1;
  Shape shape;  // As the spec has it.
  dnnl::memory::desc desc;
  dnnl::memory::dims source_strides;
  PackedLayout layout;
};

// Writes `source` (f32 or bf16; i8 where the descriptor is of s8) into `packed`.
absl::Status PackParameter(const PackedParameter& parameter, const TensorView& source,
                           absl::Span<std::byte> packed);

}  // namespace paramd::onednn

#endif  // PARAMD_RUNTIME_BACKENDS_ONEDNN_PACKED_PARAMETER_H_
