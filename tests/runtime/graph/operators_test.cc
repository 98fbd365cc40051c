// Operators that the reference alone runs, on what a hostile graph or request
// may give them. What they answer to good inputs is ONNX's node tests' to say.
#include <string>
#include <vector>

#include "runtime/backends/backend_list.h"
#include "runtime/graph/interpreter.h"
#include "tests/support/graph_maker.h"
#include "tests/support/status_testing.h"

namespace paramd {
namespace {

using ::testing::HasSubstr;
using Ints = std::vector<int64_t>;
using Floats = std::vector<float>;

struct Hostile {
  const char* name;
  const char* op;
  GraphMaker::Attributes attributes;
  // Constants in order; an empty dims list is a scalar.
  std::vector<std::pair<Ints, Floats>> floats;
  std::vector<std::pair<Ints, Ints>> ints;  // After the floats.
  const char* message;
};

const Hostile kHostile[] = {
    {"gather_elements_outside",
     "GatherElements",
     {},
     {{{3}, {1, 2, 3}}},
     {{{2}, {0, 3}}},
     "outside"},
    {"gather_elements_beyond",
     "GatherElements",
     {{"axis", int64_t{0}}},
     {{{2, 2}, {1, 2, 3, 4}}},
     {{{1, 3}, {0, 0, 0}}},
     "reach beyond"},
    {"gather_elements_ranks",
     "GatherElements",
     {},
     {{{3}, {1, 2, 3}}},
     {{{1, 1}, {0}}},
     "ranks differ"},
    {"gather_nd_outside", "GatherND", {}, {{{2, 2}, {1, 2, 3, 4}}}, {{{1, 2}, {0, 2}}}, "outside"},
    {"gather_nd_deeper", "GatherND", {}, {{{2}, {1, 2}}}, {{{1, 2}, {0, 0}}}, "do not fit"},
    {"top_more_than_there_are", "TopK", {}, {{{3}, {1, 2, 3}}}, {{{1}, {4}}}, "k is 4 of 3"},
    {"tile_beyond_memory",
     "Tile",
     {},
     {{{4}, {1, 2, 3, 4}}},
     {{{1}, {int64_t{1} << 40}}},
     "larger than"},
    {"tile_a_negative_time", "Tile", {}, {{{1}, {1}}}, {{{1}, {-1}}}, "repeats -1"},
    {"running_sum_of_no_axis", "CumSum", {}, {{{3}, {1, 2, 3}}}, {{{}, {5}}}, "axis 5 is outside"},
    {"matrix_of_another_shape", "Det", {}, {{{2, 3}, {1, 2, 3, 4, 5, 6}}}, {}, "must be equal"},
    {"sum_of_no_such_label",
     "Einsum",
     {{"equation", std::string("ij->ijk")}},
     {{{1, 1}, {1}}},
     {},
     "no operand has"},
    {"sum_of_other_ranks",
     "Einsum",
     {{"equation", std::string("i->i")}},
     {{{1, 1}, {1}}},
     {},
     "does not fit"},
    {"blocks_that_do_not_divide",
     "DepthToSpace",
     {{"blocksize", int64_t{2}}},
     {{{1, 3, 1, 1}, {1, 2, 3}}},
     {},
     "no multiple of 4"},
    {"hidden_size_that_contradicts",
     "RNN",
     {{"hidden_size", int64_t{3}}},
     {{{1, 1, 1}, {1}}, {{1, 1, 1}, {1}}, {{1, 1, 1}, {1}}},
     {},
     "contradicts"},
    {"signal_of_no_parts",
     "DFT",
     {{"axis", int64_t{1}}},
     {{{1, 2}, {1, 2}}},
     {},
     "real and imaginary"},
};

class HostileOperator : public ::testing::TestWithParam<Hostile> {};

TEST_P(HostileOperator, IsRefusedWithAReason) {
  const Hostile& hostile = GetParam();
  GraphMaker graph;
  std::vector<ValueId> inputs;
  for (const auto& [dims, values] : hostile.floats) {
    inputs.push_back(graph.Floats("f" + std::to_string(inputs.size()), Shape(dims), values));
  }
  for (const auto& [dims, values] : hostile.ints) {
    inputs.push_back(graph.Ints("i" + std::to_string(inputs.size()), Shape(dims), values));
  }
  graph.Output(graph.Op(hostile.op, inputs, hostile.attributes));
  const std::unique_ptr<Graph> made = graph.Take();
  Interpreter interpreter({.backends = AllBackends()});
  const auto result = interpreter.Run(*made, {});
  EXPECT_FALSE(result.ok());
  EXPECT_FALSE(absl::IsInternal(result.status())) << result.status();
  EXPECT_THAT(std::string(result.status().message()), HasSubstr(hostile.message));
}

INSTANTIATE_TEST_SUITE_P(Operators, HostileOperator, ::testing::ValuesIn(kHostile),
                         [](const auto& param) { return std::string(param.param.name); });

}  // namespace
}  // namespace paramd
