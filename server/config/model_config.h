// ModelConfig: what an engineer may say about a model in config.pbtxt, beside
// its version folders. Everything is optional; a model without the file gets
// the defaults below.
//
// The file is Triton's format (proto/inference/model_config.proto), read with
// protobuf's TextFormat under limits of size and depth. This header knows
// nothing of protobuf.
//
// Thread-safety: values and pure functions.
#ifndef PARAMD_SERVER_CONFIG_MODEL_CONFIG_H_
#define PARAMD_SERVER_CONFIG_MODEL_CONFIG_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "runtime/tensor/dtype.h"
#include "server/config/precision.h"

namespace paramd {

// Which of the versions in a model's folder are served.
struct VersionPolicy {
  enum class Kind { kLatest, kAll, kSpecific };
  Kind kind = Kind::kLatest;
  int64_t latest_count = 1;       // kLatest: that many of the highest numbers.
  std::vector<int64_t> versions;  // kSpecific: these, ascending, without repeats.

  friend bool operator==(const VersionPolicy&, const VersionPolicy&) = default;
};

// An input or output as the file declares it. The model decides; a declaration
// that contradicts it is an error, see CheckDeclarations.
struct DeclaredTensor {
  std::string name;
  DType dtype = DType::kUndefined;  // kUndefined: not said.
  std::vector<int64_t> dims;        // -1: any size.
  // Of outputs: a plain file name in the model's folder, and its lines once the
  // model is loaded (output_labels.h).
  std::string label_filename = {};
  std::vector<std::string> labels = {};
};

// An input that is what an output of the request before was (sequence_batching).
struct DeclaredState {
  std::string input;
  std::string output;
};

struct ModelConfig {
  std::string name;  // As in the file; empty when it does not say.
  // In each version's folder: a plain file name that ends in ".onnx".
  std::string model_filename = "model.onnx";

  // Rows of one batch. Nothing: paramd proves for itself whether rows may share
  // one. 0: never.
  std::optional<int64_t> max_batch_size;
  // Ascending; a batch of exactly one of these sizes need not wait for more.
  std::vector<int64_t> preferred_batch_sizes;
  // How long a request may wait for company while a stream is idle.
  absl::Duration queue_delay_max = absl::ZeroDuration();
  // 1 is highest. 0 levels: priorities of requests are taken as they come.
  int64_t priority_levels = 0;
  int64_t default_priority = 0;
  // For requests without a timeout of their own; infinite: none.
  absl::Duration request_timeout_default = absl::InfiniteDuration();
  // 0: the daemon's --queue-requests-max.
  int64_t queue_requests_max = 0;
  // Batches of this model that may run at once; 0: as many as there are streams.
  int64_t concurrent_batches_max = 0;

  VersionPolicy version_policy;

  // Nothing: the daemon's --default-precision.
  std::optional<Precision> precision;
  // How far an answer to a golden request may be from the expected one, as a share
  // of the output's largest value; nothing: by the precision (server/gate).
  std::optional<double> gate_tolerance;
  // A new version may take at most so many times as long as the one that serves,
  // on the first golden request; 0: any time. Nothing: the gate's own.
  std::optional<double> gate_latency_factor;
  // Graph passes to leave out, by name (runtime/graph/passes/README.md): to find
  // out whether one changes an answer. A name that no pass has fails the load.
  std::vector<std::string> disabled_passes;
  // Answers do not depend on the company a request has in its batch.
  bool batch_invariant = false;
  // A new version takes the old one's memory before it loads; requests get
  // Unavailable meanwhile. Else both are in memory until the new one serves.
  bool memory_first = false;

  std::vector<DeclaredTensor> inputs;
  std::vector<DeclaredTensor> outputs;
  // What the daemon keeps for each sequence; empty: found by the tensors' names.
  std::vector<DeclaredState> states;
  // Sequences of this model are forgotten after that long without a request;
  // nothing: the daemon's --sequence-idle-max.
  std::optional<absl::Duration> sequence_idle_max;

  // Fields and parameters that the file sets and paramd does not use, by name,
  // such as "optimization" or "parameters[\"gpu_mem\"]": for one warning.
  std::vector<std::string> unused_fields;
};

inline constexpr int64_t kModelConfigBytesMax = 1 << 20;
inline constexpr int kModelConfigDepthMax = 32;
// Bounds of what a file may ask for.
inline constexpr int64_t kMaxBatchSizeMax = 1 << 16;
inline constexpr absl::Duration kQueueDelayMaxMax = absl::Seconds(60);

// InvalidArgument, with the line, for text that is not a configuration and for
// values out of range; Unimplemented for what would change answers and paramd
// does not do (ensembles, controls of sequences, reshapes, another platform's model).
absl::StatusOr<ModelConfig> ParseModelConfig(std::string_view text);

// The text of a config.pbtxt that says what this JSON says (protobuf's mapping, as
// Triton's load parameter "config" has it). InvalidArgument for anything else.
absl::StatusOr<std::string> ModelConfigFromJson(std::string_view json);

// Whether what the file declares fits the model. `inputs` and `outputs` are the
// model's own, batch dimension included (-1 where symbolic). With a
// max_batch_size above 0 the file's dims leave the batch dimension out, as
// Triton's do; else they have it.
absl::Status CheckDeclarations(const ModelConfig& config, absl::Span<const DeclaredTensor> inputs,
                               absl::Span<const DeclaredTensor> outputs);

// What the file says of this output; null: nothing.
const DeclaredTensor* FindDeclaredOutput(const ModelConfig& config, std::string_view name);

}  // namespace paramd

#endif  // PARAMD_SERVER_CONFIG_MODEL_CONFIG_H_
