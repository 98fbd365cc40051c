#include "tests/integration/daemon_rig.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/byte_buffer.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <utility>

#include "runtime/base/clock.h"
#include "runtime/base/strings.h"
#include "tests/support/onnx_builder.h"
#include "tests/support/status_testing.h"

namespace paramd {
namespace {

// Long enough for a sanitizer build on a busy machine; nothing waits for it in a good run.
constexpr auto kPatience = std::chrono::seconds(120);

constexpr char kServing = 1;  // HealthCheckResponse.ServingStatus.SERVING.

// HealthCheckRequest{service} by hand: the library does not install its messages.
grpc::ByteBuffer HealthRequest(const std::string& service) {
  std::string bytes;
  if (!service.empty()) {
    bytes.push_back('\x0a');
    bytes.push_back(static_cast<char>(service.size()));
    bytes += service;
  }
  const grpc::Slice slice(bytes);
  return grpc::ByteBuffer(&slice, 1);
}

// HealthCheckResponse{status}.
char StatusOf(const grpc::ByteBuffer& response) {
  grpc::Slice slice;
  if (!response.TrySingleSlice(&slice).ok() || slice.size() < 2) return 0;
  return static_cast<char>(slice.begin()[1]);
}

// Follows Watch until the service says SERVING.
bool WaitUntilServing(const std::shared_ptr<grpc::Channel>& channel) {
  grpc::GenericStub stub(channel);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kPatience);
  context.set_wait_for_ready(true);
  grpc::CompletionQueue queue;
  const auto next = [&queue] {
    void* tag = nullptr;
    bool ok = false;
    return queue.Next(&tag, &ok) && ok;
  };
  auto stream = stub.PrepareCall(&context, "/grpc.health.v1.Health/Watch", &queue);
  stream->StartCall(nullptr);
  if (!next()) return false;
  stream->Write(HealthRequest(""), nullptr);
  if (!next()) return false;
  stream->WritesDone(nullptr);
  if (!next()) return false;
  bool serving = false;
  while (!serving) {
    grpc::ByteBuffer response;
    stream->Read(&response, nullptr);
    if (!next()) break;
    serving = StatusOf(response) == kServing;
  }
  context.TryCancel();
  grpc::Status status;
  stream->Finish(&status, nullptr);
  next();
  return serving;
}

absl::Status ToAbslStatus(const grpc::Status& status) {
  return {static_cast<absl::StatusCode>(status.error_code()), status.error_message()};
}

}  // namespace

std::string HttpGet(int port, const std::string& path) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  std::string answer;
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0) {
    const std::string request = StrCat("GET ", path, " HTTP/1.0\r\n\r\n");
    (void)!write(fd, request.data(), request.size());
    char chunk[4096];
    for (ssize_t got; (got = read(fd, chunk, sizeof(chunk))) > 0;) {
      answer.append(chunk, static_cast<size_t>(got));
    }
  }
  close(fd);
  return answer;
}

std::string LinearModel(float w0, float w1) {
  return OnnxBuilder()
      .Input("x", DType::kF32, {"N", "2"})
      .Floats("w", {2, 1}, {w0, w1})
      .Node("MatMul", {"x", "w"}, {"y"})
      .Output("y", DType::kF32, {"N", "1"})
      .Build();
}

std::string OpenShapeModel() {
  return OnnxBuilder()
      .Input("x", DType::kF32, {"N", "M"})
      .Node("Add", {"x", "x"}, {"sum"})
      .Node("Relu", {"sum"}, {"y"})
      .Output("y", DType::kF32, {"N", "M"})
      .Build();
}

std::string SlowModel(int width, int layers) {
  OnnxBuilder builder;
  const std::string size = StrCat(width);
  builder.Input("x", DType::kF32, {"N", size});
  std::string value = "x";
  for (int i = 0; i < layers; ++i) {
    const std::string weight = StrCat("w", i);
    const std::string result = i + 1 == layers ? "y" : StrCat("h", i);
    builder.RandomFloats(weight, {width, width}, static_cast<uint32_t>(i + 1), 0.01f);
    builder.Node("MatMul", {value, weight}, {result});
    value = result;
  }
  return builder.Output("y", DType::kF32, {"N", size}).Build();
}

DaemonRig::DaemonRig() {
  config.model_repository = folder_.path();
  config.grpc_address = "127.0.0.1:0";
  config.metrics_address = "127.0.0.1:0";
  config.admin_socket = folder_.path("admin.sock");
  config.parameter_capacity_bytes = uint64_t{1} << 30;
  config.drain_grace = absl::ZeroDuration();
}

