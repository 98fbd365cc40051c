// TempFolder: a folder of its own for one test, gone with everything in it at
// the end of the test.
//
// Thread-safety: belongs to one thread.
#ifndef PARAMD_TESTS_SUPPORT_TEMP_FOLDER_H_
#define PARAMD_TESTS_SUPPORT_TEMP_FOLDER_H_

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <system_error>

namespace paramd {

class TempFolder {
 public:
  TempFolder() : path_(::testing::TempDir() + "paramd_test_XXXXXX") {
    if (mkdtemp(path_.data()) == nullptr) {
      ADD_FAILURE() << "no temporary folder: " << path_;
      std::abort();
    }
  }
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  const std::string& path() const { return path_; }
  std::string path(std::string_view relative) const { return path_ + "/" + std::string(relative); }

  // Makes the folders above it as well. Returns the file's path.
  std::string Write(std::string_view relative, std::string_view content) const {
    const std::filesystem::path file = path(relative);
    std::filesystem::create_directories(file.parent_path());
    std::ofstream out(file, std::ios::binary | std::ios::trunc);
    out.write(content.data(), static_cast<std::streamsize>(content.size()));
    EXPECT_TRUE(out.good()) << file;
    return file.string();
  }
  void MakeFolder(std::string_view relative) const {
    std::filesystem::create_directories(path(relative));
  }
  // `target` as it shall stand in the link.
  void Link(std::string_view target, std::string_view relative) const {
    const std::filesystem::path link = path(relative);
    std::filesystem::create_directories(link.parent_path());
    std::filesystem::create_symlink(std::string(target), link);
  }

 private:
  std::string path_;
};

}  // namespace paramd

#endif  // PARAMD_TESTS_SUPPORT_TEMP_FOLDER_H_
