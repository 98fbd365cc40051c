// Random numbers by counting: Philox 4x32-10 (Salmon et al., "Parallel random
// numbers: as easy as 1, 2, 3", 2011) of an element's index under a seed. There
// is no state, so that an answer depends on nothing but the request.
#include <array>
#include <cmath>
#include <limits>

#include "runtime/backends/reference/dtype_dispatch.h"
#include "runtime/backends/reference/named_ops.h"
#include "runtime/base/status_macros.h"

namespace paramd::reference {
namespace {

using Words = std::array<uint32_t, 4>;

Words Philox(uint64_t seed, uint64_t index) {
  Words x = {static_cast<uint32_t>(index), static_cast<uint32_t>(index >> 32), 0, 0};
  auto k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{0xD2511F53} * x[0], b = uint64_t{0xCD9E8D57} * x[2];
    x = {static_cast<uint32_t>(b >> 32) ^ x[1] ^ k0, static_cast<uint32_t>(b),
         static_cast<uint32_t>(a >> 32) ^ x[3] ^ k1, static_cast<uint32_t>(a)};
    k0 += 0x9E3779B9;
    k1 += 0xBB67AE85;
  }
  return x;
}

// In [0, 1), of the words' 53 highest bits: 24 where those are all that f32 holds.
double Uniform(uint64_t seed, uint64_t index) {
  const Words words = Philox(seed, index);
  const uint64_t bits = (uint64_t{words[0]} << 32 | words[1]) >> 11;
  return static_cast<double>(bits) * 0x1p-53;
}

// Box and Muller's transform of two uniform numbers, the first not 0.
double Normal(uint64_t seed, uint64_t index) {
  const Words words = Philox(seed, index);
  const uint64_t first = (uint64_t{words[0]} << 32 | words[1]) >> 11;
  const uint64_t second = (uint64_t{words[2]} << 32 | words[3]) >> 11;
  const double radius = std::sqrt(-2 * std::log((static_cast<double>(first) + 1) * 0x1p-53));
  return radius * std::cos(2 * 3.14159265358979323846 * (static_cast<double>(second) * 0x1p-53));
}

// {}; ints {seed}; numbers {low, high} or {mean, deviation}.
template <double (*draw)(uint64_t, uint64_t), bool uniform>
absl::StatusOr<KernelPlan> Random(const OpSpec& spec, const NamedParams& params) {
  PARAMD_RETURN_IF_ERROR(
      Require(params.numbers.size() == 2, params.op, " of ", params.numbers.size(), " numbers"));
  const auto seed = static_cast<uint64_t>(params.ints[0]);
  const double at = params.numbers[0];
  const double scale = uniform ? params.numbers[1] - at : params.numbers[1];
  const int64_t count = Out(spec, 0).shape.elements();
  return VisitFloat(Out(spec, 0).dtype, params.op, [&]<typename T>() -> absl::StatusOr<KernelPlan> {
    return KernelPlan{[=](const KernelArgs& args) {
      for (int64_t i = 0; i < count; ++i) {
        auto value = static_cast<T>(at + scale * draw(seed, static_cast<uint64_t>(i)));
        // Rounding may reach the end that is not in the range.
        if (uniform && scale > 0 && value >= static_cast<T>(at + scale)) {
          value = std::nextafter(static_cast<T>(at + scale), static_cast<T>(at));
        }
        args.out<T>(0)[i] = value;
      }
      return absl::OkStatus();
    }};
  });
}

// {log-probabilities [rows, classes]}; ints {seed}: [rows, samples] of i32 or i64.
absl::StatusOr<KernelPlan> Multinomial(const OpSpec& spec, const NamedParams& params) {
  const Shape &x = In(spec, 0).shape, &y = Out(spec, 0).shape;
  PARAMD_RETURN_IF_ERROR(Require(
      x.rank() == 2 && y.rank() == 2 && x.dim(0) == y.dim(0) && (x.dim(1) > 0 || y.elements() == 0),
      "x and y do not fit"));
  PARAMD_RETURN_IF_ERROR(CheckIndexType(Out(spec, 0).dtype));
  const bool wide = Out(spec, 0).dtype == DType::kI64;
  const int64_t rows = x.dim(0), classes = x.dim(1), samples = y.dim(1);
  const auto seed = static_cast<uint64_t>(params.ints[0]);
  return VisitFloat(In(spec, 0).dtype, params.op, [&]<typename T>() -> absl::StatusOr<KernelPlan> {
    return KernelPlan{[=](const KernelArgs& args) {
      for (int64_t row = 0; row < rows; ++row) {
        const T* logs = args.in<T>(0) + row * classes;
        double most = -std::numeric_limits<double>::infinity(), total = 0;
        for (int64_t c = 0; c < classes; ++c) most = std::max(most, static_cast<double>(logs[c]));
        for (int64_t c = 0; c < classes; ++c) {
          total += std::exp(static_cast<double>(logs[c]) - most);
        }
        for (int64_t s = 0; s < samples; ++s) {
          const int64_t at = row * samples + s;
          double left = total * Uniform(seed, static_cast<uint64_t>(at));
          int64_t chosen = 0;
          for (; chosen < classes - 1; ++chosen) {
            left -= std::exp(static_cast<double>(logs[chosen]) - most);
            if (left < 0) break;
          }
          if (wide) {
            args.out<int64_t>(0)[at] = chosen;
          } else {
            args.out<int32_t>(0)[at] = static_cast<int32_t>(chosen);
          }
        }
      }
      return absl::OkStatus();
    }};
  });
}

// {x}; ints {seed}; numbers {ratio}; outputs {y, kept?}: what is kept is scaled
// so that its expectation stays.
absl::StatusOr<KernelPlan> Dropout(const OpSpec& spec, const NamedParams& params) {
  PARAMD_RETURN_IF_ERROR(
      Require(params.numbers.size() == 1 && params.numbers[0] < 1, "the ratio is missing or 1"));
  const int64_t count = In(spec, 0).shape.elements();
  const auto seed = static_cast<uint64_t>(params.ints[0]);
  const double ratio = params.numbers[0];
  const bool values = HasOut(spec, 0), mask = HasOut(spec, 1);
  return VisitFloat(In(spec, 0).dtype, params.op, [&]<typename T>() -> absl::StatusOr<KernelPlan> {
    return KernelPlan{[=](const KernelArgs& args) {
      const auto scale = static_cast<T>(1 / (1 - ratio));
      for (int64_t i = 0; i < count; ++i) {
        const bool kept = Uniform(seed, static_cast<uint64_t>(i)) >= ratio;
        if (values) args.out<T>(0)[i] = kept ? args.in<T>(0)[i] * scale : T{0};
        if (mask) args.out<uint8_t>(1)[i] = kept ? 1 : 0;
      }
      return absl::OkStatus();
    }};
  });
}

constexpr NamedOp kNamedRandom[] = {
    {"random_uniform", 0, 0, 1, Random<Uniform, true>},
    {"random_normal", 0, 0, 1, Random<Normal, false>},
    {"multinomial", 1, 1, 1, Multinomial},
    {"dropout", 1, 1, 1, Dropout},
};

}  // namespace

absl::Span<const NamedOp> NamedRandom() { return kNamedRandom; }

}  // namespace paramd::reference
