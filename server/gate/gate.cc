#include "server/gate/gate.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <random>
#include <utility>

#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/graph/tensor_values.h"

namespace paramd {
namespace {

constexpr uint32_t kProbeSeed = 20261124;

void CopyInto(const TensorView& from, const MutableTensorView& to) {
  if (from.dtype == DType::kString) {
    const auto source = from.as<std::string>();
    std::copy(source.begin(), source.end(), to.as<std::string>().begin());
  } else if (from.bytes() > 0) {
    std::memcpy(to.data, from.data, from.bytes());
  }
}

// "[0,3]": the place of element `index` in a tensor of this shape.
std::string PlaceText(const Shape& shape, size_t index) {
  std::vector<int64_t> place(static_cast<size_t>(shape.rank()));
  auto rest = static_cast<int64_t>(index);
  for (int axis = shape.rank() - 1; axis >= 0; --axis) {
    place[static_cast<size_t>(axis)] = rest % std::max<int64_t>(shape.dim(axis), 1);
    rest /= std::max<int64_t>(shape.dim(axis), 1);
  }
  std::string text = "[";
  for (size_t i = 0; i < place.size(); ++i) StrAppend(&text, i == 0 ? "" : ",", place[i]);
  return text + "]";
}

// The inputs of a case in the model's order.
absl::StatusOr<std::vector<TensorView>> InputsOf(const Model& model, const GoldenCase& golden) {
  std::vector<TensorView> views;
  for (const TensorSpec& spec : model.description().inputs) {
    const auto found = golden.inputs.find(spec.name);
    if (found == golden.inputs.end()) {
      return absl::InvalidArgumentError(StrCat(golden.file, ": no input '", spec.name, "'"));
    }
    views.push_back(found->second.view());
  }
  if (views.size() != golden.inputs.size()) {
    for (const auto& [name, tensor] : golden.inputs) {
      const auto& specs = model.description().inputs;
      if (std::none_of(specs.begin(), specs.end(),
                       [&](const TensorSpec& spec) { return spec.name == name; })) {
        return absl::InvalidArgumentError(
            StrCat(golden.file, ": the model has no input '", name, "'"));
      }
    }
  }
  if (const absl::Status status = model.CheckCall(views); !status.ok()) {
    return absl::InvalidArgumentError(StrCat(golden.file, ": ", FromAbsl(status.message())));
  }
  return views;
}

// One run; how long the model alone took.
absl::StatusOr<absl::Duration> Run(const Model& model, Session* session,
                                   absl::Span<const TensorView> inputs, const Clock& clock) {
  std::vector<Shape> shapes;
  for (const TensorView& input : inputs) shapes.push_back(input.shape);
  if (!model.IsCompiled(shapes)) PARAMD_RETURN_IF_ERROR(model.Compile(shapes));
  PARAMD_RETURN_IF_ERROR(session->Prepare(shapes));
  for (size_t i = 0; i < inputs.size(); ++i) {
    CopyInto(inputs[i], session->input(static_cast<int>(i)));
  }
  const absl::Time start = clock.Now();
  PARAMD_RETURN_IF_ERROR(session->Run());
  return clock.Now() - start;
}

absl::Status Refused(std::string_view where, std::string_view what) {
  return absl::FailedPreconditionError(StrCat("the gate refuses it: ", where, ": ", what));
}

// The first NaN or infinity among floats, as text; nothing if there is none.
std::optional<std::string> FirstNotFinite(const TensorView& output) {
  if (!IsFloat(output.dtype)) return std::nullopt;
  const auto values = FloatValues(output);
  if (!values.has_value()) return std::nullopt;
  for (size_t i = 0; i < values->size(); ++i) {
    if (!std::isfinite((*values)[i])) {
      return StrCat("it answers ", (*values)[i], " at ", PlaceText(output.shape, i));
    }
  }
  return std::nullopt;
}

class Comparison {
 public:
  Comparison(std::string where, double tolerance)
      : where_(std::move(where)), tolerance_(tolerance) {}

  absl::Status Compare(const TensorView& got, const TensorView& expected) {
    if (got.dtype != expected.dtype || !(got.shape == expected.shape)) {
      return Refused(
          where_, StrCat("it answers ", DTypeName(got.dtype), got.shape.ToString(), ", expected ",
                         DTypeName(expected.dtype), expected.shape.ToString()));
    }
    if (got.dtype == DType::kString) return CompareStrings(got, expected);
    const auto a = FloatValues(got);
    const auto b = FloatValues(expected);
    if (!a.has_value() || !b.has_value()) {
      const bool same = got.bytes() == 0 || std::memcmp(got.data, expected.data, got.bytes()) == 0;
      return same ? absl::OkStatus() : Refused(where_, "its bytes are others");
    }
    return IsFloat(got.dtype) ? CompareFloats(*a, *b, got.shape)
                              : CompareExact(got, expected, *a, *b);
  }
  double worst() const { return worst_; }

