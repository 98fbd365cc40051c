// Pad in its four modes; negative pads take away before anything is added.
#include <algorithm>
#include <string>

#include "absl/container/inlined_vector.h"
#include "runtime/backends/reference/arithmetic.h"
#include "runtime/backends/reference/dtype_dispatch.h"
#include "runtime/backends/reference/kernels.h"
#include "runtime/backends/reference/strided_loop.h"
#include "runtime/tensor/half.h"
#include "runtime/tensor/small_float.h"

namespace paramd::reference {
namespace {

struct PadDimension {
  int64_t out = 0;
  int64_t before = 0;  // Elements added in front.
  int64_t first = 0;   // Where what is left of the input begins,
  int64_t left = 0;    // and how many elements it has.
  int64_t x_stride = 1, y_stride = 1;

  // Which element of the input, or -1 for the constant.
  int64_t Source(PadParams::Mode mode, int64_t out_index) const {
    int64_t i = out_index - before;
    if (i >= 0 && i < left) return first + i;
    switch (mode) {
      case PadParams::Mode::kConstant:
        return -1;
      case PadParams::Mode::kEdge:
        return first + (i < 0 ? 0 : left - 1);
      case PadParams::Mode::kWrap:
        return first + Mod(i, left);
      case PadParams::Mode::kReflect:
        if (left == 1) return first;
        i = Mod(i, 2 * (left - 1));
        return first + (i < left ? i : 2 * (left - 1) - i);
    }
    return -1;
  }
};

struct PadPlan {
  PadParams::Mode mode = PadParams::Mode::kConstant;
  absl::InlinedVector<PadDimension, 6> dimensions;
};

template <typename T>
void PadFrom(const PadPlan& plan, size_t d, const T* x, T* y, const T& value) {
  if (d == plan.dimensions.size()) {  // A scalar.
    *y = *x;
    return;
  }
  const PadDimension& dim = plan.dimensions[d];
  if (d + 1 < plan.dimensions.size()) {
    for (int64_t o = 0; o < dim.out; ++o) {
      const int64_t i = dim.Source(plan.mode, o);
      if (i < 0) {
        std::fill_n(y + o * dim.y_stride, dim.y_stride, value);
      } else {
        PadFrom(plan, d + 1, x + i * dim.x_stride, y + o * dim.y_stride, value);
      }
    }
    return;
  }
  // The innermost row: a run of the input between two borders.
  const auto border = [&](int64_t begin, int64_t end) {
    for (int64_t o = begin; o < end; ++o) {
      const int64_t i = dim.Source(plan.mode, o);
      y[o] = i < 0 ? value : x[i];
    }
  };
  border(0, dim.before);
  std::copy_n(x + dim.first, dim.left, y + dim.before);
  border(dim.before + dim.left, dim.out);
}

// The constant's bits in a type that VisitMovable chose by its size.
template <typename T>
T ValueBits(DType dtype, double value) {
  if constexpr (std::is_same_v<T, std::string>) {
    return {};  // ONNX's default for strings.
  } else {
    T bits{};
    const auto put = [&bits](auto number) {
      static_assert(sizeof(number) <= sizeof(bits) || sizeof(bits) < 16);
      if (sizeof(number) <= sizeof(bits)) CopyBytes(&bits, &number, sizeof(number));
    };
    switch (dtype) {
      case DType::kF16:
        put(FloatToF16(Convert<float>(value)));
        break;
      case DType::kBF16:
        put(FloatToBF16(Convert<float>(value)));
        break;
      case DType::kBool:
        put(static_cast<uint8_t>(value != 0));
        break;
      case DType::kC64:  // The real part; the imaginary one is 0.
        put(Convert<float>(value));
        break;
      case DType::kC128:
        put(value);
        break;
      default:
        if (IsSmallFloat(dtype)) {
          put(FloatToSmallFloat(dtype, Convert<float>(value)));
          break;
        }
        (void)VisitNumber(dtype, "pad", [&]<typename N>() -> absl::Status {
          put(Convert<N>(value));
          return absl::OkStatus();
        });
    }
    return bits;
  }
}

}  // namespace

absl::StatusOr<KernelPlan> CompileKernel(const OpSpec& spec, const PadParams& params) {
  const Shape& x = spec.inputs[0].shape;
  const Shape& y = spec.outputs[0].shape;
  const Strides x_strides = DenseStrides(x), y_strides = DenseStrides(y);
  PadPlan plan;
  plan.mode = params.mode;
  for (int i = 0; i < x.rank(); ++i) {
    const auto d = static_cast<size_t>(i);
    const int64_t begin = params.pads_begin[d], end = params.pads_end[d];
    PadDimension dim;
    dim.out = y.dim(i);
    dim.before = std::max<int64_t>(begin, 0);
    dim.first = std::max<int64_t>(-begin, 0);
    dim.left = x.dim(i) - dim.first - std::max<int64_t>(-end, 0);
    dim.x_stride = x_strides[d];
    dim.y_stride = y_strides[d];
    plan.dimensions.push_back(dim);
  }
  const DType dtype = spec.inputs[0].dtype;
  const bool empty = y.elements() == 0;
  return VisitMovable(dtype, "pad", [&]<typename T>() -> absl::StatusOr<KernelPlan> {
    const T value = ValueBits<T>(dtype, params.value);
    return KernelPlan{[plan, value, empty](const KernelArgs& args) {
      if (!empty) PadFrom(plan, 0, args.in<T>(0), args.out<T>(0), value);
      return absl::OkStatus();
    }};
  });
}

}  // namespace paramd::reference
