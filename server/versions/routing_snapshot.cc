#include "server/versions/routing_snapshot.h"

#include <thread>
#include <utility>

#include "absl/strings/str_join.h"
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

absl::StatusOr<ModelHandle> RoutingSnapshot::Find(std::string_view model,
                                                  const VersionChoice& choice) const {
  const auto found = models_.find(ToAbsl(model));
  if (found == models_.end()) {
    return absl::NotFoundError(StrCat("there is no model ", Quoted(model)));
  }
  const Routes& routes = found->second;
  if (!choice.number && !choice.label.empty() && choice.label != kDefaultLabel) {
    return absl::NotFoundError(StrCat("model '", routes.model, "' has no label ",
                                      Quoted(choice.label), "; it has 'default'"));
  }
  if (routes.serving.empty()) {
    if (routes.coming) {
      return absl::UnavailableError(
          StrCat("model '", routes.model, "' is being loaded; try again later"));
    }
    return absl::NotFoundError(
        StrCat("no version of model '", routes.model, "' serves; its state says why"));
  }
  const int64_t number = choice.number.value_or(routes.default_number);
  // From the end: a model has few versions, and the newest get the requests.
  for (auto handle = routes.serving.rbegin(); handle != routes.serving.rend(); ++handle) {
    if ((*handle)->id().number == number) return *handle;
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
