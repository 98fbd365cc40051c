// RNN, GRU and LSTM as ONNX defines them.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <vector>

#include "runtime/backends/recurrent_specs.h"
#include "runtime/backends/reference/dtype_dispatch.h"
#include "runtime/backends/reference/named_ops.h"
#include "runtime/base/status_macros.h"

namespace paramd::reference {
namespace {

using Gate = RecurrentGate;

template <typename T>
T Activate(Gate gate, T alpha, T beta, T x) {
  switch (gate) {
    case Gate::kSigmoid:
      return 1 / (1 + std::exp(-x));
    case Gate::kTanh:
      return std::tanh(x);
    case Gate::kRelu:
      return x > 0 ? x : T{0};
    case Gate::kAffine:
      return alpha * x + beta;
    case Gate::kLeakyRelu:
      return x >= 0 ? x : alpha * x;
    case Gate::kThresholdedRelu:
      return x >= alpha ? x : T{0};
    case Gate::kScaledTanh:
      return alpha * std::tanh(beta * x);
    case Gate::kHardSigmoid:
      return std::min(std::max(alpha * x + beta, T{0}), T{1});
    case Gate::kElu:
      return x >= 0 ? x : alpha * (std::exp(x) - 1);
    case Gate::kSoftsign:
      return x / (1 + std::fabs(x));
    case Gate::kSoftplus:
      return std::log(1 + std::exp(x));
  }
  return x;
}

template <typename T>
T Apply(const RecurrentCell& cell, T x) {
  return Activate<T>(cell.gate, static_cast<T>(cell.alpha), static_cast<T>(cell.beta), x);
}

// GCC's vectors: -O2 alone forms no sums in parallel.
template <typename T>
T Dot(const T* a, const T* b, int64_t count) {
  typedef T Vector __attribute__((vector_size(16)));
  constexpr int64_t kLanes = 16 / sizeof(T);
  Vector sums[4] = {};
  int64_t i = 0;
  for (; i + 4 * kLanes <= count; i += 4 * kLanes) {
    for (int64_t k = 0; k < 4; ++k) {
      Vector left, right;
      std::memcpy(&left, a + i + k * kLanes, 16);
      std::memcpy(&right, b + i + k * kLanes, 16);
      sums[k] += left * right;
    }
  }
  const Vector all = sums[0] + sums[1] + (sums[2] + sums[3]);
  T sum = 0;
  for (int64_t k = 0; k < kLanes; ++k) sum += all[k];
  for (; i < count; ++i) sum += a[i] * b[i];
  return sum;
}

// Where things lie.
struct Recurrent : RecurrentSpec {
  int64_t X(int64_t t, int64_t n) const {
    return (batch_first ? n * steps + t : t * batch + n) * inputs;
  }
  int64_t Y(int64_t t, int64_t d, int64_t n) const {
    return (batch_first ? (n * steps + t) * directions + d : (t * directions + d) * batch + n) *
           hidden;
  }
  int64_t State(int64_t d, int64_t n) const {
    return (batch_first ? n * directions + d : d * batch + n) * hidden;
  }
  template <typename T>
  T Clip(T x) const {
    return clip > 0 ? std::clamp(x, static_cast<T>(-clip), static_cast<T>(clip)) : x;
  }
};

// One row's state through one step. `g` holds w x + both biases of each gate
// (of GRU's last gate only w's), and is free to be used.
template <typename T>
struct Step {
  const T* r;       // [gates h, h]
  const T* r_bias;  // Of the gates, or null.
  const T* peep;    // [3h], or null.
  const RecurrentCell* cells;
  T *g, *h, *c, *spare;
};

template <typename T>
void RnnStep(const Recurrent& rec, const Step<T>& s) {
  for (int64_t j = 0; j < rec.hidden; ++j) {
    s.spare[j] = Apply(s.cells[0], rec.Clip(s.g[j] + Dot(s.r + j * rec.hidden, s.h, rec.hidden)));
  }
  std::copy_n(s.spare, rec.hidden, s.h);
}

// Gates z, r, h.
template <typename T>
void GruStep(const Recurrent& rec, const Step<T>& s) {
  const int64_t n = rec.hidden;
  for (int64_t j = 0; j < 2 * n; ++j) {
    s.g[j] = Apply(s.cells[0], rec.Clip(s.g[j] + Dot(s.r + j * n, s.h, n)));
  }
  const T *z = s.g, *reset = s.g + n;
  T* candidate = s.g + 2 * n;
  const T* r = s.r + 2 * n * n;
  for (int64_t j = 0; j < n; ++j) s.spare[j] = reset[j] * s.h[j];
  for (int64_t j = 0; j < n; ++j) {
    const T bias = s.r_bias == nullptr ? T{0} : s.r_bias[2 * n + j];
    const T recurrent = rec.linear_before_reset ? reset[j] * (Dot(r + j * n, s.h, n) + bias)
                                                : Dot(r + j * n, s.spare, n) + bias;
    candidate[j] = Apply(s.cells[1], rec.Clip(candidate[j] + recurrent));
  }
  for (int64_t j = 0; j < n; ++j) s.h[j] = (1 - z[j]) * candidate[j] + z[j] * s.h[j];
}

// Gates i, o, f, c.
template <typename T>
void LstmStep(const Recurrent& rec, const Step<T>& s) {
  const int64_t n = rec.hidden;
  for (int64_t j = 0; j < 4 * n; ++j) s.g[j] += Dot(s.r + j * n, s.h, n);
  for (int64_t j = 0; j < n; ++j) {
    T in = s.g[j], out = s.g[n + j], forget = s.g[2 * n + j];
    if (s.peep != nullptr) {
      in += s.peep[j] * s.c[j];
      forget += s.peep[2 * n + j] * s.c[j];
    }
    in = Apply(s.cells[0], rec.Clip(in));
    forget = rec.input_forget ? 1 - in : Apply(s.cells[0], rec.Clip(forget));
    const T candidate = Apply(s.cells[1], rec.Clip(s.g[3 * n + j]));
    s.c[j] = forget * s.c[j] + in * candidate;
    if (s.peep != nullptr) out += s.peep[n + j] * s.c[j];
    s.h[j] = Apply(s.cells[0], rec.Clip(out)) * Apply(s.cells[2], s.c[j]);
  }
}

template <typename T, typename StepFn>
absl::Status RunRecurrent(const Recurrent& rec, int cells, const KernelArgs& args, StepFn step) {
  const int64_t n = rec.hidden, rows = rec.gates * n;
  T* g = reinterpret_cast<T*>(args.scratch);
  T *h = g + rows, *c = h + n, *spare = c + n;
  for (int64_t d = 0; d < rec.directions; ++d) {
    const bool reverse = rec.reverse(d);
    const T* w = args.in<T>(1) + d * rows * rec.inputs;
    const T* w_bias = rec.bias ? args.in<T>(3) + d * 2 * rows : nullptr;
    Step<T> s;
    s.r = args.in<T>(2) + d * rows * n;
    s.r_bias = rec.bias ? w_bias + rows : nullptr;
    s.peep = rec.peepholes ? args.in<T>(7) + d * 3 * n : nullptr;
    s.cells = rec.cells.data() + d * cells;
    s.g = g, s.h = h, s.c = c, s.spare = spare;
    // GRU's candidate multiplies its recurrent bias by the reset gate, perhaps.
    const int64_t summed = rec.gates == 3 ? 2 * n : rows;
    for (int64_t b = 0; b < rec.batch; ++b) {
      const int64_t length = rec.lengths ? args.in<int32_t>(4)[b] : rec.steps;
      if (length < 0 || length > rec.steps) return OutsideError(length, rec.steps + 1);
      const int64_t state = rec.State(d, b);
      if (rec.initial_h) {
        std::copy_n(args.in<T>(5) + state, n, h);
      } else {
        std::fill_n(h, n, T{0});
      }
      if (rec.initial_c) {
        std::copy_n(args.in<T>(6) + state, n, c);
      } else {
        std::fill_n(c, n, T{0});
      }
      for (int64_t k = 0; k < rec.steps; ++k) {
        if (k >= length) {
          if (rec.y) std::fill_n(args.out<T>(0) + rec.Y(k, d, b), n, T{0});
          continue;
        }
        const int64_t t = reverse ? length - 1 - k : k;
        const T* x = args.in<T>(0) + rec.X(t, b);
        for (int64_t j = 0; j < rows; ++j) {
          g[j] = Dot(w + j * rec.inputs, x, rec.inputs);
          if (w_bias != nullptr) g[j] += w_bias[j];
          if (s.r_bias != nullptr && j < summed) g[j] += s.r_bias[j];
        }
        step(rec, s);
        if (rec.y) std::copy_n(h, n, args.out<T>(0) + rec.Y(t, d, b));
      }
      if (rec.last_h) std::copy_n(h, n, args.out<T>(1) + state);
      if (rec.last_c) std::copy_n(c, n, args.out<T>(2) + state);
    }
  }
  return absl::OkStatus();
}

template <int gates, int cells>
absl::StatusOr<KernelPlan> Compile(const OpSpec& spec, const NamedParams& params) {
  Recurrent rec;
  PARAMD_ASSIGN_OR_RETURN(static_cast<RecurrentSpec&>(rec), ParseRecurrentSpec(spec, params));
  return VisitFloat(In(spec, 0).dtype, params.op, [&]<typename T>() -> absl::StatusOr<KernelPlan> {
    Kernel run = [rec](const KernelArgs& args) {
      return RunRecurrent<T>(rec, cells, args, [](const Recurrent& r, const Step<T>& s) {
        if constexpr (gates == 1) {
          RnnStep(r, s);
        } else if constexpr (gates == 3) {
          GruStep(r, s);
        } else {
          LstmStep(r, s);
        }
      });
    };
    return KernelPlan{std::move(run), static_cast<uint64_t>((gates + 3) * rec.hidden) * sizeof(T)};
  });
}

constexpr NamedOp kNamedRecurrent[] = {
    {"rnn", 3, 8, 6, Compile<1, 1>},
    {"gru", 3, 8, 7, Compile<3, 2>},
    {"lstm", 3, 8, 8, Compile<4, 3>},
};

}  // namespace

absl::Span<const NamedOp> NamedRecurrent() { return kNamedRecurrent; }

}  // namespace paramd::reference
