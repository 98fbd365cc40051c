// Between paramd's words and oneDNN's: types, shapes and layouts to memory
// descriptors, exceptions to Status, and which implementations we take.
//
// Only files of this room include it.
//
// Thread-safety: pure functions; the engine is shared by all threads.
#ifndef PARAMD_RUNTIME_BACKENDS_ONEDNN_DNNL_SUPPORT_H_
#define PARAMD_RUNTIME_BACKENDS_ONEDNN_DNNL_SUPPORT_H_

#include <cstdint>
#include <exception>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "oneapi/dnnl/dnnl.hpp"
#include "runtime/backends/op_specs.h"

namespace paramd::onednn {

using Dims = dnnl::memory::dims;

// The one CPU engine. Throws dnnl::error where the library cannot start.
const dnnl::engine& CpuEngine();

// "avx512_core_bf16": what oneDNN will use here, after DNNL_MAX_CPU_ISA.
std::string_view EffectiveIsaName();
// Whether bf16 dot products are instructions here, not emulation.
bool CpuHasBf16();
// Whether products of unsigned by signed bytes are summed in 32 bits. Before VNNI
// they went through 16 bits, which saturate.
bool CpuHasInt8Dot();

// Runs `body` (returning a Status or StatusOr) and turns what it throws into a Status.
absl::Status StatusOfDnnlError(const dnnl::error& error);
template <typename Body>
auto WithoutThrowing(Body&& body) -> decltype(body()) {
  try {
    return body();
  } catch (const dnnl::error& error) {
    return StatusOfDnnlError(error);
  } catch (const std::exception& error) {
    // bad_alloc, length_error: the standard library under oneDNN's wrapper.
    return absl::ResourceExhaustedError(error.what());
  }
}

// What lies side by side in scratch and in packed parameters begins on a cache line.
inline uint64_t AlignedBytes(uint64_t bytes) {
  constexpr uint64_t kLine = 64;
  return (bytes + kLine - 1) / kLine * kLine;
}

// f32 and bf16, or Unimplemented.
absl::StatusOr<dnnl::memory::data_type> FloatType(DType dtype);
// Every type whose bytes oneDNN can copy: the floats, i32, i8, u8, bool.
absl::StatusOr<dnnl::memory::data_type> CopyType(DType dtype);

Dims DimsOf(const Shape& shape);
// A dense descriptor of `dims` in a layout. Channels-last moves dimension 1
// behind the others; below three dimensions it is the plain one.
dnnl::memory::desc DenseDesc(const Dims& dims, dnnl::memory::data_type type,
                             Layout layout = Layout::kPlain);
// The strides of the same.
Dims DenseStrides(const Dims& dims, Layout layout = Layout::kPlain);

// The dimensions in the order in which they lie in memory, and where `axis`
// goes: what does not care for names is planned on these as if it were plain.
Dims InMemoryOrder(const Dims& dims, Layout layout);
int AxisInMemoryOrder(int axis, int rank, Layout layout);

// How the operand comes: parameters are plain.
Layout LayoutOf(const Operand& operand);
Layout OtherLayout(Layout layout);

int64_t Product(absl::Span<const int64_t> dims);

// Whether both layouts of this shape are the same bytes.
bool LayoutIsMoot(const Shape& shape);

// Unimplemented for reference implementations: they are hundreds of times
// slower than the kernel that another layout, or our own reference, would get.
absl::Status CheckImplementation(std::string_view implementation);

}  // namespace paramd::onednn

#endif  // PARAMD_RUNTIME_BACKENDS_ONEDNN_DNNL_SUPPORT_H_
