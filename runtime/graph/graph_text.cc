// ToText: the stable text form of a graph.
#include <cmath>
#include <cstdio>
#include <string>

#include "runtime/base/strings.h"
#include "runtime/graph/graph.h"
#include "runtime/graph/tensor_values.h"

namespace paramd {
namespace {

// Elements of a held tensor that are shown; a longer one shows its type only.
constexpr int64_t kElementsShown = 8;

std::string FloatText(double value) {
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, "%.9g", value);
  return buffer;
}

// Names come from files: quotes, backslashes and control characters are
// escaped, so that one node stays one line.
std::string Quoted(std::string_view text) {
  std::string quoted = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') {
      quoted += '\\';
      quoted += c;
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      char buffer[8];
      std::snprintf(buffer, sizeof buffer, "\\x%02x", static_cast<unsigned char>(c));
      quoted += buffer;
    } else {
      quoted += c;
    }
  }
  return quoted + "\"";
}

std::string TensorText(const Tensor& tensor) {
  std::string text = StrCat(DTypeName(tensor.dtype()), tensor.shape().ToString());
  if (tensor.dtype() == DType::kString || tensor.shape().elements() > kElementsShown) return text;
  if (const auto ints = IntValues(tensor.view())) {
    text += "{";
    for (size_t i = 0; i < ints->size(); ++i) StrAppend(&text, i == 0 ? "" : ",", (*ints)[i]);
    return text + "}";
  }
  if (const auto floats = FloatValues(tensor.view())) {
    text += "{";
    for (size_t i = 0; i < floats->size(); ++i) {
      StrAppend(&text, i == 0 ? "" : ",", FloatText((*floats)[i]));
    }
    return text + "}";
  }
  return text;
}

std::string TypeText(const ValueType& type) {
  std::string text(DTypeName(type.dtype));
  text += type.shape.has_value() ? ToString(*type.shape) : "[*]";
  switch (type.kind) {
    case ValueType::Kind::kTensor:
      return text;
    case ValueType::Kind::kSequence:
      return StrCat("sequence(", text, ")");
    case ValueType::Kind::kOptional:
      return StrCat("optional(", text, ")");
  }
  return text;
}

std::string ConstantText(const Graph& graph, const Constant& constant) {
  std::string text;
  if (constant.role != ParameterRole::kNone) {
    text = StrCat(ParameterRoleName(constant.role), " ");
  }
  if (const auto* derivation = std::get_if<Derivation>(&constant.source)) {
    text += derivation->transform + "(";
    for (size_t i = 0; i < derivation->parents.size(); ++i) {
      const Constant& parent = graph.constant(derivation->parents[i]);
      StrAppend(&text, i == 0 ? "" : ", ",
                parent.name.empty() ? ConstantText(graph, parent) : Quoted(parent.name));
    }
    for (size_t i = 0; i < derivation->args.size(); ++i) {
      StrAppend(&text,
                i > 0                         ? ","
                : derivation->parents.empty() ? ""
                                              : "; ",
                FloatText(derivation->args[i]));
    }
    return StrCat(text, ") ", DTypeName(constant.dtype), constant.shape.ToString());
  }
  if (!constant.name.empty()) text += Quoted(constant.name) + " ";
  const Tensor* held = constant.inline_tensor();
  return text + (held == nullptr ? StrCat(DTypeName(constant.dtype), constant.shape.ToString())
                                 : TensorText(*held));
}

std::string OperandText(const Graph& graph, ValueId id) {
  if (id == kNone) return "-";
  const Value& value = graph.value(id);
  return value.constant == kNone ? StrCat("%", id)
                                 : ConstantText(graph, graph.constant(value.constant));
}

class Writer {
 public:
  std::string Take() { return std::move(text_); }

