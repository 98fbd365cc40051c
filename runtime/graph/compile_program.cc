#include "runtime/graph/compile_program.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/graph/evaluate_op.h"
#include "runtime/graph/memory_plan.h"
#include "runtime/graph/node_planner.h"
#include "runtime/graph/op_precision.h"
#include "runtime/graph/ops/op_table.h"
#include "runtime/graph/shape_inference.h"

namespace paramd {
namespace {

using BufferId = int32_t;

// Memory that the plan will place. While compiling, a Place of kind kArena holds
// the buffer's number in `index`; its offset is filled at the end.
struct Buffer {
  uint64_t bytes = 0;
  int32_t first = 0;
  int32_t last = 0;
  bool pinned = false;           // Never written again: graph inputs and outputs.
  std::vector<ValueId> holders;  // Values one of whose variants lies here.
};

// The elements of a value in one type and layout.
struct Variant {
  DType dtype = DType::kUndefined;
  Layout layout = Layout::kPlain;
  Place place;
};

struct Stored {
  std::vector<Variant> variants;  // The first is what its producer left.
};

// Channels-last and plain are the same bytes when there is one channel or one pixel.
bool SameBytes(Layout a, Layout b, const Shape& shape) {
  if (a == b || shape.rank() < 3 || shape.dim(1) == 1) return true;
  for (int i = 2; i < shape.rank(); ++i) {
    if (shape.dim(i) != 1) return false;
  }
  return true;
}

class ProgramCompiler {
 public:
  ProgramCompiler(const Graph& graph, const CompileOptions& options, ParameterForms* forms)
      : graph_(graph), options_(options), forms_(forms), program_(new CompiledProgram) {}

  absl::StatusOr<std::unique_ptr<const CompiledProgram>> Compile(
      absl::Span<const Shape> input_shapes) {
    if (input_shapes.size() != graph_.inputs.size()) {
      return absl::InvalidArgumentError(StrCat("the model takes ", graph_.inputs.size(),
                                               " inputs, got ", input_shapes.size(), " shapes"));
    }
    InferOptions infer_options;
    infer_options.evaluate = ReferenceEvaluator();
    const std::vector<ValueType> types = ConcreteInputTypes(graph_, input_shapes);
    PARAMD_ASSIGN_OR_RETURN(inferred_, InferShapes(graph_, types, infer_options));
    stored_.resize(graph_.values().size());
    CountReaders();
    PARAMD_RETURN_IF_ERROR(PlaceInputs());
    for (size_t i = 0; i < graph_.nodes().size(); ++i) {
      const Node& node = graph_.nodes()[i];
      if (node.dead) continue;
      if (!inferred_.Folded(node)) PARAMD_RETURN_IF_ERROR(CompileNode(static_cast<NodeId>(i)));
      for (const ValueId id : node.inputs) {
        if (id != kNone) --readers_[static_cast<size_t>(id)];
      }
    }
    PARAMD_RETURN_IF_ERROR(PlaceOutputs());
    PARAMD_RETURN_IF_ERROR(LayOutArena());
    return std::move(program_);
  }

 private:
  Stored& stored(ValueId id) { return stored_[static_cast<size_t>(id)]; }
  Buffer& buffer(const Place& place) { return buffers_[static_cast<size_t>(place.index)]; }
  int32_t next_step() const { return static_cast<int32_t>(program_->steps.size()); }

  void CountReaders() {
    readers_.assign(graph_.values().size(), 0);
    for (const Node& node : graph_.nodes()) {
      if (node.dead) continue;
      for (const ValueId id : node.inputs) {
        if (id != kNone) ++readers_[static_cast<size_t>(id)];
      }
    }
    for (const ValueId id : graph_.outputs) ++readers_[static_cast<size_t>(id)];
  }

  absl::StatusOr<Shape> ShapeOf(ValueId id) const {
    const ValueType& type = inferred_.type(id);
    if (type.kind == ValueType::Kind::kTensor && type.shape.has_value()) {
      if (std::optional<Shape> shape = ToConcrete(*type.shape)) return *std::move(shape);
    }
    return absl::UnimplementedError(
        StrCat("the shape of '", graph_.value(id).name, "' is known only while it runs"));
  }

