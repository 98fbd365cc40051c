// What the tests of all readers share: opening a file and reading its tensors.
//
// Thread-safety: pure functions.
#ifndef PARAMD_TESTS_RUNTIME_CHECKPOINTS_CHECKPOINT_TESTING_H_
#define PARAMD_TESTS_RUNTIME_CHECKPOINTS_CHECKPOINT_TESTING_H_

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "runtime/base/directory.h"
#include "runtime/base/file_source.h"
#include "runtime/checkpoints/checkpoint.h"
#include "tests/support/status_testing.h"
#include "tests/support/temp_folder.h"

namespace paramd {

inline std::unique_ptr<FileSource> MustOpen(const std::string& path) {
  auto file = FileSource::Open(path);
  EXPECT_OK(file.status());
  return *std::move(file);
}

inline std::unique_ptr<Directory> MustOpenFolder(const std::string& path) {
  auto folder = Directory::Open(path);
  EXPECT_OK(folder.status());
  return *std::move(folder);
}

// The dense bytes, and the check that hashing on the way gives their digest.
inline absl::StatusOr<std::string> ReadBytes(const Checkpoint& checkpoint, std::string_view name) {
  const CheckpointTensor* tensor = checkpoint.Find(name);
  if (tensor == nullptr) return absl::NotFoundError("no such tensor");
  std::string bytes(tensor->bytes, '\0');
  const absl::Span<std::byte> span =
      absl::MakeSpan(reinterpret_cast<std::byte*>(bytes.data()), bytes.size());
  ContentHasher hasher;
  PARAMD_RETURN_IF_ERROR(checkpoint.ReadTensor(*tensor, span, &hasher));
  EXPECT_EQ(hasher.Finish(), DigestOf(span)) << tensor->name;
  return bytes;
}

}  // namespace paramd

#endif  // PARAMD_TESTS_RUNTIME_CHECKPOINTS_CHECKPOINT_TESTING_H_
