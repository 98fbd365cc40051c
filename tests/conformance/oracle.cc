#include "tests/conformance/oracle.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/log/check.h"
#include "runtime/tensor/half.h"
#include "runtime/tensor/small_float.h"

namespace paramd::conformance {
namespace {

using Index = std::vector<int64_t>;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

Index IndexOf(const Shape& shape, int64_t flat) {
  Index index(static_cast<size_t>(shape.rank()));
  for (int i = shape.rank() - 1; i >= 0; --i) {
    index[static_cast<size_t>(i)] = flat % shape.dim(i);
    flat /= shape.dim(i);
  }
  return index;
}

int64_t FlatOf(const Shape& shape, const Index& index) {
  int64_t flat = 0;
  for (int i = 0; i < shape.rank(); ++i) {
    flat = flat * shape.dim(i) + index[static_cast<size_t>(i)];
  }
  return flat;
}

// The element that numpy's broadcasting of `shape` puts at `index`.
int64_t BroadcastFlat(const Shape& shape, const Index& index) {
  Index own(index.end() - shape.rank(), index.end());
  for (int i = 0; i < shape.rank(); ++i) {
    if (shape.dim(i) == 1) own[static_cast<size_t>(i)] = 0;
  }
  return FlatOf(shape, own);
}

struct Context {
  const OpSpec& spec;
  absl::Span<const Numbers> inputs;

  const Shape& x() const { return spec.inputs[0].shape; }
  const Shape& y() const { return spec.outputs[0].shape; }
  const Shape& shape(size_t i) const { return spec.inputs[i].shape; }
  double at(size_t input, const Index& index) const {
    return inputs[input][static_cast<size_t>(FlatOf(shape(input), index))];
  }
  double spread(size_t input, const Index& index) const {
    return inputs[input][static_cast<size_t>(BroadcastFlat(shape(input), index))];
  }
  bool has(size_t i) const {
    return i < spec.inputs.size() && spec.inputs[i].kind != OperandKind::kAbsent;
  }
  // y from each of its indices.
  template <typename Fn>
  Numbers Each(Fn&& fn) const {
    Numbers result(static_cast<size_t>(y().elements()));
    for (size_t i = 0; i < result.size(); ++i) {
      result[i] = fn(IndexOf(y(), static_cast<int64_t>(i)));
    }
    return result;
  }
};

double Activate(ActivationKind kind, double alpha, double beta, double x) {
  const auto sigmoid = [](double v) { return 1 / (1 + std::exp(-v)); };
  switch (kind) {
    case ActivationKind::kRelu:
      return std::max(x, 0.0);
    case ActivationKind::kLeakyRelu:
      return x < 0 ? alpha * x : x;
    case ActivationKind::kClip:
      return std::min(std::max(x, alpha), beta);
    case ActivationKind::kSigmoid:
      return sigmoid(x);
    case ActivationKind::kTanh:
      return std::tanh(x);
    case ActivationKind::kElu:
      return x < 0 ? alpha * (std::exp(x) - 1) : x;
    case ActivationKind::kHardSigmoid:
      return std::max(0.0, std::min(1.0, alpha * x + beta));
    case ActivationKind::kHardSwish:
      return x * std::max(0.0, std::min(1.0, x / 6 + 0.5));
    case ActivationKind::kSilu:
      return x * sigmoid(alpha * x);
    case ActivationKind::kGeluErf:
      return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0)));
    case ActivationKind::kGeluTanh:
      return 0.5 * x *
             (1 + std::tanh(std::sqrt(2 / 3.14159265358979323846) * (x + 0.044715 * x * x * x)));
    case ActivationKind::kSoftplus:
      return std::log(1 + std::exp(x));
    case ActivationKind::kSoftsign:
      return x / (1 + std::fabs(x));
    case ActivationKind::kSelu:
      return x > 0 ? beta * x : beta * (alpha * std::exp(x) - alpha);
    case ActivationKind::kAbs:
      return std::fabs(x);
    case ActivationKind::kNeg:
      return -x;
    case ActivationKind::kExp:
      return std::exp(x);
    case ActivationKind::kLog:
      return std::log(x);
    case ActivationKind::kSqrt:
      return std::sqrt(x);
    case ActivationKind::kReciprocal:
      return 1 / x;
    case ActivationKind::kErf:
      return std::erf(x);
    case ActivationKind::kFloor:
      return std::floor(x);
    case ActivationKind::kCeil:
      return std::ceil(x);
    case ActivationKind::kRound:
      return std::fabs(x - std::trunc(x)) == 0.5 ? 2 * std::round(x / 2) : std::round(x);
    case ActivationKind::kSign:
      return (x > 0) - (x < 0);
    case ActivationKind::kSin:
      return std::sin(x);
    case ActivationKind::kCos:
      return std::cos(x);
    case ActivationKind::kNot:
      return x == 0 ? 1 : 0;
  }
  return 0;
}

