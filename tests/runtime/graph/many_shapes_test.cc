// Shapes that never repeat: what is kept of them is bounded, and so is memory.
#include <malloc.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <vector>

#include "runtime/graph/arena.h"
#include "tests/support/graph_maker.h"
#include "tests/support/graph_program_maker.h"
#include "tests/support/status_testing.h"

namespace paramd {
namespace {

constexpr size_t kProgramsMax = 16;
constexpr int kShapes = 1000;
// Pools that fill up (oneDNN keeps 1,024 primitives) have by then.
constexpr int kWarm = 400;
// What an allocator may leave lying about; a leak of one program a shape is more.
constexpr int64_t kSlackBytes = int64_t{24} << 20;

// A sanitizer's allocator keeps what was given back, to find who still uses it.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

int64_t ResidentBytes() {
  malloc_trim(0);
  int64_t pages = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> pages >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

class ManyShapesTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(store_, ParameterStore::Create({.capacity_bytes = 1 << 28}));
    ASSERT_OK_AND_ASSIGN(arena_, Arena::Create(1 << 28));
  }

  void RunAll(const GraphProgram& program, const std::vector<Shape>& shapes) {
    auto session = program.NewSession(arena_.get());
    int64_t warm = 0;
    for (size_t i = 0; i < shapes.size(); ++i) {
      const std::vector<Shape> one = {shapes[i]};
      ASSERT_OK(program.Compile(one));
      ASSERT_OK(session->Prepare(one)) << shapes[i].ToString();
      const MutableTensorView input = session->input(0);
      std::memset(input.data, 0, input.bytes());
      ASSERT_OK(session->Run());
      if (i + 1 == kWarm) warm = ResidentBytes();
    }
    EXPECT_LE(program.cache().snapshot()->size(), kProgramsMax + 8);
    if (kSanitized) return;
    EXPECT_LE(ResidentBytes() - warm, kSlackBytes)
        << "grew from " << warm << " bytes after " << kWarm << " shapes";
  }

  std::unique_ptr<ParameterStore> store_;
  std::unique_ptr<Arena> arena_;
};

TEST_F(ManyShapesTest, ImagesOfAThousandSizes) {
  GraphMaker maker;
  const ValueId x = maker.Input(
      "x", DType::kF32, {Dim::Named("N"), Dim::Of(3), Dim::Named("H"), Dim::Named("W")});
  const ValueId w1 = maker.Floats("w1", Shape{4, 3, 3, 3}, std::vector<float>(108, 0.1f));
  const ValueId w2 = maker.Floats("w2", Shape{4, 4, 3, 3}, std::vector<float>(144, 0.1f));
  const ValueId a = maker.Op("Relu", {maker.Op("Conv", {x, w1})});
  const ValueId b = maker.Op("Conv", {a, w2});
  maker.Output(maker.Op("GlobalAveragePool", {b}));
  ASSERT_OK_AND_ASSIGN(auto program, MakeGraphProgram(maker.Take(), store_.get(),
                                                      {.programs_max = kProgramsMax}));
  ASSERT_FALSE(program->interpreted());
  std::vector<Shape> shapes;
  for (int i = 0; i < kShapes; ++i) shapes.push_back({1 + i % 4, 3, 8 + i % 25, 8 + i / 25});
  RunAll(*program, shapes);
}

TEST_F(ManyShapesTest, TextsOfAThousandLengths) {
  GraphMaker maker;
  const ValueId x =
      maker.Input("x", DType::kF32, {Dim::Named("N"), Dim::Named("L"), Dim::Of(16)});
  const ValueId w = maker.Floats("w", Shape{16, 16}, std::vector<float>(256, 0.1f));
  const ValueId turned =
      maker.Op("Transpose", {x}, {{"perm", std::vector<int64_t>{0, 2, 1}}});
  const ValueId scores = maker.Op("Softmax", {maker.Op("MatMul", {x, turned})});
  maker.Output(maker.Op("MatMul", {maker.Op("MatMul", {scores, x}), w}));
  ASSERT_OK_AND_ASSIGN(auto program, MakeGraphProgram(maker.Take(), store_.get(),
                                                      {.programs_max = kProgramsMax}));
  ASSERT_FALSE(program->interpreted());
  std::vector<Shape> shapes;
  for (int i = 0; i < kShapes; ++i) shapes.push_back({1 + i % 5, 2 + i / 5, 16});
  RunAll(*program, shapes);
}

TEST_F(ManyShapesTest, InterpretedGraphsToo) {
  GraphMaker maker;
  const ValueId x = maker.Input("x", DType::kF32, {Dim::Named("N"), Dim::Of(4)});
  const ValueId found = maker.Op("NonZero", {maker.Op("Exp", {x})}, {}, DType::kI64);
  maker.Output(maker.Op("Cast", {found}, {{"to", int64_t{1}}}));
  ASSERT_OK_AND_ASSIGN(auto program, MakeGraphProgram(maker.Take(), store_.get(),
                                                      {.programs_max = kProgramsMax}));
  ASSERT_TRUE(program->interpreted());
  std::vector<Shape> shapes;
  for (int i = 0; i < kShapes; ++i) shapes.push_back({1 + i, 4});
  RunAll(*program, shapes);
}

}  // namespace
}  // namespace paramd
