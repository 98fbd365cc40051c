#include "server/paramctl/top_screen.h"

#include <algorithm>
#include <ftxui/component/component.hpp>
#include <ftxui/component/event.hpp>
#include <ftxui/component/screen_interactive.hpp>
#include <ftxui/dom/elements.hpp>
#include <functional>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "runtime/base/mutex.h"
#include "runtime/base/strings.h"
#include "server/paramctl/text_table.h"

namespace paramd {
namespace {

using ftxui::Color;
using ftxui::Element;
using ftxui::Elements;
using ftxui::Event;

// As on the page in the browser: orange waits, blue works. Every colour has its
// words beside it.
const Color kColors[] = {Color::Blue,       Color::Green,  Color::Magenta, Color::Yellow,
                         Color::RedLight,   Color::GrayDark, Color::GrayLight};

// Asks the daemon again and again on a thread of its own.
class Reader {
 public:
  Reader(const TopScreenOptions& options, TopReading first, std::function<void()> on_new)
      : options_(options),
        on_new_(std::move(on_new)),
        older_(first),
        newer_(std::move(first)),
        thread_([this] { Run(); }) {}
  ~Reader() {
    {
      MutexLock lock(&mutex_);
      stopping_ = true;
    }
    wake_.SignalAll();
    thread_.join();
  }

  TopView View() {
    MutexLock lock(&mutex_);
    return MakeTopView(newer_, older_);
  }
  // Empty while the daemon answers.
  std::string Lost() {
    MutexLock lock(&mutex_);
    return lost_;
  }
  void SetPaused(bool paused) {
    MutexLock lock(&mutex_);
    paused_ = paused;
  }

 private:
  void Run() {
    while (true) {
      bool paused = false;
      {
        MutexLock lock(&mutex_);
        const absl::Time next = absl::Now() + options_.interval;
        while (!stopping_ && absl::Now() < next) wake_.WaitUntil(&mutex_, next);
        if (stopping_) return;
        paused = paused_;
      }
      if (paused) continue;
      absl::StatusOr<TopReading> reading = ReadTop(options_.metrics_address, options_.timeout_s);
      {
        MutexLock lock(&mutex_);
        if (reading.ok()) {
          older_ = std::exchange(newer_, *std::move(reading));
          lost_.clear();
        } else {
          lost_ = std::string(reading.status().message());
        }
      }
      on_new_();
    }
  }

  const TopScreenOptions options_;
  const std::function<void()> on_new_;
  Mutex mutex_;
  CondVar wake_;
  TopReading older_ ABSL_GUARDED_BY(mutex_);
  TopReading newer_ ABSL_GUARDED_BY(mutex_);
  std::string lost_ ABSL_GUARDED_BY(mutex_);
  bool paused_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;  // Last: it uses all of the above.
};

Element Cell(const std::string& value, int width) {
  return ftxui::hbox({ftxui::filler(), ftxui::text(value)}) |
         ftxui::size(ftxui::WIDTH, ftxui::EQUAL, width);
}
Element Left(const std::string& value, int width) {
  return ftxui::text(value) | ftxui::size(ftxui::WIDTH, ftxui::EQUAL, width);
}
Element Figure(const std::string& title, const std::string& value) {
  return ftxui::vbox({ftxui::text(title) | ftxui::dim, ftxui::text(value) | ftxui::bold}) |
         ftxui::flex;
}

double Part(uint64_t bytes, uint64_t whole) {
  return whole > 0 ? static_cast<double>(bytes) / static_cast<double>(whole) : 0;
}

class TopScreen {
 public:
  TopScreen(const TopScreenOptions& options, TopReading first)
      : screen_(ftxui::ScreenInteractive::Fullscreen()),
        sort_(options.sort),
        filter_(options.filter),
        address_(options.metrics_address),
        reader_(options, std::move(first), [this] { screen_.PostEvent(Event::Custom); }) {}

