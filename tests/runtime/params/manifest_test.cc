#include "runtime/params/manifest.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "runtime/base/byte_reader.h"
#include "runtime/base/byte_writer.h"
#include "tests/support/status_testing.h"

namespace paramd {
namespace {

// magic 8 | version 4 | zero 4 | length 8 | digest 32
constexpr size_t kHeaderBytes = 56;

Manifest Example() {
  Manifest manifest{.format = "onnx", .graph = std::string("graph\0bytes", 11), .config = "{}"};
  for (int i = 0; i < 3; ++i) {
    Parameter parameter{.name = "w" + std::to_string(i),
                        .role = static_cast<ParameterRole>(i),
                        .dtype = DType::kF32,
                        .shape = {2, 3 + i},
                        .bytes = static_cast<uint64_t>(2 * (3 + i) * 4)};
    parameter.content_id = TensorContentId(DType::kF32, parameter.shape.dims(), Digest());
    manifest.parameters.push_back(parameter);
  }
  // The last one: made by a node. The second one's bytes are here.
  manifest.tensors = 2;
  const std::string value(32, 'v');
  manifest.parameters[1].content_id =
      TensorContentId(DType::kF32, manifest.parameters[1].shape.dims(), DigestOf(AsBytes(value)));
  manifest.values = {{.parameter = 1, .bytes = value}};
  manifest.kept = {{.key = manifest.parameters[1].content_id, .bytes = 32, .dtype = DType::kF32}};
  manifest.packed = {{.bytes = 4096,
                      .dtype = DType::kBF16,
                      .origin = {.parents = {manifest.parameters[0].content_id},
                                 .transform = "onednn.matmul.pack",
                                 .transform_version = 3,
                                 .layout = std::string(768, 'L')}}};
  return manifest;
}

// The bytes of a manifest with this body and a true digest: damage that only a
// reader of the body can see.
std::string WithBody(std::string_view body) {
  ByteWriter out;
  out.Text("PARAMDMF");
  out.U32(kManifestVersion);
  out.U32(0);
  out.U64(body.size());
  out.Bytes(DigestOf(AsBytes(body)).bytes());
  out.Text(body);
  return std::move(out).Take();
}

absl::StatusOr<Manifest> Parse(const std::string& bytes) { return ParseManifest(AsBytes(bytes)); }

TEST(Manifest, ComesBackAsItWas) {
  const Manifest before = Example();
  ASSERT_OK_AND_ASSIGN(const std::string bytes, SerializeManifest(before));
  ASSERT_OK_AND_ASSIGN(const Manifest after, Parse(bytes));
  EXPECT_EQ(after.format, before.format);
  EXPECT_EQ(after.graph, before.graph);
  EXPECT_EQ(after.config, before.config);
  ASSERT_EQ(after.parameters.size(), 3u);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(after.parameters[i].name, before.parameters[i].name);
    EXPECT_EQ(after.parameters[i].role, before.parameters[i].role);
    EXPECT_EQ(after.parameters[i].dtype, before.parameters[i].dtype);
    EXPECT_EQ(after.parameters[i].shape, before.parameters[i].shape);
    EXPECT_EQ(after.parameters[i].content_id, before.parameters[i].content_id);
    EXPECT_EQ(after.parameters[i].bytes, before.parameters[i].bytes);
  }
  EXPECT_EQ(after.tensors, 2u);
  ASSERT_EQ(after.values.size(), 1u);
  EXPECT_EQ(after.values[0].parameter, 1u);
  EXPECT_EQ(after.values[0].bytes, before.values[0].bytes);
  ASSERT_EQ(after.kept.size(), 1u);
  EXPECT_EQ(after.kept[0].key, before.kept[0].key);
  ASSERT_EQ(after.packed.size(), 1u);
  EXPECT_EQ(after.packed[0].key, DerivedKey(before.packed[0].origin));
  EXPECT_EQ(after.packed[0].origin.layout, before.packed[0].origin.layout);
  EXPECT_EQ(after.packed[0].dtype, DType::kBF16);
  EXPECT_FALSE(after.weights_id.is_zero());
  // The same content makes the same bytes, so versions of one file share it.
  EXPECT_THAT(SerializeManifest(after), IsOkAndHolds(bytes));
}

TEST(Manifest, TruncatedAnywhereIsDataLoss) {
  ASSERT_OK_AND_ASSIGN(const std::string bytes, SerializeManifest(Example()));
  for (size_t length = 0; length < bytes.size(); ++length) {
    EXPECT_THAT(Parse(bytes.substr(0, length)), StatusIs(absl::StatusCode::kDataLoss)) << length;
  }
  EXPECT_THAT(Parse(bytes + "x"), StatusIs(absl::StatusCode::kDataLoss));
  // And with a digest that fits what is left.
  const std::string body = bytes.substr(kHeaderBytes);
  for (size_t length = 0; length < body.size(); ++length) {
    EXPECT_THAT(Parse(WithBody(body.substr(0, length))), StatusIs(absl::StatusCode::kDataLoss))
        << length;
  }
  EXPECT_THAT(Parse(WithBody(body + "x")), StatusIs(absl::StatusCode::kDataLoss));
}

TEST(Manifest, AnyFlippedBitIsFound) {
  ASSERT_OK_AND_ASSIGN(const std::string bytes, SerializeManifest(Example()));
  for (size_t i = 0; i < bytes.size(); ++i) {
    std::string damaged = bytes;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x10);
    EXPECT_FALSE(Parse(damaged).ok()) << i;
  }
}

