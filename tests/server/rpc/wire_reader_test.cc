#include "server/rpc/wire_reader.h"

#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "server/rpc/wire_writer.h"
#include "tests/support/status_testing.h"

namespace paramd {
namespace {

using ::testing::HasSubstr;

std::vector<std::byte> Bytes(const std::string& text) {
  std::vector<std::byte> bytes(text.size());
  std::memcpy(bytes.data(), text.data(), text.size());
  return bytes;
}

// `bytes` cut into pieces of `piece` bytes, an empty one between each two.
std::vector<Fragment> Cut(const std::vector<std::byte>& bytes, size_t piece) {
  std::vector<Fragment> fragments;
  for (size_t at = 0; at < bytes.size(); at += piece) {
    fragments.push_back(Fragment(bytes).subspan(at, piece));
    fragments.emplace_back();
  }
  return fragments;
}

TEST(WireReader, ReadsVarintsAcrossFragments) {
  for (const uint64_t value : {uint64_t{0}, uint64_t{127}, uint64_t{128}, uint64_t{300},
                               uint64_t{1} << 35, std::numeric_limits<uint64_t>::max()}) {
    std::vector<std::byte> bytes(VarintSize(value));
    EXPECT_EQ(WriteVarint(value, bytes.data()), bytes.data() + bytes.size());
    for (size_t piece : {1, 2, 16}) {
      const auto fragments = Cut(bytes, piece);
      WireReader reader(fragments);
      EXPECT_THAT(reader.ReadVarint(), IsOkAndHolds(value));
      EXPECT_TRUE(reader.done());
    }
  }
}

TEST(WireReader, RefusesAVarintLongerThan64Bits) {
  const auto bytes = Bytes("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f");
  const auto fragments = Cut(bytes, 3);
  WireReader reader(fragments);
  EXPECT_THAT(reader.ReadVarint(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("64 bits")));
}

TEST(WireReader, RefusesATruncatedNumber) {
  const auto bytes = Bytes("\x80");
  const auto fragments = Cut(bytes, 1);
  EXPECT_THAT(WireReader(fragments).ReadVarint(), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(WireReader(fragments).ReadFixed32(), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(WireReader(fragments).ReadFixed64(), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(WireReader, AFieldCannotReachBeyondItsMessage) {
  const auto bytes = Bytes(
      "\x05"
      "abc");
  const auto fragments = Cut(bytes, 2);
  EXPECT_THAT(WireReader(fragments).ReadBytes(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("claims 5 bytes where 3")));
}

TEST(WireReader, AHugeLengthDoesNotWrap) {
  std::vector<std::byte> bytes(VarintSize(std::numeric_limits<uint64_t>::max()) + 2);
  WriteVarint(std::numeric_limits<uint64_t>::max(), bytes.data());
  const auto fragments = Cut(bytes, 4);
  EXPECT_THAT(WireReader(fragments).ReadBytes(), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(WireReader, RefusesFieldZeroUnknownTypesAndGroups) {
  for (const std::string& tag :
       {std::string(1, '\x00'), std::string("\x0e"), std::string("\x0f")}) {
    const auto bytes = Bytes(tag);
    const auto fragments = Cut(bytes, 1);
    EXPECT_THAT(WireReader(fragments).ReadTag(), StatusIs(absl::StatusCode::kInvalidArgument));
  }
  EXPECT_THAT(WireReader().Skip(WireType::kGroupStart),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("group")));
}

TEST(WireReader, HandsOutContentInPlace) {
  const auto bytes = Bytes(
      "\x06"
      "tensor!");
  const std::vector<Fragment> one = {Fragment(bytes)};
  WireReader reader(one);
  ASSERT_OK_AND_ASSIGN(const WireReader content, reader.ReadBytes());
  const auto pieces = content.Fragments();
  ASSERT_EQ(pieces.size(), 1u);
  EXPECT_EQ(pieces[0].data(), bytes.data() + 1);  // A view, not a copy.
  EXPECT_EQ(pieces[0].size(), 6u);
  EXPECT_EQ(reader.left(), 1u);
}

TEST(WireReader, CopiesContentThatLiesInPieces) {
  const auto bytes = Bytes(
      "\x06"
      "tensor!");
  const auto fragments = Cut(bytes, 2);
  WireReader reader(fragments);
  ASSERT_OK_AND_ASSIGN(const std::string text, reader.ReadString(6));
  EXPECT_EQ(text, "tensor");
  WireReader again(fragments);
  EXPECT_THAT(again.ReadString(5),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("6 bytes, at most 5")));
}

}  // namespace
}  // namespace paramd
