#include "server/observability/metrics.h"

#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "runtime/base/strings.h"
#include "server/observability/atomic_histogram.h"
#include "tests/support/status_testing.h"
#include "tests/support/temp_folder.h"

namespace paramd {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr char kPromtool[] = "/usr/bin/promtool";

MetricsOptions Options() {
  return {.build = {.version = "1.2.3", .compiler = "gcc 14.2", .onednn = "3.7.2"}};
}

// Every sample line of the text: "name{labels}" -> value.
std::map<std::string, double> Samples(const std::string& text) {
  std::map<std::string, double> samples;
  for (const absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    if (line[0] == '#') continue;
    const size_t space = line.rfind(' ');
    double value = 0;
    EXPECT_TRUE(absl::SimpleAtod(line.substr(space + 1), &value)) << line;
    EXPECT_TRUE(samples.emplace(std::string(line.substr(0, space)), value).second)
        << "twice: " << line;
  }
  return samples;
}

class OneSegment final : public StoreUsageSource {
 public:
  StoreUsage CurrentStoreUsage() const override {
    return {.sealed_bytes = 10,
            .shared_bytes = 6,
            .reserved_bytes = 20,
            .capacity_bytes = 100,
            .segments = 1,
            .deduplicated_bytes = 30,
            .collapse_failures = 4};
  }
};

// A metrics object in which every family of the table has a series.
struct FullMetrics {
  explicit FullMetrics(const TempFolder& folder, bool triton_names = true) {
    folder.Write("proc/self/status",
                 "Name:\tparamd\nVmSize:\t  100 kB\nVmRSS:\t  50 kB\nRssAnon:\t 20 kB\n"
                 "RssFile:\t 10 kB\nRssShmem:\t 20 kB\nThreads:\t7\n");
    folder.Write("proc/self/smaps_rollup",
                 "55-7f ---p 0 00:00 0 [rollup]\nRss: 50 kB\nPss: 40 kB\n");
    folder.Write("proc/self/stat",
                 "1 (a) b) S 1 1 1 0 -1 4 0 0 0 0 150 50 0 0 20 0 7 0 1000 1 1\n");
    folder.Write("proc/stat", "cpu  1 2 3\nbtime 1700000000\n");
    folder.Write("proc/self/limits",
                 "Limit  Soft  Hard  Units\nMax open files  1024  4096  files\n");
    folder.Write("proc/self/fd/0", "");
    folder.Write("proc/self/cgroup", "0::/a\n");
    folder.Write("cgroup/a/cpu.stat",
                 "usage_usec 5\nnr_periods 9\nnr_throttled 3\nthrottled_usec 2500000\n");
    MetricsOptions options = Options();
    options.proc_root = folder.path("proc");
    options.cgroup_root = folder.path("cgroup");
    options.triton_names = triton_names;
    metrics = Metrics::Create(options);
    version = metrics->ForVersion("digits", 3);
    version->SetWeights(77, "abcd");
    version->RecordRequest(absl::StatusCode::kOk, absl::Milliseconds(3));
    metrics->RecordLoad("digits", absl::StatusCode::kOk, absl::Seconds(2));
    metrics->SetVersions({{"digits", 4, absl::StatusCode::kDataLoss, "truncated"}},
                         {{"digits", "default", 3}});
    metrics->RecordVerification("digits", absl::StatusCode::kOk);
    metrics->SetStoreUsageSource(&store);
  }

