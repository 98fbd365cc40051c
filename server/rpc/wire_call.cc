#include "server/rpc/wire_call.h"

#include <grpcpp/server_context.h>

#include <algorithm>
#include <string>
#include <utility>

#include "absl/log/log.h"
#include "absl/log/vlog_is_on.h"
#include "absl/time/time.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/model.h"

namespace paramd {
namespace {

// The type that the model declares for an input; kUndefined for a name it does
// not know, which the router refuses.
DType DeclaredType(const ModelHandle& version, std::string_view input) {
  for (const TensorSpec& spec : version->model().description().inputs) {
    if (spec.name == input) return spec.dtype;
  }
  return DType::kUndefined;
}

}  // namespace

std::byte* NewSlice(uint64_t bytes, grpc::Slice* slice) {
  *slice = grpc::Slice(bytes);
  return reinterpret_cast<std::byte*>(const_cast<uint8_t*>(slice->begin()));
}

WireCall::WireCall(const WireCallParts& parts) : parts_(parts) {
  arrival = parts_.clock->Now();
  sink = this;
  parts_.metrics->AddOpenRequests(1);
}

absl::Status WireCall::Arrive(const grpc::CallbackServerContext& context,
                              const grpc::ByteBuffer& message) {
  const auto trace = context.client_metadata().find("traceparent");
  if (trace != context.client_metadata().end()) {
    log_.traceparent = CheckedTraceparent({trace->second.data(), trace->second.size()});
  }
  const auto deadline_of_call = context.deadline();
  if (deadline_of_call != std::chrono::system_clock::time_point::max()) {
    deadline_of_call_ = absl::FromChrono(deadline_of_call);
  }
  if (!message.Dump(&slices_).ok()) {
    return absl::InvalidArgumentError("the message could not be decompressed");
  }
  for (const grpc::Slice& slice : slices_) {
    fragments_.push_back(Fragment(reinterpret_cast<const std::byte*>(slice.begin()), slice.size()));
  }
  request_bytes_ = message.Length();
  return absl::OkStatus();
}

absl::Status WireCall::TakeHead(WireRequest* wire) {
  log_.request_id = CheckedRequestId(wire->request_id);
  request_id = std::move(wire->request_id);
  model = std::move(wire->model);
  choice = {wire->version, std::move(wire->label)};
  outputs = std::move(wire->outputs);
  priority = wire->priority;
  deadline = deadline_of_call_;
  if (wire->timeout_us != 0) {
    deadline = std::min(deadline, arrival + absl::Microseconds(wire->timeout_us));
  }
  PARAMD_ASSIGN_OR_RETURN(version, parts_.router->Resolve(model, choice));
  return absl::OkStatus();
}

absl::Status WireCall::Take(WireRequest wire) {
  PARAMD_RETURN_IF_ERROR(TakeHead(&wire));
  for (WireTensor& tensor : wire.inputs) PARAMD_RETURN_IF_ERROR(TakeInput(std::move(tensor)));
  return absl::OkStatus();
}

absl::Status WireCall::TakeInput(WireTensor wire, const ByteSource* source,
                                 uint64_t source_offset) {
  const DType declared = DeclaredType(version, wire.name);
  NamedTensor& input = inputs.emplace_back();
  input.shape = wire.shape;
  input.dtype = wire.dtype;
  if (declared == DType::kUndefined) {
    // The router answers that the model has no such input, and what it has.
    input.name = std::move(wire.name);
    return absl::OkStatus();
  }
  PARAMD_ASSIGN_OR_RETURN(const bool in_place, CheckRaw(wire, declared));
  if (in_place && source != nullptr) {
    input.source = source;
    input.source_offset = source_offset;
    input.source_bytes = wire.raw_bytes;
  } else if (in_place) {
    input.fragments.assign(wire.raw.begin(), wire.raw.end());
  } else {
    std::vector<std::byte> read;
    if (source != nullptr) {
      // Strings are taken apart here, so they must hold still: out of the source first.
      if (wire.raw_bytes > parts_.limits.typed_bytes_max) {
        return absl::InvalidArgumentError(StrCat("input '", wire.name, "' has ", wire.raw_bytes,
                                                 " bytes of strings, at most ",
                                                 parts_.limits.typed_bytes_max, " are allowed"));
      }
      read.resize(wire.raw_bytes);
      PARAMD_RETURN_IF_ERROR(source->Read(source_offset, absl::MakeSpan(read)));
      wire.raw = {read};
    }
    PARAMD_ASSIGN_OR_RETURN(Tensor tensor, DecodeTyped(wire, declared, parts_.limits));
    const Tensor& held = typed_inputs_.emplace_back(std::move(tensor));
    input.dtype = held.dtype();
    if (held.dtype() == DType::kString) {
      input.strings = held.view().as<std::string>();
    } else if (const uint64_t bytes = held.view().bytes(); bytes > 0) {
      input.fragments.push_back({static_cast<const std::byte*>(held.view().data), bytes});
    }
  }
  input.name = std::move(wire.name);
  return absl::OkStatus();
}

absl::Status WireCall::Settle(absl::StatusOr<PredictAnswer> answer) {
  uint64_t response_bytes = 0;
  absl::Status status = answer.status();
  if (status.ok()) {
    const absl::StatusOr<uint64_t> encoded = Encode(*answer);
    status = encoded.status();
    response_bytes = encoded.value_or(0);
  }
  Record(status, answer.ok() ? &*answer : nullptr, response_bytes);
  inputs.clear();
  version = ModelHandle();  // Before Finished: it may delete this call at once.
  parts_.metrics->AddOpenRequests(-1);
  return status;
}

void WireCall::Record(const absl::Status& status, const PredictAnswer* answer,
                      uint64_t response_bytes) {
  const absl::Time now = parts_.clock->Now();
  RequestMetrics* requests = parts_.metrics->unknown_model();
  if (version) {
    VersionMetrics& metrics = version->metrics();
    requests = &metrics;
    if (status.ok()) {
      const StageTimes& times = answer->times;
      RecordStages(times, arrival, now, &metrics);
      metrics.statistics().RecordSuccess(answer->rows, now - arrival,
                                         {.queue = times.queue,
                                          .input = times.batch,
                                          .infer = times.compute,
                                          .output = now - times.computed},
                                         now);
    } else {
      metrics.statistics().RecordFailure(now - arrival);
    }
    metrics.RecordMessageBytes(request_bytes_, response_bytes);
  }
  requests->RecordRequest(status.code(), now - arrival);
  Log(status, now - arrival);
}

void WireCall::Log(const absl::Status& status, absl::Duration took) const {
  const bool ours = absl::IsInternal(status) || absl::IsUnknown(status);
  if (!ours && !VLOG_IS_ON(1)) return;
  LogContext context(log_);
  if (ours) {
    LOG(ERROR) << "predict " << model << " failed after " << took << ": " << status;
  } else {
    VLOG(1) << "predict " << model << ": " << (status.ok() ? "OK" : status.ToString()) << " in "
            << took;
  }
}

}  // namespace paramd
