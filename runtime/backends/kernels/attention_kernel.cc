#include "runtime/backends/kernels/attention_kernel.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "runtime/tensor/half.h"

// Compiles this file once an instruction set, and picks one at run time.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "runtime/backends/kernels/attention_kernel.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace paramd::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::CappedTag<float, 16>;
using V = hn::Vec<D>;

// Rows of a tile: its sums fill the registers, 16 of 32 with AVX-512, 8 of 16 below.
#if HWY_TARGET <= HWY_AVX3
constexpr int kTileRows = 8;
#else
constexpr int kTileRows = 4;
#endif

// Sums of one row over two vectors of columns: named, because at -O2 an array of
// them stays in memory.
struct Sums {
  V v0, v1;
  HWY_INLINE void Clear(D d) { v0 = v1 = hn::Zero(d); }
  HWY_INLINE void Add(V a, V b0, V b1) {
    v0 = hn::MulAdd(a, b0, v0);
    v1 = hn::MulAdd(a, b1, v1);
  }
  HWY_INLINE void Store(D d, float* out) const {
    hn::StoreU(v0, d, out);
    hn::StoreU(v1, d, out + hn::Lanes(d));
  }
};

// c[kRows, 2 vectors] = a[kRows, inner] b[inner, 2 vectors], b in rows of kPanel.
template <int kRows>
HWY_INLINE void Tile(const float* a, int64_t lda, const float* b, int64_t inner, float* c,
                     int64_t ldc) {
  const D d;
  const size_t lanes = hn::Lanes(d);
  Sums r0, r1, r2, r3, r4, r5, r6, r7;
  r0.Clear(d);
  if constexpr (kRows > 1) r1.Clear(d);
  if constexpr (kRows > 2) r2.Clear(d), r3.Clear(d);
  if constexpr (kRows > 4) r4.Clear(d), r5.Clear(d), r6.Clear(d), r7.Clear(d);
  for (int64_t k = 0; k < inner; ++k, b += kPanel) {
    const V b0 = hn::LoadU(d, b), b1 = hn::LoadU(d, b + lanes);
    const float* column = a + k;
    r0.Add(hn::Set(d, column[0]), b0, b1);
    if constexpr (kRows > 1) r1.Add(hn::Set(d, column[lda]), b0, b1);
    if constexpr (kRows > 2) {
      r2.Add(hn::Set(d, column[2 * lda]), b0, b1);
      r3.Add(hn::Set(d, column[3 * lda]), b0, b1);
    }
    if constexpr (kRows > 4) {
      r4.Add(hn::Set(d, column[4 * lda]), b0, b1);
      r5.Add(hn::Set(d, column[5 * lda]), b0, b1);
      r6.Add(hn::Set(d, column[6 * lda]), b0, b1);
      r7.Add(hn::Set(d, column[7 * lda]), b0, b1);
    }
  }
  r0.Store(d, c);
  if constexpr (kRows > 1) r1.Store(d, c + ldc);
  if constexpr (kRows > 2) r2.Store(d, c + 2 * ldc), r3.Store(d, c + 3 * ldc);
  if constexpr (kRows > 4) {
    r4.Store(d, c + 4 * ldc), r5.Store(d, c + 5 * ldc);
    r6.Store(d, c + 6 * ldc), r7.Store(d, c + 7 * ldc);
  }
}

template <int kRows>
HWY_NOINLINE void Panel(const float* a, int64_t lda, const float* b, int64_t inner, float* c,
                        int64_t ldc) {
  const size_t step = 2 * hn::Lanes(D());
  for (size_t column = 0; column < static_cast<size_t>(kPanel); column += step) {
    Tile<kRows>(a, lda, b + column, inner, c + column, ldc);
  }
}

