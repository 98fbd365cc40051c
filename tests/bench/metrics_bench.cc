// What recording costs a request: the calls that one tiny request makes, alone and
// from two threads at once, and a scrape.
//
//   metrics_bench [nanoseconds of a tiny request, for the share]
//
// The whole of a tiny request is measured with `paramctl bench`; see results/.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <thread>
#include <vector>

#include "absl/time/time.h"
#include "runtime/base/clock.h"
#include "server/batching/batch_call.h"
#include "server/observability/metrics.h"

namespace paramd {
namespace {

constexpr int kRequests = 200'000;
constexpr int kRounds = 9;

// As PredictService, Executor and BatchRunner do it for a batch of one request.
void RecordOne(const Clock& clock, Metrics* metrics, VersionMetrics* version) {
  metrics->AddOpenRequests(1);
  version->AddToQueue(1, 256);
  version->AddToQueue(-1, -256);
  metrics->executor()->AddBusyStreams(1);
  version->RecordBatch(1, 1);
  metrics->executor()->AddBusyStreams(-1);
  metrics->executor()->RecordBusy(absl::Microseconds(20));
  const absl::Time now = clock.Now();  // The one reading of the clock that only metrics need.
  const StageTimes times = {.submitted = now - absl::Microseconds(50),
                            .queue = absl::Microseconds(15),
                            .batch = absl::Microseconds(1),
                            .compute = absl::Microseconds(20),
                            .computed = now - absl::Microseconds(3)};
  RecordStages(times, now - absl::Microseconds(60), now, version);
  version->RecordMessageBytes(284, 150);
  version->RecordRequest(absl::StatusCode::kOk, absl::Microseconds(60));
  metrics->AddOpenRequests(-1);
}

double NanosecondsARequest(int threads) {
  const Clock& clock = *Clock::Real();
  const auto metrics = Metrics::Create({});
  const auto version = metrics->ForVersion("digits", 1);
  std::vector<double> rounds;
  for (int round = 0; round < kRounds; ++round) {
    const absl::Time start = clock.Now();
    std::vector<std::thread> running;
    for (int t = 0; t < threads; ++t) {
      running.emplace_back([&] {
        for (int i = 0; i < kRequests; ++i) RecordOne(clock, metrics.get(), version.get());
      });
    }
    for (std::thread& thread : running) thread.join();
    rounds.push_back(absl::ToDoubleNanoseconds(clock.Now() - start) / kRequests);
  }
  std::nth_element(rounds.begin(), rounds.begin() + kRounds / 2, rounds.end());
  return rounds[kRounds / 2];
}

double MillisecondsAScrape(int versions) {
  const Clock& clock = *Clock::Real();
  const auto metrics = Metrics::Create({});
  std::vector<std::unique_ptr<VersionMetrics>> recorders;
  for (int i = 0; i < versions; ++i) recorders.push_back(metrics->ForVersion("model", i + 1));
  const absl::Time start = clock.Now();
  const size_t bytes = metrics->Render().size();
  const double took = absl::ToDoubleMilliseconds(clock.Now() - start);
  std::printf("scrape of %4d versions   %8.1f ms, %zu bytes\n", versions, took, bytes);
  return took;
}

int Run(int argc, char** argv) {
  const double request_ns = argc > 1 ? std::atof(argv[1]) : 0;
  for (const int threads : {1, 2}) {
    const double ns = NanosecondsARequest(threads);
    std::printf("recording, %d threads      %8.0f ns a request", threads, ns);
    if (request_ns > 0) std::printf(", %.2f %% of %.0f us", 100 * ns / request_ns, request_ns / 1e3);
    std::printf("\n");
  }
  for (const int versions : {1, 10, 100, 1000}) MillisecondsAScrape(versions);
  return EXIT_SUCCESS;
}

}  // namespace
}  // namespace paramd

int main(int argc, char** argv) { return paramd::Run(argc, argv); }
