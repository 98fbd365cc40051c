#include "runtime/backends/onednn/dnnl_support.h"

#include "oneapi/dnnl/dnnl_debug.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"

namespace paramd::onednn {

using dnnl::memory;

const dnnl::engine& CpuEngine() {
  // Never destroyed: bound ops of detached threads may outlive main.
  static const auto* engine = new dnnl::engine(dnnl::engine::kind::cpu, 0);
  return *engine;
}

std::string_view EffectiveIsaName() {
  switch (dnnl::get_effective_cpu_isa()) {
    case dnnl::cpu_isa::sse41:
      return "sse41";
    case dnnl::cpu_isa::avx:
      return "avx";
    case dnnl::cpu_isa::avx2:
      return "avx2";
    case dnnl::cpu_isa::avx2_vnni:
      return "avx2_vnni";
    case dnnl::cpu_isa::avx2_vnni_2:
      return "avx2_vnni_2";
    case dnnl::cpu_isa::avx512_core:
      return "avx512_core";
    case dnnl::cpu_isa::avx512_core_vnni:
      return "avx512_core_vnni";
    case dnnl::cpu_isa::avx512_core_bf16:
      return "avx512_core_bf16";
    case dnnl::cpu_isa::avx512_core_fp16:
      return "avx512_core_fp16";
    case dnnl::cpu_isa::avx512_core_amx:
      return "avx512_core_amx";
    case dnnl::cpu_isa::avx512_core_amx_fp16:
      return "avx512_core_amx_fp16";
    default:
      return "isa_default";
  }
}

namespace {

// The values of cpu_isa are sets of bits: what contains another's has it.
bool IsaContains(dnnl::cpu_isa wanted) {
  const auto isa = static_cast<unsigned>(dnnl::get_effective_cpu_isa());
  const auto bits = static_cast<unsigned>(wanted);
  return (isa & bits) == bits;
}

}  // namespace

bool CpuHasBf16() { return IsaContains(dnnl::cpu_isa::avx512_core_bf16); }

bool CpuHasInt8Dot() {
  return IsaContains(dnnl::cpu_isa::avx512_core_vnni) || IsaContains(dnnl::cpu_isa::avx2_vnni);
}

absl::Status StatusOfDnnlError(const dnnl::error& error) {
  const std::string message =
      StrCat("oneDNN: ", error.what(), " (", dnnl_status2str(error.status), ")");
  switch (error.status) {
    case dnnl_unimplemented:
    // Every spec has passed ValidateSpec: what oneDNN calls invalid is a
    // combination that it does not have (round in bf16).
    case dnnl_invalid_arguments:
      return absl::UnimplementedError(message);
    case dnnl_out_of_memory:
      return absl::ResourceExhaustedError(message);
    default:
      return absl::InternalError(message);
  }
}

absl::StatusOr<memory::data_type> FloatType(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return memory::data_type::f32;
    case DType::kBF16:
      if (!CpuHasBf16()) return absl::UnimplementedError("this CPU has no bf16 instructions");
      return memory::data_type::bf16;
    default:
      return absl::UnimplementedError(StrCat("no kernels for ", DTypeName(dtype)));
  }
}

absl::StatusOr<memory::data_type> CopyType(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return memory::data_type::f32;
    case DType::kBF16:
      return memory::data_type::bf16;
    case DType::kI32:
      return memory::data_type::s32;
    case DType::kI8:
      return memory::data_type::s8;
    case DType::kU8:
    case DType::kBool:
      return memory::data_type::u8;
    default:
      return absl::UnimplementedError(StrCat("no kernels for ", DTypeName(dtype)));
  }
}

Dims DimsOf(const Shape& shape) { return Dims(shape.dims().begin(), shape.dims().end()); }

Dims DenseStrides(const Dims& dims, Layout layout) {
  Dims strides(dims.size());
  int64_t stride = 1;
  const bool channels_last = layout == Layout::kChannelsLast && dims.size() >= 3;
  if (channels_last) {
    strides[1] = 1;
    stride = dims[1];
  }
  for (size_t i = dims.size(); i-- > 0;) {
    if (channels_last && i == 1) continue;
    strides[i] = stride;
    stride *= dims[i];
  }
  return strides;
}

memory::desc DenseDesc(const Dims& dims, memory::data_type type, Layout layout) {
  if (dims.empty()) return memory::desc({1}, type, Dims{1});
  return memory::desc(dims, type, DenseStrides(dims, layout));
}

Dims InMemoryOrder(const Dims& dims, Layout layout) {
  Dims ordered = dims;
  if (layout == Layout::kChannelsLast && dims.size() >= 3) {
    ordered.erase(ordered.begin() + 1);
    ordered.push_back(dims[1]);
  }
  return ordered;
}

int AxisInMemoryOrder(int axis, int rank, Layout layout) {
  if (layout == Layout::kPlain || rank < 3 || axis == 0) return axis;
  return axis == 1 ? rank - 1 : axis - 1;
}

Layout LayoutOf(const Operand& operand) {
  return operand.kind == OperandKind::kActivation ? operand.layout : Layout::kPlain;
}

Layout OtherLayout(Layout layout) {
  return layout == Layout::kPlain ? Layout::kChannelsLast : Layout::kPlain;
}

int64_t Product(absl::Span<const int64_t> dims) {
  int64_t product = 1;
  for (int64_t dim : dims) product *= dim;
  return product;
}

bool LayoutIsMoot(const Shape& shape) {
  if (shape.rank() < 3 || shape.dim(1) == 1) return true;
  return Product(shape.dims().subspan(2)) == 1;
}

absl::Status CheckImplementation(std::string_view implementation) {
  if (implementation.starts_with("ref")) {
    return absl::UnimplementedError(
        StrCat("oneDNN has only its reference implementation (", implementation, ")"));
  }
  return absl::OkStatus();
}

}  // namespace paramd::onednn
