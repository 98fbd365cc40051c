// ai.onnx.ml: linear models, and what prepares numbers for a model.
#include <cmath>
#include <utility>

#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/graph/functions/own_functions.h"

namespace paramd {
namespace {

// sqrt(2) erfinv(2 p - 1), by the approximation that onnxruntime takes.
std::string Probit(FunctionBody& body, const std::string& p) {
  const std::string x = body.Add("Sub", {body.Add("Mul", {p, body.Scalar(2)}), body.Scalar(1)});
  const std::string log =
      body.Add("Log", {body.Add("Mul", {body.Add("Sub", {body.Scalar(1), x}),
                                        body.Add("Add", {body.Scalar(1), x})})});
  const std::string a = body.Add(
      "Add", {body.Scalar(2 / (3.14159f * 0.147f)), body.Add("Mul", {log, body.Scalar(0.5f)})});
  const std::string b = body.Add("Div", {log, body.Scalar(0.147f)});
  const std::string root = body.Add("Sqrt", {body.Add("Sub", {body.Add("Mul", {a, a}), b})});
  const std::string size = body.Add("Sqrt", {body.Add("Sub", {root, a})});
  const std::string negative = body.Add("Less", {x, body.Scalar(0)});
  const std::string sign = body.Add("Where", {negative, body.Scalar(-1), body.Scalar(1)});
  return body.Add("Mul", {body.Scalar(1.41421356f), body.Add("Mul", {sign, size})});
}

// Softmax that leaves zeros near zero.
std::string SoftmaxZero(FunctionBody& body, const std::string& x) {
  const std::string axis = body.Ints({-1});
  const std::string most = body.Add("ReduceMax", {x, axis});
  const std::string powers = body.Add("Exp", {body.Add("Sub", {x, most})});
  const std::string kept = body.Add("Mul", {x, body.Add("Exp", {body.Add("Neg", {most})})});
  const std::string counts = body.Add("Greater", {body.Add("Abs", {x}), body.Scalar(0.0000001f)});
  const std::string parts = body.Add("Where", {counts, powers, kept});
  return body.Add("Div", {parts, body.Add("ReduceSum", {parts, axis})});
}

// [rows, width] of weights and the biases that an attribute gives, 0 without.
struct Linear {
  std::string scores;
  int64_t width = 0;
};

absl::StatusOr<Linear> LinearScores(FunctionBody& body, int64_t width) {
  std::vector<float> weights = body.GetFloats("coefficients");
  const std::vector<float> biases = body.GetFloats("intercepts");
  if (!biases.empty()) width = static_cast<int64_t>(biases.size());
  if (width < 1 || weights.empty() || weights.size() % static_cast<size_t>(width) != 0) {
    return absl::InvalidArgumentError(StrCat("has ", weights.size(), " coefficients for ", width,
                                             " outputs, which no number of inputs explains"));
  }
  int64_t features = static_cast<int64_t>(weights.size()) / width;
  // Files with more coefficients than the input has columns are taken as
  // onnxruntime takes them: one of its own samples is such a file.
  if (const int64_t known = body.RankOf(0) == 2 ? body.DimOf(0, 1) : -1;
      known > 0 && known < features) {
    features = known;
    weights.resize(static_cast<size_t>(features * width));
  }
  FunctionBody::Inputs inputs = {FloatRows(body, 0),
                                 body.Floats(weights, {width, features}, "coefficients")};
  if (!biases.empty()) inputs.push_back(body.Floats(biases, {}, "intercepts"));
  return Linear{body.Add("Gemm", std::move(inputs), {IntAttribute("transB", 1)}), width};
}

absl::Status DefineLinearClassifier(FunctionBody& body) {
  PARAMD_ASSIGN_OR_RETURN(ClassLabels labels,
                          LabelsOf(body, "classlabels_strings", "classlabels_ints"));
  PARAMD_ASSIGN_OR_RETURN(const Linear linear, LinearScores(body, labels.count));
  std::string best, scores = linear.scores;
  if (linear.width == 1) {
    // One score for two classes: the second one's.
    const std::string positive = body.Add("Greater", {scores, body.Scalar(0)});
    best = body.Cast(body.Add("Squeeze", {positive, body.Ints({1})}), DType::kI64);
    if (labels.count == 2) {
      scores = body.Add("Concat", {body.Add("Sub", {body.Scalar(1), scores}), scores},
                        {IntAttribute("axis", 1)});
    } else {
      const bool text = !body.GetStrings("classlabels_strings").empty();
      labels.value = text ? body.Strings({"0", "1"}) : body.Ints({0, 1});
      PARAMD_ASSIGN_OR_RETURN(scores, PostTransformed(body, scores));
    }
  } else {
    if (labels.count != linear.width) {
      return absl::InvalidArgumentError(
          StrCat("has ", labels.count, " class labels for ", linear.width, " classes"));
    }
    best = body.Add("ArgMax", {scores}, {IntAttribute("axis", 1), IntAttribute("keepdims", 0)});
    PARAMD_ASSIGN_OR_RETURN(scores, PostTransformed(body, scores));
  }
  body.Output(0, body.Add("Gather", {labels.value, best}));
  body.Output(1, scores);
  return absl::OkStatus();
}

absl::Status DefineLinearRegressor(FunctionBody& body) {
  PARAMD_ASSIGN_OR_RETURN(const Linear linear, LinearScores(body, body.GetInt("targets", 1)));
  PARAMD_ASSIGN_OR_RETURN(std::string scores, PostTransformed(body, linear.scores));
  body.Output(0, std::move(scores));
  return absl::OkStatus();
}

absl::Status DefineScaler(FunctionBody& body) {
  const std::vector<float> offset = body.GetFloats("offset"), scale = body.GetFloats("scale");
  std::string x = body.Cast(body.In(0), DType::kF32);
  if (!offset.empty()) x = body.Add("Sub", {x, body.Floats(offset, {}, "offset")});
  if (!scale.empty()) x = body.Add("Mul", {x, body.Floats(scale, {}, "scale")});
  body.Output(0, x);
  return absl::OkStatus();
}

absl::Status DefineNormalizer(FunctionBody& body) {
  const std::string norm = body.GetString("norm", "MAX");
  const std::string_view reduce = norm == "MAX"  ? "ReduceMax"
                                  : norm == "L1" ? "ReduceL1"
                                  : norm == "L2" ? "ReduceL2"
                                                 : "";
  if (reduce.empty()) return absl::InvalidArgumentError(StrCat("norm is '", norm, "'"));
  const std::string x = body.Cast(body.In(0), DType::kF32);
  const std::string axes = body.Ints({body.RankOf(0) == 1 ? 0 : 1});
  const std::string size = body.Add(reduce, {x, axes});
  const std::string zero = body.Add("Equal", {size, body.Scalar(0)});
  body.Output(0, body.Add("Div", {x, body.Add("Where", {zero, body.Scalar(1), size})}));
  return absl::OkStatus();
}

absl::Status DefineBinarizer(FunctionBody& body) {
  const std::string threshold = body.ScalarLike(body.GetFloat("threshold", 0), body.In(0));
  const std::string above = body.Add("Greater", {body.In(0), threshold});
  body.Output(0, body.Add("CastLike", {above, body.In(0)}));
  return absl::OkStatus();
}

absl::Status DefineImputer(FunctionBody& body) {
  const std::string x = body.In(0);
  const std::vector<int64_t> ints = body.GetInts("imputed_value_int64s");
  if (!ints.empty()) {
    const std::string hole = body.Ints({body.GetInt("replaced_value_int64", 0)});
    body.Output(0, body.Add("Where", {body.Add("Equal", {x, hole}), body.Ints(ints), x}));
    return absl::OkStatus();
  }
  const std::vector<float> floats = body.GetFloats("imputed_value_floats");
  if (floats.empty()) return absl::InvalidArgumentError("says no value to put in");
  const float hole = body.GetFloat("replaced_value_float", 0);
  const std::string found =
      std::isnan(hole) ? body.Add("IsNaN", {x}) : body.Add("Equal", {x, body.ScalarLike(hole, x)});
  const std::string values = body.Add("CastLike", {body.Floats(floats, {}, "imputed"), x});
  body.Output(0, body.Add("Where", {found, values, x}));
  return absl::OkStatus();
}

absl::Status DefineFeatureVectorizer(FunctionBody& body) {
  const std::vector<int64_t> widths = body.GetInts("inputdimensions");
  if (widths.size() != static_cast<size_t>(body.inputs())) {
    return absl::InvalidArgumentError(
        StrCat("has ", widths.size(), " inputdimensions for ", body.inputs(), " inputs"));
  }
  FunctionBody::Inputs columns;
  for (int i = 0; i < body.inputs(); ++i) {
    if (!body.Has(i)) return absl::InvalidArgumentError(StrCat("input ", i, " is missing"));
    // Rows of another width than was said are refused where they come.
    columns.push_back(
        body.Add("Reshape", {FloatRows(body, i), body.Ints({0, widths[static_cast<size_t>(i)]})}));
  }
  body.Output(0, body.Add("Concat", std::move(columns), {IntAttribute("axis", 1)}));
  return absl::OkStatus();
}

absl::Status DefineArrayFeatureExtractor(FunctionBody& body) {
  std::string x = body.In(0);
  if (body.RankOf(0) == 1) x = body.Add("Unsqueeze", {x, body.Ints({0})});
  const std::string indices = body.Add("Reshape", {body.In(1), body.Ints({-1})});
  body.Output(0, body.Add("Gather", {x, indices}, {IntAttribute("axis", -1)}));
  return absl::OkStatus();
}

constexpr OwnFunction kLinearRows[] = {
    {kMlDomain, "LinearClassifier", 1, kAnyVersion, 1, DefineLinearClassifier},
    {kMlDomain, "LinearRegressor", 1, kAnyVersion, 1, DefineLinearRegressor},
    {kMlDomain, "Scaler", 1, kAnyVersion, 1, DefineScaler},
    {kMlDomain, "Normalizer", 1, kAnyVersion, 1, DefineNormalizer},
    {kMlDomain, "Binarizer", 1, kAnyVersion, 1, DefineBinarizer},
    {kMlDomain, "Imputer", 1, kAnyVersion, 1, DefineImputer},
    {kMlDomain, "FeatureVectorizer", 1, kAnyVersion, 1, DefineFeatureVectorizer},
    {kMlDomain, "ArrayFeatureExtractor", 1, kAnyVersion, 2, DefineArrayFeatureExtractor},
};

}  // namespace

absl::StatusOr<std::string> PostTransformed(FunctionBody& body, std::string scores) {
  std::string transform = body.GetString("post_transform", "NONE");
  // TreeEnsemble says it by a number.
  constexpr std::string_view kByNumber[] = {"NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO",
                                            "PROBIT"};
  if (const auto* found = body.Find("post_transform");
      found != nullptr && found->type() == onnx::AttributeProto::INT) {
    const bool known = found->i() >= 0 && found->i() < 5;
    transform = known ? std::string(kByNumber[found->i()]) : StrCat(found->i());
  }
  if (transform == "NONE") return scores;
  if (transform == "LOGISTIC") return body.Add("Sigmoid", {scores});
  if (transform == "SOFTMAX") return body.Add("Softmax", {scores}, {IntAttribute("axis", -1)});
  if (transform == "SOFTMAX_ZERO") return SoftmaxZero(body, scores);
  if (transform == "PROBIT") return Probit(body, scores);
  return absl::InvalidArgumentError(StrCat("post_transform is '", transform, "'"));
}

absl::StatusOr<ClassLabels> LabelsOf(FunctionBody& body, std::string_view strings,
                                     std::string_view ints) {
  const std::vector<std::string> text = body.GetStrings(strings);
  const std::vector<int64_t> numbers = body.GetInts(ints);
  if (text.empty() && numbers.empty()) {
    return absl::InvalidArgumentError(StrCat("has neither ", strings, " nor ", ints));
  }
  if (!text.empty()) return ClassLabels{body.Strings(text), static_cast<int64_t>(text.size())};
  return ClassLabels{body.Ints(numbers), static_cast<int64_t>(numbers.size())};
}

std::string FloatRows(FunctionBody& body, int input) {
  std::string x = body.Cast(body.In(input), DType::kF32);
  return body.RankOf(input) == 1 ? body.Add("Unsqueeze", {x, body.Ints({0})}) : x;
}

absl::Span<const OwnFunction> MlLinearFunctions() { return kLinearRows; }

}  // namespace paramd
