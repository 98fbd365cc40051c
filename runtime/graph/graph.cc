#include "runtime/graph/graph.h"

#include <algorithm>
#include <functional>
#include <queue>
#include <utility>

#include "absl/log/check.h"
#include "runtime/base/strings.h"

namespace paramd {
namespace {

template <typename T>
const T* Find(const Node& node, const std::string& key) {
  const auto it = node.attributes.find(key);
  return it == node.attributes.end() ? nullptr : std::get_if<T>(&it->second);
}

// Calls `visit` with every value of the enclosing graph that `node` reads: its
// inputs, and what its subgraphs capture.
template <typename Visit>
void ForEachRead(const Node& node, const Visit& visit) {
  for (ValueId id : node.inputs) {
    if (id != kNone) visit(id);
  }
  for (const auto& [key, attribute] : node.attributes) {
    const auto* subgraph = std::get_if<std::shared_ptr<Graph>>(&attribute);
    if (subgraph == nullptr || *subgraph == nullptr) continue;
    for (const auto& [outer, inner] : (*subgraph)->captures) visit(outer);
  }
}

}  // namespace

int64_t Node::GetInt(const std::string& key, int64_t otherwise) const {
  const auto* held = Find<int64_t>(*this, key);
  return held == nullptr ? otherwise : *held;
}

float Node::GetFloat(const std::string& key, float otherwise) const {
  const auto* held = Find<float>(*this, key);
  return held == nullptr ? otherwise : *held;
}

std::string Node::GetString(const std::string& key, std::string_view otherwise) const {
  const auto* held = Find<std::string>(*this, key);
  return held == nullptr ? std::string(otherwise) : *held;
}

std::vector<int64_t> Node::GetInts(const std::string& key) const {
  const auto* held = Find<std::vector<int64_t>>(*this, key);
  return held == nullptr ? std::vector<int64_t>{} : *held;
}

ValueId Graph::AddValue(Value value) {
  values_.push_back(std::move(value));
  return static_cast<ValueId>(values_.size() - 1);
}

ConstantId Graph::AddConstant(Constant constant) {
  constants_.push_back(std::move(constant));
  return static_cast<ConstantId>(constants_.size() - 1);
}

ValueId Graph::AddConstantValue(Constant constant) {
  Value value;
  value.name = constant.name;
  value.type = {ValueType::Kind::kTensor, constant.dtype, ToSymbolic(constant.shape)};
  value.constant = AddConstant(std::move(constant));
  return AddValue(std::move(value));
}

NodeId Graph::AddNode(Node node) {
  const auto id = static_cast<NodeId>(nodes_.size());
  for (ValueId output : node.outputs) {
    if (output == kNone) continue;
    CHECK(output >= 0 && static_cast<size_t>(output) < values_.size());
    value(output).producer = id;
  }
  nodes_.push_back(std::move(node));
  return id;
}

const Tensor* Graph::InlineConstant(ValueId id) const {
  if (id == kNone) return nullptr;
  const ConstantId held = value(id).constant;
  return held == kNone ? nullptr : constant(held).inline_tensor();
}

std::vector<NodeId> Graph::Consumers(ValueId id) const {
  std::vector<NodeId> readers;
  for (size_t n = 0; n < nodes_.size(); ++n) {
    if (nodes_[n].dead) continue;
    bool reads = false;
    ForEachRead(nodes_[n], [&](ValueId read) { reads |= read == id; });
    if (reads) readers.push_back(static_cast<NodeId>(n));
  }
  return readers;
}

std::vector<std::vector<NodeId>> Graph::AllConsumers() const {
  std::vector<std::vector<NodeId>> readers(values_.size());
  for (size_t n = 0; n < nodes_.size(); ++n) {
    if (nodes_[n].dead) continue;
    ForEachRead(nodes_[n], [&](ValueId read) {
      std::vector<NodeId>& list = readers[static_cast<size_t>(read)];
      const auto id = static_cast<NodeId>(n);
      if (list.empty() || list.back() != id) list.push_back(id);
    });
  }
  return readers;
}

bool Graph::IsOutput(ValueId id) const {
  return std::find(outputs.begin(), outputs.end(), id) != outputs.end();
}

void Graph::ReplaceUses(ValueId from, ValueId to) {
  for (Node& node : nodes_) {
    if (node.dead) continue;
    std::replace(node.inputs.begin(), node.inputs.end(), from, to);
    for (auto& [key, attribute] : node.attributes) {
      auto* subgraph = std::get_if<std::shared_ptr<Graph>>(&attribute);
      if (subgraph == nullptr || *subgraph == nullptr) continue;
      for (auto& [outer, inner] : (*subgraph)->captures) {
        if (outer == from) outer = to;
      }
    }
  }
  std::replace(outputs.begin(), outputs.end(), from, to);
}

std::vector<bool> Graph::ConstantsInUse() const {
  std::vector<bool> used(constants_.size(), false);
  std::vector<ConstantId> pending;
  const auto visit = [&](ValueId id) {
    const ConstantId held = value(id).constant;
    if (held == kNone || used[static_cast<size_t>(held)]) return;
    used[static_cast<size_t>(held)] = true;
    pending.push_back(held);
  };
  for (const Node& node : nodes_) {
    if (!node.dead) ForEachRead(node, visit);
  }
  for (ValueId id : outputs) visit(id);
  while (!pending.empty()) {
    const Constant& constant = this->constant(pending.back());
    pending.pop_back();
    const auto* derivation = std::get_if<Derivation>(&constant.source);
    if (derivation == nullptr) continue;
    for (ConstantId parent : derivation->parents) {
      if (used[static_cast<size_t>(parent)]) continue;
      used[static_cast<size_t>(parent)] = true;
      pending.push_back(parent);
    }
  }
  return used;
}

absl::Status Graph::Compact() {
  // Backwards from the outputs: what nobody reads goes. An explicit stack, for a
  // graph may be a chain of a hundred thousand nodes.
  std::vector<bool> wanted(nodes_.size(), false);
  std::vector<NodeId> pending;
  const auto want = [&](ValueId id) {
    const NodeId producer = value(id).producer;
    if (producer == kNone || wanted[static_cast<size_t>(producer)]) return;
    if (node(producer).dead) return;  // Verify names it: its output is read.
    wanted[static_cast<size_t>(producer)] = true;
    pending.push_back(producer);
  };
  for (ValueId id : outputs) want(id);
  while (!pending.empty()) {
    const NodeId id = pending.back();
    pending.pop_back();
    ForEachRead(node(id), want);
  }

  // Kahn's algorithm, always taking the ready node that stood first: an order
  // that is already right stays as it is.
  std::vector<int> missing(nodes_.size(), 0);
  std::vector<std::vector<NodeId>> readers(nodes_.size());
  std::priority_queue<NodeId, std::vector<NodeId>, std::greater<NodeId>> ready;
  size_t total = 0;
  for (size_t n = 0; n < nodes_.size(); ++n) {
    if (!wanted[n]) continue;
    ++total;
    ForEachRead(nodes_[n], [&](ValueId read) {
      const NodeId producer = value(read).producer;
      if (producer == kNone || !wanted[static_cast<size_t>(producer)]) return;
      readers[static_cast<size_t>(producer)].push_back(static_cast<NodeId>(n));
      ++missing[n];
    });
    if (missing[n] == 0) ready.push(static_cast<NodeId>(n));
  }
  std::vector<NodeId> order;
  order.reserve(total);
  while (!ready.empty()) {
    const NodeId id = ready.top();
    ready.pop();
    order.push_back(id);
    for (NodeId reader : readers[static_cast<size_t>(id)]) {
      if (--missing[static_cast<size_t>(reader)] == 0) ready.push(reader);
    }
  }
  if (order.size() != total) {
    // A node that was never ready either lies on a cycle or behind one. Going
    // from producer to producer among those ends on the cycle.
    std::vector<bool> seen(nodes_.size(), false);
    size_t at = 0;
    while (!wanted[at] || missing[at] == 0) ++at;
    while (!seen[at]) {
      seen[at] = true;
      size_t next = at;
      ForEachRead(nodes_[at], [&](ValueId read) {
        const NodeId producer = value(read).producer;
        if (producer != kNone && wanted[static_cast<size_t>(producer)] &&
            missing[static_cast<size_t>(producer)] > 0) {
          next = static_cast<size_t>(producer);
        }
      });
      at = next;
    }
    return absl::InvalidArgumentError(
        StrCat("the graph has a cycle through node '", nodes_[at].name, "' (", nodes_[at].op, ")"));
  }

  Reorder(order);
  return absl::OkStatus();
}

void Graph::Reorder(const std::vector<NodeId>& order) {
  std::vector<Node> kept;
  kept.reserve(order.size());
  for (NodeId id : order) kept.push_back(std::move(node(id)));
  nodes_ = std::move(kept);
  for (Value& value : values_) value.producer = kNone;
  for (size_t n = 0; n < nodes_.size(); ++n) {
    if (nodes_[n].dead) continue;  // What it made, another node makes now, or nobody.
    for (ValueId output : nodes_[n].outputs) {
      if (output != kNone) value(output).producer = static_cast<NodeId>(n);
    }
  }
}

}  // namespace paramd
