// RunNodeCase: one of ONNX's node tests as the product would run it: through
// the checkpoint reader, the importer and the passes, compiled where the graph
// can be; and on the interpreter without the passes. Both must be right.
//
// Thread-safety: pure functions.
#ifndef PARAMD_TESTS_CONFORMANCE_NODE_TESTS_NODE_RUNNER_H_
#define PARAMD_TESTS_CONFORMANCE_NODE_TESTS_NODE_RUNNER_H_

#include <string>

#include "tests/conformance/node_tests/node_case.h"

namespace paramd {

struct NodeOutcome {
  enum class Kind : unsigned char { kPassed, kRefused, kFailed };
  Kind kind = Kind::kFailed;
  bool compiled = false;
  // The refusal as a user would read it, or what was wrong.
  std::string text;
};

NodeOutcome RunNodeCase(const NodeCase& node_case);

}  // namespace paramd

#endif  // PARAMD_TESTS_CONFORMANCE_NODE_TESTS_NODE_RUNNER_H_
