// Pattern: the nodes that a fusion is about to replace by one. It starts at the
// last of them and grows towards their inputs as the pass recognises more:
//
//   Pattern pattern(graph, index, last);
//   const Node* softmax = pattern.Take(graph.node(last).inputs[0], "Softmax");
//   ...
//   if (pattern.IsClosed()) ReplaceByOne(graph, pattern, {...});
//
// The nodes but the last are not deleted: what nobody reads any more goes when
// the graph is compacted after the pass, so a fusion can never take away a value
// that somebody still needs. IsClosed asks whether they will go: where a value in
// between has another reader it would be computed twice.
//
// Life: a value; copied to try alternatives. Valid while the graph's nodes stay.
// Thread-safety: none needed; a pass owns its graph.
#ifndef PARAMD_RUNTIME_GRAPH_PASSES_PATTERN_H_
#define PARAMD_RUNTIME_GRAPH_PASSES_PATTERN_H_

#include <initializer_list>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "runtime/graph/graph.h"
#include "runtime/graph/passes/pass_support.h"

namespace paramd {

class Pattern {
 public:
  Pattern(const Graph& graph, const PassIndex& index, NodeId last);

  // The node that makes `id` if it is one of ai.onnx with this operator, one
  // output and no post-ops; null else.
  const Node* Find(ValueId id, std::string_view op) const;
  // The same, and it becomes part of the pattern.
  const Node* Take(ValueId id, std::string_view op);
  // A reader behind the last node becomes the last one.
  void Extend(NodeId last) { nodes_.insert(nodes_.begin(), last); }
  // Whether a node of the pattern makes `id`.
  bool Makes(ValueId id) const;
  // Nobody but its own nodes reads what the nodes before the last one make.
  bool IsClosed() const;

  const Graph& graph() const { return *graph_; }
  const PassIndex& index() const { return *index_; }
  NodeId last() const { return nodes_.front(); }
  const std::vector<NodeId>& nodes() const { return nodes_; }

 private:
  bool Contains(NodeId id) const;

  const Graph* graph_;
  const PassIndex* index_;
  std::vector<NodeId> nodes_;  // The last one first.
};

// The operator that the last node of a pattern becomes.
struct FusedOp {
  std::string_view domain;  // Empty: ai.onnx.
  std::string_view op;
  int64_t opset = 1;
  std::vector<ValueId> inputs;
  std::map<std::string, Attribute> attributes;
};
void ReplaceByOne(Graph& graph, const Pattern& pattern, FusedOp fused);

// A fusion's pass: `try_replace` looks at every node of ai.onnx with one of these
// operators and no post-ops, as the last of its pattern, and says whether it
// replaced it. Returns how many it did.
int ReplaceEach(
    Graph& graph, std::initializer_list<std::string_view> ops,
    absl::FunctionRef<bool(Graph& graph, const PassIndex& index, NodeId last)> try_replace);

// The number behind a constant of one element, whatever its shape; nothing for others.
std::optional<double> NumberOf(const Graph& graph, ValueId id);
// The same where it gives `beside`, broadcast against it, no dimension more.
std::optional<double> NumberBeside(const Graph& graph, ValueId id, ValueId beside);

// A node of two operands one of which is such a number: the other one, and the
// number. For operators whose operands can be exchanged.
struct WithNumber {
  ValueId value = kNone;
  double number = 0;
};
std::optional<WithNumber> SplitNumber(const Graph& graph, const Node& node);

// A value as number * factor * factor ..., through Mul, Div by a number, Neg and
// Pow by 2 or 3, as far as nobody else reads what lies between. The nodes become
// part of the pattern. Factors may repeat (squares).
struct Product {
  double number = 1;
  std::vector<ValueId> factors;
};
Product FactorsOf(Pattern& pattern, ValueId id);
// Whether it is number * x^power, the number within a ten-thousandth (exporters
// write constants as f32, and people with four digits).
bool IsPower(const Product& product, double number, ValueId x, size_t power);
bool IsNear(double number, double wanted);

// The rank of a value; -1 where it is not known.
int RankOf(const Graph& graph, ValueId id);
// The permutation of a Transpose of ai.onnx; nothing where its rank is not known.
std::optional<std::vector<int64_t>> PermOf(const Graph& graph, const Node& transpose);

}  // namespace paramd

#endif  // PARAMD_RUNTIME_GRAPH_PASSES_PATTERN_H_
