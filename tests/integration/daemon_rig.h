// DaemonRig: a whole worker in this process, on ports that the system chose,
// with clients. Waiting is done through gRPC's health service, so no test sleeps.
//
// Thread-safety: Predict may be called from any thread, the rest from the test's.
#ifndef PARAMD_TESTS_INTEGRATION_DAEMON_RIG_H_
#define PARAMD_TESTS_INTEGRATION_DAEMON_RIG_H_

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proto/paramd/v1/model.grpc.pb.h"
#include "proto/paramd/v1/predict.grpc.pb.h"
#include "server/config/server_config.h"
#include "server/worker.h"
#include "tests/support/temp_folder.h"

namespace paramd {

// What a port of this machine answers to a GET, headers included; empty when
// nobody listens.
std::string HttpGet(int port, const std::string& path);

// y = x w for x [N, 2] -> y [N, 1], named "x" and "y".
std::string LinearModel(float w0, float w1);
// x [N, M] -> relu(x + x): every M is a shape of its own.
std::string OpenShapeModel();
// A chain of square matrix products that takes long enough to be interrupted:
// x [N, width] -> y [N, width].
std::string SlowModel(int width, int layers);

class DaemonRig {
 public:
  DaemonRig();
  ~DaemonRig();

  // <repository>/<model>/<version>/model.onnx, before Start.
  void AddModel(const std::string& model, int version, const std::string& onnx);
  void AddConfig(const std::string& model, const std::string& text);

  // Change what is needed before Start.
  ServerConfig config;
  // Starts, and waits until the overall health is SERVING.
  void Start();
  Worker& worker() { return *worker_; }
  void Stop() { worker_.reset(); }

  // Of grpc.health.v1: "SERVING", "NOT_SERVING", or the error's code.
  std::string Health(const std::string& service);

  std::shared_ptr<grpc::Channel> NewChannel() const;
  const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }
  absl::StatusOr<v1::PredictResponse> Predict(const v1::PredictRequest& request,
                                              grpc::ClientContext* context = nullptr) const;
  absl::StatusOr<v1::GetModelInfoResponse> Info(const std::string& model, int64_t version = 0);
  absl::StatusOr<v1::ListModelsResponse> List();
  // The value of one series of /metrics, such as paramd_requests_total{model="m",...}; 0 if absent.
  double Metric(const std::string& series);

 private:
  TempFolder folder_;
  std::unique_ptr<Worker> worker_;
  std::shared_ptr<grpc::Channel> channel_;
};

// A request of one f32 tensor.
v1::PredictRequest Request(const std::string& model, const std::string& input,
                           const std::vector<int64_t>& shape, const std::vector<float>& values);
std::vector<float> Values(const v1::Tensor& tensor);

}  // namespace paramd

#endif  // PARAMD_TESTS_INTEGRATION_DAEMON_RIG_H_