 private:
  absl::Status CompareStrings(const TensorView& got, const TensorView& expected) const {
    const auto a = got.as<std::string>(), b = expected.as<std::string>();
    for (size_t i = 0; i < a.size(); ++i) {
      // The texts may be somebody's data: only the place is told.
      if (a[i] != b[i]) return Refused(where_, StrCat("another text at ", PlaceText(got.shape, i)));
    }
    return absl::OkStatus();
  }

  absl::Status CompareExact(const TensorView& got, const TensorView& expected,
                            const std::vector<double>& a, const std::vector<double>& b) const {
    if (got.bytes() == 0 || std::memcmp(got.data, expected.data, got.bytes()) == 0) {
      return absl::OkStatus();
    }
    for (size_t i = 0; i < a.size(); ++i) {
      if (a[i] == b[i]) continue;
      return Refused(where_, StrCat("it answers ", a[i], " at ", PlaceText(got.shape, i),
                                    ", expected ", b[i]));
    }
    return Refused(where_, "it answers other numbers, beyond what a double tells apart");
  }

  absl::Status CompareFloats(const std::vector<double>& a, const std::vector<double>& b,
                             const Shape& shape) {
    double scale = 0;
    for (const double value : b) {
      if (std::isfinite(value)) scale = std::max(scale, std::abs(value));
    }
    size_t worst_at = 0;
    double worst = 0;
    for (size_t i = 0; i < a.size(); ++i) {
      if (!std::isfinite(a[i]) || !std::isfinite(b[i])) {
        // A model may mean its infinities; then the file says so.
        if (a[i] == b[i] || (std::isnan(a[i]) && std::isnan(b[i]))) continue;
        return Refused(
            where_, StrCat("it answers ", a[i], " at ", PlaceText(shape, i), ", expected ", b[i]));
      }
      const double difference = std::abs(a[i] - b[i]);
      if (difference > worst) worst = difference, worst_at = i;
    }
    const double relative = worst == 0 ? 0 : scale == 0 ? HUGE_VAL : worst / scale;
    worst_ = std::max(worst_, relative);
    if (relative <= tolerance_) return absl::OkStatus();
    return Refused(where_, StrCat("it answers ", a[worst_at], " at ", PlaceText(shape, worst_at),
                                  ", expected ", b[worst_at], ": ", relative,
                                  " of the output's largest value apart, at most ", tolerance_,
                                  " is allowed"));
  }

  const std::string where_;
  const double tolerance_;
  double worst_ = 0;
};

class Gate {
 public:
  Gate(const Model& model, const Model* serving, Arena* arena, const Clock& clock,
       const GateOptions& options)
      : model_(model), serving_(serving), arena_(arena), clock_(clock), options_(options) {}

  absl::StatusOr<GateReport> Pass(absl::Span<const GoldenCase> cases) {
    session_ = model_.NewSession(arena_);
    for (const GoldenCase& golden : cases) PARAMD_RETURN_IF_ERROR(Replay(golden));
    report_.cases = cases.size();
    if (cases.empty()) {
      PARAMD_RETURN_IF_ERROR(Probe());
    } else {
      PARAMD_RETURN_IF_ERROR(CompareTimes(cases.front()));
    }
    return std::move(report_);
  }

 private:
  double ToleranceOf(const GoldenCase& golden) const {
    if (golden.tolerance.has_value()) return *golden.tolerance;
    return options_.tolerance.value_or(
        model_.description().precision == "f32" ? kGateToleranceF32 : kGateToleranceBF16);
  }

