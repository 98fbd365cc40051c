// WorkTrail: is told what a thread is about to do with which version, so that a
// crash can be blamed on the version that caused it.
//
// Thread-safety: thread-safe; Loading and Running speak of the calling thread,
// take no lock and allocate nothing.
#ifndef PARAMD_SERVER_BATCHING_WORK_TRAIL_H_
#define PARAMD_SERVER_BATCHING_WORK_TRAIL_H_

#include <cstdint>
#include <string>
#include <string_view>

namespace paramd {

class WorkTrail {
 public:
  virtual ~WorkTrail() = default;

  // Gives the version a number before it is loaded; 0 when it gets none. With
  // another revision it is another version: what its old files did says nothing.
  virtual uint32_t Name(const std::string& model, int64_t version, std::string_view revision) = 0;

  // 0: nothing any more.
  virtual void Loading(uint32_t number) = 0;
  virtual void Running(uint32_t number) = 0;
};

}  // namespace paramd

#endif  // PARAMD_SERVER_BATCHING_WORK_TRAIL_H_
