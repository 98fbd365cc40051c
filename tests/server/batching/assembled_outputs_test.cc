#include "server/batching/assembled_outputs.h"

#include <thread>
#include <utility>
#include <vector>

#include "tests/support/status_testing.h"

namespace paramd {
namespace {

using ::testing::ElementsAre;

Tensor Floats(Shape shape, std::vector<float> values) {
  return Tensor::Of<float>(DType::kF32, std::move(shape), values);
}
TensorView View(const Tensor& tensor) { return tensor.view(); }

TEST(AssembledOutputs, PutsRowsWhereTheyBelongInAnyOrder) {
  AssembledOutputs assembled;
  const Tensor tail = Floats({1, 2}, {5, 6});
  const Tensor head = Floats({2, 2}, {1, 2, 3, 4});
  ASSERT_OK(assembled.Store({View(tail)}, 2, 3));
  ASSERT_OK(assembled.Store({View(head)}, 0, 3));
  EXPECT_THAT(assembled.outputs()[0].view().as<float>(), ElementsAre(1, 2, 3, 4, 5, 6));
}

TEST(AssembledOutputs, TakesRowsOfALargerBatch) {
  const Tensor batch = Floats({3, 2}, {1, 2, 3, 4, 5, 6});
  const TensorView rows = RowsOf(View(batch), 1, 2);
  EXPECT_EQ(rows.shape, (Shape{2, 2}));
  EXPECT_THAT(rows.as<float>(), ElementsAre(3, 4, 5, 6));
}

TEST(AssembledOutputs, RefusesPartsThatDoNotFitTogether) {
  AssembledOutputs assembled;
  const Tensor narrow = Floats({1, 2}, {1, 2});
  const Tensor wide = Floats({1, 3}, {1, 2, 3});
  ASSERT_OK(assembled.Store({View(narrow)}, 0, 2));
  EXPECT_THAT(assembled.Store({View(wide)}, 1, 2), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(AssembledOutputs, RefusesAnAnswerThatCannotExist) {
  AssembledOutputs assembled;
  const Tensor part = Floats({1, 2}, {1, 2});
  EXPECT_THAT(assembled.Store({View(part)}, 0, int64_t{1} << 62),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(AssembledOutputs, HoldsStrings) {
  AssembledOutputs assembled;
  Tensor part(DType::kString, Shape{2});
  part.view().as<std::string>()[0] = "a string that is too long for the short form";
  part.view().as<std::string>()[1] = "b";
  ASSERT_OK(assembled.Store({View(part)}, 1, 3));
  ASSERT_OK(assembled.Store({RowsOf(View(part), 1, 1)}, 0, 3));
  EXPECT_THAT(assembled.outputs()[0].view().as<std::string>(),
              ElementsAre("b", "a string that is too long for the short form", "b"));
}

TEST(AssembledOutputs, IsWrittenByManyStreams) {
  constexpr int kStreams = 4;
  AssembledOutputs assembled;
  std::vector<std::thread> streams;
  for (int i = 0; i < kStreams; ++i) {
    streams.emplace_back([&, i] {
      const Tensor part = Floats({1, 2}, {static_cast<float>(i), 1});
      EXPECT_OK(assembled.Store({View(part)}, i, kStreams));
    });
  }
  for (std::thread& stream : streams) stream.join();
  for (int i = 0; i < kStreams; ++i) {
    EXPECT_EQ(assembled.outputs()[0].view().as<float>()[static_cast<size_t>(2 * i)], i);
  }
}

}  // namespace
}  // namespace paramd
