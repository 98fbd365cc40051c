#include "runtime/graph/passes/shape_items.h"

#include <algorithm>

#include "runtime/graph/passes/pattern.h"
#include "runtime/graph/tensor_values.h"

namespace paramd {
namespace {

using Items = std::vector<ShapeItem>;

// Exporters' chains are short; files may hold any, and joins of joins of the same.
constexpr int kDepthMax = 12;
constexpr int kShapeNodesMax = 256;

std::optional<std::vector<int64_t>> Constants(const Graph& graph, const Node& node, size_t input) {
  if (input >= node.inputs.size()) return std::nullopt;
  const Tensor* tensor = graph.InlineConstant(node.inputs[input]);
  return tensor == nullptr || tensor->shape().rank() > 1 ? std::nullopt : IntValues(tensor->view());
}

// An end that may lie anywhere, as Slice means it.
size_t Clamped(int64_t at, size_t size) {
  const auto count = static_cast<int64_t>(size);
  return static_cast<size_t>(std::clamp<int64_t>(at < 0 ? at + count : at, 0, count));
}

Items Range(const Items& items, int64_t start, int64_t end) {
  // The least integer stands for the beginning: adding a size to it is safe.
  const size_t from = Clamped(start, items.size()), to = Clamped(end, items.size());
  return from < to ? Items(items.begin() + static_cast<std::ptrdiff_t>(from),
                           items.begin() + static_cast<std::ptrdiff_t>(to))
                   : Items{};
}

class Reader {
 public:
  explicit Reader(const Graph& graph) : graph_(graph) {}

  std::optional<Items> Read(ValueId id, int depth) {
    if (id == kNone || depth > kDepthMax || ++nodes_ > kShapeNodesMax) return std::nullopt;
    if (const Tensor* tensor = graph_.InlineConstant(id); tensor != nullptr) {
      return Numbers(*tensor);
    }
    const NodeId producer = graph_.value(id).producer;
    if (producer == kNone) return std::nullopt;
    const Node& node = graph_.node(producer);
    if (node.dead || !node.domain.empty() || node.inputs.empty()) return std::nullopt;
    if (node.op == "Shape") return ReadShape(node);
    if (node.op == "Concat") return ReadConcat(node, depth);
    std::optional<Items> items = Read(node.inputs[0], depth + 1);
    if (!items.has_value()) return std::nullopt;
    if (node.op == "Cast" || node.op == "Identity" || node.op == "Squeeze" ||
        node.op == "Unsqueeze" || node.op == "Reshape") {
      // The same numbers in the same order, as long as the result is a vector.
      return RankOf(graph_, id) == 0 || RankOf(graph_, id) == 1 ? items : std::nullopt;
    }
    if (node.op == "Gather") return ReadGather(node, *items);
    if (node.op == "Slice") return ReadSlice(node, *items);
    return std::nullopt;
  }

 private:
  static std::optional<Items> Numbers(const Tensor& tensor) {
    const auto values = IntValues(tensor.view());
    if (!values.has_value() || tensor.shape().rank() > 1 ||
        values->size() > static_cast<size_t>(kRankMax)) {
      return std::nullopt;
    }
    Items items;
    for (const int64_t value : *values) items.push_back({.number = value});
    return items;
  }

  std::optional<Items> ReadShape(const Node& node) const {
    const int rank = RankOf(graph_, node.inputs[0]);
    if (rank < 0) return std::nullopt;
    Items items;
    for (int axis = 0; axis < rank; ++axis) items.push_back(ItemOf(graph_, node.inputs[0], axis));
    return Range(items, node.GetInt("start", 0), node.GetInt("end", rank));
  }

  std::optional<Items> ReadConcat(const Node& node, int depth) {
    Items all;
    for (const ValueId input : node.inputs) {
      const std::optional<Items> part = Read(input, depth + 1);
      if (!part.has_value() || all.size() + part->size() > static_cast<size_t>(kRankMax)) {
        return std::nullopt;
      }
      all.insert(all.end(), part->begin(), part->end());
    }
    return all;
  }

  std::optional<Items> ReadGather(const Node& node, const Items& items) const {
    const auto indices = Constants(graph_, node, 1);
    if (!indices.has_value() || RankOf(graph_, node.inputs[0]) != 1) return std::nullopt;
    Items picked;
    for (int64_t index : *indices) {
      if (index < 0) index += static_cast<int64_t>(items.size());
      if (index < 0 || index >= static_cast<int64_t>(items.size())) return std::nullopt;
      picked.push_back(items[static_cast<size_t>(index)]);
    }
    return picked;
  }

  std::optional<Items> ReadSlice(const Node& node, const Items& items) const {
    std::optional<std::vector<int64_t>> starts, ends;
    if (node.opset < 10) {
      starts = node.GetInts("starts");
      ends = node.GetInts("ends");
    } else {
      starts = Constants(graph_, node, 1);
      ends = Constants(graph_, node, 2);
      if (node.inputs.size() > 4 && node.inputs[4] != kNone) {
        if (Constants(graph_, node, 4) != std::vector<int64_t>{1}) return std::nullopt;
      }
    }
    if (!starts.has_value() || !ends.has_value() || starts->size() != 1 || ends->size() != 1) {
      return std::nullopt;
    }
    return Range(items, starts->front(), ends->front());
  }

  const Graph& graph_;
  int nodes_ = 0;
};

}  // namespace

ShapeItem ItemOf(const Graph& graph, ValueId id, int axis) {
  const Dim& dim = (*graph.value(id).type.shape)[static_cast<size_t>(axis)];
  if (dim.known()) return {.number = dim.size};
  return {.of = id, .axis = axis};
}

std::optional<std::vector<ShapeItem>> ShapeItems(const Graph& graph, ValueId id) {
  return Reader(graph).Read(id, 0);
}

}  // namespace paramd
