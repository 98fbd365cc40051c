#include "server/paramctl/top_view.h"

#include <cmath>

#include "runtime/base/strings.h"
#include "server/paramctl/http_get.h"
#include "tests/support/status_testing.h"

namespace paramd {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

MetricsText Parsed(std::string_view text) {
  absl::StatusOr<MetricsText> parsed = MetricsText::Parse(text);
  EXPECT_OK(parsed.status());
  return parsed.ok() ? *std::move(parsed) : MetricsText();
}

TEST(MetricsText, ReadsTheExpositionFormat) {
  const MetricsText text = Parsed(
      "# HELP a A metric.\n# TYPE a counter\n"
      "a{m=\"x\\\"y\\\\z\\nw\",n=\"1\"} 2\n"
      "a{m=\"other\",n=\"1\"} 3.5e1\n"
      "b 7 1700000000\n"
      "c{le=\"+Inf\"} +Inf\n");
  EXPECT_EQ(text.Sum("a"), 37);
  EXPECT_EQ(text.Sum("a", {{"m", "x\"y\\z\nw"}}), 2);
  EXPECT_EQ(text.Sum("a", {{"n", "2"}}), std::nullopt);
  EXPECT_EQ(text.Sum("b"), 7);
  EXPECT_EQ(text.Sum("missing"), std::nullopt);
  EXPECT_TRUE(std::isinf(*text.Sum("c")));
}

TEST(MetricsText, SaysWhatIsNoSample) {
  for (const std::string bad : {"a", "a{m=\"x\" 1", "a{m=\"x", "a{m} 1", "a one", "a{m=\"x\"", "{"}) {
    EXPECT_THAT(MetricsText::Parse(bad + "\n").status(),
                StatusIs(absl::StatusCode::kInvalidArgument))
        << bad;
  }
  EXPECT_OK(MetricsText::Parse("").status());
}

TEST(MetricsText, GrowthSurvivesACounterThatBeganAnew) {
  const MetricsText older = Parsed("a{v=\"1\"} 10\na{v=\"2\"} 100\na{v=\"gone\"} 5\n");
  const MetricsText newer = Parsed("a{v=\"1\"} 14\na{v=\"2\"} 3\na{v=\"new\"} 1\n");
  EXPECT_EQ(Growth(newer, older, "a"), 4 + 3 + 1);
}

TEST(MetricsText, QuantilesAreThoseOfPrometheus) {
  const MetricsText older = Parsed("");
  const MetricsText newer = Parsed(
      "h_bucket{m=\"a\",le=\"0.1\"} 10\nh_bucket{m=\"a\",le=\"0.2\"} 30\n"
      "h_bucket{m=\"a\",le=\"+Inf\"} 40\nh_sum{m=\"a\"} 8\nh_count{m=\"a\"} 40\n"
      "h_bucket{m=\"b\",le=\"0.1\"} 1\nh_bucket{m=\"b\",le=\"0.2\"} 1\n"
      "h_bucket{m=\"b\",le=\"+Inf\"} 1\nh_sum{m=\"b\"} 0.05\n");
  const HistogramGrowth growth = HistogramBetween(newer, older, "h", {{"m", "a"}});
  EXPECT_THAT(growth.counts, ElementsAre(10, 20, 10));
  EXPECT_EQ(growth.Mean(), 0.2);
  EXPECT_NEAR(*growth.Quantile(0.5), 0.15, 1e-12);   // The 20th of 40: the middle of its bucket.
  EXPECT_NEAR(*growth.Quantile(0.99), 0.2, 1e-12);   // Beyond the last bound.
  EXPECT_EQ(HistogramBetween(newer, older, "h", {}).count, 41);
  EXPECT_EQ(HistogramBetween(newer, newer, "h", {}).Quantile(0.5), std::nullopt);
}

TopReading Reading(absl::Time at, int requests) {
  TopReading reading;
  reading.at = at;
  const std::string labels = R"({model="m",version="2")";
  reading.metrics = Parsed(StrCat(
      "paramd_requests_total", labels, ",code=\"OK\"} ", requests, "\nparamd_requests_total", labels,
      ",code=\"RESOURCE_EXHAUSTED\"} ", requests / 4, "\nparamd_request_stage_seconds_sum", labels,
      ",stage=\"queue\"} ", requests * 3, "\nparamd_request_stage_seconds_sum", labels,
      ",stage=\"compute\"} ", requests, "\nparamd_queue_requests", labels,
      "} 5\nparamd_queue_bytes", labels, "} 50\nparamd_parameter_bytes", labels,
      ",kind=\"unique\"} 700\nparamd_parameter_bytes", labels,
      ",kind=\"shared\"} 200\nparamd_store_sealed_bytes 1000\nparamd_store_shared_bytes 200\n"
      "paramd_store_reserved_bytes 100\nparamd_store_capacity_bytes 2000\n"
      "paramd_executor_arena_bytes 300\nparamd_process_memory_bytes{kind=\"anon\"} 5000\n"
      "paramd_process_memory_bytes{kind=\"file\"} 4000\n"
      "paramd_process_memory_bytes{kind=\"memfd\"} 1000\n"));
  reading.status = nlohmann::json::parse(R"({"build": "paramd 1", "ready": true, "now": 90,
      "started": 30, "models": [
        {"model": "m", "default_version": 2, "names": [{"name": "canary", "version": 2}],
         "versions": [
           {"version": 2, "state": "serving", "reason": "", "generation": "7", "weights": 9},
           {"version": 3, "state": "loading", "reason": "", "stage": "parameters",
            "bytes_done": 1000, "bytes_total": 4000}]},
        {"model": "broken", "error": "no config", "versions": []}]})");
  return reading;
}

