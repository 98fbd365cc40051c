#include "runtime/graph/compiled_session.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/log/check.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/graph/graph_program.h"

namespace paramd {
namespace {

std::string ShapesText(absl::Span<const Shape> shapes) {
  std::string text;
  for (const Shape& shape : shapes) StrAppend(&text, text.empty() ? "" : " ", shape.ToString());
  return text;
}

}  // namespace

absl::Status CompiledSession::Prepare(absl::Span<const Shape> input_shapes) {
  const uint64_t version = model_->cache().version();
  if (version != seen_version_) {
    snapshot_ = model_->cache().snapshot();
    seen_version_ = version;
    DropEvicted();
  }
  if (current_ == nullptr || !current_->program.IsFor(input_shapes)) {
    current_ = nullptr;
    for (const std::unique_ptr<BoundProgram>& bound : bound_) {
      if (bound->program.IsFor(input_shapes)) current_ = bound.get();
    }
  }
  if (current_ == nullptr) {
    for (const ProgramCache::Entry& entry : *snapshot_) {
      if (!entry.program.IsFor(input_shapes)) continue;
      PARAMD_RETURN_IF_ERROR(arena_->Reserve(entry.program->arena_bytes));
      PARAMD_ASSIGN_OR_RETURN(std::unique_ptr<BoundProgram> bound, Bind(entry.program));
      bound_.push_back(std::move(bound));
      current_ = bound_.back().get();
      break;
    }
  }
  if (current_ == nullptr) {
    return absl::UnavailableError(
        StrCat("no program is compiled for inputs of ", ShapesText(input_shapes)));
  }
  current_->program.Touch(model_->cache().NextTick());
  return absl::OkStatus();
}

void CompiledSession::DropEvicted() {
  const auto evicted = [this](const std::unique_ptr<BoundProgram>& bound) {
    return std::none_of(snapshot_->begin(), snapshot_->end(),
                        [&](const ProgramCache::Entry& entry) {
                          return entry.program.get() == bound->program.get();
                        });
  };
  if (current_ != nullptr) {
    const auto at = std::find_if(bound_.begin(), bound_.end(),
                                 [this](const auto& bound) { return bound.get() == current_; });
    if (at != bound_.end() && evicted(*at)) current_ = nullptr;
  }
  bound_.erase(std::remove_if(bound_.begin(), bound_.end(), evicted), bound_.end());
}

const void* CompiledSession::AddressOf(const CompiledProgram& program, const Place& place) const {
  switch (place.kind) {
    case Place::Kind::kNone:
      return nullptr;
    case Place::Kind::kArena:
      return arena_->base() + place.offset;
    case Place::Kind::kParameter:
      return model_->form(place.index);
    case Place::Kind::kConstant:
      return program.constants[static_cast<size_t>(place.index)]->view().data;
  }
  return nullptr;
}

absl::StatusOr<std::unique_ptr<CompiledSession::BoundProgram>> CompiledSession::Bind(
    ProgramRef program) const {
  auto bound = std::make_unique<BoundProgram>();
  for (const ProgramStep& step : program->steps) {
    std::vector<const void*> inputs;
    for (const Place& place : step.inputs) inputs.push_back(AddressOf(*program, place));
    std::vector<void*> outputs;
    for (const Place& place : step.outputs) {
      DCHECK(place.kind == Place::Kind::kArena || place.kind == Place::Kind::kNone);
      outputs.push_back(place.kind == Place::Kind::kArena ? arena_->base() + place.offset
                                                          : nullptr);
    }
    PARAMD_ASSIGN_OR_RETURN(
        std::unique_ptr<BoundOp> op,
        step.planned.op->Bind({inputs, outputs, arena_->base() + step.scratch_offset}));
    bound->ops.push_back(std::move(op));
  }
  for (const ProgramTensor& input : program->inputs) {
    bound->inputs.push_back({input.dtype, input.shape, arena_->base() + input.place.offset});
  }
  for (const ProgramTensor& output : program->outputs) {
    bound->outputs.push_back({output.dtype, output.shape, AddressOf(*program, output.place)});
  }
  bound->program = std::move(program);
  return bound;
}

MutableTensorView CompiledSession::input(int i) {
  CHECK(current_ != nullptr) << "input() before a successful Prepare";
  return current_->inputs[static_cast<size_t>(i)];
}

absl::Status CompiledSession::Run() {
  CHECK(current_ != nullptr) << "Run() before a successful Prepare";
  for (size_t i = 0; i < current_->ops.size(); ++i) {
    const absl::Status status = profile_ == nullptr ? current_->ops[i]->Run() : RunStep(i);
    if (status.ok()) continue;
    const NodeId node = current_->program->steps[i].node;
    return absl::Status(
        status.code(),
        ToAbsl(StrCat("node '", node == kNone ? "reorder" : model_->graph().node(node).name,
                      "': ", FromAbsl(status.message()))));
  }
  return absl::OkStatus();
}

absl::Status CompiledSession::RunStep(size_t i) {
  const ProgramStep& step = current_->program->steps[i];
  return profile_->Time(
      &step, [&] { return current_->ops[i]->Run(); },
      [&] { return ProfileLine(model_->graph(), step); });
}

TensorView CompiledSession::output(int i) const {
  CHECK(current_ != nullptr) << "output() before a successful Prepare";
  return current_->outputs[static_cast<size_t>(i)];
}

}  // namespace paramd
