// A bare gRPC callback server with Predict's method name and messages: it looks
// at nothing and answers with bytes that were serialised once. What the daemon
// is measured against: gRPC itself, the same client, the same messages.
//
//   grpc_echo ADDRESS MODEL OUTPUT COLUMNS
//
// It answers GetModelInfo too (one f32 input "x" [N, COLUMNS]), because the
// load generator asks for it. Prints its port.
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>

#include "proto/paramd/v1/model.grpc.pb.h"
#include "proto/paramd/v1/predict.grpc.pb.h"

namespace paramd {
namespace {

class EchoPredict final
    : public v1::PredictService::WithRawCallbackMethod_Predict<v1::PredictService::Service> {
 public:
  explicit EchoPredict(const v1::PredictResponse& answer) {
    const grpc::Slice slice(answer.SerializeAsString());
    answer_ = grpc::ByteBuffer(&slice, 1);
  }

  grpc::ServerUnaryReactor* Predict(grpc::CallbackServerContext* context, const grpc::ByteBuffer*,
                                    grpc::ByteBuffer* response) override {
    *response = answer_;
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }

 private:
  grpc::ByteBuffer answer_;
};

class EchoModel final : public v1::ModelService::CallbackService {
 public:
  EchoModel(std::string input, int64_t columns) : input_(std::move(input)), columns_(columns) {}

  grpc::ServerUnaryReactor* GetModelInfo(grpc::CallbackServerContext* context,
                                         const v1::GetModelInfoRequest* request,
                                         v1::GetModelInfoResponse* response) override {
    response->set_model(request->model());
    v1::TensorInfo* tensor = response->add_inputs();
    tensor->set_name(input_);
    tensor->set_dtype(v1::DATA_TYPE_F32);
    tensor->add_shape()->set_symbol("N");
    tensor->add_shape()->set_size(columns_);
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }

 private:
  const std::string input_;
  const int64_t columns_;
};

// An answer as long as the daemon's: the same head, one tensor of one row.
v1::PredictResponse SampleAnswer(const std::string& model, int columns) {
  v1::PredictResponse answer;
  answer.set_model(model);
  answer.set_version(1);
  answer.set_generation(1'795'513'515'532'657);
  answer.set_weights_id(std::string(64, '0'));
  v1::Tensor* tensor = answer.add_outputs();
  tensor->set_name("probabilities");
  tensor->set_dtype(v1::DATA_TYPE_F32);
  tensor->add_shape(1);
  tensor->add_shape(columns);
  tensor->set_raw(std::string(static_cast<size_t>(columns) * 4, '\0'));
  return answer;
}

}  // namespace
}  // namespace paramd

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fprintf(stderr, "usage: grpc_echo ADDRESS MODEL OUTPUT_COLUMNS INPUT_COLUMNS\n");
    return 2;
  }
  paramd::EchoPredict predict(paramd::SampleAnswer(argv[2], std::atoi(argv[3])));
  paramd::EchoModel model("pixels", std::atoi(argv[4]));
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort(argv[1], grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&predict);
  builder.RegisterService(&model);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) return 1;
  std::printf("%d\n", port);
  std::fflush(stdout);
  server->Wait();
}
