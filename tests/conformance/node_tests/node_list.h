// NodeList: what is known of each of ONNX's node tests, as the repository keeps
// it (onnx_node_tests.txt), and the table of operators made from it.
//
// Life: a value. Thread-safety: pure functions.
#ifndef PARAMD_TESTS_CONFORMANCE_NODE_TESTS_NODE_LIST_H_
#define PARAMD_TESTS_CONFORMANCE_NODE_TESTS_NODE_LIST_H_

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "tests/conformance/node_tests/node_runner.h"

namespace paramd {

struct NodeListEntry {
  bool passed = false;
  // Answers otherwise than the case's data, which contradict ONNX's definition.
  bool disputed = false;
  std::string refusal;  // Or what is disputed.
};
using NodeList = std::map<std::string, NodeListEntry>;

absl::StatusOr<NodeList> ParseNodeList(std::string_view text);
std::string ToText(const NodeList& list);

// One line a case that is not as the list says; a passed one that the list
// refuses is among them, for the list must say what works.
std::vector<std::string> Differences(const NodeList& kept, const NodeList& found);

// The case's own operator: that of its one node, or for an expansion that of
// the case that it expands.
using OperatorOfCase = std::map<std::string, std::string>;

// runtime/graph/OPERATORS.md.
std::string OperatorTable(const NodeList& list, const OperatorOfCase& operators);

}  // namespace paramd

#endif  // PARAMD_TESTS_CONFORMANCE_NODE_TESTS_NODE_LIST_H_
