#include "runtime/params/parameter_set.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "runtime/base/byte_reader.h"
#include "tests/support/status_testing.h"

namespace paramd {
namespace {

constexpr uint64_t kMegabyte = uint64_t{1} << 20;

class ParameterSetTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto store = ParameterStore::Create({.capacity_bytes = 64 * kMegabyte});
    ASSERT_OK(store.status());
    store_ = *std::move(store);
  }

  // A parameter of `content`, stored.
  void Add(ParameterSetBuilder* builder, const std::string& name, ParameterRole role,
           const std::string& content) {
    Parameter parameter{.name = name,
                        .role = role,
                        .dtype = DType::kU8,
                        .shape = {static_cast<int64_t>(content.size())},
                        .bytes = content.size()};
    parameter.content_id =
        TensorContentId(parameter.dtype, parameter.shape.dims(), DigestOf(AsBytes(content)));
    auto claim = store_->Claim(parameter.content_id, content.size());
    ASSERT_OK(claim.status());
    if (claim->resident()) {
      builder->Hold(claim->ref(), DType::kU8);
    } else {
      std::memcpy(claim->builder()->bytes().data(), content.data(), content.size());
      auto ref = store_->Seal(std::move(claim->builder()));
      ASSERT_OK(ref.status());
      builder->Hold(*ref, DType::kU8);
    }
    ASSERT_OK(builder->AddParameter(std::move(parameter)));
  }

  std::unique_ptr<ParameterSet> Set(const std::string& label,
                                    const std::vector<std::string>& contents) {
    ParameterSetBuilder builder(store_.get());
    for (size_t i = 0; i < contents.size(); ++i) {
      Add(&builder, "w" + std::to_string(i), ParameterRole::kWeight, contents[i]);
    }
    return std::move(builder).Build(label);
  }

  // The sum that has no "rest" in it.
  void ExpectLedgerAddsUp() {
    const MemoryLedger ledger = store_->Ledger();
    uint64_t sum = ledger.shared_once_bytes + ledger.unowned_bytes;
    for (const auto& line : ledger.sets) sum += line.bytes.unique.total();
    EXPECT_EQ(sum, ledger.held_bytes) << ledger.ToString();
    EXPECT_EQ(ledger.held_bytes, ledger.table.sealed_bytes) << ledger.ToString();
  }

  std::unique_ptr<ParameterStore> store_;
};

TEST_F(ParameterSetTest, TwoVersionsWithEqualTensorsHoldOneCopy) {
  const std::string base(kMegabyte, 'b');
  const std::string tuned_1(2 * kMegabyte, '1');
  const std::string tuned_2(3 * kMegabyte, '2');
  const auto first = Set("m/1", {base, tuned_1});
  EXPECT_EQ(first->unique_bytes(), 3 * kMegabyte);
  EXPECT_EQ(first->shared_bytes(), 0u);
  {
    const auto second = Set("m/2", {base, tuned_2});
    EXPECT_EQ(store_->usage().table.sealed_bytes, 6 * kMegabyte);
    EXPECT_EQ(first->unique_bytes(), 2 * kMegabyte);
    EXPECT_EQ(first->shared_bytes(), kMegabyte);
    EXPECT_EQ(second->unique_bytes(), 3 * kMegabyte);
    EXPECT_EQ(second->shared_bytes(), kMegabyte);
    EXPECT_EQ(store_->Ledger().shared_once_bytes, kMegabyte);
    EXPECT_EQ(store_->SetsHolding(first->parameters()[0].content_id), 2u);
    EXPECT_EQ(store_->SetsHolding(first->parameters()[1].content_id), 1u);
    EXPECT_EQ(first->entries()[0].bytes().data(), second->entries()[0].bytes().data());
    EXPECT_NE(first->weights_id(), second->weights_id());
    ExpectLedgerAddsUp();
  }
  EXPECT_EQ(store_->usage().table.sealed_bytes, 3 * kMegabyte);
  EXPECT_EQ(first->shared_bytes(), 0u);
  ExpectLedgerAddsUp();
}

TEST_F(ParameterSetTest, FourVersionsOfTheSameFileCostOne) {
  std::vector<std::unique_ptr<ParameterSet>> versions;
  for (int i = 1; i <= 4; ++i) {
    versions.push_back(Set("m/" + std::to_string(i), {std::string(kMegabyte, 'x'), "bias"}));
    EXPECT_EQ(versions[0]->weights_id(), versions.back()->weights_id());
  }
  EXPECT_EQ(store_->usage().table.sealed_bytes, kMegabyte + kPageBytes);
  EXPECT_EQ(store_->SetsHolding(versions[0]->parameters()[0].content_id), 4u);
  ExpectLedgerAddsUp();
}

