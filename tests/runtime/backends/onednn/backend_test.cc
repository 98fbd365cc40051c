// What every compiled op of the backend promises, whatever its family: damaged
// layouts give a Status, packed bytes are only read, a team is the spec's own.
#include <sys/mman.h>

#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "runtime/backends/onednn/onednn_backend.h"
#include "runtime/backends/onednn/onednn_threads.h"
#include "tests/runtime/backends/onednn/op_testing.h"
#include "tests/support/status_testing.h"

namespace paramd {
namespace {

using namespace onednn_testing;  // NOLINT: the test's vocabulary.

TEST(OnednnBackend, NamesItsVersionAndInstructionSet) {
  EXPECT_EQ(OnednnBackend().name(), "onednn");
  EXPECT_TRUE(OnednnBackend().fingerprint().starts_with("onednn 3."))
      << OnednnBackend().fingerprint();
  EXPECT_EQ(OnednnBackend().fingerprint(), OnednnBackend().fingerprint());
}

// Leaves `value` where the next calls' local variables will lie.
void DirtyTheStack(int value) {
  volatile char bytes[64 * 1024];
  for (volatile char& byte : bytes) byte = static_cast<char>(value);
}

TEST(OnednnBackend, DescribesEqualLayoutsInEqualBytes) {
  for (const OpSpec& spec : {SquareConv(DType::kF32, 2, 64, 15, 32, 1, 2),
                             SquareConv(DType::kF32, 1, 16, 14, 32, 3, 1, 1),
                             SquareConv(DType::kF32, 1, 20, 14, 20, 3, 1, 1, 20),
                             LinearSpec(DType::kF32, 4, 256, 100)}) {
    PackedLayout first;
    for (int value : {0, 1, 0x5a, 0xff}) {
      DirtyTheStack(value);
      ASSERT_OK_AND_ASSIGN(const auto op, OnednnBackend().Compile(spec));
      const PackedLayout layout = op->parameter_layout(1);
      if (first.plain()) first = layout;
      EXPECT_EQ(layout, first) << Describe(spec) << " after " << value;
    }
  }
}

TEST(OnednnBackend, RefusesPackedLayoutsThatAreNotOfTheseWeights) {
  for (OpSpec spec :
       {SquareConv(DType::kF32, 1, 16, 14, 32, 3, 1, 1), LinearSpec(DType::kF32, 4, 256, 100)}) {
    ASSERT_OK_AND_ASSIGN(const auto op, OnednnBackend().Compile(spec));
    const PackedLayout right = op->parameter_layout(1);
    spec.inputs[1].packed = right;
    EXPECT_OK(OnednnBackend().Compile(spec));

    PackedLayout wrong = right;
    wrong.descriptor = "cuda-packed-1\nwhatever";
    spec.inputs[1].packed = wrong;
    EXPECT_THAT(OnednnBackend().Compile(spec), StatusIs(absl::StatusCode::kUnimplemented));

    wrong = right;
    wrong.descriptor.replace(wrong.descriptor.find("onednn 3."), 10, "onednn 2.9");
    spec.inputs[1].packed = wrong;
    EXPECT_THAT(OnednnBackend().Compile(spec), StatusIs(absl::StatusCode::kUnimplemented));

    for (size_t size = 0; size < right.descriptor.size(); size += 37) {
      wrong = right;
      wrong.descriptor.resize(size);
      spec.inputs[1].packed = wrong;
      if (size > 0) {
        EXPECT_FALSE(OnednnBackend().Compile(spec).ok()) << size;
      }
    }
    for (size_t at = 0; at < right.descriptor.size(); at += 13) {
      wrong = right;
      wrong.descriptor[at] = static_cast<char>(wrong.descriptor[at] ^ 0x40);
      spec.inputs[1].packed = wrong;
      EXPECT_FALSE(OnednnBackend().Compile(spec).ok()) << at;
    }
    wrong = right;
    wrong.bytes += 1;
    spec.inputs[1].packed = wrong;
    EXPECT_THAT(OnednnBackend().Compile(spec), StatusIs(absl::StatusCode::kInvalidArgument));
  }
  // A convolution's layout given to a product of equally many weights.
  OpSpec conv = SquareConv(DType::kF32, 1, 16, 14, 32, 3, 1, 1);
  ASSERT_OK_AND_ASSIGN(const auto op, OnednnBackend().Compile(conv));
  OpSpec linear = LinearSpec(DType::kF32, 4, 16 * 9, 32);
  linear.inputs[1].packed = op->parameter_layout(1);
  EXPECT_THAT(OnednnBackend().Compile(linear), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(OnednnBackend, PacksOnlyWhatFits) {
  const OpSpec spec = LinearSpec(DType::kF32, 4, 256, 100);
  ASSERT_OK_AND_ASSIGN(const auto op, OnednnBackend().Compile(spec));
  const uint64_t bytes = op->parameter_layout(1).bytes;
  std::vector<std::byte> packed(bytes);
  const Tensor right = RandomTensor(DType::kF32, {100, 256}, 1);
  const Tensor other_shape = RandomTensor(DType::kF32, {256, 100}, 1);
  const Tensor other_type = RandomTensor(DType::kI32, {100, 256}, 1);
  const absl::Span<std::byte> span = absl::MakeSpan(packed);
  EXPECT_OK(op->Pack(1, right.view(), span));
  EXPECT_FALSE(op->Pack(1, right.view(), span.subspan(1)).ok());
  EXPECT_FALSE(op->Pack(1, other_shape.view(), span).ok());
  EXPECT_FALSE(op->Pack(1, other_type.view(), span).ok());
  EXPECT_FALSE(op->Pack(0, right.view(), span).ok());
  EXPECT_FALSE(op->Pack(7, right.view(), span).ok());
  EXPECT_FALSE(op->Pack(1, {DType::kF32, {100, 256}, nullptr}, span).ok());
}

TEST(OnednnBackend, BindNeedsEveryAddress) {
  for (const OpSpec& spec : OneOfEach()) {
    ASSERT_OK_AND_ASSIGN(const auto op, OnednnBackend().Compile(spec));
    EXPECT_FALSE(op->Bind({}).ok()) << Describe(spec);
    std::vector<const void*> inputs(spec.inputs.size(), nullptr);
    void* output = nullptr;
    EXPECT_FALSE(op->Bind({.inputs = inputs, .outputs = absl::MakeConstSpan(&output, 1)}).ok());
  }
}

TEST(OnednnBackend, ReadsPackedWeightsFromMemoryThatNobodyCanWrite) {
  for (OpSpec spec :
       {SquareConv(DType::kF32, 2, 17, 14, 23, 3, 1, 1), SquareConv(DType::kF32, 2, 17, 14, 23, 1),
        SquareConv(DType::kF32, 2, 20, 14, 20, 3, 1, 1, 20), LinearSpec(DType::kF32, 1, 100, 37),
        LinearSpec(DType::kF32, 8, 100, 37), SquareConv(DType::kBF16, 2, 17, 14, 23, 3, 1, 1),
        LinearSpec(DType::kBF16, 8, 101, 37)}) {
    const auto op = OnednnBackend().Compile(spec);
    if (spec.inputs[0].dtype == DType::kBF16 && absl::IsUnimplemented(op.status())) continue;
    ASSERT_OK(op);
    const std::vector<Tensor> inputs = RandomInputs(spec, 5);
    ASSERT_OK_AND_ASSIGN(const auto writable, BindTo(**op, spec, inputs));
    ASSERT_OK(writable->op->Run());

    const uint64_t bytes = (*op)->parameter_layout(1).bytes;
    void* sealed = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(sealed, MAP_FAILED);
    ASSERT_OK((*op)->Pack(1, inputs[1].view(), {static_cast<std::byte*>(sealed), bytes}));
    ASSERT_EQ(mprotect(sealed, bytes, PROT_READ), 0);
    Tensor output(spec.outputs[0].dtype, spec.outputs[0].shape);
    void* output_address = output.view().data;
    const Tensor scratch(DType::kU8, {static_cast<int64_t>((*op)->scratch_bytes()) + 1});
    ASSERT_OK_AND_ASSIGN(const auto bound,
                         (*op)->Bind({.inputs = {writable->inputs[0].view().data, sealed,
                                                 writable->inputs[1].view().data},
                                      .outputs = absl::MakeConstSpan(&output_address, 1),
                                      .scratch = const_cast<void*>(scratch.view().data)}));
    ASSERT_OK(bound->Run());
    EXPECT_EQ(std::memcmp(output.view().data, writable->output.view().data, output.view().bytes()),
              0)
        << Describe(spec);
    munmap(sealed, bytes);
  }
}

TEST(OnednnBackend, GivesTheSameAnswerFromAnyThreadWhateverItsTeam) {
  for (OpSpec spec : OneOfEach()) {
    for (int threads : {1, 2}) {
      spec.threads = threads;
      SetKernelThreads(1);
      ASSERT_OK_AND_ASSIGN(const auto op, OnednnBackend().Compile(spec));
      EXPECT_EQ(KernelThreads(), 1);
      const std::vector<Tensor> inputs = RandomInputs(spec, 9);
      std::vector<std::unique_ptr<Bound>> bounds;
      for (int team : {1, 2, 4}) {
        std::thread stream([&] {
          SetKernelThreads(team);
          auto bound = BindTo(*op, spec, inputs);
          ASSERT_OK(bound);
          ASSERT_OK((*bound)->op->Run());
          EXPECT_EQ(KernelThreads(), team);
          bounds.push_back(std::move(*bound));
        });
        stream.join();
      }
      ASSERT_EQ(bounds.size(), 3u);
      for (const auto& bound : bounds) {
        EXPECT_EQ(std::memcmp(bound->output.view().data, bounds[0]->output.view().data,
                              bound->output.view().bytes()),
                  0)
            << Describe(spec);
      }
    }
  }
}

TEST(OnednnBackend, RunsInPlaceWhereItSaysSo) {
  for (const OpSpec& spec : OneOfEach()) {
    ASSERT_OK_AND_ASSIGN(const auto op, OnednnBackend().Compile(spec));
    const int in_place = op->in_place_input();
    if (in_place < 0) continue;
    ASSERT_OK_AND_ASSIGN(const auto apart, BindTo(*op, spec, RandomInputs(spec, 2)));
    ASSERT_OK(apart->op->Run());
    ASSERT_OK_AND_ASSIGN(const auto together, BindTo(*op, spec, RandomInputs(spec, 2)));
    std::vector<const void*> inputs;
    for (const Tensor& input : together->inputs) inputs.push_back(input.view().data);
    void* output = const_cast<void*>(inputs[static_cast<size_t>(in_place)]);
    const Tensor scratch(DType::kU8, {static_cast<int64_t>(op->scratch_bytes()) + 1});
    ASSERT_OK_AND_ASSIGN(const auto bound,
                         op->Bind({.inputs = inputs,
                                   .outputs = absl::MakeConstSpan(&output, 1),
                                   .scratch = const_cast<void*>(scratch.view().data)}));
    ASSERT_OK(bound->Run());
    EXPECT_EQ(std::memcmp(output, apart->output.view().data, apart->output.view().bytes()), 0)
        << Describe(spec);
  }
}

TEST(OnednnBackend, EmptyTensorsAreNothingToDo) {
  OpSpec spec = LinearSpec(DType::kF32, 0, 256, 100);
  ASSERT_OK_AND_ASSIGN(const auto packed,
                       OnednnBackend().Compile(LinearSpec(DType::kF32, 8, 256, 100)));
  spec.inputs[1].packed = packed->parameter_layout(1);
  ASSERT_OK_AND_ASSIGN(const auto op, OnednnBackend().Compile(spec));
  EXPECT_EQ(op->parameter_layout(1), spec.inputs[1].packed);
  ASSERT_OK_AND_ASSIGN(const auto bound, op->Bind({}));
  EXPECT_OK(bound->Run());
  // A sum over nothing is 0, which somebody has to write.
  EXPECT_FALSE(OnednnBackend().Compile(LinearSpec(DType::kF32, 8, 0, 100)).ok());
}

}  // namespace
}  // namespace paramd
