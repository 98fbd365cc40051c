// Einsum, Det, DFT, STFT, MelWeightMatrix.
#include <algorithm>
#include <map>
#include <utility>

#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/graph/ops/op_support.h"
#include "runtime/graph/tensor_values.h"

namespace paramd::ops {
namespace {

constexpr int64_t kTransformMax = 1 << 20;

// --- Einsum -----------------------------------------------------------------------
// Labels are letters; those of an ellipsis get characters from kEllipsis on, the
// last dimension first.

constexpr int kEllipsis = 256;

struct Equation {
  std::vector<std::vector<int>> operands;  // Labels by dimension.
  std::vector<int> result;
  std::map<int, Dim> dims;
};

absl::StatusOr<std::vector<int>> Labels(std::string_view term, int ellipsis) {
  std::vector<int> labels;
  for (size_t i = 0; i < term.size(); ++i) {
    const char c = term[i];
    if (c == ' ') continue;
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) {
      labels.push_back(c);
    } else if (term.substr(i, 3) == "...") {
      for (int k = ellipsis; k > 0; --k) labels.push_back(kEllipsis + k);
      i += 2;
    } else {
      return absl::InvalidArgumentError(StrCat("the equation holds '", term.substr(i, 1), "'"));
    }
  }
  return labels;
}

int Letters(std::string_view term) {
  return static_cast<int>(
      std::count_if(term.begin(), term.end(), [](char c) { return c != ' ' && c != '.'; }));
}

absl::StatusOr<Equation> EquationOf(const InferContext& context) {
  std::string text = context.node->GetString("equation", "");
  if (text.size() > 1024) return absl::InvalidArgumentError("the equation is too long");
  const size_t arrow = text.find("->");
  std::string_view left = std::string_view(text).substr(0, arrow);
  std::vector<std::string_view> terms;
  for (size_t from = 0; from <= left.size();) {
    const size_t comma = std::min(left.find(',', from), left.size());
    terms.push_back(left.substr(from, comma - from));
    from = comma + 1;
  }
  if (terms.size() != context.inputs.size() || terms.size() > 16) {
    return absl::InvalidArgumentError(
        StrCat("the equation has ", terms.size(), " terms for ", context.inputs.size(), " inputs"));
  }
  Equation equation;
  int ellipsis_max = 0;
  std::map<int, int> uses;
  for (size_t i = 0; i < terms.size(); ++i) {
    const SymbolicShape& shape = *InputShape(context, static_cast<int>(i));
    const bool open = terms[i].find("...") != std::string_view::npos;
    const int rest = static_cast<int>(shape.size()) - Letters(terms[i]);
    if (rest < 0 || (rest > 0 && !open)) {
      return absl::InvalidArgumentError(
          StrCat("term '", terms[i], "' does not fit ", ToString(shape)));
    }
    ellipsis_max = std::max(ellipsis_max, open ? rest : 0);
    PARAMD_ASSIGN_OR_RETURN(std::vector<int> labels, Labels(terms[i], open ? rest : 0));
    for (size_t d = 0; d < labels.size(); ++d) {
      auto [it, fresh] = equation.dims.try_emplace(labels[d], shape[d]);
      ++uses[labels[d]];
      if (fresh || it->second == Dim::Of(1)) {
        it->second = shape[d];
        continue;
      }
      if (shape[d] == Dim::Of(1)) continue;  // Stretched.
      PARAMD_ASSIGN_OR_RETURN(it->second, MergeDims(it->second, shape[d]));
    }
    equation.operands.push_back(std::move(labels));
  }
  if (arrow != std::string::npos) {
    PARAMD_ASSIGN_OR_RETURN(equation.result,
                            Labels(std::string_view(text).substr(arrow + 2), ellipsis_max));
  } else {
    for (int k = ellipsis_max; k > 0; --k) equation.result.push_back(kEllipsis + k);
    for (const auto& [label, count] : uses) {
      if (label < kEllipsis && count == 1) equation.result.push_back(label);
    }
  }
  std::vector<int> sorted = equation.result;
  std::sort(sorted.begin(), sorted.end());
  if (std::adjacent_find(sorted.begin(), sorted.end()) != sorted.end()) {
    return absl::InvalidArgumentError("the result names a label twice");
  }
  for (const int label : equation.result) {
    if (!equation.dims.contains(label)) {
      return absl::InvalidArgumentError("the result names a label that no operand has");
    }
  }
  if (equation.dims.size() > 64) return absl::InvalidArgumentError("too many labels");
  return equation;
}

absl::StatusOr<Types> InferEinsum(const InferContext& context) {
  const DType dtype = InputDType(context, 0);
  for (size_t i = 0; i < context.inputs.size(); ++i) {
    const auto input = static_cast<int>(i);
    if (!HasInput(context, input)) return absl::InvalidArgumentError("an operand is missing");
    PARAMD_RETURN_IF_ERROR(RequireSameDType(context, 0, input));
    if (InputShape(context, input) == nullptr) return Types{UnknownShape(dtype)};
  }
  PARAMD_ASSIGN_OR_RETURN(const Equation equation, EquationOf(context));
  SymbolicShape y;
  for (const int label : equation.result) y.push_back(equation.dims.at(label));
  if (y.size() > static_cast<size_t>(kRankMax)) {
    return absl::InvalidArgumentError(StrCat("the result has rank ", y.size()));
  }
  return Types{TensorType(dtype, std::move(y))};
}

absl::StatusOr<OpRow::Lowered> LowerEinsum(const InferContext& context, const Types& outputs) {
  PARAMD_ASSIGN_OR_RETURN(const Equation equation, EquationOf(context));
  std::vector<int> labels = equation.result;
  for (const auto& [label, dim] : equation.dims) {
    if (std::find(labels.begin(), labels.end(), label) == labels.end()) labels.push_back(label);
  }
  std::vector<int64_t> ints = {static_cast<int64_t>(equation.result.size()),
                               static_cast<int64_t>(labels.size())};
  for (const int label : labels) ints.push_back(equation.dims.at(label).size);
  std::vector<int> operands;
  for (size_t i = 0; i < equation.operands.size(); ++i) {
    const Shape shape = ConcreteOf(*InputShape(context, static_cast<int>(i)));
    std::map<int, int64_t> steps;
    int64_t stride = 1;
    for (int d = shape.rank() - 1; d >= 0; --d) {
      // A label twice in one operand walks its diagonal; one that is stretched stands.
      if (shape.dim(d) != 1) steps[equation.operands[i][static_cast<size_t>(d)]] += stride;
      stride *= std::max<int64_t>(shape.dim(d), 1);
    }
    for (const int label : labels) ints.push_back(steps.contains(label) ? steps[label] : 0);
    operands.push_back(static_cast<int>(i));
  }
  return MakeNamed(context, outputs, "einsum", std::move(ints), {}, std::move(operands));
}

// --- Det --------------------------------------------------------------------------

absl::StatusOr<Types> InferDet(const InferContext& context) {
  PARAMD_RETURN_IF_ERROR(RequireFloat(context, 0));
  const DType dtype = InputDType(context, 0);
  const SymbolicShape* x = InputShape(context, 0);
  if (x == nullptr) return Types{UnknownShape(dtype)};
  if (x->size() < 2) return absl::InvalidArgumentError(StrCat("x is ", ToString(*x)));
  PARAMD_ASSIGN_OR_RETURN(const Dim n, MergeDims(x->back(), (*x)[x->size() - 2]));
  if (n.known() && n.size > 4096) return absl::InvalidArgumentError("the matrix is too large");
  return Types{TensorType(dtype, SymbolicShape(x->begin(), x->end() - 2))};
}

absl::StatusOr<OpRow::Lowered> LowerDet(const InferContext& context, const Types& outputs) {
  return MakeNamed(context, outputs, "det", {}, {}, {0});
}

// --- DFT --------------------------------------------------------------------------

struct Transform {
  int axis = 0;
  int64_t length = 0, terms = 0;
};

// Nothing while the axis or the length is not known.
absl::StatusOr<std::optional<Transform>> TransformOf(const InferContext& context) {
  const SymbolicShape& x = *InputShape(context, 0);
  const Node& node = *context.node;
  const auto rank = static_cast<int>(x.size());
  if (rank < 2) return absl::InvalidArgumentError(StrCat("x is ", ToString(x)));
  int64_t axis = node.GetInt("axis", 1);
  if (node.opset >= 20) {
    axis = -2;
    if (HasInput(context, 2)) {
      const auto known = KnownScalar(context, 2);
      if (!known.has_value()) return std::optional<Transform>();
      axis = *known;
    }
  }
  Transform transform;
  PARAMD_ASSIGN_OR_RETURN(transform.axis, NormalizeAxis(axis, rank));
  if (transform.axis == rank - 1) {
    return absl::InvalidArgumentError("the axis is that of real and imaginary parts");
  }
  const Dim& dim = x[static_cast<size_t>(transform.axis)];
  if (HasInput(context, 1)) {
    const auto known = KnownScalar(context, 1);
    if (!known.has_value()) return std::optional<Transform>();
    transform.length = *known;
  } else if (dim.known()) {
    transform.length = dim.size;
  } else {
    return std::optional<Transform>();
  }
  if (transform.length < 1 || transform.length > kTransformMax) {
    return absl::InvalidArgumentError(StrCat("a transform of ", transform.length));
  }
  const bool one_sided = node.GetInt("onesided", 0) != 0;
  if (one_sided && node.GetInt("inverse", 0) != 0) {
    return absl::UnimplementedError("an inverse transform of one side is not supported");
  }
  transform.terms = one_sided ? transform.length / 2 + 1 : transform.length;
  return transform;
}

absl::StatusOr<Types> InferDft(const InferContext& context) {
  PARAMD_RETURN_IF_ERROR(RequireFloat(context, 0));
  const DType dtype = InputDType(context, 0);
  const SymbolicShape* x = InputShape(context, 0);
  if (x == nullptr) return Types{UnknownShape(dtype)};
  PARAMD_ASSIGN_OR_RETURN(const auto transform, TransformOf(context));
  if (!transform.has_value()) return Types{TensorType(dtype, SymbolicShape(x->size()))};
  SymbolicShape y = *x;
  y[static_cast<size_t>(transform->axis)] = Dim::Of(transform->terms);
  y.back() = Dim::Of(2);
  return Types{TensorType(dtype, std::move(y))};
}

absl::StatusOr<OpRow::Lowered> LowerDft(const InferContext& context, const Types& outputs) {
  PARAMD_ASSIGN_OR_RETURN(const auto transform, TransformOf(context));
  if (!transform.has_value()) return NotKnownYet("a transform's length");
  return MakeNamed(context, outputs, "dft",
                   {transform->axis, transform->length, context.node->GetInt("inverse", 0)}, {},
                   {0});
}

// --- STFT -------------------------------------------------------------------------

struct Frames {
  int64_t step = 0, length = 0;
};

absl::StatusOr<std::optional<Frames>> FramesOf(const InferContext& context) {
  const auto step = KnownScalar(context, 1);
  if (!step.has_value()) return std::optional<Frames>();
  Frames frames{*step, 0};
  if (HasInput(context, 3)) {
    const auto length = KnownScalar(context, 3);
    if (!length.has_value()) return std::optional<Frames>();
    frames.length = *length;
  } else {
    const SymbolicShape* window = InputShape(context, 2);
    if (window == nullptr || window->size() != 1 || !(*window)[0].known()) {
      return std::optional<Frames>();
    }
    frames.length = (*window)[0].size;
  }
  if (frames.step < 1 || frames.step > kTransformMax || frames.length < 1 ||
      frames.length > kTransformMax) {
    return absl::InvalidArgumentError(StrCat("frames of ", frames.length, " every ", frames.step));
  }
  return frames;
}

absl::StatusOr<Types> InferStft(const InferContext& context) {
  PARAMD_RETURN_IF_ERROR(RequireFloat(context, 0));
  const DType dtype = InputDType(context, 0);
  const SymbolicShape* x = InputShape(context, 0);
  PARAMD_ASSIGN_OR_RETURN(const auto frames, FramesOf(context));
  if (x == nullptr || x->size() < 2 || !frames.has_value()) {
    return Types{TensorType(dtype, SymbolicShape(4))};
  }
  Dim count;
  if ((*x)[1].known()) {
    const int64_t room = (*x)[1].size - frames->length;
    count = Dim::Of(room < 0 ? 0 : room / frames->step + 1);
  }
  const bool one_sided = context.node->GetInt("onesided", 1) != 0;
  const int64_t terms = one_sided ? frames->length / 2 + 1 : frames->length;
  return Types{TensorType(dtype, SymbolicShape{(*x)[0], count, Dim::Of(terms), Dim::Of(2)})};
}

absl::StatusOr<OpRow::Lowered> LowerStft(const InferContext& context, const Types& outputs) {
  PARAMD_ASSIGN_OR_RETURN(const auto frames, FramesOf(context));
  if (!frames.has_value()) return NotKnownYet("a frame's length");
  return MakeNamed(context, outputs, "stft", {frames->step, frames->length}, {}, {0, 2});
}

// --- MelWeightMatrix ------------------------------------------------------------------

// The five inputs; nothing while one is not known.
absl::StatusOr<std::optional<std::vector<double>>> MelNumbers(const InferContext& context) {
  std::vector<double> numbers;
  for (int i = 0; i < 5; ++i) {
    const Tensor* tensor = Known(context, i);
    if (tensor == nullptr) return std::optional<std::vector<double>>();
    const auto values = FloatValues(tensor->view());
    if (!values.has_value() || values->size() != 1) {
      return absl::InvalidArgumentError(StrCat("input ", i, " is not one number"));
    }
    numbers.push_back(values->front());
  }
  for (const int i : {0, 1, 2}) {
    if (numbers[static_cast<size_t>(i)] >= 1 && numbers[static_cast<size_t>(i)] <= 1 << 24)
      continue;
    return absl::InvalidArgumentError(
        StrCat("input ", i, " is ", numbers[static_cast<size_t>(i)], ", expected 1 to 2^24"));
  }
  return std::optional(std::move(numbers));
}

absl::StatusOr<Types> InferMel(const InferContext& context) {
  const auto dtype =
      DTypeFromOnnx(static_cast<int32_t>(context.node->GetInt("output_datatype", 1)));
  if (!dtype.has_value() || !IsFloat(*dtype)) {
    return absl::UnimplementedError("output_datatype names no floating-point type");
  }
  PARAMD_ASSIGN_OR_RETURN(const auto numbers, MelNumbers(context));
  if (!numbers.has_value()) return Types{TensorType(*dtype, SymbolicShape(2))};
  const auto bins = static_cast<int64_t>((*numbers)[0]);
  const auto length = static_cast<int64_t>((*numbers)[1]);
  return Types{TensorType(*dtype, SymbolicShape{Dim::Of(length / 2 + 1), Dim::Of(bins)})};
}

absl::StatusOr<OpRow::Lowered> LowerMel(const InferContext& context, const Types& outputs) {
  PARAMD_ASSIGN_OR_RETURN(auto numbers, MelNumbers(context));
  if (!numbers.has_value()) return NotKnownYet("mel weights");
  return MakeNamed(context, outputs, "mel_weights", {}, *std::move(numbers), {});
}

constexpr OpRow kSignalOps[] = {
    {"", "Einsum", 12, kOpsetMax, 1, 16, 1, InferEinsum, LowerEinsum},
    {"", "Det", 11, kOpsetMax, 1, 1, 1, InferDet, LowerDet},
    {"", "DFT", 17, 19, 1, 2, 1, InferDft, LowerDft},
    {"", "DFT", 20, kOpsetMax, 1, 3, 1, InferDft, LowerDft},
    {"", "STFT", 17, kOpsetMax, 2, 4, 1, InferStft, LowerStft},
    {"", "MelWeightMatrix", 17, kOpsetMax, 5, 5, 1, InferMel, LowerMel},
};

}  // namespace

absl::Span<const OpRow> SignalOps() { return kSignalOps; }

}  // namespace paramd::ops
