#include "server/observability/log.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "absl/log/log.h"
#include "tests/support/status_testing.h"

namespace paramd {
namespace {

using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kTrace[] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

LogLine Line(std::string_view message) {
  return {.time = absl::FromUnixMicros(1'700'000'000'123'456),
          .severity = 'W',
          .file = "worker.cc",
          .line = 12,
          .thread = 34,
          .message = message};
}

// What LogWriter wrote while `act` ran.
template <typename Act>
std::string Written(LogOptions options, Act act) {
  int ends[2];
  EXPECT_EQ(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
  options.fd = ends[1];
  {
    LogWriter writer(options);
    act();
  }
  close(ends[1]);
  std::string text;
  char buffer[4096];
  ssize_t got = 0;
  while ((got = read(ends[0], buffer, sizeof(buffer))) > 0) {
    text.append(buffer, static_cast<size_t>(got));
  }
  close(ends[0]);
  return text;
}

TEST(Log, WhatIsWrittenMayBeChangedWhileItRuns) {
  const std::string text = Written({.verbosity = 2}, [] {
    EXPECT_EQ(CurrentLogChoice().verbosity, 2);
    SetLogChoice({.info = true, .warning = false, .error = true, .verbosity = 1});
    EXPECT_FALSE(CurrentLogChoice().warning);
    LOG(INFO) << "an info";
    LOG(WARNING) << "a warning";
    LOG(ERROR) << "an error";
    SetLogChoice({.info = false, .warning = true, .error = true});
    LOG(INFO) << "quiet";
    LOG(WARNING) << "loud";
  });
  EXPECT_THAT(text, HasSubstr("an info"));
  EXPECT_THAT(text, Not(HasSubstr("a warning")));
  EXPECT_THAT(text, HasSubstr("an error"));
  EXPECT_THAT(text, Not(HasSubstr("quiet")));
  EXPECT_THAT(text, HasSubstr("loud"));
  EXPECT_TRUE(CurrentLogChoice().info) << "a writer that goes leaves nothing behind";
}

TEST(Log, TextLinesCarryTheRequest) {
  const LogFields fields = {.request_id = "r7", .traceparent = kTrace};
  EXPECT_THAT(TextLine(Line("slow"), &fields),
              ContainsRegex("^W[0-9]{4} [0-9:]+\\.123456 34 worker.cc:12\\] slow "
                            "\\[request_id=r7 traceparent=00-4bf9.*\\]\n$"));
  EXPECT_THAT(TextLine(Line("slow"), nullptr), ContainsRegex("\\] slow\n$"));
}

TEST(Log, JsonLinesAreJson) {
  const LogFields fields = {.request_id = "r\"7", .traceparent = kTrace};
  const auto json = nlohmann::json::parse(JsonLine(Line("a \"b\"\n\x01"), &fields));
  EXPECT_EQ(json["time"], "2023-11-14T22:13:20.123456Z");
  EXPECT_EQ(json["severity"], "WARNING");
  EXPECT_EQ(json["file"], "worker.cc");
  EXPECT_EQ(json["line"], 12);
  EXPECT_EQ(json["thread"], 34);
  EXPECT_EQ(json["message"], "a \"b\"\n\x01");
  EXPECT_EQ(json["request_id"], "r\"7");
  EXPECT_EQ(json["traceparent"], kTrace);
  EXPECT_FALSE(nlohmann::json::parse(JsonLine(Line("x"), nullptr)).contains("request_id"));
}

TEST(Log, WhatCameFromOutsideCannotBreakALine) {
  const std::string hostile("x\nI0101 forged] y\r\x1b[2J\x00\xff", 24);
  const std::string text = TextLine(Line(hostile), nullptr);
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1);
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
  EXPECT_EQ(text.find('\r'), std::string::npos);
  const std::string json = JsonLine(Line(hostile), nullptr);
  EXPECT_EQ(std::count(json.begin(), json.end(), '\n'), 1);
  EXPECT_TRUE(nlohmann::json::accept(json));
}

TEST(Log, WriterReplacesTheDefaultOutputWhileItLives) {
  const std::string text = Written({.format = LogFormat::kJson}, [] {
    const LogFields fields = {.request_id = "outer"};
    LogContext outer(fields);
    LOG(INFO) << "first";
    {
      const LogFields inner_fields = {.request_id = "inner"};
      LogContext inner(inner_fields);
      LOG(WARNING) << "second";
    }
    LOG(ERROR) << "third";
    std::thread([] { LOG(INFO) << "fourth"; }).join();
  });
  std::vector<nlohmann::json> lines;
  size_t at = 0;
  for (size_t end; (end = text.find('\n', at)) != std::string::npos; at = end + 1) {
    lines.push_back(nlohmann::json::parse(text.substr(at, end - at)));
  }
  ASSERT_EQ(lines.size(), 4u) << text;
  EXPECT_EQ(lines[0]["request_id"], "outer");
  EXPECT_EQ(lines[1]["request_id"], "inner");
  EXPECT_EQ(lines[1]["severity"], "WARNING");
  EXPECT_EQ(lines[2]["request_id"], "outer");
  EXPECT_FALSE(lines[3].contains("request_id"));  // Another thread has no context.
  EXPECT_EQ(lines[0]["file"], "log_test.cc");
}

TEST(Log, LevelAndVerbosityDecideWhatIsWritten) {
  const auto say_all = [] {
    LOG(INFO) << "information";
    LOG(WARNING) << "warning";
    VLOG(2) << "detail";
  };
  const std::string quiet = Written({.level = LogLevel::kWarning}, say_all);
  EXPECT_THAT(quiet, Not(HasSubstr("information")));
  EXPECT_THAT(quiet, HasSubstr("warning"));
  EXPECT_THAT(Written({.verbosity = 2}, say_all), HasSubstr("detail"));
  EXPECT_THAT(Written({.verbosity = 1}, say_all), Not(HasSubstr("detail")));
}

TEST(Log, AReaderThatIsGoneOrFullStopsNobody) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
  LogWriter writer({.fd = ends[1]});
  for (int i = 0; i < 5'000; ++i) LOG(INFO) << "a line that nobody reads, number " << i;
  close(ends[0]);
  close(ends[1]);
  LOG(INFO) << "into a closed descriptor";
}

TEST(Log, TraceparentIsTakenOnlyWhenItIsOne) {
  EXPECT_EQ(CheckedTraceparent(kTrace), kTrace);
  EXPECT_EQ(CheckedTraceparent("cc" + std::string(kTrace).substr(2) + "-later"),
            "cc" + std::string(kTrace).substr(2));
  for (const std::string& bad :
       {std::string(), std::string("00-1-2-3"), std::string(kTrace) + "-x",
        "ff" + std::string(kTrace).substr(2),
        std::string("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01"),
        std::string("00-00000000000000000000000000000000-00f067aa0ba902b7-01"),
        std::string("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01"),
        std::string("00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")}) {
    EXPECT_EQ(CheckedTraceparent(bad), "") << bad;
  }
}

TEST(Log, RequestIdsAreShortAndPrintable) {
  EXPECT_EQ(CheckedRequestId("abc-1"), "abc-1");
  EXPECT_EQ(CheckedRequestId("a\nb\xc3\xa9"), "a?b??");
  EXPECT_EQ(CheckedRequestId(std::string(1000, 'x')).size(), kRequestIdBytesMax);
}

}  // namespace
}  // namespace paramd
