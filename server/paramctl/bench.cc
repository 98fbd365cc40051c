// paramctl bench: a closed loop of requests to one model: each of `concurrency`
// workers sends its next request when its last one was answered.
#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/byte_buffer.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_format.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "server/paramctl/client.h"
#include "server/paramctl/inputs.h"
#include "server/paramctl/text_table.h"

namespace paramd {
namespace {

using SteadyClock = std::chrono::steady_clock;

struct BenchOptions {
  std::string model;
  std::string version;
  std::vector<std::string> inputs;
  std::string json_input;
  int concurrency = 1;
  int channels = 0;
  double seconds = 5;
  double warm_up_seconds = 1;
  int64_t rows = 1;
  uint64_t seed = 1;
};

struct Tally {
  std::vector<double> latencies_s;
  std::map<int, int64_t> errors;  // By gRPC code.
  std::string first_error;
};

constexpr char kPredictMethod[] = "/paramd.v1.PredictService/Predict";

// The messages are serialised once: what is measured is the daemon and gRPC.
class Loop {
 public:
  Loop(std::shared_ptr<grpc::Channel> channel, const grpc::ByteBuffer* message,
       SteadyClock::time_point measure_from, SteadyClock::time_point end, double timeout_s)
      : stub_(std::move(channel)),
        message_(message),
        measure_from_(measure_from),
        end_(end),
        timeout_s_(timeout_s) {}

  void Run() {
    while (SteadyClock::now() < end_) One();
  }
  const Tally& tally() const { return tally_; }

 private:
  void One() {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() +
                         std::chrono::milliseconds(static_cast<int64_t>(timeout_s_ * 1000)));
    grpc::ByteBuffer answer;
    grpc::CompletionQueue queue;
    const SteadyClock::time_point start = SteadyClock::now();
    const auto call = stub_.PrepareUnaryCall(&context, kPredictMethod, *message_, &queue);
    call->StartCall();
    grpc::Status status;
    call->Finish(&answer, &status, this);
    void* tag = nullptr;
    bool ok = false;
    queue.Next(&tag, &ok);
    const SteadyClock::time_point end = SteadyClock::now();
    if (start < measure_from_) return;
    if (status.ok()) {
      tally_.latencies_s.push_back(std::chrono::duration<double>(end - start).count());
    } else {
      ++tally_.errors[status.error_code()];
      if (tally_.first_error.empty()) tally_.first_error = status.error_message();
    }
  }