TopView View() {
  const absl::Time now = absl::FromUnixSeconds(1000);
  return MakeTopView(Reading(now, 500), Reading(now - absl::Seconds(2), 100));
}

TEST(TopView, RatesAreOfTheTimeBetweenTheReadings) {
  const TopView view = View();
  EXPECT_EQ(view.traffic.requests_per_second, 250);  // 400 answered and 100 refused in 2 s.
  EXPECT_EQ(view.traffic.failed_share, 0.2);
  EXPECT_EQ(view.traffic.waiting, 5u);
  EXPECT_EQ(view.uptime_s, 60);
  ASSERT_EQ(view.traffic.stages.size(), 5u);
  EXPECT_EQ(view.traffic.stages[1].stage, "queue");
  EXPECT_EQ(view.traffic.stages[1].share, 0.75);
}

TEST(TopView, MemoryAddsUpToTheProcess) {
  const TopView view = View();
  EXPECT_EQ(view.memory_bytes, 10000u);
  uint64_t sum = 0;
  for (const TopBytes& part : view.memory) sum += part.bytes;
  EXPECT_EQ(sum, view.memory_bytes);
  EXPECT_EQ(view.memory[2].bytes, 100u);  // Sealed, and of no version yet.
  EXPECT_EQ(view.store_bytes, 1100u);
}

TEST(TopView, VersionsHaveTheirStatesAndNames) {
  TopView view = View();
  ASSERT_EQ(view.versions.size(), 3u);
  EXPECT_EQ(view.versions[0].names, "default canary");
  EXPECT_EQ(view.versions[0].weights, 9u);
  EXPECT_EQ(view.versions[0].parameter_bytes(), 900u);
  EXPECT_EQ(TopStateText(view.versions[1]), "loading parameters 1.0 kB of 4.0 kB");
  EXPECT_EQ(TopStateText(view.versions[2]), "failed: no config");
  SortAndFilter(TopSort::kName, "", &view.versions);
  EXPECT_EQ(view.versions[0].model, "broken");
  SortAndFilter(TopSort::kBytes, "m", &view.versions);
  ASSERT_EQ(view.versions.size(), 2u);
  EXPECT_EQ(view.versions[0].version, 2);
}

TEST(TopView, TextAndJsonSayIt) {
  const TopView view = View();
  const std::string text = TopText(view);
  EXPECT_THAT(text, HasSubstr("250 requests/s, 20.0% failed"));
  EXPECT_THAT(text, HasSubstr("queue    75.0%"));
  EXPECT_THAT(text, HasSubstr("loading parameters 1.0 kB of 4.0 kB"));
  const nlohmann::ordered_json json = TopJson(view);
  EXPECT_EQ(json["traffic"]["requests_per_second"], 250);
  EXPECT_EQ(json["traffic"]["latency_seconds"]["p50"], nullptr);
  EXPECT_EQ(json["versions"][0]["shared_bytes"], 200);
  EXPECT_EQ(json["memory"]["activations (arenas)"], 300);
}

TEST(TopView, ADocumentOfOtherTypesHarmsNobody) {
  TopReading reading = Reading(absl::FromUnixSeconds(1), 1);
  reading.status = nlohmann::json::parse(
      R"({"build": 3, "ready": "yes", "now": [], "models": [7, {"model": [], "names": {},
          "versions": [4, {"version": -1, "state": 3, "weights": "many"}]}, null]})");
  const TopView view = MakeTopView(reading, reading);
  EXPECT_EQ(view.build, "");
  EXPECT_FALSE(view.ready);
  EXPECT_FALSE(TopText(view).empty());
}

TEST(HttpGet, SaysThatNobodyAnswers) {
  EXPECT_THAT(HttpGet("127.0.0.1:1", "/metrics", 5).status(),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("--metrics-address")));
  EXPECT_THAT(HttpGet("nonsense", "/metrics", 5).status(),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace paramd
