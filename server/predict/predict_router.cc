#include "server/predict/predict_router.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "absl/strings/str_join.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/model.h"
#include "server/batching/batcher.h"

namespace paramd {
namespace {

// Names from the wire go into messages cut short: they may be of any length.
std::string Quoted(std::string_view name) {
  constexpr size_t kShownMax = 64;
  if (name.size() <= kShownMax) return StrCat("'", name, "'");
  return StrCat("'", name.substr(0, kShownMax), "...'");
}

std::string Names(const std::vector<TensorSpec>& specs) {
  return absl::StrJoin(specs, ", ", [](std::string* out, const TensorSpec& spec) {
    StrAppend(out, "'", spec.name, "'");
  });
}

int IndexOf(const std::vector<TensorSpec>& specs, std::string_view name) {
  for (size_t i = 0; i < specs.size(); ++i) {
    if (specs[i].name == name) return static_cast<int>(i);
  }
  return -1;
}

// Puts the inputs into the model's order, each exactly once.
absl::Status OrderInputs(const std::vector<TensorSpec>& specs, std::vector<NamedTensor>* inputs) {
  for (const NamedTensor& input : *inputs) {
    if (IndexOf(specs, input.name) < 0) {
      return absl::InvalidArgumentError(
          StrCat("unknown input ", Quoted(input.name), "; the model has ", Names(specs)));
    }
  }
  for (size_t i = 0; i < specs.size(); ++i) {
    const auto is_it = [&](const NamedTensor& input) { return input.name == specs[i].name; };
    const auto found =
        std::find_if(inputs->begin() + static_cast<std::ptrdiff_t>(i), inputs->end(), is_it);
    if (found == inputs->end()) {
      return absl::InvalidArgumentError(StrCat("input '", specs[i].name, "' (",
                                               DTypeName(specs[i].dtype), ToString(specs[i].shape),
                                               ") is missing"));
    }
    std::swap((*inputs)[i], *found);
  }
  if (inputs->size() > specs.size()) {
    // All names are known and all inputs are there: what is left came before.
    return absl::InvalidArgumentError(
        StrCat("input ", Quoted((*inputs)[specs.size()].name), " comes twice"));
  }
  return absl::OkStatus();
}

// The bytes must be what type and shape say: from here on nobody checks again.
absl::Status CheckBytes(const NamedTensor& input) {
  const auto describe = [&] {
    return StrCat("input '", input.name, "' of type ", DTypeName(input.dtype), " and shape ",
                  input.shape.ToString());
  };
  if (input.dtype == DType::kString) {
    absl::StatusOr<int64_t> elements = CheckedElements(input.shape.dims());
    if (!elements.ok()) {
      return absl::InvalidArgumentError(
          StrCat("input '", input.name, "': ", FromAbsl(elements.status().message())));
    }
    if (static_cast<uint64_t>(*elements) != input.strings.size()) {
      return absl::InvalidArgumentError(
          StrCat(describe(), " has ", input.strings.size(), " elements, expected ", *elements));
    }
    return absl::OkStatus();
  }
  absl::StatusOr<uint64_t> expected = CheckedBytes(input.dtype, input.shape.dims());
  if (!expected.ok()) {
    return absl::InvalidArgumentError(
        StrCat("input '", input.name, "': ", FromAbsl(expected.status().message())));
  }
  if (!input.strings.empty()) {
    return absl::InvalidArgumentError(StrCat(describe(), " holds strings"));
  }
  if (const uint64_t bytes = input.bytes(); bytes != *expected) {
    return absl::InvalidArgumentError(
        StrCat(describe(), " has ", bytes, " bytes, expected ", *expected));
  }
  return absl::OkStatus();
}

absl::Status ResolveOutputs(const std::vector<TensorSpec>& specs, PredictCall* call) {
  call->output_indexes.clear();
  if (call->outputs.empty()) {
    for (size_t i = 0; i < specs.size(); ++i) call->output_indexes.push_back(static_cast<int>(i));
    return absl::OkStatus();
  }
  for (const std::string& name : call->outputs) {
    const int index = IndexOf(specs, name);
    if (index < 0) {
      return absl::InvalidArgumentError(
          StrCat("unknown output ", Quoted(name), "; the model has ", Names(specs)));
    }
    if (std::find(call->output_indexes.begin(), call->output_indexes.end(), index) !=
        call->output_indexes.end()) {
      return absl::InvalidArgumentError(StrCat("output '", name, "' is asked for twice"));
    }
    call->output_indexes.push_back(index);
  }
  return absl::OkStatus();
}

using Views = absl::InlinedVector<TensorView, 4>;

absl::Status Check(const Model& model, PredictCall* call, Views* views) {
  const ModelDescription& description = model.description();
  PARAMD_RETURN_IF_ERROR(OrderInputs(description.inputs, &call->inputs));
  for (size_t i = 0; i < call->inputs.size(); ++i) {
    NamedTensor& input = call->inputs[i];
    if (input.dtype == DType::kUndefined) input.dtype = description.inputs[i].dtype;
    PARAMD_RETURN_IF_ERROR(CheckBytes(input));
    // Shape and type are all that the model looks at; the bytes may be in pieces.
    views->push_back({input.dtype, input.shape, nullptr});
  }
  PARAMD_RETURN_IF_ERROR(model.CheckCall(*views));
  return ResolveOutputs(description.outputs, call);
}

}  // namespace

void PredictRouter::Predict(PredictCall* call) const {
  if (!call->version) {
    absl::StatusOr<ModelHandle> version = Resolve(call->model, call->choice);
    if (!version.ok()) {
      call->sink->OnDone(std::move(version).status());
      return;
    }
    call->version = *std::move(version);
  }
  const ModelVersion& version = *call->version;
  Views views;
  if (absl::Status status = Check(version.model(), call, &views); !status.ok()) {
    call->sink->OnDone(std::move(status));
    return;
  }
  // The call may be answered, and its handle dropped, before Submit returns.
  version.batcher().Submit(call, views);
}

}  // namespace paramd
