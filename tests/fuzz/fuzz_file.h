// FuzzFile: the fuzzer's bytes as an open file (a memfd), since readers take
// files. Bytes beyond the address space of one test are never needed, so a
// failure to make one aborts.
//
// Thread-safety: pure functions.
#ifndef PARAMD_TESTS_FUZZ_FUZZ_FILE_H_
#define PARAMD_TESTS_FUZZ_FUZZ_FILE_H_

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

#include "runtime/base/file_source.h"
#include "runtime/checkpoints/checkpoint.h"

namespace paramd {

inline std::unique_ptr<FileSource> FuzzFile(const uint8_t* data, size_t size) {
  UniqueFd fd(::memfd_create("fuzz", MFD_CLOEXEC));
  size_t done = 0;
  while (fd.valid() && done < size) {
    const ssize_t wrote = ::write(fd.get(), data + done, size - done);
    if (wrote <= 0) std::abort();
    done += static_cast<size_t>(wrote);
  }
  auto file = FileSource::FromFd(std::move(fd), "fuzz");
  if (!file.ok()) std::abort();
  return *std::move(file);
}

// Reads every tensor, which must succeed or say why; what a reader accepted can
// never ask for more memory than the file has reason for.
inline void FuzzReadAll(const Checkpoint& checkpoint, size_t file_bytes) {
  std::vector<std::byte> buffer;
  for (const CheckpointTensor& tensor : checkpoint.tensors()) {
    // A varint of one byte makes at most eight.
    if (tensor.bytes / 8 > file_bytes) std::abort();
    buffer.resize(tensor.bytes);
    ContentHasher hasher;
    checkpoint.ReadTensor(tensor, absl::MakeSpan(buffer), &hasher).IgnoreError();
  }
}

}  // namespace paramd

#endif  // PARAMD_TESTS_FUZZ_FUZZ_FILE_H_
