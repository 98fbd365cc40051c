// RuntimeValue: what a value of a graph is while the graph is interpreted: a
// tensor of a shape that only the run knows, a sequence of such, or absent (an
// optional without content, an output that nobody asked for).
//
// Life: cheap to copy; shares elements that it owns. A borrowed one is valid
// while its owner keeps the bytes. Thread-safety: a value; what is shared is const.
#ifndef PARAMD_RUNTIME_GRAPH_RUNTIME_VALUE_H_
#define PARAMD_RUNTIME_GRAPH_RUNTIME_VALUE_H_

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "runtime/graph/graph.h"
#include "runtime/tensor/tensor_view.h"

namespace paramd {

class RuntimeValue {
 public:
  enum class Kind : uint8_t { kAbsent, kTensor, kSequence };

  // Out of line: GCC 14 takes the inlined copies of an empty Shape for
  // uninitialised reads.
  RuntimeValue();
  RuntimeValue(const RuntimeValue&);
  RuntimeValue(RuntimeValue&&) noexcept;
  RuntimeValue& operator=(const RuntimeValue&);
  RuntimeValue& operator=(RuntimeValue&&) noexcept;
  ~RuntimeValue();

  static RuntimeValue Of(Tensor tensor) {
    return Shared(std::make_shared<const Tensor>(std::move(tensor)));
  }
  static RuntimeValue Shared(std::shared_ptr<const Tensor> tensor);
  static RuntimeValue Borrow(const TensorView& view);
  // `dtype` is the element type, which an empty sequence has too.
  static RuntimeValue Sequence(DType dtype, std::vector<RuntimeValue> elements);

  Kind kind() const { return kind_; }
  bool absent() const { return kind_ == Kind::kAbsent; }
  bool is_tensor() const { return kind_ == Kind::kTensor; }
  bool is_sequence() const { return kind_ == Kind::kSequence; }

  // REQUIRES: is_tensor().
  const TensorView& view() const { return view_; }
  DType dtype() const { return view_.dtype; }
  const Shape& shape() const { return view_.shape; }
  // REQUIRES: is_sequence().
  const std::vector<RuntimeValue>& elements() const { return *elements_; }

  // The same elements under another shape of equally many. REQUIRES: is_tensor().
  RuntimeValue Reshaped(Shape shape) const;

  // The concrete type, as shape inference wants it.
  ValueType type() const;
  // The tensor itself, copied only if it is borrowed or reshaped.
  std::shared_ptr<const Tensor> ToTensor() const;

 private:
  Kind kind_ = Kind::kAbsent;
  TensorView view_;  // Of a sequence: only the dtype.
  std::shared_ptr<const Tensor> held_;
  std::shared_ptr<const std::vector<RuntimeValue>> elements_;
};

}  // namespace paramd

#endif  // PARAMD_RUNTIME_GRAPH_RUNTIME_VALUE_H_
