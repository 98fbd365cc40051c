// Definitions of operators by others: what a broken or hostile node is told,
// and what model info says of classes. What they compute is compared with
// onnxruntime by tests/conformance/made_models_test.py.
#include "runtime/graph/functions/own_functions.h"

#include <set>
#include <string>

#include "tests/support/graph_testing.h"
#include "tests/support/onnx_builder.h"
#include "tests/support/status_testing.h"

namespace paramd {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Pair;
using Attrs = OnnxBuilder::Attrs;

constexpr absl::StatusCode kInvalid = absl::StatusCode::kInvalidArgument;
constexpr absl::StatusCode kMissing = absl::StatusCode::kUnimplemented;

absl::Status ImportNode(std::string_view domain, std::string_view op, const Attrs& attrs,
                        int outputs = 1, DType input = DType::kF32) {
  OnnxBuilder builder;
  builder.Domain(std::string(domain), 1);
  builder.Input("x", input, {"N", "4"});
  std::vector<std::string> names;
  for (int i = 0; i < outputs; ++i) names.push_back("y" + std::to_string(i));
  builder.Node(op, {"x"}, names, attrs, domain);
  for (const std::string& name : names) builder.Output(name);
  return ImportBytes(builder.Build()).status();
}

TEST(OwnFunctions, EachRowIsThereOnceForAVersion) {
  std::set<std::string> seen;
  for (const OwnFunction* row : AllOwnFunctions()) {
    EXPECT_LE(row->since, row->until);
    const std::string key =
        std::string(row->domain) + "." + std::string(row->op) + "/" + std::to_string(row->since);
    EXPECT_TRUE(seen.insert(key).second) << key;
    EXPECT_EQ(FindOwnFunction(row->domain, row->op, row->since), row) << key;
  }
}

TEST(OwnFunctions, WhatContradictsItselfNamesTheNode) {
  EXPECT_THAT(ImportNode(kMlDomain, "LinearClassifier",
                         {{"coefficients", std::vector<float>(7, 1)},
                          {"intercepts", std::vector<float>(2, 1)},
                          {"classlabels_ints", std::vector<int64_t>{0, 1}}},
                         2),
              StatusIs(kInvalid, AllOf(HasSubstr("node 'y0' (domain ai.onnx.ml LinearClassifier)"),
                                       HasSubstr("7 coefficients for 2 outputs"))));
  EXPECT_THAT(ImportNode(kMlDomain, "Normalizer", {{"norm", std::string("L3")}}),
              StatusIs(kInvalid, HasSubstr("norm is 'L3'")));
  EXPECT_THAT(ImportNode(kMlDomain, "Imputer", {}),
              StatusIs(kInvalid, HasSubstr("says no value to put in")));
  EXPECT_THAT(ImportNode(kMlDomain, "Scaler", {{"shift", std::vector<float>{1}}}),
              StatusIs(kInvalid, HasSubstr("has no attribute 'shift'")));
  EXPECT_THAT(ImportNode(kMicrosoftDomain, "FusedMatMul", {}),
              StatusIs(kInvalid, HasSubstr("input 1 is missing")));
}

Attrs Stump(std::vector<int64_t> yes, std::vector<int64_t> no) {
  return {{"nodes_treeids", std::vector<int64_t>{0, 0, 0}},
          {"nodes_nodeids", std::vector<int64_t>{0, 1, 2}},
          {"nodes_featureids", std::vector<int64_t>{0, 0, 0}},
          {"nodes_values", std::vector<float>{0, 0, 0}},
          {"nodes_truenodeids", std::move(yes)},
          {"nodes_falsenodeids", std::move(no)},
          {"target_treeids", std::vector<int64_t>{0}},
          {"target_nodeids", std::vector<int64_t>{1}},
          {"target_ids", std::vector<int64_t>{0}},
          {"target_weights", std::vector<float>{1}}};
}

TEST(OwnFunctions, TreesThatAreNoTreesAreRefused) {
  // Without modes: the lists do not fit.
  EXPECT_THAT(ImportNode(kMlDomain, "TreeEnsembleRegressor", Stump({1, 0, 0}, {2, 0, 0})),
              StatusIs(kInvalid, HasSubstr("has 0 nodes_modes, expected 3")));
}

TEST(OwnFunctions, WhatIsMissingSaysSo) {
  EXPECT_THAT(ImportNode(kMicrosoftDomain, "Gelu", {}, 2),
              StatusIs(kMissing, HasSubstr("output 1 is not supported")));
  EXPECT_THAT(
      ImportNode("ai.onnx.ml", "DictVectorizer", {{"int64_vocabulary", std::vector<int64_t>{1}}}),
      StatusIs(kMissing, HasSubstr("no implementation of DictVectorizer (domain ai.onnx.ml")));
}

TEST(OwnFunctions, NoFileMayUseTheirOwnOperators) {
  EXPECT_THAT(ImportNode("paramd", "LabelLookup", {}),
              StatusIs(kMissing, HasSubstr("no implementation of LabelLookup (domain paramd")));
}

TEST(OwnFunctions, ClassesAreHyperparametersOfTheOutputTheyName) {
  OnnxBuilder builder;
  builder.Domain("ai.onnx.ml", 1);
  builder.Input("x", DType::kF32, {"N", "2"});
  builder.Node("LinearClassifier", {"x"}, {"label", "scores"},
               {{"coefficients", std::vector<float>{1, 2, 3, 4}},
                {"intercepts", std::vector<float>{0, 1}},
                {"classlabels_ints", std::vector<int64_t>{7, -3}}},
               "ai.onnx.ml");
  builder.Output("label").Output("scores");
  ASSERT_OK_AND_ASSIGN(TestModel model, ImportBytes(builder.Build()));
  EXPECT_THAT(model.model.hyperparameters, Contains(Pair("classes.scores", "[7, -3]")));
}

TEST(OwnFunctions, ALinearModelHasItsWeightsAndBiases) {
  OnnxBuilder builder;
  builder.Domain("ai.onnx.ml", 1);
  builder.Input("x", DType::kF32, {"N", "2"});
  builder.Node("LinearRegressor", {"x"}, {"y"},
               {{"coefficients", std::vector<float>{1, 2}}, {"intercepts", std::vector<float>{3}}},
               "ai.onnx.ml");
  builder.Output("y");
  ASSERT_OK_AND_ASSIGN(TestModel model, ImportBytes(builder.Build()));
  int64_t weights = 0, biases = 0;
  for (const Constant& constant : model.graph().constants()) {
    weights += constant.role == ParameterRole::kWeight ? constant.shape.elements() : 0;
    biases += constant.role == ParameterRole::kBias ? constant.shape.elements() : 0;
  }
  EXPECT_EQ(weights, 2);
  EXPECT_EQ(biases, 1);
}

}  // namespace
}  // namespace paramd
