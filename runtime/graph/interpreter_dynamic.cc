// Built-ins on tensors whose result's shape depends on data.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <numeric>
#include <utility>

#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/graph/interpreter.h"
#include "runtime/graph/interpreter_builtins.h"
#include "runtime/graph/tensor_values.h"

namespace paramd {
namespace {

using Values = std::vector<RuntimeValue>;

// A tensor in slices along an axis: or, without one, its elements.
struct Slices {
  int64_t outer = 1, along = 1, inner = 1;
  int axis = 0;
  bool flat = false;
};

absl::StatusOr<Slices> SlicesOf(const Node& node, const Shape& shape) {
  Slices slices;
  if (!node.Has("axis")) {
    slices.flat = true;
    slices.along = shape.elements();
    return slices;
  }
  const int64_t axis = node.GetInt("axis", 0);
  if (axis < -shape.rank() || axis >= shape.rank()) {
    return absl::InvalidArgumentError(StrCat("axis ", axis, " is outside ", shape.ToString()));
  }
  slices.axis = static_cast<int>(axis < 0 ? axis + shape.rank() : axis);
  for (int i = 0; i < shape.rank(); ++i) {
    (i < slices.axis    ? slices.outer
     : i == slices.axis ? slices.along
                        : slices.inner) *= shape.dim(i);
  }
  return slices;
}

// The chosen slices of x, in this order.
absl::StatusOr<RuntimeValue> Take(const BuiltinCall& call, const RuntimeValue& x,
                                  const Slices& slices, const std::vector<int64_t>& chosen) {
  Shape shape;
  if (slices.flat) {
    shape = Shape{static_cast<int64_t>(chosen.size())};
  } else {
    for (int i = 0; i < x.shape().rank(); ++i) {
      shape.push_back(i == slices.axis ? static_cast<int64_t>(chosen.size()) : x.shape().dim(i));
    }
  }
  PARAMD_ASSIGN_OR_RETURN(Tensor result, call.interpreter->NewTensor(x.dtype(), shape));
  const bool strings = x.dtype() == DType::kString;
  const int bits = strings ? 8 : DTypeBits(x.dtype());
  if (bits < 8) return absl::UnimplementedError(StrCat("elements of ", DTypeName(x.dtype())));
  const size_t piece = static_cast<size_t>(slices.inner) * static_cast<size_t>(bits / 8);
  const auto* from = static_cast<const std::byte*>(x.view().data);
  auto* to = static_cast<std::byte*>(result.view().data);
  int64_t at = 0;
  for (int64_t o = 0; o < slices.outer; ++o) {
    for (const int64_t index : chosen) {
      const int64_t source = o * slices.along + index;
      if (strings) {
        std::copy_n(x.view().as<std::string>().begin() + source * slices.inner, slices.inner,
                    result.view().as<std::string>().begin() + at * slices.inner);
      } else if (piece > 0) {
        std::memcpy(to + static_cast<size_t>(at) * piece,
                    from + static_cast<size_t>(source) * piece, piece);
      }
      ++at;
    }
  }
  return RuntimeValue::Of(std::move(result));
}

RuntimeValue Indices(const std::vector<int64_t>& values) {
  return RuntimeValue::Of(IntVector(values));
}

// The one float that input i holds, or what stands for it.
absl::StatusOr<double> Number(const BuiltinCall& call, size_t i, double otherwise) {
  if (!call.Has(i)) return otherwise;
  PARAMD_ASSIGN_OR_RETURN(const RuntimeValue* value, call.TensorInput(i));
  const auto numbers = FloatValues(value->view());
  if (!numbers.has_value() || numbers->size() != 1) {
    return absl::InvalidArgumentError(StrCat("input ", i, " is not one number"));
  }
  return (*numbers)[0];
}

// A box as its corners.
struct Box {
  float y1, x1, y2, x2;
};

Box BoxAt(const float* at, bool centered) {
  if (centered) {
    return {at[1] - at[3] / 2, at[0] - at[2] / 2, at[1] + at[3] / 2, at[0] + at[2] / 2};
  }
  return {std::min(at[0], at[2]), std::min(at[1], at[3]), std::max(at[0], at[2]),
          std::max(at[1], at[3])};
}

float Overlap(const Box& a, const Box& b) {
  const float height = std::min(a.y2, b.y2) - std::max(a.y1, b.y1);
  const float width = std::min(a.x2, b.x2) - std::max(a.x1, b.x1);
  if (!(height > 0) || !(width > 0)) return 0;
  const float both = height * width;
  const float either = (a.y2 - a.y1) * (a.x2 - a.x1) + (b.y2 - b.y1) * (b.x2 - b.x1) - both;
  return either > 0 ? both / either : 0;
}

}  // namespace

// inputs {x, condition}; outputs {the slices for which it is true}.
absl::StatusOr<Values> RunCompress(const BuiltinCall& call) {
  PARAMD_ASSIGN_OR_RETURN(const RuntimeValue* x, call.TensorInput(0));
  PARAMD_ASSIGN_OR_RETURN(const RuntimeValue* condition, call.TensorInput(1));
  if (condition->dtype() != DType::kBool || condition->shape().rank() != 1) {
    return absl::InvalidArgumentError("the condition is no vector of bool");
  }
  PARAMD_ASSIGN_OR_RETURN(const Slices slices, SlicesOf(*call.node, x->shape()));
  const auto truths = condition->view().as<uint8_t>();
  if (static_cast<int64_t>(truths.size()) > slices.along) {
    return absl::InvalidArgumentError(
        StrCat("a condition of ", truths.size(), " for ", slices.along, " slices"));
  }
  std::vector<int64_t> chosen;
  for (size_t i = 0; i < truths.size(); ++i) {
    if (truths[i] != 0) chosen.push_back(static_cast<int64_t>(i));
  }
  PARAMD_ASSIGN_OR_RETURN(RuntimeValue taken, Take(call, *x, slices, chosen));
  return Values{std::move(taken)};
}

// inputs {x}; outputs {each slice once, where it was first, which each one is, how often}.
absl::StatusOr<Values> RunUnique(const BuiltinCall& call) {
  PARAMD_ASSIGN_OR_RETURN(const RuntimeValue* x, call.TensorInput(0));
  PARAMD_ASSIGN_OR_RETURN(const Slices s, SlicesOf(*call.node, x->shape()));
  const auto integers = IntValues(x->view());
  const auto floats = integers.has_value() ? std::nullopt : FloatValues(x->view());
  if (!integers.has_value() && !floats.has_value() && x->dtype() != DType::kString) {
    return absl::UnimplementedError(StrCat("Unique of ", DTypeName(x->dtype())));
  }
  // -1, 0, 1 by the first element that differs.
  const auto compare = [&](int64_t a, int64_t b) {
    for (int64_t o = 0; o < s.outer; ++o) {
      for (int64_t i = 0; i < s.inner; ++i) {
        const auto left = static_cast<size_t>((o * s.along + a) * s.inner + i);
        const auto right = static_cast<size_t>((o * s.along + b) * s.inner + i);
        int order = 0;
        if (integers.has_value()) {
          order =
              ((*integers)[left] > (*integers)[right]) - ((*integers)[left] < (*integers)[right]);
        } else if (floats.has_value()) {
          // NaN after all numbers, so that the order is one.
          const double l = (*floats)[left], r = (*floats)[right];
          order =
              std::isnan(l) || std::isnan(r) ? std::isnan(l) - std::isnan(r) : (l > r) - (l < r);
        } else {
          const auto text = x->view().as<std::string>();
          const int way = text[left].compare(text[right]);
          order = (way > 0) - (way < 0);
        }
        if (order != 0) return order;
      }
    }
    return 0;
  };
  std::vector<int64_t> order(static_cast<size_t>(s.along));
  std::iota(order.begin(), order.end(), int64_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return compare(a, b) < 0; });
  std::vector<int64_t> first, group(order.size());
  for (size_t i = 0; i < order.size(); ++i) {
    if (i == 0 || compare(order[i - 1], order[i]) != 0) first.push_back(order[i]);
    group[static_cast<size_t>(order[i])] = static_cast<int64_t>(first.size()) - 1;
  }
  if (call.node->GetInt("sorted", 1) == 0) {
    // In the order of their first appearance.
    std::vector<int64_t> rank(first.size());
    std::iota(rank.begin(), rank.end(), int64_t{0});
    std::sort(rank.begin(), rank.end(), [&](int64_t a, int64_t b) {
      return first[static_cast<size_t>(a)] < first[static_cast<size_t>(b)];
    });
    std::vector<int64_t> place(first.size());
    for (size_t i = 0; i < rank.size(); ++i) {
      place[static_cast<size_t>(rank[i])] = static_cast<int64_t>(i);
    }
    for (int64_t& one : group) one = place[static_cast<size_t>(one)];
    std::sort(first.begin(), first.end());
  }
  std::vector<int64_t> counts(first.size(), 0);
  for (const int64_t one : group) ++counts[static_cast<size_t>(one)];
  PARAMD_ASSIGN_OR_RETURN(RuntimeValue taken, Take(call, *x, s, first));
  return Values{std::move(taken), Indices(first), Indices(group), Indices(counts)};
}

