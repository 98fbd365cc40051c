#include "server/config/server_config.h"

#include <unistd.h>

#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "server/config/server_options.h"
#include "tests/support/status_testing.h"
#include "tests/support/temp_folder.h"

namespace paramd {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using Environment = std::map<std::string, std::string>;

absl::StatusOr<ParsedServerConfig> Parse(std::vector<const char*> args,
                                         const Environment& environment = {}) {
  const auto reader = [&environment](const std::string& name) -> std::optional<std::string> {
    const auto it = environment.find(name);
    if (it == environment.end()) return std::nullopt;
    return it->second;
  };
  return ParseServerConfig(args, reader, "paramd 1.2.3");
}

const OptionOrigin& Origin(const ParsedServerConfig& parsed, const std::string& name) {
  for (const OptionOrigin& origin : parsed.origins) {
    if (origin.name == name) return origin;
  }
  ADD_FAILURE() << name;
  return parsed.origins.at(0);
}

TEST(ServerConfig, DefaultsAreValidAndSafe) {
  ASSERT_OK_AND_ASSIGN(const ParsedServerConfig parsed, Parse({"--model-repository", "/models"}));
  EXPECT_EQ(parsed.action, ParsedServerConfig::Action::kRun);
  EXPECT_OK(ValidateServerConfig(parsed.config));
  EXPECT_EQ(parsed.config.model_repository, "/models");
  EXPECT_EQ(parsed.config.grpc_address, "127.0.0.1:8001");
  EXPECT_EQ(parsed.config.metrics_address, "127.0.0.1:8002");
  EXPECT_EQ(parsed.config.message_bytes_max, uint64_t{64} << 20);
  EXPECT_EQ(parsed.config.batch_time_max, absl::Milliseconds(50));
  EXPECT_FALSE(parsed.config.watch);
  EXPECT_EQ(Origin(parsed, "grpc-address").source, "default");
  EXPECT_EQ(Origin(parsed, "model-repository").source, "command line");
}

TEST(ServerConfig, AFlagWinsOverTheEnvironmentAndThatOverTheFile) {
  TempFolder folder;
  const std::string file = folder.Write("paramd.json", R"({
    // Comments are fine.
    "model-repository": "/from-file", "streams": 3, "queue_requests_max": 5, "watch": true,
    "message-bytes-max": "32MiB" })");
  const std::string flag = "--config=" + file;
  ASSERT_OK_AND_ASSIGN(const ParsedServerConfig parsed,
                       Parse({flag.c_str(), "--streams=1"},
                             {{"PARAMD_STREAMS", "2"}, {"PARAMD_QUEUE_REQUESTS_MAX", "6"}}));
  EXPECT_EQ(parsed.config.streams, 1);
  EXPECT_EQ(parsed.config.queue_requests_max, 6);
  EXPECT_EQ(parsed.config.model_repository, "/from-file");
  EXPECT_EQ(parsed.config.message_bytes_max, uint64_t{32} << 20);
  EXPECT_TRUE(parsed.config.watch);
  EXPECT_EQ(Origin(parsed, "streams").source, "command line");
  EXPECT_EQ(Origin(parsed, "queue-requests-max").source, "environment PARAMD_QUEUE_REQUESTS_MAX");
  EXPECT_EQ(Origin(parsed, "watch").source, "file " + file);
  EXPECT_EQ(Origin(parsed, "message-bytes-max").value, "32MiB");
}

TEST(ServerConfig, TheFileMayComeFromTheEnvironment) {
  TempFolder folder;
  const std::string file = folder.Write("c.json", R"({"model-repository": "/m"})");
  ASSERT_OK_AND_ASSIGN(const ParsedServerConfig parsed, Parse({}, {{"PARAMD_CONFIG", file}}));
  EXPECT_EQ(parsed.config.model_repository, "/m");
  EXPECT_THAT(Parse({"--config=/does/not/exist"}), StatusIs(absl::StatusCode::kNotFound));
}

