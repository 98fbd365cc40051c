// ai.onnx.ml: labels and categories: looked up in sorted tables, which the
// operator LabelLookup of our own domain does.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <utility>

#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/graph/functions/own_functions.h"
#include "runtime/graph/ops/op_table.h"

namespace paramd {
namespace {

// Keys in ascending order, a NaN last; of equal ones the first counts.
template <typename T>
std::vector<size_t> SortedOrder(absl::Span<const T> keys) {
  const auto before = [](const T& a, const T& b) {
    if constexpr (std::is_floating_point_v<T>) {
      if (std::isnan(a) || std::isnan(b)) return !std::isnan(a) && std::isnan(b);
    }
    return a < b;
  };
  std::vector<size_t> order(keys.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return before(keys[a], keys[b]); });
  const auto equal = [&](size_t a, size_t b) {
    return !before(keys[a], keys[b]) && !before(keys[b], keys[a]);
  };
  order.erase(std::unique(order.begin(), order.end(), equal), order.end());
  return order;
}

template <typename T>
Tensor Chosen(const TensorView& from, const std::vector<size_t>& order) {
  Tensor result(from.dtype, Shape{static_cast<int64_t>(order.size())});
  for (size_t i = 0; i < order.size(); ++i) result.view().as<T>()[i] = from.as<T>()[order[i]];
  return result;
}

// By the type of the elements; kUndefined tensors and other types are refused.
template <typename Fn>
auto VisitLabels(DType dtype, Fn&& fn) -> decltype(fn.template operator()<float>()) {
  switch (dtype) {
    case DType::kString:
      return fn.template operator()<std::string>();
    case DType::kI64:
      return fn.template operator()<int64_t>();
    case DType::kI32:
      return fn.template operator()<int32_t>();
    case DType::kI16:
      return fn.template operator()<int16_t>();
    case DType::kF32:
      return fn.template operator()<float>();
    case DType::kF64:
      return fn.template operator()<double>();
    default:
      return absl::UnimplementedError(StrCat("labels of ", DTypeName(dtype)));
  }
}

// LabelLookup(x, keys, values, otherwise). Without `otherwise` a value that is
// no key is an error of the request.
absl::StatusOr<std::string> Lookup(FunctionBody& body, std::string x, const Tensor& keys,
                                   const Tensor& values, std::string otherwise) {
  if (keys.shape().elements() != values.shape().elements()) {
    return absl::InvalidArgumentError(StrCat("has ", keys.shape().elements(), " keys and ",
                                             values.shape().elements(), " values"));
  }
  std::vector<size_t> order;
  PARAMD_ASSIGN_OR_RETURN(const Tensor sorted,
                          VisitLabels(keys.dtype(), [&]<typename T>() -> absl::StatusOr<Tensor> {
                            order = SortedOrder<T>(keys.view().as<T>());
                            return Chosen<T>(keys.view(), order);
                          }));
  PARAMD_ASSIGN_OR_RETURN(const Tensor meant,
                          VisitLabels(values.dtype(), [&]<typename T>() -> absl::StatusOr<Tensor> {
                            return Chosen<T>(values.view(), order);
                          }));
  FunctionBody::Inputs inputs = {std::move(x), body.Of(sorted), body.Of(meant)};
  if (!otherwise.empty()) inputs.push_back(std::move(otherwise));
  return body.Add("LabelLookup", std::move(inputs), {}, kInternalDomain);
}

Tensor TextTensor(const std::vector<std::string>& text) {
  return Tensor::CopyOf({DType::kString, Shape{static_cast<int64_t>(text.size())}, text.data()});
}

template <typename T>
Tensor NumberTensor(DType dtype, const std::vector<T>& numbers) {
  return Tensor::Of<T>(dtype, Shape{static_cast<int64_t>(numbers.size())}, numbers);
}

Tensor Positions(size_t count) {
  std::vector<int64_t> positions(count);
  std::iota(positions.begin(), positions.end(), int64_t{0});
  return NumberTensor(DType::kI64, positions);
}

// The list in one of the attributes PREFIX + s, e.g. "keys_int64s", "keys_tensor".
absl::StatusOr<Tensor> ListOf(const FunctionBody& body, const std::string& prefix) {
  if (body.Find(prefix + "_strings") != nullptr) {
    return TextTensor(body.GetStrings(prefix + "_strings"));
  }
  if (body.Find(prefix + "_int64s") != nullptr) {
    return NumberTensor(DType::kI64, body.GetInts(prefix + "_int64s"));
  }
  if (body.Find(prefix + "_floats") != nullptr) {
    return NumberTensor(DType::kF32, body.GetFloats(prefix + "_floats"));
  }
  PARAMD_ASSIGN_OR_RETURN(Tensor tensor, body.GetTensor(prefix + "_tensor"));
  if (tensor.dtype() == DType::kUndefined) {
    return absl::InvalidArgumentError(StrCat("has no ", prefix));
  }
  return tensor;
}

// What a value becomes that is no key, as the attributes say it or ONNX does.
absl::StatusOr<std::string> DefaultOf(FunctionBody& body, DType dtype) {
  PARAMD_ASSIGN_OR_RETURN(Tensor tensor, body.GetTensor("default_tensor"));
  if (tensor.dtype() == dtype && tensor.shape().elements() == 1) return body.Of(tensor);
  switch (dtype) {
    case DType::kString:
      return body.Strings({body.GetString("default_string", "_Unused")});
    case DType::kF32:
      return body.Floats({body.GetFloat("default_float", -0.0f)});
    case DType::kF64:
      return body.Of(NumberTensor<double>(dtype, {-0.0}));
    case DType::kI64:
      return body.Ints({body.GetInt("default_int64", -1)});
    case DType::kI32:
      return body.Int32s({-1});
    case DType::kI16:
      return body.Of(NumberTensor<int16_t>(dtype, {-1}));
    default:
      return absl::UnimplementedError(StrCat("labels of ", DTypeName(dtype)));
  }
}

// Between class names and their positions, whichever way the input's type says.
absl::Status DefineByPosition(FunctionBody& body, const std::vector<std::string>& names,
                              const std::vector<int64_t>& numbers) {
  const Tensor text = TextTensor(names);
  const Tensor values =
      numbers.empty() ? Positions(names.size()) : NumberTensor(DType::kI64, numbers);
  const DType from = body.TypeOf(0);
  if (from != DType::kString && from != DType::kI64) {
    return absl::InvalidArgumentError(
        StrCat("the input is ", DTypeName(from), ", expected strings or i64"));
  }
  const bool reads_text = from == DType::kString;
  PARAMD_ASSIGN_OR_RETURN(std::string otherwise,
                          DefaultOf(body, reads_text ? DType::kI64 : DType::kString));
  PARAMD_ASSIGN_OR_RETURN(std::string result,
                          Lookup(body, body.In(0), reads_text ? text : values,
                                 reads_text ? values : text, std::move(otherwise)));
  body.Output(0, std::move(result));
  return absl::OkStatus();
}

absl::Status DefineOldLabelEncoder(FunctionBody& body) {
  return DefineByPosition(body, body.GetStrings("classes_strings"), {});
}

absl::Status DefineCategoryMapper(FunctionBody& body) {
  const auto names = body.GetStrings("cats_strings");
  const auto numbers = body.GetInts("cats_int64s");
  if (names.size() != numbers.size()) {
    return absl::InvalidArgumentError(
        StrCat("has ", names.size(), " cats_strings and ", numbers.size(), " cats_int64s"));
  }
  return DefineByPosition(body, names, numbers);
}

absl::Status DefineLabelEncoder(FunctionBody& body) {
  PARAMD_ASSIGN_OR_RETURN(const Tensor keys, ListOf(body, "keys"));
  PARAMD_ASSIGN_OR_RETURN(const Tensor values, ListOf(body, "values"));
  PARAMD_ASSIGN_OR_RETURN(std::string otherwise, DefaultOf(body, values.dtype()));
  PARAMD_ASSIGN_OR_RETURN(std::string result,
                          Lookup(body, body.In(0), keys, values, std::move(otherwise)));
  body.Output(0, std::move(result));
  return absl::OkStatus();
}

absl::Status DefineOneHotEncoder(FunctionBody& body) {
  const auto names = body.GetStrings("cats_strings");
  const auto numbers = body.GetInts("cats_int64s");
  if (names.empty() == numbers.empty()) {
    return absl::InvalidArgumentError("needs one of cats_strings and cats_int64s");
  }
  const size_t count = std::max(names.size(), numbers.size());
  const std::string x = names.empty() ? body.Cast(body.In(0), DType::kI64) : body.In(0);
  const Tensor keys = names.empty() ? NumberTensor(DType::kI64, numbers) : TextTensor(names);
  // A category that is none of them has no column.
  const auto none = static_cast<int64_t>(count);
  const bool may_miss = body.GetInt("zeros", 1) != 0;
  PARAMD_ASSIGN_OR_RETURN(
      const std::string column,
      Lookup(body, x, keys, Positions(count), may_miss ? body.Ints({none}) : std::string()));
  body.Output(0, body.Add("OneHot", {column, body.Ints({none}), body.Floats({0, 1})},
                          {IntAttribute("axis", -1)}));
  return absl::OkStatus();
}

// The names of the columns are metadata (class_names.h); what is served is the
// tensor that they name.
absl::Status DefineZipMap(FunctionBody& body) {
  body.Output(0, body.Add("Identity", {body.In(0)}));
  return absl::OkStatus();
}

// --- TfIdfVectorizer ------------------------------------------------------------------

struct NGrams {
  std::vector<std::vector<int64_t>> grams;  // Length, then ids of tokens.
  std::vector<float> weights;               // By column.
  std::vector<int32_t> columns;             // By gram.
  int64_t width = 0;                        // Columns in all.
};

absl::StatusOr<NGrams> ReadNGrams(const FunctionBody& body, const std::vector<int64_t>& ids,
                                  int64_t shortest, int64_t longest) {
  const auto starts = body.GetInts("ngram_counts"), columns = body.GetInts("ngram_indexes");
  const auto weights = body.GetFloats("weights");
  NGrams result;
  size_t gram = 0;
  for (size_t n = 0; n < starts.size(); ++n) {
    const int64_t end = n + 1 < starts.size() ? starts[n + 1] : static_cast<int64_t>(ids.size());
    const auto length = static_cast<int64_t>(n) + 1;
    if (starts[n] < 0 || end < starts[n] || end > static_cast<int64_t>(ids.size()) ||
        (end - starts[n]) % length != 0) {
      return absl::InvalidArgumentError(
          StrCat("ngram_counts say ", starts[n], " to ", end, " of a pool of ", ids.size()));
    }
    for (int64_t at = starts[n]; at < end; at += length, ++gram) {
      if (gram >= columns.size() || columns[gram] < 0 || columns[gram] >= 1 << 26 ||
          (!weights.empty() && gram >= weights.size())) {
        return absl::InvalidArgumentError(
            StrCat("n-gram ", gram, " has no ngram_indexes or no weight"));
      }
      result.width = std::max(result.width, columns[gram] + 1);
      if (static_cast<int64_t>(result.weights.size()) < result.width) {
        result.weights.resize(static_cast<size_t>(result.width), 1);
      }
      if (!weights.empty()) result.weights[static_cast<size_t>(columns[gram])] = weights[gram];
      if (length < shortest || length > longest) continue;
      std::vector<int64_t> row(static_cast<size_t>(longest) + 1, 0);
      row[0] = length;
      std::copy_n(ids.begin() + at, length, row.begin() + 1);
      result.grams.push_back(std::move(row));
      result.columns.push_back(static_cast<int32_t>(columns[gram]));
    }
  }
  return result;
}

// Tokens become their places in a sorted vocabulary, n-grams rows of these.
absl::Status DefineTfIdfVectorizer(FunctionBody& body) {
  const int64_t shortest = body.GetInt("min_gram_length", 1);
  const int64_t longest = body.GetInt("max_gram_length", 1);
  const int64_t skips = body.GetInt("max_skip_count", 0);
  if (shortest < 1 || longest < shortest || longest > 64 || skips < 0 || skips > 1 << 20) {
    return absl::InvalidArgumentError(
        StrCat("n-grams of ", shortest, " to ", longest, " tokens with ", skips, " left out"));
  }
  const auto text = body.GetStrings("pool_strings");
  const auto numbers = body.GetInts("pool_int64s");
  const Tensor pool = text.empty() ? NumberTensor(DType::kI64, numbers) : TextTensor(text);
  std::vector<int64_t> ids(std::max(text.size(), numbers.size()));
  PARAMD_ASSIGN_OR_RETURN(
      const Tensor words, VisitLabels(pool.dtype(), [&]<typename T>() -> absl::StatusOr<Tensor> {
        const auto all = pool.view().as<T>();
        const std::vector<size_t> order = SortedOrder<T>(all);
        Tensor sorted = Chosen<T>(pool.view(), order);
        const auto view = sorted.view().template as<T>();
        for (size_t i = 0; i < ids.size(); ++i) {
          ids[i] = std::lower_bound(view.begin(), view.end(), all[i]) - view.begin();
        }
        return sorted;
      }));
  PARAMD_ASSIGN_OR_RETURN(NGrams grams, ReadNGrams(body, ids, shortest, longest));
  const std::string x = text.empty() ? body.Cast(body.In(0), DType::kI64) : body.In(0);
  PARAMD_ASSIGN_OR_RETURN(
      const std::string tokens,
      Lookup(body, x, words, Positions(static_cast<size_t>(words.shape().dim(0))),
             body.Ints({-1})));
  std::vector<size_t> order(grams.grams.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(),
            [&](size_t a, size_t b) { return grams.grams[a] < grams.grams[b]; });
  std::vector<int64_t> table;
  std::vector<int32_t> columns;
  for (const size_t i : order) {
    table.insert(table.end(), grams.grams[i].begin(), grams.grams[i].end());
    columns.push_back(grams.columns[i]);
  }
  const auto count = static_cast<int64_t>(columns.size());
  std::string y = body.Add(
      "NGramCounts", {tokens, body.Ints(table, {count, longest + 1}), body.Int32s(columns)},
      {IntAttribute("columns", grams.width), IntAttribute("shortest", shortest),
       IntAttribute("longest", longest), IntAttribute("skips", skips)},
      kInternalDomain);
  const std::string mode = body.GetString("mode", "");
  if (mode != "TF" && mode != "IDF" && mode != "TFIDF") {
    return absl::InvalidArgumentError(StrCat("mode is '", mode, "'"));
  }
  if (mode == "IDF") y = body.Cast(body.Cast(y, DType::kBool), DType::kF32);
  if (mode != "TF") y = body.Add("Mul", {y, body.Floats(grams.weights, {}, "weights")});
  body.Output(0, std::move(y));
  return absl::OkStatus();
}

constexpr OwnFunction kLabelRows[] = {
    {kMlDomain, "LabelEncoder", 1, 1, 1, DefineOldLabelEncoder},
    {kMlDomain, "LabelEncoder", 2, kAnyVersion, 1, DefineLabelEncoder},
    {kMlDomain, "CategoryMapper", 1, kAnyVersion, 1, DefineCategoryMapper},
    {kMlDomain, "OneHotEncoder", 1, kAnyVersion, 1, DefineOneHotEncoder},
    {kMlDomain, "ZipMap", 1, kAnyVersion, 1, DefineZipMap},
    {"", "TfIdfVectorizer", 9, kAnyVersion, 1, DefineTfIdfVectorizer},
};

}  // namespace

absl::Span<const OwnFunction> MlLabelFunctions() { return kLabelRows; }

}  // namespace paramd
