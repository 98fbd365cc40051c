#include "server/rpc/tensor_codec.h"

#include <cstring>
#include <iostream>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "proto/paramd/v1/predict.pb.h"
#include "tests/support/fragmented_message.h"
#include "tests/support/status_testing.h"

namespace paramd {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

using Message = FragmentedMessage;

v1::PredictRequest SampleRequest() {
  v1::PredictRequest request;
  request.set_model("digits");
  request.set_version(7);
  request.set_request_id("abc");
  request.add_outputs("probabilities");
  request.set_priority(2);
  request.set_timeout_us(1500);
  request.set_typed_outputs(true);
  v1::Tensor* tensor = request.add_inputs();
  tensor->set_name("pixels");
  tensor->set_dtype(v1::DATA_TYPE_F32);
  tensor->add_shape(2);
  tensor->add_shape(3);
  const float values[] = {1, 2, 3, 4, 5, 6};
  tensor->set_raw(values, sizeof(values));
  return request;
}

absl::StatusOr<WireRequest> Decode(const Message& message, const CodecLimits& limits = {}) {
  return DecodePredictRequest(message.fragments(), limits);
}

std::vector<std::byte> Encode(const PredictResponseHead& head,
                              const std::vector<NamedOutput>& outputs) {
  std::vector<std::byte> bytes;
  EncodePredictResponse(head, outputs, [&](uint64_t size) {
    bytes.resize(size);
    return bytes.data();
  });
  return bytes;
}

TEST(TensorCodec, DecodesWhatProtobufWrites) {
  for (size_t piece : {1, 3, 1000}) {
    const Message message(SampleRequest().SerializeAsString(), piece);
    ASSERT_OK_AND_ASSIGN(const WireRequest request, Decode(message));
    EXPECT_EQ(request.model, "digits");
    EXPECT_EQ(request.version, 7);
    EXPECT_EQ(request.request_id, "abc");
    EXPECT_THAT(request.outputs, ElementsAre("probabilities"));
    EXPECT_EQ(request.priority, 2u);
    EXPECT_EQ(request.timeout_us, 1500);
    EXPECT_TRUE(request.typed_outputs);
    ASSERT_EQ(request.inputs.size(), 1u);
    EXPECT_EQ(request.inputs[0].name, "pixels");
    EXPECT_EQ(request.inputs[0].dtype, DType::kF32);
    EXPECT_EQ(request.inputs[0].shape, (Shape{2, 3}));
    EXPECT_EQ(request.inputs[0].raw_bytes, 24u);
    EXPECT_THAT(CheckRaw(request.inputs[0], DType::kUndefined), IsOkAndHolds(true));
  }
}

TEST(TensorCodec, RawBytesAreViewedNotCopied) {
  const Message message(SampleRequest().SerializeAsString());
  ASSERT_OK_AND_ASSIGN(const WireRequest request, Decode(message));
  ASSERT_EQ(request.inputs[0].raw.size(), 1u);
  EXPECT_GE(request.inputs[0].raw[0].data(), message.begin());
  EXPECT_LE(request.inputs[0].raw[0].data() + 24, message.end());
}

TEST(TensorCodec, TheDeclaredTypeIsMeantWhereNoneIsNamed) {
  v1::PredictRequest proto;
  proto.set_model("m");
  v1::Tensor* tensor = proto.add_inputs();
  tensor->set_name("x");
  tensor->add_shape(2);
  tensor->add_f32(1.5f);
  tensor->add_f32(-2);
  const Message message(proto.SerializeAsString());
  ASSERT_OK_AND_ASSIGN(const WireRequest request, Decode(message));
  ASSERT_OK_AND_ASSIGN(const Tensor half, DecodeTyped(request.inputs[0], DType::kF16, {}));
  EXPECT_THAT(half.view().as<uint16_t>(), ElementsAre(0x3e00, 0xc000));
  ASSERT_OK_AND_ASSIGN(const Tensor single, DecodeTyped(request.inputs[0], DType::kF32, {}));
  EXPECT_THAT(single.view().as<float>(), ElementsAre(1.5f, -2.0f));
  EXPECT_THAT(DecodeTyped(request.inputs[0], DType::kI64, {}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("expected 'i64'")));
}

// Every type: what WriteTyped writes, Protobuf reads, and DecodeTyped reads back.
TEST(TensorCodec, EveryTypeSurvivesTheTypedRoundTrip) {
  const unsigned seed = std::random_device{}();
  std::cout << "seed " << seed << "\n";
  std::mt19937 random(seed);
  for (int number = 1; number <= 23; ++number) {
    const DType dtype = *DTypeFromOnnx(number);
    SCOPED_TRACE(std::string(DTypeName(dtype)));
    Tensor tensor(dtype, {3, 5});
    if (dtype == DType::kString) {
      for (std::string& text : tensor.view().as<std::string>()) {
        text = std::string(random() % 5, 'a' + static_cast<char>(random() % 26));
      }
    } else {
      auto* bytes = static_cast<uint8_t*>(tensor.view().data);
      for (uint64_t i = 0; i < tensor.view().bytes(); ++i) {
        // Below 0x40 no float is a NaN, whose bits need not survive.
        bytes[i] = static_cast<uint8_t>(random() % (dtype == DType::kBool ? 2 : 0x40));
      }
      if (DTypeBits(dtype) == 4) bytes[7] &= 0x0f;  // The unused half.
    }
    const NamedOutput output = {"x", tensor.view()};
    const auto encoded = Encode({.model = "m", .typed_outputs = true}, {output});
    v1::PredictResponse response;
    ASSERT_TRUE(response.ParseFromArray(encoded.data(), static_cast<int>(encoded.size())));
    ASSERT_EQ(response.outputs_size(), 1);
    EXPECT_TRUE(response.outputs(0).raw().empty());
    v1::PredictRequest proto;
    proto.set_model("m");
    *proto.add_inputs() = response.outputs(0);
    const Message message(proto.SerializeAsString(), 7);
    ASSERT_OK_AND_ASSIGN(const WireRequest request, Decode(message));
    ASSERT_OK_AND_ASSIGN(const Tensor back, DecodeTyped(request.inputs[0], DType::kUndefined, {}));
    ASSERT_EQ(back.shape(), tensor.shape());
    ASSERT_EQ(back.dtype(), dtype);
    if (dtype == DType::kString) {
      EXPECT_EQ(back.view().as<std::string>(), tensor.view().as<std::string>());
    } else {
      EXPECT_EQ(std::memcmp(back.view().data, tensor.view().data, tensor.view().bytes()), 0);
    }
  }
}

TEST(TensorCodec, EncodesWhatProtobufReads) {
  const std::vector<float> values = {0.25f, 0.75f};
  const Tensor tensor = Tensor::Of<float>(DType::kF32, {1, 2}, values);
  const auto bytes = Encode({.model = "digits",
                             .version = 3,
                             .generation = std::numeric_limits<uint64_t>::max(),
                             .weights_id = "00ff",
                             .request_id = "r1"},
                            {{"probabilities", tensor.view()}});
  v1::PredictResponse response;
  ASSERT_TRUE(response.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())));
  EXPECT_EQ(response.model(), "digits");
  EXPECT_EQ(response.version(), 3);
  EXPECT_EQ(response.generation(), std::numeric_limits<uint64_t>::max());
  EXPECT_EQ(response.weights_id(), "00ff");
  EXPECT_EQ(response.request_id(), "r1");
  ASSERT_EQ(response.outputs_size(), 1);
  EXPECT_EQ(response.outputs(0).name(), "probabilities");
  EXPECT_EQ(response.outputs(0).dtype(), v1::DATA_TYPE_F32);
  EXPECT_THAT(response.outputs(0).shape(), ElementsAre(1, 2));
  ASSERT_EQ(response.outputs(0).raw().size(), 8u);
  EXPECT_EQ(std::memcmp(response.outputs(0).raw().data(), values.data(), 8), 0);
}

