#include "tests/conformance/node_tests/node_case.h"

#include <onnx/onnx-data_pb.h>
#include <onnx/onnx_pb.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <utility>

#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/graph/onnx_tensor.h"
#include "runtime/graph/tensor_values.h"
#include "runtime/tensor/small_float.h"

namespace paramd {
namespace {

constexpr uint64_t kTensorBytesMax = uint64_t{64} << 20;
// ONNX's runner's own.
constexpr NodeTolerance kTolerance = {1e-3, 1e-7};
// The files' bf16 were cut off where ours are rounded: one step of 8 bits.
constexpr double kBF16Relative = 1.0 / 128;

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream bytes;
  bytes << file.rdbuf();
  if (!file) return absl::NotFoundError(StrCat("cannot read ", path));
  return std::move(bytes).str();
}

template <typename Message>
absl::StatusOr<Message> ReadMessage(const std::string& path) {
  PARAMD_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(path));
  Message message;
  if (!message.ParseFromString(bytes)) {
    return absl::InvalidArgumentError(StrCat(path, " is no such message"));
  }
  return message;
}

// Some files hold the bits of a 16-bit or 8-bit float as the integers that numpy
// had for them; the model says what they are.
RuntimeValue AsDeclared(Tensor tensor, const onnx::TypeProto& type) {
  const auto declared = DTypeFromOnnx(type.tensor_type().elem_type());
  const bool bits = declared.has_value() && *declared != tensor.dtype() && IsFloat(*declared) &&
                    IsInteger(tensor.dtype()) && DTypeBits(*declared) == DTypeBits(tensor.dtype());
  if (!bits) return RuntimeValue::Of(std::move(tensor));
  TensorView view = tensor.view();
  view.dtype = *declared;
  return RuntimeValue::Of(Tensor::CopyOf(view));
}

absl::StatusOr<RuntimeValue> SequenceValue(const onnx::SequenceProto& proto) {
  std::vector<RuntimeValue> elements;
  DType dtype = DType::kF32;
  for (const onnx::TensorProto& tensor : proto.tensor_values()) {
    PARAMD_ASSIGN_OR_RETURN(Tensor element, TensorFromProto(tensor, kTensorBytesMax));
    dtype = element.dtype();
    elements.push_back(RuntimeValue::Of(std::move(element)));
  }
  if (elements.empty() && proto.elem_type() > onnx::SequenceProto::TENSOR) {
    return absl::UnimplementedError("the case holds a sequence of what are not tensors");
  }
  return RuntimeValue::Sequence(dtype, std::move(elements));
}

// A file says by the model's type alone what message it holds.
absl::StatusOr<RuntimeValue> ReadValue(const std::string& path, const onnx::TypeProto& type) {
  // A sequence of maps is served as the tensor that it was made of.
  if (type.has_sequence_type() && !type.sequence_type().elem_type().has_map_type()) {
    PARAMD_ASSIGN_OR_RETURN(const auto proto, ReadMessage<onnx::SequenceProto>(path));
    return SequenceValue(proto);
  }
  if (type.has_optional_type()) {
    PARAMD_ASSIGN_OR_RETURN(const auto proto, ReadMessage<onnx::OptionalProto>(path));
    if (proto.has_tensor_value()) {
      PARAMD_ASSIGN_OR_RETURN(Tensor tensor,
                              TensorFromProto(proto.tensor_value(), kTensorBytesMax));
      return RuntimeValue::Of(std::move(tensor));
    }
    return proto.has_sequence_value() ? SequenceValue(proto.sequence_value()) : RuntimeValue();
  }
  PARAMD_ASSIGN_OR_RETURN(const auto proto, ReadMessage<onnx::TensorProto>(path));
  PARAMD_ASSIGN_OR_RETURN(Tensor tensor, TensorFromProto(proto, kTensorBytesMax));
  return AsDeclared(std::move(tensor), type);
}

void CollectOperators(const onnx::GraphProto& graph, std::set<std::string>* operators) {
  for (const onnx::NodeProto& node : graph.node()) {
    const bool own = node.domain().empty() || node.domain() == "ai.onnx";
    operators->insert(own ? node.op_type() : StrCat(node.domain(), ".", node.op_type()));
    for (const onnx::AttributeProto& attribute : node.attribute()) {
      if (attribute.has_g()) CollectOperators(attribute.g(), operators);
    }
  }
}

std::string Text(const RuntimeValue& value) {
  if (value.absent()) return "nothing";
  if (value.is_sequence()) return StrCat("a sequence of ", value.elements().size());
  return StrCat(DTypeName(value.dtype()), value.shape().ToString());
}

bool Close(double got, double want, const NodeTolerance& tolerance = kTolerance) {
  if (std::isnan(want) || std::isnan(got)) return std::isnan(want) && std::isnan(got);
  if (std::isinf(want) || std::isinf(got)) return want == got;
  return std::abs(got - want) <= tolerance.absolute + tolerance.relative * std::abs(want);
}

}  // namespace

absl::StatusOr<std::vector<std::string>> ListNodeCases(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    if (std::filesystem::exists(entry.path() / "model.onnx")) {
      names.push_back(entry.path().filename().string());
    }
  }
  if (error || names.empty()) return absl::NotFoundError(StrCat("no cases in ", folder));
  std::sort(names.begin(), names.end());
  return names;
}

