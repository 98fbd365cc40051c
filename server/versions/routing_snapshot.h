// RoutingSnapshot: which versions answer for which model, at one moment. Immutable.
// RoutingTable: the current snapshot, replaced as a whole.
//
// Reading is free of locks: a reader counts itself in on its own cache line,
// loads one pointer, copies one handle, counts itself out. Publish swaps the
// pointer and waits until whoever was inside has left, so that the old snapshot,
// and the handles in it, are gone when Publish returns: from then on nobody can
// get a handle to a version that is not in the new one. Readers count in one of
// two phases, so that those who keep coming do not keep Publish waiting. (An
// atomic shared_ptr is a mutex in libstdc++; copies cached by threads would keep
// unloaded models in memory for as long as a thread stays idle.)
//
// Thread-safety: Find from any thread. Publish from one thread at a time.
#ifndef PARAMD_SERVER_VERSIONS_ROUTING_SNAPSHOT_H_
#define PARAMD_SERVER_VERSIONS_ROUTING_SNAPSHOT_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "server/versions/model_version.h"

namespace paramd {

// Which weights: a number, a label, or neither, which means the label "default".
struct VersionChoice {
  std::optional<int64_t> number;
  std::string label;
};

class RoutingSnapshot {
 public:
  // What is known of one model. A model without serving versions is listed too:
  // "is still loading" and "was never here" are different answers.
  struct Routes {
    std::string model;
    std::vector<ModelHandle> serving;  // Ascending by number.
    int64_t default_number = 0;        // What "default" means; 0: nothing answers for it.
    // The version that "default" means is on its way, and no other may answer.
    bool default_coming = false;
    bool coming = false;  // Some version is pending, loading or warming.
    std::vector<int64_t> coming_numbers;
    // Labels other than "default", and where they point; that one may not serve.
    std::vector<std::pair<std::string, int64_t>> names;
  };

  RoutingSnapshot() = default;
  explicit RoutingSnapshot(std::vector<Routes> models);

  // NotFound: no such model, version or label, or nothing of it serves; the
  // message lists what there is. Unavailable: it is being loaded. A label is
  // looked up in the same snapshot as the version it points at.
  absl::StatusOr<ModelHandle> Find(std::string_view model, const VersionChoice& choice) const;

 private:
  static absl::StatusOr<int64_t> NumberOf(const Routes& routes, const VersionChoice& choice);

  absl::flat_hash_map<std::string, Routes> models_;
};

class RoutingTable {
 public:
  RoutingTable();
  ~RoutingTable();
  RoutingTable(const RoutingTable&) = delete;
  RoutingTable& operator=(const RoutingTable&) = delete;

  absl::StatusOr<ModelHandle> Find(std::string_view model, const VersionChoice& choice) const;

  void Publish(std::unique_ptr<const RoutingSnapshot> next);

 private:
  // Threads spread over these lines; two that share one still count right.
  static constexpr size_t kReaderLines = 64;
  struct alignas(64) ReaderLine {
    std::atomic<uint32_t> inside[2] = {0, 0};  // By phase.
  };
  void WaitUntilLeft(uint32_t phase) const;

  mutable std::array<ReaderLine, kReaderLines> readers_;
  alignas(64) std::atomic<const RoutingSnapshot*> current_;
  std::atomic<uint32_t> phase_{0};
};

}  // namespace paramd

#endif  // PARAMD_SERVER_VERSIONS_ROUTING_SNAPSHOT_H_
