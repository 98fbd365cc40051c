#include "runtime/backends/onednn/recurrent_op.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "oneapi/dnnl/dnnl.hpp"
#include "oneapi/dnnl/dnnl_debug.h"
#include "runtime/backends/onednn/dnnl_support.h"
#include "runtime/backends/onednn/onednn_threads.h"
#include "runtime/backends/onednn/packed_parameter.h"
#include "runtime/backends/onednn/primitive_op.h"
#include "runtime/backends/recurrent_specs.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"

namespace paramd::onednn {
namespace {

using dnnl::memory;

// Of the spec.
constexpr int kX = 0, kW = 1, kR = 2, kBias = 3, kInitialH = 5, kInitialC = 6;
constexpr std::string_view kWeightsTag = "recurrent-1\n";

// ONNX's gates in oneDNN's order: LSTM's i, o, f, c are i, f, c, o there; GRU's
// and RNN's are the same.
constexpr int kLstmGates[] = {0, 2, 3, 1};
int GateAt(int gates, int g) { return gates == 4 ? kLstmGates[g] : g; }

bool IsLbr(const RecurrentSpec& rec) { return rec.gates == 3 && rec.linear_before_reset; }
// oneDNN has one bias a gate, and for a GRU that is linear before its reset a
// fourth: the recurrent one of the candidate.
int BiasGates(const RecurrentSpec& rec) { return IsLbr(rec) ? 4 : rec.gates; }

absl::StatusOr<dnnl::algorithm> RnnActivation(RecurrentGate gate) {
  switch (gate) {
    case RecurrentGate::kTanh:
      return dnnl::algorithm::eltwise_tanh;
    case RecurrentGate::kRelu:
      return dnnl::algorithm::eltwise_relu;
    case RecurrentGate::kSigmoid:
      return dnnl::algorithm::eltwise_logistic;
    default:
      return absl::UnimplementedError("a recurrent activation that oneDNN has not");
  }
}

absl::Status CheckTaken(const OpSpec& spec, const RecurrentSpec& rec) {
  if (spec.inputs[kX].dtype != DType::kF32) {
    return absl::UnimplementedError(StrCat("recurrent ", DTypeName(spec.inputs[kX].dtype)));
  }
  for (const int i : {kW, kR, kBias}) {
    if (i == kBias && !rec.bias) continue;
    if (spec.inputs[static_cast<size_t>(i)].kind != OperandKind::kParameter) {
      return absl::UnimplementedError("recurrent weights that are computed per request");
    }
  }
  if (rec.batch_first) return absl::UnimplementedError("a recurrent operation with batch first");
  if (rec.lengths) return absl::UnimplementedError("rows of different lengths");
  if (rec.peepholes || rec.clip != 0 || rec.input_forget) {
    return absl::UnimplementedError("peepholes, clipping or coupled gates");
  }
  // oneDNN 3.7's plain GRU of one unit and several rows gives wrong numbers (found by
  // tests/conformance); what is not a vector wide gains nothing there anyway.
  constexpr int64_t kGruHiddenMin = 16;
  if (rec.gates == 3 && !rec.linear_before_reset && rec.hidden < kGruHiddenMin) {
    return absl::UnimplementedError(StrCat("a GRU of ", rec.hidden, " units"));
  }
  if (rec.gates == 4 && rec.initial_h != rec.initial_c) {
    return absl::UnimplementedError("one of two initial states");
  }
  if (!rec.y && !rec.last_h && !rec.last_c) return absl::UnimplementedError("no result");
  constexpr RecurrentGate kUsual[] = {RecurrentGate::kSigmoid, RecurrentGate::kTanh,
                                      RecurrentGate::kTanh};
  for (size_t i = 0; i < rec.cells.size(); ++i) {
    if (rec.gates == 1) {
      PARAMD_RETURN_IF_ERROR(RnnActivation(rec.cells[i].gate).status());
    } else if (rec.cells[i].gate != kUsual[i % static_cast<size_t>(rec.cells_per_direction)]) {
      return absl::UnimplementedError("other activations than sigmoid and tanh");
    }
  }
  return absl::OkStatus();
}

struct RecurrentPlan {
  RecurrentSpec rec;
  Shape w_shape, r_shape, bias_shape;
  std::vector<dnnl::primitive> directions;
  std::string implementation;
  // The same for every direction. Zero descriptors where there is nothing.
  memory::desc x, initial, w, r, bias, y, last, scratchpad;
  int threads = 1;

