// Convolution: each panel of output pixels is gathered from the input
// ([C/groups * kernel][pixels], zeros in the padding) and multiplied with the weights.
#include "runtime/backends/reference/dtype_dispatch.h"
#include "runtime/backends/reference/gemm.h"
#include "runtime/backends/reference/kernels.h"
#include "runtime/backends/reference/window.h"
#include "runtime/backends/spec_validation.h"

namespace paramd::reference {
namespace {

struct ConvPlan {
  Window window;
  int64_t batch = 0, groups = 1;
  int64_t channels = 0, filters = 0;  // In one group.
  bool pointwise = false;             // 1x1, stride 1, no padding: a panel is a copy.
  bool has_bias = false;

  int64_t depth() const { return channels * window.taps(); }
};

// Column `column` of the panel: the input under the window of one output pixel.
template <typename T>
void GatherPixel(const ConvPlan& plan, const T* x, int64_t pixel, T* column) {
  const Window& window = plan.window;
  const int64_t plane = window.out[1] * window.out[2];
  const TapRange d = Taps(window, 0, pixel / plane);
  const TapRange h = Taps(window, 1, pixel % plane / window.out[2]);
  const TapRange w = Taps(window, 2, pixel % window.out[2]);
  const int64_t in_elements = window.in_elements();
  const int64_t taps = window.taps();
  for (int64_t c = 0; c < plan.channels; ++c) {
    const T* image = x + c * in_elements;
    T* out = column + c * taps * kPanelColumns<T>;
    for (int64_t kd = d.first; kd < d.last; ++kd) {
      const int64_t id = d.start + kd * window.dilation[0];
      for (int64_t kh = h.first; kh < h.last; ++kh) {
        const int64_t ih = h.start + kh * window.dilation[1];
        const T* row = image + (id * window.in[1] + ih) * window.in[2] + w.start;
        T* to = out + (kd * window.kernel[1] + kh) * window.kernel[2] * kPanelColumns<T>;
        for (int64_t kw = w.first; kw < w.last; ++kw) {
          to[kw * kPanelColumns<T>] = row[kw * window.dilation[2]];
        }
      }
    }
  }
}

template <typename T>
void PackPanel(const ConvPlan& plan, const T* x, int64_t first, int64_t columns, T* panel) {
  if (!plan.pointwise || columns < kPanelColumns<T>) {
    std::fill_n(panel, plan.depth() * kPanelColumns<T>, T{0});
  }
  if (plan.pointwise) {
    const int64_t in_elements = plan.window.in_elements();
    for (int64_t c = 0; c < plan.channels; ++c) {
      std::copy_n(x + c * in_elements + first, columns, panel + c * kPanelColumns<T>);
    }
    return;
  }
  for (int64_t i = 0; i < columns; ++i) GatherPixel(plan, x, first + i, panel + i);
}

template <typename T>
void Convolve(const ConvPlan& plan, const KernelArgs& args) {
  const T* x = args.in<T>(0);
  const T* w = args.in<T>(1);
  const T* bias = plan.has_bias ? args.in<T>(2) : nullptr;
  T* y = args.out<T>(0);
  const int64_t x_group = plan.channels * plan.window.in_elements();
  const int64_t pixels = plan.window.out_elements();
  for (int64_t n = 0; n < plan.batch; ++n) {
    for (int64_t g = 0; g < plan.groups; ++g) {
      const int64_t filter = g * plan.filters;
      const T* x_at = x + (n * plan.groups + g) * x_group;
      T* y_at = y + (n * plan.groups * plan.filters + filter) * pixels;
      const GemmLeft<T> weights{w + filter * plan.depth(), plan.depth(), 1};
      Gemm(
          plan.filters, pixels, plan.depth(), weights, reinterpret_cast<T*>(args.scratch),
          [&](int64_t first, int64_t columns, T* panel) {
            PackPanel(plan, x_at, first, columns, panel);
          },
          [&](int64_t i, int64_t first, int64_t columns, const T* sums) {
            const T shift = bias == nullptr ? T{0} : bias[filter + i];
            T* to = y_at + i * pixels + first;
            for (int64_t c = 0; c < columns; ++c) to[c] = sums[c] + shift;
          });
    }
  }
}

}  // namespace

absl::StatusOr<KernelPlan> CompileKernel(const OpSpec& spec, const ConvParams& params) {
  const Shape& x = spec.inputs[0].shape;
  const Shape& w = spec.inputs[1].shape;
  const Shape& y = spec.outputs[0].shape;
  const DType dtype = spec.inputs[0].dtype;
  const Operand* bias = OwnInputs(spec) > 2 ? InputOrNull(spec, 2) : nullptr;
  const bool same = spec.inputs[1].dtype == dtype && spec.outputs[0].dtype == dtype &&
                    (bias == nullptr || bias->dtype == dtype);
  if (!same) return absl::UnimplementedError("conv of operands of different types");

  ConvPlan plan;
  plan.window = MakeWindow(params, x, y, {w.dims().begin() + 2, w.dims().end()});
  plan.batch = x.dim(0);
  plan.groups = params.groups;
  plan.channels = w.dim(1);
  plan.filters = w.dim(0) / params.groups;
  plan.has_bias = bias != nullptr;
  const Window& window = plan.window;
  plan.pointwise = window.taps() == 1 && window.in == window.out &&
                   window.stride == std::array<int64_t, kSpatial>{1, 1, 1} &&
                   window.pad_begin == std::array<int64_t, kSpatial>{0, 0, 0};
  const bool empty = y.elements() == 0;
  return VisitFloat(dtype, "conv", [&]<typename T>() -> absl::StatusOr<KernelPlan> {
    KernelPlan kernel;
    if (!empty) {
      // The weights have filters >= 1 rows of this depth, so it is in range.
      constexpr uint64_t kRowBytes = sizeof(T) * static_cast<uint64_t>(kPanelColumns<T>);
      if (static_cast<uint64_t>(plan.depth()) > (uint64_t{1} << 62) / kRowBytes) {
        return absl::InvalidArgumentError("conv: the kernel is too large");
      }
      kernel.scratch_bytes = static_cast<uint64_t>(plan.depth()) * kRowBytes;
    }
    kernel.run = [plan, empty](const KernelArgs& args) {
      if (!empty) Convolve<T>(plan, args);
      return absl::OkStatus();
    };
    return kernel;
  });
}

}  // namespace paramd::reference
