#include "runtime/checkpoints/onnx_reader.h"

#include <gtest/gtest.h>
#include <onnx/onnx_pb.h>

#include <filesystem>
#include <string>
#include <vector>

#include "tests/runtime/checkpoints/checkpoint_testing.h"
#include "tests/runtime/checkpoints/onnx_bytes.h"

namespace paramd {
namespace {

using onnx_bytes::Bytes;
using onnx_bytes::Constant;
using onnx_bytes::External;
using onnx_bytes::Fixed32;
using onnx_bytes::If;
using onnx_bytes::Initializer;
using onnx_bytes::Model;
using onnx_bytes::Node;
using onnx_bytes::Number;
using onnx_bytes::Raw;
using onnx_bytes::Tensor;
using onnx_bytes::Varints;

constexpr int kF32 = onnx::TensorProto::FLOAT;
constexpr int kI64 = onnx::TensorProto::INT64;

class OnnxReaderTest : public ::testing::Test {
 protected:
  absl::StatusOr<OnnxFile> Read(const std::string& bytes, const OnnxLimits& limits = {}) {
    const auto folder = MustOpenFolder(folder_.path());
    folder_.Write("model.onnx", bytes);
    auto file = folder->OpenFile("model.onnx");
    EXPECT_OK(file.status());
    return ReadOnnx(*std::move(file), folder.get(), limits);
  }
  // As libonnx sees it.
  static onnx::ModelProto Parse(const OnnxFile& file) {
    onnx::ModelProto model;
    EXPECT_TRUE(model.ParseFromString(file.skeleton));
    return model;
  }
  // The checkpoint's index that the skeleton gives a tensor; -1: none.
  static int IndexOf(const onnx::TensorProto& tensor) {
    for (const auto& prop : tensor.metadata_props()) {
      if (prop.key() == kOnnxTensorIndexKey) return std::stoi(prop.value());
    }
    return -1;
  }
  TempFolder folder_;
};

TEST_F(OnnxReaderTest, LeavesLargeTensorsInTheFileAndSmallOnesInTheSkeleton) {
  const std::string large(4096, 'L');
  const std::string bytes =
      Model(Initializer(Tensor("large", {32, 32}, kF32, Bytes(9, large))) +
            Initializer(Tensor("small", {2}, kI64, Bytes(9, Raw<int64_t>({-1, 768})))) +
            Bytes(2, "graph"));
  ASSERT_OK_AND_ASSIGN(const OnnxFile file, Read(bytes));
  ASSERT_EQ(file.checkpoint->tensors().size(), 2u);
  EXPECT_EQ(file.checkpoint->Find("large")->shape, (Shape{32, 32}));
  EXPECT_THAT(ReadBytes(*file.checkpoint, "large"), IsOkAndHolds(large));
  EXPECT_THAT(ReadBytes(*file.checkpoint, "small"), IsOkAndHolds(Raw<int64_t>({-1, 768})));
  EXPECT_LT(file.skeleton.size(), 400u);

  const onnx::ModelProto model = Parse(file);
  EXPECT_EQ(model.ir_version(), 8);
  EXPECT_EQ(model.opset_import(0).version(), 17);
  EXPECT_EQ(model.graph().name(), "graph");
  const onnx::TensorProto& stripped = model.graph().initializer(0);
  EXPECT_EQ(stripped.name(), "large");
  EXPECT_EQ(stripped.dims(1), 32);
  EXPECT_EQ(stripped.data_location(), onnx::TensorProto::EXTERNAL);
  EXPECT_EQ(stripped.external_data(0).value(), kOnnxStrippedLocation);
  EXPECT_FALSE(stripped.has_raw_data());
  EXPECT_EQ(IndexOf(stripped), 0);
  const onnx::TensorProto& kept = model.graph().initializer(1);
  EXPECT_EQ(kept.raw_data(), Raw<int64_t>({-1, 768}));
  EXPECT_EQ(IndexOf(kept), 1);
}

TEST_F(OnnxReaderTest, ReadsAlmostNothingBeforeTheTensorsAreAskedFor) {
  const std::string large(10 << 20, 'L');
  const std::string bytes =
      Model(Initializer(Tensor("w", {10 << 20}, onnx::TensorProto::UINT8, Bytes(9, large))));
  ASSERT_OK_AND_ASSIGN(const OnnxFile file, Read(bytes));
  EXPECT_LT(file.checkpoint->bytes_read(), 8'192u);
  EXPECT_THAT(ReadBytes(*file.checkpoint, "w"), IsOkAndHolds(large));
  EXPECT_LT(file.checkpoint->bytes_read(), bytes.size() + 8'192);
}

// Every way that ONNX knows to write numbers gives the same dense bytes,
// whether the tensor stays in the file or not.
TEST_F(OnnxReaderTest, DecodesEveryTypedField) {
  using P = onnx::TensorProto;
  const struct {
    const char* name;
    int type;
    int64_t count;
    std::string data;
    std::string dense;
  } kCases[] = {
      {"f32", P::FLOAT, 2, Bytes(4, Raw<float>({1, -2})), Raw<float>({1, -2})},
      {"f32 one by one", P::FLOAT, 2, Fixed32(4, Raw<float>({1})) + Fixed32(4, Raw<float>({-2})),
       Raw<float>({1, -2})},
      {"f64", P::DOUBLE, 1, Bytes(10, Raw<double>({0.5})), Raw<double>({0.5})},
      {"i64", P::INT64, 3, Bytes(7, Varints({0, -1, INT64_MIN})), Raw<int64_t>({0, -1, INT64_MIN})},
      {"i64 one by one", P::INT64, 2, Number(7, 5) + Number(7, UINT64_MAX), Raw<int64_t>({5, -1})},
      {"u64", P::UINT64, 1, Bytes(11, Varints({-1})), Raw<uint64_t>({UINT64_MAX})},
      {"u32", P::UINT32, 1, Bytes(11, Varints({4'000'000'000})), Raw<uint32_t>({4'000'000'000})},
      {"i32", P::INT32, 2, Bytes(5, Varints({-7, 7})), Raw<int32_t>({-7, 7})},
      {"i16", P::INT16, 2, Bytes(5, Varints({-7, 7})), Raw<int16_t>({-7, 7})},
      {"u8", P::UINT8, 2, Bytes(5, Varints({255, 0})), Raw<uint8_t>({255, 0})},
      {"i8", P::INT8, 1, Bytes(5, Varints({-128})), Raw<int8_t>({-128})},
      {"bool", P::BOOL, 2, Bytes(5, Varints({1, 0})), Raw<uint8_t>({1, 0})},
      {"f16", P::FLOAT16, 1, Bytes(5, Varints({0x3c00})), Raw<uint16_t>({0x3c00})},
      {"bf16", P::BFLOAT16, 1, Bytes(5, Varints({0x3f80})), Raw<uint16_t>({0x3f80})},
      {"i4", P::INT4, 3, Bytes(5, Varints({0x21, 0x03})), Raw<uint8_t>({0x21, 0x03})},
      {"empty", P::FLOAT, 0, "", ""},
      {"empty raw", P::FLOAT, 0, Bytes(9, ""), ""},
  };
  for (const auto& test : kCases) {
    for (const uint64_t inline_bytes_max : {0, 1024}) {
      SCOPED_TRACE(test.name);
      ASSERT_OK_AND_ASSIGN(const OnnxFile file,
                           Read(Model(Initializer(Tensor("w", {test.count}, test.type, test.data))),
                                {.inline_bytes_max = inline_bytes_max}));
      EXPECT_THAT(ReadBytes(*file.checkpoint, "w"), IsOkAndHolds(test.dense));
      const onnx::ModelProto model = Parse(file);
      const onnx::TensorProto& tensor = model.graph().initializer(0);
      EXPECT_EQ(tensor.raw_data(), inline_bytes_max == 0 ? "" : test.dense);
    }
  }
}

TEST_F(OnnxReaderTest, AVarintTensorWithoutExactlyItsElementsIsRefused) {
  const OnnxLimits limits{.inline_bytes_max = 0};
  for (const int64_t count : {2, 4}) {  // Three are there.
    const auto file = Read(
        Model(Initializer(Tensor("w", {count}, kI64, Bytes(7, Varints({1, 200, 300}))))), limits);
    ASSERT_OK(file.status());  // Only reading shows it...
    EXPECT_THAT(ReadBytes(*file->checkpoint, "w"), StatusIs(absl::StatusCode::kInvalidArgument));
  }
  // ...except where it cannot be: no memory is reserved for a lie.
  EXPECT_THAT(
      Read(Model(Initializer(Tensor("w", {1LL << 40}, kI64, Bytes(7, Varints({1}))))), limits)
          .status(),
      StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(OnnxReaderTest, TakesLargeConstantsOutOfNodesAndNamesThemByTheirOutput) {
  const std::string large(4096, 'c');
  const std::string tensor = Tensor("ignored", {1024}, kF32, Bytes(9, large));
  // The output after the attribute: order is the writer's choice.
  const std::string backwards = Node(Bytes(5, Bytes(1, "value") + Bytes(5, tensor)) +
                                     Bytes(4, "Constant") + Bytes(2, "late"));
  ASSERT_OK_AND_ASSIGN(
      const OnnxFile file,
      Read(Model(Constant("out", tensor) + backwards +
                 Constant("axes", Tensor("", {1}, kI64, Bytes(9, Raw<int64_t>({1})))))));
  ASSERT_EQ(file.checkpoint->tensors().size(), 2u);
  EXPECT_THAT(ReadBytes(*file.checkpoint, "out"), IsOkAndHolds(large));
  EXPECT_THAT(ReadBytes(*file.checkpoint, "late"), IsOkAndHolds(large));
  const onnx::ModelProto model = Parse(file);
  EXPECT_EQ(IndexOf(model.graph().node(0).attribute(0).t()), 0);
  EXPECT_EQ(IndexOf(model.graph().node(1).attribute(0).t()), 1);
  EXPECT_EQ(IndexOf(model.graph().node(2).attribute(0).t()), -1);
  EXPECT_EQ(model.graph().node(2).attribute(0).t().raw_data(), Raw<int64_t>({1}));
}

TEST_F(OnnxReaderTest, NestedGraphsKeepNamesApart) {
  const auto weight = [](char fill) {
    return Initializer(Tensor("w", {4}, onnx::TensorProto::UINT8, Bytes(9, std::string(4, fill))));
  };
  ASSERT_OK_AND_ASSIGN(const OnnxFile file,
                       Read(Model(weight('a') + If("x", weight('b') + If("y", weight('c'))) +
                                  If("z", weight('d')))));
  EXPECT_THAT(ReadBytes(*file.checkpoint, "w"), IsOkAndHolds("aaaa"));
  EXPECT_THAT(ReadBytes(*file.checkpoint, "subgraph0/w"), IsOkAndHolds("bbbb"));
  EXPECT_THAT(ReadBytes(*file.checkpoint, "subgraph1/w"), IsOkAndHolds("cccc"));
  EXPECT_THAT(ReadBytes(*file.checkpoint, "subgraph2/w"), IsOkAndHolds("dddd"));
}

TEST_F(OnnxReaderTest, KeepsStringsAndUnknownFieldsAsTheyWere) {
  const std::string strings =
      Tensor("s", {2}, onnx::TensorProto::STRING, Bytes(6, "hello") + Bytes(6, "world"));
  ASSERT_OK_AND_ASSIGN(const OnnxFile file,
                       Read(Model(Initializer(strings) + Bytes(10, "doc")) + Bytes(99, "new")));
  EXPECT_TRUE(file.checkpoint->tensors().empty());
  const onnx::ModelProto model = Parse(file);
  EXPECT_EQ(model.graph().initializer(0).string_data(1), "world");
  EXPECT_EQ(model.graph().doc_string(), "doc");
  EXPECT_NE(file.skeleton.find("new"), std::string::npos);
}

TEST_F(OnnxReaderTest, AFilesOwnIndexIsNotBelieved) {
  const std::string forged = Bytes(16, Bytes(1, kOnnxTensorIndexKey) + Bytes(2, "7"));
  ASSERT_OK_AND_ASSIGN(
      const OnnxFile file,
      Read(Model(
          Constant("c", Tensor("", {1}, kI64, Bytes(9, Raw<int64_t>({1})) + forged)) +
          Initializer(Tensor("s", {1}, onnx::TensorProto::STRING, Bytes(6, "text") + forged)))));
  const onnx::ModelProto model = Parse(file);
  EXPECT_EQ(IndexOf(model.graph().node(0).attribute(0).t()), -1);
  EXPECT_EQ(IndexOf(model.graph().initializer(0)), -1);
}

TEST_F(OnnxReaderTest, EveryTruncationIsRefusedOrLosesWholeFieldsOfTheModelOnly) {
  const std::string graph =
      Initializer(Tensor("w", {3}, kF32, Bytes(9, Raw<float>({1, 2, 3})))) +
      Constant("c", Tensor("", {1}, kI64, Bytes(7, Varints({5})))) +
      If("x", Initializer(Tensor("v", {300}, kF32, Bytes(9, std::string(1200, 'v')))));
  const std::string bytes = Model(graph);
  const size_t graph_end = bytes.size() - Bytes(8, Number(2, 17)).size();
  for (size_t length = 0; length < bytes.size(); ++length) {
    const auto file = Read(bytes.substr(0, length));
    if (length != graph_end) {  // There the opset is missing: for the importer to refuse.
      EXPECT_THAT(file.status(), StatusIs(absl::StatusCode::kInvalidArgument)) << length;
    }
  }
  ASSERT_OK(Read(bytes).status());
}

TEST_F(OnnxReaderTest, HostileFilesAreRefused) {
  const std::string three = Bytes(9, Raw<float>({1, 2, 3}));
  const auto with = [](std::string_view tensor) { return Model(Initializer(tensor)); };
  std::string deep = Initializer(Tensor("w", {3}, kF32, three));
  for (int i = 0; i < 17; ++i) deep = If("x", deep);
  std::string very_deep = "";
  for (int i = 0; i < 1'000; ++i) very_deep = If("x", very_deep);
  const std::string length_lies = Number(1, 8) + "\x3a\xff\xff\xff\xff\x07" + "abc";
  const struct {
    const char* why;
    std::string bytes;
  } kCases[] = {
      {"empty", ""},
      {"no graph", Number(1, 8)},
      {"text", "this is no model, but it is a file of some length"},
      {"a length beyond the file", length_lies},
      {"a length of 2^63", Number(1, 8) + "\x3a\xff\xff\xff\xff\xff\xff\xff\xff\x7f"},
      {"a varint without end", std::string(20, '\xff')},
      {"a group", Number(1, 8) + "\x0b\x0c"},
      {"field 0", Number(1, 8) + std::string("\0\0", 2)},
      {"two graphs", Model("") + Bytes(7, "")},
      {"graphs 17 deep", Model(deep)},
      {"graphs 1,000 deep", Model(very_deep)},
      {"a name twice", Model(Initializer(Tensor("w", {3}, kF32, three)) +
                             Initializer(Tensor("w", {3}, kF32, three)))},
      {"no name", with(Tensor("", {3}, kF32, three))},
      {"no type", with(Bytes(8, "w") + three)},
      {"no data", with(Tensor("w", {3}, kF32, ""))},
      {"too little data", with(Tensor("w", {4}, kF32, three))},
      {"too much data", with(Tensor("w", {2}, kF32, three))},
      {"raw data twice", with(Tensor("w", {3}, kF32, three + three))},
      {"data in two fields", with(Tensor("w", {3}, kF32, three + Bytes(4, Raw<float>({1}))))},
      {"packed and single data",
       with(Tensor("w", {2}, kF32, Bytes(4, Raw<float>({1})) + Fixed32(4, Raw<float>({1}))))},
      {"another type's field", with(Tensor("w", {3}, kF32, Bytes(7, Varints({1, 2, 3}))))},
      {"strings with numbers", with(Tensor("w", {3}, onnx::TensorProto::STRING, three))},
      {"a negative dimension", with(Tensor("w", {-3}, kF32, three))},
      {"a product that wraps to 0", with(Tensor("w", {1LL << 32, 1LL << 32}, kF32, ""))},
      {"a product that wraps to 12 bytes", with(Tensor("w", {3, 1LL << 62}, kF32, three))},
      {"17 dimensions", with(Tensor("w", std::vector<int64_t>(17, 1), kF32, three))},
      {"a dimension cut off", with("\x08")},
      {"a tensor of two tensors' fields in an attribute",
       Model(Node(Bytes(2, "y") +
                  Bytes(5, Bytes(1, "value") + Bytes(5, Tensor("", {1}, kI64, Number(7, 1))) +
                               Bytes(5, Tensor("", {1}, kI64, Number(7, 1))))))},
      {"raw data as a number", with(Tensor("w", {3}, kF32, Number(9, 1)))},
  };
  for (const auto& test : kCases) {
    EXPECT_THAT(Read(test.bytes).status(), StatusIs(absl::StatusCode::kInvalidArgument))
        << test.why;
  }
  EXPECT_THAT(Read(with(Tensor("w", {3}, 77, three))).status(),
              StatusIs(absl::StatusCode::kUnimplemented));
  EXPECT_THAT(Read(with(Tensor("w", {3}, kF32, three + Bytes(3, "")))).status(),
              StatusIs(absl::StatusCode::kUnimplemented));
}

TEST_F(OnnxReaderTest, LimitsHold) {
  const auto refused = StatusIs(absl::StatusCode::kInvalidArgument);
  const std::string node = Node(Bytes(4, "Relu"));
  EXPECT_OK(Read(Model(node + node), {.nodes_max = 2}).status());
  EXPECT_THAT(Read(Model(node + node + node), {.nodes_max = 2}).status(), refused);
  const std::string big_doc = Model(Bytes(10, std::string(100'000, 'd')));
  EXPECT_THAT(Read(big_doc, {.skeleton_bytes_max = 50'000}).status(), refused);
  std::string single;
  for (int i = 0; i < 100; ++i) single += Number(7, 1);
  const std::string loose = Model(Initializer(Tensor("w", {100}, kI64, single)));
  EXPECT_OK(Read(loose, {.decoded_bytes_max = 800}).status());
  EXPECT_THAT(Read(loose, {.decoded_bytes_max = 799}).status(), refused);
  EXPECT_THAT(Read(loose, {.tensors_max = 0}).status(), refused);
}

class ExternalDataTest : public OnnxReaderTest {
 protected:
  static std::string WithExternal(std::string_view entries, int64_t count = 2) {
    return Model(Initializer(Tensor("w", {count}, kF32, std::string(entries) + Number(14, 1))));
  }
};

TEST_F(ExternalDataTest, IsReadBeneathTheModelsFolder) {
  folder_.Write("sub/weights.bin", "xxxxAAAABBBBCCCC");
  folder_.Link("sub/weights.bin", "link.bin");
  for (const std::string_view location : {"sub/weights.bin", "link.bin"}) {
    ASSERT_OK_AND_ASSIGN(
        const OnnxFile file,
        Read(WithExternal(External("location", location) + External("offset", "4") +
                          External("length", "8") + External("checksum", "ignored"))));
    EXPECT_THAT(ReadBytes(*file.checkpoint, "w"), IsOkAndHolds("AAAABBBB"));
    EXPECT_EQ(Parse(file).graph().initializer(0).external_data_size(), 0);  // Small: inline now.
  }
  // Large: stays there.
  folder_.Write("large.bin", std::string(8'000, 'z'));
  ASSERT_OK_AND_ASSIGN(const OnnxFile file,
                       Read(WithExternal(External("location", "large.bin"), 2'000)));
  EXPECT_EQ(file.checkpoint->files().size(), 2u);
  EXPECT_EQ(file.checkpoint->files()[1]->bytes_read(), 0u);
  EXPECT_THAT(ReadBytes(*file.checkpoint, "w"), IsOkAndHolds(std::string(8'000, 'z')));
  EXPECT_EQ(Parse(file).graph().initializer(0).external_data(0).value(), kOnnxStrippedLocation);
}

TEST_F(ExternalDataTest, NoWayLeadsOutside) {
  TempFolder outside;
  const std::string secret = outside.Write("secret.bin", "AAAABBBB");
  folder_.Link(secret, "absolute.bin");
  folder_.Link("../" + std::filesystem::path(outside.path()).filename().string() + "/secret.bin",
               "relative.bin");
  std::filesystem::create_hard_link(secret, folder_.path("hard.bin"));
  folder_.MakeFolder("sub");
  const std::string up =
      "../" + std::filesystem::path(outside.path()).filename().string() + "/secret.bin";
  for (const std::string& location : {secret, up, "sub/../" + up, std::string("absolute.bin"),
                                      std::string("relative.bin"), std::string("hard.bin")}) {
    EXPECT_THAT(Read(WithExternal(External("location", location))).status(),
                StatusIs(absl::StatusCode::kPermissionDenied))
        << location;
  }
  EXPECT_THAT(Read(WithExternal(External("location", "none.bin"))).status(),
              StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(ExternalDataTest, HostileEntriesAreRefused) {
  folder_.Write("w.bin", "AAAABBBB");
  folder_.MakeFolder("sub");
  const std::string here = External("location", "w.bin");
  for (const std::string& entries :
       {std::string(), External("location", ""), External("location", "sub"), here + here,
        here + External("offset", "1"), here + External("offset", "9"),
        here + External("offset", "-1"), here + External("offset", "18446744073709551615"),
        here + External("offset", "99999999999999999999999"), here + External("offset", "0x0"),
        here + External("offset", " 0"), here + External("length", "4"),
        here + External("length", "18446744073709551615"), here + External("length", ""),
        here + Bytes(9, "AAAABBBB"), External("location", std::string("w.bin\0x", 7))}) {
    EXPECT_THAT(Read(WithExternal(entries)).status(), StatusIs(absl::StatusCode::kInvalidArgument))
        << entries;
  }
  // Without a folder there is nowhere to look.
  folder_.Write("model.onnx", WithExternal(here));
  EXPECT_THAT(ReadOnnx(MustOpen(folder_.path("model.onnx")), nullptr).status(),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(OnnxReaderTest, AFileTruncatedOrRewrittenWhileItIsReadIsDataLoss) {
  const std::string bytes =
      Model(Initializer(Tensor("w", {1024}, kF32, Bytes(9, std::string(4096, 'w')))));
  ASSERT_OK_AND_ASSIGN(const OnnxFile truncated, Read(bytes));
  std::filesystem::resize_file(folder_.path("model.onnx"), bytes.size() - 100);
  EXPECT_THAT(ReadBytes(*truncated.checkpoint, "w"), StatusIs(absl::StatusCode::kDataLoss));
  ASSERT_OK_AND_ASSIGN(const OnnxFile rewritten, Read(bytes));
  folder_.Write("model.onnx", bytes + Bytes(99, "more"));
  EXPECT_THAT(ReadBytes(*rewritten.checkpoint, "w"), StatusIs(absl::StatusCode::kDataLoss));
}

}  // namespace
}  // namespace paramd