  absl::StatusOr<Place> NewBuffer(DType dtype, const Shape& shape, ValueId holder) {
    // Not the graph's mistake: such a graph is interpreted.
    if (dtype == DType::kString) {
      return absl::UnimplementedError("strings have no place in a compiled program's memory");
    }
    PARAMD_ASSIGN_OR_RETURN(const uint64_t bytes, CheckedBytes(dtype, shape.dims()));
    Place place;
    place.kind = Place::Kind::kArena;
    place.index = static_cast<int32_t>(buffers_.size());
    Buffer buffer;
    buffer.bytes = bytes;
    buffer.first = buffer.last = next_step();
    if (holder != kNone) buffer.holders.push_back(holder);
    buffers_.push_back(std::move(buffer));
    return place;
  }

  void NoteRead(const Place& place) {
    if (place.kind == Place::Kind::kArena) {
      buffer(place).last = std::max(buffer(place).last, next_step());
    }
  }

  absl::Status PlaceInputs() {
    for (const ValueId id : graph_.inputs) {
      ProgramTensor input;
      input.dtype = inferred_.type(id).dtype;
      PARAMD_ASSIGN_OR_RETURN(input.shape, ShapeOf(id));
      PARAMD_ASSIGN_OR_RETURN(input.place, NewBuffer(input.dtype, input.shape, id));
      // Whoever runs a program twice on the same input finds it unchanged.
      buffer(input.place).pinned = true;
      stored(id).variants.push_back({input.dtype, Layout::kPlain, input.place});
      program_->inputs.push_back(std::move(input));
    }
    return absl::OkStatus();
  }

  // What a value is before anything reads it in another form: a parameter, a
  // constant of this program, or what its producer left.
  absl::StatusOr<const Variant*> Home(ValueId id) {
    Stored& value = stored(id);
    if (!value.variants.empty()) return &value.variants.front();
    Variant home;
    const ConstantId constant = graph_.value(id).constant;
    if (constant != kNone && graph_.constant(constant).dtype != DType::kString) {
      home.dtype = graph_.constant(constant).dtype;
      PARAMD_ASSIGN_OR_RETURN(home.place.index, PlainForm(constant));
      home.place.kind = Place::Kind::kParameter;
    } else if (inferred_.value(id) != nullptr) {
      home.dtype = inferred_.value(id)->dtype();
      home.place.kind = Place::Kind::kConstant;
      home.place.index = static_cast<int32_t>(program_->constants.size());
      program_->constants.push_back(inferred_.known[static_cast<size_t>(id)]);
    } else {
      return absl::InternalError(
          StrCat("value '", graph_.value(id).name, "' is read before it is made"));
    }
    value.variants.push_back(home);
    return &value.variants.front();
  }

  absl::StatusOr<FormId> PlainForm(ConstantId constant) {
    if (const FormId form = forms_->FindPlain(graph_, constant); form != kNone) return form;
    if (forms_->frozen()) {
      return absl::UnimplementedError(StrCat("these shapes read '", graph_.constant(constant).name,
                                             "' unpacked, which the loaded forms do not have"));
    }
    ParameterForm form;
    form.graph = &graph_;
    form.constant = constant;
    form.dtype = graph_.constant(constant).dtype;
    form.shape = graph_.constant(constant).shape;
    return forms_->Intern(form);
  }

  // The place of `id` in this type and layout, reordered now if nobody has yet.
  absl::StatusOr<Place> Read(ValueId id, const Shape& shape, DType dtype, Layout layout) {
    PARAMD_ASSIGN_OR_RETURN(const Variant* home, Home(id));
    for (const Variant& variant : stored(id).variants) {
      if (variant.dtype == dtype && SameBytes(variant.layout, layout, shape)) {
        NoteRead(variant.place);
        return variant.place;
      }
    }
    const Variant from = *home;
    ProgramStep step;
    step.spec.params = ReorderParams{};
    step.spec.threads = options_.threads;
    Operand operand;
    operand.kind = OperandKind::kActivation;
    operand.dtype = from.dtype;
    operand.shape = shape;
    operand.layout = from.layout;
    step.spec.inputs.push_back(operand);
    operand.dtype = dtype;
    operand.layout = layout;
    step.spec.outputs.push_back(operand);
    PARAMD_ASSIGN_OR_RETURN(step.planned, PlanOp(options_.backends, step.spec));
    if (step.planned.op->input_layout(0) != from.layout ||
        step.planned.op->output_layout(0) != layout) {
      return absl::InternalError(
          StrCat(step.planned.backend->name(), " reorders to another layout than asked"));
    }
    NoteRead(from.place);
    PARAMD_ASSIGN_OR_RETURN(const Place to, NewBuffer(dtype, shape, id));
    step.inputs.push_back(from.place);
    step.outputs.push_back(to);
    PARAMD_RETURN_IF_ERROR(AddScratch(step));
    program_->steps.push_back(std::move(step));
    NoteRead(to);
    stored(id).variants.push_back({dtype, layout, to});
    return to;
  }

