// The codec against Protobuf's own code, and against what clients get wrong.
#include "server/rpc/kserve/infer_codec.h"

#include <cstring>
#include <functional>
#include <iostream>
#include <random>
#include <string>
#include <vector>

#include "proto/inference/grpc_service.pb.h"
#include "tests/support/fragmented_message.h"
#include "tests/support/status_testing.h"

namespace paramd {
namespace {

using inference::ModelInferRequest;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

using Message = FragmentedMessage;

absl::StatusOr<InferRequest> Decode(const Message& message, const CodecLimits& limits = {}) {
  return DecodeInferRequest(message.fragments(), limits);
}

ModelInferRequest::InferInputTensor* AddInput(ModelInferRequest* request, const std::string& name,
                                              const std::string& datatype,
                                              std::initializer_list<int64_t> shape) {
  ModelInferRequest::InferInputTensor* input = request->add_inputs();
  input->set_name(name);
  input->set_datatype(datatype);
  for (const int64_t dim : shape) input->add_shape(dim);
  return input;
}

ModelInferRequest SampleRequest() {
  ModelInferRequest request;
  request.set_model_name("digits");
  request.set_model_version("7");
  request.set_id("abc");
  (*request.mutable_parameters())["priority"].set_uint64_param(2);
  (*request.mutable_parameters())["timeout"].set_int64_param(1500);
  (*request.mutable_parameters())["sequence_id"].set_int64_param(41);
  (*request.mutable_parameters())["sequence_start"].set_bool_param(true);
  (*request.mutable_parameters())["triton_enable_empty_final_response"].set_bool_param(true);
  (*request.mutable_parameters())["anything"].set_double_param(1.5);
  AddInput(&request, "pixels", "FP32", {2, 3});
  AddInput(&request, "words", "BYTES", {2});
  auto* output = request.add_outputs();
  output->set_name("probabilities");
  (*output->mutable_parameters())["classification"].set_int64_param(3);
  const float values[] = {1, 2, 3, 4, 5, 6};
  request.add_raw_input_contents(values, sizeof(values));
  request.add_raw_input_contents(std::string("\2\0\0\0hi\0\0\0\0", 10));
  return request;
}

TEST(InferCodec, DecodesWhatProtobufWritesInAnyPieces) {
  const std::string bytes = SampleRequest().SerializeAsString();
  for (size_t piece = 1; piece <= bytes.size(); piece += 3) {
    SCOPED_TRACE(piece);
    const Message message(bytes, piece);
    ASSERT_OK_AND_ASSIGN(const InferRequest request, Decode(message));
    EXPECT_EQ(request.call.model, "digits");
    EXPECT_EQ(request.call.version, 7);
    EXPECT_EQ(request.call.request_id, "abc");
    EXPECT_EQ(request.call.priority, 2u);
    EXPECT_EQ(request.call.timeout_us, 1500);
    EXPECT_EQ(request.sequence.id, "41");
    EXPECT_TRUE(request.sequence.start);
    EXPECT_FALSE(request.sequence.end);
    EXPECT_THAT(request.call.outputs, ElementsAre("probabilities"));
    EXPECT_EQ(request.output_wishes[0].top_values, 3);
    ASSERT_EQ(request.call.inputs.size(), 2u);
    EXPECT_EQ(request.call.inputs[0].dtype, DType::kF32);
    EXPECT_EQ(request.call.inputs[0].shape.ToString(), "[2,3]");
    EXPECT_THAT(CheckRaw(request.call.inputs[0], DType::kF32), IsOkAndHolds(true));
    EXPECT_EQ(request.call.inputs[0].raw_bytes, 24u);
    ASSERT_OK_AND_ASSIGN(const Tensor words,
                         DecodeTyped(request.call.inputs[1], DType::kString, {}));
    EXPECT_THAT(words.view().as<std::string>(), ElementsAre("hi", ""));
  }
}

// Every type as typed contents, packed as clients do it.
TEST(InferCodec, TypedContentsOfEveryType) {
  struct Case {
    const char* datatype;
    std::function<void(inference::InferTensorContents*)> fill;
    std::string bytes;
  };
  const auto raw = [](auto... values) {
    std::string bytes;
    (bytes.append(reinterpret_cast<const char*>(&values), sizeof(values)), ...);
    return bytes;
  };
  using Contents = inference::InferTensorContents;
  const Case cases[] = {
      {"BOOL", [](Contents* c) { c->add_bool_contents(true), c->add_bool_contents(false); },
       raw(uint8_t{1}, uint8_t{0})},
      {"INT8", [](Contents* c) { c->add_int_contents(-128), c->add_int_contents(127); },
       raw(int8_t{-128}, int8_t{127})},
      {"INT16", [](Contents* c) { c->add_int_contents(-300), c->add_int_contents(5); },
       raw(int16_t{-300}, int16_t{5})},
      {"INT32", [](Contents* c) { c->add_int_contents(INT32_MIN), c->add_int_contents(7); },
       raw(INT32_MIN, int32_t{7})},
      {"INT64", [](Contents* c) { c->add_int64_contents(INT64_MIN), c->add_int64_contents(-1); },
       raw(INT64_MIN, int64_t{-1})},
      {"UINT8", [](Contents* c) { c->add_uint_contents(255), c->add_uint_contents(0); },
       raw(uint8_t{255}, uint8_t{0})},
      {"UINT16", [](Contents* c) { c->add_uint_contents(65535), c->add_uint_contents(1); },
       raw(uint16_t{65535}, uint16_t{1})},
      {"UINT32", [](Contents* c) { c->add_uint_contents(UINT32_MAX), c->add_uint_contents(1); },
       raw(UINT32_MAX, uint32_t{1})},
      {"UINT64", [](Contents* c) { c->add_uint64_contents(UINT64_MAX), c->add_uint64_contents(1); },
       raw(UINT64_MAX, uint64_t{1})},
      {"FP32", [](Contents* c) { c->add_fp32_contents(1.5f), c->add_fp32_contents(-2); },
       raw(1.5f, -2.0f)},
      {"FP64", [](Contents* c) { c->add_fp64_contents(1e300), c->add_fp64_contents(-2); },
       raw(1e300, -2.0)},
  };
  for (const Case& one : cases) {
    SCOPED_TRACE(one.datatype);
    ModelInferRequest request;
    request.set_model_name("m");
    one.fill(AddInput(&request, "x", one.datatype, {2})->mutable_contents());
    const Message message(request.SerializeAsString(), 3);
    ASSERT_OK_AND_ASSIGN(const InferRequest decoded, Decode(message));
    const WireTensor& input = decoded.call.inputs[0];
    EXPECT_THAT(CheckRaw(input, input.dtype), IsOkAndHolds(false));
    ASSERT_OK_AND_ASSIGN(const Tensor tensor, DecodeTyped(input, input.dtype, {}));
    EXPECT_EQ(std::string(static_cast<const char*>(tensor.view().data), tensor.view().bytes()),
              one.bytes)
        << one.datatype;
  }
  ModelInferRequest request;
  request.set_model_name("m");
  auto* contents = AddInput(&request, "x", "BYTES", {2})->mutable_contents();
  contents->add_bytes_contents(std::string("a\0b", 3));
  contents->add_bytes_contents("");
  const Message message(request.SerializeAsString());
  ASSERT_OK_AND_ASSIGN(const InferRequest decoded, Decode(message));
  ASSERT_OK_AND_ASSIGN(const Tensor tensor,
                       DecodeTyped(decoded.call.inputs[0], DType::kString, {}));
  EXPECT_THAT(tensor.view().as<std::string>(), ElementsAre(std::string("a\0b", 3), ""));
}

TEST(InferCodec, RefusesWhatTheProtocolDoesNotAllow) {
  struct Fault {
    std::function<void(ModelInferRequest*)> spoil;
    const char* message;
  };
  const Fault faults[] = {
      {[](auto* r) { r->clear_model_name(); }, "names no model"},
      {[](auto* r) { r->set_model_version("two"); }, "model_version 'two'"},
      {[](auto* r) { r->set_model_version("0"); }, "model_version '0'"},
      {[](auto* r) { r->set_model_version("-1"); }, "model_version '-1'"},
      {[](auto* r) { r->set_model_version("99999999999999999999"); }, "whole number"},
      {[](auto* r) { (*r->mutable_parameters())["label"].set_string_param("stable"); },
       "use one of them"},
      {[](auto* r) { (*r->mutable_parameters())["priority"].set_string_param("1"); },
       "parameter 'priority' has a string_param"},
      {[](auto* r) { (*r->mutable_parameters())["timeout"].set_int64_param(-1); },
       "parameter 'timeout' is -1"},
      {[](auto* r) { (*r->mutable_parameters())["sequence_start"].set_int64_param(1); },
       "expected a bool_param"},
      {[](auto* r) { r->mutable_inputs(0)->set_datatype("FLOAT"); }, "datatype 'FLOAT'"},
      {[](auto* r) { r->mutable_inputs(0)->clear_datatype(); }, "the datatype is missing"},
      {[](auto* r) { r->mutable_inputs(0)->set_shape(0, -1); }, "negative dimension"},
      {[](auto* r) { r->mutable_inputs(0)->mutable_contents()->add_fp32_contents(1); },
       "contents field must not be specified when using raw_input_contents for 'pixels' for model "
       "'digits'"},
      {[](auto* r) { r->mutable_raw_input_contents()->RemoveLast(); },
       "unable to find data for input tensor 'words' for model 'digits' in request."},
      {[](auto* r) { r->clear_raw_input_contents(); },
       "unable to find data for input tensor 'pixels'"},
      {[](auto* r) { r->add_raw_input_contents("x"); }, "expected 2 raw_input_contents"},
      {[](auto* r) {
         r->clear_raw_input_contents();
         r->mutable_inputs(0)->mutable_contents()->add_fp32_contents(1);
         r->mutable_inputs(0)->mutable_contents()->add_int_contents(1);
       },
       "values in both"},
      {[](auto* r) {
         r->clear_raw_input_contents();
         r->mutable_inputs(0)->mutable_contents()->add_fp64_contents(1);
       },
       "the values of datatype FP32 are in 'fp64_contents', expected in 'fp32_contents'"},
      {[](auto* r) {
         r->clear_raw_input_contents();
         r->mutable_inputs(0)->set_datatype("FP16");
         r->mutable_inputs(0)->mutable_contents()->add_fp32_contents(1);
       },
       "expected in raw_input_contents"},
      {[](auto* r) {
         auto& parameters = *r->mutable_inputs(0)->mutable_parameters();
         parameters["shared_memory_byte_size"].set_int64_param(24);
       },
       "without 'shared_memory_region'"},
      {[](auto* r) {
         auto& parameters = *r->mutable_inputs(0)->mutable_parameters();
         parameters["shared_memory_region"].set_string_param("r");
         r->mutable_inputs(0)->mutable_contents()->add_fp32_contents(1);
       },
       "must not be specified for an input in shared memory"},
      {[](auto* r) {
         auto& parameters = *r->mutable_outputs(0)->mutable_parameters();
         parameters["shared_memory_region"].set_string_param("r");
       },
       "cannot be put into shared memory"},
  };
  for (const Fault& fault : faults) {
    ModelInferRequest request = SampleRequest();
    fault.spoil(&request);
    EXPECT_THAT(Decode(Message(request.SerializeAsString())),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(fault.message)));
  }
}

TEST(InferCodec, RawEntriesSkipInputsInSharedMemory) {
  ModelInferRequest request;
  request.set_model_name("m");
  AddInput(&request, "a", "UINT8", {1});
  auto& place = *AddInput(&request, "b", "UINT8", {4})->mutable_parameters();
  place["shared_memory_region"].set_string_param("region");
  place["shared_memory_byte_size"].set_int64_param(4);
  place["shared_memory_offset"].set_int64_param(8);
  AddInput(&request, "c", "UINT8", {2});
  request.add_raw_input_contents("x");
  request.add_raw_input_contents("yz");
  const Message message(request.SerializeAsString());
  ASSERT_OK_AND_ASSIGN(const InferRequest decoded, Decode(message));
  EXPECT_EQ(decoded.call.inputs[0].raw_bytes, 1u);
  EXPECT_EQ(decoded.input_places[1].region, "region");
  EXPECT_EQ(decoded.input_places[1].bytes, 4u);
  EXPECT_EQ(decoded.input_places[1].offset, 8u);
  EXPECT_EQ(decoded.call.inputs[2].raw_bytes, 2u);
}

TEST(InferCodec, LimitsHold) {
  CodecLimits limits;
  limits.inputs_max = 1;
  EXPECT_THAT(Decode(Message(SampleRequest().SerializeAsString()), limits),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("more than 1 inputs")));
  limits = {};
  limits.name_bytes_max = 5;
  EXPECT_THAT(Decode(Message(SampleRequest().SerializeAsString()), limits),
              StatusIs(absl::StatusCode::kInvalidArgument));
  // A parameter that nobody knows may be of any length.
  ModelInferRequest request = SampleRequest();
  (*request.mutable_parameters())["custom"].set_string_param(std::string(1 << 20, 'x'));
  EXPECT_OK(Decode(Message(request.SerializeAsString())).status());
}

