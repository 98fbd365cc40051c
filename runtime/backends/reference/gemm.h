// Gemm: the one multiply loop, used by matmul and convolution.
//
// Columns are taken eight at a time: the caller packs a panel of B, [k][8] with
// zeros beyond the last column, and 4 x 8 results stay in registers while k
// runs. The compiler's vector type does it because -O2 alone does not
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

inline constexpr int64_t kPanelColumns = 8;
inline constexpr int64_t kPanelRows = 4;
inline constexpr int64_t kSumBlock = 256;

// A's element (i, l) is data[i * row + l * column].
template <typename T>
struct GemmLeft {
  const T* data = nullptr;
  int64_t row = 0, column = 0;
};

// tile[r] = A's rows i .. i+Rows-1 times the panel, summed over k.
template <int Rows, typename T>
void GemmTile(const GemmLeft<T>& a, const T* panel, int64_t k, T (*tile)[kPanelColumns]) {
  typedef T Vector __attribute__((vector_size(sizeof(T) * kPanelColumns)));
  Vector total[Rows] = {};
  for (int64_t begin = 0; begin < k; begin += kSumBlock) {
    const int64_t end = std::min(k, begin + kSumBlock);
    Vector sum[Rows] = {};
    for (int64_t l = begin; l < end; ++l) {
      Vector b;
      std::memcpy(&b, panel + l * kPanelColumns, sizeof(b));
      for (int r = 0; r < Rows; ++r) sum[r] += a.data[r * a.row + l * a.column] * b;
    }
    for (int r = 0; r < Rows; ++r) total[r] += sum[r];
  }
  for (int r = 0; r < Rows; ++r) std::memcpy(tile[r], &total[r], sizeof(Vector));
}

// Calls pack(first column, columns, panel) for each panel of the n columns and
// store(row, first column, columns, sums) for each row of each panel. `panel` is
// k * 8 elements of scratch.
template <typename T, typename Pack, typename Store>
void Gemm(int64_t m, int64_t n, int64_t k, const GemmLeft<T>& a, T* panel, Pack&& pack,
          Store&& store) {
  for (int64_t j = 0; j < n; j += kPanelColumns) {
    const int64_t columns = std::min(kPanelColumns, n - j);
    pack(j, columns, panel);
    for (int64_t i = 0; i < m; i += kPanelRows) {
      T tile[kPanelRows][kPanelColumns];
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
      for (int64_t r = 0; r < count; ++r) store(i + r, j, columns, tile[r]);
    }
  }
}

}  // namespace paramd::reference

#endif  // PARAMD_RUNTIME_BACKENDS_REFERENCE_GEMM_H_
