#include "runtime/graph/op_precision.h"

#include <type_traits>

namespace paramd {
namespace {

bool Robust(ActivationKind kind) {
  switch (kind) {
    case ActivationKind::kExp:
    case ActivationKind::kLog:
    case ActivationKind::kReciprocal:
    case ActivationKind::kSin:
    case ActivationKind::kCos:
    case ActivationKind::kSqrt:
      return false;
    default:
      return true;
  }
}

struct UseOf {
  Bf16Use operator()(const ConvParams&) const { return Bf16Use::kGains; }
  Bf16Use operator()(const MatMulParams&) const { return Bf16Use::kGains; }
  // Scores and sums are f32 inside; operands come and results go as they are.
  Bf16Use operator()(const AttentionParams&) const { return Bf16Use::kFollows; }
  Bf16Use operator()(const PoolParams&) const { return Bf16Use::kFollows; }
  Bf16Use operator()(const ConcatParams&) const { return Bf16Use::kFollows; }
  Bf16Use operator()(const ReshapeParams&) const { return Bf16Use::kFollows; }
  Bf16Use operator()(const TransposeParams&) const { return Bf16Use::kFollows; }
  Bf16Use operator()(const PadParams&) const { return Bf16Use::kFollows; }
  Bf16Use operator()(const SliceParams&) const { return Bf16Use::kFollows; }
  Bf16Use operator()(const UnaryParams& unary) const {
    return Robust(unary.kind) ? Bf16Use::kFollows : Bf16Use::kNever;
  }
  Bf16Use operator()(const BinaryParams& binary) const {
    switch (binary.kind) {
      case BinaryKind::kAdd:
      case BinaryKind::kSub:
      case BinaryKind::kMul:
      case BinaryKind::kMin:
      case BinaryKind::kMax:
        return Bf16Use::kFollows;
      default:
        return Bf16Use::kNever;
    }
  }
  Bf16Use operator()(const ReduceParams& reduce) const {
    // Sums are kept in f32 by every kernel; only the result is rounded.
    return reduce.kind == ReduceKind::kMean || reduce.kind == ReduceKind::kMax ? Bf16Use::kFollows
                                                                               : Bf16Use::kNever;
  }
  template <typename Other>
  Bf16Use operator()(const Other&) const {
    return Bf16Use::kNever;
  }
};

}  // namespace

Bf16Use Bf16UseOf(const OpParams& params) { return std::visit(UseOf{}, params); }

}  // namespace paramd