  uint64_t y_bytes() const { return rec.y ? 0 : y.get_size(); }
  uint64_t state_bytes() const { return AlignedBytes(last.get_size()); }
  bool is_lstm() const { return rec.gates == 4; }
};

// A part for each direction.
uint64_t PartsBytes(const memory::desc& desc, int64_t directions) {
  return AlignedBytes(desc.get_size()) * static_cast<uint64_t>(directions);
}

absl::StatusOr<memory::desc> GateWeightsDesc(const Operand& operand, const Dims& dims,
                                             int64_t directions) {
  if (operand.packed.plain()) {
    return memory::desc(dims, memory::data_type::f32, memory::format_tag::any);
  }
  return DecodeTaggedLayout(
      operand.packed, kWeightsTag, dims, memory::data_type::f32,
      [directions](const memory::desc& desc) { return PartsBytes(desc, directions); });
}

PackedLayout WeightsLayout(const memory::desc& desc, int64_t directions) {
  return EncodeTaggedLayout(kWeightsTag, desc, PartsBytes(desc, directions));
}

template <typename Primitive>
absl::Status Take(const typename Primitive::primitive_desc& desc, RecurrentPlan* plan) {
  plan->implementation = desc.impl_info_str();
  // "ref+matmul" walks the steps plainly, and multiplies and activates with tuned kernels.
  if (plan->implementation != "ref+matmul") {
    PARAMD_RETURN_IF_ERROR(CheckImplementation(plan->implementation));
  }
  plan->w = desc.weights_layer_desc();
  plan->r = desc.weights_iter_desc();
  plan->scratchpad = desc.scratchpad_desc();
  plan->directions.push_back(Primitive(desc));
  return absl::OkStatus();
}

absl::Status PlanDirection(RecurrentPlan* plan, int64_t d) {
  const RecurrentSpec& rec = plan->rec;
  const auto direction = rec.reverse(d) ? dnnl::rnn_direction::unidirectional_right2left
                                        : dnnl::rnn_direction::unidirectional_left2right;
  constexpr auto kInference = dnnl::prop_kind::forward_inference;
  const dnnl::primitive_attr attributes = Attributes({});
  if (plan->is_lstm()) {
    const dnnl::lstm_forward::primitive_desc desc(
        CpuEngine(), kInference, direction, plan->x, plan->initial, plan->initial, plan->w, plan->r,
        plan->bias, plan->y, plan->last, plan->last, attributes);
    return Take<dnnl::lstm_forward>(desc, plan);
  }
  if (IsLbr(rec)) {
    const dnnl::lbr_gru_forward::primitive_desc desc(CpuEngine(), kInference, direction, plan->x,
                                                     plan->initial, plan->w, plan->r, plan->bias,
                                                     plan->y, plan->last, attributes);
    return Take<dnnl::lbr_gru_forward>(desc, plan);
  }
  if (rec.gates == 3) {
    const dnnl::gru_forward::primitive_desc desc(CpuEngine(), kInference, direction, plan->x,
                                                 plan->initial, plan->w, plan->r, plan->bias,
                                                 plan->y, plan->last, attributes);
    return Take<dnnl::gru_forward>(desc, plan);
  }
  PARAMD_ASSIGN_OR_RETURN(const auto activation,
                          RnnActivation(rec.cells[static_cast<size_t>(d)].gate));
  const dnnl::vanilla_rnn_forward::primitive_desc desc(
      CpuEngine(), kInference, activation, direction, plan->x, plan->initial, plan->w, plan->r,
      plan->bias, plan->y, plan->last, attributes);
  return Take<dnnl::vanilla_rnn_forward>(desc, plan);
}

// One primitive of one direction at its addresses.
struct BoundDirection {
  dnnl::primitive primitive;
  std::vector<memory> memories;
  std::vector<dnnl_exec_arg_t> args;
};

class RecurrentBoundOp final : public BoundOp {
 public:
  RecurrentBoundOp(std::vector<BoundDirection> directions, std::vector<float> no_bias, int threads)
      : no_bias_(std::move(no_bias)),
        directions_(std::move(directions)),
        stream_(CpuEngine()),
        threads_(threads) {}

