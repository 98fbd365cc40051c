// GraphMaker: graphs by hand, a line an operator, for tests of what runs them.
// Also what no importer makes yet: subgraphs with captures, sequences.
//
// Life: Take ends it. Thread-safety: one thread.
#ifndef PARAMD_TESTS_SUPPORT_GRAPH_MAKER_H_
#define PARAMD_TESTS_SUPPORT_GRAPH_MAKER_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/log/check.h"
#include "runtime/graph/graph.h"

namespace paramd {

class GraphMaker {
 public:
  explicit GraphMaker(std::string name = "test") : graph_(std::make_unique<Graph>()) {
    graph_->name = std::move(name);
  }

  ValueId Input(std::string name, DType dtype, SymbolicShape shape) {
    const ValueId id = AddValue(std::move(name), dtype, std::move(shape));
    graph_->inputs.push_back(id);
    return id;
  }
  // A value of the outer graph, under the same type.
  ValueId Capture(ValueId outer, DType dtype, SymbolicShape shape) {
    const ValueId id = AddValue("captured" + std::to_string(outer), dtype, std::move(shape));
    graph_->captures.emplace_back(outer, id);
    return id;
  }
  template <typename T>
  ValueId Constant(std::string name, DType dtype, Shape shape, std::vector<T> values,
                   ParameterRole role = ParameterRole::kNone) {
    paramd::Constant constant;
    constant.name = std::move(name);
    constant.dtype = dtype;
    constant.shape = shape;
    constant.role = role;
    constant.source =
        std::make_shared<const Tensor>(Tensor::Of<T>(dtype, std::move(shape), values));
    return graph_->AddConstantValue(std::move(constant));
  }
  ValueId Floats(std::string name, Shape shape, std::vector<float> values) {
    return Constant<float>(std::move(name), DType::kF32, std::move(shape), std::move(values),
                           ParameterRole::kWeight);
  }
  ValueId Ints(std::string name, Shape shape, std::vector<int64_t> values) {
    return Constant<int64_t>(std::move(name), DType::kI64, std::move(shape), std::move(values));
  }

  using Attributes = std::map<std::string, Attribute>;
  // One output of type `dtype`; its shape is left to inference.
  ValueId Op(std::string op, std::vector<ValueId> inputs, Attributes attributes = {},
             DType dtype = DType::kF32) {
    return Ops(std::move(op), std::move(inputs), 1, std::move(attributes), dtype).front();
  }
  std::vector<ValueId> Ops(std::string op, std::vector<ValueId> inputs, size_t outputs,
                           Attributes attributes = {}, DType dtype = DType::kF32) {
    Node node;
    node.name = op + "_" + std::to_string(graph_->nodes().size());
    node.op = std::move(op);
    node.opset = 17;
    node.inputs = std::move(inputs);
    node.attributes = std::move(attributes);
    for (size_t i = 0; i < outputs; ++i) {
      Value value;
      value.name = node.name + ":" + std::to_string(i);
      value.type.dtype = dtype;
      node.outputs.push_back(graph_->AddValue(std::move(value)));
    }
    std::vector<ValueId> made = node.outputs;
    graph_->AddNode(std::move(node));
    return made;
  }
  Graph& graph() { return *graph_; }

  // `types`: declared types of outputs, for those that something must know.
  void Output(ValueId id) { graph_->outputs.push_back(id); }
  void Output(ValueId id, DType dtype, SymbolicShape shape) {
    graph_->value(id).type = {ValueType::Kind::kTensor, dtype, std::move(shape)};
    Output(id);
  }

  // Verified, its subgraphs too.
  std::unique_ptr<Graph> Take() {
    const absl::Status status = Verify(*graph_);
    CHECK(status.ok()) << status;
    return std::move(graph_);
  }
  // For an attribute of another graph's node.
  std::shared_ptr<Graph> TakeSubgraph() { return std::move(graph_); }

 private:
  ValueId AddValue(std::string name, DType dtype, SymbolicShape shape) {
    Value value;
    value.name = std::move(name);
    value.type = {ValueType::Kind::kTensor, dtype, std::move(shape)};
    return graph_->AddValue(std::move(value));
  }

  std::unique_ptr<Graph> graph_;
};

}  // namespace paramd

#endif  // PARAMD_TESTS_SUPPORT_GRAPH_MAKER_H_