// c[rows, panels of kPanel] = a[rows, inner] b, b as panels of [inner, kPanel].
void Multiply(const float* a, int64_t lda, const float* b, int64_t inner, int64_t panels,
              int64_t rows, float* c, int64_t ldc) {
  for (int64_t panel = 0; panel < panels; ++panel, b += inner * kPanel, c += kPanel) {
    int64_t row = 0;
    for (; row + kTileRows <= rows; row += kTileRows) {
      Panel<kTileRows>(a + row * lda, lda, b, inner, c + row * ldc, ldc);
    }
    if (kTileRows > 4 && row + 4 <= rows) {
      Panel<4>(a + row * lda, lda, b, inner, c + row * ldc, ldc);
      row += 4;
    }
    for (; row < rows; ++row) Panel<1>(a + row * lda, lda, b, inner, c + row * ldc, ldc);
  }
}

// e^x for x <= 0, within two units in the last place; NaN stays NaN.
HWY_INLINE V ExpOfNegative(D d, V x) {
  const hn::RebindToSigned<D> di;
  const V n = hn::Round(hn::Mul(x, hn::Set(d, 1.44269504f)));
  V r = hn::NegMulAdd(n, hn::Set(d, 0.693359375f), x);
  r = hn::NegMulAdd(n, hn::Set(d, -2.12194440e-4f), r);
  V p = hn::Set(d, 1.9875691500e-4f);
  p = hn::MulAdd(p, r, hn::Set(d, 1.3981999507e-3f));
  p = hn::MulAdd(p, r, hn::Set(d, 8.3334519073e-3f));
  p = hn::MulAdd(p, r, hn::Set(d, 4.1665795894e-2f));
  p = hn::MulAdd(p, r, hn::Set(d, 1.6666665459e-1f));
  p = hn::MulAdd(p, r, hn::Set(d, 5.0000001201e-1f));
  p = hn::Add(hn::MulAdd(p, hn::Mul(r, r), r), hn::Set(d, 1.0f));
  // 2^n by its exponent; below the least normal number the result is 0.
  const auto exponent = hn::Add(hn::ConvertTo(di, n), hn::Set(di, 127));
  const V y = hn::Mul(p, hn::BitCast(d, hn::ShiftLeft<23>(exponent)));
  return hn::IfThenElse(hn::Lt(x, hn::Set(d, -87.3f)), hn::Zero(d), y);
}

// What is added to scores, and which of them are kept, for one row.
struct RowMasks {
  const float* mask = nullptr;
  int64_t mask_column = 0;
  const uint8_t* keep = nullptr;
  int64_t keep_column = 0;
};

HWY_INLINE V LoadFloats(D d, const float* from, int64_t step, int64_t at, size_t count) {
  if (step == 0) return hn::Set(d, from[0]);
  return count == hn::Lanes(d) ? hn::LoadU(d, from + at) : hn::LoadN(d, from + at, count);
}

HWY_INLINE hn::Mask<D> LoadKept(D d, const uint8_t* from, int64_t step, int64_t at, size_t count) {
  const hn::RebindToUnsigned<D> du;
  const hn::Rebind<uint8_t, D> bytes;
  const auto all = step == 0               ? hn::Set(bytes, from[0])
                   : count == hn::Lanes(d) ? hn::LoadU(bytes, from + at)
                                           : hn::LoadN(bytes, from + at, count);
  return hn::RebindMask(d, hn::Ne(hn::PromoteTo(du, all), hn::Zero(du)));
}

