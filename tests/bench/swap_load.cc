// swap_load: an open loop of Predict requests at a fixed rate, with a record of
// each: when it was due, sent and answered, by which version and generation, and
// the first numbers of the answer. swap_under_load.py judges the records.
//
//   swap_load --target ADDRESS --model NAME --rate R --columns C --output FILE
//             [--connections N] [--seed S] [--seconds T]
//
// The request is one row of C numbers drawn from the seed, f32, named "x". It runs
// until standard input ends, or for T seconds. The file is a sequence of Record,
// little-endian; times are of the monotonic clock, in nanoseconds, as Python's
// time.monotonic_ns() gives them. Prints one JSON object.
//
// Latencies are to be counted from `due`: a request that could not be sent in time,
// because the daemon held everything up, has waited as well.
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/byte_buffer.h>
#include <poll.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "proto/paramd/v1/predict.pb.h"

namespace paramd {
namespace {

constexpr char kPredictMethod[] = "/paramd.v1.PredictService/Predict";
constexpr size_t kOutputsKept = 4;

struct Record {
  int64_t due_ns = 0;
  int64_t sent_ns = 0;
  int64_t answered_ns = 0;
  uint64_t generation = 0;
  int64_t version = 0;
  int32_t code = 0;  // gRPC's.
  float output[kOutputsKept] = {};
  uint32_t unused = 0;
};
static_assert(sizeof(Record) == 64);

struct Options {
  std::string target;
  std::string model;
  std::string output;
  double rate = 100;
  int64_t columns = 0;
  int connections = 4;
  uint64_t seed = 1;
  double seconds = 0;
};

int64_t NowNs() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

grpc::ByteBuffer Message(const Options& options) {
  std::mt19937_64 random(options.seed);
  v1::PredictRequest request;
  request.set_model(options.model);
  v1::Tensor* tensor = request.add_inputs();
  tensor->set_name("x");
  tensor->set_dtype(v1::DATA_TYPE_F32);
  tensor->add_shape(1);
  tensor->add_shape(options.columns);
  std::vector<float> values(static_cast<size_t>(options.columns));
  // swap_under_load.py draws the same: 24 bits of each number, from -1 to 1.
  for (float& value : values) {
    value = static_cast<float>(random() >> 40) / static_cast<float>(1 << 23) - 1.0f;
  }
  tensor->set_raw(values.data(), values.size() * sizeof(float));
  const grpc::Slice slice(request.SerializeAsString());
  return {&slice, 1};
}

std::shared_ptr<grpc::Channel> NewConnection(const std::string& target, int number) {
  grpc::ChannelArguments arguments;
  arguments.SetInt("paramd.swap_load.connection", number);
  return grpc::CreateCustomChannel(target, grpc::InsecureChannelCredentials(), arguments);
}

struct Call {
  Record record;
  grpc::ClientContext context;
  grpc::ByteBuffer answer;
  grpc::Status status;
  std::unique_ptr<grpc::GenericClientAsyncResponseReader> reader;
};

void ReadAnswer(grpc::ByteBuffer* buffer, Record* record) {
  grpc::Slice slice;
  if (!buffer->DumpToSingleSlice(&slice).ok()) return;
  v1::PredictResponse response;
  if (!response.ParseFromArray(slice.begin(), static_cast<int>(slice.size()))) return;
  record->generation = response.generation();
  record->version = response.version();
  if (response.outputs().empty()) return;
  const std::string& raw = response.outputs(0).raw();
  std::memcpy(record->output, raw.data(), std::min(raw.size(), sizeof(record->output)));
}

// Takes answers on a thread of its own, until the queue is shut down and empty.
void Collect(grpc::CompletionQueue* queue, std::FILE* file, int64_t* answered, int64_t* failed) {
  void* tag = nullptr;
  bool ok = false;
  while (queue->Next(&tag, &ok)) {
    const std::unique_ptr<Call> call(static_cast<Call*>(tag));
    call->record.answered_ns = NowNs();
    call->record.code = call->status.error_code();
    if (call->status.ok()) {
      ReadAnswer(&call->answer, &call->record);
    } else if (++*failed <= 5) {
      std::fprintf(stderr, "swap_load: code %d: %s\n", call->record.code,
                   call->status.error_message().c_str());
    }
    ++*answered;
    std::fwrite(&call->record, sizeof(Record), 1, file);
  }
}

// Waits until `time_ns`; false as soon as whoever started this has closed its end
// of standard input.
bool WaitUntil(int64_t time_ns, bool hear_input) {
  pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
  for (int64_t left_ns; (left_ns = time_ns - NowNs()) > 0;) {
    const timespec left = {.tv_sec = left_ns / 1'000'000'000, .tv_nsec = left_ns % 1'000'000'000};
    if (ppoll(&input, hear_input ? 1 : 0, &left, nullptr) <= 0) continue;
    char byte;
    if (read(STDIN_FILENO, &byte, 1) <= 0) return false;
  }
  return true;
}

int Run(const Options& options) {
  std::FILE* const file = std::fopen(options.output.c_str(), "wb");
  if (file == nullptr) {
    std::perror("swap_load: cannot write the records");
    return 1;
  }
  const grpc::ByteBuffer message = Message(options);
  std::vector<std::unique_ptr<grpc::GenericStub>> stubs;
  for (int i = 0; i < options.connections; ++i) {
    stubs.push_back(std::make_unique<grpc::GenericStub>(NewConnection(options.target, i)));
  }
  grpc::CompletionQueue queue;
  int64_t answered = 0;
  int64_t failed = 0;
  std::thread collector([&] { Collect(&queue, file, &answered, &failed); });
  const auto interval_ns = static_cast<int64_t>(1e9 / options.rate);
  const int64_t start_ns = NowNs();
  const int64_t end_ns =
      options.seconds > 0 ? start_ns + static_cast<int64_t>(options.seconds * 1e9) : INT64_MAX;
  int64_t sent = 0;
  for (int64_t due_ns = start_ns; due_ns < end_ns; due_ns += interval_ns) {
    if (!WaitUntil(due_ns, /*hear_input=*/options.seconds <= 0)) break;
    auto call = std::make_unique<Call>();
    call->record.due_ns = due_ns;
    call->context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
    call->reader = stubs[static_cast<size_t>(sent) % stubs.size()]->PrepareUnaryCall(
        &call->context, kPredictMethod, message, &queue);
    call->record.sent_ns = NowNs();
    call->reader->StartCall();
    Call* const held = call.release();  // Of the queue now; Collect takes it.
    held->reader->Finish(&held->answer, &held->status, held);
    ++sent;
  }
  queue.Shutdown();  // Next goes on until the last answer is there.
  collector.join();
  const bool written = std::fclose(file) == 0;
  std::printf("{\"sent\": %ld, \"answered\": %ld, \"failed\": %ld}\n", static_cast<long>(sent),
              static_cast<long>(answered), static_cast<long>(failed));
  return written ? 0 : 1;
}

int Main(int argc, char** argv) {
  Options options;
  CLI::App app("An open loop of requests with a record of each.", "swap_load");
  app.add_option("--target", options.target)->required();
  app.add_option("--model", options.model)->required();
  app.add_option("--rate", options.rate, "Requests a second")->check(CLI::PositiveNumber);
  app.add_option("--columns", options.columns)->required()->check(CLI::PositiveNumber);
  app.add_option("--output", options.output)->required();
  app.add_option("--connections", options.connections)->check(CLI::Range(1, 64));
  app.add_option("--seed", options.seed);
  app.add_option("--seconds", options.seconds, "0: until standard input ends");
  CLI11_PARSE(app, argc, argv);
  return Run(options);
}

}  // namespace
}  // namespace paramd

int main(int argc, char** argv) { return paramd::Main(argc, argv); }
