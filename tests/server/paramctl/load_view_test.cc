#include "server/paramctl/load_view.h"

#include <cstdio>
#include <string>

#include "tests/support/status_testing.h"

namespace paramd {
namespace {

v1::LoadProgress Progress(const std::string& stage, uint64_t done, uint64_t total, double seconds) {
  v1::LoadProgress progress;
  progress.set_version(3);
  progress.set_state(v1::VERSION_STATE_LOADING);
  progress.set_stage(stage);
  progress.set_bytes_done(done);
  progress.set_bytes_total(total);
  progress.set_seconds(seconds);
  return progress;
}

// What a view writes to a file.
class Screen {
 public:
  Screen() : file_(std::tmpfile()) {}
  ~Screen() { std::fclose(file_); }
  std::FILE* file() const { return file_; }
  std::string Text() const {
    std::string text(static_cast<size_t>(std::ftell(file_)), '\0');
    std::rewind(file_);
    text.resize(std::fread(text.data(), 1, text.size(), file_));
    return text;
  }

 private:
  std::FILE* const file_;
};

TEST(LoadBar, HasBytesRateAndStage) {
  EXPECT_EQ(LoadBar("alexnet", Progress("parameters", 97'560'000, 243'900'000, 0.5), 0.2, 120),
            "alexnet 3  parameters  [########            ]  40%  97.6 MB of 243.9 MB  325.2 MB/s");
  EXPECT_EQ(LoadBar("alexnet", Progress("", 0, 0, 0), 0, 120), "alexnet 3  loading     ");
}

TEST(LoadBar, StaysWithinItsColumnsAndItsPercent) {
  EXPECT_EQ(LoadBar("alexnet", Progress("parameters", 1, 2, 1), 0, 10).size(), 10u);
  // A total that was estimated too low.
  EXPECT_THAT(LoadBar("alexnet", Progress("parameters", 300, 200, 1), 0, 120),
              ::testing::HasSubstr("[####################] 100%"));
}

TEST(LoadView, WritesOverOneLineOnATerminal) {
  const Screen screen;
  LoadView view({.model = "a", .terminal = true, .columns = 100, .file = screen.file()});
  view.Show(Progress("parameters", 1, 4, 1));
  view.Show(Progress("parameters", 2, 4, 1));
  view.End();
  view.End();
  EXPECT_EQ(screen.Text(),
            "\ra 3  parameters  [#####               ]  25%  1 B of 4 B  1 B/s\x1b[K"
            "\ra 3  parameters  [##########          ]  50%  2 B of 4 B  2 B/s\x1b[K\n");
}

TEST(LoadView, WritesALineForEachStageAndEachTenthOtherwise) {
  const Screen screen;
  LoadView view({.model = "a", .file = screen.file()});
  for (uint64_t done = 0; done <= 100; ++done) view.Show(Progress("parameters", done, 100, 1));
  view.Show(Progress("warm-up", 100, 100, 2));
  view.Show(Progress("warm-up", 100, 100, 3));
  view.End();
  const std::string text = screen.Text();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 12);
  EXPECT_THAT(
      text, ::testing::EndsWith("a version 3: loading, warm-up, 100 B of 100 B, 100 B/s, 2.0 s\n"));
}

}  // namespace
}  // namespace paramd
