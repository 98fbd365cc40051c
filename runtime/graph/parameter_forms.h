// ParameterForms: which forms of which constants the programs of one model
// read: as they are, or packed as a kernel asked for. Decided while the first
// programs are compiled; every later program is compiled against the same
// forms, so each is in memory once.
//
// Life: grows while planning, then frozen: the loader brings each form and
// sessions bind its address. Thread-safety: not synchronised while it grows;
// const from then on.
#ifndef PARAMD_RUNTIME_GRAPH_PARAMETER_FORMS_H_
#define PARAMD_RUNTIME_GRAPH_PARAMETER_FORMS_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "runtime/backends/backend.h"
#include "runtime/graph/compiled_program.h"
#include "runtime/graph/graph.h"

namespace paramd {

struct ParameterForm {
  const Graph* graph = nullptr;  // Whose constant: the model's graph, or a subgraph.
  ConstantId constant = kNone;
  PackedLayout layout;              // Plain: the constant's own bytes.
  DType dtype = DType::kUndefined;  // Of the form's elements.
  // For packed forms: an op that packs it, as its input `packer_input` of shape
  // `shape`. Valid as long as the planning programs are.
  const Backend* backend = nullptr;
  const CompiledOp* packer = nullptr;
  int packer_input = kNone;
  Shape shape;
};

// How one node reads its parameters with one backend.
struct NodeForms {
  const Backend* backend = nullptr;
  DType compute = DType::kUndefined;             // Type of the activations it was planned for.
  std::vector<std::pair<int, FormId>> by_input;  // Spec input -> form.
  std::vector<std::pair<std::string, std::string>> refusals;
};

class ParameterForms {
 public:
  const std::vector<ParameterForm>& forms() const { return forms_; }
  const ParameterForm& form(FormId id) const { return forms_[static_cast<size_t>(id)]; }

  // The form's number, new or not.
  FormId Intern(const ParameterForm& form);
  // The plain form if some kernel reads it, else kNone.
  FormId FindPlain(const Graph& graph, ConstantId constant) const;

  const std::vector<NodeForms>& of(NodeId node) const;
  void Add(NodeId node, NodeForms forms) {
    by_node_[node].push_back(std::move(forms));
    ++decisions_;
  }
  // Forms and decisions so far: unchanged if a program needed nothing new.
  size_t decisions() const { return forms_.size() + decisions_; }

  // From now on nothing new is accepted (checked).
  void Freeze() { frozen_ = true; }
  bool frozen() const { return frozen_; }

 private:
  std::vector<ParameterForm> forms_;
  absl::flat_hash_map<std::pair<const Graph*, ConstantId>, std::vector<FormId>> by_constant_;
  absl::flat_hash_map<NodeId, std::vector<NodeForms>> by_node_;
  size_t decisions_ = 0;
  bool frozen_ = false;
};

}  // namespace paramd

#endif  // PARAMD_RUNTIME_GRAPH_PARAMETER_FORMS_H_
