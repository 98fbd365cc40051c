// paramctl top: what a daemon does now, in the terminal; --once as text or JSON.
#include <poll.h>
#include <unistd.h>

#include <cstdio>
#include <memory>

#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "server/paramctl/command.h"
#include "server/paramctl/top_screen.h"
#include "server/paramctl/top_view.h"

namespace paramd {
namespace {

struct TopOptions {
  std::string metrics_address = "127.0.0.1:8002";
  bool once = false;
  double interval_s = 1;
  std::string sort = "rate";
  std::string filter;
};

absl::Status Once(const GlobalOptions& options, const TopOptions& top, TopSort sort,
                  const TopReading& first) {
  poll(nullptr, 0, static_cast<int>(top.interval_s * 1000));  // Rates need some time.
  PARAMD_ASSIGN_OR_RETURN(const TopReading second,
                          ReadTop(top.metrics_address, options.timeout_s));
  TopView view = MakeTopView(second, first);
  SortAndFilter(sort, top.filter, &view.versions);
  std::fputs(options.json ? StrCat(TopJson(view).dump(2), "\n").c_str() : TopText(view).c_str(),
             stdout);
  return absl::OkStatus();
}

absl::Status Top(const GlobalOptions& options, const TopOptions& top) {
  const std::optional<TopSort> sort = ParseTopSort(top.sort);
  if (!sort) {
    return absl::InvalidArgumentError(
        StrCat("--sort takes name, rate, p99, bytes or waiting, not '", top.sort, "'"));
  }
  PARAMD_ASSIGN_OR_RETURN(TopReading first, ReadTop(top.metrics_address, options.timeout_s));
  if (top.once || options.json) return Once(options, top, *sort, first);
  if (isatty(STDOUT_FILENO) == 0 || isatty(STDIN_FILENO) == 0) {
    return absl::InvalidArgumentError("this is no terminal; use --once");
  }
  RunTopScreen({.metrics_address = top.metrics_address,
                .interval = absl::Seconds(top.interval_s),
                .timeout_s = options.timeout_s,
                .sort = *sort,
                .filter = top.filter},
               std::move(first));
  return absl::OkStatus();
}

}  // namespace

void AddTopCommand(CLI::App* app, const GlobalOptions* options, Work* work) {
  auto top = std::make_shared<TopOptions>();
  CLI::App* command =
      app->add_subcommand("top", "Rates, latencies and bytes of a daemon, live in the terminal");
  command
      ->add_option("--metrics-address", top->metrics_address, "Where paramd's metrics port listens")
      ->capture_default_str();
  command->add_flag("--once", top->once, "Print them once, as text or with --json, and end");
  command->add_option("--interval", top->interval_s, "Seconds between two readings")
      ->check(CLI::Range(0.1, 3600.0))
      ->capture_default_str();
  command->add_option("--sort", top->sort, "name, rate, p99, bytes or waiting")
      ->capture_default_str();
  command->add_option("--filter", top->filter, "Only models with this in their name");
  command->callback([=] { *work = [=] { return Top(*options, *top); }; });
}

}  // namespace paramd