double Combine(BinaryKind kind, bool integers, double a, double b) {
  switch (kind) {
    case BinaryKind::kAdd:
      return a + b;
    case BinaryKind::kSub:
      return a - b;
    case BinaryKind::kMul:
      return a * b;
    case BinaryKind::kDiv:
      return integers ? std::trunc(a / b) : a / b;
    case BinaryKind::kPow:
      return std::pow(a, b);
    case BinaryKind::kMin:
      return std::min(a, b);
    case BinaryKind::kMax:
      return std::max(a, b);
    case BinaryKind::kEqual:
      return a == b;
    case BinaryKind::kLess:
      return a < b;
    case BinaryKind::kLessOrEqual:
      return a <= b;
    case BinaryKind::kGreater:
      return a > b;
    case BinaryKind::kGreaterOrEqual:
      return a >= b;
    case BinaryKind::kAnd:
      return a != 0 && b != 0;
    case BinaryKind::kOr:
      return a != 0 || b != 0;
    case BinaryKind::kXor:
      return (a != 0) != (b != 0);
    case BinaryKind::kMod:
      return integers ? a - b * std::floor(a / b) : std::fmod(a, b);
  }
  return 0;
}

Numbers Run(const Context& c, const ConvParams& p) {
  const Shape& w = c.shape(1);
  const int64_t filters_a_group = w.dim(0) / p.groups;
  const auto spatial = static_cast<size_t>(w.rank() - 2);
  return c.Each([&](const Index& y) {
    double sum = c.has(2) ? c.inputs[2][static_cast<size_t>(y[1])] : 0;
    const int64_t group = y[1] / filters_a_group;
    // Every weight of the filter in turn.
    for (int64_t i = 0; i < w.elements() / w.dim(0); ++i) {
      const Index at = IndexOf(w, y[1] * (w.elements() / w.dim(0)) + i);
      Index x = {y[0], group * w.dim(1) + at[1]};
      bool inside = true;
      for (size_t s = 0; s < spatial; ++s) {
        x.push_back(y[s + 2] * p.strides[s] - p.pads_begin[s] + at[s + 2] * p.dilations[s]);
        inside = inside && x.back() >= 0 && x.back() < c.x().dim(static_cast<int>(s) + 2);
      }
      if (inside) sum += c.at(0, x) * c.at(1, at);
    }
    return sum;
  });
}

Numbers Run(const Context& c, const MatMulParams& p) {
  const Shape& a = c.shape(0);
  const int64_t k = a.dim(a.rank() - (p.trans_a ? 2 : 1));
  return c.Each([&](const Index& y) {
    const size_t m = y.size() - 2, n = y.size() - 1;
    double sum = 0;
    for (int64_t l = 0; l < k; ++l) {
      Index at_a = y, at_b = y;
      at_a[p.trans_a ? n : m] = y[m];
      at_a[p.trans_a ? m : n] = l;
      at_b[p.trans_b ? m : n] = y[n];
      at_b[p.trans_b ? n : m] = l;
      sum += c.spread(0, at_a) * c.spread(1, at_b);
    }
    return p.alpha * sum + (c.has(2) ? p.beta * c.spread(2, y) : 0);
  });
}