// Scales and masks the row's scores, and makes exponentials of them: their sum.
float Exponentials(const AttentionTask& task, const RowMasks& masks, float* scores) {
  const D d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const int64_t keys = task.shape.keys;
  const V scale = hn::Set(d, task.scale), fill = hn::Set(d, task.fill);
  const V lowest = hn::Set(d, -std::numeric_limits<float>::infinity());
  V most = lowest;
  for (int64_t t = 0; t < keys; t += lanes) {
    const auto count = static_cast<size_t>(std::min(lanes, keys - t));
    V score = hn::Mul(hn::LoadU(d, scores + t), scale);
    if (masks.keep != nullptr) {
      const auto set = LoadKept(d, masks.keep, masks.keep_column, t, count);
      score = task.drop ? hn::IfThenElse(set, fill, score) : hn::IfThenElse(set, score, fill);
    }
    if (masks.mask != nullptr) {
      score = hn::Add(score, LoadFloats(d, masks.mask, masks.mask_column, t, count));
    }
    // Behind the last key: nothing. Scores are rows of whole panels.
    if (count < static_cast<size_t>(lanes)) {
      score = hn::IfThenElse(hn::FirstN(d, count), score, lowest);
    }
    hn::StoreU(score, d, scores + t);
    most = hn::Max(score, most);
  }
  const V shift = hn::Set(d, hn::ReduceMax(d, most));
  V sum = hn::Zero(d);
  for (int64_t t = 0; t < keys; t += lanes) {
    V e = ExpOfNegative(d, hn::Sub(hn::LoadU(d, scores + t), shift));
    // Where all keys are masked, -inf less -inf is NaN behind the last one too.
    if (keys - t < lanes) {
      e = hn::IfThenElseZero(hn::FirstN(d, static_cast<size_t>(keys - t)), e);
    }
    hn::StoreU(e, d, scores + t);
    sum = hn::Add(sum, e);
  }
  return hn::ReduceSum(d, sum);
}

HWY_INLINE float Element(const void* from, bool bf16, int64_t i) {
  return bf16 ? BF16ToFloat(static_cast<const uint16_t*>(from)[i])
              : static_cast<const float*>(from)[i];
}

// x [outer, inner] by its steps, as panels of kPanel outer ones: [inner][kPanel].
// Zeros behind the last one.
void PackPanels(const void* x, bool bf16, int64_t outer, int64_t outer_step, int64_t inner,
                int64_t inner_step, float* to) {
  for (int64_t first = 0; first < outer; first += kPanel, to += inner * kPanel) {
    const int64_t count = std::min(kPanel, outer - first);
    for (int64_t i = 0; i < inner; ++i) {
      float* row = to + i * kPanel;
      const int64_t at = first * outer_step + i * inner_step;
      if (!bf16 && outer_step == 1 && count == kPanel) {
        std::memcpy(row, static_cast<const float*>(x) + at, kPanel * sizeof(float));
        continue;
      }
      if (bf16) {
        const auto* from = static_cast<const uint16_t*>(x) + at;
        for (int64_t j = 0; j < count; ++j) row[j] = BF16ToFloat(from[j * outer_step]);
      } else {
        const auto* from = static_cast<const float*>(x) + at;
        for (int64_t j = 0; j < count; ++j) row[j] = from[j * outer_step];
      }
      std::fill(row + count, row + kPanel, 0.0f);
    }
  }
}

// A row of y: what was summed, over the sum of the weights.
void WriteRow(const AttentionTask& task, const float* sums, float weights, int64_t row) {
  const D d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const AttentionShape& shape = task.shape;
  const bool zeros = task.zero_nan && std::isnan(weights);
  const float factor = 1 / weights;
  int64_t e = 0;
  if (!task.y_bf16 && shape.y.column == 1 && !zeros) {
    float* to = static_cast<float*>(task.y) + row * shape.y.row;
    for (; e + lanes <= shape.value_size; e += lanes) {
      hn::StoreU(hn::Mul(hn::LoadU(d, sums + e), hn::Set(d, factor)), d, to + e);
    }
  }
  for (; e < shape.value_size; ++e) {
    const float value = zeros ? 0 : sums[e] * factor;
    const int64_t at = row * shape.y.row + e * shape.y.column;
    if (task.y_bf16) {
      static_cast<uint16_t*>(task.y)[at] = FloatToBF16(value);
    } else {
      static_cast<float*>(task.y)[at] = value;
    }
  }
}

int64_t Panels(int64_t columns) { return (columns + kPanel - 1) / kPanel; }