  grpc::GenericStub stub_;
  const grpc::ByteBuffer* const message_;
  const SteadyClock::time_point measure_from_, end_;
  const double timeout_s_;
  Tally tally_;
};

grpc::ByteBuffer Serialise(const v1::PredictRequest& request) {
  const grpc::Slice slice(request.SerializeAsString());
  return grpc::ByteBuffer(&slice, 1);
}

// Channels with arguments that differ are connections of their own.
std::shared_ptr<grpc::Channel> NewConnection(const std::string& address, int number) {
  grpc::ChannelArguments arguments;
  arguments.SetInt("paramctl.bench.connection", number);
  arguments.SetMaxReceiveMessageSize(-1);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

double Percentile(const std::vector<double>& sorted, double share) {
  if (sorted.empty()) return 0;
  const auto index = static_cast<size_t>(share * static_cast<double>(sorted.size() - 1) + 0.5);
  return sorted[std::min(index, sorted.size() - 1)];
}

void Report(const GlobalOptions& options, const BenchOptions& bench, Tally tally, double seconds) {
  std::sort(tally.latencies_s.begin(), tally.latencies_s.end());
  int64_t errors = 0;
  for (const auto& [code, count] : tally.errors) errors += count;
  const double requests = static_cast<double>(tally.latencies_s.size());
  nlohmann::ordered_json result = {
      {"model", bench.model},
      {"concurrency", bench.concurrency},
      {"rows_per_request", bench.rows},
      {"seconds", seconds},
      {"requests", tally.latencies_s.size()},
      {"errors", errors},
      {"requests_per_second", requests / seconds},
      {"latency_seconds",
       {{"p50", Percentile(tally.latencies_s, 0.50)},
        {"p90", Percentile(tally.latencies_s, 0.90)},
        {"p95", Percentile(tally.latencies_s, 0.95)},
        {"p99", Percentile(tally.latencies_s, 0.99)},
        {"max", tally.latencies_s.empty() ? 0.0 : tally.latencies_s.back()}}}};
  if (!tally.first_error.empty()) result["first_error"] = tally.first_error;
  if (options.json) {
    std::puts(result.dump(2).c_str());
    return;
  }
  std::printf("%s: %d at a time, %.1f s\n\n", bench.model.c_str(), bench.concurrency, seconds);
  TextTable table({"REQUESTS>", "ERRORS>", "A SECOND>", "P50>", "P90>", "P95>", "P99>", "MAX>"});
  const auto& latency = result["latency_seconds"];
  table.Add({WithThousands(tally.latencies_s.size()), StrCat(errors),
             absl::StrFormat("%.0f", requests / seconds), SecondsText(latency["p50"]),
             SecondsText(latency["p90"]), SecondsText(latency["p95"]), SecondsText(latency["p99"]),
             SecondsText(latency["max"])});
  std::fputs(table.ToString().c_str(), stdout);
  if (!tally.first_error.empty()) std::printf("\nfirst error: %s\n", tally.first_error.c_str());
}

absl::StatusOr<v1::PredictRequest> MakeRequest(const GlobalOptions& options,
                                               const BenchOptions& bench) {
  Client client(options);
  v1::PredictRequest request;
  request.set_model(bench.model);
  PARAMD_RETURN_IF_ERROR(SetChoice(bench.version, &request));
  if (!bench.inputs.empty() || !bench.json_input.empty()) {
    PARAMD_RETURN_IF_ERROR(
        AddInputs(&client, bench.version, bench.inputs, bench.json_input, &request));
    return request;
  }
  v1::GetModelInfoRequest info_request;
  info_request.set_model(bench.model);
  PARAMD_RETURN_IF_ERROR(SetChoice(bench.version, &info_request));
  PARAMD_ASSIGN_OR_RETURN(const v1::GetModelInfoResponse info, client.GetModelInfo(info_request));
  PARAMD_RETURN_IF_ERROR(AddRandomInputs(info, bench.rows, bench.seed, &request));
  return request;
}

absl::Status Bench(const GlobalOptions& options, const BenchOptions& bench) {
  PARAMD_ASSIGN_OR_RETURN(const v1::PredictRequest request, MakeRequest(options, bench));
  const grpc::ByteBuffer message = Serialise(request);
  const int connections =
      bench.channels > 0 ? bench.channels : std::clamp(bench.concurrency / 8, 1, 4);
  std::vector<std::shared_ptr<grpc::Channel>> channels;
  for (int i = 0; i < connections; ++i) channels.push_back(NewConnection(options.target(), i));
  const auto to_duration = [](double seconds) {
    return std::chrono::duration_cast<SteadyClock::duration>(
        std::chrono::duration<double>(seconds));
  };
  const SteadyClock::time_point from = SteadyClock::now() + to_duration(bench.warm_up_seconds);
  const SteadyClock::time_point end = from + to_duration(bench.seconds);
  std::vector<std::unique_ptr<Loop>> loops;
  std::vector<std::thread> threads;
  for (int i = 0; i < bench.concurrency; ++i) {
    loops.push_back(std::make_unique<Loop>(channels[static_cast<size_t>(i % connections)], &message,
                                           from, end, options.timeout_s));
    threads.emplace_back([loop = loops.back().get()] { loop->Run(); });
  }
  for (std::thread& thread : threads) thread.join();
  Tally total;
  for (const auto& loop : loops) {
    const Tally& one = loop->tally();
    total.latencies_s.insert(total.latencies_s.end(), one.latencies_s.begin(),
                             one.latencies_s.end());
    for (const auto& [code, count] : one.errors) total.errors[code] += count;
    if (total.first_error.empty()) total.first_error = one.first_error;
  }
  if (total.latencies_s.empty()) {
    return absl::UnavailableError(StrCat("no request was answered: ", total.first_error));
  }
  Report(options, bench, std::move(total), bench.seconds);
  return absl::OkStatus();
}

}  // namespace

void AddBenchCommand(CLI::App* app, const GlobalOptions* options, Work* work) {
  auto bench = std::make_shared<BenchOptions>();
  CLI::App* command =
      app->add_subcommand("bench", "Measure latency and throughput in a closed loop");
  command->add_option("model", bench->model, "Name of the model")->required();
  command->add_option("--model-version", bench->version, "A version number or a label");
  command->add_option("--concurrency", bench->concurrency, "Requests under way at a time")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  command->add_option("--channels", bench->channels,
                      "Connections; 0: one for each 8 requests under way, at most 4");
  command->add_option("--seconds", bench->seconds, "How long to measure")
      ->check(CLI::Range(0.05, 3600.0))
      ->capture_default_str();
  command->add_option("--warm-up", bench->warm_up_seconds, "Seconds before measuring starts")
      ->check(CLI::Range(0.0, 3600.0))
      ->capture_default_str();
  command->add_option("--rows", bench->rows, "Rows in each request's made-up inputs")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 20))
      ->capture_default_str();
  command->add_option("--seed", bench->seed, "Of the made-up inputs")->capture_default_str();
  command->add_option("--input", bench->inputs, "NAME=FILE.npy instead of made-up inputs");
  command->add_option("--json-input", bench->json_input, "JSON file instead of made-up inputs");
  command->callback([=] { *work = [=] { return Bench(*options, *bench); }; });
}

}  // namespace paramd
