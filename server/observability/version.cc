#include "server/observability/version.h"

#include <cstdlib>

#include "runtime/backends/backend_list.h"
#include "runtime/base/strings.h"

namespace paramd {
namespace {

std::string Compiler() {
#if defined(__clang__)
  return StrCat("clang ", __clang_major__, ".", __clang_minor__, ".", __clang_patchlevel__);
#else
  return StrCat("gcc ", __GNUC__, ".", __GNUC_MINOR__, ".", __GNUC_PATCHLEVEL__);
#endif
}

// Of a fingerprint "onednn 3.7.2 avx512_core" the version.
std::string OnednnVersion() {
  const Backend* onednn = FindBackend("onednn");
  if (onednn == nullptr) return "";
  std::string_view text = onednn->fingerprint();
  text.remove_prefix(std::min(text.size(), text.find(' ') + 1));
  return std::string(text.substr(0, text.find(' ')));
}

}  // namespace

BuildInfo ThisBuild() {
  return {.version = PARAMD_VERSION, .compiler = Compiler(), .onednn = OnednnVersion(), .cuda = ""};
}

std::string VersionText() {
  const BuildInfo build = ThisBuild();
  return StrCat("paramd ", build.version, " (", build.compiler, ", ",
                build.onednn.empty() ? "without oneDNN" : StrCat("oneDNN ", build.onednn), ", ",
                build.cuda.empty() ? "without CUDA" : StrCat("CUDA ", build.cuda), ")");
}

}  // namespace paramd
