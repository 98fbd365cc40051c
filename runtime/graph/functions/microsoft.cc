// com.microsoft: what onnxruntime's optimiser puts in place of several
// operators, and its products and layers of few bits.
#include <utility>

#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/graph/functions/own_functions.h"
#include "runtime/graph/ops/op_table.h"

namespace paramd {
namespace {

using Inputs = FunctionBody::Inputs;

// --- Activations and products -------------------------------------------------------

std::string Gelu(FunctionBody& body, std::string x, const std::string& approximate) {
  return body.Add("Gelu", {std::move(x)}, {StringAttribute("approximate", approximate)});
}

absl::Status DefineGelu(FunctionBody& body) {
  body.Output(0, Gelu(body, body.In(0), "none"));
  return absl::OkStatus();
}

absl::Status DefineBiasGelu(FunctionBody& body) {
  body.Output(0, Gelu(body, body.Add("Add", {body.In(0), body.In(1)}), "none"));
  return absl::OkStatus();
}

absl::Status DefineFastGelu(FunctionBody& body) {
  const std::string x = body.Has(1) ? body.Add("Add", {body.In(0), body.In(1)}) : body.In(0);
  body.Output(0, Gelu(body, x, "tanh"));
  return absl::OkStatus();
}

absl::Status DefineQuickGelu(FunctionBody& body) {
  const std::string x = body.In(0);
  const std::string steeper =
      body.Add("Mul", {x, body.ScalarLike(body.GetFloat("alpha", 1.702f), x)});
  body.Output(0, body.Add("Mul", {x, body.Add("Sigmoid", {steeper})}));
  return absl::OkStatus();
}

absl::Status DefineBiasAdd(FunctionBody& body) {
  body.Output(0, body.Add("Add", {body.Add("Add", {body.In(0), body.In(1)}), body.In(2)}));
  return absl::OkStatus();
}

absl::Status DefineBiasSoftmax(FunctionBody& body) {
  const int rank = body.RankOf(0);
  const int64_t axis = body.GetInt("axis", 1);
  // Softmax over all dimensions from the axis on; exporters mean the last one.
  if (axis != -1 && axis != rank - 1) {
    return absl::UnimplementedError(StrCat("axis ", axis, " of rank ", rank, " is not supported"));
  }
  if (body.GetInt("is_inner_broadcast", 1) == 0 && body.RankOf(1) != rank) {
    return absl::UnimplementedError("is_inner_broadcast=0 is not supported");
  }
  body.Output(0, body.Add("Softmax", {body.Add("Add", {body.In(0), body.In(1)})},
                          {IntAttribute("axis", -1)}));
  return absl::OkStatus();
}

absl::Status DefineFusedMatMul(FunctionBody& body) {
  if (body.GetInt("transBatchA", 0) != 0 || body.GetInt("transBatchB", 0) != 0) {
    return absl::UnimplementedError("transBatchA and transBatchB are not supported");
  }
  std::string y = body.Add("MatMul", {body.In(0), body.In(1)},
                           {IntAttribute("transA", body.GetInt("transA", 0)),
                            IntAttribute("transB", body.GetInt("transB", 0))},
                           kInternalDomain);
  if (const float alpha = body.GetFloat("alpha", 1); alpha != 1) {
    y = body.Add("Mul", {y, body.ScalarLike(alpha, body.In(0))});
  }
  body.Output(0, std::move(y));
  return absl::OkStatus();
}

// The activation by its name in a fused layer's attribute.
absl::StatusOr<std::string> Activated(FunctionBody& body, std::string y,
                                      const std::vector<float>& numbers) {
  const std::string name = body.GetString("activation", "");
  const auto number = [&](size_t i, float otherwise) {
    return i < numbers.size() ? numbers[i] : otherwise;
  };
  if (name.empty()) return y;
  if (name == "Relu" || name == "Tanh" || name == "Sigmoid") return body.Add(name, {y});
  if (name == "LeakyRelu") {
    return body.Add(name, {y}, {FloatAttribute("alpha", number(0, 0.01f))});
  }
  if (name == "HardSigmoid") {
    return body.Add(
        name, {y},
        {FloatAttribute("alpha", number(0, 0.2f)), FloatAttribute("beta", number(1, 0.5f))});
  }
  if (name == "Clip") {
    const std::string low = body.ScalarLike(number(0, -3.4e38f), y);
    return body.Add(name, {y, low, body.ScalarLike(number(1, 3.4e38f), y)});
  }
  return absl::UnimplementedError(StrCat("activation '", name, "' is not supported"));
}

absl::Status DefineFusedConv(FunctionBody& body) {
  std::string y = body.Add("Conv", {body.In(0), body.In(1), body.In(2)},
                           body.AttributesBut({"activation", "activation_params"}));
  if (body.Has(3)) y = body.Add("Add", {y, body.In(3)});
  PARAMD_ASSIGN_OR_RETURN(y, Activated(body, y, body.GetFloats("activation_params")));
  body.Output(0, std::move(y));
  return absl::OkStatus();
}

absl::Status DefineFusedGemm(FunctionBody& body) {
  std::string y = body.Add("Gemm", {body.In(0), body.In(1), body.In(2)},
                           body.AttributesBut({"activation", "activation_alpha", "activation_beta",
                                               "activation_gamma"}));
  std::vector<float> numbers;
  for (const std::string_view name : {"activation_alpha", "activation_beta"}) {
    if (body.Find(name) != nullptr) numbers.push_back(body.GetFloat(name, 0));
  }
  PARAMD_ASSIGN_OR_RETURN(y, Activated(body, y, numbers));
  body.Output(0, std::move(y));
  return absl::OkStatus();
}

// --- Norms ----------------------------------------------------------------------------

std::string LayerNorm(FunctionBody& body, std::string x, const std::string& scale,
                      const std::string& bias) {
  Inputs inputs = {std::move(x), scale};
  if (!bias.empty()) inputs.push_back(bias);
  return body.Add(
      "LayerNormalization", std::move(inputs),
      {IntAttribute("axis", -1), FloatAttribute("epsilon", body.GetFloat("epsilon", 1e-12f))});
}

// x / sqrt(mean x^2) * scale, in f32.
std::string RootMeanSquareNorm(FunctionBody& body, const std::string& x, const std::string& scale,
                               float epsilon) {
  const std::string wide = body.Cast(x, DType::kF32);
  const std::string mean = body.Add("ReduceMean", {body.Add("Mul", {wide, wide}), body.Ints({-1})});
  const std::string size = body.Add("Sqrt", {body.Add("Add", {mean, body.Scalar(epsilon)})});
  return body.Add("Mul", {body.Add("CastLike", {body.Add("Div", {wide, size}), scale}), scale});
}

absl::Status DefineSimplifiedLayerNorm(FunctionBody& body) {
  const int64_t axis = body.GetInt("axis", -1);
  if (axis != -1 && axis != body.RankOf(0) - 1) {
    return absl::UnimplementedError(StrCat("axis ", axis, " is not supported"));
  }
  body.Output(0, RootMeanSquareNorm(body, body.In(0), body.In(1), body.GetFloat("epsilon", 1e-5f)));
  return absl::OkStatus();
}

absl::Status DefineSkipLayerNorm(FunctionBody& body) {
  std::string sum = body.Add("Add", {body.In(0), body.In(1)});
  if (body.Has(4)) sum = body.Add("Add", {sum, body.In(4)});
  body.Output(0, LayerNorm(body, sum, body.In(2), body.In(3)));
  body.Output(3, std::move(sum));
  return absl::OkStatus();
}

absl::Status DefineSkipSimplifiedLayerNorm(FunctionBody& body) {
  std::string sum = body.Add("Add", {body.In(0), body.In(1)});
  if (body.Has(3)) sum = body.Add("Add", {sum, body.In(3)});
  body.Output(0, RootMeanSquareNorm(body, sum, body.In(2), body.GetFloat("epsilon", 1e-5f)));
  body.Output(3, std::move(sum));
  return absl::OkStatus();
}

// {ids, segments?, words, positions, segment table?, gamma, beta, mask?, position ids?}
absl::Status DefineEmbedLayerNorm(FunctionBody& body) {
  std::string positions;
  if (body.Has(8)) {
    positions = body.Add("Gather", {body.In(3), body.In(8)});
  } else {
    const std::string length =
        body.Add("Shape", {body.In(0)}, {IntAttribute("start", 1), IntAttribute("end", 2)});
    positions = body.Add("Slice", {body.In(3), body.Ints({0}), length, body.Ints({0})});
  }
  std::string sum = body.Add("Add", {body.Add("Gather", {body.In(2), body.In(0)}), positions});
  if (body.Has(1) && body.Has(4)) {
    sum = body.Add("Add", {sum, body.Add("Gather", {body.In(4), body.In(1)})});
  }
  body.Output(0, LayerNorm(body, sum, body.In(5), body.In(6)));
  if (body.Wants(1)) {
    // How many of each row's tokens count.
    if (body.Has(7)) {
      body.Output(
          1, body.Add("ReduceSum", {body.In(7), body.Ints({1})}, {IntAttribute("keepdims", 0)}));
    } else {
      const std::string rows =
          body.Add("Shape", {body.In(0)}, {IntAttribute("start", 0), IntAttribute("end", 1)});
      body.Output(1, body.Add("Expand", {body.Int32s({0}), rows}));
    }
  }
  body.Output(2, std::move(sum));
  return absl::OkStatus();
}

// --- Few bits -----------------------------------------------------------------------

// The numbers that inputs i, i + 1 (scale) and i + 2 (zero point) stand for.
std::string Dequantized(FunctionBody& body, int i, int64_t axis = 1) {
  return body.Add("DequantizeLinear", {body.In(i), body.In(i + 1), body.In(i + 2)},
                  {IntAttribute("axis", axis)});
}

// And back, by the scale and zero point of inputs i and i + 1.
std::string Quantized(FunctionBody& body, std::string y, int i) {
  return body.Add("QuantizeLinear", {std::move(y), body.In(i), body.In(i + 1)});
}

template <bool multiply>
absl::Status DefineQLinearBinary(FunctionBody& body) {
  const std::string a = Dequantized(body, 0), b = Dequantized(body, 3);
  body.Output(0, Quantized(body, body.Add(multiply ? "Mul" : "Add", {a, b}), 6));
  return absl::OkStatus();
}

absl::Status DefineQLinearSigmoid(FunctionBody& body) {
  body.Output(0, Quantized(body, body.Add("Sigmoid", {Dequantized(body, 0)}), 3));
  return absl::OkStatus();
}

absl::Status DefineQLinearLeakyRelu(FunctionBody& body) {
  const std::string y = body.Add("LeakyRelu", {Dequantized(body, 0)},
                                 {FloatAttribute("alpha", body.GetFloat("alpha", 0.01f))});
  body.Output(0, Quantized(body, y, 3));
  return absl::OkStatus();
}

absl::Status DefineQLinearAveragePool(FunctionBody& body) {
  if (body.GetInt("channels_last", 0) != 0) {
    return absl::UnimplementedError("channels_last=1 is not supported");
  }
  const bool global = body.op() == "QLinearGlobalAveragePool";
  const std::string y = body.Add(global ? "GlobalAveragePool" : "AveragePool",
                                 {Dequantized(body, 0)}, body.AttributesBut({"channels_last"}));
  body.Output(0, Quantized(body, y, 3));
  return absl::OkStatus();
}

absl::Status DefineQLinearReduceMean(FunctionBody& body) {
  Inputs inputs = {Dequantized(body, 0)};
  if (body.Find("axes") != nullptr) inputs.push_back(body.Ints(body.GetInts("axes")));
  const std::string y = body.Add("ReduceMean", std::move(inputs),
                                 {IntAttribute("keepdims", body.GetInt("keepdims", 1))});
  body.Output(0, Quantized(body, y, 3));
  return absl::OkStatus();
}

absl::Status DefineQLinearConcat(FunctionBody& body) {
  Inputs parts;
  for (int i = 2; i + 2 < body.inputs(); i += 3) parts.push_back(Dequantized(body, i));
  const std::string y =
      body.Add("Concat", std::move(parts), {IntAttribute("axis", body.GetInt("axis", 0))});
  body.Output(0, Quantized(body, y, 0));
  return absl::OkStatus();
}

absl::Status DefineQLinearSoftmax(FunctionBody& body) {
  const int64_t axis = body.GetInt("axis", -1);
  if (body.GetInt("opset", 13) < 13 && axis != -1 && axis != body.RankOf(0) - 1) {
    return absl::UnimplementedError(StrCat("softmax of opset ", body.GetInt("opset", 13),
                                           " over axis ", axis,
                                           " and all after it is not supported"));
  }
  body.Output(
      0, Quantized(body, body.Add("Softmax", {Dequantized(body, 0)}, {IntAttribute("axis", axis)}),
                   3));
  return absl::OkStatus();
}

absl::Status DefineQLinearWhere(FunctionBody& body) {
  const std::string y = body.Add("Where", {body.In(0), Dequantized(body, 1), Dequantized(body, 4)});
  body.Output(0, Quantized(body, y, 7));
  return absl::OkStatus();
}

absl::Status DefineQGemm(FunctionBody& body) {
  const bool columns_first = body.GetInt("transB", 0) != 0;
  std::string y = body.Add(
      "Gemm", {Dequantized(body, 0), Dequantized(body, 3, columns_first ? 0 : 1)},
      {IntAttribute("transA", body.GetInt("transA", 0)), IntAttribute("transB", columns_first),
       FloatAttribute("alpha", body.GetFloat("alpha", 1))});
  if (body.Has(6)) {
    const std::string scale = body.Add("Mul", {body.In(1), body.In(4)});
    y = body.Add("Add", {y, body.Add("Mul", {body.Cast(body.In(6), DType::kF32), scale})});
  }
  body.Output(0, body.Has(7) ? Quantized(body, y, 7) : y);
  return absl::OkStatus();
}

// The product of integers times both scales, plus a bias.
std::string ScaledProduct(FunctionBody& body, Inputs operands, const std::string& scale,
                          const std::string& bias) {
  const std::string whole = body.Add("MatMulInteger", std::move(operands));
  std::string y = body.Add("Mul", {body.Cast(whole, DType::kF32), scale});
  if (!bias.empty()) y = body.Add("Add", {y, bias});
  return y;
}

absl::Status DefineDynamicQuantizeMatMul(FunctionBody& body) {
  const std::vector<std::string> a = body.AddMany("DynamicQuantizeLinear", {body.In(0)}, 3);
  const std::string scale = body.Add("Mul", {a[1], body.In(2)});
  body.Output(0, ScaledProduct(body, {a[0], body.In(1), a[2], body.In(3)}, scale, body.In(4)));
  return absl::OkStatus();
}

// The distance of each row of A [M,K] to each of B [N,K]: |a|^2 + |b|^2 - 2ab,
// which rounding can bring below zero.
absl::Status DefineCDist(FunctionBody& body) {
  const std::string metric = body.GetString("metric", "sqeuclidean");
  if (metric != "euclidean" && metric != "sqeuclidean") {
    return absl::UnimplementedError(StrCat("metric ", metric, " is not supported"));
  }
  const auto squares = [&body](const std::string& x) {
    return body.Add("ReduceSumSquare", {x, body.Ints({1})});
  };
  const std::string a = body.In(0), b = body.In(1);
  const std::string product =
      body.Add("Gemm", {a, b}, {FloatAttribute("alpha", -2), IntAttribute("transB", 1)});
  const std::string sum = body.Add(
      "Add", {squares(a), body.Add("Add", {body.Add("Transpose", {squares(b)}), product})});
  const std::string squared = body.Add("Max", {sum, body.ScalarLike(0, a)});
  body.Output(0, metric == "euclidean" ? body.Add("Sqrt", {squared}) : squared);
  return absl::OkStatus();
}

// The same operator in ai.onnx.
absl::Status DefineAsStandard(FunctionBody& body) {
  Inputs inputs;
  for (int i = 0; i < body.inputs(); ++i) inputs.push_back(body.In(i));
  body.Output(0, body.Add(body.op(), std::move(inputs), body.AttributesBut({})));
  return absl::OkStatus();
}

constexpr OwnFunction kMicrosoftRows[] = {
    {kMicrosoftDomain, "Gelu", 1, kAnyVersion, 1, DefineGelu},
    {kMicrosoftDomain, "BiasGelu", 1, kAnyVersion, 2, DefineBiasGelu},
    {kMicrosoftDomain, "FastGelu", 1, kAnyVersion, 1, DefineFastGelu},
    {kMicrosoftDomain, "QuickGelu", 1, kAnyVersion, 1, DefineQuickGelu},
    {kMicrosoftDomain, "BiasAdd", 1, kAnyVersion, 3, DefineBiasAdd},
    {kMicrosoftDomain, "BiasSoftmax", 1, kAnyVersion, 2, DefineBiasSoftmax},
    {kMicrosoftDomain, "FusedMatMul", 1, kAnyVersion, 2, DefineFusedMatMul},
    {kMicrosoftDomain, "TransposeMatMul", 1, kAnyVersion, 2, DefineFusedMatMul},
    {kMicrosoftDomain, "FusedConv", 1, kAnyVersion, 2, DefineFusedConv},
    {kMicrosoftDomain, "FusedGemm", 1, kAnyVersion, 2, DefineFusedGemm},
    // onnxruntime keeps this one in ai.onnx.
    {"", "SimplifiedLayerNormalization", 1, kAnyVersion, 2, DefineSimplifiedLayerNorm},
    {kMicrosoftDomain, "SkipLayerNormalization", 1, kAnyVersion, 3, DefineSkipLayerNorm},
    {kMicrosoftDomain, "SkipSimplifiedLayerNormalization", 1, kAnyVersion, 3,
     DefineSkipSimplifiedLayerNorm},
    {kMicrosoftDomain, "EmbedLayerNormalization", 1, kAnyVersion, 1, DefineEmbedLayerNorm},
    {kMicrosoftDomain, "QLinearAdd", 1, kAnyVersion, 7, DefineQLinearBinary<false>},
    {kMicrosoftDomain, "QLinearMul", 1, kAnyVersion, 7, DefineQLinearBinary<true>},
    {kMicrosoftDomain, "QLinearSigmoid", 1, kAnyVersion, 4, DefineQLinearSigmoid},
    {kMicrosoftDomain, "QLinearLeakyRelu", 1, kAnyVersion, 4, DefineQLinearLeakyRelu},
    {kMicrosoftDomain, "QLinearAveragePool", 1, kAnyVersion, 4, DefineQLinearAveragePool},
    {kMicrosoftDomain, "QLinearGlobalAveragePool", 1, kAnyVersion, 4, DefineQLinearAveragePool},
    {kMicrosoftDomain, "QLinearReduceMean", 1, kAnyVersion, 4, DefineQLinearReduceMean},
    {kMicrosoftDomain, "QLinearConcat", 1, kAnyVersion, 5, DefineQLinearConcat},
    {kMicrosoftDomain, "QLinearSoftmax", 1, kAnyVersion, 5, DefineQLinearSoftmax},
    {kMicrosoftDomain, "QLinearWhere", 1, kAnyVersion, 9, DefineQLinearWhere},
    {kMicrosoftDomain, "QGemm", 1, kAnyVersion, 6, DefineQGemm},
    {kMicrosoftDomain, "DynamicQuantizeMatMul", 1, kAnyVersion, 3, DefineDynamicQuantizeMatMul},
    {kMicrosoftDomain, "CDist", 1, kAnyVersion, 2, DefineCDist},
    {kMicrosoftDomain, "QuantizeLinear", 1, kAnyVersion, 2, DefineAsStandard},
    {kMicrosoftDomain, "DequantizeLinear", 1, kAnyVersion, 2, DefineAsStandard},
    {kMicrosoftDomain, "Trilu", 1, kAnyVersion, 1, DefineAsStandard},
    {kMicrosoftDomain, "GatherND", 1, kAnyVersion, 2, DefineAsStandard},
};

}  // namespace

absl::Span<const OwnFunction> MicrosoftFunctions() { return kMicrosoftRows; }

}  // namespace paramd
