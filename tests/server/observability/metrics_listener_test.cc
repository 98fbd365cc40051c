#include "server/observability/metrics_listener.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/status_testing.h"

namespace paramd {
namespace {

using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

int Connect(uint16_t port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  return fd;
}

std::string Ask(uint16_t port, const std::string& request) {
  const int fd = Connect(port);
  EXPECT_EQ(send(fd, request.data(), request.size(), MSG_NOSIGNAL),
            static_cast<ssize_t>(request.size()));
  std::string answer;
  char buffer[4096];
  ssize_t got = 0;
  while ((got = recv(fd, buffer, sizeof(buffer), 0)) > 0) {
    answer.append(buffer, static_cast<size_t>(got));
  }
  close(fd);
  return answer;
}

std::string Get(uint16_t port, const std::string& path) {
  return Ask(port, "GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n");
}

class MetricsListenerTest : public ::testing::Test {
 protected:
  MetricsListenerOptions Options(const std::string& address = "127.0.0.1:0") {
    return {.address = address,
            .render_metrics = [] { return std::string("a_metric 1\n"); },
            .readiness = [this]() -> absl::Status {
              if (ready_) return absl::OkStatus();
              return absl::UnavailableError("model 'digits' is loading");
            },
            .render_status = [] { return std::string("versions\n"); },
            .render_status_json = [] { return std::string("{\"models\": []}\n"); }};
  }
  std::atomic<bool> ready_ = true;
};

TEST_F(MetricsListenerTest, ServesItsPages) {
  ASSERT_OK_AND_ASSIGN(const auto listener, MetricsListener::Start(Options()));
  ASSERT_NE(listener->port(), 0);
  EXPECT_THAT(Get(listener->port(), "/metrics"),
              AllOf(StartsWith("HTTP/1.1 200 OK"), HasSubstr("text/plain; version=0.0.4"),
                    HasSubstr("\r\n\r\na_metric 1\n")));
  EXPECT_THAT(Get(listener->port(), "/livez"), HasSubstr("alive"));
  EXPECT_THAT(Get(listener->port(), "/statusz"), HasSubstr("versions\n"));
  EXPECT_THAT(Get(listener->port(), "/status.json"),
              AllOf(HasSubstr("application/json"), HasSubstr("{\"models\": []}\n")));
  EXPECT_THAT(Get(listener->port(), "/"), AllOf(HasSubstr("text/html"), HasSubstr("/statusz")));
  EXPECT_THAT(Get(listener->port(), "/metrics?x=1"), StartsWith("HTTP/1.1 200"));
}

// One file that asks nobody but the daemon: nothing in it names another host, and the
// policy lets the browser run its one script and apply its one style, no more.
TEST_F(MetricsListenerTest, ThePageIsOneFileWithAStrictPolicy) {
  ASSERT_OK_AND_ASSIGN(const auto listener, MetricsListener::Start(Options()));
  const std::string answer = Get(listener->port(), "/");
  EXPECT_THAT(answer,
              ContainsRegex("Content-Security-Policy: default-src 'none'; script-src "
                            "'sha256-[A-Za-z0-9+/]{43}='; style-src 'sha256-[A-Za-z0-9+/]{43}='; "
                            "img-src data:; connect-src 'self'; base-uri 'none'; form-action "
                            "'none'; frame-ancestors 'none'\r\n"));
  const std::string html = answer.substr(answer.find("\r\n\r\n") + 4);
  EXPECT_THAT(html, AllOf(StartsWith("<!doctype html>"), HasSubstr("</html>\n"),
                          HasSubstr("class Scrape"), HasSubstr("color-scheme: light dark"),
                          Not(HasSubstr("/* scripts */")), Not(HasSubstr("/* page.css */"))));
  for (const char* element : {"<script>", "</script>", "<style>", "</style>"}) {
    const size_t first = html.find(element);
    ASSERT_NE(first, std::string::npos) << element;
    EXPECT_EQ(html.find(element, first + 1), std::string::npos) << element;
  }
  // The name space of SVG is the only address, and is never asked.
  std::string rest = html;
  for (const std::string name : {"http://www.w3.org/2000/svg"}) {
    for (size_t at; (at = rest.find(name)) != std::string::npos;) rest.erase(at, name.size());
  }
  EXPECT_THAT(rest, AllOf(Not(HasSubstr("http:")), Not(HasSubstr("https:")),
                          Not(HasSubstr("src=")), Not(HasSubstr("onclick"))));
  EXPECT_THAT(Get(listener->port(), "/metrics"),
              HasSubstr("Content-Security-Policy: default-src 'none'"));
}

TEST_F(MetricsListenerTest, HealthzSaysWhyNot) {
  ASSERT_OK_AND_ASSIGN(const auto listener, MetricsListener::Start(Options()));
  EXPECT_THAT(Get(listener->port(), "/healthz"),
              AllOf(StartsWith("HTTP/1.1 200"), HasSubstr("ready\n")));
  ready_ = false;
  EXPECT_THAT(Get(listener->port(), "/healthz"),
              AllOf(StartsWith("HTTP/1.1 503"), HasSubstr("not ready: model 'digits' is loading")));
  EXPECT_THAT(Get(listener->port(), "/livez"), StartsWith("HTTP/1.1 200"));
}

TEST_F(MetricsListenerTest, AnswersNothingElse) {
  ASSERT_OK_AND_ASSIGN(const auto listener, MetricsListener::Start(Options()));
  for (const char* path : {"/etc/passwd", "/../../etc/passwd", "/metrics/", "/metrics/x", "/x%00",
                           "/..%2f..%2fetc/passwd", "//metrics/../x"}) {
    EXPECT_THAT(
        Get(listener->port(), path),
        AllOf(StartsWith("HTTP/1.1 4"), Not(HasSubstr("root:")), Not(HasSubstr("Index of"))))
        << path;
  }
  EXPECT_THAT(Ask(listener->port(), "POST /metrics HTTP/1.1\r\nContent-Length: 0\r\n\r\n"),
              AllOf(StartsWith("HTTP/1.1 405"), HasSubstr("Allow: GET, HEAD")));
  EXPECT_THAT(Ask(listener->port(), "PUT /x HTTP/1.1\r\nContent-Length: 1\r\n\r\nx"),
              StartsWith("HTTP/1.1 405"));
  const std::string head = Ask(listener->port(), "HEAD /metrics HTTP/1.1\r\n\r\n");
  EXPECT_THAT(head, AllOf(StartsWith("HTTP/1.1 200"), Not(HasSubstr("a_metric"))));
}

TEST_F(MetricsListenerTest, RubbishNeitherKillsNorBlocksIt) {
  ASSERT_OK_AND_ASSIGN(const auto listener, MetricsListener::Start(Options()));
  Ask(listener->port(), "\r\n\r\n\r\n");
  Ask(listener->port(), std::string("\0\1\2\3\r\n\r\n", 8));
  Ask(listener->port(), "GET\r\n\r\n");
  EXPECT_THAT(
      Ask(listener->port(), "GET /metrics HTTP/1.1\r\nX: " + std::string(40'000, 'a') + "\r\n\r\n"),
      Not(HasSubstr("a_metric")));
  // Clients that connect, say half a sentence and stay.
  const int silent = Connect(listener->port());
  const int half = Connect(listener->port());
  send(half, "GET /met", 8, MSG_NOSIGNAL);
  EXPECT_THAT(Get(listener->port(), "/healthz"), StartsWith("HTTP/1.1 200"));
  close(silent);
  close(half);
}

TEST_F(MetricsListenerTest, ManyScrapesAtOnceAllSucceed) {
  ASSERT_OK_AND_ASSIGN(const auto listener, MetricsListener::Start(Options()));
  std::atomic<int> good = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 10; ++i) {
        if (Get(listener->port(), "/metrics").ends_with("a_metric 1\n")) ++good;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(good, 80);
}

TEST_F(MetricsListenerTest, ATakenPortIsAClearError) {
  ASSERT_OK_AND_ASSIGN(const auto first, MetricsListener::Start(Options()));
  const std::string address = "127.0.0.1:" + std::to_string(first->port());
  EXPECT_THAT(MetricsListener::Start(Options(address)),
              StatusIs(absl::StatusCode::kAlreadyExists,
                       AllOf(HasSubstr(address), HasSubstr("--metrics-address"))));
}

TEST_F(MetricsListenerTest, AddressesThatAreNoneAreRefused) {
  EXPECT_THAT(MetricsListener::Start(Options("8002")),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(MetricsListener::Start(Options("127.0.0.1:1,0.0.0.0:2")),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(MetricsListener::Start(Options("203.0.113.7:0")),
              StatusIs(absl::StatusCode::kInternal, HasSubstr("203.0.113.7")));
  EXPECT_THAT(MetricsListener::Start({.address = "127.0.0.1:0"}),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(MetricsListenerTest, ListensOnNamesAndIpv6) {
  EXPECT_OK(MetricsListener::Start(Options("localhost:0")));
  const auto six = MetricsListener::Start(Options("[::1]:0"));
  // A machine without IPv6 has no such address, which is its own clear error.
  if (!six.ok()) {
    EXPECT_THAT(six, StatusIs(absl::StatusCode::kInternal, HasSubstr("[::1]:0")));
  }
}

TEST_F(MetricsListenerTest, ThePortIsFreeAgainAfterwards) {
  std::string address = "127.0.0.1:0";
  for (int i = 0; i < 3; ++i) {
    ASSERT_OK_AND_ASSIGN(const auto listener, MetricsListener::Start(Options(address)));
    address = "127.0.0.1:" + std::to_string(listener->port());
    EXPECT_THAT(Get(listener->port(), "/livez"), StartsWith("HTTP/1.1 200"));
  }
}

}  // namespace
}  // namespace paramd
