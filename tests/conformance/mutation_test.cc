// Hostile specs: every case of the table is bent in random places, as a broken
// or malicious model would, and compiled on every backend. A backend may refuse
// it or do it, between guards and without a crash. What the sanitizers see
// counts.
#include <iostream>

#include "runtime/backends/backend_list.h"
#include "runtime/backends/spec_validation.h"
#include "runtime/base/strings.h"
#include "tests/conformance/cases.h"
#include "tests/conformance/data.h"
#include "tests/conformance/op_runner.h"
#include "tests/support/status_testing.h"

namespace paramd::conformance {
namespace {

constexpr int kMutantsACase = 12;
constexpr uint64_t kBytesMax = 1 << 16;  // Of an operand that is really run.

class Mutator {
 public:
  explicit Mutator(std::mt19937_64& random) : random_(random) {}

  bool Chance(int one_in) { return random_() % static_cast<uint64_t>(one_in) == 0; }

  int64_t Number(int64_t old) {
    static constexpr int64_t kInteresting[] = {0,
                                               1,
                                               2,
                                               3,
                                               7,
                                               -1,
                                               -2,
                                               64,
                                               1 << 16,
                                               INT32_MAX,
                                               INT32_MIN,
                                               INT64_MAX,
                                               INT64_MIN,
                                               int64_t{1} << 62,
                                               int64_t{1} << 40,
                                               -7};
    switch (random_() % 3) {
      case 0:
        return old + (Chance(2) ? 1 : -1) * (Chance(2) ? 1 : 2);
      case 1:
        return static_cast<int64_t>(random_() % 5);
      default:
        return kInteresting[random_() % std::size(kInteresting)];
    }
  }
  void Bend(int64_t& x) {
    // INT64_MAX + 1 is for the code under test to avoid, not for this.
    if (x > INT64_MIN + 2 && x < INT64_MAX - 2) x = Number(x);
  }
  void Bend(int& x) { x = static_cast<int>(Number(x)); }
  void Bend(bool& x) { x = !x; }
  template <typename T>
  void Bend(std::vector<T>& list) {
    if (list.empty() || Chance(8)) {
      list.resize(random_() % 5);
    } else if (Chance(6)) {
      list.pop_back();
    } else {
      Bend(list[random_() % list.size()]);
    }
  }
  // One of several.
  template <typename... Fields>
  void BendOne(Fields&... fields) {
    const size_t chosen = random_() % sizeof...(fields);
    size_t i = 0;
    ((i++ == chosen ? Bend(fields) : void()), ...);
  }

  void Params(ConvParams& p) {
    BendOne(p.strides, p.dilations, p.pads_begin, p.pads_end, p.groups);
  }
  void Params(MatMulParams& p) { BendOne(p.trans_a, p.trans_b); }
  void Params(PoolParams& p) {
    BendOne(p.kernel, p.strides, p.dilations, p.pads_begin, p.pads_end, p.count_include_pad);
  }
  void Params(SoftmaxParams& p) { BendOne(p.axis, p.flattened, p.log); }
  void Params(ReduceParams& p) { Bend(p.axes); }
  void Params(LrnParams& p) { Bend(p.size); }
  void Params(LayerNormParams& p) { Bend(p.axis); }
  void Params(ConcatParams& p) { Bend(p.axis); }
  void Params(TransposeParams& p) { Bend(p.perm); }
  void Params(SliceParams& p) { BendOne(p.starts, p.steps); }
  void Params(GatherParams& p) { Bend(p.axis); }
  void Params(PadParams& p) { BendOne(p.pads_begin, p.pads_end); }
  void Params(AttentionParams& p) {
    BendOne(p.q_perm, p.k_perm, p.v_perm, p.y_perm, p.drop, p.zero_nan);
  }
  void Params(NamedParams& p) { Bend(p.ints); }
  template <typename Other>
  void Params(Other&) {}

  void Bend(Shape& shape) {
    if (shape.rank() == 0 || Chance(6)) {
      shape.push_back(static_cast<int64_t>(random_() % 3));
    } else {
      const auto axis = static_cast<int>(random_() % static_cast<uint64_t>(shape.rank()));
      int64_t dim = shape.dim(axis);
      Bend(dim);
      shape.set_dim(axis, dim);
    }
  }
  void Bend(Operand& operand) {
    switch (random_() % 6) {
      case 0:
        operand.dtype = static_cast<DType>(random_() % 25);
        break;
      case 1:
        operand.kind = static_cast<OperandKind>(random_() % 3);
        break;
      case 2:
        operand.layout = Layout::kChannelsLast;
        break;
      default:
        Bend(operand.shape);
    }
  }