// inputs {boxes [n, boxes, 4], scores [n, classes, boxes], most per class?,
// overlap above which a box is suppressed?, least score?};
// outputs {i64 [kept, 3] of batch, class, box}.
absl::StatusOr<Values> RunNonMaxSuppression(const BuiltinCall& call) {
  PARAMD_ASSIGN_OR_RETURN(const RuntimeValue* boxes, call.TensorInput(0));
  PARAMD_ASSIGN_OR_RETURN(const RuntimeValue* scores, call.TensorInput(1));
  const Shape &b = boxes->shape(), &s = scores->shape();
  if (boxes->dtype() != DType::kF32 || scores->dtype() != DType::kF32 || b.rank() != 3 ||
      s.rank() != 3 || b.dim(2) != 4 || b.dim(0) != s.dim(0) || b.dim(1) != s.dim(2)) {
    return absl::InvalidArgumentError(
        StrCat("boxes ", b.ToString(), " and scores ", s.ToString(), " do not fit"));
  }
  PARAMD_ASSIGN_OR_RETURN(const double most, Number(call, 2, 0));
  PARAMD_ASSIGN_OR_RETURN(const double overlap_max, Number(call, 3, 0));
  PARAMD_ASSIGN_OR_RETURN(const double least,
                          Number(call, 4, -std::numeric_limits<double>::infinity()));
  const bool centered = call.node->GetInt("center_point_box", 0) != 0;
  std::vector<int64_t> kept;
  for (int64_t n = 0; n < s.dim(0); ++n) {
    for (int64_t c = 0; c < s.dim(1); ++c) {
      const float* score = scores->view().as<float>().data() + (n * s.dim(1) + c) * s.dim(2);
      std::vector<int64_t> order;
      for (int64_t i = 0; i < s.dim(2); ++i) {
        if (score[i] > least) order.push_back(i);
      }
      std::stable_sort(order.begin(), order.end(),
                       [&](int64_t left, int64_t right) { return score[left] > score[right]; });
      std::vector<Box> chosen;
      for (const int64_t i : order) {
        if (static_cast<double>(chosen.size()) >= most) break;
        const Box box = BoxAt(boxes->view().as<float>().data() + (n * b.dim(1) + i) * 4, centered);
        const bool hidden = std::any_of(chosen.begin(), chosen.end(), [&](const Box& other) {
          return Overlap(box, other) > overlap_max;
        });
        if (hidden) continue;
        chosen.push_back(box);
        kept.insert(kept.end(), {n, c, i});
      }
    }
  }
  const Shape shape{static_cast<int64_t>(kept.size() / 3), 3};
  PARAMD_ASSIGN_OR_RETURN(Tensor result, call.interpreter->NewTensor(DType::kI64, shape));
  std::copy(kept.begin(), kept.end(), static_cast<int64_t*>(result.view().data));
  Values outputs;
  outputs.push_back(RuntimeValue::Of(std::move(result)));
  return outputs;
}