  OneSegment store;
  std::unique_ptr<Metrics> metrics;
  std::unique_ptr<VersionMetrics> version;
};

TEST(Metrics, CountsRequestsByModelVersionAndCode) {
  const auto metrics = Metrics::Create(Options());
  const auto version = metrics->ForVersion("digits", 3);
  version->RecordRequest(absl::StatusCode::kOk, absl::Milliseconds(3));
  version->RecordRequest(absl::StatusCode::kOk, absl::Milliseconds(3));
  version->RecordRequest(absl::StatusCode::kInvalidArgument, absl::Microseconds(15));
  version->RecordRequest(static_cast<absl::StatusCode>(99), absl::Hours(1));
  metrics->unknown_model()->RecordRequest(absl::StatusCode::kNotFound, absl::Microseconds(20));

  const auto samples = Samples(metrics->Render());
  const auto at = [&samples](const std::string& name) {
    return samples.contains(name) ? samples.at(name) : -1;
  };
  EXPECT_EQ(at(R"(paramd_requests_total{model="digits",version="3",code="OK"})"), 2);
  EXPECT_EQ(at(R"(paramd_requests_total{model="digits",version="3",code="INVALID_ARGUMENT"})"), 1);
  EXPECT_EQ(at(R"(paramd_requests_total{model="digits",version="3",code="UNKNOWN"})"), 1);
  EXPECT_EQ(at(R"(paramd_requests_total{model="unknown",version="",code="NOT_FOUND"})"), 1);
  EXPECT_EQ(at(R"(paramd_request_seconds_count{model="digits",version="3"})"), 4);
  EXPECT_EQ(at(R"(paramd_request_seconds_bucket{model="digits",version="3",le="2e-05"})"), 1);
  EXPECT_EQ(at(R"(paramd_request_seconds_bucket{model="digits",version="3",le="0.005"})"), 3);
  EXPECT_EQ(at(R"(paramd_request_seconds_bucket{model="digits",version="3",le="+Inf"})"), 4);
  EXPECT_NEAR(at(R"(paramd_request_seconds_sum{model="digits",version="3"})"), 3600.006015, 1e-6);
}

TEST(Metrics, ReportsQueuesBatchesAndMemoryOfAVersion) {
  const auto metrics = Metrics::Create(Options());
  const auto version = metrics->ForVersion("m", 1);
  version->AddToQueue(2, 500);
  version->AddToQueue(-1, -200);
  version->RecordBatch(8, 3);
  version->RecordStage(Stage::kCompute, absl::Milliseconds(1));
  version->RecordMessageBytes(100, 40);
  version->SetParameterUsage({.unique_bytes = 7,
                              .shared_bytes = 5,
                              .unique_packed_bytes = 6,
                              .shared_packed_bytes = 4});
  version->SetArenaBytes(9);
  version->SetCompiledShapes(4);
  version->RecordShapeCompile(absl::Milliseconds(2));

  const auto samples = Samples(metrics->Render());
  const std::string labels = R"(model="m",version="1")";
  EXPECT_EQ(samples.at("paramd_queue_requests{" + labels + "}"), 1);
  EXPECT_EQ(samples.at("paramd_queue_bytes{" + labels + "}"), 300);
  EXPECT_EQ(samples.at("paramd_batch_rows_bucket{" + labels + ",le=\"4\"}"), 0);
  EXPECT_EQ(samples.at("paramd_batch_rows_bucket{" + labels + ",le=\"8\"}"), 1);
  EXPECT_EQ(samples.at("paramd_batch_requests_sum{" + labels + "}"), 3);
  EXPECT_EQ(samples.at("paramd_request_stage_seconds_count{" + labels + ",stage=\"compute\"}"), 1);
  EXPECT_EQ(samples.at("paramd_request_stage_seconds_count{" + labels + ",stage=\"queue\"}"), 0);
  EXPECT_EQ(samples.at("paramd_request_bytes_total{" + labels + "}"), 100);
  EXPECT_EQ(samples.at("paramd_response_bytes_total{" + labels + "}"), 40);
  EXPECT_EQ(samples.at("paramd_parameter_bytes{" + labels + ",kind=\"unique\"}"), 7);
  EXPECT_EQ(samples.at("paramd_parameter_bytes{" + labels + ",kind=\"shared\"}"), 5);
  EXPECT_EQ(samples.at("paramd_parameter_packed_bytes{" + labels + ",kind=\"unique\"}"), 6);
  EXPECT_EQ(samples.at("paramd_parameter_packed_bytes{" + labels + ",kind=\"shared\"}"), 4);
  EXPECT_EQ(samples.at("paramd_arena_bytes{" + labels + "}"), 9);
  EXPECT_EQ(samples.at("paramd_compiled_shapes{" + labels + "}"), 4);
  EXPECT_EQ(samples.at("paramd_shape_compile_seconds_count{" + labels + "}"), 1);
}

TEST(Metrics, SumsHaveTritonsNamesToo) {
  MetricsOptions options = Options();
  options.triton_names = true;
  const auto metrics = Metrics::Create(options);
  const auto version = metrics->ForVersion("m", 1);
  version->statistics().RecordSuccess(64, absl::Milliseconds(10),
                                      {.queue = absl::Milliseconds(4),
                                       .input = absl::Milliseconds(1),
                                       .infer = absl::Milliseconds(3),
                                       .output = absl::Milliseconds(2)},
                                      absl::FromUnixMillis(1234));
  version->statistics().RecordFailure(absl::Milliseconds(1));
  version->statistics().RecordExecution(64, {.infer = absl::Milliseconds(3)});
  version->AddToQueue(2, 100);
  const auto samples = Samples(metrics->Render());
  const std::string labels = R"({model="m",version="1"})";
  EXPECT_EQ(samples.at("nv_inference_request_success" + labels), 1);
  EXPECT_EQ(samples.at("nv_inference_request_failure" + labels), 1);
  EXPECT_EQ(samples.at("nv_inference_count" + labels), 64);
  EXPECT_EQ(samples.at("nv_inference_exec_count" + labels), 1);
  EXPECT_EQ(samples.at("nv_inference_pending_request_count" + labels), 2);
  EXPECT_EQ(samples.at("nv_inference_request_duration_us" + labels), 10000);
  EXPECT_EQ(samples.at("nv_inference_queue_duration_us" + labels), 4000);
  EXPECT_EQ(samples.at("nv_inference_compute_input_duration_us" + labels), 1000);
  EXPECT_EQ(samples.at("nv_inference_compute_infer_duration_us" + labels), 3000);
  EXPECT_EQ(samples.at("nv_inference_compute_output_duration_us" + labels), 2000);
  EXPECT_THAT(Metrics::Create(Options())->Render(), Not(HasSubstr("nv_inference")));
}

TEST(VersionStatistics, CountsBatchesByTheirRows) {
  VersionStatistics statistics;
  statistics.RecordExecution(8, {.input = absl::Nanoseconds(1), .infer = absl::Nanoseconds(2)});
  statistics.RecordExecution(1, {.output = absl::Nanoseconds(5)});
  statistics.RecordExecution(8, {.infer = absl::Nanoseconds(3)});
  // More sizes than it keeps apart: these are in the sum.
  for (int rows = 100; rows < 200; ++rows) statistics.RecordExecution(rows, {});
  StatisticsTotals totals;
  statistics.AddTo(&totals);
  EXPECT_EQ(totals.executions, 103u);
  ASSERT_EQ(totals.batches.size(), 64u);
  EXPECT_EQ(totals.batches[0].rows, 1);
  EXPECT_EQ(totals.batches[0].output_ns, 5u);
  EXPECT_EQ(totals.batches[1].rows, 8);
  EXPECT_EQ(totals.batches[1].executions, 2u);
  EXPECT_EQ(totals.batches[1].infer_ns, 5u);
  statistics.AddTo(&totals);  // As of a second recorder.
  EXPECT_EQ(totals.batches[1].executions, 4u);
}

TEST(Metrics, AVersionsSeriesDisappearWithItsRecorder) {
  const auto metrics = Metrics::Create(Options());
  auto first = metrics->ForVersion("m", 1);
  const auto second = metrics->ForVersion("m", 2);
  EXPECT_THAT(metrics->Render(), HasSubstr(R"(model="m",version="1")"));
  first.reset();
  EXPECT_THAT(metrics->Render(), Not(HasSubstr(R"(model="m",version="1")")));
  EXPECT_THAT(metrics->Render(), HasSubstr(R"(model="m",version="2")"));
}

// A reload: the new recorder exists while the old version drains.
TEST(Metrics, TwoRecordersOfOneVersionAreAddedUp) {
  const auto metrics = Metrics::Create(Options());
  const auto old_load = metrics->ForVersion("m", 1);
  const auto new_load = metrics->ForVersion("m", 1);
  old_load->RecordRequest(absl::StatusCode::kOk, absl::Milliseconds(1));
  new_load->RecordRequest(absl::StatusCode::kOk, absl::Milliseconds(1));
  old_load->SetWeights(5, "aa");
  new_load->SetWeights(6, "bb");
  const auto samples = Samples(metrics->Render());
  EXPECT_EQ(samples.at(R"(paramd_requests_total{model="m",version="1",code="OK"})"), 2);
  EXPECT_EQ(
      samples.at(R"(paramd_version_info{model="m",version="1",generation="5",weights_id="aa"})"),
      1);
  EXPECT_EQ(
      samples.at(R"(paramd_version_info{model="m",version="1",generation="6",weights_id="bb"})"),
      1);
}

TEST(Metrics, LoadsAreCountedUntilTheModelIsForgotten) {
  const auto metrics = Metrics::Create(Options());
  metrics->AddLoadsInProgress(1);
  metrics->RecordLoad("m", absl::StatusCode::kResourceExhausted, absl::Seconds(1));
  metrics->RecordLoad("m", absl::StatusCode::kOk, absl::Seconds(2));
  metrics->AddLoadBytes("m", 1000);
  metrics->AddLoadBytes("m", 2000);
  auto samples = Samples(metrics->Render());
  EXPECT_EQ(samples.at(R"(paramd_loads_total{model="m",code="OK"})"), 1);
  EXPECT_EQ(samples.at(R"(paramd_loads_total{model="m",code="RESOURCE_EXHAUSTED"})"), 1);
  EXPECT_EQ(samples.at(R"(paramd_load_bytes_total{model="m"})"), 3000);
  EXPECT_EQ(samples.at(R"(paramd_load_seconds_sum{model="m"})"), 3);
  EXPECT_EQ(samples.at("paramd_loads_in_progress"), 1);
  metrics->ForgetModel("m");
  EXPECT_THAT(metrics->Render(), Not(HasSubstr("paramd_loads_total")));
}

TEST(Metrics, AFailedVersionSaysWhyUntilItIsFixed) {
  const auto metrics = Metrics::Create(Options());
  const std::string reason = "bytes \xff are \"wrong\"" + std::string(300, 'x');
  metrics->SetVersions({{"m", 2, absl::StatusCode::kDataLoss, reason},
                        {"m", 2, absl::StatusCode::kDataLoss, "twice told"}},
                       {{"m", "default", 1}, {"m", "stable", 2}});
  metrics->RecordVerification("m", absl::StatusCode::kOk);
  metrics->RecordVerification("m", absl::StatusCode::kOk);
  metrics->RecordVerification("m", absl::StatusCode::kDataLoss);
  const std::string page = metrics->Render();
  EXPECT_THAT(page, HasSubstr(R"(paramd_version_failed{model="m",version="2",code="DATA_LOSS",)"
                              R"(reason="bytes ? are \"wrong\"xxx)"));
  EXPECT_THAT(page, Not(HasSubstr("twice told")));
  EXPECT_THAT(page, Not(HasSubstr(std::string(200, 'x'))));
  const auto samples = Samples(page);
  EXPECT_EQ(samples.at(R"(paramd_name_version{model="m",name="stable"})"), 2);
  EXPECT_EQ(samples.at(R"(paramd_verifications_total{model="m",code="OK"})"), 2);
  EXPECT_EQ(samples.at(R"(paramd_verifications_total{model="m",code="DATA_LOSS"})"), 1);
  metrics->SetVersions({}, {});
  metrics->ForgetModel("m");
  EXPECT_THAT(metrics->Render(), Not(HasSubstr("\"m\"")));
}

TEST(Metrics, ReportsStoreExecutorProcessAndBuild) {
  TempFolder folder;
  FullMetrics full(folder);
  full.metrics->executor()->SetStreams(2);
  full.metrics->executor()->AddBusyStreams(1);
  full.metrics->executor()->RecordBusy(absl::Milliseconds(1500));
  full.metrics->executor()->AddArenaBytes(4096);
  full.metrics->SetReady(true);
  full.metrics->SetCrashes(7, 2);
  full.metrics->SetCpuBudget(1.5);
  full.metrics->AddOpenRequests(3);
  const auto samples = Samples(full.metrics->Render());
  EXPECT_EQ(samples.at("paramd_executor_streams"), 2);
  EXPECT_EQ(samples.at("paramd_executor_streams_busy"), 1);
  EXPECT_EQ(samples.at("paramd_executor_busy_seconds_total"), 1.5);
  EXPECT_EQ(samples.at("paramd_executor_arena_bytes"), 4096);
  EXPECT_EQ(samples.at("paramd_ready"), 1);
  EXPECT_EQ(samples.at("paramd_worker_crashes_total"), 7);
  EXPECT_EQ(samples.at("paramd_quarantined_versions"), 2);
  EXPECT_EQ(samples.at("paramd_requests_open"), 3);
  EXPECT_EQ(samples.at("paramd_cpu_budget_cores"), 1.5);
  EXPECT_EQ(samples.at("paramd_cpu_throttled_seconds_total"), 2.5);
  EXPECT_EQ(samples.at("paramd_cpu_throttled_periods_total"), 3);
  EXPECT_EQ(samples.at("paramd_store_sealed_bytes"), 10);
  EXPECT_EQ(samples.at("paramd_store_shared_bytes"), 6);
  EXPECT_EQ(samples.at("paramd_store_collapse_failures_total"), 4);
  EXPECT_EQ(samples.at("process_resident_memory_bytes"), 50 * 1024);
  EXPECT_EQ(samples.at("paramd_process_memory_bytes{kind=\"shmem\"}"), 20 * 1024);
  EXPECT_EQ(samples.at("paramd_process_proportional_bytes"), 40 * 1024);
  EXPECT_EQ(samples.at("process_open_fds"), 1);
  EXPECT_EQ(samples.at("process_max_fds"), 1024);
  EXPECT_EQ(samples.at("paramd_process_threads"), 7);
  EXPECT_EQ(samples.at(
                R"(paramd_build_info{version="1.2.3",compiler="gcc 14.2",onednn="3.7.2",cuda=""})"),
            1);
  full.metrics->SetStoreUsageSource(nullptr);
  EXPECT_THAT(full.metrics->Render(), Not(HasSubstr("paramd_store_")));
}

TEST(Metrics, RecordersMayBeUsedWhileOthersComeAndGoAndPrometheusScrapes) {
  const auto metrics = Metrics::Create(Options());
  const auto shared = metrics->ForVersion("m", 1);
  constexpr int kThreads = 3;
  constexpr int kTimes = 3000;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kTimes; ++i) {
        shared->RecordRequest(absl::StatusCode::kOk, absl::Microseconds(i));
        shared->AddToQueue(1, 10);
        shared->AddToQueue(-1, -10);
        if (i % 100 == 0) metrics->ForVersion("m", t + 2)->RecordBatch(1, 1);
      }
    });
  }
  for (int i = 0; i < 20; ++i) metrics->Render();
  for (std::thread& thread : threads) thread.join();
  const auto samples = Samples(metrics->Render());
  EXPECT_EQ(samples.at(R"(paramd_requests_total{model="m",version="1",code="OK"})"),
            kThreads * kTimes);
  EXPECT_EQ(samples.at(R"(paramd_queue_bytes{model="m",version="1"})"), 0);
}

