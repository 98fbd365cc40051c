#include "runtime/graph/runtime_value.h"

namespace paramd {

RuntimeValue::RuntimeValue() = default;
RuntimeValue::RuntimeValue(const RuntimeValue&) = default;
RuntimeValue::RuntimeValue(RuntimeValue&&) noexcept = default;
RuntimeValue& RuntimeValue::operator=(const RuntimeValue&) = default;
RuntimeValue& RuntimeValue::operator=(RuntimeValue&&) noexcept = default;
RuntimeValue::~RuntimeValue() = default;

RuntimeValue RuntimeValue::Shared(std::shared_ptr<const Tensor> tensor) {
  RuntimeValue value;
  value.kind_ = Kind::kTensor;
  value.view_ = tensor->view();
  value.held_ = std::move(tensor);
  return value;
}

RuntimeValue RuntimeValue::Borrow(const TensorView& view) {
  RuntimeValue value;
  value.kind_ = Kind::kTensor;
  value.view_ = view;
  return value;
}

RuntimeValue RuntimeValue::Sequence(DType dtype, std::vector<RuntimeValue> elements) {
  RuntimeValue value;
  value.kind_ = Kind::kSequence;
  value.view_.dtype = dtype;
  value.elements_ = std::make_shared<const std::vector<RuntimeValue>>(std::move(elements));
  return value;
}

RuntimeValue RuntimeValue::Reshaped(Shape shape) const {
  RuntimeValue value = *this;
  value.view_.shape = std::move(shape);
  return value;
}

ValueType RuntimeValue::type() const {
  ValueType type;
  switch (kind_) {
    case Kind::kAbsent:
      break;
    case Kind::kTensor:
      type.dtype = view_.dtype;
      type.shape = ToSymbolic(view_.shape);
      break;
    case Kind::kSequence:
      type.kind = ValueType::Kind::kSequence;
      type.dtype = view_.dtype;
      break;
  }
  return type;
}

std::shared_ptr<const Tensor> RuntimeValue::ToTensor() const {
  if (held_ != nullptr && held_->shape() == view_.shape) return held_;
  return std::make_shared<const Tensor>(Tensor::CopyOf(view_));
}

}  // namespace paramd