  absl::Status AddScratch(ProgramStep& step) {
    const uint64_t bytes = step.planned.op->scratch_bytes();
    scratch_.push_back(kNone);
    if (bytes == 0) return absl::OkStatus();
    if (bytes > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
      return absl::InternalError(StrCat("an op wants ", bytes, " bytes of scratch"));
    }
    PARAMD_ASSIGN_OR_RETURN(const Place place,
                            NewBuffer(DType::kU8, Shape{static_cast<int64_t>(bytes)}, kNone));
    scratch_.back() = place.index;
    return absl::OkStatus();
  }

  // The value that a spec's input stands for.
  static ValueId OperandValue(const Node& node, const OpRow::Lowered& lowered, size_t i) {
    const int from = lowered.operands[i];
    return from == kNone ? kNone : node.inputs[static_cast<size_t>(from)];
  }

  absl::Status CompileNode(NodeId id) {
    const Node& node = graph_.node(id);
    const InferContext context = ContextOf(node, inferred_);
    std::vector<ValueType> types(node.outputs.size());
    for (size_t i = 0; i < node.outputs.size(); ++i) {
      if (node.outputs[i] == kNone) continue;
      types[i] = inferred_.type(node.outputs[i]);
      PARAMD_RETURN_IF_ERROR(ShapeOf(node.outputs[i]).status());
    }
    PARAMD_ASSIGN_OR_RETURN(OpRow::Lowered lowered, LowerNode(context, types));
    lowered.spec.threads = options_.threads;

    if (std::holds_alternative<ReshapeParams>(lowered.spec.params) &&
        lowered.spec.post_ops.empty()) {
      return Alias(node, OperandValue(node, lowered, 0));
    }

    bool reads_bf16 = false;
    for (size_t i = 0; i < lowered.spec.inputs.size(); ++i) {
      Operand& operand = lowered.spec.inputs[i];
      const ValueId value = OperandValue(node, lowered, i);
      if (value == kNone) {
        operand.kind = OperandKind::kAbsent;
        continue;
      }
      const ConstantId constant = graph_.value(value).constant;
      if (constant != kNone && operand.dtype != DType::kString) {
        operand.kind = OperandKind::kParameter;
        continue;
      }
      operand.kind = OperandKind::kActivation;
      PARAMD_ASSIGN_OR_RETURN(const Variant* home, Home(value));
      operand.dtype = home->dtype;
      // A layout is about the value's own dimensions: an operand of another rank
      // (a widened vector) is read plain.
      PARAMD_ASSIGN_OR_RETURN(const Shape shape, ShapeOf(value));
      operand.layout = operand.shape == shape ? home->layout : Layout::kPlain;
      reads_bf16 |= home->dtype == DType::kBF16 && inferred_.type(value).dtype == DType::kF32;
    }
    NodePlanner planner(graph_, id, lowered, options_.backends, forms_);
    PARAMD_ASSIGN_OR_RETURN(NodePlan plan, PlanInPrecision(node, lowered, reads_bf16, planner));
    return Emit(id, lowered, std::move(plan));
  }

  // Tries bf16 first where it may run so; f32 otherwise.
  absl::StatusOr<NodePlan> PlanInPrecision(const Node& node, const OpRow::Lowered& lowered,
                                           bool reads_bf16, NodePlanner& planner) {
    const Bf16Use use = options_.bf16 ? Bf16UseOf(lowered.spec.params) : Bf16Use::kNever;
    std::vector<std::pair<std::string, std::string>> refusals;
    if (use == Bf16Use::kGains || (use == Bf16Use::kFollows && reads_bf16)) {
      // A graph output that nothing else reads is best written in f32 at once.
      const bool to_f32 = use == Bf16Use::kGains && node.outputs.size() == 1 &&
                          graph_.IsOutput(node.outputs[0]) &&
                          readers_[static_cast<size_t>(node.outputs[0])] == 1;
      for (const DType output : to_f32 ? std::vector<DType>{DType::kF32, DType::kBF16}
                                       : std::vector<DType>{DType::kBF16}) {
        std::optional<OpSpec> spec = InBf16(node, lowered, output);
        if (!spec.has_value()) break;
        absl::StatusOr<NodePlan> plan = planner.Plan(*spec, /*reference=*/false);
        if (plan.ok()) return plan;
        if (!absl::IsUnimplemented(plan.status())) return plan.status();
        refusals.emplace_back("bf16", FromAbsl(plan.status().message()));
      }
    }
    OpSpec spec = lowered.spec;
    for (size_t i = 0; i < spec.inputs.size(); ++i) {
      Operand& operand = spec.inputs[i];
      if (operand.kind != OperandKind::kActivation) continue;
      operand.dtype = inferred_.type(OperandValue(node, lowered, i)).dtype;
    }
    PARAMD_ASSIGN_OR_RETURN(NodePlan plan, planner.Plan(spec, /*reference=*/true));
    plan.planned.refusals.insert(plan.planned.refusals.begin(), refusals.begin(), refusals.end());
    return plan;
  }