Numbers Run(const Context& c, const PoolParams& p) {
  const Shape window(p.kernel);
  return c.Each([&](const Index& y) {
    double sum = 0, most = -kInfinity, count = 0;
    for (int64_t i = 0; i < window.elements(); ++i) {
      const Index at = IndexOf(window, i);
      Index x = {y[0], y[1]};
      bool inside = true, padded = true;
      for (size_t s = 0; s < at.size(); ++s) {
        x.push_back(y[s + 2] * p.strides[s] - p.pads_begin[s] + at[s] * p.dilations[s]);
        const int64_t dim = c.x().dim(static_cast<int>(s) + 2);
        inside = inside && x.back() >= 0 && x.back() < dim;
        padded = padded && x.back() < dim + p.pads_end[s];
      }
      if (inside) {
        sum += c.at(0, x);
        most = std::max(most, c.at(0, x));
      }
      if (p.count_include_pad ? padded : inside) ++count;
    }
    return p.kind == PoolParams::Kind::kMax ? most : sum / count;
  });
}

Numbers Run(const Context& c, const UnaryParams& p) {
  return c.Each([&](const Index& y) { return Activate(p.kind, p.alpha, p.beta, c.at(0, y)); });
}

Numbers Run(const Context& c, const BinaryParams& p) {
  const bool integers = IsInteger(c.spec.inputs[0].dtype);
  return c.Each(
      [&](const Index& y) { return Combine(p.kind, integers, c.spread(0, y), c.spread(1, y)); });
}

// Calls fn with every index that differs from `index` in the given axes only.
template <typename Fn>
void Along(const Shape& shape, const Index& index, const std::vector<int>& axes, Fn&& fn) {
  Shape inner;
  for (int axis : axes) inner.push_back(shape.dim(axis));
  for (int64_t i = 0; i < inner.elements(); ++i) {
    const Index at = IndexOf(inner, i);
    Index moved = index;
    for (size_t a = 0; a < axes.size(); ++a) moved[static_cast<size_t>(axes[a])] = at[a];
    fn(moved);
  }
}

std::vector<int> AxesFrom(int axis, int rank, bool all) {
  if (axis < 0) axis += rank;
  std::vector<int> axes;
  for (int i = axis; i < (all ? rank : axis + 1); ++i) axes.push_back(i);
  return axes;
}

Numbers Run(const Context& c, const SoftmaxParams& p) {
  const std::vector<int> axes = AxesFrom(p.axis, c.x().rank(), p.flattened);
  return c.Each([&](const Index& y) {
    double most = -kInfinity, sum = 0;
    Along(c.x(), y, axes, [&](const Index& i) { most = std::max(most, c.at(0, i)); });
    Along(c.x(), y, axes, [&](const Index& i) { sum += std::exp(c.at(0, i) - most); });
    const double shifted = c.at(0, y) - most;
    return p.log ? shifted - std::log(sum) : std::exp(shifted) / sum;
  });
}

Numbers Run(const Context& c, const ReduceParams& p) {
  const bool integers = IsInteger(c.spec.inputs[0].dtype);
  const bool kept = c.y().rank() == c.x().rank();
  return c.Each([&](const Index& y) {
    Index x(static_cast<size_t>(c.x().rank()));
    size_t next = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      const bool reduced =
          std::find(p.axes.begin(), p.axes.end(), static_cast<int>(i)) != p.axes.end();
      if (kept || !reduced) x[i] = y[next++];
      if (kept && reduced) x[i] = 0;
    }
    double sum = 0, product = 1, most = -kInfinity, least = kInfinity, absolute = 0, squares = 0;
    double count = 0;
    Along(c.x(), x, p.axes, [&](const Index& i) {
      const double v = c.at(0, i);
      sum += v;
      product *= v;
      most = std::max(most, v);
      least = std::min(least, v);
      absolute += std::fabs(v);
      squares += v * v;
      ++count;
    });
    switch (p.kind) {
      case ReduceKind::kSum:
        return sum;
      case ReduceKind::kMean:
        return integers ? std::trunc(sum / count) : sum / count;
      case ReduceKind::kMax:
        return most;
      case ReduceKind::kMin:
        return least;
      case ReduceKind::kProd:
        return product;
      case ReduceKind::kL1:
        return absolute;
      case ReduceKind::kL2:
        return integers ? std::trunc(std::sqrt(squares)) : std::sqrt(squares);
      case ReduceKind::kSumSquare:
        return squares;
    }
    return 0.0;
  });
}

Numbers Run(const Context& c, const LrnParams& p) {
  return c.Each([&](const Index& y) {
    const int64_t first = std::max<int64_t>(0, y[1] - (p.size - 1) / 2);
    const int64_t last = std::min(c.x().dim(1) - 1, y[1] + p.size / 2);
    double squares = 0;
    Index x = y;
    for (x[1] = first; x[1] <= last; ++x[1]) squares += std::pow(c.at(0, x), 2);
    const double base =
        p.bias + static_cast<double>(p.alpha) / static_cast<double>(p.size) * squares;
    return c.at(0, y) / std::pow(base, p.beta);
  });
}

