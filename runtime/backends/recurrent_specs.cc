#include "runtime/backends/recurrent_specs.h"

#include "runtime/backends/spec_validation.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/tensor/shape.h"

namespace paramd {
namespace {

constexpr int64_t kGateLast = static_cast<int64_t>(RecurrentGate::kSoftplus);
constexpr size_t kIntsBeforeCells = 5;
// Products of hidden sizes, steps and rows below are looked at before they are formed.
constexpr int64_t kHiddenMax = int64_t{1} << 31;

struct RecurrentOp {
  std::string_view op;
  int gates, cells;
};
constexpr RecurrentOp kRecurrentSpecs[] = {{"rnn", 1, 1}, {"gru", 3, 2}, {"lstm", 4, 3}};

const RecurrentOp* FindRecurrentOp(std::string_view op) {
  for (const RecurrentOp& row : kRecurrentSpecs) {
    if (row.op == op) return &row;
  }
  return nullptr;
}

class RecurrentParser {
 public:
  RecurrentParser(const OpSpec& spec, const NamedParams& params) : spec_(spec), params_(params) {}

  absl::StatusOr<RecurrentSpec> Parse(const RecurrentOp& row) {
    rec_.gates = row.gates;
    rec_.cells_per_direction = row.cells;
    PARAMD_RETURN_IF_ERROR(ParseSizes());
    PARAMD_RETURN_IF_ERROR(CheckInputs());
    PARAMD_RETURN_IF_ERROR(CheckOutputs());
    PARAMD_RETURN_IF_ERROR(ParseCells());
    return std::move(rec_);
  }

 private:
  template <typename... Pieces>
  absl::Status Bad(const Pieces&... pieces) const {
    return absl::InvalidArgumentError(StrCat(params_.op, ": ", pieces...));
  }
  const Operand* In(int i) const { return InputOrNull(spec_, i); }

  absl::Status ParseSizes() {
    if (params_.ints.size() < kIntsBeforeCells || params_.numbers.empty()) {
      return Bad("has ", params_.ints.size(), " ints and ", params_.numbers.size(), " numbers");
    }
    if (spec_.inputs.size() > 8 || spec_.outputs.size() > 3) {
      return Bad("has ", spec_.inputs.size(), " inputs and ", spec_.outputs.size(), " outputs");
    }
    rec_.direction = params_.ints[0];
    rec_.hidden = params_.ints[1];
    rec_.batch_first = params_.ints[2] != 0;
    rec_.input_forget = params_.ints[3] != 0;
    rec_.linear_before_reset = params_.ints[4] != 0;
    rec_.clip = params_.numbers[0];
    for (const int i : {0, 1, 2}) {
      if (In(i) == nullptr) return Bad("lacks input ", i);
    }
    const Shape &x = In(0)->shape, &w = In(1)->shape;
    if (x.rank() != 3 || w.rank() != 3) {
      return Bad("x ", x.ToString(), " and w ", w.ToString(), ", expected rank 3");
    }
    if (rec_.direction < 0 || rec_.direction > 2 || rec_.hidden < 1 || rec_.hidden >= kHiddenMax) {
      return Bad("direction ", rec_.direction, ", hidden size ", rec_.hidden);
    }
    rec_.directions = rec_.direction == 2 ? 2 : 1;
    rec_.steps = x.dim(rec_.batch_first ? 1 : 0);
    rec_.batch = x.dim(rec_.batch_first ? 0 : 1);
    rec_.inputs = x.dim(2);
    return absl::OkStatus();
  }

  // Whether an operand has the product of `dims` as elements.
  static bool Has(const Operand& operand, std::initializer_list<int64_t> dims) {
    const absl::StatusOr<int64_t> elements = CheckedElements({dims.begin(), dims.size()});
    return elements.ok() && operand.shape.elements() == *elements;
  }

