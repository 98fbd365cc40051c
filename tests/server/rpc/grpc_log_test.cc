#include "server/rpc/grpc_log.h"

#include <grpc/support/log.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/log/log_entry.h"
#include "absl/log/log_sink.h"
#include "absl/log/log_sink_registry.h"
#include "runtime/base/strings.h"

namespace paramd {
namespace {

class Lines final : public absl::LogSink {
 public:
  Lines() { absl::AddLogSink(this); }
  ~Lines() override { absl::RemoveLogSink(this); }
  void Send(const absl::LogEntry& entry) override {
    severities.push_back(entry.log_severity());
    texts.emplace_back(FromAbsl(entry.text_message()));
  }

  std::vector<absl::LogSeverity> severities;
  std::vector<std::string> texts;
};

TEST(GrpcLog, ItsErrorsAreOurWarningsAndItsChatterIsNotSeen) {
  RouteGrpcLog();
  Lines lines;
  gpr_log("somewhere.cc", 7, GPR_LOG_SEVERITY_ERROR, "no address added out of %d", 1);
  gpr_log("somewhere.cc", 8, GPR_LOG_SEVERITY_INFO, "something happened");
  gpr_set_log_function(nullptr);
  ASSERT_EQ(lines.texts.size(), 1u);
  EXPECT_EQ(lines.texts[0], "gRPC: no address added out of 1");
  EXPECT_EQ(lines.severities[0], absl::LogSeverity::kWarning);
}

}  // namespace
}  // namespace paramd