TEST(TensorCodec, EmptyTensorsAndScalarsTravel) {
  const Tensor empty(DType::kF32, {0, 4});
  const Tensor scalar(DType::kI64, {});
  for (const bool typed : {false, true}) {
    const auto bytes = Encode({.model = "m", .typed_outputs = typed},
                              {{"empty", empty.view()}, {"scalar", scalar.view()}});
    v1::PredictResponse response;
    ASSERT_TRUE(response.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())));
    ASSERT_EQ(response.outputs_size(), 2);
    EXPECT_THAT(response.outputs(0).shape(), ElementsAre(0, 4));
    EXPECT_EQ(response.outputs(1).shape_size(), 0);
    EXPECT_EQ(typed ? response.outputs(1).i64_size() * 8
                    : static_cast<int>(response.outputs(1).raw().size()),
              8);
  }
}

TEST(TensorCodec, RawStringsAreALengthAndBytes) {
  v1::PredictRequest proto;
  proto.set_model("m");
  v1::Tensor* tensor = proto.add_inputs();
  tensor->set_name("s");
  tensor->set_dtype(v1::DATA_TYPE_STRING);
  tensor->add_shape(2);
  const std::string raw("\x02\0\0\0hi\x00\0\0\0", 10);
  tensor->set_raw(raw);
  const Message message(proto.SerializeAsString(), 3);
  ASSERT_OK_AND_ASSIGN(const WireRequest request, Decode(message));
  EXPECT_THAT(CheckRaw(request.inputs[0], DType::kUndefined), IsOkAndHolds(false));
  ASSERT_OK_AND_ASSIGN(const Tensor strings, DecodeTyped(request.inputs[0], DType::kString, {}));
  EXPECT_THAT(strings.view().as<std::string>(), ElementsAre("hi", ""));

  proto.mutable_inputs(0)->set_raw(raw.substr(0, 9));
  const Message cut(proto.SerializeAsString());
  ASSERT_OK_AND_ASSIGN(const WireRequest short_request, Decode(cut));
  EXPECT_THAT(DecodeTyped(short_request.inputs[0], DType::kString, {}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("element 1 of 2")));
}

