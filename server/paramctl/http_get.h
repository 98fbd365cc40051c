// HttpGet: one page of paramd's metrics port.
//
// Thread-safety: thread-safe.
#ifndef PARAMD_SERVER_PARAMCTL_HTTP_GET_H_
#define PARAMD_SERVER_PARAMCTL_HTTP_GET_H_

#include <string>

#include "absl/status/statusor.h"

namespace paramd {

// The body of what `address` ("127.0.0.1:8002") answers to GET `path`. Unavailable
// if nobody answers within `timeout_s`; Internal for an answer other than 200, or
// one that is larger than any page of paramd's.
absl::StatusOr<std::string> HttpGet(const std::string& address, const std::string& path,
                                    double timeout_s);

}  // namespace paramd

#endif  // PARAMD_SERVER_PARAMCTL_HTTP_GET_H_
