// The table of conformance cases: what every backend is asked to compute.
//
// To add one: a line in the cases_*.cc of its family. Shapes are small and odd
// (remainders of every vector width), one case a behaviour.
//
// Thread-safety: values and pure functions.
#ifndef PARAMD_TESTS_CONFORMANCE_CASES_H_
#define PARAMD_TESTS_CONFORMANCE_CASES_H_

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/backends/op_specs.h"

namespace paramd::conformance {

// What an operand is filled with.
enum class Data : uint8_t {
  kNormal,     // Floats: normal around 0; integers: -9 to 9, or 0 to 9; bools.
  kPositive,   // 0.1 to 3; integers 1 to 9.
  kNonZero,    // 0.5 to 3 on either side of 0.
  kSmallInts,  // Whole numbers from -3 to 3 (0 to 3), also in floats: equal ones occur.
  kIndices,    // From -range to range - 1.
  kBytes,      // Of 8-bit types: every value.
  kSmall,      // Floats: 0.001 to 0.1.
};

struct Case {
  std::string name;  // "conv/3x3_stride2/bf16"
  OpSpec spec;
  std::vector<Data> data;   // One an operand; kNormal beyond the list.
  int64_t index_range = 1;  // For kIndices.
  // The models of the first issue need this from the fast backend: a refusal
  // fails the test.
  bool onednn_must_take = false;
};

// Operands.
inline Operand Activation(DType dtype, Shape shape) {
  return {.kind = OperandKind::kActivation, .dtype = dtype, .shape = std::move(shape)};
}
inline Operand Parameter(DType dtype, Shape shape) {
  return {.kind = OperandKind::kParameter, .dtype = dtype, .shape = std::move(shape)};
}
inline Operand Absent() { return {}; }

// Post-ops.
inline PostOp Then(ActivationKind kind, float alpha = 0, float beta = 0) {
  return {.kind = PostOp::Kind::kActivation, .activation = kind, .alpha = alpha, .beta = beta};
}
inline PostOp ThenAdd(int operand) { return {.kind = PostOp::Kind::kAdd, .operand = operand}; }

// One case for each type, "name/type". f32 is what oneDNN must take where asked.
struct CaseOptions {
  std::vector<DType> dtypes = {DType::kF32, DType::kBF16, DType::kF16, DType::kF64};
  std::vector<Data> data;
  int64_t index_range = 1;
  bool onednn_must_take = false;
};
void AddCases(std::vector<Case>* cases, std::string_view name, const CaseOptions& options,
              const std::function<OpSpec(DType)>& make);

std::vector<Case> WindowCases();  // Convolution and pooling.
std::vector<Case> MatMulCases();
std::vector<Case> AttentionCases();
std::vector<Case> ElementwiseCases();  // Unary, binary, where, cast.
std::vector<Case> RowCases();          // Softmax, reductions, normalisations.
std::vector<Case> MovementCases();

// All of them, in this order.
std::vector<Case> AllCases();

// The operations of NamedParams that more than one backend has, for `batch` rows
// or images. The oracle does not know them: ONNX's node tests do.
std::vector<Case> NamedCases(int64_t batch);

}  // namespace paramd::conformance

#endif  // PARAMD_TESTS_CONFORMANCE_CASES_H_
