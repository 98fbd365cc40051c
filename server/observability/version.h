// What this build is.
#ifndef PARAMD_SERVER_OBSERVABILITY_VERSION_H_
#define PARAMD_SERVER_OBSERVABILITY_VERSION_H_

#include <string>

#include "server/observability/metrics.h"

namespace paramd {

BuildInfo ThisBuild();
// "paramd 0.1.0 (gcc 14.2.0, oneDNN 3.7.2, without CUDA)"
std::string VersionText();

}  // namespace paramd

#endif  // PARAMD_SERVER_OBSERVABILITY_VERSION_H_
