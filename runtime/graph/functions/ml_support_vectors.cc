// ai.onnx.ml: support vector machines, as products with their vectors.
#include <algorithm>
#include <utility>

#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/graph/functions/own_functions.h"
#include "runtime/graph/ops/op_table.h"

namespace paramd {
namespace {

// How alike each row of x is to each of `count` vectors: [rows, count].
absl::StatusOr<std::string> Kernel(FunctionBody& body, const std::string& x,
                                   const std::vector<float>& vectors, int64_t count) {
  if (count < 1 || vectors.empty() || vectors.size() % static_cast<size_t>(count) != 0) {
    return absl::InvalidArgumentError(
        StrCat("has ", vectors.size(), " numbers for ", count, " support vectors"));
  }
  const auto features = static_cast<int64_t>(vectors.size()) / count;
  const std::string kind = body.GetString("kernel_type", "LINEAR");
  std::vector<float> numbers = body.GetFloats("kernel_params");  // gamma, coef0, degree
  numbers.resize(3, 0);
  const std::string held = body.Floats(vectors, {count, features}, "support_vectors");
  if (kind == "RBF") {
    // Differences, not products: those cancel out what is near.
    const std::string apart = body.Add("Sub", {body.Add("Unsqueeze", {x, body.Ints({1})}), held});
    const std::string distance =
        body.Add("ReduceSumSquare", {apart, body.Ints({2})}, {IntAttribute("keepdims", 0)});
    return body.Add("Exp", {body.Add("Mul", {distance, body.Scalar(-numbers[0])})});
  }
  const std::string dot = body.Add("Gemm", {x, held}, {IntAttribute("transB", 1)});
  if (kind == "LINEAR") return dot;
  const std::string moved =
      body.Add("Add", {body.Add("Mul", {dot, body.Scalar(numbers[0])}), body.Scalar(numbers[1])});
  if (kind == "POLY") return body.Add("Pow", {moved, body.Scalar(numbers[2])});
  if (kind == "SIGMOID") return body.Add("Tanh", {moved});
  return absl::InvalidArgumentError(StrCat("kernel_type is '", kind, "'"));
}

absl::Status DefineVectorRegressor(FunctionBody& body) {
  const std::vector<float> weights = body.GetFloats("coefficients"), rho = body.GetFloats("rho");
  if (weights.empty() || rho.empty()) {
    return absl::InvalidArgumentError("has no coefficients or no rho");
  }
  const int64_t vectors = body.GetInt("n_supports", 0);
  std::string x = FloatRows(body, 0);
  if (vectors > 0) {
    PARAMD_ASSIGN_OR_RETURN(x, Kernel(body, x, body.GetFloats("support_vectors"), vectors));
  }
  const auto width = static_cast<int64_t>(weights.size());
  std::string y = body.Add("Gemm", {x, body.Floats(weights, {width, 1}, "coefficients"),
                                    body.Floats({rho[0]}, {}, "rho")});
  if (body.GetInt("one_class", 0) != 0) {
    y = body.Add("Where",
                 {body.Add("Greater", {y, body.Scalar(0)}), body.Scalar(1), body.Scalar(-1)});
  }
  PARAMD_ASSIGN_OR_RETURN(y, PostTransformed(body, y));
  body.Output(0, std::move(y));
  return absl::OkStatus();
}

// Class i against class j, for all i < j: whose vectors count how much, and who
// gets a vote by the sign.
struct Duels {
  std::vector<float> weights;        // [vectors, duels]
  std::vector<float> first, second;  // [duels, classes]
  int64_t count = 0;
};

Duels MakeDuels(const std::vector<float>& coefficients, const std::vector<int64_t>& per_class,
                int64_t vectors) {
  const auto classes = static_cast<int64_t>(per_class.size());
  Duels duels;
  duels.count = classes * (classes - 1) / 2;
  duels.weights.assign(static_cast<size_t>(vectors * duels.count), 0);
  duels.first.assign(static_cast<size_t>(duels.count * classes), 0);
  duels.second = duels.first;
  std::vector<int64_t> start(per_class.size() + 1, 0);
  for (size_t c = 0; c < per_class.size(); ++c) start[c + 1] = start[c] + per_class[c];
  int64_t duel = 0;
  for (int64_t i = 0; i < classes; ++i) {
    for (int64_t j = i + 1; j < classes; ++j, ++duel) {
      // A class' vectors have one row of coefficients per other class.
      for (const auto& [of, row] : {std::pair(i, j - 1), std::pair(j, i)}) {
        for (int64_t v = start[static_cast<size_t>(of)]; v < start[static_cast<size_t>(of) + 1];
             ++v) {
          duels.weights[static_cast<size_t>(v * duels.count + duel)] =
              coefficients[static_cast<size_t>(row * vectors + v)];
        }
      }
      duels.first[static_cast<size_t>(duel * classes + i)] = 1;
      duels.second[static_cast<size_t>(duel * classes + j)] = 1;
    }
  }
  return duels;
}

// The row's largest column, the first among equals.
std::string Best(FunctionBody& body, const std::string& columns) {
  return body.Add("ArgMax", {columns}, {IntAttribute("axis", 1), IntAttribute("keepdims", 0)});
}

// Without vectors: one row of coefficients a class.
absl::Status DefineLinearMachine(FunctionBody& body, const ClassLabels& labels) {
  const std::vector<float> weights = body.GetFloats("coefficients"), rho = body.GetFloats("rho");
  if (weights.empty() || rho.empty() || weights.size() % static_cast<size_t>(labels.count) != 0) {
    return absl::InvalidArgumentError(
        StrCat("has ", weights.size(), " coefficients for ", labels.count, " classes"));
  }
  const auto features = static_cast<int64_t>(weights.size()) / labels.count;
  std::string scores =
      body.Add("Gemm",
               {FloatRows(body, 0), body.Floats(weights, {labels.count, features}, "coefficients"),
                body.Floats({rho[0]}, {}, "rho")},
               {IntAttribute("transB", 1)});
  const std::string best = Best(body, scores);
  PARAMD_ASSIGN_OR_RETURN(scores, PostTransformed(body, scores));
  body.Output(0, body.Add("Gather", {labels.value, best}));
  body.Output(1, std::move(scores));
  return absl::OkStatus();
}

absl::Status DefineVectorClassifier(FunctionBody& body) {
  PARAMD_ASSIGN_OR_RETURN(const ClassLabels labels,
                          LabelsOf(body, "classlabels_strings", "classlabels_ints"));
  const std::vector<int64_t> per_class = body.GetInts("vectors_per_class");
  constexpr int64_t kClassesMax = 1024, kVectorsMax = 1 << 24;
  int64_t vectors = 0;
  for (const int64_t count : per_class) {
    if (count < 0 || count > kVectorsMax - vectors) {
      return absl::InvalidArgumentError(StrCat("a class has ", count, " support vectors"));
    }
    vectors += count;
  }
  if (vectors == 0) return DefineLinearMachine(body, labels);
  const std::vector<float> coefficients = body.GetFloats("coefficients"),
                           rho = body.GetFloats("rho"), prob_a = body.GetFloats("prob_a"),
                           prob_b = body.GetFloats("prob_b");
  const int64_t classes = labels.count;
  if (static_cast<int64_t>(per_class.size()) != classes || classes < 2 || classes > kClassesMax) {
    return absl::InvalidArgumentError(
        StrCat("has ", per_class.size(), " vectors_per_class for ", classes, " classes"));
  }
  const int64_t duel_count = classes * (classes - 1) / 2;
  if (static_cast<int64_t>(coefficients.size()) < (classes - 1) * vectors ||
      static_cast<int64_t>(rho.size()) < duel_count || prob_a.size() != prob_b.size() ||
      (!prob_a.empty() && static_cast<int64_t>(prob_a.size()) < duel_count)) {
    return absl::InvalidArgumentError(StrCat("has too few coefficients, rho, prob_a or prob_b for ",
                                             classes, " classes and ", vectors,
                                             " support vectors"));
  }
  const Duels duels = MakeDuels(coefficients, per_class, vectors);
  PARAMD_ASSIGN_OR_RETURN(
      const std::string alike,
      Kernel(body, FloatRows(body, 0), body.GetFloats("support_vectors"), vectors));
  const std::vector<float> shift(rho.begin(), rho.begin() + duel_count);
  std::string scores =
      body.Add("Gemm", {alike, body.Floats(duels.weights, {vectors, duels.count}, "coefficients"),
                        body.Floats(shift, {}, "rho")});
  const std::string won = body.Cast(body.Add("Greater", {scores, body.Scalar(0)}), DType::kF32);
  const std::string lost = body.Add("Sub", {body.Scalar(1), won});
  const std::string votes = body.Add(
      "Add", {body.Add("MatMul", {won, body.Floats(duels.first, {duels.count, classes})}),
              body.Add("MatMul", {lost, body.Floats(duels.second, {duels.count, classes})})});
  const std::string best = Best(body, votes);
  if (!prob_a.empty()) {
    // Pairwise probabilities, coupled to one for each class.
    scores = body.Add("PairwiseProbability",
                      {scores, body.Floats({prob_a.begin(), prob_a.begin() + duel_count}),
                       body.Floats({prob_b.begin(), prob_b.begin() + duel_count})},
                      {IntAttribute("classes", classes)}, kInternalDomain);
    PARAMD_ASSIGN_OR_RETURN(scores, PostTransformed(body, scores));
  } else if (classes == 2) {
    const bool plain = body.GetString("post_transform", "NONE") == "NONE";
    const std::string first =
        plain ? body.Add("Neg", {scores}) : body.Add("Sub", {body.Scalar(1), scores});
    scores = body.Add("Concat", {first, scores}, {IntAttribute("axis", 1)});
  } else {
    PARAMD_ASSIGN_OR_RETURN(scores, PostTransformed(body, scores));
  }
  body.Output(0, body.Add("Gather", {labels.value, best}));
  body.Output(1, std::move(scores));
  return absl::OkStatus();
}

constexpr OwnFunction kVectorRows[] = {
    {kMlDomain, "SVMClassifier", 1, kAnyVersion, 1, DefineVectorClassifier},
    {kMlDomain, "SVMRegressor", 1, kAnyVersion, 1, DefineVectorRegressor},
};

}  // namespace

absl::Span<const OwnFunction> MlSupportVectorFunctions() { return kVectorRows; }

}  // namespace paramd
