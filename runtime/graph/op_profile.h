// OpProfile: where the time of a session's runs goes, node by node.
//
// A node that runs others (If, Loop) is charged only with its own time.
//
// Life: given to Session::set_profile, and outlives the session's runs; lines
// are known by the address of a step or node, so a profile is of one model whose
// programs live as long. Thread-safety: the session's thread.
#ifndef PARAMD_RUNTIME_GRAPH_OP_PROFILE_H_
#define PARAMD_RUNTIME_GRAPH_OP_PROFILE_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "runtime/base/clock.h"
#include "runtime/tensor/dtype.h"

namespace paramd {

class OpProfile {
 public:
  struct Line {
    std::string node;            // The graph's name for it.
    std::string op;              // ONNX's operator; "reorder" for one that the compiler put in.
    std::string backend;         // "onednn", "reference"; "interpreter" for what runs by itself.
    std::string implementation;  // "brgconv:avx512_core", "plain loops"
    std::string spec;            // Types and shapes, where it has one set of them.
    DType dtype = DType::kUndefined;  // Of its first result.
    int64_t runs = 0;
    absl::Duration time;
  };

  explicit OpProfile(const Clock* clock) : clock_(clock) {}
  OpProfile(const OpProfile&) = delete;
  OpProfile& operator=(const OpProfile&) = delete;

  // One run of the step at `key`: `run` is called and timed, `describe` makes the
  // line when the key is seen first, after it ran.
  template <typename Run, typename Describe>
  auto Time(const void* key, Run&& run, Describe&& describe) -> decltype(run()) {
    const absl::Duration outer_inside = std::exchange(inside_, absl::ZeroDuration());
    const absl::Time begin = clock_->Now();
    auto result = run();
    const absl::Duration whole = clock_->Now() - begin;
    const auto [at, is_new] = lines_by_key_.try_emplace(key, lines_.size());
    if (is_new) lines_.push_back(describe());
    Line& line = lines_[at->second];
    ++line.runs;
    line.time += whole - inside_;
    inside_ = outer_inside + whole;
    return result;
  }

  // In the order in which they ran first.
  const std::vector<Line>& lines() const { return lines_; }

 private:
  const Clock* const clock_;
  absl::Duration inside_;  // Of the nodes that the current one has run.
  absl::flat_hash_map<const void*, size_t> lines_by_key_;
  std::vector<Line> lines_;
};

}  // namespace paramd

#endif  // PARAMD_RUNTIME_GRAPH_OP_PROFILE_H_
