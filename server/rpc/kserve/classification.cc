#include "server/rpc/kserve/classification.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "runtime/base/strings.h"
#include "runtime/tensor/half.h"

namespace paramd {
namespace {

// As Triton writes them: six decimals for floats, integers as they are.
std::string Text(double value) { return std::to_string(value); }
std::string Text(float value) { return std::to_string(value); }
std::string Text(int64_t value) { return std::to_string(value); }
std::string Text(uint64_t value) { return std::to_string(value); }

template <typename T>
bool Larger(T a, T b) {
  if constexpr (std::is_floating_point_v<T>) {
    if (std::isnan(b)) return !std::isnan(a);
  }
  return a > b;
}

template <typename Value, typename Load>
void ClassifyRow(int64_t count, int64_t top, absl::Span<const std::string> labels, const Load& load,
                 std::string* out) {
  std::vector<int64_t> indexes(static_cast<size_t>(count));
  std::iota(indexes.begin(), indexes.end(), 0);
  std::partial_sort(indexes.begin(), indexes.begin() + top, indexes.end(),
                    [&](int64_t a, int64_t b) {
                      const Value left = load(a), right = load(b);
                      if (Larger(left, right)) return true;
                      return !Larger(right, left) && a < b;
                    });
  for (int64_t i = 0; i < top; ++i) {
    const int64_t index = indexes[static_cast<size_t>(i)];
    out[i] = StrCat(Text(static_cast<Value>(load(index))), ":", index);
    if (static_cast<size_t>(index) < labels.size() && !labels[static_cast<size_t>(index)].empty()) {
      StrAppend(&out[i], ":", labels[static_cast<size_t>(index)]);
    }
  }
}

template <typename Value, typename Element, typename Convert>
void ClassifyRows(const TensorView& values, int64_t rows, int64_t top,
                  absl::Span<const std::string> labels, const Convert& convert, std::string* out) {
  const auto* const data = static_cast<const Element*>(values.data);
  const int64_t count = rows == 0 ? 0 : values.shape.elements() / rows;
  for (int64_t row = 0; row < rows; ++row) {
    const Element* const first = data + row * count;
    ClassifyRow<Value>(
        count, top, labels, [&](int64_t i) { return static_cast<Value>(convert(first[i])); },
        out + row * top);
  }
}

template <typename Value, typename Element>
void ClassifyRows(const TensorView& values, int64_t rows, int64_t top,
                  absl::Span<const std::string> labels, std::string* out) {
  ClassifyRows<Value, Element>(
      values, rows, top, labels, [](Element e) { return e; }, out);
}

}  // namespace

absl::StatusOr<Tensor> Classify(const TensorView& values, int64_t top, bool by_rows,
                                absl::Span<const std::string> labels) {
  by_rows = by_rows && values.shape.rank() > 0;
  const int64_t rows = by_rows ? values.shape.dim(0) : 1;
  const int64_t count = rows == 0 ? 0 : values.shape.elements() / rows;
  top = std::min(top, count);
  Shape shape;
  if (by_rows) shape.push_back(rows);
  shape.push_back(top);
  Tensor texts(DType::kString, shape);
  auto* const out = static_cast<std::string*>(texts.view().data);
  switch (values.dtype) {
    case DType::kF32:
      ClassifyRows<float, float>(values, rows, top, labels, out);
      break;
    case DType::kF64:
      ClassifyRows<double, double>(values, rows, top, labels, out);
      break;
    case DType::kF16:
      ClassifyRows<float, uint16_t>(values, rows, top, labels, F16ToFloat, out);
      break;
    case DType::kBF16:
      ClassifyRows<float, uint16_t>(values, rows, top, labels, BF16ToFloat, out);
      break;
    case DType::kI8:
      ClassifyRows<int64_t, int8_t>(values, rows, top, labels, out);
      break;
    case DType::kI16:
      ClassifyRows<int64_t, int16_t>(values, rows, top, labels, out);
      break;
    case DType::kI32:
      ClassifyRows<int64_t, int32_t>(values, rows, top, labels, out);
      break;
    case DType::kI64:
      ClassifyRows<int64_t, int64_t>(values, rows, top, labels, out);
      break;
    case DType::kBool:
    case DType::kU8:
      ClassifyRows<uint64_t, uint8_t>(values, rows, top, labels, out);
      break;
    case DType::kU16:
      ClassifyRows<uint64_t, uint16_t>(values, rows, top, labels, out);
      break;
    case DType::kU32:
      ClassifyRows<uint64_t, uint32_t>(values, rows, top, labels, out);
      break;
    case DType::kU64:
      ClassifyRows<uint64_t, uint64_t>(values, rows, top, labels, out);
      break;
    default:
      return absl::InvalidArgumentError(
          StrCat("an output of type ", DTypeName(values.dtype), " cannot be classified"));
  }
  return texts;
}

}  // namespace paramd
