#include "tests/support/onnx_builder.h"

#include <onnx/onnx_pb.h>

#include <algorithm>
#include <cstring>
#include <random>

namespace paramd {
namespace {

void SetType(onnx::ValueInfoProto* info, DType dtype, const std::vector<std::string>& dims) {
  auto* tensor = info->mutable_type()->mutable_tensor_type();
  tensor->set_elem_type(static_cast<int32_t>(dtype));
  tensor->mutable_shape();
  for (const std::string& dim : dims) {
    auto* to = tensor->mutable_shape()->add_dim();
    const bool number = !dim.empty() && dim.find_first_not_of("-0123456789") == dim.npos;
    if (number) {
      to->set_dim_value(std::stoll(dim));
    } else if (!dim.empty()) {
      to->set_dim_param(dim);
    }
  }
}

template <typename T>
std::string Raw(const std::vector<T>& values) {
  std::string raw(values.size() * sizeof(T), '\0');
  if (!values.empty()) std::memcpy(raw.data(), values.data(), raw.size());
  return raw;
}

void SetAttr(onnx::AttributeProto* to, const OnnxBuilder::AttrValue& value) {
  if (const auto* i = std::get_if<int64_t>(&value)) {
    to->set_type(onnx::AttributeProto::INT);
    to->set_i(*i);
  } else if (const auto* f = std::get_if<float>(&value)) {
    to->set_type(onnx::AttributeProto::FLOAT);
    to->set_f(*f);
  } else if (const auto* s = std::get_if<std::string>(&value)) {
    to->set_type(onnx::AttributeProto::STRING);
    to->set_s(*s);
  } else if (const auto* ints = std::get_if<std::vector<int64_t>>(&value)) {
    to->set_type(onnx::AttributeProto::INTS);
    for (int64_t one : *ints) to->add_ints(one);
  } else if (const auto* floats = std::get_if<std::vector<float>>(&value)) {
    to->set_type(onnx::AttributeProto::FLOATS);
    for (float one : *floats) to->add_floats(one);
  } else if (const auto* tensor = std::get_if<OnnxBuilder::TensorAttr>(&value)) {
    to->set_type(onnx::AttributeProto::TENSOR);
    to->mutable_t()->set_data_type(static_cast<int32_t>(tensor->dtype));
    for (int64_t dim : tensor->dims) to->mutable_t()->add_dims(dim);
    to->mutable_t()->set_raw_data(tensor->raw);
  } else if (const auto* graph = std::get_if<OnnxBuilder::GraphAttr>(&value)) {
    to->set_type(onnx::AttributeProto::GRAPH);
    to->mutable_g()->ParseFromString(graph->graph_bytes);
  }
}

}  // namespace

OnnxBuilder::OnnxBuilder(int64_t opset, int64_t ir_version)
    : model_(std::make_unique<onnx::ModelProto>()) {
  model_->set_ir_version(ir_version);
  model_->set_producer_name("paramd tests");
  model_->mutable_graph()->set_name("test");
  Domain("", opset);
}

OnnxBuilder::~OnnxBuilder() = default;

OnnxBuilder& OnnxBuilder::Name(std::string_view name) {
  model_->mutable_graph()->set_name(std::string(name));
  return *this;
}

OnnxBuilder& OnnxBuilder::Domain(std::string_view domain, int64_t version) {
  auto* import = model_->add_opset_import();
  import->set_domain(std::string(domain));
  import->set_version(version);
  return *this;
}

OnnxBuilder& OnnxBuilder::Metadata(std::string_view key, std::string_view value) {
  auto* entry = model_->add_metadata_props();
  entry->set_key(std::string(key));
  entry->set_value(std::string(value));
  return *this;
}

OnnxBuilder& OnnxBuilder::Function(std::string_view name) {
  model_->add_functions()->set_name(std::string(name));
  return *this;
}

OnnxBuilder& OnnxBuilder::FunctionNode(std::string_view op, const std::vector<std::string>& inputs,
                                       const std::vector<std::string>& outputs,
                                       std::string_view domain) {
  onnx::FunctionProto& function = *model_->mutable_functions(model_->functions_size() - 1);
  if (function.node_size() == 0) {
    function.set_domain("local");
    for (const std::string& name : inputs) {
      const auto& there = function.input();
      if (std::find(there.begin(), there.end(), name) == there.end()) function.add_input(name);
    }
    auto* import = function.add_opset_import();
    import->set_version(17);
  }
  function.clear_output();
  for (const std::string& name : outputs) function.add_output(name);
  onnx::NodeProto* node = function.add_node();
  node->set_op_type(std::string(op));
  node->set_domain(std::string(domain));
  for (const std::string& name : inputs) node->add_input(name);
  for (const std::string& name : outputs) node->add_output(name);
  return *this;
}

OnnxBuilder& OnnxBuilder::Input(std::string_view name, DType dtype,
                                const std::vector<std::string>& dims) {
  auto* info = model_->mutable_graph()->add_input();
  info->set_name(std::string(name));
  SetType(info, dtype, dims);
  return *this;
}

OnnxBuilder& OnnxBuilder::Output(std::string_view name, DType dtype,
                                 const std::vector<std::string>& dims) {
  auto* info = model_->mutable_graph()->add_output();
  info->set_name(std::string(name));
  SetType(info, dtype, dims);
  return *this;
}

OnnxBuilder& OnnxBuilder::Output(std::string_view name) {
  model_->mutable_graph()->add_output()->set_name(std::string(name));
  return *this;
}

OnnxBuilder& OnnxBuilder::Floats(std::string_view name, const std::vector<int64_t>& dims,
                                 const std::vector<float>& values) {
  return RawTensor(name, static_cast<int32_t>(DType::kF32), dims, Raw(values));
}

OnnxBuilder& OnnxBuilder::Ints(std::string_view name, const std::vector<int64_t>& dims,
                               const std::vector<int64_t>& values) {
  return RawTensor(name, static_cast<int32_t>(DType::kI64), dims, Raw(values));
}

OnnxBuilder& OnnxBuilder::RandomFloats(std::string_view name, const std::vector<int64_t>& dims,
                                       uint32_t seed, float scale) {
  size_t count = 1;
  for (int64_t dim : dims) count *= static_cast<size_t>(dim);
  std::mt19937 random(seed);
  std::vector<float> values(count);
  for (float& value : values) {
    // Not uniform_real_distribution: its results differ between libraries.
    value = scale * (static_cast<float>(random()) / 2147483648.0f - 1.0f);
  }
  return Floats(name, dims, values);
}

OnnxBuilder& OnnxBuilder::RawTensor(std::string_view name, int32_t dtype_number,
                                    const std::vector<int64_t>& dims, std::string_view raw) {
  auto* tensor = model_->mutable_graph()->add_initializer();
  tensor->set_name(std::string(name));
  tensor->set_data_type(dtype_number);
  for (int64_t dim : dims) tensor->add_dims(dim);
  tensor->set_raw_data(std::string(raw));
  return *this;
}

OnnxBuilder& OnnxBuilder::Node(std::string_view op, const std::vector<std::string>& inputs,
                               const std::vector<std::string>& outputs, const Attrs& attrs,
                               std::string_view domain) {
  auto* node = model_->mutable_graph()->add_node();
  node->set_op_type(std::string(op));
  node->set_domain(std::string(domain));
  if (!outputs.empty()) node->set_name(outputs[0]);
  for (const std::string& name : inputs) node->add_input(name);
  for (const std::string& name : outputs) node->add_output(name);
  for (const auto& [name, value] : attrs) {
    auto* to = node->add_attribute();
    to->set_name(name);
    SetAttr(to, value);
  }
  return *this;
}

std::string OnnxBuilder::Build() const { return model_->SerializeAsString(); }

OnnxBuilder::GraphAttr OnnxBuilder::BuildGraph() const {
  return {model_->graph().SerializeAsString()};
}

}  // namespace paramd
