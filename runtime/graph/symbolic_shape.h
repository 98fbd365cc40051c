// SymbolicShape: dimensions that are a number, a name ("N": equal names are
// equal numbers within one graph) or unknown. A shape of unknown rank is
// std::nullopt where a SymbolicShape is optional.
//
// Thread-safety: a value.
#ifndef PARAMD_RUNTIME_GRAPH_SYMBOLIC_SHAPE_H_
#define PARAMD_RUNTIME_GRAPH_SYMBOLIC_SHAPE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "runtime/tensor/shape.h"

namespace paramd {

struct Dim {
  int64_t size = -1;   // >= 0 when known.
  std::string symbol;  // Non-empty when named; both empty and -1: unknown.

  static Dim Of(int64_t size) { return {size, {}}; }
  static Dim Named(std::string symbol) { return {-1, std::move(symbol)}; }
  static Dim Unknown() { return {}; }
  bool known() const { return size >= 0; }
  std::string ToString() const;  // "8", "N", "?"
  friend bool operator==(const Dim&, const Dim&) = default;
};

using SymbolicShape = std::vector<Dim>;

std::string ToString(const SymbolicShape& shape);       // "[N,3,224,224]"
SymbolicShape ToSymbolic(const Shape& shape);           // All dimensions known.
std::optional<Shape> ToConcrete(const SymbolicShape&);  // Nothing unless all are known.

}  // namespace paramd

#endif  // PARAMD_RUNTIME_GRAPH_SYMBOLIC_SHAPE_H_
