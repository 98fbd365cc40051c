// Built-ins on tensors of strings.
#include <re2/re2.h>

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_set.h"
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

// The upper or lower case of a code point in the scripts that have one letter
// for each and lie in one block: ASCII, Latin-1, Latin Extended-A, Greek, Cyrillic.
uint32_t ChangedCase(uint32_t c, bool upper) {
  const auto between = [c](uint32_t first, uint32_t last) { return c >= first && c <= last; };
  struct Block {
    uint32_t upper, lower, count;
  };
  constexpr Block kBlocks[] = {{'A', 'a', 26},     {0xC0, 0xE0, 23},  {0xD8, 0xF8, 7},
                               {0x391, 0x3B1, 17}, {0x3A3, 0x3C3, 9}, {0x410, 0x430, 32},
                               {0x400, 0x450, 16}};
  for (const Block& block : kBlocks) {
    if (upper && between(block.lower, block.lower + block.count - 1)) {
      return c - block.lower + block.upper;
    }
    if (!upper && between(block.upper, block.upper + block.count - 1)) {
      return c - block.upper + block.lower;
    }
  }
  // Pairs side by side: the upper one is even, or in two stretches odd.
  if (between(0x139, 0x148) || between(0x179, 0x17E)) {
    return upper ? c - (c % 2 == 0) : c + (c % 2 == 1);
  }
  if (between(0x100, 0x137) && c != 0x130 && c != 0x131) return upper ? c & ~1u : c | 1u;
  if (between(0x14A, 0x177)) return upper ? c & ~1u : c | 1u;
  return c;
}

// `text` in one case. Bytes that are no UTF-8 of two bytes stay.
std::string InCase(const std::string& text, bool upper) {
  std::string result;
  result.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    const auto lead = static_cast<unsigned char>(text[i]);
    const auto next = i + 1 < text.size() ? static_cast<unsigned char>(text[i + 1]) : 0;
    if (lead >= 0xC2 && lead <= 0xDF && (next & 0xC0) == 0x80) {
      const uint32_t c = ChangedCase((lead & 0x1Fu) << 6 | (next & 0x3Fu), upper);
      result += static_cast<char>(0xC0 | c >> 6);
      result += static_cast<char>(0x80 | (c & 0x3F));
      ++i;
    } else {
      result += lead < 0x80 ? static_cast<char>(ChangedCase(lead, upper)) : text[i];
    }
  }
  return result;
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

// inputs {x [C] or [1, C]}; outputs {those that are no stop words, in one case}:
// one empty string where none is left.
absl::StatusOr<Values> RunStringNormalizer(const BuiltinCall& call) {
  PARAMD_ASSIGN_OR_RETURN(const RuntimeValue* x, StringInput(call, 0));
  const Node& node = *call.node;
  const Shape& shape = x->shape();
  if (shape.rank() != 1 && (shape.rank() != 2 || shape.dim(0) != 1)) {
    return absl::InvalidArgumentError(StrCat("x is ", shape.ToString(), ", expected [C] or [1,C]"));
  }
  const std::string action = node.GetString("case_change_action", "NONE");
  const bool exact = node.GetInt("is_case_sensitive", 0) != 0;
  absl::flat_hash_set<std::string> stop_words;
  if (const auto it = node.attributes.find("stopwords"); it != node.attributes.end()) {
    if (const auto* words = std::get_if<std::vector<std::string>>(&it->second)) {
      for (const std::string& word : *words) {
        stop_words.insert(exact ? word : InCase(word, /*upper=*/false));
      }
    }
  }
  std::vector<std::string> left;
  for (const std::string& text : x->view().as<std::string>()) {
    const bool stops =
        !stop_words.empty() && stop_words.contains(exact ? text : InCase(text, /*upper=*/false));
    if (!stops) left.push_back(action == "NONE" ? text : InCase(text, action == "UPPER"));
  }
  if (left.empty()) left.emplace_back();
  Shape result_shape = shape;
  result_shape.set_dim(shape.rank() - 1, static_cast<int64_t>(left.size()));
  PARAMD_ASSIGN_OR_RETURN(Tensor result, call.interpreter->NewTensor(DType::kString, result_shape));
  std::move(left.begin(), left.end(), result.view().as<std::string>().begin());
  Values outputs;
  outputs.push_back(RuntimeValue::Of(std::move(result)));
  return outputs;
}

// inputs {x}; outputs {bool: which are matched by the pattern from end to end}.
absl::StatusOr<Values> RunRegexFullMatch(const BuiltinCall& call) {
  PARAMD_ASSIGN_OR_RETURN(const RuntimeValue* x, StringInput(call, 0));
  const RE2 pattern(call.node->GetString("pattern", ""), RE2::Quiet);
  if (!pattern.ok()) {
    return absl::InvalidArgumentError(StrCat("the pattern is wrong: ", pattern.error()));
  }
  PARAMD_ASSIGN_OR_RETURN(Tensor result, call.interpreter->NewTensor(DType::kBool, x->shape()));
  auto* to = static_cast<uint8_t*>(result.view().data);
  for (const std::string& text : x->view().as<std::string>()) {
    *to++ = RE2::FullMatch(text, pattern) ? 1 : 0;
  }
  Values outputs;
  outputs.push_back(RuntimeValue::Of(std::move(result)));
  return outputs;
}

}  // namespace paramd
