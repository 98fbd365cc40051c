#include "runtime/graph/symbolic_shape.h"

#include "runtime/base/strings.h"

namespace paramd {

std::string Dim::ToString() const {
  if (known()) return StrCat(size);
  return symbol.empty() ? "?" : symbol;
}

std::string ToString(const SymbolicShape& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) {
    if (i > 0) text += ',';
    text += shape[i].ToString();
  }
  return text + "]";
}

SymbolicShape ToSymbolic(const Shape& shape) {
  SymbolicShape symbolic;
  symbolic.reserve(static_cast<size_t>(shape.rank()));
  for (int64_t dim : shape.dims()) symbolic.push_back(Dim::Of(dim));
  return symbolic;
}

std::optional<Shape> ToConcrete(const SymbolicShape& symbolic) {
  Shape shape;
  for (const Dim& dim : symbolic) {
    if (!dim.known()) return std::nullopt;
    shape.push_back(dim.size);
  }
  return shape;
}

}  // namespace paramd
