// Graph: the intermediate representation between a checkpoint and a program.
//
// A graph is values and nodes with stable integer ids. A value is a graph
// input, a constant, or one output of one node (single assignment). Nodes are
// kept in an order in which every node follows its producers. A node keeps
// ONNX's operator name and attributes; passes may add a fused epilogue. A node
// may hold subgraphs (If, Loop, Scan) as attributes; a subgraph's nodes may use
// the outer graph's values (captured by `captures`: outer id -> inner id).
//
// Constants are described, not held: their bytes stay in the checkpoint until
// the loader packs them. Only small ones (shape arithmetic) and those computed
// by nodes are held inline.
//
// Life: built by an importer, changed by passes, then const for good.
// Thread-safety: a const Graph may be read from any thread.
#ifndef PARAMD_RUNTIME_GRAPH_GRAPH_H_
#define PARAMD_RUNTIME_GRAPH_GRAPH_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "runtime/backends/op_specs.h"
#include "runtime/graph/symbolic_shape.h"
#include "runtime/params/parameter.h"
#include "runtime/tensor/tensor_view.h"

namespace paramd {

class Graph;

using ValueId = int32_t;
using NodeId = int32_t;
using ConstantId = int32_t;
inline constexpr int32_t kNone = -1;  // An absent optional input, no producer, ...

// What a value is: a tensor, or a sequence or optional of tensors.
struct ValueType {
  enum class Kind : uint8_t { kTensor, kSequence, kOptional };
  Kind kind = Kind::kTensor;
  DType dtype = DType::kUndefined;
  std::optional<SymbolicShape> shape;  // Nothing: unknown rank.
};

struct Value {
  std::string name;  // Unique in the graph; the checkpoint's name where it has one.
  ValueType type;
  NodeId producer = kNone;
  ConstantId constant = kNone;
};

// How the loader derives a constant from others (batch-norm folded into a
// convolution): keyed by its parents, `transform` (name and version) and `args`.
struct Derivation {
  std::string transform;  // A row of derivations.h, e.g. "scale-rows/1".
  std::vector<ConstantId> parents;
  std::vector<double> args;
};

struct Constant {
  std::string name;  // The checkpoint's name; empty for derived ones.
  DType dtype = DType::kUndefined;
  Shape shape;
  ParameterRole role = ParameterRole::kNone;
  // Where the bytes are: a tensor of the checkpoint, held here, or derived.
  std::variant<int32_t, std::shared_ptr<const Tensor>, Derivation> source = int32_t{kNone};

  bool in_checkpoint() const { return source.index() == 0; }
  const Tensor* inline_tensor() const {
    const auto* held = std::get_if<1>(&source);
    return held == nullptr ? nullptr : held->get();
  }
};

using Attribute =
    std::variant<int64_t, float, std::string, std::vector<int64_t>, std::vector<float>,
                 std::vector<std::string>, std::shared_ptr<const Tensor>, std::shared_ptr<Graph>>;

struct Node {
  std::string name;              // For people; the importer makes it unique.
  std::string domain;            // Empty for ai.onnx.
  std::string op;                // "Conv"
  int64_t opset = 0;             // The version of the domain that gives `op` its meaning.
  std::vector<ValueId> inputs;   // kNone for absent optional ones.
  std::vector<ValueId> outputs;  // kNone for those that nobody named.
  std::map<std::string, Attribute> attributes;
  // Epilogue added by fusion; PostOp::operand indexes `inputs`.
  std::vector<PostOp> post_ops;
  // Names of the checkpoint's nodes that live on in this one, for model info.
  std::vector<std::string> fused;
  bool dead = false;  // Removed by a pass; Compact() drops it.

  // Attribute access with a default; an attribute of another type counts as
  // absent (importers have refused it already).
  int64_t GetInt(const std::string& key, int64_t otherwise) const;
  float GetFloat(const std::string& key, float otherwise) const;
  std::string GetString(const std::string& key, std::string_view otherwise) const;
  std::vector<int64_t> GetInts(const std::string& key) const;
  bool Has(const std::string& key) const { return attributes.contains(key); }
};

class Graph {
 public:
  std::string name;

  ValueId AddValue(Value value);
  ConstantId AddConstant(Constant constant);
  // A value that stands for the constant.
  ValueId AddConstantValue(Constant constant);
  // Appends; sets the outputs' producer.
  NodeId AddNode(Node node);

  const std::vector<Value>& values() const { return values_; }
  const std::vector<Node>& nodes() const { return nodes_; }
  const std::vector<Constant>& constants() const { return constants_; }
  Value& value(ValueId id) { return values_[static_cast<size_t>(id)]; }
  const Value& value(ValueId id) const { return values_[static_cast<size_t>(id)]; }
  Node& node(NodeId id) { return nodes_[static_cast<size_t>(id)]; }
  const Node& node(NodeId id) const { return nodes_[static_cast<size_t>(id)]; }
  Constant& constant(ConstantId id) { return constants_[static_cast<size_t>(id)]; }
  const Constant& constant(ConstantId id) const { return constants_[static_cast<size_t>(id)]; }

  // The held tensor of a constant value, or null: not constant, or not inline.
  const Tensor* InlineConstant(ValueId id) const;
  // Nodes that read `id`, in order; graph outputs are not among them.
  std::vector<NodeId> Consumers(ValueId id) const;
  bool IsOutput(ValueId id) const;
  // Per value, the nodes that read it (subgraphs' captures included), in order:
  // what Consumers gives for one value, made for all of them in one walk.
  std::vector<std::vector<NodeId>> AllConsumers() const;
  // Per constant, whether a value that is read stands for it, or one that is
  // derived from it: what a loader has to bring, and nothing else.
  std::vector<bool> ConstantsInUse() const;
  // Every reader of `from` (graph outputs too) reads `to` instead.
  void ReplaceUses(ValueId from, ValueId to);
  // Puts the nodes into this order, which names each of them once, wherever
  // their producers come to stand: Compact sorts what must be sorted.
  void Reorder(const std::vector<NodeId>& order);
  // Drops dead nodes and nodes whose outputs nobody reads, sorts the rest
  // stably so that producers come first. InvalidArgument for a cycle, naming a node in it.
  absl::Status Compact();

  std::vector<ValueId> inputs;
  std::vector<ValueId> outputs;
  // Subgraphs only: {value of the outer graph, value here that stands for it}.
  std::vector<std::pair<ValueId, ValueId>> captures;

 private:
  std::vector<Value> values_;
  std::vector<Node> nodes_;
  std::vector<Constant> constants_;
};

// Subgraphs within subgraphs beyond this are refused: whatever walks a graph
// may recurse on them.
inline constexpr int kSubgraphDepthMax = 16;

// Internal with the first broken rule: ids in range, single assignment,
// producers before readers, constants without producers, outputs exist,
// post-op operands in range, subgraphs recursively.
absl::Status Verify(const Graph& graph);

// The stable text form: one line a node, for tests, `paramctl inspect` and logs.
//   %5 "relu1" = Conv(%2, w "conv1.w" f32[64,3,7,7], b "conv1.b") {strides=[2,2]} +relu :
//   f32[N,64,112,112]
std::string ToText(const Graph& graph);

}  // namespace paramd

#endif  // PARAMD_RUNTIME_GRAPH_GRAPH_H_
