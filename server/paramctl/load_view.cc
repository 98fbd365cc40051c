#include "server/paramctl/load_view.h"

#include <algorithm>

#include "absl/strings/str_format.h"
#include "runtime/base/strings.h"
#include "server/paramctl/model_text.h"
#include "server/paramctl/text_table.h"

namespace paramd {
namespace {

constexpr int kBarColumns = 20;

// In percent, where the total is known.
uint64_t Percent(const v1::LoadProgress& progress) {
  if (progress.bytes_total() == 0) return 0;
  const double share =
      static_cast<double>(progress.bytes_done()) / static_cast<double>(progress.bytes_total());
  return static_cast<uint64_t>(std::clamp(share, 0.0, 1.0) * 100);
}

std::string StageText(const v1::LoadProgress& progress) {
  return progress.stage().empty() ? StateText(progress.state()) : progress.stage();
}

std::string Bytes(const v1::LoadProgress& progress) {
  if (progress.bytes_total() == 0) return "";
  return StrCat(BytesText(progress.bytes_done()), " of ", BytesText(progress.bytes_total()));
}

std::string Rate(const v1::LoadProgress& progress, double stage_began) {
  const double seconds = progress.seconds() - stage_began;
  if (progress.bytes_done() == 0 || seconds <= 0) return "";
  const double rate = static_cast<double>(progress.bytes_done()) / seconds;
  return StrCat(BytesText(static_cast<uint64_t>(rate)), "/s");
}

}  // namespace

std::string LoadBar(const std::string& model, const v1::LoadProgress& progress, double stage_began,
                    int columns) {
  std::string line =
      StrCat(model, " ", progress.version(), "  ", absl::StrFormat("%-12s", StageText(progress)));
  if (progress.bytes_total() != 0) {
    const uint64_t percent = Percent(progress);
    const auto full = static_cast<size_t>(percent * kBarColumns / 100);
    StrAppend(&line, "[", std::string(full, '#'), std::string(kBarColumns - full, ' '), "] ",
              absl::StrFormat("%3u%%", static_cast<unsigned>(percent)), "  ", Bytes(progress));
  }
  if (const std::string rate = Rate(progress, stage_began); !rate.empty())
    StrAppend(&line, "  ", rate);
  if (columns > 0 && line.size() > static_cast<size_t>(columns)) {
    line.resize(static_cast<size_t>(columns));
  }
  return line;
}

std::string LoadLine(const std::string& model, const v1::LoadProgress& progress,
                     double stage_began) {
  std::string line =
      StrCat(model, " version ", progress.version(), ": ", StateText(progress.state()));
  if (!progress.stage().empty() && progress.stage() != StateText(progress.state())) {
    StrAppend(&line, ", ", progress.stage());
  }
  if (const std::string bytes = Bytes(progress); !bytes.empty()) StrAppend(&line, ", ", bytes);
  if (const std::string rate = Rate(progress, stage_began); !rate.empty())
    StrAppend(&line, ", ", rate);
  return StrCat(line, ", ", absl::StrFormat("%.1f s", progress.seconds()));
}

void LoadView::Show(const v1::LoadProgress& progress) {
  const auto [known, first] = versions_.try_emplace(progress.version());
  Version& version = known->second;
  std::string stage = StrCat(progress.state(), " ", progress.stage());
  const bool new_stage = first || version.stage != stage;
  if (new_stage) version = {.stage = std::move(stage), .stage_began = first ? 0 : version.seconds};
  version.seconds = progress.seconds();
  if (options_.terminal) {
    // One column is left free: writing into the last one may wrap.
    const std::string bar =
        LoadBar(options_.model, progress, version.stage_began, options_.columns - 1);
    std::fprintf(options_.file, "\r%s\x1b[K", bar.c_str());
    std::fflush(options_.file);
    line_open_ = true;
    return;
  }
  const uint64_t tenths = Percent(progress) / 10;
  if (!new_stage && version.tenths_written == tenths) return;
  version.tenths_written = tenths;
  std::fprintf(options_.file, "%s\n",
               LoadLine(options_.model, progress, version.stage_began).c_str());
}

void LoadView::End() {
  if (line_open_) std::fputs("\n", options_.file);
  line_open_ = false;
}

}  // namespace paramd
