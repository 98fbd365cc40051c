#include "runtime/base/byte_reader.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>

#include "runtime/base/byte_writer.h"
#include "tests/support/status_testing.h"

namespace paramd {
namespace {

constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();

TEST(ByteReader, ReadsWhatByteWriterWrote) {
  ByteWriter out;
  out.U8(0xab);
  out.U16(0x1234);
  out.U32(0xdeadbeef);
  out.U64(0x0123456789abcdef);
  out.I64(-7);
  out.Text32("weights");
  out.Text64("");
  ByteReader in(out.bytes());
  EXPECT_THAT(in.ReadU8(), IsOkAndHolds(0xab));
  EXPECT_THAT(in.ReadU16(), IsOkAndHolds(0x1234));
  EXPECT_THAT(in.ReadU32(), IsOkAndHolds(0xdeadbeef));
  EXPECT_THAT(in.ReadU64(), IsOkAndHolds(0x0123456789abcdef));
  EXPECT_THAT(in.ReadI64(), IsOkAndHolds(-7));
  EXPECT_THAT(in.ReadText32(), IsOkAndHolds("weights"));
  EXPECT_THAT(in.ReadText64(), IsOkAndHolds(""));
  EXPECT_TRUE(in.done());
}

TEST(ByteReader, RefusesToReadBeyondTheEndAndStaysWhereItWas) {
  ByteWriter out;
  out.U32(100);  // A length that lies.
  out.Text("abc");
  ByteReader in(out.bytes());
  EXPECT_THAT(in.ReadU64(), StatusIs(absl::StatusCode::kOutOfRange));
  EXPECT_THAT(in.ReadText32(), StatusIs(absl::StatusCode::kOutOfRange));
  EXPECT_THAT(in.ReadBytes(kMax), StatusIs(absl::StatusCode::kOutOfRange));
  EXPECT_THAT(in.Skip(8), StatusIs(absl::StatusCode::kOutOfRange));
  EXPECT_EQ(in.position(), 0u);
  EXPECT_THAT(in.ReadU32(), IsOkAndHolds(100));
  EXPECT_THAT(in.ReadText(3), IsOkAndHolds("abc"));
}

TEST(ByteReader, RefusesACountThatCannotBeTrue) {
  ByteWriter out;
  out.U32(0x40000000);
  out.Text("0123456789");
  ByteReader in(out.bytes());
  EXPECT_THAT(in.ReadCount32(8), StatusIs(absl::StatusCode::kOutOfRange));
  EXPECT_EQ(in.position(), 0u);
}

TEST(ByteReader, NeverFormsASumThatWraps) {
  EXPECT_TRUE(RangeIsInside(0, 0, 0));
  EXPECT_TRUE(RangeIsInside(4, 6, 10));
  EXPECT_FALSE(RangeIsInside(5, 6, 10));
  EXPECT_FALSE(RangeIsInside(kMax, 2, 10));
  EXPECT_FALSE(RangeIsInside(2, kMax, 10));
  EXPECT_EQ(CheckedAdd(kMax, 1), std::nullopt);
  EXPECT_EQ(CheckedMultiply(kMax, 2), std::nullopt);
  EXPECT_EQ(CheckedRoundUp(kMax - 3, 64), std::nullopt);
  EXPECT_EQ(CheckedRoundUp(65, 64), 128u);
}

}  // namespace
}  // namespace paramd