  // The spec with f32 activations as bf16; nothing if it has none. Parameters
  // stay as they are: a backend packs them to what it computes in.
  std::optional<OpSpec> InBf16(const Node& node, const OpRow::Lowered& lowered,
                               DType output) const {
    OpSpec spec = lowered.spec;
    bool changed = false;
    for (size_t i = 0; i < spec.inputs.size(); ++i) {
      Operand& operand = spec.inputs[i];
      if (operand.kind != OperandKind::kActivation) continue;
      const ValueId value = OperandValue(node, lowered, i);
      if (inferred_.type(value).dtype != DType::kF32) continue;
      // What follows from shapes alone stays f32 as parameters do.
      if (inferred_.value(value) != nullptr) continue;
      // So does a mask: the least float that hides a key is infinite in bf16.
      if (i > 2 && std::holds_alternative<AttentionParams>(spec.params)) continue;
      operand.dtype = DType::kBF16;
      changed = true;
    }
    for (Operand& operand : spec.outputs) {
      if (operand.dtype == DType::kF32) operand.dtype = output;
    }
    if (!changed) return std::nullopt;
    return spec;
  }

  // An op that only renames elements: the output lies where the input does.
  absl::Status Alias(const Node& node, ValueId from) {
    PARAMD_ASSIGN_OR_RETURN(const Variant* home, Home(from));
    const DType dtype = home->dtype;
    PARAMD_ASSIGN_OR_RETURN(const Shape value_shape, ShapeOf(from));
    PARAMD_ASSIGN_OR_RETURN(const Place place, Read(from, value_shape, dtype, Layout::kPlain));
    if (place.kind == Place::Kind::kArena) buffer(place).holders.push_back(node.outputs[0]);
    stored(node.outputs[0]).variants.push_back({dtype, Layout::kPlain, place});
    return absl::OkStatus();
  }

  absl::Status Emit(NodeId id, const OpRow::Lowered& lowered, NodePlan plan) {
    const Node& node = graph_.node(id);
    const CompiledOp& op = *plan.planned.op;
    ProgramStep step;
    step.node = id;
    step.inputs.resize(plan.spec.inputs.size());
    for (size_t i = 0; i < plan.spec.inputs.size(); ++i) {
      Operand& operand = plan.spec.inputs[i];
      if (operand.kind == OperandKind::kAbsent) continue;
      if (operand.kind == OperandKind::kParameter) {
        step.inputs[i].kind = Place::Kind::kParameter;
        step.inputs[i].index = plan.forms[i];
        continue;
      }
      const ValueId value = OperandValue(node, lowered, i);
      PARAMD_ASSIGN_OR_RETURN(const Shape shape, ShapeOf(value));
      operand.layout = op.input_layout(static_cast<int>(i));
      PARAMD_ASSIGN_OR_RETURN(step.inputs[i], Read(value, shape, operand.dtype, operand.layout));
    }
    // Reading may have added reorder steps; the op's own number is known now.
    for (const Place& place : step.inputs) NoteRead(place);

    step.outputs.resize(plan.spec.outputs.size());
    for (size_t i = 0; i < plan.spec.outputs.size(); ++i) {
      Operand& operand = plan.spec.outputs[i];
      const ValueId value = i < node.outputs.size() ? node.outputs[i] : kNone;
      if (operand.kind == OperandKind::kAbsent) continue;
      PARAMD_ASSIGN_OR_RETURN(const Shape shape, value == kNone
                                                     ? absl::StatusOr<Shape>(operand.shape)
                                                     : ShapeOf(value));
      operand.layout = op.output_layout(static_cast<int>(i));
      std::optional<Place> in_place;
      if (i == 0) in_place = InPlace(node, step, op, operand);
      if (in_place.has_value()) {
        step.outputs[i] = *in_place;
        if (value != kNone) buffer(*in_place).holders.push_back(value);
      } else {
        PARAMD_ASSIGN_OR_RETURN(step.outputs[i], NewBuffer(operand.dtype, shape, value));
      }
      NoteRead(step.outputs[i]);
      if (value != kNone) {
        stored(value).variants.push_back({operand.dtype, operand.layout, step.outputs[i]});
      }
    }
    step.spec = std::move(plan.spec);
    step.planned = std::move(plan.planned);
    PARAMD_RETURN_IF_ERROR(AddScratch(step));
    program_->steps.push_back(std::move(step));
    return absl::OkStatus();
  }

