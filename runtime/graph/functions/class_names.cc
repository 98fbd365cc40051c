#include "runtime/graph/functions/class_names.h"

#include <map>

#include "runtime/base/strings.h"
#include "runtime/graph/onnx_tensor.h"

namespace paramd {
namespace {

constexpr size_t kListBytesMax = 64 << 10;

void AppendQuoted(const std::string& text, std::string* list) {
  *list += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') *list += '\\';
    if (static_cast<unsigned char>(c) < 0x20) {
      constexpr char kHex[] = "0123456789abcdef";
      *list += "\\u00";
      *list += kHex[(c >> 4) & 15];
      *list += kHex[c & 15];
    } else {
      *list += c;
    }
  }
  *list += '"';
}

// Empty where the node has no such list, or one that is no text or too long.
std::string NamesOf(const onnx::NodeProto& node) {
  std::string list = "[";
  for (const onnx::AttributeProto& attribute : node.attribute()) {
    if (!attribute.name().starts_with("classlabels_")) continue;
    for (const std::string& name : attribute.strings()) {
      if (list.size() > kListBytesMax || !CheckName("class label", name).ok()) return {};
      if (list.size() > 1) list += ", ";
      AppendQuoted(name, &list);
    }
    for (const int64_t number : attribute.ints()) {
      if (list.size() > kListBytesMax) return {};
      if (list.size() > 1) list += ", ";
      StrAppend(&list, number);
    }
  }
  return list.size() > 1 ? list + "]" : std::string();
}

}  // namespace

std::vector<std::pair<std::string, std::string>> ClassNames(const onnx::GraphProto& graph) {
  std::map<std::string, std::string> by_value;
  for (const onnx::NodeProto& node : graph.node()) {
    if (node.domain() != "ai.onnx.ml") continue;
    // Scores are a classifier's second output, and what ZipMap takes and gives.
    const int output = node.op_type() == "ZipMap" ? 0 : 1;
    if (output >= node.output_size()) continue;
    if (std::string list = NamesOf(node); !list.empty()) {
      by_value[node.output(output)] = std::move(list);
    }
  }
  std::vector<std::pair<std::string, std::string>> names;
  for (const onnx::ValueInfoProto& output : graph.output()) {
    const auto it = by_value.find(output.name());
    if (it != by_value.end()) names.emplace_back(StrCat("classes.", output.name()), it->second);
  }
  return names;
}

}  // namespace paramd
