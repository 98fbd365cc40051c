// Label files: what they may hold, and that a hostile one is an error which names it.
#include "server/output_labels.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>

#include "tests/support/status_testing.h"
#include "tests/support/temp_folder.h"

namespace paramd {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(OutputLabels, AreLinesWithoutWhatEndsThem) {
  EXPECT_THAT(*ParseLabels(""), IsEmpty());
  EXPECT_THAT(*ParseLabels("cat\ndog"), ElementsAre("cat", "dog"));
  EXPECT_THAT(*ParseLabels("cat\r\n\r\na: b \n"), ElementsAre("cat", "", "a: b "));
  EXPECT_OK(ParseLabels("1\n2\n3\n", 3).status());
  EXPECT_THAT(ParseLabels("1\n2\n3\n4", 3).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("more than 3 labels")));
}

class ReadLabelsTest : public testing::Test {
 protected:
  absl::Status Read(const std::string& file) {
    config_.outputs = {{"scores", DType::kF32, {3}}, {"classes", DType::kF32, {3}}};
    config_.outputs[1].label_filename = file;
    auto repository = Directory::Open(folder_.path("repository"));
    if (!repository.ok()) return repository.status();
    return ReadLabels(**repository, "m", &config_);
  }

  TempFolder folder_;
  ModelConfig config_;
};

TEST_F(ReadLabelsTest, FillsInTheOutputThatNamesTheFile) {
  folder_.Write("repository/m/labels.txt", "zero\none\n");
  ASSERT_OK(Read("labels.txt"));
  EXPECT_THAT(config_.outputs[0].labels, IsEmpty());
  EXPECT_THAT(config_.outputs[1].labels, ElementsAre("zero", "one"));
}

TEST_F(ReadLabelsTest, SaysWhichFileCannotBeRead) {
  folder_.Write("repository/m/1/model.onnx", "");
  const std::string outside = folder_.Write("secret.txt", "secret");
  std::filesystem::create_symlink(outside, folder_.path("repository/m/absolute"));
  std::filesystem::create_symlink("../../secret.txt", folder_.path("repository/m/above"));
  std::filesystem::create_directory(folder_.path("repository/m/folder"));
  folder_.Write("repository/m/large", std::string(kLabelBytesMax + 1, 'a'));
  folder_.Write("repository/m/lines", std::string(kLabelsMax + 1, '\n'));
  for (const std::string file : {"missing", "absolute", "above", "folder", "large", "lines"}) {
    const absl::Status status = Read(file);
    EXPECT_FALSE(status.ok()) << file;
    EXPECT_THAT(std::string(status.message()),
                AllOf(HasSubstr("labels of output 'classes' in m/" + file),
                      testing::Not(HasSubstr("secret"))));
    EXPECT_THAT(config_.outputs[1].labels, IsEmpty());
  }
}

TEST_F(ReadLabelsTest, OutputsShareTheLimit) {
  folder_.Write("repository/m/half", std::string(kLabelBytesMax / 2 + 1, 'a'));
  ASSERT_OK(Read("half"));
  config_.outputs[0].label_filename = "half";
  ASSERT_OK_AND_ASSIGN(const auto repository, Directory::Open(folder_.path("repository")));
  EXPECT_THAT(ReadLabels(*repository, "m", &config_),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("the limit is")));
}

}  // namespace
}  // namespace paramd