struct BadTensor {
  const char* what;
  void (*change)(v1::Tensor*);
  const char* message;
};

const BadTensor kBadTensors[] = {
    {"too few bytes", [](v1::Tensor* t) { t->mutable_raw()->resize(23); }, "23 raw bytes of f32"},
    {"too many bytes", [](v1::Tensor* t) { t->mutable_raw()->resize(28); }, "asks for 24"},
    {"no bytes", [](v1::Tensor* t) { t->clear_raw(); }, "has 0 raw bytes"},
    {"negative dimension", [](v1::Tensor* t) { t->set_shape(0, -2); }, "negative dimension -2"},
    {"product that wraps",
     [](v1::Tensor* t) {
       t->set_shape(0, int64_t{1} << 40);
       t->set_shape(1, int64_t{1} << 40);
     },
     "2^62"},
    {"huge shape", [](v1::Tensor* t) { t->set_shape(0, int64_t{1} << 40); }, "asks for"},
    {"rank",
     [](v1::Tensor* t) {
       for (int i = 0; i < 20; ++i) t->add_shape(1);
     },
     "dimensions"},
    {"unknown dtype", [](v1::Tensor* t) { t->set_dtype(static_cast<v1::DataType>(99)); },
     "dtype 99"},
    {"raw and typed", [](v1::Tensor* t) { t->add_f32(1); }, "both 'raw' and 'f32'"},
    {"two typed fields",
     [](v1::Tensor* t) {
       t->clear_raw();
       t->add_f32(1);
       t->add_i64(1);
     },
     "one typed field"},
    {"too few values",
     [](v1::Tensor* t) {
       t->clear_raw();
       t->add_f32(1);
     },
     "has 1 values"},
    {"field of another type",
     [](v1::Tensor* t) {
       t->clear_raw();
       for (int i = 0; i < 6; ++i) t->add_i64(i);
     },
     "expected 'f32'"},
    {"number outside its type",
     [](v1::Tensor* t) {
       t->clear_raw();
       t->set_dtype(v1::DATA_TYPE_I8);
       for (int i = 0; i < 6; ++i) t->add_i32(200);
     },
     "outside the range of its type i8"},
    {"nibble outside its type",
     [](v1::Tensor* t) {
       t->clear_raw();
       t->set_dtype(v1::DATA_TYPE_U4);
       for (int i = 0; i < 6; ++i) t->add_u32(16);
     },
     "outside the range of its type u4"},
};

