#include "runtime/graph/passes/pattern.h"

#include <algorithm>
#include <cmath>

#include "runtime/graph/tensor_values.h"

namespace paramd {
namespace {

// No pattern has more factors, or more nodes that make them; hostile graphs are
// chains of any length.
constexpr size_t kFactorsMax = 8;
constexpr int kProductNodesMax = 16;

class Factoriser {
 public:
  explicit Factoriser(Pattern& pattern) : pattern_(pattern) {}

  // `first`: of the last node's own result, whose readers do not matter.
  void Visit(ValueId id, bool first) {
    const Graph& graph = pattern_.graph();
    const bool full = product_.factors.size() >= kFactorsMax || ++nodes_ > kProductNodesMax;
    if (!full && (first || pattern_.index().OnlyReader(id) != kNone)) {
      if (const Node* mul = pattern_.Find(id, "Mul"); mul != nullptr) {
        return Multiply(*pattern_.Take(id, "Mul"), graph);
      }
      if (const Node* div = pattern_.Find(id, "Div"); div != nullptr) {
        const auto divisor = NumberBeside(graph, div->inputs[1], div->inputs[0]);
        if (divisor.has_value() && *divisor != 0) {
          product_.number /= *divisor;
          return Visit(pattern_.Take(id, "Div")->inputs[0], false);
        }
      }
      if (const Node* neg = pattern_.Take(id, "Neg"); neg != nullptr) {
        product_.number = -product_.number;
        return Visit(neg->inputs[0], false);
      }
      if (const Node* pow = pattern_.Find(id, "Pow"); pow != nullptr) {
        const auto exponent = NumberBeside(graph, pow->inputs[1], pow->inputs[0]);
        if (exponent == 2.0 || exponent == 3.0) {
          const ValueId x = pattern_.Take(id, "Pow")->inputs[0];
          product_.factors.insert(product_.factors.end(), static_cast<size_t>(*exponent), x);
          return;
        }
      }
    }
    product_.factors.push_back(id);
  }

  Product Take() { return std::move(product_); }

 private:
  void Multiply(const Node& mul, const Graph& graph) {
    if (const auto split = SplitNumber(graph, mul); split.has_value()) {
      product_.number *= split->number;
      return Visit(split->value, false);
    }
    Visit(mul.inputs[0], false);
    Visit(mul.inputs[1], false);
  }

