// KeeperRig: the real programs, paramd and its paramd-worker, on ports that the
// system chose. Waiting is for lines of the log, for health and for answers,
// never for time.
//
// Thread-safety: Predict may be called from any thread, the rest from the test's.
#ifndef PARAMD_TESTS_INTEGRATION_KEEPER_RIG_H_
#define PARAMD_TESTS_INTEGRATION_KEEPER_RIG_H_

#include <grpcpp/channel.h>
#include <sys/types.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "proto/paramd/v1/predict.grpc.pb.h"
#include "runtime/base/mutex.h"
#include "tests/support/temp_folder.h"

namespace paramd {

// The lines that a process writes, as they come.
class ProcessLog {
 public:
  ~ProcessLog();
  void Follow(int fd);  // Takes it; until its end.
  // The number after `text` where it stands for the `count`-th time; -1, and a
  // test failure, if that line does not come.
  int64_t WaitForNumber(const std::string& text, int count = 1);
  // True once `text` stands there for the `count`-th time.
  bool WaitFor(const std::string& text, int count = 1);
  int Count(const std::string& text);
  std::string text();

 private:
  Mutex mutex_;
  CondVar changed_;
  std::string text_ ABSL_GUARDED_BY(mutex_);
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread reader_;
};

class KeeperRig {
 public:
  KeeperRig();
  // Kills what still runs, and prints the log of a test that failed.
  ~KeeperRig();

  void AddModel(const std::string& model, int version, const std::string& onnx);
  // Every file of the repository becomes rubbish of the same size, and then goes.
  void DestroyModelFiles();
  // From now on the programs are copies in this folder, which a test may replace.
  void CopyPrograms();
  std::string program(const std::string& name) const { return programs_ + "/" + name; }
  const TempFolder& folder() const { return folder_; }

  std::vector<std::string> flags;  // Beside the rig's own.
  std::string grpc_address = "127.0.0.1:0";
  std::vector<std::string> environment;  // "NAME=value", beside the test's own.
  std::function<void()> in_child;        // Between fork and exec.

  // Starts paramd, without waiting for its worker.
  void Launch();
  // And waits until everything serves.
  void Start();
  // Waits for the end; the exit status as a shell would say it.
  int Wait();
  int Stop();  // SIGTERM, then Wait.

  pid_t pid() const { return pid_; }
  // Of the worker that was started last.
  pid_t worker();
  // Kills that worker with `signal` and waits until the next one is ready.
  void KillWorker(int signal);
  int grpc_port() const { return grpc_port_; }
  ProcessLog& log() { return *log_; }

  enum class Retries { kNone, kStandard };
  std::shared_ptr<grpc::Channel> NewChannel(Retries retries) const;
  std::shared_ptr<grpc::Channel> AdminChannel() const;
  static absl::StatusOr<v1::PredictResponse> Predict(const std::shared_ptr<grpc::Channel>& channel,
                                                     const v1::PredictRequest& request);

  // Looks at the daemon's numbers until they are so; false after long patience.
  static bool WaitUntil(const std::function<bool()>& condition);
  // GET of the metrics port of the worker that serves.
  std::string HttpGet(const std::string& path);
  double Metric(const std::string& series);

 private:
  const TempFolder folder_;
  std::string programs_;
  pid_t pid_ = -1;
  int grpc_port_ = 0;
  std::unique_ptr<ProcessLog> log_;
};

// Clients that ask all the time until it is stopped.
class Load {
 public:
  // Each of `threads` has a channel of its own and asks `request`; `good` says
  // whether an answer is right.
  Load(const KeeperRig& rig, KeeperRig::Retries retries, int threads,
       const v1::PredictRequest& request, std::function<bool(const v1::PredictResponse&)> good);
  ~Load();
  // Until that many more answers have come, to each thread.
  void WaitForAnswers(int64_t more);
  void Stop();

  int64_t answers() const { return answers_; }
  int64_t errors() const { return errors_; }
  int64_t wrong() const { return wrong_; }
  std::string errors_text();  // A line each.
  double slowest_seconds() const { return slowest_micros_ * 1e-6; }

 private:
  struct Thread {
    std::atomic<int64_t> answers{0};
    std::thread thread;
  };
  std::atomic<bool> stop_{false};
  std::atomic<int64_t> answers_{0}, errors_{0}, wrong_{0}, slowest_micros_{0};
  Mutex mutex_;
  std::string errors_text_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::unique_ptr<Thread>> threads_;
};

}  // namespace paramd

#endif  // PARAMD_TESTS_INTEGRATION_KEEPER_RIG_H_
