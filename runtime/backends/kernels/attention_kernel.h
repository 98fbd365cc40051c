// Attention of one head: y = softmax(scale q k^T, masked) v, without ever
// holding the scores of more than a block of rows.
//
// With S rows, T keys, head sizes D and E:
//   operations  2 S T (D + E) in the products, S T exponentials
//   read        q, k, v once (k and v as panels of 32 columns, packed here: T (D + E)
//               floats written and read again once a block of rows, from the caches),
//               the mask once
//   written     y once
//   scratch     the panels, and a block of rows: R (D + T + E) floats, R = 32 as long
//               as its scores stay in the second-level cache (AttentionRows)
// Written out as operators the scores go through memory six times (written by the
// product, read and written by mask and softmax, read by the second product), and
// q, k, v and y once more each for their transposes: those are steps here.
//
// Scores and sums are f32. A row of whose keys none is left (all -inf) is NaN, as
// Softmax has it, or zeros where zero_nan says so.
//
// Thread-safety: a pure function of its task.
#ifndef PARAMD_RUNTIME_BACKENDS_KERNELS_ATTENTION_KERNEL_H_
#define PARAMD_RUNTIME_BACKENDS_KERNELS_ATTENTION_KERNEL_H_

#include <cstddef>
#include <cstdint>

#include "runtime/backends/attention_shape.h"

namespace paramd::kernels {

// Columns of a panel.
inline constexpr int64_t kPanel = 32;

// Rows of one block.
int64_t AttentionRows(const AttentionShape& shape);
// Floats of scratch for one head.
int64_t AttentionScratch(const AttentionShape& shape);

struct AttentionTask {
  AttentionShape shape;
  float scale = 1;
  bool drop = false;
  float fill = 0;
  bool zero_nan = false;
  bool q_bf16 = false, k_bf16 = false, v_bf16 = false, y_bf16 = false;
  // At the head's first element; the masks are null where there is none.
  const void *q = nullptr, *k = nullptr, *v = nullptr;
  const float* mask = nullptr;
  const uint8_t* keep = nullptr;
  void* y = nullptr;
  float* scratch = nullptr;  // AttentionScratch floats, 64-byte aligned.
};

void AttentionHead(const AttentionTask& task);

// "AVX3_ZEN4": the instruction set that runs here.
const char* AttentionTargetName();

}  // namespace paramd::kernels

#endif  // PARAMD_RUNTIME_BACKENDS_KERNELS_ATTENTION_KERNEL_H_
