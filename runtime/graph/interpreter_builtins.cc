#include "runtime/graph/interpreter_builtins.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/graph/interpreter.h"
#include "runtime/graph/tensor_values.h"

namespace paramd {
namespace {

using Values = std::vector<RuntimeValue>;

// inputs {x}; outputs {i64 [rank, number of elements that are not zero]}.
absl::StatusOr<Values> RunNonZero(const BuiltinCall& call) {
  PARAMD_ASSIGN_OR_RETURN(const RuntimeValue* x, call.TensorInput(0));
  const auto numbers = FloatValues(x->view());
  if (!numbers.has_value()) {
    return absl::UnimplementedError(StrCat("NonZero of ", DTypeName(x->dtype())));
  }
  const Shape& shape = x->shape();
  // A scalar counts as a vector of one.
  const int rank = std::max(shape.rank(), 1);
  const int64_t found =
      std::count_if(numbers->begin(), numbers->end(), [](double number) { return number != 0; });
  PARAMD_ASSIGN_OR_RETURN(Tensor indices,
                          call.interpreter->NewTensor(DType::kI64, Shape{rank, found}));
  auto* const out = static_cast<int64_t*>(indices.view().data);
  int64_t column = 0;
  for (size_t at = 0; at < numbers->size(); ++at) {
    if ((*numbers)[at] == 0) continue;
    auto rest = static_cast<int64_t>(at);
    for (int axis = rank - 1; axis >= 0; --axis) {
      const int64_t dim = shape.rank() == 0 ? 1 : shape.dim(axis);
      out[axis * found + column] = rest % dim;
      rest /= dim;
    }
    ++column;
  }
  Values outputs;
  outputs.push_back(RuntimeValue::Of(std::move(indices)));
  return outputs;
}

absl::StatusOr<Values> RunSequenceConstruct(const BuiltinCall& call) {
  if (call.inputs.empty()) return absl::InvalidArgumentError("takes at least one tensor");
  PARAMD_ASSIGN_OR_RETURN(const RuntimeValue* first, call.TensorInput(0));
  Values elements;
  for (size_t i = 0; i < call.inputs.size(); ++i) {
    PARAMD_ASSIGN_OR_RETURN(const RuntimeValue* element, call.TensorInput(i));
    if (element->dtype() != first->dtype()) {
      return absl::InvalidArgumentError(StrCat("element ", i, " is ", DTypeName(element->dtype()),
                                               ", the first is ", DTypeName(first->dtype())));
    }
    elements.push_back(*element);
  }
  return Values{RuntimeValue::Sequence(first->dtype(), std::move(elements))};
}

absl::StatusOr<Values> RunSequenceEmpty(const BuiltinCall& call) {
  const auto dtype = DTypeFromOnnx(static_cast<int32_t>(call.node->GetInt("dtype", 1)));
  if (!dtype.has_value()) return absl::InvalidArgumentError("attribute dtype names no type");
  return Values{RuntimeValue::Sequence(*dtype, {})};
}

absl::StatusOr<Values> RunSequenceLength(const BuiltinCall& call) {
  PARAMD_ASSIGN_OR_RETURN(const RuntimeValue* sequence, call.SequenceInput(0));
  const Shape scalar;
  Tensor length(DType::kI64, scalar);
  *static_cast<int64_t*>(length.view().data) = static_cast<int64_t>(sequence->elements().size());
  Values outputs;
  outputs.push_back(RuntimeValue::Of(std::move(length)));
  return outputs;
}

// An index into [0, length), negative ones from the end; `length` itself where
// `end_allowed`.
absl::StatusOr<size_t> Position(const BuiltinCall& call, size_t input, size_t length,
                                bool end_allowed) {
  PARAMD_ASSIGN_OR_RETURN(int64_t index, call.ScalarInput(input));
  const auto count = static_cast<int64_t>(length);
  if (index < -count || index >= count + (end_allowed ? 1 : 0)) {
    return absl::InvalidArgumentError(
        StrCat("position ", index, " is outside a sequence of ", length));
  }
  return static_cast<size_t>(index < 0 ? index + count : index);
}

absl::StatusOr<Values> RunSequenceAt(const BuiltinCall& call) {
  PARAMD_ASSIGN_OR_RETURN(const RuntimeValue* sequence, call.SequenceInput(0));
  PARAMD_ASSIGN_OR_RETURN(const size_t at, Position(call, 1, sequence->elements().size(), false));
  return Values{sequence->elements()[at]};
}

absl::StatusOr<Values> RunSequenceInsert(const BuiltinCall& call) {
  PARAMD_ASSIGN_OR_RETURN(const RuntimeValue* sequence, call.SequenceInput(0));
  PARAMD_ASSIGN_OR_RETURN(const RuntimeValue* element, call.TensorInput(1));
  if (element->dtype() != sequence->dtype()) {
    return absl::InvalidArgumentError(StrCat("inserting ", DTypeName(element->dtype()),
                                             " into a sequence of ", DTypeName(sequence->dtype())));
  }
  Values elements = sequence->elements();
  size_t at = elements.size();
  if (call.Has(2)) {
    PARAMD_ASSIGN_OR_RETURN(at, Position(call, 2, elements.size(), true));
  }
  elements.insert(elements.begin() + static_cast<int64_t>(at), *element);
  return Values{RuntimeValue::Sequence(sequence->dtype(), std::move(elements))};
}

absl::StatusOr<Values> RunSequenceErase(const BuiltinCall& call) {
  PARAMD_ASSIGN_OR_RETURN(const RuntimeValue* sequence, call.SequenceInput(0));
  Values elements = sequence->elements();
  if (elements.empty()) return absl::InvalidArgumentError("the sequence is empty");
  size_t at = elements.size() - 1;
  if (call.Has(1)) {
    PARAMD_ASSIGN_OR_RETURN(at, Position(call, 1, elements.size(), false));
  }
  elements.erase(elements.begin() + static_cast<int64_t>(at));
  return Values{RuntimeValue::Sequence(sequence->dtype(), std::move(elements))};
}

absl::StatusOr<Values> RunConcatFromSequence(const BuiltinCall& call) {
  PARAMD_ASSIGN_OR_RETURN(const RuntimeValue* sequence, call.SequenceInput(0));
  const int64_t axis = call.node->GetInt("axis", 0);
  if (axis < -kRankMax || axis > kRankMax) {
    return absl::InvalidArgumentError(StrCat("axis ", axis, " is outside any rank"));
  }
  PARAMD_ASSIGN_OR_RETURN(RuntimeValue joined,
                          JoinAlong(*call.interpreter, sequence->elements(), static_cast<int>(axis),
                                    call.node->GetInt("new_axis", 0) != 0));
  return Values{std::move(joined)};
}

// An optional is its content, or absent.
absl::StatusOr<Values> RunOptional(const BuiltinCall& call) {
  return Values{call.inputs.empty() ? RuntimeValue() : call.inputs[0]};
}

absl::StatusOr<Values> RunOptionalHasElement(const BuiltinCall& call) {
  Tensor has(DType::kBool, Shape{});
  *static_cast<uint8_t*>(has.view().data) = call.Has(0);
  Values outputs;
  outputs.push_back(RuntimeValue::Of(std::move(has)));
  return outputs;
}

absl::StatusOr<Values> RunOptionalGetElement(const BuiltinCall& call) {
  if (!call.Has(0)) return absl::InvalidArgumentError("the optional holds nothing");
  return Values{call.inputs[0]};
}

// Of any kind of value; the operator table's row knows tensors only.
absl::StatusOr<Values> RunIdentity(const BuiltinCall& call) {
  if (call.inputs.empty()) return absl::InvalidArgumentError("takes one input");
  return Values{call.inputs[0]};
}

constexpr InterpreterBuiltin kBuiltins[] = {
    {"If", RunIf},
    {"Loop", RunLoop},
    {"Scan", RunScan},
    {"NonZero", RunNonZero},
    {"Identity", RunIdentity},
    {"Compress", RunCompress},
    {"Unique", RunUnique},
    {"NonMaxSuppression", RunNonMaxSuppression},
    {"SplitToSequence", RunSplitToSequence},
    {"StringConcat", RunStringConcat},
    {"StringSplit", RunStringSplit},
    {"StringNormalizer", RunStringNormalizer},
    {"RegexFullMatch", RunRegexFullMatch},
    {"SequenceConstruct", RunSequenceConstruct},
    {"SequenceEmpty", RunSequenceEmpty},
    {"SequenceLength", RunSequenceLength},
    {"SequenceAt", RunSequenceAt},
    {"SequenceInsert", RunSequenceInsert},
    {"SequenceErase", RunSequenceErase},
    {"ConcatFromSequence", RunConcatFromSequence},
    {"Optional", RunOptional},
    {"OptionalHasElement", RunOptionalHasElement},
    {"OptionalGetElement", RunOptionalGetElement},
};

}  // namespace

absl::StatusOr<const RuntimeValue*> BuiltinCall::TensorInput(size_t i) const {
  if (i < inputs.size() && inputs[i].is_tensor()) return &inputs[i];
  return absl::InvalidArgumentError(StrCat("input ", i, " is not a tensor"));
}

absl::StatusOr<const RuntimeValue*> BuiltinCall::SequenceInput(size_t i) const {
  if (i < inputs.size() && inputs[i].is_sequence()) return &inputs[i];
  return absl::InvalidArgumentError(StrCat("input ", i, " is not a sequence"));
}

absl::StatusOr<int64_t> BuiltinCall::ScalarInput(size_t i) const {
  PARAMD_ASSIGN_OR_RETURN(const RuntimeValue* value, TensorInput(i));
  const auto numbers = IntValues(value->view());
  if (!numbers.has_value() || numbers->size() != 1) {
    return absl::InvalidArgumentError(StrCat("input ", i, " is not one integer"));
  }
  return numbers->front();
}

absl::StatusOr<const Graph*> BuiltinCall::Subgraph(std::string_view name) const {
  const auto found = node->attributes.find(std::string(name));
  if (found != node->attributes.end()) {
    if (const auto* graph = std::get_if<std::shared_ptr<Graph>>(&found->second);
        graph != nullptr && *graph != nullptr) {
      return graph->get();
    }
  }
  return absl::InvalidArgumentError(StrCat("has no subgraph '", name, "'"));
}

const InterpreterBuiltin* FindBuiltin(std::string_view domain, std::string_view op) {
  if (!domain.empty()) return nullptr;
  for (const InterpreterBuiltin& builtin : kBuiltins) {
    if (builtin.op == op) return &builtin;
  }
  return nullptr;
}

}  // namespace paramd
