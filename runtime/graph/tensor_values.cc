#include "runtime/graph/tensor_values.h"

#include <algorithm>
#include <limits>

#include "runtime/tensor/half.h"

namespace paramd {
namespace {

template <typename To, typename From>
std::vector<To> Converted(const TensorView& view) {
  const auto values = view.as<From>();
  std::vector<To> converted;
  converted.reserve(values.size());
  for (const From& value : values) converted.push_back(static_cast<To>(value));
  return converted;
}

template <typename T>
Tensor Filled(DType dtype, const Shape& shape, T value) {
  Tensor tensor(dtype, shape);
  const auto elements = tensor.view().as<T>();
  std::fill(elements.begin(), elements.end(), value);
  return tensor;
}

// Conversion of a double outside the integer's range is undefined: clamp first.
template <typename T>
T ToInteger(double value) {
  if (!(value > static_cast<double>(std::numeric_limits<T>::min()))) {
    return value <= static_cast<double>(std::numeric_limits<T>::min())
               ? std::numeric_limits<T>::min()
               : T{0};  // NaN.
  }
  if (value >= static_cast<double>(std::numeric_limits<T>::max())) {
    return std::numeric_limits<T>::max();
  }
  return static_cast<T>(value);
}

}  // namespace

std::optional<std::vector<int64_t>> IntValues(const TensorView& view) {
  switch (view.dtype) {
    case DType::kI64:
      return Converted<int64_t, int64_t>(view);
    case DType::kI32:
      return Converted<int64_t, int32_t>(view);
    case DType::kI16:
      return Converted<int64_t, int16_t>(view);
    case DType::kI8:
      return Converted<int64_t, int8_t>(view);
    case DType::kU8:
    case DType::kBool:
      return Converted<int64_t, uint8_t>(view);
    case DType::kU16:
      return Converted<int64_t, uint16_t>(view);
    case DType::kU32:
      return Converted<int64_t, uint32_t>(view);
    case DType::kU64: {
      std::vector<int64_t> values;
      for (uint64_t value : view.as<uint64_t>()) {
        constexpr uint64_t kMax = std::numeric_limits<int64_t>::max();
        values.push_back(static_cast<int64_t>(std::min(value, kMax)));
      }
      return values;
    }
    default:
      return std::nullopt;
  }
}

std::optional<std::vector<double>> FloatValues(const TensorView& view) {
  switch (view.dtype) {
    case DType::kF32:
      return Converted<double, float>(view);
    case DType::kF64:
      return Converted<double, double>(view);
    case DType::kF16:
    case DType::kBF16: {
      std::vector<double> values;
      for (uint16_t bits : view.as<uint16_t>()) {
        values.push_back(view.dtype == DType::kF16 ? F16ToFloat(bits) : BF16ToFloat(bits));
      }
      return values;
    }
    default:
      break;
  }
  const std::optional<std::vector<int64_t>> ints = IntValues(view);
  if (!ints.has_value()) return std::nullopt;
  return std::vector<double>(ints->begin(), ints->end());
}

Tensor IntVector(const std::vector<int64_t>& values) {
  return Tensor::Of<int64_t>(DType::kI64, Shape{static_cast<int64_t>(values.size())}, values);
}

std::optional<Tensor> FilledTensor(DType dtype, const Shape& shape, double value) {
  switch (dtype) {
    case DType::kF32:
      return Filled<float>(dtype, shape, static_cast<float>(value));
    case DType::kF64:
      return Filled<double>(dtype, shape, value);
    case DType::kF16:
      return Filled<uint16_t>(dtype, shape, FloatToF16(static_cast<float>(value)));
    case DType::kBF16:
      return Filled<uint16_t>(dtype, shape, FloatToBF16(static_cast<float>(value)));
    case DType::kI64:
      return Filled<int64_t>(dtype, shape, ToInteger<int64_t>(value));
    case DType::kI32:
      return Filled<int32_t>(dtype, shape, ToInteger<int32_t>(value));
    case DType::kI16:
      return Filled<int16_t>(dtype, shape, ToInteger<int16_t>(value));
    case DType::kI8:
      return Filled<int8_t>(dtype, shape, ToInteger<int8_t>(value));
    case DType::kU8:
      return Filled<uint8_t>(dtype, shape, ToInteger<uint8_t>(value));
    case DType::kU16:
      return Filled<uint16_t>(dtype, shape, ToInteger<uint16_t>(value));
    case DType::kU32:
      return Filled<uint32_t>(dtype, shape, ToInteger<uint32_t>(value));
    case DType::kU64:
      return Filled<uint64_t>(dtype, shape, ToInteger<uint64_t>(value));
    case DType::kBool:
      return Filled<uint8_t>(dtype, shape, value != 0 ? 1 : 0);
    default:
      return std::nullopt;
  }
}

}  // namespace paramd