  void Write(const Graph& graph, int depth) {
    const std::string indent(static_cast<size_t>(depth) * 2, ' ');
    StrAppend(&text_, indent, "graph ", Quoted(graph.name), "\n");
    if (depth > kSubgraphDepthMax) return;
    for (ValueId id : graph.inputs) Boundary(graph, indent, "input", id);
    for (const auto& [outer, inner] : graph.captures) {
      StrAppend(&text_, indent, "capture %", inner, " = outer %", outer, "\n");
    }
    for (const Node& node : graph.nodes()) {
      if (!node.dead) WriteNode(graph, node, indent, depth);
    }
    for (ValueId id : graph.outputs) Boundary(graph, indent, "output", id);
  }

 private:
  void Boundary(const Graph& graph, std::string_view indent, std::string_view what, ValueId id) {
    const Value& value = graph.value(id);
    StrAppend(&text_, indent, what, " ", OperandText(graph, id));
    if (value.constant == kNone) {
      StrAppend(&text_, " ", Quoted(value.name), " : ", TypeText(value.type));
    }
    text_ += "\n";
  }

  void WriteNode(const Graph& graph, const Node& node, std::string_view indent, int depth) {
    text_ += indent;
    for (size_t i = 0; i < node.outputs.size(); ++i) {
      StrAppend(&text_, i == 0 ? "" : ", ", OperandText(graph, node.outputs[i]));
    }
    StrAppend(&text_, " ", Quoted(node.name), " = ", node.domain, node.domain.empty() ? "" : ".",
              node.op, "(");
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      StrAppend(&text_, i == 0 ? "" : ", ", OperandText(graph, node.inputs[i]));
    }
    text_ += ")";
    WriteAttributes(node);
    for (const PostOp& post_op : node.post_ops) WritePostOp(post_op);
    text_ += " : ";
    bool first = true;
    for (ValueId id : node.outputs) {
      if (id == kNone) continue;
      StrAppend(&text_, first ? "" : ", ", TypeText(graph.value(id).type));
      first = false;
    }
    text_ += "\n";
    for (const auto& [key, attribute] : node.attributes) {
      const auto* subgraph = std::get_if<std::shared_ptr<Graph>>(&attribute);
      if (subgraph == nullptr || *subgraph == nullptr) continue;
      StrAppend(&text_, indent, "  ", key, ":\n");
      Write(**subgraph, depth + 1);
    }
  }

  void WritePostOp(const PostOp& post_op) {
    if (post_op.kind == PostOp::Kind::kAdd) {
      StrAppend(&text_, " +add(", post_op.operand, ")");
      return;
    }
    StrAppend(&text_, " +", ActivationKindName(post_op.activation));
    if (post_op.alpha != 0 || post_op.beta != 0) {
      StrAppend(&text_, "(", FloatText(post_op.alpha), ",", FloatText(post_op.beta), ")");
    }
  }

  void WriteAttributes(const Node& node) {
    bool first = true;
    for (const auto& [key, attribute] : node.attributes) {
      if (std::holds_alternative<std::shared_ptr<Graph>>(attribute)) continue;
      StrAppend(&text_, first ? " {" : " ", key, "=");
      first = false;
      std::visit([&](const auto& held) { WriteHeld(held); }, attribute);
    }
    if (!first) text_ += "}";
  }

  void WriteHeld(int64_t held) { StrAppend(&text_, held); }
  void WriteHeld(float held) { text_ += FloatText(held); }
  void WriteHeld(const std::string& held) { text_ += Quoted(held); }
  void WriteHeld(const std::shared_ptr<const Tensor>& held) {
    text_ += held == nullptr ? "none" : TensorText(*held);
  }
  void WriteHeld(const std::shared_ptr<Graph>&) {}
  template <typename T>
  void WriteHeld(const std::vector<T>& held) {
    text_ += "[";
    for (size_t i = 0; i < held.size(); ++i) {
      if (i > 0) text_ += ",";
      WriteHeld(held[i]);
    }
    text_ += "]";
  }

  std::string text_;
};

}  // namespace

std::string ToText(const Graph& graph) {
  Writer writer;
  writer.Write(graph, 0);
  return writer.Take();
}

}  // namespace paramd
