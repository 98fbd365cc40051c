// Gemv: matmuls of one to four rows by weights that do not fit into a core's
// caches, where reading the weights is all the time there is. oneDNN's kernel
// for so few rows waits for memory at less than half of what it delivers
// (README.md), so this room has its own, which reads oneDNN's packed layout: the
// weights stay packed once for every number of rows.
//
// Thread-safety: pure functions.
#ifndef PARAMD_RUNTIME_BACKENDS_ONEDNN_GEMV_H_
#define PARAMD_RUNTIME_BACKENDS_ONEDNN_GEMV_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "oneapi/dnnl/dnnl.hpp"
#include "runtime/backends/backend.h"
#include "runtime/backends/onednn/packed_parameter.h"

namespace paramd::onednn {

struct GemvPlan {
  int rows = 1;
  int64_t inner = 0;         // As the caller has it.
  int64_t inner_packed = 0;  // As the packed weights have it; the rest is zeros.
  int64_t columns = 0;
  bool trans_a = false;  // a is [inner, rows].
  DType a_dtype = DType::kF32;
  DType y_dtype = DType::kF32;
  bool bf16_weights = false;
  bool bias = false;  // Input 2: f32 or bf16, one element or one a column.
  bool bias_is_scalar = false;
  DType bias_dtype = DType::kF32;
  float alpha = 1;
  float beta = 1;
  // y = min(max(y, low), high), or slope y below zero.
  float low = 0, high = 0;
  float slope = 1;
  int threads = 1;
};

// Whether `weights` [inner, columns] lie in the blocks that the kernel reads
// and are large enough to be worth it; fills inner_packed and bf16_weights.
bool GemvReads(const dnnl::memory::desc& weights, GemvPlan* plan);

// Sets low, high and slope; false for post-ops that are none, one relu, leaky
// relu or clip.
bool GemvFuses(const OpSpec& spec, GemvPlan* plan);

// The layouts are those in which rows follow each other: plain for a matmul,
// channels-last for a 1x1 convolution.
std::unique_ptr<const CompiledOp> MakeGemvOp(const GemvPlan& plan, PackedParameter weights,
                                             std::vector<Layout> input_layouts,
                                             Layout output_layout);

}  // namespace paramd::onednn

#endif  // PARAMD_RUNTIME_BACKENDS_ONEDNN_GEMV_H_