  void Run() {
    const ftxui::Component view = ftxui::Renderer([this] { return Draw(); });
    screen_.Loop(ftxui::CatchEvent(view, [this](const Event& event) { return OnEvent(event); }));
  }

 private:
  bool OnEvent(const Event& event) {
    if (typing_) return OnFilterEvent(event);
    if (event == Event::Character('q') || event == Event::Character('\x03')) {
      screen_.Exit();
    } else if (event == Event::ArrowDown || event == Event::Character('j')) {
      ++selected_;
    } else if (event == Event::ArrowUp || event == Event::Character('k')) {
      selected_ = std::max(0, selected_ - 1);
    } else if (event == Event::Return) {
      detail_ = !detail_;
    } else if (event == Event::Escape) {
      detail_ = false;
      filter_.clear();
    } else if (event == Event::Character('s')) {
      const auto* const at = std::find(std::begin(kTopSorts), std::end(kTopSorts), sort_);
      sort_ = at + 1 == std::end(kTopSorts) ? kTopSorts[0] : at[1];
    } else if (event == Event::Character('/')) {
      typing_ = true;
    } else if (event == Event::Character('p')) {
      paused_ = !paused_;
      reader_.SetPaused(paused_);
    } else {
      return false;
    }
    return true;
  }

  bool OnFilterEvent(const Event& event) {
    if (event == Event::Return) {
      typing_ = false;
    } else if (event == Event::Escape) {
      typing_ = false;
      filter_.clear();
    } else if (event == Event::Backspace) {
      if (!filter_.empty()) filter_.pop_back();
    } else if (event.is_character()) {
      filter_ += event.character();
    } else {
      return false;
    }
    return true;
  }

  Element Draw() {
    TopView view = reader_.View();
    SortAndFilter(sort_, filter_, &view.versions);
    selected_ = std::clamp(selected_, 0, std::max(0, static_cast<int>(view.versions.size()) - 1));
    Elements lines = {DrawHead(view), DrawFigures(view), ftxui::separator(), DrawMemory(view),
                      ftxui::separator()};
    if (detail_ && !view.versions.empty()) {
      lines.push_back(DrawDetail(view.versions[static_cast<size_t>(selected_)]) | ftxui::flex);
    } else {
      lines.push_back(DrawVersions(view) | ftxui::flex);
    }
    lines.push_back(DrawKeys());
    return ftxui::vbox(std::move(lines));
  }

  Element DrawHead(const TopView& view) {
    const std::string lost = reader_.Lost();
    Element state = !lost.empty()  ? ftxui::text("LOST: " + lost) | ftxui::inverted
                    : view.ready ? ftxui::text("ready") | ftxui::color(Color::Green)
                                 : ftxui::text("not ready: " + view.not_ready) |
                                       ftxui::color(Color::RedLight);
    return ftxui::hbox(
        {ftxui::text(view.build.substr(0, view.build.find(" ("))) | ftxui::bold,
         ftxui::text("  " + address_ + "  ") | ftxui::dim, std::move(state), ftxui::filler(),
         ftxui::text(paused_ ? "PAUSED  " : ""),
         ftxui::text(StrCat(view.crashes, " crashes  ", view.quarantined, " quarantined  up ",
                            absl::FormatDuration(absl::Trunc(absl::Seconds(view.uptime_s),
                                                             absl::Seconds(1))))) |
             ftxui::dim});
  }

