// ShapeItems: what a computed shape is made of, where exporters compute it from
// the shape of a tensor: Concat([-1], Shape(x)[2:3], [64]) is {-1, x's dimension
// 2, 64}. For passes that have to know that a Reshape puts back what another
// one took apart, whatever the sizes turn out to be.
//
// Thread-safety: pure functions.
#ifndef PARAMD_RUNTIME_GRAPH_PASSES_SHAPE_ITEMS_H_
#define PARAMD_RUNTIME_GRAPH_PASSES_SHAPE_ITEMS_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "runtime/graph/graph.h"

namespace paramd {

struct ShapeItem {
  int64_t number = 0;  // Where `of` is kNone.
  ValueId of = kNone;  // Else: this value's dimension `axis`, not known now.
  int axis = 0;
  friend bool operator==(const ShapeItem&, const ShapeItem&) = default;
};

// Dimension `axis` of a value of known rank, as an item.
ShapeItem ItemOf(const Graph& graph, ValueId id, int axis);

// The items of a vector (or of a scalar: one) of integers; nothing where it is
// computed in a way that is not followed.
std::optional<std::vector<ShapeItem>> ShapeItems(const Graph& graph, ValueId id);

}  // namespace paramd

#endif  // PARAMD_RUNTIME_GRAPH_PASSES_SHAPE_ITEMS_H_
