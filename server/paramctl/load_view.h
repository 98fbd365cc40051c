// LoadView: how far a load is, on standard error: one line that is written over
// on a terminal, else a line whenever the state or the stage changes and at every
// tenth of the bytes, as logs like it.
//
// Life: one a load; End finishes the line. Thread-safety: one thread.
#ifndef PARAMD_SERVER_PARAMCTL_LOAD_VIEW_H_
#define PARAMD_SERVER_PARAMCTL_LOAD_VIEW_H_

#include <cstdint>
#include <cstdio>
#include <map>
#include <string>

#include "proto/paramd/v1/admin.pb.h"

namespace paramd {

struct LoadViewOptions {
  std::string model;
  bool terminal = false;
  int columns = 80;
  std::FILE* file = stderr;
};

class LoadView {
 public:
  explicit LoadView(LoadViewOptions options) : options_(std::move(options)) {}

  void Show(const v1::LoadProgress& progress);
  void End();

 private:
  struct Version {
    std::string stage;  // State and stage.
    double stage_began = 0;
    double seconds = 0;  // Of the newest progress: when the next stage begins.
    uint64_t tenths_written = 0;
  };
  LoadViewOptions options_;
  std::map<int64_t, Version> versions_;
  bool line_open_ = false;
};

// "digits 3  parameters  [########            ]  40%  97.6 MB of 243.9 MB  310.2 MB/s",
// cut to `columns`. The rate is that of the stage, which began when the load was
// `stage_began` seconds old. Pure.
std::string LoadBar(const std::string& model, const v1::LoadProgress& progress, double stage_began,
                    int columns);
// The same as a plain line.
std::string LoadLine(const std::string& model, const v1::LoadProgress& progress,
                     double stage_began);

}  // namespace paramd

#endif  // PARAMD_SERVER_PARAMCTL_LOAD_VIEW_H_