TEST(ServerConfig, ReadsEveryKindOfValue) {
  ASSERT_OK_AND_ASSIGN(const ParsedServerConfig parsed, Parse({"--model-repository=m",
                                                               "--no-keeper",
                                                               "--watch=false",
                                                               "--strict-readiness",
                                                               "--grpc-address",
                                                               "[::1]:0",
                                                               "--metrics-address=",
                                                               "--queue-bytes-max",
                                                               "1GiB",
                                                               "--parameter-capacity-bytes=0",
                                                               "--drain-grace",
                                                               "1m30s",
                                                               "--log-format",
                                                               "json",
                                                               "--log-level=warning",
                                                               "-v",
                                                               "2",
                                                               "--default-precision=bf16",
                                                               "--streams",
                                                               "1",
                                                               "--streams",
                                                               "4"}));
  EXPECT_TRUE(parsed.config.no_keeper);
  EXPECT_FALSE(parsed.config.watch);
  EXPECT_TRUE(parsed.config.strict_readiness);
  EXPECT_EQ(parsed.config.grpc_address, "[::1]:0");
  EXPECT_EQ(parsed.config.metrics_address, "");
  EXPECT_EQ(parsed.config.queue_bytes_max, uint64_t{1} << 30);
  EXPECT_EQ(parsed.config.drain_grace, absl::Seconds(90));
  EXPECT_EQ(parsed.config.log_format, LogFormat::kJson);
  EXPECT_EQ(parsed.config.log_level, LogLevel::kWarning);
  EXPECT_EQ(parsed.config.verbosity, 2);
  EXPECT_EQ(parsed.config.default_precision, Precision::kBF16);
  EXPECT_EQ(parsed.config.streams, 4);  // The last one counts.
}

TEST(ServerConfig, AnEmptyVariableIsNotSetExceptWhereEmptyMeansSomething) {
  ASSERT_OK_AND_ASSIGN(
      const ParsedServerConfig parsed,
      Parse({"--model-repository=m"}, {{"PARAMD_STREAMS", ""}, {"PARAMD_METRICS_ADDRESS", ""}}));
  EXPECT_EQ(parsed.config.streams, 0);
  EXPECT_EQ(parsed.config.metrics_address, "");
}

TEST(ServerConfig, ErrorsNameTheOptionItsSourceAndWhatIsAllowed) {
  struct Fault {
    std::vector<const char*> args;
    Environment environment;
    const char* message;
  };
  const Fault faults[] = {
      {{}, {}, "--model-repository DIR"},
      {{"--streams=-1"}, {}, "option 'streams' from command line: '-1': allowed is 0 to 4096"},
      {{}, {{"PARAMD_STREAMS", "many"}}, "environment PARAMD_STREAMS: 'many': expected a whole"},
      {{"--batch-time-max=50"}, {}, "expected a time with its unit"},
      {{"--batch-time-max=0ms"}, {}, "allowed is 1ms to 10m"},
      {{"--queue-bytes-max=1.5GiB"}, {}, "expected bytes as a whole number"},
      {{"--queue-bytes-max=-1"}, {}, "expected bytes"},
      {{"--queue-bytes-max=99999999TiB"}, {}, "64 bits"},
      {{"--queue-bytes-max=1MiB"}, {}, ""},
      {{"--message-bytes-max=4GiB"}, {}, "allowed is 1KiB to 2147483647"},
      {{"--grpc-address=8001"}, {}, "has no port"},
      {{"--grpc-address="}, {}, "grpc-address"},
      {{"--watch=maybe"}, {}, "expected true or false"},
      {{"--log-format=xml"}, {}, "expected one of text, json"},
      {{"--steams=2"}, {}, "did you mean 'streams'?"},
      {{"stray"}, {}, "stray"},
      {{"--streams"}, {}, "--streams"},
  };
  for (const Fault& fault : faults) {
    EXPECT_THAT(Parse(fault.args, fault.environment),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(fault.message)))
        << fault.message;
  }
  EXPECT_THAT(Parse({"--model-repository=m", "--queue-bytes-max=1MiB"}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("below message-bytes-max")));
  EXPECT_THAT(Parse({"--model-repository=m", "--grpc-address=a:1", "--metrics-address=a:1"}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("two ports")));
}

