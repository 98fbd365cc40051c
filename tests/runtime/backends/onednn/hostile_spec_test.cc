#include <cstdint>
#include <iostream>
#include <limits>
#include <random>
#include <variant>
#include <vector>

#include "runtime/backends/onednn/onednn_backend.h"
#include "tests/runtime/backends/onednn/op_testing.h"
#include "tests/support/status_testing.h"

namespace paramd {
namespace {

using namespace onednn_testing;  // NOLINT: the test's vocabulary.

// Every number of a spec replaced by values that break naive code.
TEST(OnednnBackend, HostileSpecsGiveAStatus) {
  const uint32_t seed = 20261124;
  std::cout << "seed " << seed << "\n";
  std::mt19937 generator(seed);
  const std::vector<int64_t> values = {-1,
                                       0,
                                       1,
                                       2,
                                       3,
                                       5,
                                       16,
                                       64,
                                       255,
                                       65536,
                                       (int64_t{1} << 31) - 1,
                                       int64_t{1} << 31,
                                       int64_t{1} << 40,
                                       int64_t{1} << 62,
                                       std::numeric_limits<int64_t>::max(),
                                       std::numeric_limits<int64_t>::min()};
  const Shape scalar;
  const auto pick = [&] { return values[generator() % values.size()]; };
  const auto mutate_shape = [&](Shape* shape) {
    switch (generator() % 4) {
      case 0:
        shape->push_back(pick());
        break;
      case 1:
        *shape = scalar;
        break;
      default:
        if (shape->rank() > 0) {
          shape->set_dim(static_cast<int>(generator() % static_cast<uint32_t>(shape->rank())),
                         pick());
        }
    }
  };
  const auto mutate_list = [&](std::vector<int64_t>* list) {
    if (list->empty() || generator() % 4 == 0) {
      list->push_back(pick());
    } else {
      (*list)[generator() % list->size()] = pick();
    }
  };
  const std::vector<OpSpec> originals = OneOfEach();
  int accepted = 0;
  for (int round = 0; round < 6000; ++round) {
    OpSpec spec = originals[generator() % originals.size()];
    const uint32_t mutations = 1 + generator() % 3;
    for (uint32_t m = 0; m < mutations; ++m) {
      switch (generator() % 8) {
        case 0:
        case 1:
          mutate_shape(&spec.inputs[generator() % spec.inputs.size()].shape);
          break;
        case 2:
          mutate_shape(&spec.outputs[0].shape);
          break;
        case 3:
          spec.inputs[generator() % spec.inputs.size()].dtype =
              static_cast<DType>(generator() % 30);
          break;
        case 4:
          spec.post_ops.push_back({.kind = static_cast<PostOp::Kind>(generator() % 2),
                                   .activation = static_cast<ActivationKind>(generator() % 28),
                                   .alpha = static_cast<float>(generator() % 5) - 2,
                                   .operand = static_cast<int>(generator() % 6) - 1});
          break;
        case 5:
          spec.threads = static_cast<int>(pick());
          break;
        case 6:
          spec.inputs[generator() % spec.inputs.size()].kind =
              static_cast<OperandKind>(generator() % 3);
          break;
        default:
          if (auto* conv = std::get_if<ConvParams>(&spec.params)) {
            std::vector<int64_t>* const lists[] = {&conv->strides, &conv->dilations,
                                                   &conv->pads_begin, &conv->pads_end};
            mutate_list(lists[generator() % 4]);
            if (generator() % 3 == 0) conv->groups = pick();
          } else if (auto* pool = std::get_if<PoolParams>(&spec.params)) {
            std::vector<int64_t>* const lists[] = {&pool->kernel, &pool->strides, &pool->dilations,
                                                   &pool->pads_begin, &pool->pads_end};
            mutate_list(lists[generator() % 5]);
          } else if (auto* softmax = std::get_if<SoftmaxParams>(&spec.params)) {
            softmax->axis = static_cast<int>(pick());
            softmax->flattened = generator() % 2 == 0;
          } else if (auto* reduce = std::get_if<ReduceParams>(&spec.params)) {
            reduce->axes.push_back(static_cast<int>(pick()));
          } else if (auto* lrn = std::get_if<LrnParams>(&spec.params)) {
            lrn->size = pick();
          } else if (auto* transpose = std::get_if<TransposeParams>(&spec.params)) {
            transpose->perm[0] = static_cast<int>(pick());
          } else if (auto* concat = std::get_if<ConcatParams>(&spec.params)) {
            concat->axis = static_cast<int>(pick());
          }
      }
    }
    const auto op = OnednnBackend().Compile(spec);
    accepted += op.ok() ? 1 : 0;
  }
  // Some mutations are harmless; most are not.
  EXPECT_GT(accepted, 0);
}

}  // namespace
}  // namespace paramd