Numbers Run(const Context& c, const BatchNormParams& p) {
  return c.Each([&](const Index& y) {
    const auto channel = static_cast<size_t>(y[1]);
    const double centred = c.at(0, y) - c.inputs[3][channel];
    return centred / std::sqrt(c.inputs[4][channel] + p.epsilon) * c.inputs[1][channel] +
           c.inputs[2][channel];
  });
}

Numbers Run(const Context& c, const LayerNormParams& p) {
  const std::vector<int> axes = AxesFrom(p.axis, c.x().rank(), true);
  return c.Each([&](const Index& y) {
    double sum = 0, squares = 0, count = 0;
    Along(c.x(), y, axes, [&](const Index& i) { sum += c.at(0, i), ++count; });
    const double mean = sum / count;
    Along(c.x(), y, axes, [&](const Index& i) { squares += std::pow(c.at(0, i) - mean, 2); });
    const double normal = (c.at(0, y) - mean) / std::sqrt(squares / count + p.epsilon);
    return normal * c.spread(1, y) + (c.has(2) ? c.spread(2, y) : 0);
  });
}

Numbers Run(const Context& c, const AttentionParams& p) {
  const auto rank = static_cast<size_t>(c.y().rank());
  const size_t row = rank - 2, column = rank - 1;
  // The operand's own index of [..., row, column] of what it stands for.
  const auto number = [&](size_t input, const std::vector<int>& perm, const Index& index) {
    Index own(rank);
    for (size_t i = 0; i < rank; ++i) own[static_cast<size_t>(perm[i])] = index[i];
    return c.spread(input, own);
  };
  const int64_t size = c.shape(0).dim(p.q_perm[column]), keys = c.shape(2).dim(p.v_perm[row]);
  return c.Each([&](const Index& output) {
    Index y(rank);
    for (size_t i = 0; i < rank; ++i) y[static_cast<size_t>(p.y_perm[i])] = output[i];
    Numbers scores;
    for (int64_t t = 0; t < keys; ++t) {
      double sum = 0;
      for (int64_t d = 0; d < size; ++d) {
        Index q = y, k = y;
        q[column] = k[column] = d;
        k[row] = t;
        sum += number(0, p.q_perm, q) * number(1, p.k_perm, k);
      }
      Index at = y;
      at[column] = t;
      double score = sum * p.scale;
      if (c.has(4) && (c.spread(4, at) != 0) == p.drop) score = p.fill;
      scores.push_back(score + (c.has(3) ? c.spread(3, at) : 0));
    }
    const double most = *std::max_element(scores.begin(), scores.end());
    double weights = 0, value = 0;
    for (int64_t t = 0; t < keys; ++t) {
      Index v = y;
      v[row] = t;
      const double weight = std::exp(scores[static_cast<size_t>(t)] - most);
      weights += weight;
      value += weight * number(2, p.v_perm, v);
    }
    return value / weights;
  });
}

Numbers Run(const Context& c, const ConcatParams& p) {
  const auto axis = static_cast<size_t>(p.axis < 0 ? p.axis + c.y().rank() : p.axis);
  return c.Each([&](const Index& y) {
    Index x = y;
    for (size_t i = 0;; ++i) {
      const int64_t dim = c.shape(i).dim(static_cast<int>(axis));
      if (x[axis] < dim) return c.at(i, x);
      x[axis] -= dim;
    }
  });
}

Numbers Run(const Context& c, const TransposeParams& p) {
  return c.Each([&](const Index& y) {
    Index x(y.size());
    for (size_t i = 0; i < y.size(); ++i) x[static_cast<size_t>(p.perm[i])] = y[i];
    return c.at(0, x);
  });
}

Numbers Run(const Context& c, const ReshapeParams&) {
  return c.Each([&](const Index& y) { return c.inputs[0][static_cast<size_t>(FlatOf(c.y(), y))]; });
}

