// A few rows times packed weights, at the speed at which memory delivers them.
//
// Life: stateless.
// Thread-safety: pure functions over the caller's memory.
#ifndef PARAMD_RUNTIME_BACKENDS_ONEDNN_GEMV_KERNEL_H_
#define PARAMD_RUNTIME_BACKENDS_ONEDNN_GEMV_KERNEL_H_

#include <cstdint>

namespace paramd::onednn {

inline constexpr int kGemvRowsMax = 4;
// Columns of one block of oneDNN's packed weights.
inline constexpr int64_t kGemvBlock = 64;

// out[row][0..64) = sum over k < inner of a[row][k] w[k][0..64).
//
// `weights` is one block: f32 as [inner][64], bf16 as pairs of k,
// [inner / 2][64][2]. `a` has `inner` floats a row, rows one after the other;
// `inner` is even for bf16. REQUIRES: 1 <= rows <= kGemvRowsMax.
void GemvBlock(const void* weights, bool bf16, const float* a, int64_t inner, int rows, float* out);

// The instruction set that GemvBlock runs on here: "AVX3_ZEN4".
const char* GemvTargetName();

}  // namespace paramd::onednn

#endif  // PARAMD_RUNTIME_BACKENDS_ONEDNN_GEMV_KERNEL_H_