  absl::Status Replay(const GoldenCase& golden) {
    const std::vector<TensorSpec>& specs = model_.description().outputs;
    for (const auto& [name, tensor] : golden.outputs) {
      if (std::any_of(specs.begin(), specs.end(),
                      [&](const TensorSpec& spec) { return spec.name == name; })) {
        continue;
      }
      return absl::InvalidArgumentError(
          StrCat(golden.file, ": the model has no output '", name, "'"));
    }
    PARAMD_ASSIGN_OR_RETURN(const std::vector<TensorView> inputs, InputsOf(model_, golden));
    if (const auto took = Run(model_, session_.get(), inputs, clock_); !took.ok()) {
      return Refused(golden.file, StrCat("it cannot run: ", FromAbsl(took.status().message())));
    }
    for (size_t i = 0; i < specs.size(); ++i) {
      const TensorView output = session_->output(static_cast<int>(i));
      const std::string where = StrCat(golden.file, ", output '", specs[i].name, "'");
      const auto expected = golden.outputs.find(specs[i].name);
      if (expected == golden.outputs.end()) {
        if (const auto bad = FirstNotFinite(output)) return Refused(where, *bad);
        continue;
      }
      Comparison comparison(where, ToleranceOf(golden));
      PARAMD_RETURN_IF_ERROR(comparison.Compare(output, expected->second.view()));
      if (comparison.worst() <= report_.worst_error) continue;
      report_.worst_error = comparison.worst();
      report_.worst_at = where;
    }
    return absl::OkStatus();
  }

  // The new one and the one that serves, in turn: whatever else the machine does
  // in between, it does to both.
  absl::Status CompareTimes(const GoldenCase& golden) {
    if (serving_ == nullptr || options_.latency_factor <= 0) return absl::OkStatus();
    PARAMD_ASSIGN_OR_RETURN(const std::vector<TensorView> inputs, InputsOf(model_, golden));
    const auto inputs_before = InputsOf(*serving_, golden);
    if (!inputs_before.ok()) return absl::OkStatus();  // Another interface: no comparison.
    const std::unique_ptr<Session> before = serving_->NewSession(arena_);
    absl::Duration took = absl::InfiniteDuration(), took_before = absl::InfiniteDuration();
    for (int i = 0; i < options_.latency_runs; ++i) {
      const auto old_run = Run(*serving_, before.get(), *inputs_before, clock_);
      if (!old_run.ok()) return absl::OkStatus();
      PARAMD_ASSIGN_OR_RETURN(const absl::Duration new_run,
                              Run(model_, session_.get(), inputs, clock_));
      took_before = std::min(took_before, *old_run);
      took = std::min(took, new_run);
    }
    report_.took = took;
    report_.took_before = took_before;
    if (took <= took_before * options_.latency_factor ||
        took - took_before < options_.latency_difference_min) {
      return absl::OkStatus();
    }
    return Refused(golden.file,
                   StrCat("it takes ", absl::FormatDuration(took), ", the version that serves ",
                          absl::FormatDuration(took_before), ": more than ",
                          options_.latency_factor, " times as long"));
  }

  absl::Status Probe() {
    std::mt19937 random(kProbeSeed);
    std::normal_distribution<float> normal;
    std::vector<Tensor> inputs;
    for (const TensorSpec& spec : model_.description().inputs) {
      Shape shape;
      for (size_t axis = 0; axis < spec.shape.size(); ++axis) {
        const bool rows = axis == 0 && model_.description().batch_rows_max > 0;
        if (!rows && !spec.shape[axis].known()) return absl::OkStatus();  // Nobody knows a size.
        shape.push_back(rows ? 1 : spec.shape[axis].size);
      }
      Tensor tensor(spec.dtype, shape);  // Zeros, but for floats.
      if (spec.dtype == DType::kF32) {
        for (float& value : tensor.view().as<float>()) value = normal(random);
      }
      inputs.push_back(std::move(tensor));
    }
    std::vector<TensorView> views;
    for (const Tensor& input : inputs) views.push_back(input.view());
    if (const auto took = Run(model_, session_.get(), views, clock_); !took.ok()) {
      // It may dislike these inputs (an index, a divisor); requests may be fine.
      report_.warnings.push_back(
          StrCat("a run with seeded inputs failed: ", FromAbsl(took.status().message())));
      return absl::OkStatus();
    }
    for (size_t i = 0; i < model_.description().outputs.size(); ++i) {
      if (const auto bad = FirstNotFinite(session_->output(static_cast<int>(i)))) {
        report_.warnings.push_back(StrCat("with seeded inputs, output '",
                                          model_.description().outputs[i].name, "': ", *bad));
      }
    }
    return absl::OkStatus();
  }

  const Model& model_;
  const Model* const serving_;
  Arena* const arena_;
  const Clock& clock_;
  const GateOptions options_;
  std::unique_ptr<Session> session_;
  GateReport report_;
};

}  // namespace

absl::StatusOr<GateReport> PassGate(const Model& model, const Model* serving,
                                    absl::Span<const GoldenCase> cases, Arena* arena,
                                    const Clock& clock, const GateOptions& options) {
  return Gate(model, serving, arena, clock, options).Pass(cases);
}

}  // namespace paramd