void Head(const AttentionTask& task) {
  const AttentionShape& shape = task.shape;
  const int64_t block = AttentionRows(shape);
  const int64_t key_panels = Panels(shape.keys), value_panels = Panels(shape.value_size);
  const int64_t score_columns = key_panels * kPanel, value_columns = value_panels * kPanel;
  float* const keys = task.scratch;
  float* const values = keys + key_panels * shape.head_size * kPanel;
  float* const scores = values + value_panels * shape.keys * kPanel;
  float* const sums = scores + block * score_columns;
  float* const queries = sums + block * value_columns;
  PackPanels(task.k, task.k_bf16, shape.keys, shape.k.row, shape.head_size, shape.k.column, keys);
  PackPanels(task.v, task.v_bf16, shape.value_size, shape.v.column, shape.keys, shape.v.row,
             values);
  const bool in_place = !task.q_bf16 && shape.q.column == 1;
  for (int64_t first = 0; first < shape.rows; first += block) {
    const int64_t rows = std::min(block, shape.rows - first);
    const float* q = queries;
    int64_t q_row = shape.head_size;
    if (in_place) {
      q = static_cast<const float*>(task.q) + first * shape.q.row;
      q_row = shape.q.row;
    } else {
      for (int64_t r = 0; r < rows; ++r) {
        for (int64_t i = 0; i < shape.head_size; ++i) {
          queries[r * shape.head_size + i] =
              Element(task.q, task.q_bf16, (first + r) * shape.q.row + i * shape.q.column);
        }
      }
    }
    Multiply(q, q_row, keys, shape.head_size, key_panels, rows, scores, score_columns);
    float weights[kPanel];  // A block has at most kPanel rows.
    for (int64_t r = 0; r < rows; ++r) {
      RowMasks masks;
      if (task.mask != nullptr) {
        masks.mask = task.mask + (first + r) * shape.mask.row;
        masks.mask_column = shape.mask.column;
      }
      if (task.keep != nullptr) {
        masks.keep = task.keep + (first + r) * shape.keep.row;
        masks.keep_column = shape.keep.column;
      }
      weights[r] = Exponentials(task, masks, scores + r * score_columns);
    }
    Multiply(scores, score_columns, values, shape.keys, value_panels, rows, sums, value_columns);
    for (int64_t r = 0; r < rows; ++r) {
      WriteRow(task, sums + r * value_columns, weights[r], first + r);
    }
  }
}

const char* TargetName() { return hwy::TargetName(HWY_TARGET); }

}  // namespace paramd::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace paramd::kernels {
namespace {

// Bytes of scores that stay in a second-level cache beside the panels.
constexpr int64_t kScoreBytes = int64_t{128} << 10;
constexpr int64_t kRowsMax = 32, kRowsMin = 8;
static_assert(kRowsMax <= kPanel);

int64_t WholePanels(int64_t columns) { return (columns + kPanel - 1) / kPanel * kPanel; }

}  // namespace

HWY_EXPORT(Head);
HWY_EXPORT(TargetName);

int64_t AttentionRows(const AttentionShape& shape) {
  const int64_t row_bytes = WholePanels(shape.keys) * static_cast<int64_t>(sizeof(float));
  const int64_t fit = std::clamp(kScoreBytes / row_bytes / kRowsMin * kRowsMin, kRowsMin, kRowsMax);
  return std::min(fit, shape.rows);
}

int64_t AttentionScratch(const AttentionShape& shape) {
  const int64_t rows = AttentionRows(shape);
  const int64_t floats = WholePanels(shape.keys) * (shape.head_size + rows) +
                         WholePanels(shape.value_size) * (shape.keys + rows) +
                         rows * shape.head_size;
  return (floats + 15) / 16 * 16;
}

void AttentionHead(const AttentionTask& task) { HWY_DYNAMIC_DISPATCH(Head)(task); }

const char* AttentionTargetName() { return HWY_DYNAMIC_DISPATCH(TargetName)(); }

}  // namespace paramd::kernels
#endif  // HWY_ONCE
