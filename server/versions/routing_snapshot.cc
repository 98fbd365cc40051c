#include "server/versions/routing_snapshot.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "absl/strings/str_join.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"

namespace paramd {
namespace {

constexpr std::string_view kDefaultLabel = "default";

// Names from the wire go into messages cut short: they may be of any length.
std::string Quoted(std::string_view name) {
  constexpr size_t kShownMax = 64;
  if (name.size() <= kShownMax) return StrCat("'", name, "'");
  return StrCat("'", name.substr(0, kShownMax), "...'");
}

std::string Serving(const RoutingSnapshot::Routes& routes) {
  if (routes.serving.empty()) return "none serves";
  return StrCat("serving: ", absl::StrJoin(routes.serving, ", ",
                                           [](std::string* out, const ModelHandle& handle) {
                                             StrAppend(out, handle->id().number);
                                           }));
}

std::string Labels(const RoutingSnapshot::Routes& routes) {
  std::string text = "'default'";
  for (const auto& [name, number] : routes.names) StrAppend(&text, ", '", name, "'");
  return text;
}

bool Has(const std::vector<int64_t>& numbers, int64_t number) {
  return std::find(numbers.begin(), numbers.end(), number) != numbers.end();
}

// A thread keeps its line, so that readers on different cores do not share one.
size_t ReaderLineOfThread() {
  static std::atomic<size_t> next{0};
  thread_local const size_t line = next.fetch_add(1, std::memory_order_relaxed);
  return line;
}

}  // namespace

RoutingSnapshot::RoutingSnapshot(std::vector<Routes> models) {
  for (Routes& routes : models) {
    std::string name = routes.model;
    models_.emplace(std::move(name), std::move(routes));
  }
}

absl::StatusOr<int64_t> RoutingSnapshot::NumberOf(const Routes& routes,
                                                  const VersionChoice& choice) {
  if (choice.number) return *choice.number;
  if (choice.label.empty() || choice.label == kDefaultLabel) {
    if (routes.default_number != 0) return routes.default_number;
    if (routes.default_coming || routes.coming) {
      return absl::UnavailableError(
          StrCat("model '", routes.model, "' is being loaded; try again later"));
    }
    return absl::NotFoundError(
        StrCat("no version of model '", routes.model, "' serves; its state says why"));
  }
  for (const auto& [name, number] : routes.names) {
    if (name == choice.label) return number;
  }
  return absl::NotFoundError(StrCat("model '", routes.model, "' has no label ",
                                    Quoted(choice.label), "; it has ", Labels(routes)));
}

absl::StatusOr<ModelHandle> RoutingSnapshot::Find(std::string_view model,
                                                  const VersionChoice& choice) const {
  const auto found = models_.find(ToAbsl(model));
  if (found == models_.end()) {
    return absl::NotFoundError(StrCat("there is no model ", Quoted(model)));
  }
  const Routes& routes = found->second;
  PARAMD_ASSIGN_OR_RETURN(const int64_t number, NumberOf(routes, choice));
  // From the end: a model has few versions, and the newest get the requests.
  for (auto handle = routes.serving.rbegin(); handle != routes.serving.rend(); ++handle) {
    if ((*handle)->id().number == number) return *handle;
  }
  // Which of them was meant, for whoever wrote a label.
  const std::string subject =
      choice.number || choice.label.empty()
          ? StrCat("version ", number)
          : StrCat("version ", number, ", which label ", Quoted(choice.label), " points at,");
  if (Has(routes.coming_numbers, number)) {
    return absl::UnavailableError(
        StrCat(subject, " of model '", routes.model, "' is being loaded; try again later"));
  }
  if (!choice.number) {
    return absl::NotFoundError(
        StrCat(subject, " of model '", routes.model, "' does not serve; ", Serving(routes)));
  }
  return absl::NotFoundError(
      StrCat("model '", routes.model, "' has no version ", number, "; ", Serving(routes)));
}

RoutingTable::RoutingTable() : current_(new RoutingSnapshot) {}

RoutingTable::~RoutingTable() { delete current_.load(); }

absl::StatusOr<ModelHandle> RoutingTable::Find(std::string_view model,
                                               const VersionChoice& choice) const {
  ReaderLine& line = readers_[ReaderLineOfThread() % kReaderLines];
  std::atomic<uint32_t>& inside = line.inside[phase_.load(std::memory_order_relaxed)];
  // Sequentially consistent, as Publish's exchange: either this reader sees the
  // new snapshot, or Publish sees this reader inside.
  inside.fetch_add(1, std::memory_order_seq_cst);
  const RoutingSnapshot* const snapshot = current_.load(std::memory_order_seq_cst);
  absl::StatusOr<ModelHandle> found = snapshot->Find(model, choice);
  inside.fetch_sub(1, std::memory_order_release);
  return found;
}

void RoutingTable::WaitUntilLeft(uint32_t phase) const {
  for (const ReaderLine& line : readers_) {
    // A reader is inside for well under a microsecond, unless it loses its core:
    // then this thread should give its own away.
    while (line.inside[phase].load(std::memory_order_seq_cst) != 0) std::this_thread::yield();
  }
}

void RoutingTable::Publish(std::unique_ptr<const RoutingSnapshot> next) {
  const RoutingSnapshot* const old = current_.exchange(next.release(), std::memory_order_seq_cst);
  // Whoever may have seen the old snapshot is counted in one of the phases by
  // now. Each is emptied while newcomers count in the other.
  for (const uint32_t newcomers : {1u, 0u}) {
    phase_.store(newcomers, std::memory_order_seq_cst);
    WaitUntilLeft(1 - newcomers);
  }
  delete old;
}

}  // namespace paramd
