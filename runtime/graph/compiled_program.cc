#include "runtime/graph/compiled_program.h"

#include "runtime/base/strings.h"

namespace paramd {
namespace {

std::string PlaceText(const Place& place) {
  switch (place.kind) {
    case Place::Kind::kNone:
      return "-";
    case Place::Kind::kArena:
      return StrCat("@", place.offset);
    case Place::Kind::kParameter:
      return StrCat("p", place.index);
    case Place::Kind::kConstant:
      return StrCat("c", place.index);
  }
  return "?";
}

std::string PlacesText(const std::vector<Place>& places) {
  std::string text;
  for (const Place& place : places) StrAppend(&text, text.empty() ? "" : ",", PlaceText(place));
  return text;
}

std::string RefusalsText(const PlannedOp& planned) {
  std::string text;
  for (const auto& [backend, reason] : planned.refusals) {
    StrAppend(&text, text.empty() ? "" : "; ", backend, ": ", reason);
  }
  return text;
}

}  // namespace

std::vector<OpReport> ReportOps(const Graph& graph, const CompiledProgram& program) {
  std::vector<OpReport> reports;
  for (const ProgramStep& step : program.steps) {
    if (step.node == kNone) continue;
    const Node& node = graph.node(step.node);
    OpReport report;
    report.node = node.name;
    report.op = node.op;
    report.backend = std::string(step.planned.backend->name());
    report.implementation = step.planned.op->implementation();
    report.refusals = step.planned.refusals;
    report.fused = node.fused;
    reports.push_back(std::move(report));
  }
  return reports;
}

OpProfile::Line ProfileLine(const Graph& graph, const ProgramStep& step) {
  OpProfile::Line line;
  line.node = step.node == kNone ? "reorder" : graph.node(step.node).name;
  line.op = step.node == kNone ? "reorder" : graph.node(step.node).op;
  line.backend = std::string(step.planned.backend->name());
  line.implementation = step.planned.op->implementation();
  line.spec = Describe(step.spec);
  line.dtype = step.spec.outputs[0].dtype;
  return line;
}

std::string ToText(const Graph& graph, const CompiledProgram& program) {
  std::string text = StrCat("program of ", program.steps.size(), " steps, ", program.arena_bytes,
                            " bytes of activations\n");
  for (const ProgramTensor& input : program.inputs) {
    StrAppend(&text, "  input ", DTypeName(input.dtype), input.shape.ToString(), " ",
              PlaceText(input.place), "\n");
  }
  for (const ProgramStep& step : program.steps) {
    const std::string refusals = RefusalsText(step.planned);
    StrAppend(&text, "  ", step.node == kNone ? "reorder" : graph.node(step.node).name, ": ",
              Describe(step.spec), " ", PlacesText(step.inputs), " -> ", PlacesText(step.outputs),
              " ", LayoutName(step.planned.op->output_layout(0)), " ", step.planned.backend->name(),
              " ", step.planned.op->implementation(), refusals.empty() ? "" : " (", refusals,
              refusals.empty() ? "" : ")", "\n");
  }
  for (const ProgramTensor& output : program.outputs) {
    StrAppend(&text, "  output ", DTypeName(output.dtype), output.shape.ToString(), " ",
              PlaceText(output.place), "\n");
  }
  return text;
}

}  // namespace paramd
