// OnnxBuilder: tiny ONNX models for tests, written in a few lines:
//
//   const std::string bytes = OnnxBuilder()
//       .Input("x", DType::kF32, {"N", "2"})
//       .Floats("w", {2, 1}, {3, 4})
//       .Node("MatMul", {"x", "w"}, {"y"})
//       .Output("y", DType::kF32, {"N", "1"})
//       .Build();
//
// It checks nothing: hostile models are made the same way.
//
// Life: a value. Thread-safety: belongs to one thread.
#ifndef PARAMD_TESTS_SUPPORT_ONNX_BUILDER_H_
#define PARAMD_TESTS_SUPPORT_ONNX_BUILDER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "runtime/tensor/dtype.h"

namespace onnx {
class GraphProto;
class ModelProto;
class NodeProto;
}  // namespace onnx

namespace paramd {

class OnnxBuilder {
 public:
  // A tensor as an attribute: raw bytes of any type.
  struct TensorAttr {
    DType dtype = DType::kF32;
    std::vector<int64_t> dims;
    std::string raw;
  };
  // A nested graph: what another builder has.
  struct GraphAttr {
    std::string graph_bytes;
  };
  using AttrValue = std::variant<int64_t, float, std::string, std::vector<int64_t>,
                                 std::vector<float>, TensorAttr, GraphAttr>;
  using Attrs = std::vector<std::pair<std::string, AttrValue>>;

  explicit OnnxBuilder(int64_t opset = 17, int64_t ir_version = 8);
  ~OnnxBuilder();
  OnnxBuilder(const OnnxBuilder&) = delete;
  OnnxBuilder& operator=(const OnnxBuilder&) = delete;

  OnnxBuilder& Name(std::string_view name);
  OnnxBuilder& Domain(std::string_view domain, int64_t version);
  OnnxBuilder& Metadata(std::string_view key, std::string_view value);
  // A local function of this name, empty.
  OnnxBuilder& Function(std::string_view name);
  // A node of the last function, whose domain is "local": the first node's inputs
  // are the function's, the last one's outputs are.
  OnnxBuilder& FunctionNode(std::string_view op, const std::vector<std::string>& inputs,
                            const std::vector<std::string>& outputs, std::string_view domain = "");

  // Dimensions: numbers ("64"), names ("N"), "" for one that is left open.
  OnnxBuilder& Input(std::string_view name, DType dtype, const std::vector<std::string>& dims);
  OnnxBuilder& Output(std::string_view name, DType dtype, const std::vector<std::string>& dims);
  // Without a type.
  OnnxBuilder& Output(std::string_view name);

  OnnxBuilder& Floats(std::string_view name, const std::vector<int64_t>& dims,
                      const std::vector<float>& values);
  OnnxBuilder& Ints(std::string_view name, const std::vector<int64_t>& dims,
                    const std::vector<int64_t>& values);
  // Uniform in [-scale, scale], the same for the same seed.
  OnnxBuilder& RandomFloats(std::string_view name, const std::vector<int64_t>& dims, uint32_t seed,
                            float scale = 1);
  // An initializer exactly as given, whether it makes sense or not.
  OnnxBuilder& RawTensor(std::string_view name, int32_t dtype_number,
                         const std::vector<int64_t>& dims, std::string_view raw);

  // The node is named after its first output.
  OnnxBuilder& Node(std::string_view op, const std::vector<std::string>& inputs,
                    const std::vector<std::string>& outputs, const Attrs& attrs = {},
                    std::string_view domain = "");

  std::string Build() const;
  // The graph alone, for GraphAttr.
  GraphAttr BuildGraph() const;

 private:
  std::unique_ptr<onnx::ModelProto> model_;
};

}  // namespace paramd

#endif  // PARAMD_TESTS_SUPPORT_ONNX_BUILDER_H_
