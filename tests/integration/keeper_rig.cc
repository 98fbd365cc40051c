#include "tests/integration/keeper_rig.h"

#include <fcntl.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <utility>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "runtime/base/strings.h"
#include "tests/integration/daemon_rig.h"
#include "tests/support/status_testing.h"

namespace paramd {
namespace {

// Long enough for a sanitizer build on a busy machine; nothing waits for it in a good run.
constexpr absl::Duration kPatience = absl::Seconds(120);

constexpr char kRetryPolicy[] = R"({"methodConfig": [{"name": [{}], "retryPolicy": {
    "maxAttempts": 5, "initialBackoff": "0.05s", "maxBackoff": "1s", "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE"]}}]})";

size_t FindNth(const std::string& text, const std::string& wanted, int count) {
  size_t at = 0;
  for (int i = 0; i < count; ++i) {
    at = text.find(wanted, i == 0 ? 0 : at + wanted.size());
    if (at == std::string::npos) return at;
  }
  return at;
}

}  // namespace

ProcessLog::~ProcessLog() {
  if (reader_.joinable()) reader_.join();
}

void ProcessLog::Follow(int fd) {
  reader_ = std::thread([this, fd] {
    char chunk[4096];
    for (ssize_t got; (got = read(fd, chunk, sizeof(chunk))) > 0;) {
      MutexLock lock(&mutex_);
      text_.append(chunk, static_cast<size_t>(got));
      changed_.SignalAll();
    }
    close(fd);
    MutexLock lock(&mutex_);
    ended_ = true;
    changed_.SignalAll();
  });
}

bool ProcessLog::WaitFor(const std::string& text, int count) {
  const absl::Time deadline = absl::Now() + kPatience;
  MutexLock lock(&mutex_);
  while (FindNth(text_, text, count) == std::string::npos) {
    if (ended_ || absl::Now() > deadline) return false;
    changed_.WaitUntil(&mutex_, deadline);
  }
  return true;
}

int64_t ProcessLog::WaitForNumber(const std::string& text, int count) {
  if (!WaitFor(text, count)) {
    ADD_FAILURE() << "'" << text << "' does not stand in the log " << count << " times";
    return -1;
  }
  // The whole line is one write, so the number is there.
  MutexLock lock(&mutex_);
  return std::atoll(text_.c_str() + FindNth(text_, text, count) + text.size());
}

int ProcessLog::Count(const std::string& text) {
  MutexLock lock(&mutex_);
  int count = 0;
  while (FindNth(text_, text, count + 1) != std::string::npos) ++count;
  return count;
}

std::string ProcessLog::text() {
  MutexLock lock(&mutex_);
  return text_;
}

KeeperRig::KeeperRig() {
  programs_ = std::filesystem::path(PARAMD_TEST_PROGRAM).parent_path();
  folder_.MakeFolder("models");
}

KeeperRig::~KeeperRig() {
  if (pid_ > 0) {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  if (::testing::Test::HasFailure() && log_ != nullptr) {
    std::fprintf(stderr, "--- the log:\n%s---\n", log_->text().c_str());
  }
}

void KeeperRig::AddModel(const std::string& model, int version, const std::string& onnx) {
  folder_.Write(StrCat("models/", model, "/", version, "/model.onnx"), onnx);
}

void KeeperRig::DestroyModelFiles() {
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder_.path("models"))) {
    if (!entry.is_regular_file()) continue;
    std::ofstream out(entry.path(), std::ios::binary | std::ios::in);
    out << std::string(entry.file_size(), '\x5a');
  }
  for (const auto& model : std::filesystem::directory_iterator(folder_.path("models"))) {
    std::filesystem::remove_all(model);
  }
}

void KeeperRig::CopyPrograms() {
  const std::string from = programs_;
  folder_.MakeFolder("bin");
  programs_ = folder_.path("bin");
  for (const char* const name : {"paramd", "paramd-worker"}) {
    std::filesystem::copy_file(from + "/" + name, program(name));
  }
}

void KeeperRig::Launch() {
  std::vector<std::string> arguments = {program("paramd"),
                                        "--model-repository",
                                        folder_.path("models"),
                                        "--grpc-address",
                                        grpc_address,
                                        "--metrics-address",
                                        "127.0.0.1:0",
                                        "--admin-socket",
                                        folder_.path("admin.sock"),
                                        "--parameter-capacity-bytes",
                                        "1GiB",
                                        "--drain-grace",
                                        "0s"};
  arguments.insert(arguments.end(), flags.begin(), flags.end());
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  pid_ = fork();
  ASSERT_GE(pid_, 0);
  if (pid_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);  // A test that crashes leaves nothing behind.
    dup2(ends[1], STDOUT_FILENO);
    dup2(ends[1], STDERR_FILENO);
    for (std::string& variable : environment) putenv(variable.data());
    if (in_child) in_child();
    execv(argv[0], argv.data());
    _exit(127);
  }
  close(ends[1]);
  log_ = std::make_unique<ProcessLog>();
  log_->Follow(ends[0]);
}

void KeeperRig::Start() {
  ASSERT_NO_FATAL_FAILURE(Launch());
  grpc_port_ = static_cast<int>(log_->WaitForNumber("the keeper listens on port "));
  ASSERT_GT(grpc_port_, 0);
  ASSERT_TRUE(log_->WaitFor(" is ready"));
}

