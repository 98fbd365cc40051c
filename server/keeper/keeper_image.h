// KeeperImage: all that a keeper knows, as bytes and named descriptors: for its
// next image (execve of a new binary: workers go on, descriptors are inherited by
// number) and for the service manager's store (workers are gone, descriptors
// come back by name).
//
// Life: values. Thread-safety: values and pure functions, but for the memfds.
#ifndef PARAMD_SERVER_KEEPER_KEEPER_IMAGE_H_
#define PARAMD_SERVER_KEEPER_KEEPER_IMAGE_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "runtime/base/unique_fd.h"
#include "server/keeper/keeper_core.h"
#include "server/keeper/worker_process.h"

namespace paramd {

struct KeeperImage {
  struct Fd {
    std::string name;
    int number = -1;  // Borrowed when saving; inherited, so not owned yet, when restoring.
  };
  struct Worker {
    int64_t pid = 0;
    WorkerId id = 0;
    WorkerRole role = WorkerRole::kServing;
    absl::Time ready_since;
    int channel = -1;  // Numbers as above.
    int events = -1;
    int worker_events = -1;
    int breadcrumbs = -1;
  };

  uint64_t sequence = 0;  // The higher one of two is the newer one.
  std::string core;
  std::string crashes;
  std::string upgrade;
  bool ever_ready = false;
  std::vector<Fd> fds;  // Segments and listeners.
  std::vector<Worker> workers;
};

// With a digest over all of it: half of an image is none.
std::string EncodeImage(const KeeperImage& image);
// DataLoss: damaged; Unimplemented: of a format that this build does not know.
absl::StatusOr<KeeperImage> DecodeImage(std::string_view bytes);

// A memfd with these bytes, or others in its place. Not for more than 1 GiB.
absl::StatusOr<UniqueFd> MakeImageFile();
absl::Status WriteImageFile(int fd, std::string_view bytes);
absl::StatusOr<std::string> ReadImageFile(int fd);

}  // namespace paramd

#endif  // PARAMD_SERVER_KEEPER_KEEPER_IMAGE_H_
