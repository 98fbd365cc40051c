#include <algorithm>

#include "runtime/graph/passes/pass_support.h"
#include "runtime/graph/passes/passes.h"

namespace paramd {
namespace {

// The pads of a Pad node that a convolution can take over: zeros around
// spatial dimensions, as ONNX's `pads`. Empty: it cannot.
std::vector<int64_t> SpatialPads(const Graph& graph, const Node& pad) {
  const auto params = ParamsOf(graph, pad);
  const auto* held = params.ok() ? std::get_if<PadParams>(&*params) : nullptr;
  if (held == nullptr || held->mode != PadParams::Mode::kConstant || held->value != 0) return {};
  std::vector<int64_t> pads;
  for (const std::vector<int64_t>* side : {&held->pads_begin, &held->pads_end}) {
    if (side->size() < 3 || (*side)[0] != 0 || (*side)[1] != 0) return {};
    for (size_t i = 2; i < side->size(); ++i) {
      if ((*side)[i] < 0) return {};
      pads.push_back((*side)[i]);
    }
  }
  return pads;
}

}  // namespace

absl::StatusOr<int> FusePadIntoConv(Graph& graph, const PassOptions&) {
  const PassIndex index(graph);
  int changes = 0;
  for (size_t n = 0; n < graph.nodes().size(); ++n) {
    Node& pad = graph.node(static_cast<NodeId>(n));
    if (!Is(pad, "Pad") || !pad.post_ops.empty()) continue;
    const NodeId reader = index.OnlyReader(pad.outputs[0]);
    if (reader == kNone) continue;
    Node& conv = graph.node(reader);
    if (!Is(conv, "Conv") || conv.inputs[0] != pad.outputs[0]) continue;
    const std::string auto_pad = conv.GetString("auto_pad", "NOTSET");
    if (auto_pad != "NOTSET" && auto_pad != "VALID") continue;  // Depends on the padded size.
    std::vector<int64_t> pads = SpatialPads(graph, pad);
    if (pads.empty()) continue;
    if (auto_pad == "NOTSET" && conv.Has("pads")) {
      const std::vector<int64_t> own = conv.GetInts("pads");
      if (own.size() != pads.size()) continue;
      for (size_t i = 0; i < pads.size(); ++i) pads[i] += own[i];
    }
    conv.attributes.erase("auto_pad");
    conv.attributes["pads"] = std::move(pads);
    conv.inputs[0] = pad.inputs[0];
    conv.fused.push_back(pad.name);
    graph.value(pad.outputs[0]).producer = kNone;
    pad.dead = true;
    ++changes;
  }
  return changes;
}

}  // namespace paramd
