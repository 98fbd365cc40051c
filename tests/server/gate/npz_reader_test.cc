#include "server/gate/npz_reader.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "runtime/base/byte_reader.h"
#include "runtime/base/byte_writer.h"
#include "runtime/tensor/npy.h"
#include "tests/support/status_testing.h"

namespace paramd {
namespace {

using ::testing::HasSubstr;

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file.good()) << path;
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string Npy(const std::vector<float>& values) {
  const Tensor tensor = Tensor::Of<float>(DType::kF32, Shape{static_cast<int64_t>(values.size())},
                                          absl::MakeConstSpan(values));
  auto npy = ToNpy(tensor.view());
  EXPECT_OK(npy.status());
  return *npy;
}

struct ZipEntry {
  std::string name;
  std::string content;
  bool deflate = false;
  // Lies, where not negative.
  int64_t crc = -1, packed = -1, bytes = -1, offset = -1, method = -1, flags = -1;
};

std::string Deflate(const std::string& content) {
  z_stream stream = {};
  EXPECT_EQ(deflateInit2(&stream, 9, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string packed(content.size() + 64, '\0');
  std::string input = content;
  stream.next_in = reinterpret_cast<Bytef*>(input.data());
  stream.avail_in = static_cast<uInt>(input.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  packed.resize(packed.size() - stream.avail_out);
  deflateEnd(&stream);
  return packed;
}

uint32_t Or(int64_t lie, uint64_t truth) { return static_cast<uint32_t>(lie < 0 ? truth : lie); }

std::string Zip(const std::vector<ZipEntry>& entries, const std::string& comment = "") {
  ByteWriter out;
  ByteWriter directory;
  for (const ZipEntry& entry : entries) {
    const uint64_t offset = out.bytes().size();
    const std::string packed = entry.deflate ? Deflate(entry.content) : entry.content;
    const auto crc = static_cast<uint32_t>(
        crc32_z(0, reinterpret_cast<const Bytef*>(entry.content.data()), entry.content.size()));
    out.U32(0x04034b50);
    for (int i = 0; i < 22; ++i) out.U8(0xff);  // Nothing here may be believed.
    out.U16(static_cast<uint16_t>(entry.name.size()));
    out.U16(0);
    out.Text(entry.name);
    out.Text(packed);
    directory.U32(0x02014b50);
    directory.U32(0);
    directory.U16(static_cast<uint16_t>(Or(entry.flags, 0)));
    directory.U16(static_cast<uint16_t>(Or(entry.method, entry.deflate ? 8 : 0)));
    directory.U32(0);
    directory.U32(Or(entry.crc, crc));
    directory.U32(Or(entry.packed, packed.size()));
    directory.U32(Or(entry.bytes, entry.content.size()));
    directory.U16(static_cast<uint16_t>(entry.name.size()));
    directory.U16(0);
    directory.U16(0);
    directory.U64(0);
    directory.U32(Or(entry.offset, offset));
    directory.Text(entry.name);
  }
  const auto directory_offset = static_cast<uint32_t>(out.bytes().size());
  out.Text(directory.bytes());
  out.U32(0x06054b50);
  out.U32(0);
  out.U16(static_cast<uint16_t>(entries.size()));
  out.U16(static_cast<uint16_t>(entries.size()));
  out.U32(static_cast<uint32_t>(directory.bytes().size()));
  out.U32(directory_offset);
  out.U16(static_cast<uint16_t>(comment.size()));
  out.Text(comment);
  return std::move(out).Take();
}

absl::StatusOr<std::map<std::string, Tensor>> Parse(const std::string& bytes,
                                                    const NpzLimits& limits = {}) {
  return ParseNpz(AsBytes(bytes), limits);
}

TEST(NpzReader, ReadsWhatNumPyWrites) {
  for (const char* file : {"stored", "deflated"}) {
    SCOPED_TRACE(file);
    ASSERT_OK_AND_ASSIGN(const auto tensors,
                         Parse(ReadFile(std::string("tests/golden/gate/") + file + ".npz")));
    ASSERT_EQ(tensors.size(), 3u);
    const TensorView x = tensors.at("input.x").view();
    EXPECT_EQ(x.shape, (Shape{2, 2}));
    EXPECT_EQ(x.as<float>()[3], -1.0f);
    EXPECT_EQ(tensors.at("tolerance").view().as<double>()[0], 0.001);
  }
}

TEST(NpzReader, StoredAndDeflatedWithACommentBehind) {
  ASSERT_OK_AND_ASSIGN(
      const auto tensors,
      Parse(Zip({{.name = "a.npy", .content = Npy({1, 2})},
                 {.name = "b.npy", .content = Npy(std::vector<float>(5000, 3)), .deflate = true}},
                "PK\5\6 as a comment")));
  ASSERT_EQ(tensors.size(), 2u);
  EXPECT_EQ(tensors.at("b").view().as<float>()[4999], 3.0f);
}

TEST(NpzReader, EachLieIsRefused) {
  const std::string npy = Npy({1, 2, 3});
  const ZipEntry good{.name = "a.npy", .content = npy, .deflate = true};
  const auto lie = [&](auto change) {
    ZipEntry entry = good;
    change(entry);
    return Parse(Zip({entry})).status();
  };
  const auto invalid = StatusIs(absl::StatusCode::kInvalidArgument);
  const auto unimplemented = StatusIs(absl::StatusCode::kUnimplemented);
  ASSERT_OK(Parse(Zip({good})).status());
  EXPECT_THAT(lie([](ZipEntry& e) { e.crc = 1; }), invalid);
  EXPECT_THAT(lie([](ZipEntry& e) { e.packed = 3; }), invalid);
  EXPECT_THAT(lie([](ZipEntry& e) { e.packed = 100'000; }), invalid);
  EXPECT_THAT(lie([](ZipEntry& e) { e.bytes = 3; }), invalid);
  EXPECT_THAT(lie([](ZipEntry& e) { e.bytes = 0; }), invalid);
  EXPECT_THAT(lie([](ZipEntry& e) { e.bytes = 100'000'000; }), invalid);  // No such ratio.
  EXPECT_THAT(lie([](ZipEntry& e) { e.offset = 1; }), invalid);
  EXPECT_THAT(lie([](ZipEntry& e) { e.offset = 0x7fffffff; }), invalid);
  EXPECT_THAT(lie([](ZipEntry& e) { e.method = 0; }), invalid);  // Stored, in other sizes.
  EXPECT_THAT(lie([](ZipEntry& e) { e.method = 12; }), unimplemented);
  EXPECT_THAT(lie([](ZipEntry& e) { e.flags = 1; }), unimplemented);
  EXPECT_THAT(lie([](ZipEntry& e) { e.bytes = 0xffffffff; }), unimplemented);
  EXPECT_THAT(lie([](ZipEntry& e) { e.name = "a.txt"; }), invalid);
  EXPECT_THAT(lie([](ZipEntry& e) { e.content = "no array"; }), invalid);
  EXPECT_THAT(Parse(Zip({good, good})).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("twice")));
}

TEST(NpzReader, KeepsItsLimits) {
  const ZipEntry zeros{
      .name = "a.npy", .content = Npy(std::vector<float>(10'000)), .deflate = true};
  EXPECT_OK(Parse(Zip({zeros}), {.unpacked_bytes_max = 50'000}).status());
  EXPECT_THAT(Parse(Zip({zeros}), {.unpacked_bytes_max = 40'000}).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("40000")));
  ZipEntry other = zeros;
  other.name = "b.npy";
  EXPECT_THAT(Parse(Zip({zeros, other}), {.entries_max = 1}).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("2 entries")));
}

TEST(NpzReader, TruncatedOrDamagedAnywhereIsRefusedOrStillRead) {
  const std::string good = Zip({{.name = "a.npy", .content = Npy({1, 2, 3}), .deflate = true},
                                {.name = "b.npy", .content = Npy({4})}});
  for (size_t length = 0; length < good.size(); ++length) {
    EXPECT_FALSE(Parse(good.substr(0, length)).ok()) << length;
  }
  constexpr unsigned kSeed = 20261124;
  SCOPED_TRACE(kSeed);
  std::mt19937 random(kSeed);
  for (int round = 0; round < 20'000; ++round) {
    std::string damaged = good;
    for (int flips = 1 + static_cast<int>(random() % 4); flips > 0; --flips) {
      damaged[random() % damaged.size()] = static_cast<char>(random() % 2 == 0 ? 0xff : random());
    }
    const auto parsed = Parse(damaged);
    if (!parsed.ok()) {
      EXPECT_TRUE(absl::IsInvalidArgument(parsed.status()) ||
                  absl::IsUnimplemented(parsed.status()))
          << parsed.status();
    }
  }
}

}  // namespace
}  // namespace paramd
