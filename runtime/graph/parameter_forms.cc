#include "runtime/graph/parameter_forms.h"

#include "absl/log/check.h"

namespace paramd {

FormId ParameterForms::Intern(const ParameterForm& form) {
  std::vector<FormId>& same_constant = by_constant_[{form.graph, form.constant}];
  for (const FormId id : same_constant) {
    const ParameterForm& there = this->form(id);
    if (there.layout == form.layout &&
        // A plain form is the same whoever reads it, in whatever shape.
        (form.layout.plain() || (there.backend == form.backend && there.shape == form.shape))) {
      return id;
    }
  }
  CHECK(!frozen_) << "a parameter form after the plan was made";
  forms_.push_back(form);
  same_constant.push_back(static_cast<FormId>(forms_.size() - 1));
  return same_constant.back();
}

FormId ParameterForms::FindPlain(const Graph& graph, ConstantId constant) const {
  const auto found = by_constant_.find({&graph, constant});
  if (found == by_constant_.end()) return kNone;
  for (const FormId id : found->second) {
    if (form(id).layout.plain()) return id;
  }
  return kNone;
}

const std::vector<NodeForms>& ParameterForms::of(NodeId node) const {
  static const std::vector<NodeForms>& none = *new std::vector<NodeForms>;
  const auto found = by_node_.find(node);
  return found == by_node_.end() ? none : found->second;
}

}  // namespace paramd
