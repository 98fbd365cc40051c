#include "tests/conformance/data.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/conformance/oracle.h"

namespace paramd::conformance {

uint64_t Seed() { return static_cast<uint64_t>(std::max(1, GTEST_FLAG_GET(random_seed))); }

Tensor Fill(const Operand& operand, Data data, int64_t index_range, std::mt19937_64& random) {
  if (operand.kind == OperandKind::kAbsent) return {};
  const DType dtype = operand.dtype;
  const bool whole = !IsFloat(dtype) || data == Data::kSmallInts || data == Data::kIndices;
  const bool is_signed = dtype == DType::kI8 || dtype == DType::kI16 || dtype == DType::kI32 ||
                         dtype == DType::kI64 || dtype == DType::kI4 || IsFloat(dtype);
  Numbers numbers(static_cast<size_t>(operand.shape.elements()));
  std::normal_distribution<double> normal;
  const auto between = [&random](double low, double high) {
    return std::uniform_real_distribution<double>(low, high)(random);
  };
  const auto integer = [&random](int64_t low, int64_t high) {
    return static_cast<double>(std::uniform_int_distribution<int64_t>(low, high)(random));
  };
  for (double& x : numbers) {
    if (dtype == DType::kBool) {
      x = integer(0, 1);
      continue;
    }
    switch (data) {
      case Data::kNormal:
        // 7: what the 4-bit types hold.
        x = whole ? integer(is_signed ? -7 : 0, 7) : normal(random);
        break;
      case Data::kPositive:
        x = whole ? integer(1, 7) : between(0.1, 3);
        break;
      case Data::kNonZero:
        x = whole ? integer(1, 7) : between(0.5, 3);
        if (is_signed && integer(0, 1) == 1) x = -x;
        break;
      case Data::kSmallInts:
        x = integer(is_signed ? -3 : 0, 3);
        break;
      case Data::kBytes:
        x = integer(is_signed ? -128 : 0, is_signed ? 127 : 255);
        break;
      case Data::kSmall:
        x = between(0.001, 0.1);
        break;
      case Data::kIndices:
        x = integer(-index_range, index_range - 1);
        break;
    }
  }
  return FromNumbers(dtype, operand.shape, numbers);
}

std::vector<Tensor> FillAll(const Case& c, std::mt19937_64& random) {
  std::vector<Tensor> tensors;
  for (size_t i = 0; i < c.spec.inputs.size(); ++i) {
    const Data data = i < c.data.size() ? c.data[i] : Data::kNormal;
    tensors.push_back(Fill(c.spec.inputs[i], data, c.index_range, random));
  }
  return tensors;
}

}  // namespace paramd::conformance
