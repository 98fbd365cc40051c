#include "runtime/loading/model_record.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

#include "runtime/backends/backend_list.h"
#include "runtime/base/byte_reader.h"
#include "tests/support/status_testing.h"

namespace paramd {
namespace {

using ::testing::HasSubstr;

// magic 8 | version 4 | digest 32
constexpr size_t kHeaderBytes = 44;

ModelRecord Example() {
  ModelRecord record{.format = LoadFormat(),
                     .revision = "64513:1234:5678",
                     .choices = "precision f32",
                     .generation = 77,
                     .manifest_bytes = 4321,
                     .plan_sizes = 2,
                     .batch_rows_max = 32,
                     .batching_reason = "two rows together answered as apart",
                     .arena_bytes = 1 << 20};
  record.weights_id = TensorContentId(DType::kU8, {}, DigestOf(AsBytes("weights")));
  record.manifest = TensorContentId(DType::kU8, {}, DigestOf(AsBytes("manifest")));
  record.warm = {{1, absl::Microseconds(150)}, {2, absl::ZeroDuration()}, {32, absl::Seconds(1)}};
  return record;
}

std::string WithBody(const std::string& good, std::string_view body) {
  std::string bytes = good.substr(0, 12);
  const Digest digest = DigestOf(AsBytes(body));
  bytes.append(AsText(digest.bytes()));
  bytes.append(body);
  return bytes;
}

TEST(ModelRecord, ComesBackAsItWas) {
  const ModelRecord before = Example();
  ASSERT_OK_AND_ASSIGN(const std::string bytes, SerializeModelRecord(before));
  ASSERT_OK_AND_ASSIGN(const ModelRecord after, ParseModelRecord(bytes));
  EXPECT_EQ(after.format, before.format);
  EXPECT_EQ(after.revision, before.revision);
  EXPECT_EQ(after.choices, before.choices);
  EXPECT_EQ(after.generation, before.generation);
  EXPECT_EQ(after.weights_id, before.weights_id);
  EXPECT_EQ(after.manifest, before.manifest);
  EXPECT_EQ(after.manifest_bytes, before.manifest_bytes);
  EXPECT_EQ(after.plan_sizes, before.plan_sizes);
  EXPECT_EQ(after.batch_rows_max, before.batch_rows_max);
  EXPECT_EQ(after.batching_reason, before.batching_reason);
  EXPECT_EQ(after.arena_bytes, before.arena_bytes);
  ASSERT_EQ(after.warm.size(), 3u);
  EXPECT_EQ(after.warm[0].took, absl::Microseconds(150));
  EXPECT_EQ(after.warm[2].rows, 32);
  EXPECT_THAT(SerializeModelRecord(after), IsOkAndHolds(bytes));
}

TEST(ModelRecord, TruncatedAnywhereIsDataLoss) {
  ASSERT_OK_AND_ASSIGN(const std::string bytes, SerializeModelRecord(Example()));
  const std::string body = bytes.substr(kHeaderBytes);
  for (size_t length = 0; length < bytes.size(); ++length) {
    EXPECT_THAT(ParseModelRecord(bytes.substr(0, length)), StatusIs(absl::StatusCode::kDataLoss));
  }
  for (size_t length = 0; length < body.size(); ++length) {
    EXPECT_THAT(ParseModelRecord(WithBody(bytes, body.substr(0, length))),
                StatusIs(absl::StatusCode::kDataLoss));
  }
  EXPECT_THAT(ParseModelRecord(WithBody(bytes, body + "x")), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(ParseModelRecord(std::string(kModelRecordBytesMax + 1, 'P')),
              StatusIs(absl::StatusCode::kDataLoss));
}

TEST(ModelRecord, HostileBodiesWithATrueDigestAreRefusedOrRead) {
  ASSERT_OK_AND_ASSIGN(const std::string bytes, SerializeModelRecord(Example()));
  const std::string body = bytes.substr(kHeaderBytes);
  constexpr unsigned kSeed = 20261124;
  SCOPED_TRACE(kSeed);
  std::mt19937 random(kSeed);
  for (int round = 0; round < 20'000; ++round) {
    std::string damaged = body;
    for (int flips = 1 + static_cast<int>(random() % 4); flips > 0; --flips) {
      damaged[random() % damaged.size()] = static_cast<char>(random() % 2 == 0 ? 0xff : random());
    }
    const auto parsed = ParseModelRecord(WithBody(bytes, damaged));
    if (!parsed.ok()) {
      EXPECT_THAT(parsed, StatusIs(absl::StatusCode::kDataLoss));
    } else {
      EXPECT_OK(SerializeModelRecord(*parsed).status());
    }
  }
}

TEST(ModelRecord, EachNumberThatCannotBeIsRefused) {
  const auto refused = [](auto change) {
    ModelRecord record = Example();
    change(record);
    const auto bytes = SerializeModelRecord(record);
    return bytes.ok() ? ParseModelRecord(*bytes).status() : bytes.status();
  };
  const auto data_loss = StatusIs(absl::StatusCode::kDataLoss);
  EXPECT_THAT(refused([](ModelRecord& r) { r.generation = 0; }), data_loss);
  EXPECT_THAT(refused([](ModelRecord& r) { r.manifest = ContentId(); }), data_loss);
  EXPECT_THAT(refused([](ModelRecord& r) { r.manifest_bytes = 0; }), data_loss);
  EXPECT_THAT(refused([](ModelRecord& r) { r.manifest_bytes = uint64_t{1} << 60; }), data_loss);
  EXPECT_THAT(refused([](ModelRecord& r) { r.plan_sizes = 0; }), data_loss);
  EXPECT_THAT(refused([](ModelRecord& r) { r.plan_sizes = 1000; }), data_loss);
  EXPECT_THAT(refused([](ModelRecord& r) { r.batch_rows_max = -1; }), data_loss);
  EXPECT_THAT(refused([](ModelRecord& r) { r.batch_rows_max = 16; }), data_loss);  // 32 is warm.
  EXPECT_THAT(refused([](ModelRecord& r) { r.warm[1].rows = 1; }), data_loss);
  EXPECT_THAT(refused([](ModelRecord& r) { r.warm[0].rows = 0; }), data_loss);
  EXPECT_THAT(refused([](ModelRecord& r) { r.warm[0].took = -absl::Seconds(1); }), data_loss);
  EXPECT_THAT(refused([](ModelRecord& r) { r.revision.assign(kModelRecordBytesMax, 'r'); }),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(ModelRecord, AnotherLayoutIsUnimplemented) {
  ASSERT_OK_AND_ASSIGN(std::string bytes, SerializeModelRecord(Example()));
  bytes[8] = 9;
  EXPECT_THAT(ParseModelRecord(bytes),
              StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("version 9")));
}

TEST(ModelRecord, TheFormatNamesEveryBackendAndPass) {
  const std::string format = LoadFormat();
  for (const Backend* backend : AllBackends()) {
    EXPECT_THAT(format, HasSubstr(std::string(backend->fingerprint())));
  }
  EXPECT_THAT(format, HasSubstr("manifest 2"));
  EXPECT_NE(LoadFormat(AllBackends().last(1)), AllBackends().size() > 1 ? format : "");
}

}  // namespace
}  // namespace paramd
