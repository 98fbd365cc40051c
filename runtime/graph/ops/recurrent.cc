// RNN, GRU, LSTM.
#include <algorithm>
#include <utility>

#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/graph/ops/op_support.h"

namespace paramd::ops {
namespace {

struct RecurrentKind {
  std::string_view name;
  int64_t gates;
  std::vector<std::string> activations;
};

RecurrentKind KindOf(const Node& node) {
  if (node.op == "LSTM") return {"lstm", 4, {"Sigmoid", "Tanh", "Tanh"}};
  if (node.op == "GRU") return {"gru", 3, {"Sigmoid", "Tanh"}};
  return {"rnn", 1, {"Tanh"}};
}

absl::StatusOr<int64_t> Direction(const Node& node) {
  const std::string name = node.GetString("direction", "forward");
  if (name == "forward") return 0;
  if (name == "reverse") return 1;
  if (name == "bidirectional") return 2;
  return absl::InvalidArgumentError(StrCat("direction is '", name, "'"));
}

struct Activation {
  std::string_view name;
  double alpha, beta;  // ONNX's defaults.
};
// In the order of reference/named_recurrent.cc.
constexpr Activation kActivations[] = {
    {"sigmoid", 0, 0},      {"tanh", 0, 0},
    {"relu", 0, 0},         {"affine", 1, 0},
    {"leakyrelu", 0.01, 0}, {"thresholdedrelu", 1, 0},
    {"scaledtanh", 1, 1},   {"hardsigmoid", 0.2, 0.5},
    {"elu", 1, 0},          {"softsign", 0, 0},
    {"softplus", 0, 0},
};

absl::Status AppendActivations(const Node& node, const RecurrentKind& kind, int64_t directions,
                               std::vector<int64_t>* ints, std::vector<double>* numbers) {
  std::vector<std::string> names;
  if (const auto it = node.attributes.find("activations"); it != node.attributes.end()) {
    if (const auto* list = std::get_if<std::vector<std::string>>(&it->second)) names = *list;
  }
  const size_t count = kind.activations.size() * static_cast<size_t>(directions);
  if (names.empty()) {
    for (int64_t d = 0; d < directions; ++d) {
      names.insert(names.end(), kind.activations.begin(), kind.activations.end());
    }
  }
  if (names.size() != count) {
    return absl::InvalidArgumentError(
        StrCat("has ", names.size(), " activations, expected ", count));
  }
  const auto floats = [&](const std::string& key) {
    const auto it = node.attributes.find(key);
    const auto* list =
        it == node.attributes.end() ? nullptr : std::get_if<std::vector<float>>(&it->second);
    return list == nullptr ? std::vector<float>() : *list;
  };
  const std::vector<float> alphas = floats("activation_alpha"), betas = floats("activation_beta");
  std::vector<double> beta;
  // The lists name values for those activations that have some, in order.
  size_t next_alpha = 0, next_beta = 0;
  for (std::string name : names) {
    for (char& c : name) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
    const auto* it = std::find_if(std::begin(kActivations), std::end(kActivations),
                                  [&](const Activation& row) { return row.name == name; });
    if (it == std::end(kActivations)) {
      return absl::UnimplementedError(StrCat("activation '", name, "'"));
    }
    ints->push_back(it - std::begin(kActivations));
    const bool has_alpha = it->alpha != 0 || it->beta != 0;
    const bool has_beta = name == "affine" || name == "scaledtanh" || name == "hardsigmoid";
    numbers->push_back(has_alpha && next_alpha < alphas.size()
                           ? static_cast<double>(alphas[next_alpha++])
                           : it->alpha);
    beta.push_back(has_beta && next_beta < betas.size() ? static_cast<double>(betas[next_beta++])
                                                        : it->beta);
  }
  numbers->insert(numbers->end(), beta.begin(), beta.end());
  return absl::OkStatus();
}

absl::StatusOr<int64_t> Hidden(const InferContext& context) {
  int64_t hidden = context.node->GetInt("hidden_size", 0);
  const SymbolicShape* r = InputShape(context, 2);
  if (r != nullptr) {
    if (r->size() != 3) {
      return absl::InvalidArgumentError(StrCat("r is ", ToString(*r), ", expected rank 3"));
    }
    if (hidden == 0 && r->back().known()) hidden = r->back().size;
    if (r->back().known() && r->back().size != hidden) {
      return absl::InvalidArgumentError(
          StrCat("hidden_size ", hidden, " contradicts r ", ToString(*r)));
    }
  }
  if (hidden < 1 || hidden > (int64_t{1} << 30)) {
    return absl::InvalidArgumentError(StrCat("hidden_size is ", hidden));
  }
  return hidden;
}

absl::StatusOr<Types> InferRecurrent(const InferContext& context) {
  PARAMD_RETURN_IF_ERROR(RequireFloat(context, 0));
  const DType dtype = InputDType(context, 0);
  for (const int i : {1, 2, 3, 5, 6, 7}) {
    if (HasInput(context, i)) PARAMD_RETURN_IF_ERROR(RequireSameDType(context, 0, i));
  }
  PARAMD_ASSIGN_OR_RETURN(const int64_t direction, Direction(*context.node));
  PARAMD_ASSIGN_OR_RETURN(const int64_t hidden, Hidden(context));
  const bool batch_first = context.node->GetInt("layout", 0) != 0;
  const Dim directions = Dim::Of(direction == 2 ? 2 : 1), h = Dim::Of(hidden);
  Dim steps, batch;
  if (const SymbolicShape* x = InputShape(context, 0); x != nullptr) {
    if (x->size() != 3) {
      return absl::InvalidArgumentError(StrCat("x is ", ToString(*x), ", expected rank 3"));
    }
    steps = (*x)[batch_first ? 1 : 0];
    batch = (*x)[batch_first ? 0 : 1];
  }
  const SymbolicShape y = batch_first ? SymbolicShape{batch, steps, directions, h}
                                      : SymbolicShape{steps, directions, batch, h};
  const SymbolicShape state =
      batch_first ? SymbolicShape{batch, directions, h} : SymbolicShape{directions, batch, h};
  Types types{TensorType(dtype, y), TensorType(dtype, state)};
  if (context.node->op == "LSTM") types.push_back(TensorType(dtype, state));
  return types;
}

absl::StatusOr<OpRow::Lowered> LowerRecurrent(const InferContext& context, const Types& outputs) {
  const Node& node = *context.node;
  const RecurrentKind kind = KindOf(node);
  PARAMD_ASSIGN_OR_RETURN(const int64_t direction, Direction(node));
  PARAMD_ASSIGN_OR_RETURN(const int64_t hidden, Hidden(context));
  std::vector<int64_t> ints = {direction, hidden, node.GetInt("layout", 0),
                               node.GetInt("input_forget", 0),
                               node.GetInt("linear_before_reset", 0)};
  std::vector<double> numbers = {node.GetFloat("clip", 0)};
  PARAMD_RETURN_IF_ERROR(AppendActivations(node, kind, direction == 2 ? 2 : 1, &ints, &numbers));
  return MakeNamed(context, outputs, kind.name, std::move(ints), std::move(numbers),
                   {0, 1, 2, 3, 4, 5, 6, 7});
}

constexpr OpRow kRecurrentOps[] = {
    {"", "RNN", 7, kOpsetMax, 3, 6, 2, InferRecurrent, LowerRecurrent},
    {"", "GRU", 7, kOpsetMax, 3, 6, 2, InferRecurrent, LowerRecurrent},
    {"", "LSTM", 7, kOpsetMax, 3, 8, 3, InferRecurrent, LowerRecurrent},
};

}  // namespace

absl::Span<const OpRow> RecurrentOps() { return kRecurrentOps; }

}  // namespace paramd::ops