TEST(ServerConfig, HostileFilesAreRefused) {
  TempFolder folder;
  const auto parse_file = [&folder](const std::string& text) {
    const std::string flag = "--config=" + folder.Write("c.json", text);
    return Parse({flag.c_str(), "--model-repository=m"});
  };
  EXPECT_OK(parse_file("{}"));
  EXPECT_THAT(parse_file("").status().message(), HasSubstr("not JSON"));
  EXPECT_THAT(parse_file("{\"streams\": 1").status().message(), HasSubstr("not JSON"));
  EXPECT_THAT(parse_file("[1]").status().message(), HasSubstr("expected an object"));
  EXPECT_THAT(parse_file("{\"stream\": 1}").status().message(),
              HasSubstr("did you mean 'streams'?"));
  EXPECT_THAT(parse_file("{\"streams\": 1, \"streams\": 2}").status().message(),
              HasSubstr("twice"));
  EXPECT_THAT(parse_file("{\"loader-threads\": 1, \"loader_threads\": 2}").status().message(),
              HasSubstr("twice"));
  EXPECT_THAT(parse_file("{\"streams\": null}").status().message(), HasSubstr("null"));
  EXPECT_THAT(parse_file("{\"streams\": [1]}").status().message(), HasSubstr("not lists"));
  EXPECT_THAT(parse_file("{\"streams\": {\"x\": 1}}").status().message(), HasSubstr("not lists"));
  EXPECT_THAT(parse_file("{\"streams\": 1e99}").status().message(), HasSubstr("whole number"));
  EXPECT_FALSE(parse_file("{\"streams\": " + std::string(300'000, '[')).ok());
  EXPECT_FALSE(parse_file(std::string(300'000, '{')).ok());
  EXPECT_THAT(parse_file(std::string((1 << 20) + 1, ' ')).status().message(),
              HasSubstr("more than"));
  EXPECT_FALSE(parse_file("{\"\xff\": 1}").ok());
  const std::string folder_flag = "--config=" + folder.path();
  EXPECT_FALSE(Parse({folder_flag.c_str()}).ok());
}

TEST(ServerConfig, HelpAndVersionAreText) {
  ASSERT_OK_AND_ASSIGN(const ParsedServerConfig help, Parse({"--help"}));
  EXPECT_EQ(help.action, ParsedServerConfig::Action::kPrint);
  for (const ServerOption& option : ServerOptions()) {
    EXPECT_THAT(help.text, HasSubstr("--" + option.name));
  }
  EXPECT_THAT(help.text, AllOf(HasSubstr("--config"), HasSubstr("--print-config")));
  ASSERT_OK_AND_ASSIGN(const ParsedServerConfig version, Parse({"--version"}));
  EXPECT_EQ(version.text, "paramd 1.2.3\n");
}

TEST(ServerConfig, PrintConfigShowsWhereEachValueCameFrom) {
  ASSERT_OK_AND_ASSIGN(const ParsedServerConfig parsed,
                       Parse({"--print-config", "--streams=2"}, {{"PARAMD_WATCH", "1"}}));
  EXPECT_EQ(parsed.action, ParsedServerConfig::Action::kPrintConfig);
  const std::string text = EffectiveConfig(parsed.origins);
  EXPECT_THAT(text, ::testing::ContainsRegex("streams +2 +\\(command line\\)"));
  EXPECT_THAT(text, ::testing::ContainsRegex("watch +true +\\(environment PARAMD_WATCH\\)"));
  EXPECT_THAT(text, ::testing::ContainsRegex("batch-time-max +50ms +\\(default\\)"));
}

TEST(ServerConfig, WhatEveryOptionPrintsItReads) {
  ServerConfig config;
  config.model_repository = "/models";
  for (const ServerOption& option : ServerOptions()) {
    ServerConfig copy = config;
    EXPECT_OK(option.read(option.print(config), &copy)) << option.name;
    EXPECT_EQ(option.print(copy), option.print(config)) << option.name;
    EXPECT_OK(option.check(copy)) << option.name;
  }
}

TEST(ServerConfig, ValidateChecksAStructThatCodeFilledIn) {
  ServerConfig config;
  config.model_repository = "m";
  EXPECT_OK(ValidateServerConfig(config));
  config.streams = 100'000;
  EXPECT_THAT(ValidateServerConfig(config),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("'streams'")));
}

TEST(ServerConfig, TheAdminSocketIsPrivateToItsUser) {
  const auto with = [](std::optional<std::string> value) {
    return [value](const std::string&) { return value; };
  };
  EXPECT_EQ(DefaultAdminSocket(with("/run/user/1"), true), "/run/paramd/admin.sock");
  EXPECT_EQ(DefaultAdminSocket(with("/run/user/1"), false), "/run/user/1/paramd/admin.sock");
  EXPECT_EQ(DefaultAdminSocket(with("relative"), false), "");
  EXPECT_EQ(DefaultAdminSocket(with(std::nullopt), false), "");
}

TEST(ServerConfig, TheReferencePageHasTheTable) {
  std::ifstream file("server/config/CONFIG.md");
  ASSERT_TRUE(file.good());
  std::stringstream page;
  page << file.rdbuf();
  const std::string expected = ::testing::TempDir() + "paramd_CONFIG_table.md";
  if (page.str().find(ServerConfigTable()) == std::string::npos) {
    std::ofstream(expected) << ServerConfigTable();
    FAIL() << "server/config/CONFIG.md is out of date; the table it should have is in " << expected;
  }
}

}  // namespace
}  // namespace paramd
