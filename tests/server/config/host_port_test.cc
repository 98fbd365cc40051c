#include "server/config/host_port.h"

#include <string>

#include "tests/support/status_testing.h"

namespace paramd {
namespace {

using ::testing::HasSubstr;

TEST(HostPort, ReadsHostsAddressesAndPorts) {
  ASSERT_OK_AND_ASSIGN(HostPort address, ParseHostPort("127.0.0.1:8001"));
  EXPECT_EQ(address.host, "127.0.0.1");
  EXPECT_EQ(address.port, 8001);
  ASSERT_OK_AND_ASSIGN(address, ParseHostPort("[::1]:0"));
  EXPECT_EQ(address.host, "::1");
  EXPECT_EQ(address.ToString(), "[::1]:0");
  ASSERT_OK_AND_ASSIGN(address, ParseHostPort("localhost:65535"));
  EXPECT_EQ(address.ToString(), "localhost:65535");
}

TEST(HostPort, RefusesWhatCouldMeanTwoThings) {
  for (const char* text :
       {"",      ":",           "localhost",  "localhost:", ":8001",    "::1:8001",
        "[::1]", "[::1]8001",   "[::1:8001",  "[x]:1",      "[]:1",     "a:65536",
        "a:-1",  "a:+1",        "a: 1",       "a:1x",       "a:000001", "a b:1",
        "a\n:1", "unix:/tmp/x", "http://a:1", "a/b:1"}) {
    EXPECT_THAT(ParseHostPort(text), StatusIs(absl::StatusCode::kInvalidArgument)) << text;
  }
  EXPECT_THAT(ParseHostPort(std::string(100'000, 'a') + ":1"),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(ParseHostPort("nonsense").status().ToString(), HasSubstr("127.0.0.1:8001"));
}

TEST(HostPort, ResolvesToNumbers) {
  ASSERT_OK_AND_ASSIGN(const HostPort local, ResolveNumeric({.host = "localhost", .port = 5}));
  EXPECT_TRUE(local.host == "127.0.0.1" || local.host == "::1") << local.host;
  EXPECT_EQ(local.port, 5);
  ASSERT_OK_AND_ASSIGN(const HostPort six, ResolveNumeric({.host = "::1", .port = 5}));
  EXPECT_EQ(six.host, "::1");
}

}  // namespace
}  // namespace paramd