Numbers Run(const Context& c, const SliceParams& p) {
  return c.Each([&](const Index& y) {
    Index x(y.size());
    for (size_t i = 0; i < y.size(); ++i) x[i] = p.starts[i] + y[i] * p.steps[i];
    return c.at(0, x);
  });
}

Numbers Run(const Context& c, const GatherParams& p) {
  const int rank = c.x().rank();
  const int axis = p.axis < 0 ? p.axis + rank : p.axis;
  const int wide = c.shape(1).rank();
  return c.Each([&](const Index& y) {
    const Index at(y.begin() + axis, y.begin() + axis + wide);
    double index = c.at(1, at);
    if (index < 0) index += static_cast<double>(c.x().dim(axis));
    Index x(y.begin(), y.begin() + axis);
    x.push_back(static_cast<int64_t>(index));
    x.insert(x.end(), y.begin() + axis + wide, y.end());
    return c.at(0, x);
  });
}

Numbers Run(const Context& c, const CastParams&) {
  const DType to = c.spec.outputs[0].dtype;
  return c.Each([&](const Index& y) {
    const double x = c.at(0, y);
    return to == DType::kBool ? (x != 0 ? 1.0 : 0.0) : IsInteger(to) ? std::trunc(x) : x;
  });
}

Numbers Run(const Context& c, const PadParams& p) {
  return c.Each([&](const Index& y) {
    Index x(y.size());
    for (size_t i = 0; i < y.size(); ++i) {
      const int64_t first = std::max<int64_t>(0, -p.pads_begin[i]);
      const int64_t last =  // Of what negative pads leave.
          c.x().dim(static_cast<int>(i)) - 1 - std::max<int64_t>(0, -p.pads_end[i]);
      int64_t at = y[i] - p.pads_begin[i];
      // One step at a time until it lies inside.
      while (at < first || at > last) {
        switch (p.mode) {
          case PadParams::Mode::kConstant:
            return p.value;
          case PadParams::Mode::kEdge:
            at = at < first ? first : last;
            break;
          case PadParams::Mode::kReflect:
            at = first == last ? first : at < first ? 2 * first - at : 2 * last - at;
            break;
          case PadParams::Mode::kWrap:
            at += at < first ? last - first + 1 : -(last - first + 1);
            break;
        }
      }
      x[i] = at;
    }
    return c.at(0, x);
  });
}

Numbers Run(const Context& c, const ExpandParams&) {
  return c.Each([&](const Index& y) { return c.spread(0, y); });
}

Numbers Run(const Context& c, const WhereParams&) {
  return c.Each(
      [&](const Index& y) { return c.spread(0, y) != 0 ? c.spread(1, y) : c.spread(2, y); });
}

Numbers Run(const Context& c, const ReorderParams&) {
  return c.Each([&](const Index& y) { return c.at(0, y); });
}

// What ONNX's node tests are the oracle of; no case of the table has one.
Numbers Run(const Context&, const NamedParams&) { return {}; }

template <typename T>
void Widen(const TensorView& tensor, Numbers* numbers) {
  for (T x : tensor.as<T>()) numbers->push_back(static_cast<double>(x));
}

template <typename T>
void Store(absl::Span<const double> numbers, Tensor* tensor) {
  auto* to = static_cast<T*>(tensor->view().data);
  for (double x : numbers) *to++ = static_cast<T>(x);
}

}  // namespace

