#include "server/rpc/kserve/trace_settings.h"

#include <string>
#include <vector>

#include "absl/log/log_entry.h"
#include "absl/log/log_sink.h"
#include "absl/log/log_sink_registry.h"
#include "tests/support/status_testing.h"

namespace paramd {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class Lines final : public absl::LogSink {
 public:
  Lines() { absl::AddLogSink(this); }
  ~Lines() override { absl::RemoveLogSink(this); }
  void Send(const absl::LogEntry& entry) override {
    lines.emplace_back(entry.text_message().data(), entry.text_message().size());
  }
  std::vector<std::string> lines;
};

TracedRequest Request(std::string_view model) {
  return {.model = model,
          .version = 3,
          .request_id = "id",
          .arrival = absl::FromUnixNanos(1000),
          .submitted = absl::FromUnixNanos(5000),
          .computed = absl::FromUnixNanos(9000),
          .answered = absl::FromUnixNanos(9100),
          .queue = absl::Nanoseconds(2000),
          .input = absl::Nanoseconds(500)};
}

TEST(TraceSettings, AreOffUntilSomebodyAsks) {
  TraceSettings traces;
  EXPECT_FALSE(traces.on());
  const TraceSettings::Values values = traces.Get("");
  EXPECT_THAT(values.at("trace_level"), ElementsAre("OFF"));
  EXPECT_THAT(values.at("trace_rate"), ElementsAre("1000"));
  EXPECT_THAT(values.at("trace_count"), ElementsAre("-1"));
}

TEST(TraceSettings, TheSampleBecomesLinesWithTritonsNames) {
  TraceSettings traces;
  ASSERT_OK(traces.Update("", {{"trace_level", {"TIMESTAMPS"}}, {"trace_rate", {"3"}}}));
  EXPECT_TRUE(traces.on());
  Lines lines;
  for (int i = 0; i < 9; ++i) traces.Trace(Request("m"));
  ASSERT_EQ(lines.lines.size(), 3u);
  EXPECT_THAT(lines.lines[0],
              HasSubstr("model m version 3: REQUEST_START 1000, QUEUE_START 5000, COMPUTE_START "
                        "7000, COMPUTE_INPUT_END 7500, COMPUTE_OUTPUT_START 9000, COMPUTE_END 9000, "
                        "REQUEST_END 9100"));
}

TEST(TraceSettings, ACountEndsTheTraces) {
  TraceSettings traces;
  ASSERT_OK(traces.Update(
      "", {{"trace_level", {"TIMESTAMPS"}}, {"trace_rate", {"1"}}, {"trace_count", {"2"}}}));
  Lines lines;
  for (int i = 0; i < 5; ++i) traces.Trace(Request("m"));
  EXPECT_EQ(lines.lines.size(), 2u);
  EXPECT_THAT(traces.Get("").at("trace_count"), ElementsAre("0"));
}

TEST(TraceSettings, AModelHasItsOwnUntilTheyAreTakenBack) {
  TraceSettings traces;
  ASSERT_OK(traces.Update("", {{"trace_rate", {"5"}}}));
  ASSERT_OK(traces.Update("m", {{"trace_rate", {"7"}}, {"trace_level", {"TIMESTAMPS"}}}));
  EXPECT_THAT(traces.Get("m").at("trace_rate"), ElementsAre("7"));
  EXPECT_THAT(traces.Get("other").at("trace_rate"), ElementsAre("5"));
  EXPECT_THAT(traces.Get("other").at("trace_level"), ElementsAre("OFF"));
  ASSERT_OK(traces.Update("m", {{"trace_rate", {}}, {"trace_level", {}}}));
  EXPECT_THAT(traces.Get("m").at("trace_rate"), ElementsAre("5"));
  EXPECT_FALSE(traces.on());
}

TEST(TraceSettings, WhatIsNotDoneIsRefusedAndChangesNothing) {
  TraceSettings traces;
  for (const TraceSettings::Values& values :
       {TraceSettings::Values{{"trace_level", {"TENSORS"}}}, {{"trace_file", {"/tmp/t.json"}}}}) {
    EXPECT_THAT(traces.Update("", values), StatusIs(absl::StatusCode::kUnimplemented));
  }
  for (const TraceSettings::Values& values : {TraceSettings::Values{{"trace_level", {"LOUD"}}},
                                              {{"trace_rate", {"0"}}},
                                              {{"trace_rate", {"x"}}},
                                              {{"trace_rate", {"1", "2"}}},
                                              {{"trace_count", {"-2"}}},
                                              {{"nothing", {"1"}}},
                                              {{"trace_count", {"5"}}, {"trace_rate", {"0"}}}}) {
    EXPECT_THAT(traces.Update("", values), StatusIs(absl::StatusCode::kInvalidArgument));
  }
  EXPECT_THAT(traces.Get("").at("trace_count"), ElementsAre("-1"));
}

}  // namespace
}  // namespace paramd
