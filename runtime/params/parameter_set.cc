#include "runtime/params/parameter_set.h"

#include <utility>

#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"

namespace paramd {

ParameterCounts CountParameters(absl::Span<const Parameter> parameters) {
  ParameterCounts counts;
  for (const Parameter& parameter : parameters) {
    const auto role = static_cast<size_t>(parameter.role);
    counts.elements[role] += parameter.shape.elements();
    ++counts.tensors[role];
  }
  return counts;
}

ParameterSet::~ParameterSet() {
  if (set_id_ != 0) store_->UnregisterSet(set_id_, entries_);
}

const Parameter* ParameterSet::FindParameter(std::string_view name) const {
  const auto found = parameter_index_.find(std::string(name));
  return found == parameter_index_.end() ? nullptr : &parameters_[found->second];
}

const ParameterRef* ParameterSet::FindEntry(const ContentId& key) const {
  const auto found = entry_index_.find(key);
  return found == entry_index_.end() ? nullptr : &entries_[found->second];
}

absl::Status ParameterSet::Verify() const {
  for (const ParameterRef& entry : entries_) PARAMD_RETURN_IF_ERROR(entry.Verify());
  for (const Parameter& parameter : parameters_) {
    const ParameterRef* entry = FindEntry(parameter.content_id);
    if (entry == nullptr) continue;  // Only a packed form is kept; its key has this as parent.
    const ContentId now = TensorContentId(parameter.dtype, parameter.shape.dims(), entry->digest());
    if (now != parameter.content_id) {
      return absl::DataLossError(StrCat("parameter '", parameter.name, "' has content id ",
                                        now.ShortHex(), ", expected ",
                                        parameter.content_id.ShortHex()));
    }
  }
  return absl::OkStatus();
}

ParameterSetBuilder::ParameterSetBuilder(ParameterStore* store) : set_(new ParameterSet) {
  set_->store_ = store;
}

ParameterSetBuilder::~ParameterSetBuilder() = default;

absl::Status ParameterSetBuilder::AddParameter(Parameter parameter) {
  const size_t index = set_->parameters_.size();
  if (!set_->parameter_index_.emplace(parameter.name, index).second) {
    return absl::InvalidArgumentError(StrCat("parameter '", parameter.name, "' comes twice"));
  }
  set_->parameters_.push_back(std::move(parameter));
  return absl::OkStatus();
}

void ParameterSetBuilder::Hold(const ParameterRef& ref, DType dtype) {
  if (!set_->entry_index_.emplace(ref.key(), set_->entries_.size()).second) return;
  set_->entries_.push_back(ref);
  set_->bytes_by_dtype_[dtype] += ref.bytes().size();
}

std::unique_ptr<ParameterSet> ParameterSetBuilder::Build(std::string_view label) && {
  set_->label_ = std::string(label);
  set_->counts_ = CountParameters(set_->parameters_);
  std::vector<std::pair<std::string_view, ContentId>> named;
  named.reserve(set_->parameters_.size());
  for (const Parameter& parameter : set_->parameters_) {
    named.emplace_back(parameter.name, parameter.content_id);
  }
  set_->weights_id_ = WeightsId(std::move(named));
  set_->set_id_ = set_->store_->RegisterSet(label, set_->entries_);
  return std::move(set_);
}

}  // namespace paramd
