#include "runtime/graph/node_planner.h"

#include <algorithm>
#include <utility>

#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"

namespace paramd {
namespace {

bool IsParameter(const Operand& operand) { return operand.kind == OperandKind::kParameter; }

// What the op computes in, as far as the choice of packed forms depends on it.
DType ComputeType(const OpSpec& spec) {
  for (const Operand& operand : spec.inputs) {
    if (operand.kind == OperandKind::kActivation && operand.dtype == DType::kBF16) {
      return DType::kBF16;
    }
  }
  return DType::kUndefined;
}

std::string_view Message(const absl::Status& status) { return FromAbsl(status.message()); }

}  // namespace

ConstantId NodePlanner::ConstantOf(size_t i) const {
  const auto input = static_cast<size_t>(lowered_.operands[i]);
  return graph_.value(graph_.node(node_).inputs[input]).constant;
}

absl::StatusOr<NodePlan> NodePlanner::Plan(const OpSpec& spec, bool reference) {
  std::vector<const Backend*> allowed;
  for (const Backend* backend : backends_) {
    if (reference || backend->name() != "reference") allowed.push_back(backend);
  }
  if (allowed.empty()) return absl::UnimplementedError("no backend but the reference is in use");
  if (std::none_of(spec.inputs.begin(), spec.inputs.end(), IsParameter)) {
    NodePlan plan;
    plan.spec = spec;
    plan.forms.assign(spec.inputs.size(), kNone);
    PARAMD_ASSIGN_OR_RETURN(plan.planned, PlanOp(allowed, spec));
    return plan;
  }

  const DType compute = ComputeType(spec);
  std::string reasons;
  for (const NodeForms& forms : forms_->of(node_)) {
    if (forms.compute != compute) continue;
    if (!reference && forms.backend->name() == "reference") continue;
    absl::StatusOr<NodePlan> plan = PlanWith(spec, forms);
    if (plan.ok() || !absl::IsUnimplemented(plan.status())) return plan;
    StrAppend(&reasons, reasons.empty() ? "" : "; ", Message(plan.status()));
  }
  if (!forms_->frozen()) return PlanFreely(spec, allowed, compute);
  absl::StatusOr<NodePlan> plain = PlanPlain(spec, allowed);
  if (plain.ok()) return plain;
  return absl::UnimplementedError(
      StrCat("node '", graph_.node(node_).name, "' cannot run on the loaded parameters at ",
             "these shapes (", reasons, reasons.empty() ? "" : "; ", Message(plain.status()), ")"));
}

absl::StatusOr<NodePlan> NodePlanner::PlanWith(const OpSpec& spec, const NodeForms& forms) {
  NodePlan plan;
  plan.spec = spec;
  plan.forms.assign(spec.inputs.size(), kNone);
  for (const auto& [input, form] : forms.by_input) {
    const auto at = static_cast<size_t>(input);
    plan.spec.inputs[at].packed = forms_->form(form).layout;
    plan.forms[at] = form;
  }
  const Backend* const backend = forms.backend;
  PARAMD_ASSIGN_OR_RETURN(plan.planned, PlanOp(absl::MakeConstSpan(&backend, 1), plan.spec));
  for (const auto& [input, form] : forms.by_input) {
    if (!(plan.planned.op->parameter_layout(input) == forms_->form(form).layout)) {
      return absl::UnimplementedError(
          StrCat(backend->name(), " wants input ", input, " packed in another way"));
    }
  }
  plan.planned.refusals = forms.refusals;
  return plan;
}

absl::StatusOr<NodePlan> NodePlanner::PlanPlain(const OpSpec& spec,
                                                absl::Span<const Backend* const> backends) {
  NodePlan plan;
  plan.spec = spec;
  plan.forms.assign(spec.inputs.size(), kNone);
  for (size_t i = 0; i < spec.inputs.size(); ++i) {
    if (!IsParameter(spec.inputs[i])) continue;
    plan.forms[i] = forms_->FindPlain(graph_, ConstantOf(i));
    if (plan.forms[i] == kNone) {
      return absl::UnimplementedError(
          StrCat("'", graph_.constant(ConstantOf(i)).name, "' is kept packed only"));
    }
  }
  std::string reasons;
  for (const Backend* backend : backends) {
    absl::StatusOr<PlannedOp> planned = PlanOp(absl::MakeConstSpan(&backend, 1), spec);
    bool plain = planned.ok();
    for (size_t i = 0; plain && i < spec.inputs.size(); ++i) {
      plain = !IsParameter(spec.inputs[i]) ||
              planned->op->parameter_layout(static_cast<int>(i)).plain();
    }
    if (plain) {
      plan.planned = *std::move(planned);
      return plan;
    }
    StrAppend(&reasons, reasons.empty() ? "" : "; ", backend->name(), ": ",
              planned.ok() ? "wants to pack" : Message(planned.status()));
  }
  return absl::UnimplementedError(reasons);
}

absl::StatusOr<NodePlan> NodePlanner::PlanFreely(const OpSpec& spec,
                                                 absl::Span<const Backend* const> backends,
                                                 DType compute) {
  NodePlan plan;
  plan.spec = spec;
  plan.forms.assign(spec.inputs.size(), kNone);
  PARAMD_ASSIGN_OR_RETURN(plan.planned, PlanOp(backends, spec));
  NodeForms chosen;
  chosen.backend = plan.planned.backend;
  chosen.compute = compute;
  chosen.refusals = plan.planned.refusals;
  for (size_t i = 0; i < spec.inputs.size(); ++i) {
    if (!IsParameter(spec.inputs[i])) continue;
    ParameterForm form;
    form.graph = &graph_;
    form.constant = ConstantOf(i);
    form.layout = plan.planned.op->parameter_layout(static_cast<int>(i));
    form.shape = spec.inputs[i].shape;
    form.dtype = graph_.constant(form.constant).dtype;
    if (!form.layout.plain()) {
      if (compute == DType::kBF16 && form.dtype == DType::kF32) form.dtype = compute;
      form.backend = plan.planned.backend;
      form.packer = plan.planned.op.get();
      form.packer_input = static_cast<int>(i);
    }
    plan.forms[i] = forms_->Intern(form);
    plan.spec.inputs[i].packed = form.layout;
    chosen.by_input.emplace_back(static_cast<int>(i), plan.forms[i]);
  }
  forms_->Add(node_, std::move(chosen));
  return plan;
}

}  // namespace paramd