  static Element DrawFigures(const TopView& view) {
    const TopTraffic& traffic = view.traffic;
    const Element figures = ftxui::hbox(
        {Figure("requests/s", RateText(traffic.requests_per_second)),
         Figure("failed", ShareText(traffic.failed_share)),
         Figure("p50", MaybeSecondsText(traffic.p50)), Figure("p95", MaybeSecondsText(traffic.p95)),
         Figure("p99", MaybeSecondsText(traffic.p99)),
         Figure("rows/batch", traffic.batch_rows ? RateText(*traffic.batch_rows) : "-"),
         Figure("waiting", StrCat(traffic.waiting)),
         Figure("streams busy", ShareText(view.streams_busy_share)),
         Figure("CPU", absl::StrFormat("%.2f of %g", view.cpu_cores, view.cpu_budget)),
         Figure("throttled",
                view.throttled_share ? ShareText(*view.throttled_share) : std::string("-"))});
    Elements stages;
    for (const TopStage& stage : traffic.stages) {
      stages.push_back(
          ftxui::hbox({ftxui::text(stage.stage + " ") | ftxui::dim,
                       ftxui::text(StrCat(ShareText(stage.share), " ", MaybeSecondsText(stage.p99))),
                       ftxui::text("  ")}));
    }
    stages.insert(stages.begin(), ftxui::text("share and p99:  ") | ftxui::dim);
    return ftxui::vbox({figures, ftxui::hbox(std::move(stages))});
  }

  // A bar whose pieces add up to the process, and the words for the pieces.
  Element DrawMemory(const TopView& view) const {
    constexpr int kColumns = 60;
    Elements bar, words;
    double before = 0;
    int drawn = 0;
    for (size_t i = 0; i < view.memory.size(); ++i) {
      const TopBytes& part = view.memory[i];
      before += Part(part.bytes, view.memory_bytes) * kColumns;
      // Rounded where the piece ends, so that the pieces fill the bar.
      const int columns = std::max(0, static_cast<int>(before + 0.5) - drawn);
      drawn += columns;
      std::string blocks;
      for (int c = 0; c < columns; ++c) blocks += "\u2588";
      const Color& color = kColors[i % std::size(kColors)];
      bar.push_back(ftxui::text(blocks) | ftxui::color(color));
      if (part.bytes == 0) continue;
      words.push_back(ftxui::hbox({ftxui::text("\u2588 ") | ftxui::color(color),
                                   ftxui::text(part.what + " "),
                                   ftxui::text(BytesText(part.bytes)) | ftxui::bold,
                                   ftxui::text("   ")}));
    }
    bar.insert(bar.begin(), Left("memory", 10));
    bar.push_back(ftxui::text("  " + BytesText(view.memory_bytes)) | ftxui::bold);
    const double fill = Part(view.store_bytes, view.store_capacity_bytes);
    return ftxui::vbox(
        {ftxui::hbox(std::move(bar)), ftxui::hflow(std::move(words)),
         ftxui::hbox({Left("capacity", 10),
                      ftxui::gauge(static_cast<float>(fill)) |
                          ftxui::size(ftxui::WIDTH, ftxui::EQUAL, kColumns) |
                          ftxui::color(fill > 0.9 ? Color::RedLight : Color::Blue),
                      ftxui::text(StrCat("  ", BytesText(view.store_bytes), " of ",
                                         BytesText(view.store_capacity_bytes)))})});
  }

  Element DrawVersions(const TopView& view) const {
    uint64_t largest = 1;
    for (const TopVersion& version : view.versions) {
      largest = std::max(largest, version.parameter_bytes());
    }
    Elements rows = {ftxui::hbox({Left("MODEL", 22), Cell("VERSION", 8), Cell("REQ/S", 9),
                                  Cell("FAILED", 8), Cell("P50", 10), Cell("P99", 10),
                                  Cell("ROWS", 7), Cell("WAITING", 9), Cell("BYTES", 11),
                                  ftxui::text("  "), Left("", 10), ftxui::text("  "),
                                  ftxui::text("STATE, NAMES")}) |
                     ftxui::dim};
    for (size_t i = 0; i < view.versions.size(); ++i) {
      const TopVersion& version = view.versions[i];
      const TopTraffic& traffic = version.traffic;
      Element row = ftxui::hbox(
          {Left(version.model, 22), Cell(version.version == 0 ? "" : StrCat(version.version), 8),
           Cell(RateText(traffic.requests_per_second), 9), Cell(ShareText(traffic.failed_share), 8),
           Cell(MaybeSecondsText(traffic.p50), 10), Cell(MaybeSecondsText(traffic.p99), 10),
           Cell(traffic.batch_rows ? RateText(*traffic.batch_rows) : "-", 7),
           Cell(StrCat(traffic.waiting), 9), Cell(BytesText(version.parameter_bytes()), 11),
           ftxui::text("  "),
           ftxui::gauge(static_cast<float>(Part(version.parameter_bytes(), largest))) |
               ftxui::size(ftxui::WIDTH, ftxui::EQUAL, 10) | ftxui::color(Color::Blue),
           ftxui::text("  "), DrawState(version)});
      if (static_cast<int>(i) == selected_) row = row | ftxui::inverted | ftxui::focus;
      rows.push_back(std::move(row));
    }
    if (view.versions.empty()) rows.push_back(ftxui::text("no model") | ftxui::dim);
    return ftxui::vbox(std::move(rows)) | ftxui::yframe;
  }

