#include "runtime/graph/graph_plan.h"

#include <algorithm>
#include <array>

#include "absl/log/log.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/graph/interpreter_builtins.h"
#include "runtime/graph/ops/op_table.h"

namespace paramd {
namespace {

// Tried in order for dimensions that a graph leaves open (height, width, length):
// the first for which the graph's own arithmetic works out.
constexpr std::array<int64_t, 6> kOpenDimensions = {64, 224, 32, 16, 8, 1};

const Dim* FirstDim(const ValueType& type) {
  if (type.kind != ValueType::Kind::kTensor || !type.shape.has_value() || type.shape->empty()) {
    return nullptr;
  }
  return &type.shape->front();
}

// The first node that neither a program nor the interpreter can run, if any.
absl::Status CheckInterpretable(const Graph& graph) {
  for (const Node& node : graph.nodes()) {
    if (node.dead) continue;
    if (FindBuiltin(node.domain, node.op) == nullptr &&
        FindOp(node.domain, node.op, node.opset) == nullptr) {
      return absl::UnimplementedError(StrCat("node '", node.name, "': no operator ",
                                             node.domain.empty() ? "ai.onnx" : node.domain, ".",
                                             node.op, " at opset ", node.opset));
    }
    for (const auto& [key, attribute] : node.attributes) {
      if (const auto* subgraph = std::get_if<std::shared_ptr<Graph>>(&attribute)) {
        PARAMD_RETURN_IF_ERROR(CheckInterpretable(**subgraph));
      }
    }
  }
  return absl::OkStatus();
}

// Strings are objects on the heap, which no arena holds.
bool UsesStrings(const Graph& graph) {
  const auto text = [&](const std::vector<ValueId>& ids) {
    return std::any_of(ids.begin(), ids.end(), [&](ValueId id) {
      return id != kNone && graph.value(id).type.dtype == DType::kString;
    });
  };
  if (text(graph.inputs)) return true;
  return std::any_of(graph.nodes().begin(), graph.nodes().end(), [&](const Node& node) {
    return !node.dead && (text(node.inputs) || text(node.outputs));
  });
}

// Whether the graph says by its operators and types that only a run can tell.
bool NeedsInterpreter(const Graph& graph) {
  for (const ValueId id : graph.inputs) {
    if (graph.value(id).type.kind != ValueType::Kind::kTensor) return true;
    if (!graph.value(id).type.shape.has_value()) return true;
  }
  for (const Node& node : graph.nodes()) {
    if (!node.dead && FindBuiltin(node.domain, node.op) != nullptr &&
        FindOp(node.domain, node.op, node.opset) == nullptr) {
      return true;
    }
  }
  return UsesStrings(graph);
}

}  // namespace

bool HasBatchDimension(const Graph& graph) {
  if (graph.inputs.empty() || graph.outputs.empty()) return false;
  const Dim* const first = FirstDim(graph.value(graph.inputs.front()).type);
  if (first == nullptr || first->symbol.empty()) return false;
  for (const std::vector<ValueId>* ids : {&graph.inputs, &graph.outputs}) {
    for (const ValueId id : *ids) {
      const Dim* const dim = FirstDim(graph.value(id).type);
      if (dim == nullptr || dim->symbol != first->symbol) return false;
    }
  }
  return true;
}

std::vector<Shape> CanonicalShapes(const Graph& graph, int64_t rows, int64_t other) {
  std::vector<Shape> shapes;
  // A name is one number wherever it stands.
  std::vector<std::string> batch_names;
  for (const ValueId id : graph.inputs) {
    const Dim* const dim = FirstDim(graph.value(id).type);
    if (dim != nullptr && !dim->symbol.empty()) batch_names.push_back(dim->symbol);
  }
  for (const ValueId id : graph.inputs) {
    Shape shape;
    const ValueType& type = graph.value(id).type;
    if (type.shape.has_value()) {
      for (size_t i = 0; i < type.shape->size(); ++i) {
        const Dim& dim = (*type.shape)[i];
        const bool batch =
            (i == 0 && !dim.known()) ||
            std::find(batch_names.begin(), batch_names.end(), dim.symbol) != batch_names.end();
        shape.push_back(dim.known() ? dim.size : batch ? rows : other);
      }
    }
    shapes.push_back(std::move(shape));
  }
  return shapes;
}

absl::StatusOr<std::unique_ptr<GraphPlan>> GraphPlan::Make(std::unique_ptr<const Graph> graph,
                                                           const GraphPlanOptions& options) {
  if (options.compile.backends.empty() || options.rows.empty()) {
    return absl::InvalidArgumentError("a plan needs backends and a batch size");
  }
  std::unique_ptr<GraphPlan> plan(new GraphPlan(std::move(graph), options));
  if (NeedsInterpreter(plan->graph())) {
    plan->interpreted_because_ =
        "the graph has control flow, sequences, strings or data-dependent shapes";
  } else if (const absl::Status status = plan->PlanPrograms(); !status.ok()) {
    // A shape that only a run can tell is no mistake of the graph.
    if (!absl::IsUnimplemented(status)) return status;
    plan->interpreted_because_ = std::string(FromAbsl(status.message()));
  }
  if (plan->interpreted()) {
    PARAMD_RETURN_IF_ERROR(CheckInterpretable(plan->graph()));
    plan->programs_.clear();
    plan->forms_ = ParameterForms();
    plan->PlanInterpreted(plan->graph());
  }
  plan->forms_.Freeze();
  return plan;
}

absl::Status GraphPlan::PlanPrograms() {
  absl::Status first_error;
  for (const int64_t other : kOpenDimensions) {
    forms_ = ParameterForms();
    auto program = CompileProgram(*graph_, CanonicalShapes(*graph_, options_.rows[0], other),
                                  options_.compile, &forms_);
    if (!program.ok()) {
      if (first_error.ok()) first_error = program.status();
      continue;
    }
    programs_.emplace_back(*std::move(program));
    if (!HasBatchDimension(*graph_)) return absl::OkStatus();
    for (size_t i = 1; i < options_.rows.size(); ++i) {
      // Forms whose program failed half-way would be loaded for nobody.
      ParameterForms before = forms_;
      auto more = CompileProgram(*graph_, CanonicalShapes(*graph_, options_.rows[i], other),
                                 options_.compile, &forms_);
      // A graph may be written for one row only; that is found again, and
      // reported, when batching is decided.
      if (!more.ok()) {
        forms_ = std::move(before);
        VLOG(1) << "no program for " << options_.rows[i] << " rows: " << more.status();
        break;
      }
      if (forms_.decisions() != before.decisions()) sizes_needed_ = i + 1;
      programs_.emplace_back(*std::move(more));
    }
    return absl::OkStatus();
  }
  return first_error;
}

void GraphPlan::PlanInterpreted(const Graph& graph) {
  const std::vector<std::vector<NodeId>> readers = graph.AllConsumers();
  for (size_t v = 0; v < graph.values().size(); ++v) {
    const ConstantId id = graph.values()[v].constant;
    if (id == kNone) continue;
    if (readers[v].empty() && !graph.IsOutput(static_cast<ValueId>(v))) continue;
    const Constant& constant = graph.constant(id);
    if (std::holds_alternative<std::shared_ptr<const Tensor>>(constant.source)) continue;
    ParameterForm form;
    form.graph = &graph;
    form.constant = id;
    form.dtype = constant.dtype;
    form.shape = constant.shape;
    forms_.Intern(form);
  }
  for (const Node& node : graph.nodes()) {
    if (node.dead) continue;
    for (const auto& [key, attribute] : node.attributes) {
      if (const auto* subgraph = std::get_if<std::shared_ptr<Graph>>(&attribute)) {
        PlanInterpreted(**subgraph);
      }
    }
  }
}

uint64_t GraphPlan::arena_bytes() const {
  uint64_t bytes = 0;
  for (const ProgramRef& program : programs_) bytes = std::max(bytes, program->arena_bytes);
  return bytes;
}

}  // namespace paramd
