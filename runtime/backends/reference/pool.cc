// Max and average pooling in one to three spatial dimensions.
#include <limits>

#include "runtime/backends/reference/dtype_dispatch.h"
#include "runtime/backends/reference/kernels.h"
#include "runtime/backends/reference/window.h"

namespace paramd::reference {
namespace {

struct PoolPlan {
  Window window;
  int64_t planes = 0;  // N * C.
  bool count_include_pad = false;
  bool column_major = false;
};

// Calls fn(plane, output index in the plane, taps of d, h and w).
template <typename Fn>
void ForEachWindow(const PoolPlan& plan, Fn&& fn) {
  const Window& window = plan.window;
  for (int64_t plane = 0; plane < plan.planes; ++plane) {
    int64_t at = 0;
    for (int64_t od = 0; od < window.out[0]; ++od) {
      const TapRange d = Taps(window, 0, od);
      for (int64_t oh = 0; oh < window.out[1]; ++oh) {
        const TapRange h = Taps(window, 1, oh);
        for (int64_t ow = 0; ow < window.out[2]; ++ow, ++at) {
          fn(plane, at, d, h, Taps(window, 2, ow));
        }
      }
    }
  }
}

// Calls fn(index in the plane) for every input element under the window.
template <typename Fn>
void ForEachTap(const Window& window, const TapRange& d, const TapRange& h, const TapRange& w,
                Fn&& fn) {
  for (int64_t kd = d.first; kd < d.last; ++kd) {
    const int64_t id = d.start + kd * window.dilation[0];
    for (int64_t kh = h.first; kh < h.last; ++kh) {
      const int64_t ih = h.start + kh * window.dilation[1];
      const int64_t row = (id * window.in[1] + ih) * window.in[2] + w.start;
      for (int64_t kw = w.first; kw < w.last; ++kw) fn(row + kw * window.dilation[2]);
    }
  }
}

// The index in a plane whose last dimension is the slowest.
int64_t ColumnMajor(const Window& window, int64_t at) {
  const int64_t w = at % window.in[2], h = at / window.in[2] % window.in[1];
  const int64_t d = at / (window.in[2] * window.in[1]);
  return (w * window.in[1] + h) * window.in[0] + d;
}

template <typename T>
void MaxPool(const PoolPlan& plan, const T* x, T* y, int64_t* indices) {
  const int64_t in_elements = plan.window.in_elements();
  const int64_t out_elements = plan.window.out_elements();
  constexpr T kLeast = std::numeric_limits<T>::has_infinity ? -std::numeric_limits<T>::infinity()
                                                            : std::numeric_limits<T>::lowest();
  ForEachWindow(plan, [&](int64_t plane, int64_t at, const TapRange& d, const TapRange& h,
                          const TapRange& w) {
    const T* image = x + plane * in_elements;
    T best = kLeast;
    int64_t best_at = -1;
    ForEachTap(plan.window, d, h, w, [&](int64_t i) {
      // The first of equals; a NaN stays.
      if (best_at < 0 || image[i] > best || (image[i] != image[i] && best == best)) {
        best = image[i];
        best_at = i;
      }
    });
    y[plane * out_elements + at] = best;
    // Indices run over the whole tensor, as ONNX counts them.
    if (indices != nullptr) {
      const int64_t in_plane = plan.column_major ? ColumnMajor(plan.window, best_at) : best_at;
      indices[plane * out_elements + at] = best_at < 0 ? -1 : plane * in_elements + in_plane;
    }
  });
}

// Taps of one dimension that fall on the input or its padding.
int64_t PaddedTaps(const Window& window, size_t d, const TapRange& range) {
  const int64_t room = window.in[d] + window.pad_end[d] - range.start;
  if (room <= 0) return 0;
  return std::min(window.kernel[d], (room + window.dilation[d] - 1) / window.dilation[d]);
}

template <typename T>
void AveragePool(const PoolPlan& plan, const T* x, T* y) {
  const Window& window = plan.window;
  const int64_t in_elements = window.in_elements();
  const int64_t out_elements = window.out_elements();
  ForEachWindow(plan, [&](int64_t plane, int64_t at, const TapRange& d, const TapRange& h,
                          const TapRange& w) {
    const T* image = x + plane * in_elements;
    double sum = 0;
    ForEachTap(window, d, h, w, [&](int64_t i) { sum += image[i]; });
    const int64_t count =
        plan.count_include_pad
            ? PaddedTaps(window, 0, d) * PaddedTaps(window, 1, h) * PaddedTaps(window, 2, w)
            : (d.last - d.first) * (h.last - h.first) * (w.last - w.first);
    y[plane * out_elements + at] =
        count == 0 ? T{0} : static_cast<T>(sum / static_cast<double>(count));
  });
}

}  // namespace

absl::StatusOr<KernelPlan> CompileKernel(const OpSpec& spec, const PoolParams& params) {
  const Shape& x = spec.inputs[0].shape;
  const Shape& y = spec.outputs[0].shape;
  const DType dtype = spec.inputs[0].dtype;
  if (spec.outputs[0].dtype != dtype) return absl::UnimplementedError("pooling to another type");
  PoolPlan plan;
  plan.window = MakeWindow(params, x, y, params.kernel);
  plan.planes = y.elements() == 0 ? 0 : x.dim(0) * x.dim(1);
  plan.count_include_pad = params.count_include_pad;
  plan.column_major = params.column_major;
  if (params.kind == PoolParams::Kind::kAverage) {
    return VisitFloat(dtype, "average_pool", [&]<typename T>() -> absl::StatusOr<KernelPlan> {
      return KernelPlan{[plan](const KernelArgs& args) {
        AveragePool(plan, args.in<T>(0), args.out<T>(0));
        return absl::OkStatus();
      }};
    });
  }
  const bool indices = spec.outputs.size() > 1 && spec.outputs[1].kind != OperandKind::kAbsent;
  return VisitNumber(dtype, "max_pool", [&]<typename T>() -> absl::StatusOr<KernelPlan> {
    return KernelPlan{[plan, indices](const KernelArgs& args) {
      MaxPool(plan, args.in<T>(0), args.out<T>(0), indices ? args.out<int64_t>(1) : nullptr);
      return absl::OkStatus();
    }};
  });
}

}  // namespace paramd::reference