TEST(Metrics, LabelValuesCannotBreakTheFormat) {
  const auto metrics = Metrics::Create(Options());
  const auto version = metrics->ForVersion("a\"b\\c\nd", 1);
  const std::string text = metrics->Render();
  EXPECT_THAT(text, HasSubstr(R"(model="a\"b\\c\nd")"));
}

TEST(Metrics, EveryFamilyOfTheTableIsRenderedWithItsTypeLabelsAndHelp) {
  TempFolder folder;
  FullMetrics full(folder);
  const std::string text = full.metrics->Render();
  const auto samples = Samples(text);
  std::set<std::string> seen;
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    if (line.substr(0, 7) != "# TYPE ") continue;
    const std::vector<std::string> parts = absl::StrSplit(line, ' ');
    seen.insert(parts[2]);
  }
  for (const MetricSpec& spec : kMetricSpecs) {
    const std::string name(spec.name);
    EXPECT_TRUE(seen.erase(name)) << name << " is in the table and not in /metrics";
    const bool is_counter = spec.type == MetricType::kCounter;
    EXPECT_EQ(is_counter && !name.starts_with("nv_"), name.ends_with("_total")) << name;
    EXPECT_THAT(text, HasSubstr("# HELP " + name + " " + std::string(spec.help) + "\n"));
    const std::vector<std::string> wanted =
        absl::StrSplit(ToAbsl(spec.labels), ", ", absl::SkipEmpty());
    bool found = false;
    for (const auto& [sample, value] : samples) {
      const std::string family = sample.substr(0, sample.find('{'));
      if (family != name && family != name + "_count") continue;
      found = true;
      std::vector<std::string> labels;
      const size_t brace = sample.find('{');
      if (brace != std::string::npos) {
        for (const absl::string_view pair :
             absl::StrSplit(sample.substr(brace + 1, sample.size() - brace - 2), ',')) {
          labels.emplace_back(pair.substr(0, pair.find('=')));
        }
      }
      EXPECT_EQ(labels, wanted) << sample;
    }
    EXPECT_TRUE(found) << name;
  }
  EXPECT_THAT(seen, IsEmpty()) << "in /metrics and not in the table";
}

