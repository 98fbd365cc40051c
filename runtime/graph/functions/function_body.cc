#include "runtime/graph/functions/function_body.h"

#include <algorithm>
#include <utility>

#include "runtime/base/strings.h"
#include "runtime/graph/ops/op_table.h"

namespace paramd {
namespace {

void SetDims(const std::vector<int64_t>& dims, size_t count, onnx::TensorProto& tensor) {
  if (dims.empty()) {
    tensor.add_dims(static_cast<int64_t>(count));
    return;
  }
  for (const int64_t dim : dims) tensor.add_dims(dim);
}

}  // namespace

FunctionBody::FunctionBody(const onnx::NodeProto& node, const FunctionSurroundings& surroundings)
    : node_(node), surroundings_(surroundings) {
  body_.set_name(node.op_type());
  onnx::OperatorSetIdProto* standard = body_.add_opset_import();
  standard->set_version(kOpsetMax);
  onnx::OperatorSetIdProto* internal = body_.add_opset_import();
  internal->set_domain(std::string(kInternalDomain));
  internal->set_version(1);
  for (int i = 0; i < node.input_size(); ++i) body_.add_input(StrCat("in", i));
}

bool FunctionBody::Has(int input) const {
  return input < node_.input_size() && !node_.input(input).empty();
}

std::string FunctionBody::In(int input) const {
  return Has(input) ? StrCat("in", input) : std::string();
}

bool FunctionBody::Wants(int output) const {
  return output < node_.output_size() && !node_.output(output).empty();
}

DType FunctionBody::TypeOf(int input) const {
  if (!Has(input)) return DType::kUndefined;
  const onnx::TypeProto type = surroundings_.type_of(node_.input(input));
  return DTypeFromOnnx(type.tensor_type().elem_type()).value_or(DType::kUndefined);
}

int FunctionBody::RankOf(int input) const {
  if (!Has(input)) return -1;
  const onnx::TypeProto type = surroundings_.type_of(node_.input(input));
  return type.tensor_type().has_shape() ? type.tensor_type().shape().dim_size() : -1;
}

int64_t FunctionBody::DimOf(int input, int dim) const {
  if (RankOf(input) <= dim) return -1;
  const onnx::TypeProto type = surroundings_.type_of(node_.input(input));
  const auto& held = type.tensor_type().shape().dim(dim);
  return held.has_dim_value() ? held.dim_value() : -1;
}

const onnx::AttributeProto* FunctionBody::Find(std::string_view name) const {
  for (const onnx::AttributeProto& attribute : node_.attribute()) {
    if (attribute.name() == name) return &attribute;
  }
  return nullptr;
}

int64_t FunctionBody::GetInt(std::string_view name, int64_t otherwise) const {
  const auto* found = Find(name);
  return found == nullptr ? otherwise : found->i();
}

float FunctionBody::GetFloat(std::string_view name, float otherwise) const {
  const auto* found = Find(name);
  return found == nullptr ? otherwise : found->f();
}

std::string FunctionBody::GetString(std::string_view name, std::string_view otherwise) const {
  const auto* found = Find(name);
  return found == nullptr ? std::string(otherwise) : found->s();
}

std::vector<int64_t> FunctionBody::GetInts(std::string_view name) const {
  const auto* found = Find(name);
  if (found == nullptr) return {};
  return {found->ints().begin(), found->ints().end()};
}

std::vector<float> FunctionBody::GetFloats(std::string_view name) const {
  const auto* found = Find(name);
  if (found == nullptr) return {};
  return {found->floats().begin(), found->floats().end()};
}

std::vector<std::string> FunctionBody::GetStrings(std::string_view name) const {
  const auto* found = Find(name);
  if (found == nullptr) return {};
  return {found->strings().begin(), found->strings().end()};
}

FunctionBody::Attributes FunctionBody::AttributesBut(
    std::initializer_list<std::string_view> names) const {
  Attributes attributes;
  for (const onnx::AttributeProto& attribute : node_.attribute()) {
    if (std::find(names.begin(), names.end(), attribute.name()) == names.end()) {
      attributes.push_back(attribute);
    }
  }
  return attributes;
}

absl::StatusOr<Tensor> FunctionBody::GetTensor(std::string_view name) const {
  const auto* found = Find(name);
  if (found == nullptr || !found->has_t()) return Tensor(DType::kUndefined, Shape{0});
  return surroundings_.read(found->t());
}

std::string FunctionBody::Add(std::string_view op, Inputs inputs, Attributes attributes,
                              std::string_view domain) {
  return AddMany(op, std::move(inputs), 1, std::move(attributes), domain).front();
}

std::vector<std::string> FunctionBody::AddMany(std::string_view op, Inputs inputs, int outputs,
                                               Attributes attributes, std::string_view domain) {
  onnx::NodeProto* node = body_.add_node();
  node->set_op_type(std::string(op));
  node->set_domain(std::string(domain));
  node->set_name(StrCat(op, made_));
  for (std::string& input : inputs) *node->add_input() = std::move(input);
  for (onnx::AttributeProto& attribute : attributes) {
    *node->add_attribute() = std::move(attribute);
  }
  std::vector<std::string> names;
  for (int i = 0; i < outputs; ++i) {
    names.push_back(StrCat("v", made_++));
    node->add_output(names.back());
  }
  return names;
}

std::string FunctionBody::Cast(std::string input, DType to) {
  return Add("Cast", {std::move(input)}, {IntAttribute("to", static_cast<int64_t>(to))});
}

std::string FunctionBody::Constant(onnx::TensorProto tensor, std::string_view name) {
  onnx::NodeProto* node = body_.add_node();
  node->set_op_type("Constant");
  node->set_name(StrCat("Constant", made_));
  *node->add_attribute() = onnx::MakeAttribute("value", tensor);
  node->add_output(name == "constant" ? StrCat(name, made_) : std::string(name));
  ++made_;
  return node->output(0);
}

std::string FunctionBody::Floats(const std::vector<float>& values, std::vector<int64_t> dims,
                                 std::string_view name) {
  onnx::TensorProto tensor;
  tensor.set_data_type(onnx::TensorProto::FLOAT);
  SetDims(dims, values.size(), tensor);
  tensor.mutable_float_data()->Add(values.begin(), values.end());
  return Constant(std::move(tensor), name);
}

std::string FunctionBody::Ints(const std::vector<int64_t>& values, std::vector<int64_t> dims) {
  onnx::TensorProto tensor;
  tensor.set_data_type(onnx::TensorProto::INT64);
  SetDims(dims, values.size(), tensor);
  tensor.mutable_int64_data()->Add(values.begin(), values.end());
  return Constant(std::move(tensor));
}

std::string FunctionBody::Int32s(const std::vector<int32_t>& values, std::vector<int64_t> dims) {
  onnx::TensorProto tensor;
  tensor.set_data_type(onnx::TensorProto::INT32);
  SetDims(dims, values.size(), tensor);
  tensor.mutable_int32_data()->Add(values.begin(), values.end());
  return Constant(std::move(tensor));
}

std::string FunctionBody::Strings(const std::vector<std::string>& values) {
  onnx::TensorProto tensor;
  tensor.set_data_type(onnx::TensorProto::STRING);
  tensor.add_dims(static_cast<int64_t>(values.size()));
  for (const std::string& value : values) tensor.add_string_data(value);
  return Constant(std::move(tensor));
}

std::string FunctionBody::Of(const Tensor& held) {
  onnx::TensorProto tensor;
  tensor.set_data_type(static_cast<int32_t>(held.dtype()));
  for (const int64_t dim : held.shape().dims()) tensor.add_dims(dim);
  const TensorView view = held.view();
  if (held.dtype() == DType::kString) {
    for (const std::string& text : view.as<std::string>()) tensor.add_string_data(text);
  } else {
    tensor.set_raw_data(view.data, view.bytes());
  }
  return Constant(std::move(tensor));
}

std::string FunctionBody::Scalar(float value) {
  onnx::TensorProto tensor;
  tensor.set_data_type(onnx::TensorProto::FLOAT);
  tensor.add_float_data(value);
  return Constant(std::move(tensor));
}

std::string FunctionBody::ScalarLike(float value, const std::string& like) {
  return Add("CastLike", {Scalar(value), like});
}

void FunctionBody::Output(int i, std::string value) {
  if (outputs_.size() <= static_cast<size_t>(i)) outputs_.resize(static_cast<size_t>(i) + 1);
  outputs_[static_cast<size_t>(i)] = std::move(value);
}

absl::StatusOr<onnx::FunctionProto> FunctionBody::Build() && {
  for (int i = 0; i < node_.output_size(); ++i) {
    const bool set =
        static_cast<size_t>(i) < outputs_.size() && !outputs_[static_cast<size_t>(i)].empty();
    if (Wants(i) && !set) {
      return absl::UnimplementedError(StrCat("output ", i, " is not supported"));
    }
  }
  for (size_t i = 0; i < outputs_.size(); ++i) {
    // An output that is not asked for still needs a name of its own.
    body_.add_output(outputs_[i].empty() ? StrCat("none", i) : outputs_[i]);
  }
  return std::move(body_);
}

}  // namespace paramd