  Pattern& pattern_;
  Product product_;
  int nodes_ = 0;
};

}  // namespace

Pattern::Pattern(const Graph& graph, const PassIndex& index, NodeId last)
    : graph_(&graph), index_(&index), nodes_{last} {}

bool Pattern::Contains(NodeId id) const {
  return std::find(nodes_.begin(), nodes_.end(), id) != nodes_.end();
}

const Node* Pattern::Find(ValueId id, std::string_view op) const {
  const NodeId producer = id == kNone ? kNone : graph_->value(id).producer;
  if (producer == kNone) return nullptr;
  const Node& node = graph_->node(producer);
  if (!Is(node, op) || !node.post_ops.empty() || node.outputs.size() != 1) return nullptr;
  return &node;
}

const Node* Pattern::Take(ValueId id, std::string_view op) {
  const Node* node = Find(id, op);
  if (node == nullptr) return nullptr;
  const NodeId producer = graph_->value(id).producer;
  if (!Contains(producer)) nodes_.push_back(producer);
  return node;
}

bool Pattern::Makes(ValueId id) const {
  const NodeId producer = id == kNone ? kNone : graph_->value(id).producer;
  return producer != kNone && Contains(producer);
}

bool Pattern::IsClosed() const {
  for (size_t i = 1; i < nodes_.size(); ++i) {
    for (const ValueId output : graph_->node(nodes_[i]).outputs) {
      if (output == kNone) continue;
      if (index_->IsOutput(output)) return false;
      for (const NodeId reader : index_->Readers(output)) {
        if (!graph_->node(reader).dead && !Contains(reader)) return false;
      }
    }
  }
  return true;
}

void ReplaceByOne(Graph& graph, const Pattern& pattern, FusedOp fused) {
  Node& node = graph.node(pattern.last());
  for (const NodeId id : pattern.nodes()) {
    if (id == pattern.last()) continue;
    const Node& gone = graph.node(id);
    node.fused.push_back(gone.name);
    node.fused.insert(node.fused.end(), gone.fused.begin(), gone.fused.end());
  }
  node.domain = std::string(fused.domain);
  node.op = std::string(fused.op);
  node.opset = fused.opset;
  node.inputs = std::move(fused.inputs);
  node.attributes = std::move(fused.attributes);
}

int ReplaceEach(Graph& graph, std::initializer_list<std::string_view> ops,
                absl::FunctionRef<bool(Graph&, const PassIndex&, NodeId)> try_replace) {
  const PassIndex index(graph);
  int changes = 0;
  for (size_t n = 0; n < graph.nodes().size(); ++n) {
    const Node& node = graph.nodes()[n];
    const bool last =
        std::any_of(ops.begin(), ops.end(), [&node](std::string_view op) { return Is(node, op); });
    if (!last || !node.post_ops.empty()) continue;
    changes += try_replace(graph, index, static_cast<NodeId>(n)) ? 1 : 0;
  }
  return changes;
}

std::optional<double> NumberOf(const Graph& graph, ValueId id) {
  const Tensor* tensor = graph.InlineConstant(id);
  if (tensor == nullptr || tensor->shape().elements() != 1) return std::nullopt;
  const auto values = FloatValues(tensor->view());
  return values.has_value() ? std::optional<double>(values->front()) : std::nullopt;
}

std::optional<double> NumberBeside(const Graph& graph, ValueId id, ValueId beside) {
  const std::optional<double> number = NumberOf(graph, id);
  if (!number.has_value()) return std::nullopt;
  const int rank = graph.InlineConstant(id)->shape().rank();
  return rank <= std::max(0, RankOf(graph, beside)) ? number : std::nullopt;
}

std::optional<WithNumber> SplitNumber(const Graph& graph, const Node& node) {
  if (node.inputs.size() != 2) return std::nullopt;
  for (const size_t i : {size_t{1}, size_t{0}}) {
    const ValueId other = node.inputs[1 - i];
    if (const auto number = NumberBeside(graph, node.inputs[i], other); number.has_value()) {
      return WithNumber{other, *number};
    }
  }
  return std::nullopt;
}

Product FactorsOf(Pattern& pattern, ValueId id) {
  Factoriser factoriser(pattern);
  factoriser.Visit(id, pattern.graph().value(id).producer == pattern.last());
  return factoriser.Take();
}

bool IsNear(double number, double wanted) {
  return std::abs(number - wanted) <= 1e-4 * std::abs(wanted);
}

bool IsPower(const Product& product, double number, ValueId x, size_t power) {
  return product.factors.size() == power && IsNear(product.number, number) &&
         std::all_of(product.factors.begin(), product.factors.end(),
                     [x](ValueId factor) { return factor == x; });
}

int RankOf(const Graph& graph, ValueId id) {
  const auto& shape = graph.value(id).type.shape;
  return shape.has_value() ? static_cast<int>(shape->size()) : -1;
}

std::optional<std::vector<int64_t>> PermOf(const Graph& graph, const Node& transpose) {
  const int rank = RankOf(graph, transpose.inputs[0]);
  if (rank < 0) return std::nullopt;
  const auto params = ParamsOf(graph, transpose);
  const auto* held = params.ok() ? std::get_if<TransposeParams>(&*params) : nullptr;
  if (held == nullptr) return std::nullopt;
  return std::vector<int64_t>(held->perm.begin(), held->perm.end());
}

}  // namespace paramd