TEST_F(ParameterSetTest, ABundleCountsAsSharedWhenAnyOfItIs) {
  ParameterSetBuilder builder(store_.get());
  std::vector<EntryRequest> requests;
  for (const std::string content : {"a", "b", "c"}) {
    requests.push_back({TensorContentId(DType::kU8, {}, DigestOf(AsBytes(content))), 1});
  }
  ASSERT_OK_AND_ASSIGN(auto claim, store_->ClaimBundle(requests));
  ASSERT_OK_AND_ASSIGN(auto refs, store_->SealBundle(std::move(claim.builder)));
  for (const ParameterRef& ref : refs) builder.Hold(ref, DType::kU8);
  const auto first = std::move(builder).Build("m/1");
  EXPECT_EQ(first->unique_bytes(), kPageBytes);

  ParameterSetBuilder other(store_.get());
  other.Hold(refs[1], DType::kU8);
  const auto second = std::move(other).Build("m/2");
  refs.clear();
  EXPECT_EQ(first->unique_bytes(), 0u);
  EXPECT_EQ(first->shared_bytes(), kPageBytes);
  EXPECT_EQ(store_->SetsHolding(requests[0].key), 1u);
  EXPECT_EQ(store_->SetsHolding(requests[1].key), 2u);
  ExpectLedgerAddsUp();
}

TEST_F(ParameterSetTest, LoadsInProgressHaveALineOfTheirOwn) {
  ParameterSetBuilder builder(store_.get());
  Add(&builder, "w", ParameterRole::kWeight, std::string(kMegabyte, 'x'));
  EXPECT_EQ(store_->Ledger().unowned_bytes, kMegabyte);
  ExpectLedgerAddsUp();
  const auto set = std::move(builder).Build("m/1");
  EXPECT_EQ(store_->Ledger().unowned_bytes, 0u);
  ExpectLedgerAddsUp();
}

TEST_F(ParameterSetTest, CountsByRole) {
  ParameterSetBuilder builder(store_.get());
  Add(&builder, "w1", ParameterRole::kWeight, std::string(100, '1'));
  Add(&builder, "w2", ParameterRole::kWeight, std::string(50, '2'));
  Add(&builder, "b", ParameterRole::kBias, std::string(10, 'b'));
  Add(&builder, "mean", ParameterRole::kStatistic, std::string(3, 'm'));
  Add(&builder, "axes", ParameterRole::kNone, std::string(2, 'n'));
  const auto set = std::move(builder).Build("m/1");
  EXPECT_EQ(set->counts().of(ParameterRole::kWeight), 150);
  EXPECT_EQ(set->counts().of(ParameterRole::kBias), 10);
  EXPECT_EQ(set->counts().of(ParameterRole::kStatistic), 3);
  EXPECT_EQ(set->counts().trained(), 160);
  EXPECT_EQ(set->counts().tensors[0], 2);
  EXPECT_EQ(set->bytes_by_dtype().at(DType::kU8), 165u);
  ASSERT_NE(set->FindParameter("b"), nullptr);
  EXPECT_EQ(set->FindParameter("b")->role, ParameterRole::kBias);
  EXPECT_EQ(set->FindParameter("none"), nullptr);
}

TEST_F(ParameterSetTest, RefusesTheSameNameTwice) {
  ParameterSetBuilder builder(store_.get());
  EXPECT_OK(builder.AddParameter({.name = "w"}));
  EXPECT_THAT(builder.AddParameter({.name = "w"}), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(ParameterSetTest, VerifyChecksEntriesAndIds) {
  EXPECT_OK(Set("m/1", {"content"})->Verify());
  ParameterSetBuilder builder(store_.get());
  Add(&builder, "w", ParameterRole::kWeight, "content");
  // The same bytes and key, but somebody mixed up the type.
  const auto set = std::move(builder).Build("m/2");
  Parameter wrong = set->parameters()[0];
  wrong.name = "wrong";
  wrong.dtype = DType::kI8;
  ParameterSetBuilder mixed(store_.get());
  mixed.Hold(set->entries()[0], DType::kI8);
  ASSERT_OK(mixed.AddParameter(wrong));
  const auto bad = std::move(mixed).Build("m/3");
  EXPECT_THAT(bad->Verify(), StatusIs(absl::StatusCode::kDataLoss));
}

}  // namespace
}  // namespace paramd
