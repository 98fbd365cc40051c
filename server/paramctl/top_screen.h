// TopScreen: `paramctl top` in a terminal, drawn with FTXUI: rates, percentiles,
// bars of bytes, the versions in a table that is sorted and filtered, and one
// version's detail.
//
// Life: Run returns when the person leaves. Thread-safety: one thread calls Run; a
// thread of its own asks the daemon meanwhile.
#ifndef PARAMD_SERVER_PARAMCTL_TOP_SCREEN_H_
#define PARAMD_SERVER_PARAMCTL_TOP_SCREEN_H_

#include <string>

#include "absl/time/time.h"
#include "server/paramctl/top_view.h"

namespace paramd {

struct TopScreenOptions {
  std::string metrics_address;
  absl::Duration interval = absl::Seconds(1);
  double timeout_s = 30;
  TopSort sort = TopSort::kRate;
  std::string filter;
};

void RunTopScreen(const TopScreenOptions& options, TopReading first);

}  // namespace paramd

#endif  // PARAMD_SERVER_PARAMCTL_TOP_SCREEN_H_
