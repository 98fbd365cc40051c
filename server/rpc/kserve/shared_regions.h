// SharedRegions: pieces of POSIX shared memory that clients registered by name,
// for tensors that do not travel in messages.
//
// A region belongs to the client, who may write, cut off or remove it at any
// moment. So nothing here maps it: a mapped page that was cut off is a SIGBUS. It
// is read with pread, straight into the model's input, which is the one copy
// that an input in a message costs as well; and a read that comes short is an
// error of that request (DECISIONS.md, D-030). Regions are opened for reading;
// for writing only when an output is to go there.
//
// Life: a request keeps its regions through a shared pointer, so unregistering
// one that is in use takes its name away and nothing else.
// Thread-safety: thread-safe.
#ifndef PARAMD_SERVER_RPC_KSERVE_SHARED_REGIONS_H_
#define PARAMD_SERVER_RPC_KSERVE_SHARED_REGIONS_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "runtime/base/mutex.h"
#include "runtime/base/unique_fd.h"
#include "server/batching/batch_call.h"

namespace paramd {

struct RegionInfo {
  std::string name;
  std::string key;      // As it was registered.
  uint64_t offset = 0;  // Within the shared memory of that key.
  uint64_t bytes = 0;
};

class SharedRegion final : public ByteSource {
 public:
  SharedRegion(RegionInfo info, UniqueFd fd) : info_(std::move(info)), fd_(std::move(fd)) {}

  const RegionInfo& info() const { return info_; }
  // InvalidArgument unless [offset, offset + bytes) is inside the region, and the
  // shared memory is still that long.
  absl::Status Check(uint64_t offset, uint64_t bytes) const;
  // REQUIRES: Check of that range was OK. InvalidArgument if it was cut off since.
  absl::Status Read(uint64_t offset, absl::Span<std::byte> to) const override;
  absl::Status Write(uint64_t offset, absl::Span<const std::byte> from) const;

 private:
  const RegionInfo info_;
  const UniqueFd fd_;  // Read-only.
  mutable Mutex mutex_;
  mutable UniqueFd writable_ ABSL_GUARDED_BY(mutex_);  // The same memory; opened on first use.
};

class SharedRegions {
 public:
  struct Options {
    size_t regions_max = 1024;  // Each holds a descriptor.
    // Where shm_open keeps its files; tests have their own.
    std::string folder = "/dev/shm";
  };
  explicit SharedRegions(Options options) : options_(std::move(options)) {}

  // AlreadyExists for a name that is taken; InvalidArgument for a key that is no
  // shared memory or is paramd's, and for a range beyond its end; NotFound where
  // there is none; ResourceExhausted beyond the limit.
  absl::Status Register(RegionInfo info);
  // Empty: all. NotFound.
  absl::Status Unregister(std::string_view name);
  // By name; empty: all. NotFound.
  absl::StatusOr<std::vector<RegionInfo>> List(std::string_view name) const;

  absl::StatusOr<std::shared_ptr<const SharedRegion>> Find(std::string_view name) const;

 private:
  absl::StatusOr<UniqueFd> Open(const std::string& key) const;

  const Options options_;
  mutable Mutex mutex_;
  std::map<std::string, std::shared_ptr<const SharedRegion>, std::less<>> regions_
      ABSL_GUARDED_BY(mutex_);
};

}  // namespace paramd

#endif  // PARAMD_SERVER_RPC_KSERVE_SHARED_REGIONS_H_