  absl::Status CheckInput(int i, std::initializer_list<int64_t> dims) const {
    const Operand* operand = In(i);
    if (operand == nullptr) return absl::OkStatus();
    if (operand->dtype != In(0)->dtype) {
      return Bad("input ", i, " is ", DTypeName(operand->dtype), ", x is ",
                 DTypeName(In(0)->dtype));
    }
    if (Has(*operand, dims)) return absl::OkStatus();
    return Bad("input ", i, " is ", operand->shape.ToString(), ", which does not fit x ",
               In(0)->shape.ToString(), " and hidden size ", rec_.hidden);
  }

  absl::Status CheckInputs() {
    const int64_t rows = rec_.gates * rec_.hidden, d = rec_.directions;
    PARAMD_RETURN_IF_ERROR(CheckInput(1, {d, rows, rec_.inputs}));
    PARAMD_RETURN_IF_ERROR(CheckInput(2, {d, rows, rec_.hidden}));
    PARAMD_RETURN_IF_ERROR(CheckInput(3, {d, 2, rows}));
    PARAMD_RETURN_IF_ERROR(CheckInput(5, {d, rec_.batch, rec_.hidden}));
    PARAMD_RETURN_IF_ERROR(CheckInput(6, {d, rec_.batch, rec_.hidden}));
    PARAMD_RETURN_IF_ERROR(CheckInput(7, {d, 3, rec_.hidden}));
    rec_.bias = In(3) != nullptr;
    rec_.lengths = In(4) != nullptr;
    rec_.initial_h = In(5) != nullptr;
    rec_.initial_c = In(6) != nullptr;
    rec_.peepholes = In(7) != nullptr;
    if (rec_.lengths && (In(4)->dtype != DType::kI32 || !Has(*In(4), {rec_.batch}))) {
      return Bad("lengths are ", DTypeName(In(4)->dtype), In(4)->shape.ToString(),
                 ", expected i32 for each of ", rec_.batch, " rows");
    }
    return absl::OkStatus();
  }

  absl::Status CheckOutputs() {
    const int64_t d = rec_.directions;
    bool* const there[] = {&rec_.y, &rec_.last_h, &rec_.last_c};
    for (size_t i = 0; i < spec_.outputs.size(); ++i) {
      const Operand& output = spec_.outputs[i];
      if (output.kind == OperandKind::kAbsent) continue;
      *there[i] = true;
      const bool fits = i == 0 ? Has(output, {rec_.steps, d, rec_.batch, rec_.hidden})
                               : Has(output, {d, rec_.batch, rec_.hidden});
      if (!fits || output.dtype != In(0)->dtype) {
        return Bad("output ", i, " is ", DTypeName(output.dtype), output.shape.ToString(),
                   ", which does not fit x ", In(0)->shape.ToString());
      }
    }
    return absl::OkStatus();
  }

  absl::Status ParseCells() {
    const size_t count =
        static_cast<size_t>(rec_.cells_per_direction) * static_cast<size_t>(rec_.directions);
    if (params_.ints.size() != kIntsBeforeCells + count ||
        params_.numbers.size() != 1 + 2 * count) {
      return Bad(params_.ints.size() - kIntsBeforeCells, " activations, expected ", count);
    }
    for (size_t i = 0; i < count; ++i) {
      const int64_t gate = params_.ints[kIntsBeforeCells + i];
      if (gate < 0 || gate > kGateLast) return Bad("activation ", gate);
      rec_.cells.push_back({static_cast<RecurrentGate>(gate), params_.numbers[1 + i],
                            params_.numbers[1 + count + i]});
    }
    return absl::OkStatus();
  }

  const OpSpec& spec_;
  const NamedParams& params_;
  RecurrentSpec rec_;
};

}  // namespace

bool IsRecurrentOp(std::string_view op) { return FindRecurrentOp(op) != nullptr; }

absl::StatusOr<RecurrentSpec> ParseRecurrentSpec(const OpSpec& spec, const NamedParams& params) {
  const RecurrentOp* const row = FindRecurrentOp(params.op);
  if (row == nullptr) return absl::InvalidArgumentError(StrCat("no ", params.op));
  return RecurrentParser(spec, params).Parse(*row);
}

}  // namespace paramd
