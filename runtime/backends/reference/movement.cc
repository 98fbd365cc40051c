// Ops that move elements without looking at them: Concat, Transpose, Slice,
// Gather, Expand, Where and Reorder. Any type of a fixed size, and strings.
#include <algorithm>
#include <string>

#include "runtime/backends/reference/dtype_dispatch.h"
#include "runtime/backends/reference/kernels.h"
#include "runtime/backends/reference/strided_loop.h"
#include "runtime/backends/spec_validation.h"

namespace paramd::reference {
namespace {

// y's elements in the loop's order from x's: operand 0 is x, 1 is y.
absl::StatusOr<KernelPlan> CopyLoop(const OpSpec& spec, const StridedLoop<2>& loop) {
  return VisitMovable(spec.inputs[0].dtype, OpName(spec.params),
                      [&]<typename T>() -> absl::StatusOr<KernelPlan> {
                        return KernelPlan{[loop](const KernelArgs& args) {
                          const T* x = args.in<T>(0);
                          T* y = args.out<T>(0);
                          const int64_t sx = loop.inner(0), sy = loop.inner(1);
                          loop.ForEachRow([&](const std::array<int64_t, 2>& at, int64_t count) {
                            const T* from = x + at[0];
                            T* to = y + at[1];
                            if (sx == 1 && sy == 1) {
                              std::copy_n(from, count, to);
                            } else if (sx == 0 && sy == 1) {
                              std::fill_n(to, count, *from);
                            } else {
                              for (int64_t i = 0; i < count; ++i) to[i * sy] = from[i * sx];
                            }
                          });
                          return absl::OkStatus();
                        }};
                      });
}

// Strides in the order N, C, spatial of a tensor laid out N, spatial, C.
Strides ChannelsLastStrides(const Shape& shape) {
  if (shape.rank() < 3) return DenseStrides(shape);
  Shape laid{shape.dim(0)};
  for (int i = 2; i < shape.rank(); ++i) laid.push_back(shape.dim(i));
  laid.push_back(shape.dim(1));
  const Strides dense = DenseStrides(laid);
  Strides strides{};
  const auto rank = static_cast<size_t>(shape.rank());
  strides[0] = dense[0];
  strides[1] = dense[rank - 1];
  for (size_t i = 2; i < rank; ++i) strides[i] = dense[i - 1];
  return strides;
}

Strides LayoutStrides(const Shape& shape, Layout layout) {
  return layout == Layout::kChannelsLast ? ChannelsLastStrides(shape) : DenseStrides(shape);
}

// One input of a concatenation: `block` elements of every outer step.
struct Part {
  int64_t block = 0, offset = 0;
};

template <typename T, typename Index>
absl::Status GatherAlong(int64_t outer, int64_t dim, int64_t inner, int64_t count,
                         const KernelArgs& args) {
  const T* x = args.in<T>(0);
  const Index* indices = args.in<Index>(1);
  T* y = args.out<T>(0);
  // All are looked at before any element moves, and also where nothing moves.
  for (int64_t i = 0; i < count; ++i) {
    if (indices[i] < -dim || indices[i] >= dim) {
      return absl::InvalidArgumentError(
          StrCat("gather: the index at position ", i, " is outside [", -dim, ",", dim, ")"));
    }
  }
  for (int64_t o = 0; o < outer; ++o) {
    for (int64_t i = 0; i < count; ++i) {
      const int64_t index = indices[i] < 0 ? indices[i] + dim : indices[i];
      std::copy_n(x + (o * dim + index) * inner, inner, y + (o * count + i) * inner);
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<KernelPlan> CompileKernel(const OpSpec& spec, const TransposeParams& params) {
  const Shape& y = spec.outputs[0].shape;
  const Strides dense = DenseStrides(spec.inputs[0].shape);
  Strides from{};
  for (size_t i = 0; i < params.perm.size(); ++i) {
    from[i] = dense[static_cast<size_t>(params.perm[i])];
  }
  return CopyLoop(spec, StridedLoop<2>(y.dims(), {from, DenseStrides(y)}));
}

absl::StatusOr<KernelPlan> CompileKernel(const OpSpec& spec, const SliceParams& params) {
  const Shape& y = spec.outputs[0].shape;
  const Strides dense = DenseStrides(spec.inputs[0].shape);
  Strides from{};
  int64_t base = 0;
  // Starts and steps are in range only where there is something to take.
  if (y.elements() > 0) {
    for (int i = 0; i < y.rank(); ++i) {
      const auto d = static_cast<size_t>(i);
      base += params.starts[d] * dense[d];
      from[d] = y.dim(i) == 1 ? 0 : params.steps[d] * dense[d];
    }
  }
  return CopyLoop(spec, StridedLoop<2>(y.dims(), {from, DenseStrides(y)}, {base, 0}));
}

absl::StatusOr<KernelPlan> CompileKernel(const OpSpec& spec, const ExpandParams&) {
  const Shape& y = spec.outputs[0].shape;
  return CopyLoop(
      spec, StridedLoop<2>(y.dims(), {BroadcastStrides(spec.inputs[0].shape, y), DenseStrides(y)}));
}

absl::StatusOr<KernelPlan> CompileKernel(const OpSpec& spec, const ReorderParams&) {
  const Operand& y = spec.outputs[0];
  // Another type has been staged: the kernel sees one type on both sides.
  if (y.layout != Layout::kPlain) {
    for (const PostOp& post_op : spec.post_ops) {
      if (post_op.kind == PostOp::Kind::kAdd) {
        return absl::UnimplementedError("reorder to channels_last with an operand added");
      }
    }
  }
  return CopyLoop(spec,
                  StridedLoop<2>(y.shape.dims(), {LayoutStrides(y.shape, spec.inputs[0].layout),
                                                  LayoutStrides(y.shape, y.layout)}));
}

absl::StatusOr<KernelPlan> CompileKernel(const OpSpec& spec, const ConcatParams& params) {
  const Shape& y = spec.outputs[0].shape;
  const int axis = CanonicalAxis(params.axis, y.rank());
  int64_t outer = 1, inner = 1;
  if (y.elements() > 0) {
    for (int i = 0; i < axis; ++i) outer *= y.dim(i);
    for (int i = axis + 1; i < y.rank(); ++i) inner *= y.dim(i);
  } else {
    outer = 0;
  }
  std::vector<Part> parts;
  int64_t offset = 0;
  for (int i = 0; i < OwnInputs(spec) && outer > 0; ++i) {
    const int64_t block = spec.inputs[static_cast<size_t>(i)].shape.dim(axis) * inner;
    parts.push_back({block, offset});
    offset += block;
  }
  return VisitMovable(spec.inputs[0].dtype, "concat",
                      [&]<typename T>() -> absl::StatusOr<KernelPlan> {
                        return KernelPlan{[parts, outer, row = offset](const KernelArgs& args) {
                          T* y = args.out<T>(0);
                          for (size_t i = 0; i < parts.size(); ++i) {
                            const T* x = args.in<T>(static_cast<int>(i));
                            const auto [block, at] = parts[i];
                            for (int64_t o = 0; o < outer && block > 0; ++o) {
                              std::copy_n(x + o * block, block, y + o * row + at);
                            }
                          }
                          return absl::OkStatus();
                        }};
                      });
}

absl::StatusOr<KernelPlan> CompileKernel(const OpSpec& spec, const GatherParams& params) {
  const Shape& x = spec.inputs[0].shape;
  const Operand& indices = spec.inputs[1];
  const int axis = CanonicalAxis(params.axis, x.rank());
  int64_t outer = 1, inner = 1;
  if (spec.outputs[0].shape.elements() > 0) {
    for (int i = 0; i < axis; ++i) outer *= x.dim(i);
    for (int i = axis + 1; i < x.rank(); ++i) inner *= x.dim(i);
  } else {
    outer = 0;
  }
  const int64_t dim = x.dim(axis), count = indices.shape.elements();
  const bool wide = indices.dtype == DType::kI64;
  return VisitMovable(spec.inputs[0].dtype, "gather",
                      [&]<typename T>() -> absl::StatusOr<KernelPlan> {
                        return KernelPlan{[outer, dim, inner, count, wide](const KernelArgs& args) {
                          return wide ? GatherAlong<T, int64_t>(outer, dim, inner, count, args)
                                      : GatherAlong<T, int32_t>(outer, dim, inner, count, args);
                        }};
                      });
}

absl::StatusOr<KernelPlan> CompileKernel(const OpSpec& spec, const WhereParams&) {
  const Shape& y = spec.outputs[0].shape;
  const StridedLoop<4> loop(y.dims(), {BroadcastStrides(spec.inputs[0].shape, y),
                                       BroadcastStrides(spec.inputs[1].shape, y),
                                       BroadcastStrides(spec.inputs[2].shape, y), DenseStrides(y)});
  return VisitMovable(spec.inputs[1].dtype, "where",
                      [&]<typename T>() -> absl::StatusOr<KernelPlan> {
                        return KernelPlan{[loop](const KernelArgs& args) {
                          const auto* condition = args.in<uint8_t>(0);
                          const T* a = args.in<T>(1);
                          const T* b = args.in<T>(2);
                          T* y = args.out<T>(0);
                          const int64_t sc = loop.inner(0), sa = loop.inner(1), sb = loop.inner(2),
                                        sy = loop.inner(3);
                          loop.ForEachRow([&](const std::array<int64_t, 4>& at, int64_t count) {
                            for (int64_t i = 0; i < count; ++i) {
                              const bool first = condition[at[0] + i * sc] != 0;
                              y[at[3] + i * sy] = first ? a[at[1] + i * sa] : b[at[2] + i * sb];
                            }
                          });
                          return absl::OkStatus();
                        }};
                      });
}

}  // namespace paramd::reference
