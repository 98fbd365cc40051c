// ai.onnx.ml: tree ensembles. All their versions become the same tables, which
// the operator TreeEnsemble of our own domain walks (reference/named_ml.cc):
//   nodes    i32 [n, 6]: feature, mode, missing goes to true, true child, false
//            child, first member; of a leaf: -, 255, -, first weight, last + 1, -
//   splits   [n]
//   roots    i32 [trees]
//   targets  i32 [w], weights [w]: of leaves
//   members  [m]: sets of values, each ended by NaN; or absent
//   base     [targets]; or absent
#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/graph/functions/own_functions.h"
#include "runtime/graph/ops/op_table.h"
#include "runtime/graph/tensor_values.h"

namespace paramd {
namespace {

constexpr int32_t kLeaf = 255;
constexpr size_t kNodesMax = 1 << 26;

struct TreeNode {
  int64_t feature = 0;
  int32_t mode = kLeaf;
  bool missing_is_true = false;
  int64_t yes = 0, no = 0;
  int32_t first_member = 0;
};

struct Trees {
  std::vector<TreeNode> nodes;
  std::vector<double> splits;
  std::vector<int32_t> roots, targets;
  std::vector<double> weights, members, base;
  bool wide = false;  // f64.
};

// In the order of TreeEnsemble's numbers.
constexpr std::string_view kModes[] = {"BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE",
                                       "BRANCH_GT",  "BRANCH_EQ", "BRANCH_NEQ"};
constexpr std::string_view kAggregates[] = {"AVERAGE", "SUM", "MIN", "MAX"};

absl::Status Lengths(std::string_view what, size_t got, size_t expected) {
  if (got == expected) return absl::OkStatus();
  return absl::InvalidArgumentError(
      StrCat("has ", got, " ", what, ", expected ", expected, " like its nodes or leaves"));
}

// The numbers of the attribute `name`, or of the tensor `name` + "_as_tensor".
absl::StatusOr<std::vector<double>> Numbers(const FunctionBody& body, const std::string& name,
                                            Trees& trees) {
  for (const std::string& key : {name + "_as_tensor", name}) {
    PARAMD_ASSIGN_OR_RETURN(const Tensor tensor, body.GetTensor(key));
    if (tensor.dtype() == DType::kUndefined) continue;
    trees.wide |= tensor.dtype() == DType::kF64;
    auto values = FloatValues(tensor.view());
    if (!values.has_value()) return absl::InvalidArgumentError(StrCat(key, " holds no numbers"));
    return *std::move(values);
  }
  const std::vector<float> floats = body.GetFloats(name);
  return std::vector<double>(floats.begin(), floats.end());
}

// Each node is the child of one other or a root; so walks end.
absl::Status CheckChildren(const Trees& trees) {
  const auto count = static_cast<int64_t>(trees.nodes.size());
  std::vector<bool> seen(trees.nodes.size(), false);
  std::vector<int64_t> pending(trees.roots.begin(), trees.roots.end());
  while (!pending.empty()) {
    const int64_t at = pending.back();
    pending.pop_back();
    if (at < 0 || at >= count) {
      return absl::InvalidArgumentError(StrCat("a tree goes to node ", at, " of ", count));
    }
    if (seen[static_cast<size_t>(at)]) {
      return absl::InvalidArgumentError(StrCat("node ", at, " of a tree has two parents"));
    }
    seen[static_cast<size_t>(at)] = true;
    const TreeNode& node = trees.nodes[static_cast<size_t>(at)];
    if (node.mode == kLeaf) continue;
    if (node.feature < 0 || node.feature > std::numeric_limits<int32_t>::max()) {
      return absl::InvalidArgumentError(StrCat("a tree reads feature ", node.feature));
    }
    pending.push_back(node.yes);
    if (node.no != node.yes) pending.push_back(node.no);
  }
  return absl::OkStatus();
}

// TreeEnsembleClassifier and -Regressor: lists by (tree, node), leaves' weights apart.
absl::StatusOr<Trees> ReadByName(FunctionBody& body, const std::string& leaf_prefix,
                                 const std::string& target_name) {
  Trees trees;
  const auto tree_ids = body.GetInts("nodes_treeids"), node_ids = body.GetInts("nodes_nodeids");
  const auto features = body.GetInts("nodes_featureids");
  const auto modes = body.GetStrings("nodes_modes");
  const auto yes = body.GetInts("nodes_truenodeids"), no = body.GetInts("nodes_falsenodeids");
  const auto missing = body.GetInts("nodes_missing_value_tracks_true");
  const size_t count = node_ids.size();
  if (count == 0 || count > kNodesMax) {
    return absl::InvalidArgumentError(StrCat("has ", count, " nodes"));
  }
  PARAMD_ASSIGN_OR_RETURN(trees.splits, Numbers(body, "nodes_values", trees));
  PARAMD_RETURN_IF_ERROR(Lengths("nodes_treeids", tree_ids.size(), count));
  PARAMD_RETURN_IF_ERROR(Lengths("nodes_featureids", features.size(), count));
  PARAMD_RETURN_IF_ERROR(Lengths("nodes_modes", modes.size(), count));
  PARAMD_RETURN_IF_ERROR(Lengths("nodes_values", trees.splits.size(), count));
  PARAMD_RETURN_IF_ERROR(Lengths("nodes_truenodeids", yes.size(), count));
  PARAMD_RETURN_IF_ERROR(Lengths("nodes_falsenodeids", no.size(), count));
  if (!missing.empty()) {
    PARAMD_RETURN_IF_ERROR(Lengths("nodes_missing_value_tracks_true", missing.size(), count));
  }
  std::map<std::pair<int64_t, int64_t>, size_t> places;
  for (size_t i = 0; i < count; ++i) {
    if (!places.emplace(std::pair(tree_ids[i], node_ids[i]), i).second) {
      return absl::InvalidArgumentError(
          StrCat("node ", node_ids[i], " of tree ", tree_ids[i], " comes twice"));
    }
  }
  std::vector<bool> is_child(count, false);
  trees.nodes.resize(count);
  for (size_t i = 0; i < count; ++i) {
    TreeNode& node = trees.nodes[i];
    if (modes[i] == "LEAF") continue;
    const auto mode = std::find(std::begin(kModes), std::end(kModes), modes[i]);
    if (mode == std::end(kModes)) {
      return absl::InvalidArgumentError(StrCat("a node has the mode '", modes[i], "'"));
    }
    node.mode = static_cast<int32_t>(mode - std::begin(kModes));
    node.feature = features[i];
    node.missing_is_true = !missing.empty() && missing[i] != 0;
    for (const auto& [id, child] : {std::pair(yes[i], &node.yes), std::pair(no[i], &node.no)}) {
      const auto at = places.find({tree_ids[i], id});
      if (at == places.end()) {
        return absl::InvalidArgumentError(StrCat("node ", node_ids[i], " of tree ", tree_ids[i],
                                                 " goes to ", id, ", which there is not"));
      }
      *child = static_cast<int64_t>(at->second);
      is_child[at->second] = true;
    }
  }
  for (size_t i = 0; i < count; ++i) {
    if (!is_child[i]) trees.roots.push_back(static_cast<int32_t>(i));
  }
  PARAMD_RETURN_IF_ERROR(CheckChildren(trees));

  const auto leaf_trees = body.GetInts(leaf_prefix + "_treeids");
  const auto leaf_nodes = body.GetInts(leaf_prefix + "_nodeids");
  const auto targets = body.GetInts(target_name);
  PARAMD_ASSIGN_OR_RETURN(const std::vector<double> weights,
                          Numbers(body, leaf_prefix + "_weights", trees));
  PARAMD_RETURN_IF_ERROR(Lengths(leaf_prefix + "_treeids", leaf_trees.size(), weights.size()));
  PARAMD_RETURN_IF_ERROR(Lengths(leaf_prefix + "_nodeids", leaf_nodes.size(), weights.size()));
  PARAMD_RETURN_IF_ERROR(Lengths(target_name, targets.size(), weights.size()));
  // The weights of a leaf, one after the other.
  std::vector<std::pair<size_t, size_t>> by_leaf;
  for (size_t i = 0; i < weights.size(); ++i) {
    const auto at = places.find({leaf_trees[i], leaf_nodes[i]});
    if (at == places.end()) {
      return absl::InvalidArgumentError(StrCat("there is a weight for node ", leaf_nodes[i],
                                               " of tree ", leaf_trees[i], ", which there is not"));
    }
    // onnxruntime ignores weights of nodes that are no leaves.
    if (trees.nodes[at->second].mode == kLeaf) by_leaf.emplace_back(at->second, i);
  }
  std::stable_sort(by_leaf.begin(), by_leaf.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  for (size_t i = 0; i < by_leaf.size(); ++i) {
    TreeNode& leaf = trees.nodes[by_leaf[i].first];
    if (i == 0 || by_leaf[i - 1].first != by_leaf[i].first) leaf.yes = static_cast<int64_t>(i);
    leaf.no = static_cast<int64_t>(i) + 1;
    const int64_t target = targets[by_leaf[i].second];
    if (target < 0 || target > 65535) {
      return absl::InvalidArgumentError(StrCat("a leaf counts for class or target ", target));
    }
    trees.targets.push_back(static_cast<int32_t>(target));
    trees.weights.push_back(weights[by_leaf[i].second]);
  }
  PARAMD_ASSIGN_OR_RETURN(trees.base, Numbers(body, "base_values", trees));
  return trees;
}

// TreeEnsemble: indices into lists; leaves are lists of their own.
absl::StatusOr<Trees> ReadByIndex(FunctionBody& body) {
  Trees trees;
  const auto features = body.GetInts("nodes_featureids");
  const auto yes = body.GetInts("nodes_truenodeids"), no = body.GetInts("nodes_falsenodeids");
  const auto yes_leaf = body.GetInts("nodes_trueleafs"), no_leaf = body.GetInts("nodes_falseleafs");
  const auto missing = body.GetInts("nodes_missing_value_tracks_true");
  const auto targets = body.GetInts("leaf_targetids");
  const auto roots = body.GetInts("tree_roots");
  PARAMD_ASSIGN_OR_RETURN(const Tensor mode_tensor, body.GetTensor("nodes_modes"));
  const auto modes = IntValues(mode_tensor.view()).value_or(std::vector<int64_t>{});
  PARAMD_ASSIGN_OR_RETURN(trees.splits, Numbers(body, "nodes_splits", trees));
  PARAMD_ASSIGN_OR_RETURN(trees.weights, Numbers(body, "leaf_weights", trees));
  PARAMD_ASSIGN_OR_RETURN(trees.members, Numbers(body, "membership_values", trees));
  const size_t count = features.size();
  if (count + trees.weights.size() > kNodesMax) {
    return absl::InvalidArgumentError(StrCat("has ", count, " nodes"));
  }
  PARAMD_RETURN_IF_ERROR(Lengths("nodes_truenodeids", yes.size(), count));
  PARAMD_RETURN_IF_ERROR(Lengths("nodes_falsenodeids", no.size(), count));
  PARAMD_RETURN_IF_ERROR(Lengths("nodes_trueleafs", yes_leaf.size(), count));
  PARAMD_RETURN_IF_ERROR(Lengths("nodes_falseleafs", no_leaf.size(), count));
  PARAMD_RETURN_IF_ERROR(Lengths("nodes_modes", modes.size(), count));
  PARAMD_RETURN_IF_ERROR(Lengths("nodes_splits", trees.splits.size(), count));
  PARAMD_RETURN_IF_ERROR(Lengths("leaf_targetids", targets.size(), trees.weights.size()));
  if (!missing.empty()) {
    PARAMD_RETURN_IF_ERROR(Lengths("nodes_missing_value_tracks_true", missing.size(), count));
  }
  // Leaves follow the nodes, so that a child is one index.
  const auto child = [&](int64_t index, bool leaf) {
    return leaf && index >= 0 ? index + static_cast<int64_t>(count) : index;
  };
  size_t member = 0;
  for (size_t i = 0; i < count; ++i) {
    TreeNode node;
    node.feature = features[i];
    node.mode = static_cast<int32_t>(modes[i]);
    if (modes[i] < 0 || modes[i] > 6) {
      return absl::InvalidArgumentError(StrCat("a node has the mode ", modes[i]));
    }
    node.missing_is_true = !missing.empty() && missing[i] != 0;
    node.yes = child(yes[i], yes_leaf[i] != 0);
    node.no = child(no[i], no_leaf[i] != 0);
    if (modes[i] == 6) {  // The next set, which a NaN ends.
      node.first_member = static_cast<int32_t>(member);
      while (member < trees.members.size() && !std::isnan(trees.members[member])) ++member;
      if (member == trees.members.size()) {
        return absl::InvalidArgumentError("a set of membership_values has no end");
      }
      ++member;
    }
    trees.nodes.push_back(node);
  }
  for (size_t i = 0; i < targets.size(); ++i) {
    TreeNode leaf;
    leaf.yes = static_cast<int64_t>(i);
    leaf.no = leaf.yes + 1;
    trees.nodes.push_back(leaf);
    trees.splits.push_back(0);
    if (targets[i] < 0 || targets[i] > 65535) {
      return absl::InvalidArgumentError(StrCat("a leaf counts for target ", targets[i]));
    }
    trees.targets.push_back(static_cast<int32_t>(targets[i]));
  }
  for (const int64_t root : roots) {
    if (root < 0 || root >= static_cast<int64_t>(trees.nodes.size())) {
      return absl::InvalidArgumentError(StrCat("tree_roots names node ", root));
    }
    trees.roots.push_back(static_cast<int32_t>(root));
  }
  PARAMD_RETURN_IF_ERROR(CheckChildren(trees));
  return trees;
}

std::string NumberConstant(FunctionBody& body, const std::vector<double>& values, bool wide,
                           std::string_view name) {
  onnx::TensorProto tensor;
  tensor.set_data_type(wide ? onnx::TensorProto::DOUBLE : onnx::TensorProto::FLOAT);
  tensor.add_dims(static_cast<int64_t>(values.size()));
  for (const double value : values) {
    if (wide) {
      tensor.add_double_data(value);
    } else {
      tensor.add_float_data(static_cast<float>(value));
    }
  }
  return body.Constant(std::move(tensor), name);
}

// [rows, width]: the leaves' weights, put together.
absl::StatusOr<std::string> Scores(FunctionBody& body, const Trees& trees, int64_t width,
                                   int64_t aggregate) {
  if (width < 1 || width > 65535) {
    return absl::InvalidArgumentError(StrCat("has ", width, " targets"));
  }
  for (const int32_t target : trees.targets) {
    if (target < width) continue;
    return absl::InvalidArgumentError(StrCat("a leaf counts for target ", target, " of ", width));
  }
  std::vector<int32_t> table;
  for (const TreeNode& node : trees.nodes) {
    table.insert(table.end(), {static_cast<int32_t>(node.feature), node.mode,
                               node.missing_is_true ? 1 : 0, static_cast<int32_t>(node.yes),
                               static_cast<int32_t>(node.no), node.first_member});
  }
  const DType from = body.TypeOf(0);
  std::string x = body.In(0);
  if (from != DType::kF32 && from != DType::kF64) x = body.Cast(x, DType::kF32);
  if (body.RankOf(0) == 1) x = body.Add("Unsqueeze", {x, body.Ints({0})});
  const auto nodes = static_cast<int64_t>(trees.nodes.size());
  FunctionBody::Inputs inputs = {x,
                                 body.Int32s(table, {nodes, 6}),
                                 NumberConstant(body, trees.splits, trees.wide, "splits"),
                                 body.Int32s(trees.roots),
                                 body.Int32s(trees.targets),
                                 NumberConstant(body, trees.weights, trees.wide, "leaf_weights")};
  if (!trees.members.empty()) {
    inputs.push_back(NumberConstant(body, trees.members, trees.wide, "members"));
  }
  return body.Add("TreeEnsemble", std::move(inputs),
                  {IntAttribute("targets", width), IntAttribute("aggregate", aggregate)},
                  kInternalDomain);
}

absl::StatusOr<int64_t> Aggregate(const FunctionBody& body) {
  const std::string name = body.GetString("aggregate_function", "SUM");
  const auto found = std::find(std::begin(kAggregates), std::end(kAggregates), name);
  if (found != std::end(kAggregates)) return found - std::begin(kAggregates);
  return absl::InvalidArgumentError(StrCat("aggregate_function is '", name, "'"));
}

std::string PlusBase(FunctionBody& body, const Trees& trees, std::string scores) {
  if (trees.base.empty()) return scores;
  const std::string base = NumberConstant(body, trees.base, trees.wide, "base_values");
  return body.Add("Add", {std::move(scores), base});
}

absl::Status DefineTreeRegressor(FunctionBody& body) {
  PARAMD_ASSIGN_OR_RETURN(Trees trees, ReadByName(body, "target", "target_ids"));
  const int64_t width = body.GetInt("n_targets", 1);
  if (!trees.base.empty() && static_cast<int64_t>(trees.base.size()) != width) {
    return absl::InvalidArgumentError(
        StrCat("has ", trees.base.size(), " base_values for ", width, " targets"));
  }
  PARAMD_ASSIGN_OR_RETURN(const int64_t aggregate, Aggregate(body));
  PARAMD_ASSIGN_OR_RETURN(std::string scores, Scores(body, trees, width, aggregate));
  if (trees.wide) scores = body.Cast(scores, DType::kF32);
  trees.wide = false;
  scores = PlusBase(body, trees, std::move(scores));
  // Of one target onnxruntime transforms by PROBIT only, and models are made for it.
  if (width > 1 || body.GetString("post_transform", "NONE") == "PROBIT") {
    PARAMD_ASSIGN_OR_RETURN(scores, PostTransformed(body, scores));
  }
  body.Output(0, std::move(scores));
  return absl::OkStatus();
}

// Two classes whose leaves count for one of them: what they say is how much the
// second one's is.
absl::Status DefineBinaryClassifier(FunctionBody& body, Trees trees, const ClassLabels& labels) {
  for (int32_t& target : trees.targets) target = 0;
  const bool positive = std::all_of(trees.weights.begin(), trees.weights.end(),
                                    [](double weight) { return weight >= 0; });
  PARAMD_ASSIGN_OR_RETURN(std::string score, Scores(body, trees, 1, /*aggregate=*/1));
  if (trees.wide) score = body.Cast(score, DType::kF32);
  trees.wide = false;
  if (!trees.base.empty()) {
    trees.base.front() = trees.base.back();
    trees.base.resize(1);
    score = PlusBase(body, trees, std::move(score));
  }
  const std::string wins = body.Add("Greater", {score, body.Scalar(positive ? 0.5f : 0)});
  const std::string best = body.Cast(body.Add("Squeeze", {wins, body.Ints({1})}), DType::kI64);
  std::string first =
      positive ? body.Add("Sub", {body.Scalar(1), score}) : body.Add("Neg", {score});
  std::string second = score;
  const std::string transform = body.GetString("post_transform", "NONE");
  if (!positive && transform == "LOGISTIC") {
    first = body.Add("Sigmoid", {first});
    second = body.Add("Sigmoid", {second});
  }
  body.Output(0, body.Add("Gather", {labels.value, best}));
  body.Output(1, body.Add("Concat", {first, second}, {IntAttribute("axis", 1)}));
  return absl::OkStatus();
}

absl::Status DefineTreeClassifier(FunctionBody& body) {
  PARAMD_ASSIGN_OR_RETURN(const ClassLabels labels,
                          LabelsOf(body, "classlabels_strings", "classlabels_int64s"));
  PARAMD_ASSIGN_OR_RETURN(Trees trees, ReadByName(body, "class", "class_ids"));
  const std::set<int32_t> classes(trees.targets.begin(), trees.targets.end());
  if (!trees.base.empty() && trees.base.size() != 1 &&
      static_cast<int64_t>(trees.base.size()) != labels.count) {
    return absl::InvalidArgumentError(
        StrCat("has ", trees.base.size(), " base_values for ", labels.count, " classes"));
  }
  if (labels.count == 2 && classes.size() == 1) {
    return DefineBinaryClassifier(body, std::move(trees), labels);
  }
  PARAMD_ASSIGN_OR_RETURN(std::string scores, Scores(body, trees, labels.count, /*aggregate=*/1));
  if (trees.wide) scores = body.Cast(scores, DType::kF32);
  trees.wide = false;
  scores = PlusBase(body, trees, std::move(scores));
  const std::string best =
      body.Add("ArgMax", {scores}, {IntAttribute("axis", 1), IntAttribute("keepdims", 0)});
  PARAMD_ASSIGN_OR_RETURN(scores, PostTransformed(body, scores));
  body.Output(0, body.Add("Gather", {labels.value, best}));
  body.Output(1, std::move(scores));
  return absl::OkStatus();
}

absl::Status DefineTreeEnsemble(FunctionBody& body) {
  PARAMD_ASSIGN_OR_RETURN(const Trees trees, ReadByIndex(body));
  const int64_t aggregate = body.GetInt("aggregate_function", 1);
  if (aggregate < 0 || aggregate > 3) {
    return absl::InvalidArgumentError(StrCat("aggregate_function is ", aggregate));
  }
  PARAMD_ASSIGN_OR_RETURN(std::string scores,
                          Scores(body, trees, body.GetInt("n_targets", 1), aggregate));
  PARAMD_ASSIGN_OR_RETURN(scores, PostTransformed(body, scores));
  body.Output(0, std::move(scores));
  return absl::OkStatus();
}

constexpr OwnFunction kTreeRows[] = {
    {kMlDomain, "TreeEnsembleClassifier", 1, kAnyVersion, 1, DefineTreeClassifier},
    {kMlDomain, "TreeEnsembleRegressor", 1, kAnyVersion, 1, DefineTreeRegressor},
    {kMlDomain, "TreeEnsemble", 5, kAnyVersion, 1, DefineTreeEnsemble},
};

}  // namespace

absl::Span<const OwnFunction> MlTreeFunctions() { return kTreeRows; }

}  // namespace paramd