  absl::Status Run() override {
    ScopedKernelThreads team(threads_);
    for (const BoundDirection& direction : directions_) {
      const dnnl_status_t status =
          dnnl_primitive_execute(direction.primitive.get(), stream_.get(),
                                 static_cast<int>(direction.args.size()), direction.args.data());
      if (status != dnnl_success) {
        return absl::InternalError(StrCat("oneDNN failed to run: ", dnnl_status2str(status)));
      }
    }
    return absl::OkStatus();
  }

 private:
  const std::vector<float> no_bias_;  // Where directions_ read one.
  const std::vector<BoundDirection> directions_;
  const dnnl::stream stream_;
  const int threads_;
};

class RecurrentOp final : public CompiledOp {
 public:
  explicit RecurrentOp(RecurrentPlan plan)
      : plan_(std::move(plan)),
        w_layout_(WeightsLayout(plan_.w, plan_.rec.directions)),
        r_layout_(WeightsLayout(plan_.r, plan_.rec.directions)) {
    bias_layout_.descriptor = StrCat("recurrent-bias-1 ", BiasGates(plan_.rec));
    bias_layout_.bytes =
        static_cast<uint64_t>(plan_.rec.directions * BiasGates(plan_.rec) * plan_.rec.hidden) *
        sizeof(float);
  }

  std::string implementation() const override { return plan_.implementation; }
  Layout input_layout(int) const override { return Layout::kPlain; }
  Layout output_layout(int) const override { return Layout::kPlain; }
  // Results that nobody wants still need a place: y, h and c.
  uint64_t scratch_bytes() const override {
    return AlignedBytes(plan_.scratchpad.get_size()) + AlignedBytes(plan_.y_bytes()) +
           2 * plan_.state_bytes();
  }
  PackedLayout parameter_layout(int i) const override {
    if (i == kW) return w_layout_;
    if (i == kR) return r_layout_;
    return i == kBias ? bias_layout_ : PackedLayout{};
  }

  absl::Status Pack(int i, const TensorView& source, absl::Span<std::byte> packed) const override {
    const Shape& shape = i == kW ? plan_.w_shape : i == kR ? plan_.r_shape : plan_.bias_shape;
    if (i < kW || i > kBias) {
      return absl::InternalError(StrCat("input ", i, " is read plain: there is nothing to pack"));
    }
    if (source.dtype != DType::kF32 || source.shape != shape || source.data == nullptr ||
        packed.size() != parameter_layout(i).bytes) {
      return absl::InvalidArgumentError(StrCat("parameter ", i, " is ", DTypeName(source.dtype),
                                               source.shape.ToString(), ", expected f32",
                                               shape.ToString()));
    }
    const auto* from = static_cast<const float*>(source.data);
    if (i == kBias) {
      PackBias(from, reinterpret_cast<float*>(packed.data()));
      return absl::OkStatus();
    }
    return PackWeights(i, from, packed);
  }

  absl::StatusOr<std::unique_ptr<BoundOp>> Bind(const BindArgs& args) const override {
    return WithoutThrowing([&]() -> absl::StatusOr<std::unique_ptr<BoundOp>> {
      // The kernels want a bias; moving the vector leaves its elements where they are.
      std::vector<float> no_bias(plan_.rec.bias ? 0 : plan_.bias.get_size() / sizeof(float), 0);
      std::vector<BoundDirection> directions;
      for (int64_t d = 0; d < plan_.rec.directions; ++d) {
        PARAMD_ASSIGN_OR_RETURN(BoundDirection direction, BindDirection(args, no_bias.data(), d));
        directions.push_back(std::move(direction));
      }
      return std::make_unique<RecurrentBoundOp>(std::move(directions), std::move(no_bias),
                                                plan_.threads);
    });
  }

