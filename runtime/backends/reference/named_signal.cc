// Sums over many indices: einsum, determinants, Fourier transforms.
#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <numbers>
#include <vector>

#include "runtime/backends/reference/arithmetic.h"
#include "runtime/backends/reference/dtype_dispatch.h"
#include "runtime/backends/reference/named_ops.h"
#include "runtime/base/status_macros.h"

namespace paramd::reference {
namespace {

// --- Einsum -----------------------------------------------------------------------

// Labels of the result come first, then those that are summed.
struct Contraction {
  size_t kept = 0;
  std::vector<int64_t> dims;                  // By label.
  std::vector<std::vector<int64_t>> strides;  // By operand and label.
};

// {a, b, ...}; ints {labels kept, labels, size of each..., then for each operand
// its step in each...}.
absl::StatusOr<KernelPlan> Einsum(const OpSpec& spec, const NamedParams& params) {
  auto c = std::make_shared<Contraction>();
  const int64_t kept = params.ints[0], labels = params.ints[1];
  const size_t operands = spec.inputs.size();
  PARAMD_RETURN_IF_ERROR(
      Require(kept >= 0 && labels >= kept && labels <= 64 && operands >= 1 &&
                  params.ints.size() == 2 + static_cast<size_t>(labels) * (1 + operands),
              "labels do not fit"));
  c->kept = static_cast<size_t>(kept);
  const auto* at = params.ints.data() + 2;
  c->dims.assign(at, at + labels);
  double work = 1;
  int64_t results = 1;
  for (size_t l = 0; l < c->dims.size(); ++l) {
    PARAMD_RETURN_IF_ERROR(Require(c->dims[l] >= 0, "a size is negative"));
    work *= static_cast<double>(c->dims[l]);
    if (l < c->kept) results *= c->dims[l];
  }
  PARAMD_RETURN_IF_ERROR(Require(work < 1e13, "the sum is too long"));
  PARAMD_RETURN_IF_ERROR(Require(Out(spec, 0).shape.elements() == results, "the result's size"));
  for (size_t i = 0; i < operands; ++i) {
    PARAMD_RETURN_IF_ERROR(SameType(spec, 0, static_cast<int>(i)));
    at += labels;
    c->strides.emplace_back(at, at + labels);
    int64_t last = 0;
    for (size_t l = 0; l < c->dims.size(); ++l) {
      last += std::max<int64_t>(c->dims[l] - 1, 0) * c->strides[i][l];
    }
    PARAMD_RETURN_IF_ERROR(
        Require(last >= 0 && (work == 0 || last < In(spec, static_cast<int>(i)).shape.elements()),
                "operand ", i, " is too small"));
  }
  const bool empty = results == 0;
  return VisitNumber(In(spec, 0).dtype, params.op, [&]<typename T>() -> absl::StatusOr<KernelPlan> {
    return KernelPlan{[c, operands, results, empty](const KernelArgs& args) {
      if (empty) return absl::OkStatus();
      const size_t labels = c->dims.size();
      std::array<int64_t, 64> index{};
      T* y = args.out<T>(0);
      for (int64_t r = 0; r < results; ++r) {
        int64_t rest = r;
        for (size_t l = c->kept; l > 0; --l) {
          index[l - 1] = rest % c->dims[l - 1];
          rest /= c->dims[l - 1];
        }
        std::array<int64_t, 16> base{};
        bool any = true;
        for (size_t l = c->kept; l < labels; ++l) {
          index[l] = 0;
          any &= c->dims[l] > 0;
        }
        for (size_t i = 0; i < operands; ++i) {
          for (size_t l = 0; l < c->kept; ++l) base[i] += index[l] * c->strides[i][l];
        }
        T sum{0};
        while (any) {
          T product{1};
          for (size_t i = 0; i < operands; ++i) {
            product = Mul(product, args.in<T>(static_cast<int>(i))[base[i]]);
          }
          sum = Add(sum, product);
          size_t l = labels;
          for (; l > c->kept; --l) {
            const size_t label = l - 1;
            for (size_t i = 0; i < operands; ++i) base[i] += c->strides[i][label];
            if (++index[label] < c->dims[label]) break;
            for (size_t i = 0; i < operands; ++i) {
              base[i] -= c->strides[i][label] * c->dims[label];
            }
            index[label] = 0;
          }
          any = l > c->kept;
        }
        y[r] = sum;
      }
      return absl::OkStatus();
    }};
  });
}

// --- Det --------------------------------------------------------------------------

// {x [..., n, n]}.
absl::StatusOr<KernelPlan> Det(const OpSpec& spec, const NamedParams& params) {
  const Shape& x = In(spec, 0).shape;
  PARAMD_RETURN_IF_ERROR(
      Require(x.rank() >= 2 && x.dim(x.rank() - 1) == x.dim(x.rank() - 2), "x is no square"));
  const int64_t n = x.dim(x.rank() - 1), count = Out(spec, 0).shape.elements();
  PARAMD_RETURN_IF_ERROR(Require(x.elements() == count * n * n, "the result's size"));
  return VisitFloat(In(spec, 0).dtype, params.op, [&]<typename T>() -> absl::StatusOr<KernelPlan> {
    Kernel run = [=](const KernelArgs& args) {
      auto* a = reinterpret_cast<double*>(args.scratch);
      for (int64_t m = 0; m < count; ++m) {
        for (int64_t i = 0; i < n * n; ++i)
          a[i] = static_cast<double>(args.in<T>(0)[m * n * n + i]);
        double det = 1;
        for (int64_t c = 0; c < n && det != 0; ++c) {
          int64_t pivot = c;
          for (int64_t r = c + 1; r < n; ++r) {
            if (std::fabs(a[r * n + c]) > std::fabs(a[pivot * n + c])) pivot = r;
          }
          if (pivot != c) {
            std::swap_ranges(a + pivot * n, a + (pivot + 1) * n, a + c * n);
            det = -det;
          }
          const double head = a[c * n + c];
          det *= head;
          for (int64_t r = c + 1; head != 0 && r < n; ++r) {
            const double factor = a[r * n + c] / head;
            for (int64_t k = c; k < n; ++k) a[r * n + k] -= factor * a[c * n + k];
          }
        }
        args.out<T>(0)[m] = static_cast<T>(det);
      }
      return absl::OkStatus();
    };
    return KernelPlan{std::move(run), static_cast<uint64_t>(n * n) * sizeof(double)};
  });
}

// --- DFT, STFT ----------------------------------------------------------------------

// cos and sin of 2 pi k / n.
std::shared_ptr<const std::vector<double>> Twiddles(int64_t n) {
  auto table = std::make_shared<std::vector<double>>(static_cast<size_t>(2 * n));
  for (int64_t k = 0; k < n; ++k) {
    const double angle = 2 * std::numbers::pi * static_cast<double>(k) / static_cast<double>(n);
    (*table)[static_cast<size_t>(2 * k)] = std::cos(angle);
    (*table)[static_cast<size_t>(2 * k + 1)] = std::sin(angle);
  }
  return table;
}

constexpr int64_t kTransformMax = 1 << 20;

// Term k of a transform of `count` values `step` apart, zeros behind them.
template <typename T>
void Term(const std::vector<double>& table, int64_t n, int64_t k, bool inverse, bool complex,
          const T* x, int64_t count, int64_t step, const T* window, double* real, double* imag) {
  *real = *imag = 0;
  int64_t phase = 0;  // k t mod n
  for (int64_t t = 0; t < count; ++t) {
    const double c = table[static_cast<size_t>(2 * phase)];
    const double s = table[static_cast<size_t>(2 * phase + 1)] * (inverse ? 1 : -1);
    const double weight = window == nullptr ? 1 : static_cast<double>(window[t]);
    const double re = static_cast<double>(x[t * step]) * weight;
    const double im = complex ? static_cast<double>(x[t * step + 1]) * weight : 0;
    *real += re * c - im * s;
    *imag += re * s + im * c;
    phase += k;
    if (phase >= n) phase -= n;
  }
}

// {x [..., 1 or 2]}; ints {axis, length, inverse}; y [..., 2], perhaps the first
// half of the terms alone, or of an inverse one real.
absl::StatusOr<KernelPlan> Dft(const OpSpec& spec, const NamedParams& params) {
  const Shape &x = In(spec, 0).shape, &y = Out(spec, 0).shape;
  PARAMD_RETURN_IF_ERROR(CheckAxis(params.ints[0], x));
  const auto axis = static_cast<int>(params.ints[0]);
  const int64_t n = params.ints[1];
  const bool inverse = params.ints[2] != 0;
  PARAMD_RETURN_IF_ERROR(Require(x.rank() == y.rank() && axis + 1 < x.rank() && n >= 1 &&
                                     n <= kTransformMax && y.dim(axis) <= n,
                                 "a transform of ", n));
  const int64_t parts = x.dim(x.rank() - 1), parts_out = y.dim(y.rank() - 1);
  PARAMD_RETURN_IF_ERROR(Require((parts == 1 || parts == 2) && (parts_out == 1 || parts_out == 2),
                                 "the last dimension is not 1 or 2"));
  const Blocks from = BlocksAt(x, axis), to = BlocksAt(y, axis);
  PARAMD_RETURN_IF_ERROR(Require(
      from.outer == to.outer && from.inner / parts == to.inner / parts_out, "the result's size"));
  const auto table = Twiddles(n);
  const int64_t lines = from.inner / parts, count = std::min(n, from.along), terms = to.along;
  return VisitFloat(In(spec, 0).dtype, params.op, [&]<typename T>() -> absl::StatusOr<KernelPlan> {
    return KernelPlan{[=](const KernelArgs& args) {
      for (int64_t o = 0; o < from.outer; ++o) {
        for (int64_t i = 0; i < lines; ++i) {
          const T* x = args.in<T>(0) + o * from.along * from.inner + i * parts;
          for (int64_t k = 0; k < terms; ++k) {
            double real = 0, imag = 0;
            Term<T>(*table, n, k, inverse, parts == 2, x, count, from.inner, nullptr, &real, &imag);
            if (inverse) real /= static_cast<double>(n), imag /= static_cast<double>(n);
            T* y = args.out<T>(0) + (o * to.along + k) * to.inner + i * parts_out;
            y[0] = static_cast<T>(real);
            if (parts_out == 2) y[1] = static_cast<T>(imag);
          }
        }
      }
      return absl::OkStatus();
    }};
  });
}

// {signal [N, length, 1 or 2], window?}; ints {step, frame length}; y [N, frames, terms, 2].
absl::StatusOr<KernelPlan> Stft(const OpSpec& spec, const NamedParams& params) {
  const Shape &x = In(spec, 0).shape, &y = Out(spec, 0).shape;
  const int64_t step = params.ints[0], n = params.ints[1];
  PARAMD_RETURN_IF_ERROR(Require((x.rank() == 2 || x.rank() == 3) && y.rank() == 4 && step >= 1 &&
                                     n >= 1 && n <= kTransformMax && y.dim(3) == 2 &&
                                     y.dim(0) == x.dim(0) && y.dim(2) <= n,
                                 "a transform of ", n));
  const int64_t parts = x.rank() == 3 ? x.dim(2) : 1, length = x.dim(1), frames = y.dim(1);
  PARAMD_RETURN_IF_ERROR(
      Require((parts == 1 || parts == 2) &&
                  (frames == 0 || (step < (int64_t{1} << 31) && (frames - 1) * step + n <= length)),
              "frames reach beyond the signal"));
  const bool windowed = HasIn(spec, 1);
  if (windowed) {
    PARAMD_RETURN_IF_ERROR(SameType(spec, 0, 1));
    PARAMD_RETURN_IF_ERROR(Require(In(spec, 1).shape.elements() == n, "the window's length"));
  }
  const auto table = Twiddles(n);
  const int64_t batch = x.dim(0), terms = y.dim(2);
  return VisitFloat(In(spec, 0).dtype, params.op, [&]<typename T>() -> absl::StatusOr<KernelPlan> {
    return KernelPlan{[=](const KernelArgs& args) {
      T* y = args.out<T>(0);
      const T* window = windowed ? args.in<T>(1) : nullptr;
      for (int64_t b = 0; b < batch; ++b) {
        for (int64_t f = 0; f < frames; ++f) {
          const T* x = args.in<T>(0) + (b * length + f * step) * parts;
          for (int64_t k = 0; k < terms; ++k) {
            double real = 0, imag = 0;
            Term<T>(*table, n, k, false, parts == 2, x, n, parts, window, &real, &imag);
            *y++ = static_cast<T>(real);
            *y++ = static_cast<T>(imag);
          }
        }
      }
      return absl::OkStatus();
    }};
  });
}

// {}; numbers {bins, transform's length, sampling rate, lower and upper edge in Hz}:
// [length / 2 + 1, bins], each bin a triangle over the frequencies around its own.
absl::StatusOr<KernelPlan> MelWeights(const OpSpec& spec, const NamedParams& params) {
  PARAMD_RETURN_IF_ERROR(Require(params.numbers.size() == 5, "mel weights of too few numbers"));
  const auto bins = static_cast<int64_t>(params.numbers[0]);
  const double length = params.numbers[1], rate = params.numbers[2];
  const double low = params.numbers[3], high = params.numbers[4];
  const int64_t rows = static_cast<int64_t>(length) / 2 + 1;
  PARAMD_RETURN_IF_ERROR(Require(bins >= 1 && rate > 0 && Out(spec, 0).shape == Shape({rows, bins}),
                                 "the result is ", Out(spec, 0).shape.ToString()));
  const auto mel = [](double hertz) { return 2595 * std::log10(1 + hertz / 700); };
  const double step = (mel(high) - mel(low)) / static_cast<double>(bins + 2);
  std::vector<int64_t> edges;
  for (int64_t i = 0; i < bins + 2; ++i) {
    const double hertz =
        700 * (std::pow(10, (static_cast<double>(i) * step + mel(low)) / 2595) - 1);
    const double edge = std::floor((length + 1) * hertz / rate);
    // Above the transform's own frequencies, for edges beyond half the rate.
    PARAMD_RETURN_IF_ERROR(Require(edge >= 0 && edge < 1e9, "an edge of ", hertz, " Hz"));
    edges.push_back(static_cast<int64_t>(edge));
  }
  return VisitFloat(Out(spec, 0).dtype, params.op, [&]<typename T>() -> absl::StatusOr<KernelPlan> {
    return KernelPlan{[=](const KernelArgs& args) {
      T* const y = args.out<T>(0);
      std::fill_n(y, rows * bins, T{0});
      for (int64_t i = 0; i < bins; ++i) {
        const auto at = static_cast<size_t>(i);
        const int64_t first = edges[at], middle = edges[at + 1], last = edges[at + 2];
        const auto set = [&](int64_t row, double value) {
          if (row < rows) y[row * bins + i] = static_cast<T>(value);
        };
        if (middle == first) set(middle, 1);
        for (int64_t row = first; middle > first && row <= middle; ++row) {
          set(row, static_cast<double>(row - first) / static_cast<double>(middle - first));
        }
        for (int64_t row = middle; row < last; ++row) {
          set(row, static_cast<double>(last - row) / static_cast<double>(last - middle));
        }
      }
      return absl::OkStatus();
    }};
  });
}

constexpr NamedOp kNamedSignal[] = {
    {"einsum", 1, 16, 2, Einsum},
    {"det", 1, 1, 0, Det},
    {"dft", 1, 1, 3, Dft},
    {"stft", 1, 2, 2, Stft},
    {"mel_weights", 0, 0, 0, MelWeights},
};

}  // namespace

absl::Span<const NamedOp> NamedSignal() { return kNamedSignal; }

}  // namespace paramd::reference
