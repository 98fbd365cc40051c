// Paramctl: the whole program but its main function: parses the command line,
// does the subcommand's work, reports a failure on standard error.
//
// Thread-safety: one thread.
#ifndef PARAMD_SERVER_PARAMCTL_PARAMCTL_H_
#define PARAMD_SERVER_PARAMCTL_PARAMCTL_H_

namespace paramd {

// The exit status.
int RunParamctl(int argc, const char* const* argv);

}  // namespace paramd

#endif  // PARAMD_SERVER_PARAMCTL_PARAMCTL_H_
