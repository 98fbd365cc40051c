// OpSpec: one operation with concrete types and shapes, as a backend compiles
// it. Every operator that a graph or a transformer runs is one of these; what
// an ONNX operator means in them is decided in runtime/graph/ops.
//
// To add an op: a params struct here with its operand list, the reference
// kernel, and (where it pays) another backend's; see CONTRIBUTING.md.
//
// Thread-safety: values.
#ifndef PARAMD_RUNTIME_BACKENDS_OP_SPECS_H_
#define PARAMD_RUNTIME_BACKENDS_OP_SPECS_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "runtime/tensor/dtype.h"
#include "runtime/tensor/shape.h"

namespace paramd {

// How an activation's elements lie in memory. Shapes are always written in
// ONNX's order (N, C, spatial...); channels-last changes only the addresses.
// Both are dense and equally large, so a tensor can be re-laid in place of
// another. Parameters may have any layout that their backend packs.
enum class Layout : uint8_t { kPlain, kChannelsLast };

std::string_view LayoutName(Layout layout);

// A layout of parameters that only the backend which made it can read.
struct PackedLayout {
  std::string descriptor;  // Opaque, stable across processes; empty = plain bytes.
  uint64_t bytes = 0;      // Of the packed tensor.
  bool plain() const { return descriptor.empty(); }
  friend bool operator==(const PackedLayout&, const PackedLayout&) = default;
};

enum class OperandKind : uint8_t {
  kAbsent,      // An optional operand that is not there.
  kActivation,  // Computed per request; lies in the stream's arena.
  kParameter,   // Sealed; the backend may ask for it packed.
};

struct Operand {
  OperandKind kind = OperandKind::kAbsent;
  DType dtype = DType::kUndefined;
  Shape shape;
  Layout layout = Layout::kPlain;  // Activations: how the producer left it.
  // Parameters: the layout that an earlier Compile for another batch size
  // chose, which this one must accept or refuse; empty = choose freely.
  PackedLayout packed;
};

enum class ActivationKind : uint8_t {
  kRelu,
  kLeakyRelu,  // alpha: slope below zero
  kClip,       // [alpha, beta]
  kSigmoid,
  kTanh,
  kElu,          // alpha
  kHardSigmoid,  // max(0, min(1, alpha x + beta))
  kHardSwish,    // x hardsigmoid(x; 1/6, 1/2)
  kSilu,         // x sigmoid(alpha x)
  kGeluErf,
  kGeluTanh,
  kSoftplus,
  kSoftsign,
  kSelu,  // alpha, beta = gamma
  kAbs,
  kNeg,
  kExp,
  kLog,
  kSqrt,
  kReciprocal,
  kErf,
  kFloor,
  kCeil,
  kRound,  // Half to even.
  kSign,
  kSin,
  kCos,
  kNot,
};
std::string_view ActivationKindName(ActivationKind kind);

enum class BinaryKind : uint8_t {
  kAdd,
  kSub,
  kMul,
  kDiv,
  kPow,
  kMin,
  kMax,
  kEqual,
  kLess,
  kLessOrEqual,
  kGreater,
  kGreaterOrEqual,
  kAnd,
  kOr,
  kXor,
  kMod,
};
std::string_view BinaryKindName(BinaryKind kind);

enum class ReduceKind : uint8_t { kSum, kMean, kMax, kMin, kProd, kL1, kL2, kSumSquare };
std::string_view ReduceKindName(ReduceKind kind);

// What happens to an op's result before it is stored, in order.
struct PostOp {
  enum class Kind : uint8_t { kActivation, kAdd };
  Kind kind = Kind::kActivation;
  ActivationKind activation = ActivationKind::kRelu;
  float alpha = 0;
  float beta = 0;
  int operand = -1;  // kAdd: index among the spec's inputs; same shape as the output.
  friend bool operator==(const PostOp&, const PostOp&) = default;
};

// inputs {x [N, C, spatial...], w [M, C/groups, kernel...], bias [M] or absent}
// outputs {y [N, M, spatial_out...]}. One to three spatial dimensions.
struct ConvParams {
  std::vector<int64_t> strides, dilations, pads_begin, pads_end;  // One per spatial dimension.
  int64_t groups = 1;
};

// y = alpha op(a) op(b) + beta bias, numpy broadcasting over leading dimensions.
// inputs {a [..., M, K], b [..., K, N], bias broadcastable to y, or absent};
// rank-1 operands are widened by the importer. outputs {y [..., M, N]}.
struct MatMulParams {
  bool trans_a = false, trans_b = false;  // Of the last two dimensions.
  float alpha = 1, beta = 1;
};

// inputs {x [N, C, spatial...]}; outputs {y}, for max optionally {y, indices i64}. y's dimensions
// are the window's steps rounded down or, in ceil mode, up. Averages divide by the elements under
// the window, or with count_include_pad by the window cut to the padded input.
struct PoolParams {
  enum class Kind : uint8_t { kMax, kAverage };
  Kind kind = Kind::kMax;
  std::vector<int64_t> kernel, strides, dilations, pads_begin, pads_end;
  bool count_include_pad = false;
  // Max: indices count a plane's elements with the last spatial dimension slowest.
  bool column_major = false;
};

// inputs {x}; outputs {y}, elementwise.
struct UnaryParams {
  ActivationKind kind = ActivationKind::kRelu;
  float alpha = 0, beta = 0;
};

// inputs {a, b}, numpy broadcasting; outputs {y}, bool for comparisons. kMod is ONNX's Mod with
// fmod = 0 for integers and fmod = 1 for floats. Only kPow may have operands of different types.
struct BinaryParams {
  BinaryKind kind = BinaryKind::kAdd;
};

// inputs {x}; outputs {y}. Over dimensions [axis, axis + 1), or [axis, rank) when
// flattened (ONNX before opset 13).
struct SoftmaxParams {
  int axis = -1;
  bool flattened = false;
  bool log = false;
};

// inputs {x}; outputs {y}; reduced dimensions are kept as 1 or dropped by the shape of y.
struct ReduceParams {
  ReduceKind kind = ReduceKind::kSum;
  std::vector<int> axes;  // Sorted, in [0, rank); empty = nothing to reduce.
};

// Across channels: y = x / (bias + alpha / size * sum x^2)^beta. inputs {x}; outputs {y}.
struct LrnParams {
  int64_t size = 1;
  float alpha = 0.0001f, beta = 0.75f, bias = 1;
};

// inputs {x [N, C, ...], scale [C], shift [C], mean [C], variance [C]}; outputs {y}.
struct BatchNormParams {
  float epsilon = 1e-5f;
};

// inputs {x, scale, bias or absent}; outputs {y}; normalised over [axis, rank).
struct LayerNormParams {
  int axis = -1;
  float epsilon = 1e-5f;
};

// y = softmax(scale q k^T, masked) v, a product for each batch and head. inputs {q [B, H, rows, D],
// k [B, H, keys, D], v [B, H, keys, E], mask or absent, keep bool or absent}; outputs {y [B, H,
// rows, E]}; or all without B. Batches, heads and the two masks over [B, H, rows, keys] broadcast.
struct AttentionParams {
  float scale = 1;
  // Dimension i above is the operand's dimension perm[i]; dimension i of the output that is
  // written is y's dimension y_perm[i]: a Transpose's perm, each. Empty: as above.
  std::vector<int> q_perm, k_perm, v_perm, y_perm;
  // Where keep is false (drop: true) the score is `fill`; the mask is added after that.
  bool drop = false;
  float fill = 0;
  bool zero_nan = false;  // Rows whose softmax is NaN give zeros.
};

// inputs {a, b, ...}; outputs {y}.
struct ConcatParams {
  int axis = 0;
};

// inputs {x}; outputs {y}; y's dimension i is x's dimension perm[i].
struct TransposeParams {
  std::vector<int> perm;
};

// inputs {x}; outputs {y}: the same elements in the same order (Reshape, Flatten, Squeeze,
// Identity, ...). A program makes y an alias of x where it can.
struct ReshapeParams {};

// inputs {x}; outputs {y}. One start, end and step per dimension of x, already clamped.
struct SliceParams {
  std::vector<int64_t> starts, steps;
};

// inputs {x, indices i32/i64}; outputs {y = x indexed along axis}. Indices outside are an error of
// the request: InvalidArgument from Run.
struct GatherParams {
  int axis = 0;
};

// inputs {x}; outputs {y of another type}.
struct CastParams {
  bool saturate = true;  // To an 8-bit float: what is too large is the largest; else NaN or Inf.
};

// inputs {x}; outputs {y}; constant mode, `value` outside.
struct PadParams {
  enum class Mode : uint8_t { kConstant, kReflect, kEdge, kWrap };
  Mode mode = Mode::kConstant;
  std::vector<int64_t> pads_begin, pads_end;  // One per dimension; may be negative.
  double value = 0;
};

// inputs {x}; outputs {y}: numpy broadcasting of x to y's shape.
struct ExpandParams {};

// inputs {condition bool, a, b}; outputs {y}.
struct WhereParams {};

// inputs {x}; outputs {y}: another layout and, between f32 and bf16, another type.
struct ReorderParams {};

// An operation of the many that only the reference has: a row of
// reference/named_ops.h, which says what its operands and numbers are and checks
// them. No post-ops. One that a real model spends time in gets a struct above.
struct NamedParams {
  std::string op;  // "gather_elements"
  std::vector<int64_t> ints;
  std::vector<double> numbers;
};

using OpParams =
    std::variant<ConvParams, MatMulParams, PoolParams, UnaryParams, BinaryParams, SoftmaxParams,
                 ReduceParams, LrnParams, BatchNormParams, LayerNormParams, ConcatParams,
                 TransposeParams, ReshapeParams, SliceParams, GatherParams, CastParams, PadParams,
                 ExpandParams, WhereParams, ReorderParams, NamedParams, AttentionParams>;

struct OpSpec {
  OpParams params;
  // The operation's own operands (optional ones kAbsent where post-ops follow), then those that
  // post-ops add.
  std::vector<Operand> inputs;
  std::vector<Operand> outputs;  // Kind kActivation; layout is the backend's to choose.
  std::vector<PostOp> post_ops;
  int threads = 1;  // The team that will run it: backends choose blockings by it.
};

// "conv", "matmul", ...: for plans, logs and metrics.
// Valid while `params` are.
std::string_view OpName(const OpParams& params);

// "conv f32[1,3,224,224] x f32[64,3,7,7] -> [1,64,112,112] +relu": for plans and refusals.
std::string Describe(const OpSpec& spec);

}  // namespace paramd

#endif  // PARAMD_RUNTIME_BACKENDS_OP_SPECS_H_