 private:
  // [D][2][gates][hidden]: w's bias, then r's.
  void PackBias(const float* from, float* to) const {
    const RecurrentSpec& rec = plan_.rec;
    const int64_t n = rec.hidden, all = rec.gates * n;
    for (int64_t d = 0; d < rec.directions; ++d) {
      const float *w = from + d * 2 * all, *r = w + all;
      for (int g = 0; g < rec.gates; ++g) {
        const int64_t at = GateAt(rec.gates, g) * n;
        const bool apart = IsLbr(rec) && g == 2;
        for (int64_t j = 0; j < n; ++j) *to++ = apart ? w[at + j] : w[at + j] + r[at + j];
      }
      if (IsLbr(rec)) to = std::copy_n(r + 2 * n, n, to);
    }
  }

  // [D][gates][hidden][in] plain.
  absl::Status PackWeights(int i, const float* from, absl::Span<std::byte> packed) const {
    const RecurrentSpec& rec = plan_.rec;
    const memory::desc& desc = i == kW ? plan_.w : plan_.r;
    const int64_t in = i == kW ? rec.inputs : rec.hidden, gate = rec.hidden * in;
    const uint64_t bytes = desc.get_size();
    std::vector<float> ordered(static_cast<size_t>(rec.gates * gate));
    for (int64_t d = 0; d < rec.directions; ++d) {
      for (int g = 0; g < rec.gates; ++g) {
        std::copy_n(from + (d * rec.gates + GateAt(rec.gates, g)) * gate, gate,
                    ordered.begin() + g * gate);
      }
      const Shape shape{rec.gates, rec.hidden, in};
      const PackedParameter parameter = {
          .index = i,
          .shape = shape,
          .desc = desc,
          .source_strides = {rec.gates * gate, rec.gates * gate, 1, gate, in},
          .layout = {.descriptor = {}, .bytes = bytes}};
      const auto place =
          packed.subspan(static_cast<size_t>(d) * AlignedBytes(bytes), AlignedBytes(bytes));
      // Rows may be padded: gaps are part of the content.
      std::memset(place.data(), 0, place.size());
      PARAMD_RETURN_IF_ERROR(
          PackParameter(parameter, {DType::kF32, shape, ordered.data()}, place.subspan(0, bytes)));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<BoundDirection> BindDirection(const BindArgs& args, const float* no_bias,
                                               int64_t d) const {
    const RecurrentSpec& rec = plan_.rec;
    const auto at = static_cast<uint64_t>(d);
    BoundDirection bound;
    bound.primitive = plan_.directions[static_cast<size_t>(d)];
    std::vector<int> names;
    bool complete = true;
    const auto add = [&](int name, const memory::desc& desc, const void* base, uint64_t offset) {
      complete = complete && base != nullptr;
      // oneDNN's interface has no const; inputs are only read.
      auto* address = static_cast<std::byte*>(const_cast<void*>(base));
      bound.memories.emplace_back(desc, CpuEngine(), base == nullptr ? nullptr : address + offset);
      names.push_back(name);
    };
    const auto input = [&](int i) -> const void* {
      const auto index = static_cast<size_t>(i);
      return index < args.inputs.size() ? args.inputs[index] : nullptr;
    };
    auto* const scratch = static_cast<std::byte*>(args.scratch);
    complete = scratch != nullptr || scratch_bytes() == 0;
    std::byte* const spare_y = scratch + AlignedBytes(plan_.scratchpad.get_size());
    std::byte* const spare_state = spare_y + AlignedBytes(plan_.y_bytes());
    const uint64_t state = at * static_cast<uint64_t>(rec.batch * rec.hidden) * sizeof(float);

    add(DNNL_ARG_SRC_LAYER, plan_.x, input(kX), 0);
    if (rec.initial_h) add(DNNL_ARG_SRC_ITER, plan_.initial, input(kInitialH), state);
    if (rec.initial_c) add(DNNL_ARG_SRC_ITER_C, plan_.initial, input(kInitialC), state);
    add(DNNL_ARG_WEIGHTS_LAYER, plan_.w, input(kW), at * AlignedBytes(plan_.w.get_size()));
    add(DNNL_ARG_WEIGHTS_ITER, plan_.r, input(kR), at * AlignedBytes(plan_.r.get_size()));
    add(DNNL_ARG_BIAS, plan_.bias, rec.bias ? input(kBias) : no_bias,
        rec.bias ? at * plan_.bias.get_size() : 0);
    if (rec.y) {
      add(DNNL_ARG_DST_LAYER, plan_.y, args.outputs[0], state);
    } else {
      add(DNNL_ARG_DST_LAYER, plan_.y, spare_y, 0);
    }
    if (!plan_.last.is_zero()) {
      add(DNNL_ARG_DST_ITER, plan_.last, rec.last_h ? args.outputs[1] : spare_state,
          rec.last_h ? state : 0);
      if (plan_.is_lstm()) {
        add(DNNL_ARG_DST_ITER_C, plan_.last,
            rec.last_c ? args.outputs[2] : spare_state + plan_.state_bytes(),
            rec.last_c ? state : 0);
      }
    }
    if (plan_.scratchpad.get_size() > 0) add(DNNL_ARG_SCRATCHPAD, plan_.scratchpad, scratch, 0);
    if (!complete) return absl::InternalError("a recurrent op bound without all its addresses");
    for (size_t i = 0; i < names.size(); ++i) {
      bound.args.push_back({names[i], bound.memories[i].get()});
    }
    return bound;
  }

  const RecurrentPlan plan_;
  const PackedLayout w_layout_, r_layout_;
  PackedLayout bias_layout_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<const CompiledOp>> CompileRecurrent(const OpSpec& spec,
                                                                   const NamedParams& params,
                                                                   int threads) {
  RecurrentPlan plan;
  PARAMD_ASSIGN_OR_RETURN(plan.rec, ParseRecurrentSpec(spec, params));
  const RecurrentSpec& rec = plan.rec;
  PARAMD_RETURN_IF_ERROR(CheckTaken(spec, rec));
  constexpr auto kF32 = memory::data_type::f32;
  const int64_t steps = rec.steps, batch = rec.batch, hidden = rec.hidden;
  plan.threads = threads;
  plan.w_shape = spec.inputs[kW].shape;
  plan.r_shape = spec.inputs[kR].shape;
  if (rec.bias) plan.bias_shape = spec.inputs[kBias].shape;
  plan.x = DenseDesc({steps, batch, rec.inputs}, kF32);
  const memory::desc state = DenseDesc({1, 1, batch, hidden}, kF32);
  if (rec.initial_h) plan.initial = state;
  if (rec.last_h || rec.last_c) plan.last = state;
  plan.bias = DenseDesc({1, 1, BiasGates(rec), hidden}, kF32);
  // ONNX has the directions side by side: [steps, directions, batch, hidden].
  plan.y = memory::desc({steps, batch, hidden}, kF32,
                        Dims{(rec.y ? rec.directions : 1) * batch * hidden, hidden, 1});
  const Dims w_dims = {1, 1, rec.inputs, rec.gates, hidden};
  const Dims r_dims = {1, 1, hidden, rec.gates, hidden};
  PARAMD_ASSIGN_OR_RETURN(const memory::desc w,
                          GateWeightsDesc(spec.inputs[kW], w_dims, rec.directions));
  PARAMD_ASSIGN_OR_RETURN(const memory::desc r,
                          GateWeightsDesc(spec.inputs[kR], r_dims, rec.directions));
  for (int64_t d = 0; d < rec.directions; ++d) {
    const memory::desc first_w = plan.w, first_r = plan.r;
    plan.w = w;
    plan.r = r;
    PARAMD_RETURN_IF_ERROR(PlanDirection(&plan, d));
    if (d > 0 && (first_w != plan.w || first_r != plan.r)) {
      return absl::UnimplementedError("directions that want their weights in different layouts");
    }
  }
  return std::make_unique<RecurrentOp>(std::move(plan));
}

}  // namespace paramd::onednn