TEST(Manifest, HostileBodiesWithATrueDigestAreRefusedOrRead) {
  ASSERT_OK_AND_ASSIGN(const std::string bytes, SerializeManifest(Example()));
  const std::string body = bytes.substr(kHeaderBytes);
  constexpr unsigned kSeed = 20'240'601;
  SCOPED_TRACE(kSeed);
  std::mt19937 random(kSeed);
  for (int round = 0; round < 20'000; ++round) {
    std::string damaged = body;
    for (int flips = 1 + static_cast<int>(random() % 4); flips > 0; --flips) {
      damaged[random() % damaged.size()] = static_cast<char>(random() % 2 == 0 ? 0xff : random());
    }
    const auto parsed = Parse(WithBody(damaged));
    if (!parsed.ok()) {
      EXPECT_THAT(parsed, StatusIs(absl::StatusCode::kDataLoss));
    }
  }
}

TEST(Manifest, EachLieInABodyIsNamed) {
  const auto refused = [](const Manifest& manifest) {
    auto bytes = SerializeManifest(manifest);
    EXPECT_OK(bytes.status());
    return Parse(*bytes).status();
  };
  const auto data_loss = StatusIs(absl::StatusCode::kDataLoss);
  Manifest manifest = Example();
  manifest.parameters[1].name = "w0";
  EXPECT_THAT(refused(manifest), data_loss);  // A name twice.
  manifest = Example();
  manifest.parameters[0].bytes = 25;
  EXPECT_THAT(refused(manifest), data_loss);  // Not what the shape takes.
  manifest = Example();
  manifest.parameters[0].shape = {int64_t{1} << 40, int64_t{1} << 40};
  EXPECT_THAT(refused(manifest), data_loss);  // A product that wraps.
  manifest = Example();
  manifest.parameters[0].shape = {-1};
  EXPECT_THAT(refused(manifest), data_loss);
  manifest = Example();
  manifest.kept.push_back(manifest.kept[0]);
  EXPECT_THAT(refused(manifest), data_loss);  // A key twice.
  manifest = Example();
  manifest.tensors = 4;
  EXPECT_THAT(refused(manifest), data_loss);  // More tensors than parameters.
  manifest = Example();
  manifest.values[0].bytes[7] ^= 1;
  EXPECT_THAT(refused(manifest), data_loss);  // A value that is not its content id's.
  manifest = Example();
  manifest.values[0].parameter = 2;
  EXPECT_THAT(refused(manifest), data_loss);  // A value of what is no tensor of the file.
  manifest = Example();
  manifest.values.push_back(manifest.values[0]);
  EXPECT_THAT(refused(manifest), data_loss);  // A value twice.
  manifest = Example();
  manifest.packed[0].bytes = 0;
  EXPECT_THAT(refused(manifest), data_loss);
}

TEST(Manifest, AnotherVersionIsRefusedNotGuessedAt) {
  ASSERT_OK_AND_ASSIGN(std::string bytes, SerializeManifest(Example()));
  bytes[8] = kManifestVersion + 1;
  EXPECT_THAT(Parse(bytes), StatusIs(absl::StatusCode::kUnimplemented));
}

TEST(Manifest, IsStoredOnceForVersionsOfTheSameFile) {
  ASSERT_OK_AND_ASSIGN(auto store, ParameterStore::Create({.capacity_bytes = 1 << 20}));
  ASSERT_OK_AND_ASSIGN(const std::string bytes, SerializeManifest(Example()));
  ASSERT_OK_AND_ASSIGN(const ParameterRef first, StoreManifest(store.get(), bytes));
  ASSERT_OK_AND_ASSIGN(const ParameterRef second, StoreManifest(store.get(), bytes));
  EXPECT_EQ(first.bytes().data(), second.bytes().data());
  EXPECT_EQ(first.kind(), EntryKind::kManifest);
  EXPECT_OK(first.Verify());
  EXPECT_OK(ParseManifest(first.bytes()).status());
}

}  // namespace
}  // namespace paramd
