#include "server/keeper/keeper_protocol.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "runtime/base/byte_writer.h"
#include "tests/server/keeper/keeper_rig.h"
#include "tests/support/status_testing.h"

namespace paramd {
namespace {

std::vector<EntryPlace> Places(int count) {
  std::vector<EntryPlace> places;
  for (int i = 0; i < count; ++i) {
    places.push_back({.key = TestKey(i),
                      .offset = static_cast<uint64_t>(64 * i),
                      .bytes = static_cast<uint64_t>(1 + i),
                      .digest = DigestOf(AsBytes(std::to_string(i)))});
  }
  return places;
}

bool Same(const std::vector<EntryPlace>& a, const std::vector<EntryPlace>& b) {
  return std::equal(
      a.begin(), a.end(), b.begin(), b.end(), [](const EntryPlace& x, const EntryPlace& y) {
        return x.key == y.key && x.offset == y.offset && x.bytes == y.bytes && x.digest == y.digest;
      });
}

UniqueFd AnyFd() { return UniqueFd(::open("/dev/null", O_RDONLY | O_CLOEXEC)); }

LentSegment Lent(uint64_t id, int places) {
  return {.segment_id = id,
          .fd = AnyFd(),
          .bytes = 64u * places,
          .kind = EntryKind::kPacked,
          .places = Places(places)};
}

TEST(KeeperProtocol, RequestsComeOutAsTheyWentIn) {
  ASSERT_OK_AND_ASSIGN(
      const WorkerHello hello,
      DecodeHello(EncodeHello({.pid = -3, .build = "paramd 1.0", .format = "onednn 3.7"})));
  EXPECT_EQ(hello.pid, -3);
  EXPECT_EQ(hello.build, "paramd 1.0");
  EXPECT_EQ(hello.format, "onednn 3.7");

  const std::vector<EntryRequest> entries = {{TestKey(1), 5}, {TestKey(2), UINT64_MAX}};
  ASSERT_OK_AND_ASSIGN(const ClaimRequest claim,
                       DecodeClaim(EncodeClaim(entries, EntryKind::kManifest)));
  EXPECT_EQ(claim.kind, EntryKind::kManifest);
  ASSERT_EQ(claim.entries.size(), 2u);
  EXPECT_EQ(claim.entries[1].key, TestKey(2));
  EXPECT_EQ(claim.entries[1].bytes, UINT64_MAX);

  ASSERT_OK_AND_ASSIGN(const PutRequest put, DecodePut(EncodePut(9, Places(3))));
  EXPECT_EQ(put.ticket, 9u);
  EXPECT_TRUE(Same(put.places, Places(3)));

  const SegmentTable::Holding holding{
      .name = "digits/3", .keys = {TestKey(1), TestKey(2)}, .note = std::string("a\0b", 3)};
  ASSERT_OK_AND_ASSIGN(const SegmentTable::Holding held, DecodeHold(EncodeHold(holding)));
  EXPECT_EQ(held.name, holding.name);
  EXPECT_EQ(held.keys, holding.keys);
  EXPECT_EQ(held.note, holding.note);

  ASSERT_OK_AND_ASSIGN(const SetStateRequest set, DecodeSetState(EncodeSetState(4, "state")));
  EXPECT_EQ(set.expected, 4u);
  EXPECT_EQ(set.bytes, "state");
  EXPECT_EQ(*DecodeNumber(EncodeNumber(UINT64_MAX)), UINT64_MAX);
  EXPECT_EQ(*DecodeName(EncodeName("digits/3")), "digits/3");
  EXPECT_OK(DecodeNothing(""));
}

TEST(KeeperProtocol, ARequestThatIsCutOffOrTooLongIsRefused) {
  const std::vector<EntryRequest> entries = {{TestKey(1), 5}, {TestKey(2), 6}};
  const std::vector<std::pair<std::string, std::function<bool(std::string_view)>>> requests = {
      {EncodeHello({.pid = 1, .build = "b", .format = "f"}),
       [](std::string_view body) { return DecodeHello(body).ok(); }},
      {EncodeClaim(entries, EntryKind::kTensor),
       [](std::string_view body) { return DecodeClaim(body).ok(); }},
      {EncodePut(1, Places(2)), [](std::string_view body) { return DecodePut(body).ok(); }},
      {EncodeNumber(1), [](std::string_view body) { return DecodeNumber(body).ok(); }},
      {EncodeName("n"), [](std::string_view body) { return DecodeName(body).ok(); }},
      {EncodeHold({.name = "n", .keys = {TestKey(1)}, .note = "x"}),
       [](std::string_view body) { return DecodeHold(body).ok(); }},
      {EncodeSetState(1, "state"), [](std::string_view body) { return DecodeSetState(body).ok(); }},
      {"", [](std::string_view body) { return DecodeNothing(body).ok(); }},
  };
  for (const auto& [body, decodes] : requests) {
    EXPECT_TRUE(decodes(body));
    EXPECT_FALSE(decodes(body + "x"));
    for (size_t length = 0; length < body.size(); ++length) {
      EXPECT_FALSE(decodes(std::string_view(body).substr(0, length))) << length;
    }
  }
}

// Counts that cannot be true are refused before anybody reserves memory for them.
TEST(KeeperProtocol, CountsAboveWhatIsThereOrAllowedAreRefused) {
  const auto bytes = [](const std::function<void(ByteWriter*)>& write) {
    ByteWriter out;
    write(&out);
    return std::move(out).Take();
  };
  EXPECT_FALSE(DecodeClaim(bytes([](ByteWriter* out) {
                 out->U8(0);
                 out->U32(UINT32_MAX);
                 out->Text(std::string(40, 'x'));
               })).ok());
  EXPECT_FALSE(DecodeClaim(bytes([](ByteWriter* out) {
                 out->U8(0);
                 out->U32(kClaimEntriesMax + 1);
                 out->Text(std::string(40 * (kClaimEntriesMax + 1), 'x'));
               })).ok());
  EXPECT_FALSE(DecodeClaim(bytes([](ByteWriter* out) {
                 out->U8(kEntryKinds);  // No such kind.
                 out->U32(0);
               })).ok());
  EXPECT_FALSE(DecodePut(bytes([](ByteWriter* out) {
                 out->U64(1);
                 out->U32(UINT32_MAX / 2);
               })).ok());
  EXPECT_FALSE(DecodeHold(bytes([](ByteWriter* out) {
                 out->Text32(std::string(kHoldingNameBytesMax + 1, 'n'));
                 out->Text32("");
                 out->U32(0);
               })).ok());
  EXPECT_FALSE(DecodeHold(bytes([](ByteWriter* out) {
                 out->Text32("n");
                 out->Text32(std::string(kHoldingNoteBytesMax + 1, 'n'));
                 out->U32(0);
               })).ok());
  EXPECT_FALSE(DecodeSetState(bytes([](ByteWriter* out) {
                 out->U64(1);
                 out->U64(UINT64_MAX);
               })).ok());
  EXPECT_THAT(CheckHolding({.name = std::string(kHoldingNameBytesMax + 1, 'n')}),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(KeeperProtocol, AnotherVersionIsRefusedInWords) {
  std::string hello = EncodeHello({.pid = 1});
  hello[4] = static_cast<char>(kKeeperProtocolVersion + 1);
  hello += "fields that came later";
  EXPECT_THAT(DecodeHello(hello).status(), StatusIs(absl::StatusCode::kFailedPrecondition));
  hello[0] = 'x';
  EXPECT_THAT(DecodeHello(hello).status(), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(KeeperProtocol, AnswersComeOutAsTheyWentIn) {
  EXPECT_EQ(*DecodeNumberReply(NumberReply(3, 77)), 77u);
  EXPECT_EQ(NumberReply(3, 77).request, 3u);
  EXPECT_OK(DecodeEmptyReply(EmptyReply(3)));
  EXPECT_OK(DecodeEmptyReply(ErrorReply(3, absl::OkStatus())));
  EXPECT_EQ(DecodeEmptyReply(ErrorReply(3, absl::AbortedError("late"))),
            absl::AbortedError("late"));

  ASSERT_OK_AND_ASSIGN(const auto usage, DecodeUsage(UsageReply(1, {1, 2, 3, 4, 5})));
  EXPECT_EQ(usage.capacity_bytes, 1u);
  EXPECT_EQ(usage.sealed_bytes, 2u);
  EXPECT_EQ(usage.reserved_bytes, 3u);
  EXPECT_EQ(usage.segments, 4u);
  EXPECT_EQ(usage.builders, 5u);
  ASSERT_OK_AND_ASSIGN(const auto state, DecodeState(StateReply(1, {9, "state"})));
  EXPECT_EQ(state.revision, 9u);
  EXPECT_EQ(state.bytes, "state");
  ASSERT_OK_AND_ASSIGN(
      const auto upgrade,
      DecodeUpgradeStatus(UpgradeReply(1, {UpgradeStatus::Phase::kFailed, 42, "no such file"})));
  EXPECT_EQ(upgrade.phase, UpgradeStatus::Phase::kFailed);
  EXPECT_EQ(upgrade.serving_pid, 42);
  EXPECT_EQ(upgrade.message, "no such file");

  KeeperWelcome welcome;
  welcome.grpc_listener = AnyFd();
  welcome.breadcrumb = AnyFd();
  const int grpc = welcome.grpc_listener.get();
  welcome.successor = true;
  welcome.crashes = 12;
  welcome.quarantined = {{"a/1", "why"}, {"b/2", ""}};
  ASSERT_OK_AND_ASSIGN(const auto welcomed, DecodeWelcome(WelcomeReply(1, std::move(welcome))));
  EXPECT_EQ(welcomed.grpc_listener.get(), grpc);
  EXPECT_FALSE(welcomed.admin_listener.valid());
  EXPECT_FALSE(welcomed.events.valid());
  EXPECT_TRUE(welcomed.breadcrumb.valid());
  EXPECT_TRUE(welcomed.successor);
  EXPECT_EQ(welcomed.crashes, 12u);
  ASSERT_EQ(welcomed.quarantined.size(), 2u);
  EXPECT_EQ(welcomed.quarantined[0].reason, "why");
}

TEST(KeeperProtocol, AClaimOfManySegmentsIsSplitOverFrames) {
  SegmentTable::ClaimResult result;
  for (uint64_t id = 1; id <= 300; ++id) result.resident.push_back(Lent(id, 2));
  result.ticket = 5;
  result.to_build = {0, 7};
  result.waiting = {3};
  std::vector<Frame> frames;
  ClaimReply(8, std::move(result), &frames);
  ASSERT_EQ(frames.size(), 3u);
  for (size_t i = 0; i < frames.size(); ++i) {
    EXPECT_LE(frames[i].fds.size(), kFrameDescriptorsMax);
    EXPECT_EQ(frames[i].type, i == 2 ? FrameType::kReply : FrameType::kReplyPart);
    EXPECT_EQ(frames[i].request, 8u);
  }
  ASSERT_OK_AND_ASSIGN(const auto claim, DecodeClaimReply(std::move(frames), 8));
  ASSERT_EQ(claim.resident.size(), 300u);
  for (uint64_t id = 1; id <= 300; ++id) {
    const LentSegment& segment = claim.resident[id - 1];
    EXPECT_EQ(segment.segment_id, id);
    EXPECT_TRUE(segment.fd.valid());
    EXPECT_EQ(segment.bytes, 128u);
    EXPECT_EQ(segment.kind, EntryKind::kPacked);
    EXPECT_TRUE(Same(segment.places, Places(2)));
  }
  EXPECT_EQ(claim.ticket, 5u);
  EXPECT_EQ(claim.to_build, (std::vector<size_t>{0, 7}));
  EXPECT_EQ(claim.waiting, std::vector<size_t>{3});
}

TEST(KeeperProtocol, TheLargestAnswersFitTheirFrames) {
  std::vector<Frame> frames;
  const std::vector<EntryPlace> most(kClaimEntriesMax, Places(1)[0]);
  SegmentTable::ClaimResult result;
  for (uint64_t id = 1; id <= 3; ++id) {
    result.resident.push_back(Lent(id, 1));
    result.resident.back().places = most;
  }
  ClaimReply(1, std::move(result), &frames);
  const std::vector<SegmentTable::Holding> holdings(
      3, {.name = std::string(kHoldingNameBytesMax, 'n'),
          .keys = std::vector<ContentId>(kHoldingKeysMax, TestKey(1)),
          .note = std::string(kHoldingNoteBytesMax, 'x')});
  HoldingsReply(2, holdings, &frames);
  const std::vector<SegmentTable::SegmentInfo> segments(
      3, {.segment_id = 1, .bytes = 4'096, .leases = 3, .places = most});
  ListReply(3, segments, &frames);
  frames.push_back(StateReply(4, {1, std::string(kStateBytesMax, 's')}));
  for (const Frame& frame : frames) {
    EXPECT_LE(frame.body.size() + kFrameHeaderBytes, kFrameBytesMax);
  }
  EXPECT_OK(CheckHolding(holdings[0]));
}

TEST(KeeperProtocol, HoldingsAndListsComeInParts) {
  std::vector<SegmentTable::Holding> holdings;
  for (int i = 0; i < 50; ++i) {
    holdings.push_back({.name = std::to_string(i),
                        .keys = {TestKey(i)},
                        .note = std::string(100'000, static_cast<char>('a' + i % 26))});
  }
  std::vector<Frame> frames;
  HoldingsReply(1, holdings, &frames);
  EXPECT_GT(frames.size(), 3u);
  ASSERT_OK_AND_ASSIGN(const auto held, DecodeHoldings(frames));
  ASSERT_EQ(held.size(), 50u);
  EXPECT_EQ(held[49].name, "49");
  EXPECT_EQ(held[49].note, holdings[49].note);
  EXPECT_EQ(held[49].keys, holdings[49].keys);

  std::vector<SegmentTable::SegmentInfo> segments;
  for (uint64_t i = 1; i <= 100; ++i) {
    segments.push_back({.segment_id = i,
                        .bytes = 4'096 * i,
                        .kind = EntryKind::kManifest,
                        .leases = static_cast<uint32_t>(i),
                        .places = Places(200)});
  }
  frames.clear();
  ListReply(1, segments, &frames);
  EXPECT_GT(frames.size(), 1u);
  ASSERT_OK_AND_ASSIGN(const auto listed, DecodeList(frames));
  ASSERT_EQ(listed.size(), 100u);
  EXPECT_EQ(listed[99].bytes, 409'600u);
  EXPECT_EQ(listed[99].leases, 100u);
  EXPECT_EQ(listed[99].kind, EntryKind::kManifest);
  EXPECT_TRUE(Same(listed[99].places, Places(200)));

  frames.clear();
  HoldingsReply(1, {}, &frames);
  ASSERT_EQ(frames.size(), 1u);
  EXPECT_TRUE(DecodeHoldings(frames)->empty());
}

// Of the keeper's answers too, nothing is taken on trust.
TEST(KeeperProtocol, AnAnswerThatContradictsItselfIsDataLoss) {
  const auto claim_reply = [](uint64_t ticket, std::vector<size_t> to_build,
                              std::vector<size_t> waiting, size_t segments) {
    SegmentTable::ClaimResult result;
    for (uint64_t id = 1; id <= segments; ++id) result.resident.push_back(Lent(id, 1));
    result.ticket = ticket;
    result.to_build = std::move(to_build);
    result.waiting = std::move(waiting);
    std::vector<Frame> frames;
    ClaimReply(1, std::move(result), &frames);
    return frames;
  };
  const auto refused = [](std::vector<Frame> frames) {
    return absl::IsDataLoss(DecodeClaimReply(std::move(frames), 4).status());
  };
  EXPECT_FALSE(refused(claim_reply(1, {0, 3}, {2}, 1)));
  EXPECT_TRUE(refused(claim_reply(1, {0, 4}, {}, 0)));  // Not one of four.
  EXPECT_TRUE(refused(claim_reply(1, {0, 0}, {}, 0)));  // Twice.
  EXPECT_TRUE(refused(claim_reply(0, {0}, {}, 0)));     // Nothing to build it under.
  EXPECT_TRUE(refused(claim_reply(1, {}, {0}, 0)));     // Nothing to build.
  std::vector<Frame> frames = claim_reply(0, {}, {}, 2);
  frames[0].fds.pop_back();
  EXPECT_TRUE(refused(std::move(frames)));
  frames = claim_reply(0, {}, {}, 2);
  frames[0].fds.push_back(AnyFd());
  EXPECT_TRUE(refused(std::move(frames)));
  const std::string whole = claim_reply(1, {0}, {2}, 0)[0].body;
  for (size_t length = 0; length < whole.size(); ++length) {
    frames.clear();
    frames.push_back({.body = whole.substr(0, length)});
    EXPECT_TRUE(refused(std::move(frames))) << length;
  }
}

TEST(KeeperProtocol, ALongMessageIsCut) {
  const absl::Status status =
      DecodeEmptyReply(ErrorReply(1, absl::InternalError(std::string(100'000, 'x'))));
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kInternal));
  EXPECT_EQ(status.message().size(), kTextBytesMax);
}

}  // namespace
}  // namespace paramd