DaemonRig::~DaemonRig() = default;

void DaemonRig::AddModel(const std::string& model, int version, const std::string& onnx) {
  folder_.Write(StrCat(model, "/", version, "/model.onnx"), onnx);
}

void DaemonRig::AddConfig(const std::string& model, const std::string& text) {
  folder_.Write(StrCat(model, "/config.pbtxt"), text);
}

void DaemonRig::Start() {
  absl::StatusOr<std::unique_ptr<Worker>> worker = Worker::Start(config, Clock::Real());
  ASSERT_OK(worker.status());
  worker_ = std::move(*worker);
  channel_ = NewChannel();
  ASSERT_TRUE(WaitUntilServing(channel_)) << "the daemon did not become ready";
}

std::shared_ptr<grpc::Channel> DaemonRig::NewChannel() const {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // A connection of its own.
  arguments.SetMaxReceiveMessageSize(-1);
  return grpc::CreateCustomChannel(StrCat("127.0.0.1:", worker_->grpc_port()),
                                   grpc::InsecureChannelCredentials(), arguments);
}

std::string DaemonRig::Health(const std::string& service) {
  grpc::GenericStub stub(channel_);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kPatience);
  grpc::CompletionQueue queue;
  auto call = stub.PrepareUnaryCall(&context, "/grpc.health.v1.Health/Check",
                                    HealthRequest(service), &queue);
  call->StartCall();
  grpc::ByteBuffer response;
  grpc::Status status;
  call->Finish(&response, &status, nullptr);
  void* tag = nullptr;
  bool ok = false;
  queue.Next(&tag, &ok);
  if (!status.ok()) return std::string(absl::StatusCodeToString(ToAbslStatus(status).code()));
  return StatusOf(response) == kServing ? "SERVING" : "NOT_SERVING";
}

absl::StatusOr<v1::PredictResponse> DaemonRig::Predict(const v1::PredictRequest& request,
                                                       grpc::ClientContext* context) const {
  grpc::ClientContext own;
  if (context == nullptr) {
    own.set_deadline(std::chrono::system_clock::now() + kPatience);
    context = &own;
  }
  v1::PredictResponse response;
  const grpc::Status status =
      v1::PredictService::NewStub(channel_)->Predict(context, request, &response);
  if (!status.ok()) return ToAbslStatus(status);
  return response;
}

absl::StatusOr<v1::GetModelInfoResponse> DaemonRig::Info(const std::string& model,
                                                         int64_t version) {
  grpc::ClientContext context;
  v1::GetModelInfoRequest request;
  request.set_model(model);
  request.set_include_parameters(true);
  request.set_include_ops(true);
  if (version != 0) request.set_version(version);
  v1::GetModelInfoResponse response;
  const grpc::Status status =
      v1::ModelService::NewStub(channel_)->GetModelInfo(&context, request, &response);
  if (!status.ok()) return ToAbslStatus(status);
  return response;
}

absl::StatusOr<v1::ListModelsResponse> DaemonRig::List() {
  grpc::ClientContext context;
  v1::ListModelsResponse response;
  const grpc::Status status =
      v1::ModelService::NewStub(channel_)->ListModels(&context, {}, &response);
  if (!status.ok()) return ToAbslStatus(status);
  return response;
}

double DaemonRig::Metric(const std::string& series) {
  const std::string page = HttpGet(worker_->metrics_port(), "/metrics");
  const size_t at = page.find(StrCat("\n", series, " "));
  return at == std::string::npos ? 0 : std::stod(page.substr(at + series.size() + 2));
}

v1::PredictRequest Request(const std::string& model, const std::string& input,
                           const std::vector<int64_t>& shape, const std::vector<float>& values) {
  v1::PredictRequest request;
  request.set_model(model);
  v1::Tensor* tensor = request.add_inputs();
  tensor->set_name(input);
  tensor->set_dtype(v1::DATA_TYPE_F32);
  for (const int64_t dim : shape) tensor->add_shape(dim);
  tensor->set_raw(values.data(), values.size() * sizeof(float));
  return request;
}

std::vector<float> Values(const v1::Tensor& tensor) {
  std::vector<float> values(tensor.raw().size() / sizeof(float));
  std::memcpy(values.data(), tensor.raw().data(), values.size() * sizeof(float));
  return values;
}

}  // namespace paramd