  // Where output 0 may go instead of a buffer of its own.
  std::optional<Place> InPlace(const Node& node, const ProgramStep& step, const CompiledOp& op,
                               const Operand& output) {
    const int input = op.in_place_input();
    if (input < 0 || static_cast<size_t>(input) >= step.inputs.size()) return std::nullopt;
    const Place place = step.inputs[static_cast<size_t>(input)];
    if (place.kind != Place::Kind::kArena || buffer(place).pinned) return std::nullopt;
    const auto bytes = CheckedBytes(output.dtype, output.shape.dims());
    if (!bytes.ok() || *bytes != buffer(place).bytes) return std::nullopt;
    for (size_t i = 0; i < step.inputs.size(); ++i) {
      const bool same =
          step.inputs[i].kind == Place::Kind::kArena && step.inputs[i].index == place.index;
      if (same && i != static_cast<size_t>(input)) return std::nullopt;
    }
    // Everybody who could read the buffer later must be this node.
    for (const ValueId holder : buffer(place).holders) {
      int32_t here = 0;
      for (const ValueId id : node.inputs) here += id == holder ? 1 : 0;
      if (readers_[static_cast<size_t>(holder)] > here) return std::nullopt;
    }
    return place;
  }

  absl::Status PlaceOutputs() {
    for (const ValueId id : graph_.outputs) {
      ProgramTensor output;
      output.dtype = inferred_.type(id).dtype;
      PARAMD_ASSIGN_OR_RETURN(output.shape, ShapeOf(id));
      PARAMD_ASSIGN_OR_RETURN(output.place, Read(id, output.shape, output.dtype, Layout::kPlain));
      program_->outputs.push_back(std::move(output));
    }
    // Only now is the number of steps known: inputs live from before the first
    // to after the last, outputs to after the last.
    for (Buffer& buffer : buffers_) {
      if (buffer.pinned) buffer.first = -1, buffer.last = next_step();
    }
    for (const ProgramTensor& output : program_->outputs) {
      if (output.place.kind == Place::Kind::kArena) buffer(output.place).last = next_step();
    }
    return absl::OkStatus();
  }

  absl::Status LayOutArena() {
    std::vector<BufferLife> lives;
    lives.reserve(buffers_.size());
    for (const Buffer& buffer : buffers_)
      lives.push_back({buffer.bytes, buffer.first, buffer.last});
    PARAMD_ASSIGN_OR_RETURN(const MemoryPlan plan, PlanMemory(lives));
    program_->arena_bytes = plan.bytes;
    const auto settle = [&](Place& place) {
      if (place.kind != Place::Kind::kArena) return;
      place.offset = plan.offsets[static_cast<size_t>(place.index)];
      place.index = kNone;
    };
    for (size_t i = 0; i < program_->steps.size(); ++i) {
      ProgramStep& step = program_->steps[i];
      for (Place& place : step.inputs) settle(place);
      for (Place& place : step.outputs) settle(place);
      if (scratch_[i] != kNone)
        step.scratch_offset = plan.offsets[static_cast<size_t>(scratch_[i])];
    }
    for (ProgramTensor& tensor : program_->inputs) settle(tensor.place);
    for (ProgramTensor& tensor : program_->outputs) settle(tensor.place);
    return absl::OkStatus();
  }

  const Graph& graph_;
  const CompileOptions options_;
  ParameterForms* const forms_;
  std::unique_ptr<CompiledProgram> program_;
  Inferred inferred_;
  std::vector<Stored> stored_;    // By ValueId.
  std::vector<int32_t> readers_;  // By ValueId: readers still to come.
  std::vector<Buffer> buffers_;
  std::vector<BufferId> scratch_;  // By step.
};

}  // namespace

absl::StatusOr<std::unique_ptr<const CompiledProgram>> CompileProgram(
    const Graph& graph, absl::Span<const Shape> input_shapes, const CompileOptions& options,
    ParameterForms* forms) {
  return ProgramCompiler(graph, options, forms).Compile(input_shapes);
}

}  // namespace paramd