TEST(TensorCodec, RefusesBadTensorsWithTheirNames) {
  for (const BadTensor& bad : kBadTensors) {
    SCOPED_TRACE(bad.what);
    v1::PredictRequest proto = SampleRequest();
    bad.change(proto.mutable_inputs(0));
    const Message message(proto.SerializeAsString());
    absl::Status status;
    const absl::StatusOr<WireRequest> request = Decode(message);
    status = request.status();
    if (request.ok()) {
      const absl::StatusOr<bool> raw = CheckRaw(request->inputs[0], DType::kUndefined);
      status = raw.status();
      if (raw.ok() && !*raw) {
        status = DecodeTyped(request->inputs[0], DType::kUndefined, {}).status();
      }
    }
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(bad.message)));
    EXPECT_THAT(std::string(status.message()), HasSubstr("pixels"));
  }
}

TEST(TensorCodec, AShapeAloneCostsNoMemory) {
  // 2^40 strings claimed by a few bytes.
  v1::PredictRequest proto = SampleRequest();
  proto.mutable_inputs(0)->set_dtype(v1::DATA_TYPE_STRING);
  proto.mutable_inputs(0)->set_shape(0, int64_t{1} << 40);
  const Message message(proto.SerializeAsString());
  ASSERT_OK_AND_ASSIGN(const WireRequest request, Decode(message));
  EXPECT_THAT(DecodeTyped(request.inputs[0], DType::kString, {}),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(DecodeTyped(request.inputs[0], DType::kString, {.typed_bytes_max = 1}),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(TensorCodec, LimitsCountsAndTexts) {
  v1::PredictRequest proto = SampleRequest();
  const CodecLimits tight = {
      .inputs_max = 1, .outputs_max = 1, .name_bytes_max = 6, .request_id_bytes_max = 3};
  // 13 bytes of "probabilities".
  EXPECT_THAT(Decode(Message(proto.SerializeAsString()), tight),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("13 bytes, at most 6")));
  proto.clear_outputs();
  EXPECT_OK(Decode(Message(proto.SerializeAsString()), tight).status());
  proto.set_request_id("four");
  EXPECT_THAT(Decode(Message(proto.SerializeAsString()), tight),
              StatusIs(absl::StatusCode::kInvalidArgument));
  proto.clear_request_id();
  *proto.add_inputs() = proto.inputs(0);
  EXPECT_THAT(Decode(Message(proto.SerializeAsString()), tight),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("more than 1 inputs")));
  EXPECT_THAT(Decode(Message("")),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("names no model")));
}

TEST(TensorCodec, UnknownFieldsAreSkippedAndTheLastOfAOneofCounts) {
  v1::PredictRequest proto = SampleRequest();
  v1::PredictRequest later;
  later.set_label("stable");
  std::string bytes = proto.SerializeAsString() + later.SerializeAsString();
  bytes += std::string("\xa2\x06\x03xyz", 6);  // Field 100, three bytes.
  const Message message(bytes);
  ASSERT_OK_AND_ASSIGN(const WireRequest request, Decode(message));
  EXPECT_FALSE(request.version.has_value());
  EXPECT_EQ(request.label, "stable");
}

// Any prefix and any damaged byte: an error or a request, never a crash.
TEST(TensorCodec, DamagedMessagesNeverCrash) {
  const std::string good = SampleRequest().SerializeAsString();
  const auto probe = [](const std::string& bytes) {
    const Message message(bytes, 5);
    const absl::StatusOr<WireRequest> request = Decode(message);
    if (!request.ok()) return;
    for (const WireTensor& tensor : request->inputs) {
      const absl::StatusOr<bool> raw = CheckRaw(tensor, DType::kF32);
      if (raw.ok() && !*raw) (void)DecodeTyped(tensor, DType::kF32, {});
    }
  };
  for (size_t length = 0; length < good.size(); ++length) probe(good.substr(0, length));
  for (size_t at = 0; at < good.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string damaged = good;
      damaged[at] = static_cast<char>(damaged[at] ^ (1 << bit));
      probe(damaged);
    }
  }
}

}  // namespace
}  // namespace paramd
