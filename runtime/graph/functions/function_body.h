// FunctionBody: builds the definition of one node by other operators, as an
// ONNX function: nodes and constants that refer to the node's inputs.
//
// Life: made for one node, filled by a row of own_functions.h, taken by Build.
// Thread-safety: belongs to one thread.
#ifndef PARAMD_RUNTIME_GRAPH_FUNCTIONS_FUNCTION_BODY_H_
#define PARAMD_RUNTIME_GRAPH_FUNCTIONS_FUNCTION_BODY_H_

#include <onnx/defs/attr_proto_util.h>
#include <onnx/onnx_pb.h>

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/tensor/tensor_view.h"

namespace paramd {

// What the importer knows beside the node.
struct FunctionSurroundings {
  // The type of a value as libonnx infers it; empty where it does not know.
  std::function<onnx::TypeProto(const std::string&)> type_of;
  // The data of a tensor that is an attribute, wherever the file keeps it.
  std::function<absl::StatusOr<Tensor>(const onnx::TensorProto&)> read;
};

class FunctionBody {
 public:
  using Attributes = std::vector<onnx::AttributeProto>;
  using Inputs = std::vector<std::string>;

  // Borrows both.
  FunctionBody(const onnx::NodeProto& node, const FunctionSurroundings& surroundings);

  // --- The node that is defined ---
  const std::string& op() const { return node_.op_type(); }
  bool Has(int input) const;
  // The name of an input in the body; empty where the node leaves it out.
  std::string In(int input) const;
  int inputs() const { return node_.input_size(); }
  bool Wants(int output) const;
  // What is known of an input's type: kUndefined, and a rank of -1, where nothing is.
  DType TypeOf(int input) const;
  int RankOf(int input) const;
  // -1 where it is not known.
  int64_t DimOf(int input, int dim) const;

  const onnx::AttributeProto* Find(std::string_view name) const;
  int64_t GetInt(std::string_view name, int64_t otherwise) const;
  float GetFloat(std::string_view name, float otherwise) const;
  std::string GetString(std::string_view name, std::string_view otherwise) const;
  std::vector<int64_t> GetInts(std::string_view name) const;
  std::vector<float> GetFloats(std::string_view name) const;
  std::vector<std::string> GetStrings(std::string_view name) const;
  // All of them but those named.
  Attributes AttributesBut(std::initializer_list<std::string_view> names) const;
  // The data of a tensor attribute; one without a type where there is none.
  absl::StatusOr<Tensor> GetTensor(std::string_view name) const;

  // --- Its definition ---
  // Each gives the name of what it makes.
  std::string Add(std::string_view op, Inputs inputs, Attributes attributes = {},
                  std::string_view domain = "");
  std::vector<std::string> AddMany(std::string_view op, Inputs inputs, int outputs,
                                   Attributes attributes = {}, std::string_view domain = "");
  std::string Cast(std::string input, DType to);

  std::string Constant(onnx::TensorProto tensor, std::string_view name = "constant");
  // A vector, or of `dims` where they are given. The name is what model info shows.
  std::string Floats(const std::vector<float>& values, std::vector<int64_t> dims = {},
                     std::string_view name = "constant");
  std::string Ints(const std::vector<int64_t>& values, std::vector<int64_t> dims = {});
  std::string Int32s(const std::vector<int32_t>& values, std::vector<int64_t> dims = {});
  std::string Strings(const std::vector<std::string>& values);
  std::string Of(const Tensor& tensor);
  std::string Scalar(float value);
  // The same number in the type of the value `like`.
  std::string ScalarLike(float value, const std::string& like);

  // Output i of the node is `value`. One that is never set cannot be asked for.
  void Output(int i, std::string value);

  // InvalidArgument where the node asks for an output that no row has set.
  absl::StatusOr<onnx::FunctionProto> Build() &&;

 private:
  const onnx::NodeProto& node_;
  const FunctionSurroundings& surroundings_;
  onnx::FunctionProto body_;
  std::vector<std::string> outputs_;
  int made_ = 0;
};

// An attribute of a node in a body. (libonnx's maker is overloaded on exact types.)
inline onnx::AttributeProto IntAttribute(const std::string& name, int64_t value) {
  return onnx::MakeAttribute(name, value);
}
inline onnx::AttributeProto FloatAttribute(const std::string& name, float value) {
  return onnx::MakeAttribute(name, value);
}
inline onnx::AttributeProto IntsAttribute(const std::string& name,
                                          const std::vector<int64_t>& values) {
  return onnx::MakeAttribute(name, values);
}
inline onnx::AttributeProto StringAttribute(const std::string& name, const std::string& value) {
  return onnx::MakeAttribute(name, value);
}

}  // namespace paramd

#endif  // PARAMD_RUNTIME_GRAPH_FUNCTIONS_FUNCTION_BODY_H_