TEST(Metrics, BoundsReachFrom20MicrosecondsTo60Seconds) {
  EXPECT_EQ(kLatencyBounds[0], 20e-6);
  EXPECT_EQ(*std::rbegin(kLatencyBounds), 60);
  for (const MetricSpec& spec : kMetricSpecs) {
    EXPECT_EQ(spec.bounds.empty(), spec.type != MetricType::kHistogram) << ToAbsl(spec.name);
    for (size_t i = 1; i < spec.bounds.size(); ++i) EXPECT_LT(spec.bounds[i - 1], spec.bounds[i]);
  }
}

TEST(Metrics, TheDocumentationHasTheTable) {
  std::ifstream file("server/observability/METRICS.md");
  ASSERT_TRUE(file.good());
  std::stringstream page;
  page << file.rdbuf();
  if (page.str().find(MetricsTable()) == std::string::npos) {
    const std::string expected = ::testing::TempDir() + "paramd_METRICS_table.md";
    std::ofstream(expected) << MetricsTable();
    FAIL() << "server/observability/METRICS.md is out of date; the table it should have is in "
           << expected;
  }
}

TEST(Metrics, PromtoolFindsNothingToSay) {
  ASSERT_EQ(access(kPromtool, X_OK), 0)
      << kPromtool << " is missing: install Debian's package prometheus (deploy/install does)";
  TempFolder folder;
  FullMetrics full(folder, /*triton_names=*/false);  // Those have much to say about.
  full.metrics->unknown_model()->RecordRequest(absl::StatusCode::kNotFound, absl::Seconds(1));
  const std::string file = folder.Write("metrics.txt", full.metrics->Render());
  const std::string said_file = folder.path("said.txt");
  const std::string command =
      std::string(kPromtool) + " check metrics < " + file + " > " + said_file + " 2>&1";
  const int status = std::system(command.c_str());
  std::stringstream said;
  said << std::ifstream(said_file).rdbuf();
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status << "\n" << said.str();
  EXPECT_EQ(said.str(), "");
}

TEST(AtomicHistogram, ABoundBelongsToItsBucket) {
  constexpr double kBounds[] = {1, 10};
  AtomicHistogram histogram(kBounds, 1);
  for (const int64_t value : {-5, 0, 1, 2, 10, 11}) histogram.Observe(value);
  HistogramTotals totals;
  histogram.AddTo(&totals);
  EXPECT_THAT(totals.buckets, ElementsAre(3, 2, 1));
  EXPECT_EQ(totals.sum, 24);
}

}  // namespace
}  // namespace paramd