int KeeperRig::Wait() {
  int status = 0;
  if (pid_ <= 0 || waitpid(pid_, &status, 0) != pid_) return -1;
  pid_ = -1;
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int KeeperRig::Stop() {
  kill(pid_, SIGTERM);
  return Wait();
}

pid_t KeeperRig::worker() {
  const int plain = log_->Count("started worker ");
  const int successors = log_->Count("started the new worker ");
  const std::string text = log_->text();
  const size_t last_plain = text.rfind("started worker ");
  const size_t last_successor = text.rfind("started the new worker ");
  if (successors > 0 && (plain == 0 || last_successor > last_plain)) {
    return static_cast<pid_t>(log_->WaitForNumber("started the new worker ", successors));
  }
  return static_cast<pid_t>(log_->WaitForNumber("started worker ", std::max(plain, 1)));
}

void KeeperRig::KillWorker(int signal) {
  const int ready = log_->Count(" is ready");
  kill(worker(), signal);
  ASSERT_TRUE(log_->WaitFor(" is ready", ready + 1));
}

std::shared_ptr<grpc::Channel> KeeperRig::NewChannel(Retries retries) const {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // A connection of its own.
  if (retries == Retries::kStandard) arguments.SetServiceConfigJSON(kRetryPolicy);
  return grpc::CreateCustomChannel(StrCat("127.0.0.1:", grpc_port_),
                                   grpc::InsecureChannelCredentials(), arguments);
}

std::shared_ptr<grpc::Channel> KeeperRig::AdminChannel() const {
  return grpc::CreateChannel(StrCat("unix:", folder_.path("admin.sock")),
                             grpc::InsecureChannelCredentials());
}

absl::StatusOr<v1::PredictResponse> KeeperRig::Predict(
    const std::shared_ptr<grpc::Channel>& channel, const v1::PredictRequest& request) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + absl::ToChronoSeconds(kPatience));
  v1::PredictResponse response;
  const grpc::Status status =
      v1::PredictService::NewStub(channel)->Predict(&context, request, &response);
  if (!status.ok()) {
    return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
  }
  return response;
}

bool KeeperRig::WaitUntil(const std::function<bool()>& condition) {
  const absl::Time deadline = absl::Now() + kPatience;
  while (!condition()) {
    if (absl::Now() > deadline) return false;
    // A loader at idle priority gets nothing where somebody asks without pause.
    constexpr int kLookMs = 5;
    poll(nullptr, 0, kLookMs);
  }
  return true;
}

std::string KeeperRig::HttpGet(const std::string& path) {
  const int workers = log_->Count("metrics are on port ");
  const auto port =
      static_cast<uint16_t>(log_->WaitForNumber("metrics are on port ", std::max(workers, 1)));
  return paramd::HttpGet(port, path);
}

double KeeperRig::Metric(const std::string& series) {
  const std::string page = HttpGet("/metrics");
  const size_t at = page.find(StrCat("\n", series, " "));
  return at == std::string::npos ? -1 : std::atof(page.c_str() + at + series.size() + 2);
}

Load::Load(const KeeperRig& rig, KeeperRig::Retries retries, int threads,
           const v1::PredictRequest& request,
           std::function<bool(const v1::PredictResponse&)> good) {
  for (int i = 0; i < threads; ++i) {
    threads_.push_back(std::make_unique<Thread>());
    Thread* const self = threads_.back().get();
    self->thread = std::thread([this, self, channel = rig.NewChannel(retries), request, good] {
      while (!stop_) {
        const absl::Time start = absl::Now();
        const absl::StatusOr<v1::PredictResponse> response = KeeperRig::Predict(channel, request);
        const int64_t took = absl::ToInt64Microseconds(absl::Now() - start);
        int64_t slowest = slowest_micros_;
        while (took > slowest && !slowest_micros_.compare_exchange_weak(slowest, took)) {
        }
        if (!response.ok()) {
          ++errors_;
          {
            MutexLock lock(&mutex_);
            StrAppend(&errors_text_,
                      absl::FormatTime("%H:%M:%E6S ", absl::Now(), absl::UTCTimeZone()),
                      response.status().ToString(), "\n");
          }
          // A client that asks again at once may write to the connection that has just
          // died, before its channel has noticed: let it notice.
          if (channel->GetState(false) == GRPC_CHANNEL_READY) {
            channel->WaitForStateChange(GRPC_CHANNEL_READY, std::chrono::system_clock::now() +
                                                                std::chrono::milliseconds(100));
          }
          continue;
        }
        if (!good(*response)) ++wrong_;
        ++answers_;
        ++self->answers;
        self->answers.notify_all();
      }
    });
  }
}

Load::~Load() { Stop(); }

void Load::WaitForAnswers(int64_t more) {
  for (const auto& thread : threads_) {
    const int64_t wanted = thread->answers + more;
    for (int64_t now; (now = thread->answers) < wanted;) thread->answers.wait(now);
  }
}

void Load::Stop() {
  stop_ = true;
  for (const auto& thread : threads_) {
    if (thread->thread.joinable()) thread->thread.join();
  }
}

std::string Load::errors_text() {
  MutexLock lock(&mutex_);
  return errors_text_;
}

}  // namespace paramd
