#include "server/rpc/kserve/infer_call.h"

#include <any>
#include <utility>

#include "absl/log/check.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/model.h"
#include "server/config/model_config.h"
#include "server/rpc/kserve/classification.h"
#include "server/rpc/kserve/infer_types.h"

namespace paramd {
namespace {

absl::Status Of(std::string_view tensor, const absl::Status& status) {
  return absl::Status(status.code(), StrCat(tensor, ": ", FromAbsl(status.message())));
}

}  // namespace

void InferCall::Start(const grpc::CallbackServerContext& context, const grpc::ByteBuffer& message) {
  const absl::StatusOr<bool> decoded = Decode(context, message);
  if (!decoded.ok()) {
    OnDone(decoded.status());
  } else if (*decoded) {
    parts().router->Predict(this);
  }
}

absl::StatusOr<bool> InferCall::Decode(const grpc::CallbackServerContext& context,
                                       const grpc::ByteBuffer& message) {
  PARAMD_RETURN_IF_ERROR(Arrive(context, message));
  PARAMD_ASSIGN_OR_RETURN(InferRequest request, DecodeInferRequest(fragments(), parts().limits));
  wishes_ = std::move(request.output_wishes);
  wished_names_ = request.call.outputs;
  PARAMD_RETURN_IF_ERROR(TakeHead(&request.call));
  PARAMD_RETURN_IF_ERROR(TakeInputs(&request));
  PARAMD_RETURN_IF_ERROR(CheckPlaces());
  if (request.sequence.id.empty()) return true;
  return !BeginSequence(std::move(request.sequence));
}

absl::Status InferCall::TakeInputs(InferRequest* request) {
  for (size_t i = 0; i < request->call.inputs.size(); ++i) {
    WireTensor& input = request->call.inputs[i];
    const RegionRange& place = request->input_places[i];
    if (!place.used()) {
      PARAMD_RETURN_IF_ERROR(TakeInput(std::move(input)));
      continue;
    }
    const std::string name = StrCat("input '", input.name, "'");
    const absl::StatusOr<const SharedRegion*> region = RegionOf(place);
    if (!region.ok()) return Of(name, region.status());
    input.raw_bytes = place.bytes;
    const absl::Status taken = TakeInput(std::move(input), *region, place.offset);
    if (!taken.ok()) return Of(name, taken);
  }
  return absl::OkStatus();
}

// Before the model runs: what cannot be delivered should not be computed.
absl::Status InferCall::CheckPlaces() {
  for (size_t i = 0; i < wishes_.size(); ++i) {
    if (!wishes_[i].place.used()) continue;
    const absl::Status status = RegionOf(wishes_[i].place).status();
    if (!status.ok()) return Of(StrCat("output '", wished_names_[i], "'"), status);
  }
  return absl::OkStatus();
}

absl::StatusOr<const SharedRegion*> InferCall::RegionOf(const RegionRange& place) {
  if (parts_.regions == nullptr) {
    return absl::UnavailableError(
        "use of shared-memory regions is off; start paramd with --allow-client-shm");
  }
  PARAMD_ASSIGN_OR_RETURN(std::shared_ptr<const SharedRegion> region,
                          parts_.regions->Find(place.region));
  PARAMD_RETURN_IF_ERROR(region->Check(place.offset, place.bytes));
  return regions_.emplace_back(std::move(region)).get();
}

bool InferCall::BeginSequence(SequenceWish wish) {
  const ModelDescription& description = version->model().description();
  const auto given = [this](const std::string& name) {
    for (const NamedTensor& input : inputs) {
      if (input.name == name) return true;
    }
    return false;
  };
  const auto* const config = std::any_cast<ModelConfig>(&version->config());
  for (const StatePair& pair : FindStatePairs(description, config)) {
    // A state that the client keeps itself is the client's.
    if (!given(description.inputs[static_cast<size_t>(pair.input)].name)) pairs_.push_back(pair);
  }
  if (pairs_.empty()) return false;
  parts_.sequences->Begin(
      {.model = version->id().model,
       .id = std::move(wish.id),
       .start = wish.start,
       .end = wish.end,
       .generation = version->generation(),
       .idle_max = config == nullptr ? std::nullopt : config->sequence_idle_max},
      [this](absl::StatusOr<SequenceStates::Lease> lease) { GoOn(std::move(lease)); });
  return true;
}

void InferCall::GoOn(absl::StatusOr<SequenceStates::Lease> lease) {
  if (!lease.ok()) {
    OnDone(lease.status());
    return;
  }
  lease_ = *std::move(lease);
  AddStates();
  parts().router->Predict(this);
}

void InferCall::AddStates() {
  const ModelDescription& description = version->model().description();
  const size_t given = inputs.size();
  for (size_t i = 0; i < pairs_.size(); ++i) {
    const TensorSpec& spec = description.inputs[static_cast<size_t>(pairs_[i].input)];
    const Tensor* state = nullptr;
    if (lease_.states().empty()) {
      // Zeros, as all of these models begin.
      state = &first_states_.emplace_back(
          spec.dtype, InitialShape(description, spec, absl::MakeSpan(inputs).subspan(0, given)));
    } else {
      state = &lease_.states()[i];
    }
    NamedTensor& input = inputs.emplace_back();
    input.name = spec.name;
    input.dtype = spec.dtype;
    input.shape = state->shape();
    if (const uint64_t bytes = state->view().bytes(); bytes > 0) {
      input.fragments.push_back({static_cast<const std::byte*>(state->view().data), bytes});
    }
    const std::string& output = description.outputs[static_cast<size_t>(pairs_[i].output)].name;
    if (!outputs.empty() && WishFor(output) == nullptr) outputs.push_back(output);
  }
}

absl::Status InferCall::KeepStates(const PredictAnswer& answer) {
  const ModelDescription& description = version->model().description();
  std::vector<Tensor> states;
  for (const StatePair& pair : pairs_) {
    const std::string_view name = description.outputs[static_cast<size_t>(pair.output)].name;
    for (const OutputTensor& output : answer.outputs) {
      if (output.name == name) states.push_back(Tensor::CopyOf(output.view));
    }
  }
  CHECK_EQ(states.size(), pairs_.size());
  return lease_.Keep(std::move(states));
}

const OutputWish* InferCall::WishFor(std::string_view output) const {
  for (size_t i = 0; i < wished_names_.size(); ++i) {
    if (wished_names_[i] == output) return &wishes_[i];
  }
  return nullptr;
}

// States that the daemon keeps are shown only to those who name them.
bool InferCall::IsHidden(std::string_view output) const {
  if (!lease_ || WishFor(output) != nullptr) return false;
  const ModelDescription& description = version->model().description();
  for (const StatePair& pair : pairs_) {
    if (description.outputs[static_cast<size_t>(pair.output)].name == output) return true;
  }
  return false;
}

absl::Span<const std::string> InferCall::LabelsOf(std::string_view output) const {
  const auto* const config = std::any_cast<ModelConfig>(&version->config());
  const DeclaredTensor* const declared =
      config == nullptr ? nullptr : FindDeclaredOutput(*config, output);
  return declared == nullptr ? absl::Span<const std::string>() : declared->labels;
}

absl::StatusOr<InferOutput> InferCall::Place(const OutputTensor& output) {
  InferOutput placed = {output.name, output.view};
  const OutputWish* const wish = WishFor(output.name);
  if (wish != nullptr && wish->top_values > 0) {
    const bool by_rows = version->model().description().batch_rows_max > 0;
    PARAMD_ASSIGN_OR_RETURN(Tensor texts, Classify(output.view, wish->top_values, by_rows,
                                                   LabelsOf(output.name)));
    placed.tensor = made_.emplace_back(std::move(texts)).view();
  }
  if (InferTypeName(placed.tensor.dtype).empty()) {
    return absl::UnimplementedError(StrCat("type ", DTypeName(placed.tensor.dtype),
                                           " has no name in this protocol; paramd.v1 has one"));
  }
  if (wish == nullptr || !wish->place.used()) return placed;
  const uint64_t bytes = RawBytes(placed.tensor);
  if (bytes > wish->place.bytes) {
    return absl::InvalidArgumentError(StrCat("it has ", bytes, " bytes, its place in region '",
                                             wish->place.region, "' has ", wish->place.bytes));
  }
  PARAMD_ASSIGN_OR_RETURN(const SharedRegion* const region, RegionOf(wish->place));
  absl::Span<const std::byte> content(static_cast<const std::byte*>(placed.tensor.data), bytes);
  std::vector<std::byte> strings;
  if (placed.tensor.dtype == DType::kString) {
    strings.resize(bytes);
    WriteRawTensor(placed.tensor, strings.data());
    content = strings;
  }
  PARAMD_RETURN_IF_ERROR(region->Write(wish->place.offset, content));
  placed.place = &wish->place;
  return placed;
}

absl::StatusOr<uint64_t> InferCall::Encode(const PredictAnswer& answer) {
  absl::InlinedVector<InferOutput, 8> placed;
  for (const OutputTensor& output : answer.outputs) {
    if (IsHidden(output.name)) continue;
    absl::StatusOr<InferOutput> one = Place(output);
    if (!one.ok()) return Of(StrCat("output '", output.name, "'"), one.status());
    placed.push_back(*one);
  }
  // Last: a request that fails leaves its sequence as it was.
  if (lease_) PARAMD_RETURN_IF_ERROR(KeepStates(answer));
  const InferResponseHead head = {.model = version->id().model,
                                  .version = version->id().number,
                                  .generation = version->generation(),
                                  .weights_id = version->weights_id(),
                                  .request_id = request_id,
                                  .in_stream = in_stream_};
  grpc::Slice encoded;
  EncodeInferResponse(head, placed,
                      [&encoded](uint64_t bytes) { return NewSlice(bytes, &encoded); });
  written_ = grpc::ByteBuffer(&encoded, 1);
  return encoded.size();
}

void InferCall::OnDone(absl::StatusOr<PredictAnswer> answer) {
  if (answer.ok() && parts_.traces->on()) {
    parts_.traces->Trace({.model = version->id().model,
                          .version = version->id().number,
                          .request_id = log_fields().request_id,
                          .arrival = arrival,
                          .submitted = answer->times.submitted,
                          .computed = answer->times.computed,
                          .answered = parts().clock->Now(),
                          .queue = answer->times.queue,
                          .input = answer->times.batch});
  }
  absl::Status status = Settle(std::move(answer));
  // Finished may delete this call; the next of its sequence goes after that.
  const SequenceStates::Lease lease = std::move(lease_);
  Finished(std::move(status));
}

}  // namespace paramd