Numbers ToNumbers(const TensorView& tensor) {
  Numbers numbers;
  const auto* bytes = static_cast<const uint8_t*>(tensor.data);
  switch (tensor.dtype) {
    case DType::kF32:
      Widen<float>(tensor, &numbers);
      break;
    case DType::kF64:
      Widen<double>(tensor, &numbers);
      break;
    case DType::kI8:
      Widen<int8_t>(tensor, &numbers);
      break;
    case DType::kU8:
      Widen<uint8_t>(tensor, &numbers);
      break;
    case DType::kBool:
      for (uint8_t x : tensor.as<uint8_t>()) numbers.push_back(x != 0 ? 1 : 0);
      break;
    case DType::kI16:
      Widen<int16_t>(tensor, &numbers);
      break;
    case DType::kU16:
      Widen<uint16_t>(tensor, &numbers);
      break;
    case DType::kI32:
      Widen<int32_t>(tensor, &numbers);
      break;
    case DType::kU32:
      Widen<uint32_t>(tensor, &numbers);
      break;
    case DType::kI64:
      Widen<int64_t>(tensor, &numbers);
      break;
    case DType::kU64:
      Widen<uint64_t>(tensor, &numbers);
      break;
    case DType::kBF16:
      for (uint16_t x : tensor.as<uint16_t>()) numbers.push_back(BF16ToFloat(x));
      break;
    case DType::kF16:
      for (uint16_t x : tensor.as<uint16_t>()) numbers.push_back(F16ToFloat(x));
      break;
    case DType::kI4:
    case DType::kU4:
      for (int64_t i = 0; i < tensor.shape.elements(); ++i) {
        const int nibble = bytes[i / 2] >> (i % 2 * 4) & 0xf;
        numbers.push_back(tensor.dtype == DType::kI4 && nibble > 7 ? nibble - 16 : nibble);
      }
      break;
    default:
      CHECK(IsSmallFloat(tensor.dtype) && DTypeBits(tensor.dtype) == 8);
      for (uint8_t x : tensor.as<uint8_t>()) {
        numbers.push_back(SmallFloatToFloat(tensor.dtype, x));
      }
  }
  return numbers;
}

Tensor FromNumbers(DType dtype, const Shape& shape, absl::Span<const double> numbers) {
  CHECK_EQ(static_cast<size_t>(shape.elements()), numbers.size());
  Tensor tensor(dtype, shape);
  auto* halves = static_cast<uint16_t*>(tensor.view().data);
  auto* bytes = static_cast<uint8_t*>(tensor.view().data);
  switch (dtype) {
    case DType::kF32:
      Store<float>(numbers, &tensor);
      break;
    case DType::kF64:
      Store<double>(numbers, &tensor);
      break;
    case DType::kI8:
      Store<int8_t>(numbers, &tensor);
      break;
    case DType::kU8:
    case DType::kBool:
      Store<uint8_t>(numbers, &tensor);
      break;
    case DType::kI16:
      Store<int16_t>(numbers, &tensor);
      break;
    case DType::kU16:
      Store<uint16_t>(numbers, &tensor);
      break;
    case DType::kI32:
      Store<int32_t>(numbers, &tensor);
      break;
    case DType::kU32:
      Store<uint32_t>(numbers, &tensor);
      break;
    case DType::kI64:
      Store<int64_t>(numbers, &tensor);
      break;
    case DType::kU64:
      Store<uint64_t>(numbers, &tensor);
      break;
    case DType::kBF16:
      for (double x : numbers) *halves++ = FloatToBF16(static_cast<float>(x));
      break;
    case DType::kF16:
      for (double x : numbers) *halves++ = FloatToF16(static_cast<float>(x));
      break;
    case DType::kI4:
    case DType::kU4:
      for (size_t i = 0; i < numbers.size(); ++i) {
        bytes[i / 2] |= static_cast<uint8_t>((static_cast<int>(numbers[i]) & 0xf) << (i % 2 * 4));
      }
      break;
    default:
      CHECK(IsSmallFloat(dtype) && DTypeBits(dtype) == 8);
      for (double x : numbers) *bytes++ = FloatToSmallFloat(dtype, static_cast<float>(x));
  }
  return tensor;
}

Numbers Oracle(const OpSpec& spec, absl::Span<const Numbers> inputs) {
  // What post-ops add comes after the operation's own operands, so that no
  // operation above takes it for an optional operand of its own.
  for (const PostOp& post_op : spec.post_ops) {
    if (post_op.kind != PostOp::Kind::kAdd) continue;
    if (std::holds_alternative<ConvParams>(spec.params) ||
        std::holds_alternative<MatMulParams>(spec.params) ||
        std::holds_alternative<LayerNormParams>(spec.params)) {
      CHECK_GE(post_op.operand, 3);
    }
  }
  const Context context{spec, inputs};
  Numbers y = std::visit([&](const auto& params) { return Run(context, params); }, spec.params);
  for (const PostOp& post_op : spec.post_ops) {
    for (size_t i = 0; i < y.size(); ++i) {
      y[i] = post_op.kind == PostOp::Kind::kAdd
                 ? y[i] + inputs[static_cast<size_t>(post_op.operand)][i]
                 : Activate(post_op.activation, post_op.alpha, post_op.beta, y[i]);
    }
  }
  return y;
}

}  // namespace paramd::conformance
