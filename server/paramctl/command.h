// Command: what all subcommands of paramctl share: the options before the
// subcommand's name, and how a subcommand announces itself.
//
// To add a subcommand: a file with an Add...Command function, a line here and
// one in paramctl.cc.
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
  // Empty: --address; admin commands look for the default socket first.
  std::string admin_socket;
  bool json = false;
  double timeout_s = 30;
  // Whether they stood on the command line.
  bool address_given = false;
  bool timeout_given = false;

  // What gRPC connects to for calls that are answered everywhere.
  std::string target() const { return admin_socket.empty() ? address : "unix:" + admin_socket; }
};

// The chosen subcommand leaves its work here; main runs it after parsing.
using Work = std::function<absl::Status()>;

void AddModelsCommand(CLI::App* app, const GlobalOptions* options, Work* work);
void AddInfoCommand(CLI::App* app, const GlobalOptions* options, Work* work);
void AddParamsCommand(CLI::App* app, const GlobalOptions* options, Work* work);
void AddPredictCommand(CLI::App* app, const GlobalOptions* options, Work* work);
void AddCheckCommand(CLI::App* app, const GlobalOptions* options, Work* work);
void AddInspectCommand(CLI::App* app, const GlobalOptions* options, Work* work);
void AddProfileCommand(CLI::App* app, const GlobalOptions* options, Work* work);
void AddBenchCommand(CLI::App* app, const GlobalOptions* options, Work* work);
void AddTopCommand(CLI::App* app, const GlobalOptions* options, Work* work);
// Admin commands.
void AddStateCommand(CLI::App* app, const GlobalOptions* options, Work* work);
void AddLoadCommand(CLI::App* app, const GlobalOptions* options, Work* work);
void AddUnloadCommand(CLI::App* app, const GlobalOptions* options, Work* work);
void AddPromoteCommand(CLI::App* app, const GlobalOptions* options, Work* work);
void AddRollbackCommand(CLI::App* app, const GlobalOptions* options, Work* work);
void AddLabelCommand(CLI::App* app, const GlobalOptions* options, Work* work);
void AddPlanCommand(CLI::App* app, const GlobalOptions* options, Work* work);
void AddVerifyCommand(CLI::App* app, const GlobalOptions* options, Work* work);
void AddUpgradeCommand(CLI::App* app, const GlobalOptions* options, Work* work);

}  // namespace paramd

#endif  // PARAMD_SERVER_PARAMCTL_COMMAND_H_