// inputs {x, lengths?}; outputs {a sequence of pieces along the axis}.
absl::StatusOr<Values> RunSplitToSequence(const BuiltinCall& call) {
  PARAMD_ASSIGN_OR_RETURN(const RuntimeValue* x, call.TensorInput(0));
  const Shape& shape = x->shape();
  int64_t axis = call.node->GetInt("axis", 0);
  if (axis < -shape.rank() || axis >= shape.rank()) {
    return absl::InvalidArgumentError(StrCat("axis ", axis, " is outside ", shape.ToString()));
  }
  if (axis < 0) axis += shape.rank();
  const int64_t size = shape.dim(static_cast<int>(axis));
  std::vector<int64_t> lengths;
  bool dropped = false;
  if (!call.Has(1)) {
    lengths.assign(static_cast<size_t>(size), 1);
    dropped = call.node->GetInt("keepdims", 1) == 0;
  } else {
    PARAMD_ASSIGN_OR_RETURN(const RuntimeValue* split, call.TensorInput(1));
    const auto given = IntValues(split->view());
    if (!given.has_value()) return absl::InvalidArgumentError("the lengths are no integers");
    if (split->shape().rank() == 0) {
      const int64_t each = (*given)[0];
      if (each < 1) return absl::InvalidArgumentError(StrCat("pieces of ", each));
      for (int64_t at = 0; at < size; at += each) lengths.push_back(std::min(each, size - at));
    } else {
      lengths = *given;
    }
  }
  Slices slices;
  slices.axis = static_cast<int>(axis);
  for (int i = 0; i < shape.rank(); ++i) {
    (i < slices.axis    ? slices.outer
     : i == slices.axis ? slices.along
                        : slices.inner) *= shape.dim(i);
  }
  Values pieces;
  int64_t at = 0;
  for (const int64_t length : lengths) {
    if (length < 0 || length > size - at) {
      return absl::InvalidArgumentError(StrCat("pieces do not add up to ", size));
    }
    std::vector<int64_t> chosen(static_cast<size_t>(length));
    std::iota(chosen.begin(), chosen.end(), at);
    at += length;
    PARAMD_ASSIGN_OR_RETURN(RuntimeValue piece, Take(call, *x, slices, chosen));
    if (dropped) {
      Shape less;
      for (int i = 0; i < shape.rank(); ++i) {
        if (i != slices.axis) less.push_back(shape.dim(i));
      }
      piece = piece.Reshaped(std::move(less));
    }
    pieces.push_back(std::move(piece));
  }
  if (at != size) return absl::InvalidArgumentError(StrCat("pieces do not add up to ", size));
  return Values{RuntimeValue::Sequence(x->dtype(), std::move(pieces))};
}

}  // namespace paramd
