// Verify: the rules that every graph keeps between passes.
#include <string_view>

#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/graph/graph.h"

namespace paramd {
namespace {

class Verifier {
 public:
  Verifier(const Graph& graph, const Graph* outer, int depth)
      : graph_(graph), outer_(outer), depth_(depth) {}

  absl::Status Run() {
    if (depth_ > kSubgraphDepthMax) {
      return Broken(StrCat("subgraphs lie deeper than ", kSubgraphDepthMax));
    }
    ready_.assign(graph_.values().size(), false);
    PARAMD_RETURN_IF_ERROR(CheckConstants());
    PARAMD_RETURN_IF_ERROR(CheckValues());
    PARAMD_RETURN_IF_ERROR(CheckInputs());
    for (size_t n = 0; n < graph_.nodes().size(); ++n) {
      if (graph_.nodes()[n].dead) continue;
      PARAMD_RETURN_IF_ERROR(CheckNode(static_cast<NodeId>(n)));
    }
    for (ValueId id : graph_.outputs) {
      if (!InRange(id)) return Broken(StrCat("an output has the id ", id));
      if (!ready_[Index(id)]) return Broken(StrCat("output ", Label(id), " is never made"));
    }
    return absl::OkStatus();
  }

 private:
  static size_t Index(int32_t id) { return static_cast<size_t>(id); }
  bool InRange(ValueId id) const { return id >= 0 && Index(id) < graph_.values().size(); }
  std::string Label(ValueId id) const { return StrCat("%", id, " '", graph_.value(id).name, "'"); }
  absl::Status Broken(std::string_view what) const {
    return absl::InternalError(StrCat("graph '", graph_.name, "': ", what));
  }

  absl::Status CheckConstants() const {
    for (size_t c = 0; c < graph_.constants().size(); ++c) {
      const Constant& constant = graph_.constants()[c];
      const auto label = [&] { return StrCat("constant ", c, " '", constant.name, "'"); };
      if (const auto* index = std::get_if<int32_t>(&constant.source)) {
        if (*index < 0) return Broken(StrCat(label(), " is nowhere"));
      } else if (const auto* derivation = std::get_if<Derivation>(&constant.source)) {
        for (ConstantId parent : derivation->parents) {
          // Parents come first: a derivation can never be its own ancestor.
          if (parent < 0 || Index(parent) >= c) {
            return Broken(StrCat(label(), " is derived from ", parent, ", which is not before it"));
          }
        }
      } else if (const Tensor* held = constant.inline_tensor(); held == nullptr) {
        return Broken(StrCat(label(), " holds no tensor"));
      } else if (held->dtype() != constant.dtype || !(held->shape() == constant.shape)) {
        return Broken(StrCat(label(), " is ", DTypeName(constant.dtype), constant.shape.ToString(),
                             " and holds ", DTypeName(held->dtype()), held->shape().ToString()));
      }
    }
    return absl::OkStatus();
  }

  absl::Status CheckValues() {
    for (size_t v = 0; v < graph_.values().size(); ++v) {
      const Value& value = graph_.values()[v];
      const auto id = static_cast<ValueId>(v);
      if (value.constant != kNone) {
        if (value.constant < 0 || Index(value.constant) >= graph_.constants().size()) {
          return Broken(StrCat(Label(id), " stands for constant ", value.constant));
        }
        if (value.producer != kNone) return Broken(StrCat(Label(id), " is constant and made"));
        ready_[v] = true;
      }
      if (value.producer == kNone) continue;
      if (value.producer < 0 || Index(value.producer) >= graph_.nodes().size()) {
        return Broken(StrCat(Label(id), " is made by node ", value.producer));
      }
      bool listed = false;
      for (ValueId output : graph_.node(value.producer).outputs) listed |= output == id;
      if (!listed) return Broken(StrCat(Label(id), " is not an output of its producer"));
    }
    return absl::OkStatus();
  }

  absl::Status CheckInputs() {
    for (ValueId id : graph_.inputs) PARAMD_RETURN_IF_ERROR(CheckInput(id, "input"));
    for (const auto& [outer, inner] : graph_.captures) {
      if (outer_ == nullptr) return Broken("a graph without a parent captures values");
      if (outer < 0 || Index(outer) >= outer_->values().size()) {
        return Broken(StrCat("captures the value ", outer, " of its parent"));
      }
      PARAMD_RETURN_IF_ERROR(CheckInput(inner, "capture"));
    }
    return absl::OkStatus();
  }

  absl::Status CheckInput(ValueId id, std::string_view what) {
    if (!InRange(id)) return Broken(StrCat("an ", what, " has the id ", id));
    const Value& value = graph_.value(id);
    if (ready_[Index(id)] || value.producer != kNone) {
      return Broken(StrCat(what, " ", Label(id), " is also made elsewhere"));
    }
    ready_[Index(id)] = true;
    return absl::OkStatus();
  }

  absl::Status CheckNode(NodeId n) {
    const Node& node = graph_.node(n);
    const auto broken = [&](std::string_view what) {
      return Broken(StrCat("node ", n, " '", node.name, "' (", node.op, ") ", what));
    };
    for (ValueId id : node.inputs) {
      if (id == kNone) continue;
      if (!InRange(id)) return broken(StrCat("reads the id ", id));
      if (!ready_[Index(id)]) return broken(StrCat("reads ", Label(id), " before it is made"));
    }
    for (const PostOp& post_op : node.post_ops) {
      if (post_op.kind != PostOp::Kind::kAdd) continue;
      if (post_op.operand < 0 || Index(post_op.operand) >= node.inputs.size() ||
          node.inputs[Index(post_op.operand)] == kNone) {
        return broken(StrCat("adds operand ", post_op.operand));
      }
    }
    for (const auto& [key, attribute] : node.attributes) {
      const auto* subgraph = std::get_if<std::shared_ptr<Graph>>(&attribute);
      if (subgraph == nullptr) continue;
      if (*subgraph == nullptr) return broken(StrCat("has no graph in '", key, "'"));
      for (const auto& [outer, inner] : (*subgraph)->captures) {
        if (!InRange(outer)) return broken(StrCat("captures the id ", outer));
        if (!ready_[Index(outer)]) return broken(StrCat("captures ", Label(outer), " too early"));
      }
      PARAMD_RETURN_IF_ERROR(Verifier(**subgraph, &graph_, depth_ + 1).Run());
    }
    bool any = false;
    for (ValueId id : node.outputs) {
      if (id == kNone) continue;
      any = true;
      if (!InRange(id)) return broken(StrCat("makes the id ", id));
      if (ready_[Index(id)]) return broken(StrCat("makes ", Label(id), " a second time"));
      if (graph_.value(id).producer != n)
        return broken(StrCat("is not the producer of ", Label(id)));
      ready_[Index(id)] = true;
    }
    return any ? absl::OkStatus() : broken("makes nothing");
  }

  const Graph& graph_;
  const Graph* const outer_;
  const int depth_;
  std::vector<bool> ready_;  // Values that exist at this point of the order.
};

}  // namespace

absl::Status Verify(const Graph& graph) { return Verifier(graph, nullptr, 0).Run(); }

}  // namespace paramd