absl::StatusOr<NodeCase> ReadNodeCase(const std::string& folder, const std::string& name) {
  NodeCase result;
  result.name = name;
  const std::string here = StrCat(folder, "/", name);
  result.model_path = StrCat(here, "/model.onnx");
  PARAMD_ASSIGN_OR_RETURN(const auto model, ReadMessage<onnx::ModelProto>(result.model_path));
  std::set<std::string> operators;
  CollectOperators(model.graph(), &operators);
  result.operators.assign(operators.begin(), operators.end());
  result.nodes = model.graph().node_size();
  for (int set = 0;; ++set) {
    const std::string data = StrCat(here, "/test_data_set_", set);
    if (!std::filesystem::exists(data)) break;
    NodeCase::Data one;
    for (int i = 0; i < model.graph().input_size(); ++i) {
      PARAMD_ASSIGN_OR_RETURN(RuntimeValue value, ReadValue(StrCat(data, "/input_", i, ".pb"),
                                                            model.graph().input(i).type()));
      one.inputs.push_back(std::move(value));
    }
    for (int i = 0; i < model.graph().output_size(); ++i) {
      PARAMD_ASSIGN_OR_RETURN(RuntimeValue value, ReadValue(StrCat(data, "/output_", i, ".pb"),
                                                            model.graph().output(i).type()));
      one.outputs.push_back(std::move(value));
    }
    result.data.push_back(std::move(one));
  }
  return result;
}

NodeTolerance ToleranceOf(const std::string& name) {
  // oneDNN's softplus and logarithm are exact to 1e-6 of 1, not of their result.
  // Whole models against onnxruntime: sums in another order, layer after layer.
  if (name.starts_with("model_")) return {2e-3, 2e-4};
  if (name.starts_with("test_mish")) return {1e-3, 1e-5};
  // Zeros, of which the file keeps what its own transform in f32 left.
  if (name.starts_with("test_dft_inverse")) return {1e-3, 1e-6};
  return kTolerance;
}

std::string_view DisputedBecause(const std::string& name) {
  if (name.starts_with("test_qlinearmatmul_") && name.find("_int8_") != name.npos) {
    return "the file's i8 results wrap around where QLinearMatMul is defined to saturate";
  }
  constexpr std::string_view kRandom = "random numbers: the file's are numpy's";
  if (name.starts_with("test_bernoulli")) return kRandom;
  if (name.starts_with("test_training_dropout") && name.find("zero_ratio") == name.npos) {
    return kRandom;
  }
  if (name.starts_with("test_averagepool_3d_dilations_large_count_include_pad_is_1_ceil_mode")) {
    return "the file's averages divide by cells beyond the padding, which onnxruntime's do not";
  }
  return {};
}

std::string Difference(const RuntimeValue& got, const RuntimeValue& want,
                       const NodeTolerance& tolerance) {
  if (got.kind() != want.kind()) return StrCat("is ", Text(got), ", expected ", Text(want));
  if (want.absent()) return {};
  if (want.is_sequence()) {
    if (got.elements().size() != want.elements().size()) {
      return StrCat("is ", Text(got), ", expected ", Text(want));
    }
    for (size_t i = 0; i < want.elements().size(); ++i) {
      const std::string text = Difference(got.elements()[i], want.elements()[i], tolerance);
      if (!text.empty()) return StrCat("element ", i, " ", text);
    }
    return {};
  }
  if (got.dtype() != want.dtype() || got.shape() != want.shape()) {
    return StrCat("is ", Text(got), ", expected ", Text(want));
  }
  if (want.dtype() == DType::kString) {
    const auto a = got.view().as<std::string>(), b = want.view().as<std::string>();
    for (size_t i = 0; i < b.size(); ++i) {
      if (a[i] != b[i]) return StrCat("[", i, "] is '", a[i], "', expected '", b[i], "'");
    }
    return {};
  }
  if (const auto b = IntValues(want.view()); b.has_value()) {
    const auto a = IntValues(got.view());
    for (size_t i = 0; i < b->size(); ++i) {
      const bool boolean = want.dtype() == DType::kBool;
      const bool same = boolean ? ((*a)[i] != 0) == ((*b)[i] != 0) : (*a)[i] == (*b)[i];
      if (!same) return StrCat("[", i, "] is ", (*a)[i], ", expected ", (*b)[i]);
    }
    return {};
  }
  if (const auto b = FloatValues(want.view()); b.has_value()) {
    const auto a = FloatValues(got.view());
    NodeTolerance here = tolerance;
    if (want.dtype() == DType::kBF16) here.relative = std::max(here.relative, kBF16Relative);
    for (size_t i = 0; i < b->size(); ++i) {
      if (!Close((*a)[i], (*b)[i], here)) {
        return StrCat("[", i, "] is ", (*a)[i], ", expected ", (*b)[i]);
      }
    }
    return {};
  }
  if (IsFloat(want.dtype()) && DTypeBits(want.dtype()) == 8) {
    const auto* a = static_cast<const uint8_t*>(got.view().data);
    const auto* b = static_cast<const uint8_t*>(want.view().data);
    for (int64_t i = 0; i < want.shape().elements(); ++i) {
      // One NaN is as good as another.
      if (!Close(SmallFloatToFloat(want.dtype(), a[i]), SmallFloatToFloat(want.dtype(), b[i]))) {
        return StrCat("[", i, "] is ", a[i], ", expected ", b[i]);
      }
    }
    return {};
  }
  const bool same = std::memcmp(got.view().data, want.view().data, want.view().bytes()) == 0;
  return same ? std::string() : StrCat("has other bytes than expected of ", Text(want));
}

}  // namespace paramd
