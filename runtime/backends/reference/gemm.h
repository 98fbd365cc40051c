// Gemm: the one multiply loop, used by matmul and convolution.
//
// Columns are taken a panel at a time: the caller packs a panel of B, [k][columns]
// with zeros beyond the last column, and four rows of results stay in registers
// while k runs. The compiler's vector type does it because -O2 alone does not
// vectorise loops whose length is unknown. Sums are formed in blocks of 256, so
// the error of a long sum grows with its blocks and not with its length.
//
// Thread-safety: pure functions.
#ifndef PARAMD_RUNTIME_BACKENDS_REFERENCE_GEMM_H_
#define PARAMD_RUNTIME_BACKENDS_REFERENCE_GEMM_H_

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>

namespace paramd::reference {

template <typename T>
inline constexpr int64_t kPanelColumns = 32 / sizeof(T);  // 8 of f32, 4 of f64.
inline constexpr int64_t kPanelRows = 4;
inline constexpr int64_t kSumBlock = 256;

// A's element (i, l) is data[i * row + l * column].
template <typename T>
struct GemmLeft {
  const T* data = nullptr;
  int64_t row = 0, column = 0;
};

// One row of a tile: two of the 16-byte vectors that every x86-64 has. Wider
// ones would go through memory where the compiler may not use AVX.
template <typename T>
struct TileRow {
  typedef T Vector __attribute__((vector_size(16)));
  Vector low = {}, high = {};

  void AddProduct(T factor, const TileRow& b) {
    low += factor * b.low;
    high += factor * b.high;
  }
  void Add(const TileRow& other) {
    low += other.low;
    high += other.high;
  }
};

// tile[r] = A's rows 0 .. Rows-1 times the panel, summed over k. The four sums are
// written out: -O2 keeps them in registers only as separate variables.
template <int Rows, typename T>
void GemmTile(const GemmLeft<T>& a, const T* panel, int64_t k, TileRow<T>* tile) {
  static_assert(sizeof(TileRow<T>) == sizeof(T) * kPanelColumns<T>);
  const T* a0 = a.data;
  const T* a1 = Rows > 1 ? a0 + a.row : a0;
  const T* a2 = Rows > 2 ? a1 + a.row : a0;
  const T* a3 = Rows > 3 ? a2 + a.row : a0;
  const int64_t step = a.column;
  TileRow<T> total0, total1, total2, total3;
  for (int64_t begin = 0; begin < k; begin += kSumBlock) {
    const int64_t end = std::min(k, begin + kSumBlock);
    TileRow<T> sum0, sum1, sum2, sum3;
    for (int64_t l = begin; l < end; ++l) {
      TileRow<T> b;
      std::memcpy(&b.low, panel + l * kPanelColumns<T>, sizeof(b.low));
      std::memcpy(&b.high, panel + l * kPanelColumns<T> + kPanelColumns<T> / 2, sizeof(b.high));
      sum0.AddProduct(a0[l * step], b);
      if constexpr (Rows > 1) sum1.AddProduct(a1[l * step], b);
      if constexpr (Rows > 2) sum2.AddProduct(a2[l * step], b);
      if constexpr (Rows > 3) sum3.AddProduct(a3[l * step], b);
    }
    total0.Add(sum0);
    if constexpr (Rows > 1) total1.Add(sum1);
    if constexpr (Rows > 2) total2.Add(sum2);
    if constexpr (Rows > 3) total3.Add(sum3);
  }
  tile[0] = total0;
  if constexpr (Rows > 1) tile[1] = total1;
  if constexpr (Rows > 2) tile[2] = total2;
  if constexpr (Rows > 3) tile[3] = total3;
}

// Calls pack(first column, columns, panel) for each panel of the n columns and
// store(row, first column, columns, sums) for each row of each panel. `panel` is
// k * kPanelColumns elements of scratch.
template <typename T, typename Pack, typename Store>
void Gemm(int64_t m, int64_t n, int64_t k, const GemmLeft<T>& a, T* panel, Pack&& pack,
          Store&& store) {
  for (int64_t j = 0; j < n; j += kPanelColumns<T>) {
    const int64_t columns = std::min(kPanelColumns<T>, n - j);
    pack(j, columns, panel);
    for (int64_t i = 0; i < m; i += kPanelRows) {
      TileRow<T> tile[kPanelRows];
      const GemmLeft<T> rows{a.data + i * a.row, a.row, a.column};
      const int64_t count = std::min(kPanelRows, m - i);
      switch (count) {
        case 4:
          GemmTile<4>(rows, panel, k, tile);
          break;
        case 3:
          GemmTile<3>(rows, panel, k, tile);
          break;
        case 2:
          GemmTile<2>(rows, panel, k, tile);
          break;
        default:
          GemmTile<1>(rows, panel, k, tile);
          break;
      }
      for (int64_t r = 0; r < count; ++r) {
        T sums[kPanelColumns<T>];
        std::memcpy(sums, &tile[r], sizeof(sums));
        store(i + r, j, columns, sums);
      }
    }
  }
}

}  // namespace paramd::reference

#endif  // PARAMD_RUNTIME_BACKENDS_REFERENCE_GEMM_H_
