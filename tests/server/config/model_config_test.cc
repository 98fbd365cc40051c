#include "server/config/model_config.h"

#include <algorithm>
#include <cstdint>
#include <iostream>
#include <random>
#include <string>
#include <vector>

#include "runtime/base/strings.h"
#include "tests/support/status_testing.h"

namespace paramd {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(ModelConfig, AnEmptyFileGivesTheDefaults) {
  ASSERT_OK_AND_ASSIGN(const ModelConfig config, ParseModelConfig(""));
  EXPECT_EQ(config.max_batch_size, std::nullopt);
  EXPECT_EQ(config.version_policy, VersionPolicy());
  EXPECT_EQ(config.queue_delay_max, absl::ZeroDuration());
  EXPECT_EQ(config.request_timeout_default, absl::InfiniteDuration());
  EXPECT_EQ(config.concurrent_batches_max, 0);
  EXPECT_EQ(config.precision, std::nullopt);
  EXPECT_EQ(config.model_filename, "model.onnx");
  EXPECT_FALSE(config.batch_invariant);
  EXPECT_THAT(config.unused_fields, IsEmpty());
}

TEST(ModelConfig, ReadsEveryFieldThatItUses) {
  ASSERT_OK_AND_ASSIGN(const ModelConfig config, ParseModelConfig(R"(
    # Comments and either separator, as in Triton's examples.
    name: "digits"
    platform: "onnxruntime_onnx"
    backend: 'onnxruntime'
    max_batch_size: 32
    input [ { name: "pixels" data_type: TYPE_FP32 dims: [ 64 ] } ]
    output [ { name: "probabilities", data_type: TYPE_FP32, dims: 10 } ]
    instance_group [ { count: 2 kind: KIND_CPU }, { count: 1 } ]
    default_model_filename: "digits.onnx"
    dynamic_batching {
      preferred_batch_size: [ 16, 4, 16 ]
      max_queue_delay_microseconds: 500
      priority_levels: 3
      default_priority_level: 2
      default_queue_policy { default_timeout_microseconds: 250000 max_queue_size: 7 }
    }
    version_policy: { specific: { versions: [ 5, 3, 5 ] } }
    parameters { key: "precision" value: { string_value: "bf16" } }
    parameters: { key: "batch_invariant", value: { string_value: "true" } }
    parameters: { key: "disabled_passes", value: { string_value: "fuse-gelu, fuse-attention" } }
  )"));
  EXPECT_EQ(config.name, "digits");
  EXPECT_EQ(config.max_batch_size, 32);
  EXPECT_THAT(config.preferred_batch_sizes, ElementsAre(4, 16));
  EXPECT_EQ(config.queue_delay_max, absl::Microseconds(500));
  EXPECT_EQ(config.priority_levels, 3);
  EXPECT_EQ(config.default_priority, 2);
  EXPECT_EQ(config.request_timeout_default, absl::Milliseconds(250));
  EXPECT_EQ(config.queue_requests_max, 7);
  EXPECT_EQ(config.concurrent_batches_max, 3);
  EXPECT_EQ(config.version_policy.kind, VersionPolicy::Kind::kSpecific);
  EXPECT_THAT(config.version_policy.versions, ElementsAre(3, 5));
  EXPECT_EQ(config.precision, Precision::kBF16);
  EXPECT_TRUE(config.batch_invariant);
  EXPECT_THAT(config.disabled_passes, ElementsAre("fuse-gelu", "fuse-attention"));
  EXPECT_EQ(config.model_filename, "digits.onnx");
  ASSERT_EQ(config.inputs.size(), 1u);
  EXPECT_EQ(config.inputs[0].dtype, DType::kF32);
  EXPECT_THAT(config.inputs[0].dims, ElementsAre(64));
  EXPECT_THAT(config.unused_fields, IsEmpty());
}

TEST(ModelConfig, TellsAMaxBatchSizeOfZeroFromNone) {
  EXPECT_EQ(ParseModelConfig("max_batch_size: 0")->max_batch_size, 0);
  EXPECT_EQ(ParseModelConfig("")->max_batch_size, std::nullopt);
}

TEST(ModelConfig, FieldsOfTritonsThatAreNotUsedAreNamed) {
  ASSERT_OK_AND_ASSIGN(const ModelConfig config, ParseModelConfig(R"(
    optimization { execution_accelerators { gpu_execution_accelerator [ { name: "tensorrt" } ] } }
    model_warmup [ { name: "w" batch_size: 1 inputs { key: "x" value { dims: [1] } } } ]
    response_cache { enable: true }
    cc_model_filenames { key: "8.0" value: "x" }
    dynamic_batching { preserve_ordering: true }
    instance_group { kind: KIND_GPU gpus: [0, 1] rate_limiter { priority: 2 } }
    input { name: "x" format: FORMAT_NCHW }
    parameters { key: "gpu_mem\n" value { string_value: "1" } }
  )"));
  EXPECT_THAT(
      config.unused_fields,
      ElementsAre("optimization", "model_warmup", "response_cache", "cc_model_filenames",
                  "rate_limiter", "dynamic_batching.preserve_ordering", "instance_group.kind",
                  "instance_group.gpus", "input.format", "parameters[\"gpu_mem\\n\"]"));
}

TEST(ModelConfig, ListsNeedNoColonAndTextInQuotesIsLeftAlone) {
  ASSERT_OK_AND_ASSIGN(const ModelConfig config, ParseModelConfig(R"(
    # instance_group [ not a list
    name: "a[\"b['c"  # text [
    input [{ name: 'x[' dims [ 3, -1 ] }]
    optimization { cuda { graph_spec [ { batch_size: 1 }, { batch_size: 2 } ] } }
  )"));
  EXPECT_EQ(config.name, "a[\"b['c");
  ASSERT_EQ(config.inputs.size(), 1u);
  EXPECT_EQ(config.inputs[0].name, "x[");
  EXPECT_THAT(config.inputs[0].dims, ElementsAre(3, -1));
  EXPECT_THAT(config.unused_fields, ElementsAre("optimization"));
}

TEST(ModelConfig, WhatWouldChangeAnswersIsRefused) {
  for (const char* text :
       {"sequence_batching { control_input [ { name: \"START\" control [ { kind: 1 } ] } ] }",
        "sequence_batching { control_input { name: \"START\" } }",
        "sequence_batching { iterative_sequence: true }",
        "sequence_batching { state { input_name: \"a\" output_name: \"b\" initial_state { "
        "data_file: \"c\" } } }",
        "ensemble_scheduling { step [ { model_name: \"x\" } ] }",
        "input { name: \"x\" dims: 4 reshape { shape: [2, 2] } }", "batch_input { kind: 1 }",
        "model_transaction_policy { decoupled: true }", "backend: \"tensorrt\"",
        "platform: \"tensorrt_plan\""}) {
    EXPECT_THAT(ParseModelConfig(text), StatusIs(absl::StatusCode::kUnimplemented)) << text;
  }
}

TEST(ModelConfig, LabelsAreInAPlainFileOfTheModelsFolder) {
  ASSERT_OK_AND_ASSIGN(const ModelConfig config, ParseModelConfig(R"(
    output [ { name: "scores" }, { name: "classes" label_filename: "labels.txt" } ]
  )"));
  EXPECT_EQ(FindDeclaredOutput(config, "classes")->label_filename, "labels.txt");
  EXPECT_EQ(FindDeclaredOutput(config, "scores")->label_filename, "");
  EXPECT_EQ(FindDeclaredOutput(config, "other"), nullptr);
  EXPECT_THAT(config.unused_fields, IsEmpty());
  for (const char* name :
       {"../labels.txt", "/etc/passwd", "1/labels.txt", "..", ".", ".hidden", "a\\000b"}) {
    EXPECT_THAT(
        ParseModelConfig(StrCat("output { name: \"y\" label_filename: \"", name, "\" }")),
        StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("plain file name")))
        << name;
  }
  EXPECT_THAT(ParseModelConfig(StrCat("output { name: \"y\" label_filename: \"",
                                      std::string(129, 'a'), "\" }")),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("plain file name")));
}

TEST(ModelConfig, StatesAreReadAndComparedWithTheModel) {
  ASSERT_OK_AND_ASSIGN(const ModelConfig config, ParseModelConfig(R"(
    sequence_batching {
      max_sequence_idle_microseconds: 5000000
      oldest { max_candidate_sequences: 4 }
      state [ { input_name: "h" output_name: "h_out" data_type: TYPE_FP32 dims: [ -1 ] } ]
    }
  )"));
  ASSERT_EQ(config.states.size(), 1u);
  EXPECT_EQ(config.states[0].input, "h");
  EXPECT_EQ(config.states[0].output, "h_out");
  EXPECT_EQ(config.sequence_idle_max, absl::Seconds(5));
  EXPECT_THAT(config.unused_fields, IsEmpty());
  EXPECT_THAT(ParseModelConfig("sequence_batching { max_sequence_idle_microseconds: 86400000001 }"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("more than a day")));
  const DeclaredTensor h = {"h", DType::kF32, {1, 8}};
  const DeclaredTensor out = {"h_out", DType::kF32, {1, 8}};
  const DeclaredTensor other_type = {"h_out", DType::kI64, {1, 8}};
  EXPECT_OK(CheckDeclarations(config, {h}, {out}));
  EXPECT_THAT(CheckDeclarations(config, {h}, {other_type}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("'h_out'")));
  EXPECT_THAT(CheckDeclarations(config, {}, {out}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("'h'")));
  EXPECT_THAT(ParseModelConfig("sequence_batching { state { input_name: \"h\" } }"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("output_name")));
}

TEST(ModelConfig, JsonIsTheSameConfiguration) {
  ASSERT_OK_AND_ASSIGN(const std::string text,
                       ModelConfigFromJson(R"({"name": "m", "max_batch_size": 16,
                              "dynamicBatching": {"maxQueueDelayMicroseconds": "500"}})"));
  ASSERT_OK_AND_ASSIGN(const ModelConfig config, ParseModelConfig(text));
  EXPECT_EQ(config.name, "m");
  EXPECT_EQ(config.max_batch_size, 16);
  EXPECT_EQ(config.queue_delay_max, absl::Microseconds(500));
  for (const char* bad :
       {"", "[1]", "{\"max_batchsize\": 1}", "{\"name\": ", "max_batch_size: 4"}) {
    EXPECT_THAT(ModelConfigFromJson(bad), StatusIs(absl::StatusCode::kInvalidArgument)) << bad;
  }
  EXPECT_THAT(ModelConfigFromJson(std::string(2 << 20, ' ')),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

struct Fault {
  const char* text;
  const char* message;
};

TEST(ModelConfig, ErrorsSayTheLineAndTheField) {
  const Fault faults[] = {
      {"\n\nmax_batchsize: 4", "line 3: Message type"},
      {"max_batch_size: \"many\"", "line 1: Expected integer"},
      {"\nmax_batch_size: -1", "line 2: max_batch_size: -1 is not 0 to 65536"},
      {"max_batch_size: 65537", "max_batch_size"},
      {"max_batch_size: 4\nmax_batch_size: 5", "line 2: Non-repeated field"},
      {"dynamic_batching {\n max_queue_delay_microseconds: 60000001 }",
       "line 2: dynamic_batching.max_queue_delay_microseconds"},
      {"max_batch_size: 8\ndynamic_batching { preferred_batch_size: [4,\n 16] }",
       "line 2: dynamic_batching.preferred_batch_size: 16 is not 1 to 8"},
      {"dynamic_batching { preferred_batch_size: 0 }", "preferred_batch_size"},
      {"dynamic_batching { priority_levels: 2 default_priority_level: 3 }",
       "default_priority_level"},
      {"dynamic_batching { priority_levels: 2 }", "default_priority_level"},
      {"version_policy { specific {} }", "no version is named"},
      {"version_policy { specific { versions: [1,\n0] } }", "line 1: version_policy.specific"},
      {"version_policy { latest {} all {} }", "oneof"},
      {"instance_group { count: -2 }", "line 1: instance_group.count"},
      {"input { dims: 1 }", "input number 1 has no name"},
      {"input { name: \"x\" dims: 0 }", "input.dims: 0 is neither"},
      {"input { name: \"x\" } input { name: \"x\" }", "declared twice"},
      {"input { name: \"x\" data_type: TYPE_FP8 }", "TYPE_FP8"},
      {"parameters { key: \"precision\" value { string_value: \"int8\" } }", "precision 'int8'"},
      {"parameters { key: \"gate_tolerance\" value { string_value: \"-1\" } }", "gate_tolerance"},
      {"parameters { key: \"gate_latency_factor\" value { string_value: \"nan\" } }",
       "gate_latency_factor"},
      {"parameters { key: \"batch_invariant\" value { string_value: \"1\" } }", "batch_invariant"},
      {"parameters { key: \"disabled_passes\" value { string_value: \"a,,b\" } }",
       "disabled_passes"},
      {"parameters { key: \"swap_order\" value { string_value: \"fast\" } }", "swap_order"},
      {"default_model_filename: \"../x.onnx\"", "plain file name"},
      {"default_model_filename: \"a/x.onnx\"", "plain file name"},
      {"default_model_filename: \"model.plan\"", "plain file name"},
      {"name: \"unterminated", "line 1: "},
      {"{", "line 1: "},
      {"name: \"a\" }", "line 1: "},
      {"\x01\x02\x03", "line 1: "},
  };
  for (const Fault& fault : faults) {
    EXPECT_THAT(ParseModelConfig(fault.text),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(fault.message)))
        << fault.text;
  }
}

TEST(ModelConfig, HostileTextIsRefusedAndNeverCrashes) {
  std::string deep;
  for (int i = 0; i < 200'000; ++i) deep += "optimization{";
  EXPECT_FALSE(ParseModelConfig(deep).ok());
  std::string nested_lists = "model_warmup " + std::string(200'000, '[');
  EXPECT_FALSE(ParseModelConfig(nested_lists).ok());
  EXPECT_THAT(ParseModelConfig(std::string(static_cast<size_t>(kModelConfigBytesMax) + 1, ' ')),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("bytes")));
  std::string many = "dynamic_batching {";
  for (int i = 0; i < 20'000; ++i) many += " preferred_batch_size: 1";
  EXPECT_FALSE(ParseModelConfig(many + "}").ok());
  EXPECT_FALSE(ParseModelConfig(std::string("name: \"a\"\0", 10)).ok());
  // A message may quote the file, but neither its control characters nor all of it.
  const absl::Status status = ParseModelConfig("\x1b[31m" + std::string(5'000, 'x')).status();
  EXPECT_EQ(status.message().find('\x1b'), absl::string_view::npos);
  EXPECT_LT(status.message().size(), 2'000u);
}

// Bytes changed, dropped and doubled at random: any Status will do, a crash (or
// protobuf's exception for a wrong question to its parse tree) will not.
TEST(ModelConfig, SurvivesDamagedFiles) {
  const std::string whole = R"(name: "digits" max_batch_size: 32
    input [ { name: "pixels" data_type: TYPE_FP32 dims: [ 64, -1 ] } ]
    output { name: "p" dims: 10 } instance_group [ { count: 2 kind: KIND_CPU } ]
    dynamic_batching { preferred_batch_size: [ 16, 4 ] max_queue_delay_microseconds: 500
      priority_queue_policy { key: 1 value { max_queue_size: 3 } } }
    version_policy: { specific: { versions: [ 5, 3 ] } } optimization { graph { level: 1 } }
    parameters { key: "precision" value: { string_value: "bf16" } } # end)";
  const auto seed = static_cast<uint32_t>(::testing::UnitTest::GetInstance()->random_seed());
  std::cout << "seed " << seed << " (--gtest_random_seed)\n";
  std::mt19937 random(seed);
  const std::string alphabet = "{}[]:;,\"'#\\-09.ax_ \n\xff";
  int accepted = 0;
  for (int round = 0; round < 3'000; ++round) {
    std::string text = whole;
    for (uint32_t changes = 1 + random() % 4; changes > 0; --changes) {
      const size_t at = random() % text.size();
      const size_t length = std::min<size_t>(1 + random() % 12, text.size() - at);
      switch (random() % 3) {
        case 0:
          text[at] = alphabet[random() % alphabet.size()];
          break;
        case 1:
          text.erase(at, std::min(length, text.size() - 1));
          break;
        default:
          text.insert(at, text.substr(at, length));
      }
    }
    if (ParseModelConfig(text).ok()) ++accepted;
  }
  EXPECT_LT(accepted, 3'000);
}

TEST(CheckDeclarations, AcceptsWhatTheModelSays) {
  const std::vector<DeclaredTensor> inputs = {{"x", DType::kF32, {-1, 3, -1, -1}}};
  const std::vector<DeclaredTensor> outputs = {{"y", DType::kF32, {-1, 10}}};
  ASSERT_OK_AND_ASSIGN(ModelConfig config, ParseModelConfig(R"(
    max_batch_size: 8
    input { name: "x" data_type: TYPE_FP32 dims: [ 3, 224, -1 ] }
    output { name: "y" dims: 10 })"));
  EXPECT_OK(CheckDeclarations(config, inputs, outputs));
  // Without a max_batch_size the dims have the batch dimension.
  ASSERT_OK_AND_ASSIGN(config, ParseModelConfig("output { name: \"y\" dims: [ -1, 10 ] }"));
  EXPECT_OK(CheckDeclarations(config, inputs, outputs));
  EXPECT_OK(CheckDeclarations(ModelConfig(), inputs, outputs));
}

TEST(CheckDeclarations, RefusesWhatContradictsTheModel) {
  const std::vector<DeclaredTensor> inputs = {{"x", DType::kF32, {-1, 3, 224, 224}}};
  const std::vector<DeclaredTensor> outputs = {{"y", DType::kF32, {-1, 10}}};
  const Fault faults[] = {
      {"input { name: \"z\" }", "does not have; it has x"},
      {"input { name: \"x\" data_type: TYPE_INT64 }", "as i64, the model's is f32"},
      {"input { name: \"x\" dims: [ 3, 224, 224 ] }", "dims [3, 224, 224]"},
      {"max_batch_size: 4 input { name: \"x\" dims: [ -1, 3, 224, 224 ] }", "without the batch"},
      {"max_batch_size: 4 input { name: \"x\" dims: [ 3, -1, 224 ] }", "[3, 224, 224]"},
      {"output { name: \"y\" dims: [ -1, 11 ] }", "output 'y'"},
  };
  for (const Fault& fault : faults) {
    ASSERT_OK_AND_ASSIGN(const ModelConfig config, ParseModelConfig(fault.text));
    EXPECT_THAT(CheckDeclarations(config, inputs, outputs),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(fault.message)))
        << fault.text;
  }
}

}  // namespace
}  // namespace paramd