TEST(InferCodec, ArbitraryBytesAreAnErrorOrARequest) {
  const unsigned seed = std::random_device()();
  std::cout << "seed " << seed << "\n";
  std::mt19937 random(seed);
  const std::string sample = SampleRequest().SerializeAsString();
  for (int i = 0; i < 20000; ++i) {
    std::string bytes = sample;
    for (int change = 0; change < 3; ++change) {
      bytes[random() % bytes.size()] = static_cast<char>(random());
    }
    if (i % 3 == 0) bytes.resize(random() % bytes.size());
    Decode(Message(bytes, 1 + random() % 40)).IgnoreError();
  }
}

TEST(InferCodec, ProtobufReadsTheAnswer) {
  const float values[] = {1.5f, -2};
  Tensor words(DType::kString, Shape({2}));
  static_cast<std::string*>(words.view().data)[0] = "hi";
  const RegionRange place = {"region", 8, 100};
  const std::vector<InferOutput> outputs = {
      {"y", {DType::kF32, Shape({1, 2}), values}},
      {"there", {DType::kF32, Shape({2}), values}, &place},
      {"w", words.view()},
      {"none", {DType::kI64, Shape({0}), nullptr}},
  };
  InferResponseHead head = {
      .model = "m", .version = 12, .generation = 3, .weights_id = "abcd", .request_id = "id"};
  for (const bool in_stream : {false, true}) {
    head.in_stream = in_stream;
    std::string bytes;
    EncodeInferResponse(head, outputs, [&](uint64_t size) {
      bytes.resize(size);
      return reinterpret_cast<std::byte*>(bytes.data());
    });
    inference::ModelStreamInferResponse wrapped;
    inference::ModelInferResponse response;
    if (in_stream) {
      ASSERT_TRUE(wrapped.ParseFromString(bytes));
      response = wrapped.infer_response();
      EXPECT_EQ(wrapped.error_message(), "");
      EXPECT_TRUE(response.parameters().at("triton_final_response").bool_param());
    } else {
      ASSERT_TRUE(response.ParseFromString(bytes));
      EXPECT_FALSE(response.parameters().contains("triton_final_response"));
    }
    EXPECT_EQ(response.model_name(), "m");
    EXPECT_EQ(response.model_version(), "12");
    EXPECT_EQ(response.id(), "id");
    EXPECT_EQ(response.parameters().at("paramd_generation").int64_param(), 3);
    EXPECT_EQ(response.parameters().at("paramd_weights_id").string_param(), "abcd");
    ASSERT_EQ(response.outputs_size(), 4);
    ASSERT_EQ(response.raw_output_contents_size(), 4);
    EXPECT_EQ(response.outputs(0).name(), "y");
    EXPECT_EQ(response.outputs(0).datatype(), "FP32");
    EXPECT_THAT(response.outputs(0).shape(), ElementsAre(1, 2));
    EXPECT_EQ(response.raw_output_contents(0),
              std::string(reinterpret_cast<const char*>(values), 8));
    EXPECT_EQ(response.raw_output_contents(1), "");
    const auto& there = response.outputs(1).parameters();
    EXPECT_EQ(there.at("shared_memory_region").string_param(), "region");
    EXPECT_EQ(there.at("shared_memory_byte_size").int64_param(), 8);
    EXPECT_EQ(there.at("shared_memory_offset").int64_param(), 8);
    EXPECT_EQ(response.outputs(2).datatype(), "BYTES");
    EXPECT_EQ(response.raw_output_contents(2), std::string("\2\0\0\0hi\0\0\0\0", 10));
    EXPECT_EQ(response.raw_output_contents(3), "");
  }
  std::string bytes;
  EncodeStreamError("broken", "m", "id", [&](uint64_t size) {
    bytes.resize(size);
    return reinterpret_cast<std::byte*>(bytes.data());
  });
  inference::ModelStreamInferResponse failed;
  ASSERT_TRUE(failed.ParseFromString(bytes));
  EXPECT_EQ(failed.error_message(), "broken");
  EXPECT_EQ(failed.infer_response().id(), "id");
  EXPECT_EQ(failed.infer_response().model_name(), "m");
}

}  // namespace
}  // namespace paramd