  static Element DrawState(const TopVersion& version) {
    Element state = ftxui::text(TopStateText(version));
    if (version.state == "failed") state = state | ftxui::color(Color::RedLight);
    return ftxui::hbox({std::move(state), ftxui::text("  " + version.names) | ftxui::bold});
  }

  static Element DrawDetail(const TopVersion& version) {
    const auto line = [](const std::string& what, const std::string& value) {
      return ftxui::hbox({Left(what, 16) | ftxui::dim, ftxui::text(value)});
    };
    Elements lines = {
        ftxui::text(StrCat(version.model, " version ", version.version)) | ftxui::bold,
        line("state", TopStateText(version)),
        line("names", version.names),
        line("generation", version.generation),
        line("weights id", version.weights_id),
        line("weights", WithThousands(version.weights)),
        line("biases", WithThousands(version.biases)),
        line("bytes", StrCat(BytesText(version.unique_bytes), " of its own, ",
                             BytesText(version.shared_bytes), " shared; ",
                             BytesText(version.packed_bytes), " packed; arena ",
                             BytesText(version.arena_bytes))),
        ftxui::text(""),
        ftxui::hbox({Left("STAGE", 16), Cell("SHARE", 8), Cell("MEAN", 11), Cell("P50", 11),
                     Cell("P95", 11), Cell("P99", 11)}) |
            ftxui::dim};
    for (const TopStage& stage : version.traffic.stages) {
      lines.push_back(ftxui::hbox(
          {Left(stage.stage, 16), Cell(ShareText(stage.share), 8),
           Cell(MaybeSecondsText(stage.mean), 11), Cell(MaybeSecondsText(stage.p50), 11),
           Cell(MaybeSecondsText(stage.p95), 11), Cell(MaybeSecondsText(stage.p99), 11),
           ftxui::text("  "),
           ftxui::gauge(static_cast<float>(stage.share)) |
               ftxui::size(ftxui::WIDTH, ftxui::EQUAL, 20) | ftxui::color(Color::Blue)}));
    }
    return ftxui::vbox(std::move(lines));
  }

  Element DrawKeys() const {
    const std::string filter =
        typing_ ? StrCat("filter: ", filter_, "_")
                : filter_.empty() ? "/ filter" : StrCat("/ filter: ", filter_);
    return ftxui::text(StrCat("q quit   s sort: ", TopSortName(sort_), "   ", filter,
                              "   up, down, Enter one version   Esc back   p pause")) |
           ftxui::dim;
  }

  ftxui::ScreenInteractive screen_;
  TopSort sort_;
  std::string filter_;
  const std::string address_;
  int selected_ = 0;
  bool detail_ = false;
  bool typing_ = false;
  bool paused_ = false;
  Reader reader_;  // Last: posts events to the screen.
};

}  // namespace

void RunTopScreen(const TopScreenOptions& options, TopReading first) {
  TopScreen(options, std::move(first)).Run();
}

}  // namespace paramd
