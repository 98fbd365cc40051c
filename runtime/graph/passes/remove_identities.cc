#include <algorithm>

#include "runtime/graph/passes/pass_support.h"
#include "runtime/graph/passes/passes.h"
#include "runtime/graph/tensor_values.h"

namespace paramd {
namespace {

bool IsIdentity(const Graph& graph, const Node& node) {
  if (node.dead || !node.domain.empty() || !node.post_ops.empty() || node.inputs.empty() ||
      node.inputs[0] == kNone || node.outputs.empty() || node.outputs[0] == kNone) {
    return false;
  }
  for (size_t i = 1; i < node.outputs.size(); ++i) {
    if (node.outputs[i] != kNone) return false;
  }
  if (node.op == "Identity" || node.op == "Dropout") return true;
  const bool only_input = std::all_of(node.inputs.begin() + 1, node.inputs.end(),
                                      [](ValueId id) { return id == kNone; });
  if ((node.op == "Concat" || node.op == "Sum" || node.op == "Min" || node.op == "Max") &&
      only_input) {
    return true;
  }
  const Value &x = graph.value(node.inputs[0]), &y = graph.value(node.outputs[0]);
  if (node.op == "Cast") return x.type.dtype == y.type.dtype;
  if (!SameType(x, y)) return false;
  if (node.op == "Reshape" || node.op == "Flatten" || node.op == "Squeeze" ||
      node.op == "Unsqueeze" || node.op == "Expand") {
    return true;
  }
  if (node.op == "Transpose" || node.op == "Pad") {
    const auto params = ParamsOf(graph, node);
    if (!params.ok()) return false;
    if (const auto* transpose = std::get_if<TransposeParams>(&*params)) {
      return std::is_sorted(transpose->perm.begin(), transpose->perm.end());
    }
    if (const auto* pad = std::get_if<PadParams>(&*params)) {
      const auto zero = [](int64_t value) { return value == 0; };
      return std::all_of(pad->pads_begin.begin(), pad->pads_begin.end(), zero) &&
             std::all_of(pad->pads_end.begin(), pad->pads_end.end(), zero);
    }
  }
  return false;
}

class Replacements {
 public:
  explicit Replacements(size_t values) : to_(values, kNone) {}

  void Set(ValueId from, ValueId to) { to_[static_cast<size_t>(from)] = to; }
  ValueId Resolve(ValueId id) {
    if (id == kNone) return id;
    ValueId last = id;
    while (to_[static_cast<size_t>(last)] != kNone) last = to_[static_cast<size_t>(last)];
    while (id != last) {  // Shortens the path for whoever asks next.
      const ValueId next = to_[static_cast<size_t>(id)];
      to_[static_cast<size_t>(id)] = last;
      id = next;
    }
    return last;
  }

 private:
  std::vector<ValueId> to_;
};

}  // namespace

absl::StatusOr<int> RemoveIdentities(Graph& graph, const PassOptions&) {
  std::vector<bool> is_output(graph.values().size(), false);
  for (ValueId id : graph.outputs) is_output[static_cast<size_t>(id)] = true;
  Replacements replacements(graph.values().size());
  int changes = 0;
  for (size_t n = 0; n < graph.nodes().size(); ++n) {
    Node& node = graph.node(static_cast<NodeId>(n));
    if (!IsIdentity(graph, node)) continue;
    const ValueId x = replacements.Resolve(node.inputs[0]), y = node.outputs[0];
    if (!is_output[static_cast<size_t>(y)]) {
      replacements.Set(y, x);
      graph.value(y).producer = kNone;
      node.dead = true;
      ++changes;
      continue;
    }
    // The graph hands out y: its maker takes y's place, unless what y copies is
    // itself handed out, or is not made by a node.
    const NodeId producer = graph.value(x).producer;
    if (producer == kNone || is_output[static_cast<size_t>(x)]) continue;
    Node& maker = graph.node(producer);
    std::replace(maker.outputs.begin(), maker.outputs.end(), x, y);
    graph.value(y).producer = producer;
    graph.value(x).producer = kNone;
    replacements.Set(x, y);
    node.dead = true;
    ++changes;
  }
  if (changes == 0) return 0;
  for (size_t n = 0; n < graph.nodes().size(); ++n) {
    Node& node = graph.node(static_cast<NodeId>(n));
    for (ValueId& id : node.inputs) id = replacements.Resolve(id);
    for (auto& [key, attribute] : node.attributes) {
      auto* subgraph = std::get_if<std::shared_ptr<Graph>>(&attribute);
      if (subgraph == nullptr || *subgraph == nullptr) continue;
      for (auto& [outer, inner] : (*subgraph)->captures) outer = replacements.Resolve(outer);
    }
  }
  return changes;
}

}  // namespace paramd
