#include "runtime/graph/onnx_schema.h"

#include <onnx/defs/schema.h>

#include "runtime/base/strings.h"

namespace paramd {

absl::Status CheckAttributes(const onnx::NodeProto& node, const std::string& domain,
                             int64_t opset) {
  const onnx::OpSchema* schema =
      onnx::OpSchemaRegistry::Schema(node.op_type(), static_cast<int>(opset), domain);
  if (schema == nullptr) return absl::OkStatus();
  for (const onnx::AttributeProto& attribute : node.attribute()) {
    const auto it = schema->attributes().find(attribute.name());
    if (it == schema->attributes().end()) {
      return absl::InvalidArgumentError(
          StrCat("has no attribute '", attribute.name(), "' in opset ", opset));
    }
    if (attribute.type() != it->second.type) {
      return absl::InvalidArgumentError(
          StrCat("attribute '", attribute.name(), "' is of the kind ",
                 onnx::AttributeProto::AttributeType_Name(attribute.type()), ", expected ",
                 onnx::AttributeProto::AttributeType_Name(it->second.type)));
    }
  }
  for (const auto& [name, attribute] : schema->attributes()) {
    if (!attribute.required) continue;
    bool there = false;
    for (const auto& given : node.attribute()) there |= given.name() == name;
    if (!there) return absl::InvalidArgumentError(StrCat("lacks the attribute '", name, "'"));
  }
  return absl::OkStatus();
}

bool SameMeaning(const std::string& op, const std::string& domain, int64_t opset, int64_t later) {
  const auto since = [&](int64_t version) {
    const onnx::OpSchema* schema =
        onnx::OpSchemaRegistry::Schema(op, static_cast<int>(version), domain);
    return schema == nullptr ? -1 : schema->SinceVersion();
  };
  const int now = since(opset);
  return now >= 0 && now == since(later);
}

}  // namespace paramd
