#include "server/rpc/kserve/state_pairs.h"

#include <algorithm>
#include <string_view>

#include "runtime/base/strings.h"

namespace paramd {
namespace {

int IndexOf(const std::vector<TensorSpec>& specs, std::string_view name) {
  for (size_t i = 0; i < specs.size(); ++i) {
    if (specs[i].name == name) return static_cast<int>(i);
  }
  return -1;
}

bool SameKind(const TensorSpec& input, const TensorSpec& output) {
  if (input.dtype != output.dtype || input.dtype == DType::kString) return false;
  // Shape inference does not always find out what the graph's output is.
  return output.shape.empty() || input.shape.size() == output.shape.size();
}

// How the next state is named after this one.
int NamedAfter(const std::vector<TensorSpec>& outputs, const TensorSpec& input) {
  std::vector<std::string> names;
  for (const char* suffix : {"N", "n", "_n", "_out", "_next", "Out", "Next"}) {
    names.push_back(StrCat(input.name, suffix));
  }
  for (const char* prefix : {"new_", "next_", "present_"}) {
    names.push_back(StrCat(prefix, input.name));
  }
  const std::string_view name = input.name;
  if (name.ends_with("_in")) names.push_back(StrCat(name.substr(0, name.size() - 3), "_out"));
  if (name.ends_with("0")) names.push_back(StrCat(name.substr(0, name.size() - 1), "n"));
  for (const std::string& candidate : names) {
    const int index = IndexOf(outputs, candidate);
    if (index >= 0 && SameKind(input, outputs[static_cast<size_t>(index)])) return index;
  }
  return -1;
}

}  // namespace

std::vector<StatePair> FindStatePairs(const ModelDescription& description,
                                      const ModelConfig* config) {
  std::vector<StatePair> pairs;
  if (config != nullptr && !config->states.empty()) {
    for (const DeclaredState& state : config->states) {
      const int input = IndexOf(description.inputs, state.input);
      const int output = IndexOf(description.outputs, state.output);
      // Compared with the model when it was loaded (CheckDeclarations).
      if (input >= 0 && output >= 0) pairs.push_back({input, output});
    }
    return pairs;
  }
  for (size_t i = 0; i < description.inputs.size(); ++i) {
    const int output = NamedAfter(description.outputs, description.inputs[i]);
    if (output >= 0) pairs.push_back({static_cast<int>(i), output});
  }
  // A model whose every input is fed back has nothing to be asked.
  if (pairs.size() == description.inputs.size()) pairs.clear();
  return pairs;
}

Shape InitialShape(const ModelDescription& description, const TensorSpec& state,
                   absl::Span<const NamedTensor> inputs) {
  Shape shape;
  for (const Dim& dim : state.shape) {
    int64_t size = dim.known() ? dim.size : 1;
    for (const TensorSpec& spec : description.inputs) {
      if (dim.known() || dim.symbol.empty()) break;
      const auto given = std::find_if(inputs.begin(), inputs.end(),
                                      [&](const NamedTensor& i) { return i.name == spec.name; });
      if (given == inputs.end() || given->shape.rank() != static_cast<int>(spec.shape.size())) {
        continue;
      }
      for (size_t d = 0; d < spec.shape.size(); ++d) {
        if (spec.shape[d].symbol == dim.symbol) size = given->shape.dim(static_cast<int>(d));
      }
    }
    shape.push_back(size);
  }
  return shape;
}

}  // namespace paramd