  void Bend(OpSpec& spec) {
    switch (random_() % 8) {
      case 0:
        if (!spec.outputs.empty()) Bend(spec.outputs[random_() % spec.outputs.size()]);
        break;
      case 1:
        if (!spec.inputs.empty()) Bend(spec.inputs[random_() % spec.inputs.size()]);
        break;
      case 2:
        if (!spec.inputs.empty() && Chance(2)) {
          spec.inputs.pop_back();
        } else {
          spec.inputs.push_back(spec.outputs.empty() ? Operand{} : spec.outputs[0]);
        }
        break;
      case 3:
        spec.post_ops.push_back({.kind = Chance(2) ? PostOp::Kind::kAdd : PostOp::Kind::kActivation,
                                 .activation = static_cast<ActivationKind>(random_() % 28),
                                 .alpha = 0.5f,
                                 .beta = 1,
                                 .operand = static_cast<int>(random_() % 5) - 1});
        break;
      default:
        std::visit([this](auto& params) { Params(params); }, spec.params);
    }
  }

 private:
  std::mt19937_64& random_;
};

bool SmallEnough(const Operand& operand) {
  if (operand.kind == OperandKind::kAbsent) return true;
  if (operand.dtype == DType::kString) return false;
  const absl::StatusOr<uint64_t> bytes = CheckedBytes(operand.dtype, operand.shape.dims());
  return bytes.ok() && *bytes <= kBytesMax;
}

// Zeros, ones and anything: bytes, not numbers.
Tensor RandomBytes(const Operand& operand, std::mt19937_64& random) {
  if (operand.kind == OperandKind::kAbsent) return {};
  Tensor tensor(operand.dtype, operand.shape);
  auto* bytes = static_cast<uint8_t*>(tensor.view().data);
  const uint64_t mask = random() % 3 == 0 ? 1 : 255;
  for (uint64_t i = 0; i < tensor.view().bytes(); ++i) {
    bytes[i] = static_cast<uint8_t>(random() & mask);
  }
  return tensor;
}

TEST(MutationTest, NoSpecCrashesABackend) {
  std::mt19937_64 random(Seed());
  int refused = 0, compiled = 0, run = 0;
  std::vector<Case> cases = AllCases();
  for (Case& c : NamedCases(2)) cases.push_back(std::move(c));
  for (const Case& c : cases) {
    for (int i = 0; i < kMutantsACase; ++i) {
      OpSpec spec = c.spec;
      Mutator mutator(random);
      do {
        mutator.Bend(spec);
      } while (mutator.Chance(3));
      SCOPED_TRACE(StrCat(c.name, ": ", Describe(spec), ", seed ", Seed()));
      const absl::Status valid = ValidateSpec(spec);
      for (const Backend* backend : AllBackends()) {
        const auto op = backend->Compile(spec);
        if (!op.ok()) {
          ++refused;
          const bool said =
              absl::IsUnimplemented(op.status()) || absl::IsInvalidArgument(op.status());
          EXPECT_TRUE(said) << backend->name() << ": " << op.status();
          continue;
        }
        ++compiled;
        ASSERT_OK(valid) << backend->name() << " took it";
        bool small = (*op)->scratch_bytes() <= 64 * kBytesMax;
        for (const Operand& operand : spec.inputs) small = small && SmallEnough(operand);
        for (const Operand& operand : spec.outputs) small = small && SmallEnough(operand);
        if (!small) continue;
        std::vector<Tensor> inputs;
        for (const Operand& operand : spec.inputs) inputs.push_back(RandomBytes(operand, random));
        const absl::Status status = RunOp(*backend, spec, inputs).status();
        // Random bytes are seldom good indices.
        EXPECT_TRUE(status.ok() || absl::IsInvalidArgument(status))
            << backend->name() << ": " << status;
        ++run;
      }
    }
  }
  std::cout << "seed " << Seed() << ": " << refused << " refused, " << compiled << " compiled, "
            << run << " run\n";
  EXPECT_GT(run, 1000);
}

}  // namespace
}  // namespace paramd::conformance
