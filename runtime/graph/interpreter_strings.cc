// Built-ins on tensors of strings.
#include <algorithm>
#include <utility>

#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/graph/interpreter.h"
#include "runtime/graph/interpreter_builtins.h"

namespace paramd {
namespace {

using Values = std::vector<RuntimeValue>;

absl::StatusOr<const RuntimeValue*> StringInput(const BuiltinCall& call, size_t i) {
  PARAMD_ASSIGN_OR_RETURN(const RuntimeValue* value, call.TensorInput(i));
  if (value->dtype() == DType::kString) return value;
  return absl::InvalidArgumentError(
      StrCat("input ", i, " is ", DTypeName(value->dtype()), ", expected strings"));
}

// Where element `at` of `to` lies in a tensor of shape `from` that is broadcast to it.
int64_t BroadcastOffset(const Shape& from, const Shape& to, int64_t at) {
  int64_t offset = 0, stride = 1;
  for (int d = to.rank() - 1; d >= 0; --d) {
    const int64_t index = at % to.dim(d);
    at /= to.dim(d);
    const int own = d - (to.rank() - from.rank());
    if (own < 0) continue;
    if (from.dim(own) != 1) offset += index * stride;
    stride *= from.dim(own);
  }
  return offset;
}

// At most `most` cuts (below 0: any number); by runs of white space where the
// delimiter is empty, which gives no empty pieces.
std::vector<std::string> Split(const std::string& text, const std::string& delimiter,
                               int64_t most) {
  constexpr std::string_view kSpace = " \t\n\r\f\v";
  std::vector<std::string> pieces;
  size_t at = 0;
  if (delimiter.empty()) {
    while ((at = text.find_first_not_of(kSpace, at)) != std::string::npos) {
      if (most >= 0 && static_cast<int64_t>(pieces.size()) == most) {
        const size_t last = text.find_last_not_of(kSpace);
        pieces.push_back(text.substr(at, last + 1 - at));
        break;
      }
      const size_t end = std::min(text.find_first_of(kSpace, at), text.size());
      pieces.push_back(text.substr(at, end - at));
      at = end;
    }
    return pieces;
  }
  // An empty text has no pieces.
  if (text.empty()) return pieces;
  while (most < 0 || static_cast<int64_t>(pieces.size()) < most) {
    const size_t end = text.find(delimiter, at);
    if (end == std::string::npos) break;
    pieces.push_back(text.substr(at, end - at));
    at = end + delimiter.size();
  }
  pieces.push_back(text.substr(at));
  return pieces;
}

}  // namespace

// inputs {a, b}, broadcast; outputs {a followed by b}.
absl::StatusOr<Values> RunStringConcat(const BuiltinCall& call) {
  PARAMD_ASSIGN_OR_RETURN(const RuntimeValue* a, StringInput(call, 0));
  PARAMD_ASSIGN_OR_RETURN(const RuntimeValue* b, StringInput(call, 1));
  const int rank = std::max(a->shape().rank(), b->shape().rank());
  Shape shape;
  for (int d = 0; d < rank; ++d) {
    const int ia = d - (rank - a->shape().rank()), ib = d - (rank - b->shape().rank());
    const int64_t da = ia < 0 ? 1 : a->shape().dim(ia), db = ib < 0 ? 1 : b->shape().dim(ib);
    if (da != db && da != 1 && db != 1) {
      return absl::InvalidArgumentError(
          StrCat(a->shape().ToString(), " and ", b->shape().ToString(), " do not broadcast"));
    }
    shape.push_back(da == 1 ? db : da);
  }
  PARAMD_ASSIGN_OR_RETURN(Tensor result, call.interpreter->NewTensor(DType::kString, shape));
  const auto left = a->view().as<std::string>(), right = b->view().as<std::string>();
  const auto to = result.view().as<std::string>();
  for (size_t i = 0; i < to.size(); ++i) {
    const auto at = static_cast<int64_t>(i);
    to[i] = left[static_cast<size_t>(BroadcastOffset(a->shape(), shape, at))] +
            right[static_cast<size_t>(BroadcastOffset(b->shape(), shape, at))];
  }
  Values outputs;
  outputs.push_back(RuntimeValue::Of(std::move(result)));
  return outputs;
}

// inputs {x}; outputs {the pieces of each, along a new last axis, empty ones
// behind; how many there are, i64}.
absl::StatusOr<Values> RunStringSplit(const BuiltinCall& call) {
  PARAMD_ASSIGN_OR_RETURN(const RuntimeValue* x, StringInput(call, 0));
  const std::string delimiter = call.node->GetString("delimiter", "");
  const int64_t most = call.node->GetInt("maxsplit", -1);
  std::vector<std::vector<std::string>> pieces;
  size_t widest = 0;
  for (const std::string& text : x->view().as<std::string>()) {
    pieces.push_back(Split(text, delimiter, most));
    widest = std::max(widest, pieces.back().size());
  }
  Shape shape = x->shape();
  if (shape.rank() >= kRankMax) return absl::InvalidArgumentError("x has too many dimensions");
  PARAMD_ASSIGN_OR_RETURN(Tensor counts, call.interpreter->NewTensor(DType::kI64, shape));
  shape.push_back(static_cast<int64_t>(widest));
  PARAMD_ASSIGN_OR_RETURN(Tensor result, call.interpreter->NewTensor(DType::kString, shape));
  for (size_t i = 0; i < pieces.size(); ++i) {
    counts.view().as<int64_t>()[i] = static_cast<int64_t>(pieces[i].size());
    std::move(pieces[i].begin(), pieces[i].end(),
              result.view().as<std::string>().begin() + static_cast<int64_t>(i * widest));
  }
  Values outputs;
  outputs.push_back(RuntimeValue::Of(std::move(result)));
  outputs.push_back(RuntimeValue::Of(std::move(counts)));
  return outputs;
}

}  // namespace paramd
