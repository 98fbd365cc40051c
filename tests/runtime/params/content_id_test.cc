#include "runtime/params/content_id.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/hash/hash.h"
#include "runtime/base/byte_reader.h"
#include "runtime/params/parameter.h"
#include "tests/support/status_testing.h"

namespace paramd {
namespace {

const Digest kAbc = DigestOf(AsBytes("abc"));

TEST(ContentId, DigestIsSha256) {
  // FIPS 180-2's own example.
  EXPECT_EQ(kAbc.ToHex(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(DigestOf({}).ToHex(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST(ContentId, HashingInPiecesGivesTheSame) {
  ContentHasher hasher;
  hasher.Update(AsBytes("a"));
  hasher.Update({});
  hasher.Update(AsBytes("bc"));
  EXPECT_EQ(hasher.Finish(), kAbc);
  hasher.Update(AsBytes("abc"));  // Finish started the next one.
  EXPECT_EQ(hasher.Finish(), kAbc);
}

// These numbers are on disk and on other machines: a change to how ids are made
// needs a new version in their tags, and shows here first.
TEST(ContentId, IdsStayWhatTheyAre) {
  EXPECT_EQ(TensorContentId(DType::kF32, std::vector<int64_t>{2, 3}, kAbc).ToHex(),
            "fc2d62b678aeefbf698395a51010ed52856f783c3e911ec9d805717fddd110c0");
  EXPECT_EQ(DerivedKey({.parents = {ContentId()}, .transform = "t", .layout = "l"}).ToHex(),
            "cb9c29ef079e75f9a505cef4004df90b6c3ce1bca71bcc66c27acd4ed7f2bccc");
  EXPECT_EQ(WeightsId({}).ToHex(),
            "77957b49f8a1d417c217684ec55614de63f2e38ec855d191bfe754b0d2b8de62");
}

TEST(ContentId, TypeShapeAndBytesAllCount) {
  const std::vector<int64_t> dims = {2, 3};
  const ContentId id = TensorContentId(DType::kF32, dims, kAbc);
  EXPECT_EQ(id, TensorContentId(DType::kF32, dims, kAbc));
  EXPECT_NE(id, TensorContentId(DType::kI32, dims, kAbc));
  EXPECT_NE(id, TensorContentId(DType::kF32, std::vector<int64_t>{3, 2}, kAbc));
  EXPECT_NE(id, TensorContentId(DType::kF32, std::vector<int64_t>{2, 3, 1}, kAbc));
  EXPECT_NE(id, TensorContentId(DType::kF32, dims, DigestOf(AsBytes("abd"))));
}

TEST(ContentId, AKeyFollowsFromAllThatAPackedFormIsMadeOf) {
  const ContentId a = TensorContentId(DType::kF32, {}, kAbc);
  const ContentId b = TensorContentId(DType::kI32, {}, kAbc);
  const FormOrigin origin = {
      .parents = {a, b}, .transform = "pack", .transform_version = 1, .layout = "blob"};
  const ContentId key = DerivedKey(origin);
  FormOrigin other = origin;
  EXPECT_EQ(key, DerivedKey(other));
  other.parents = {b, a};
  EXPECT_NE(key, DerivedKey(other));
  other = origin;
  other.transform_version = 2;
  EXPECT_NE(key, DerivedKey(other));
  other = origin;
  other.layout = "blo";
  EXPECT_NE(key, DerivedKey(other));
  other = origin;
  other.transform = "packb";
  other.layout = "lob";  // The same bytes, cut elsewhere.
  EXPECT_NE(key, DerivedKey(other));
}

TEST(ContentId, WeightsIdDoesNotDependOnTheOrder) {
  const ContentId a = TensorContentId(DType::kF32, {}, kAbc);
  const ContentId b = TensorContentId(DType::kI32, {}, kAbc);
  EXPECT_EQ(WeightsId({{"x", a}, {"y", b}}), WeightsId({{"y", b}, {"x", a}}));
  EXPECT_NE(WeightsId({{"x", a}, {"y", b}}), WeightsId({{"x", b}, {"y", a}}));
  EXPECT_NE(WeightsId({{"x", a}}), WeightsId({{"x", a}, {"y", b}}));
}

TEST(ContentId, HexGoesBothWays) {
  const ContentId id = TensorContentId(DType::kF32, {}, kAbc);
  EXPECT_THAT(ContentId::FromHex(id.ToHex()), IsOkAndHolds(id));
  EXPECT_EQ(id.ShortHex(), id.ToHex().substr(0, 12));
  EXPECT_EQ(absl::HashOf(id), absl::HashOf(*ContentId::FromHex(id.ToHex())));
  for (const std::string& bad : {std::string(), id.ToHex().substr(1), id.ToHex() + "00",
                                 std::string(64, 'g'), "0x" + id.ToHex().substr(2)}) {
    EXPECT_THAT(ContentId::FromHex(bad), StatusIs(absl::StatusCode::kInvalidArgument)) << bad;
  }
}

TEST(ParameterRole, NamesGoBothWays) {
  for (int i = 0; i < kParameterRoles; ++i) {
    const auto role = static_cast<ParameterRole>(i);
    EXPECT_EQ(ParameterRoleFromName(ParameterRoleName(role)), role);
  }
  EXPECT_EQ(ParameterRoleFromName("weights"), std::nullopt);
}

}  // namespace
}  // namespace paramd
