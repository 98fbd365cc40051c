// Command: what all subcommands of paramctl share: the options before the
// subcommand's name, and how a subcommand announces itself.
//
// To add a subcommand: a file with an Add...Command function, a line here and
// one in main.cc.
//
// Thread-safety: one thread.
#ifndef PARAMD_SERVER_PARAMCTL_COMMAND_H_
#define PARAMD_SERVER_PARAMCTL_COMMAND_H_

#include <CLI/CLI.hpp>
#include <functional>
#include <string>

#include "absl/status/status.h"

namespace paramd {

struct GlobalOptions {
  std::string address = "127.0.0.1:8001";
  bool json = false;
  double timeout_s = 30;
};

// The chosen subcommand leaves its work here; main runs it after parsing.
using Work = std::function<absl::Status()>;

void AddModelsCommand(CLI::App* app, const GlobalOptions* options, Work* work);
void AddInfoCommand(CLI::App* app, const GlobalOptions* options, Work* work);
void AddParamsCommand(CLI::App* app, const GlobalOptions* options, Work* work);
void AddPredictCommand(CLI::App* app, const GlobalOptions* options, Work* work);
void AddCheckCommand(CLI::App* app, const GlobalOptions* options, Work* work);
void AddInspectCommand(CLI::App* app, const GlobalOptions* options, Work* work);
void AddBenchCommand(CLI::App* app, const GlobalOptions* options, Work* work);

}  // namespace paramd

#endif  // PARAMD_SERVER_PARAMCTL_COMMAND_H_
