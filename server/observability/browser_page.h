// BrowserPage: what / of the metrics port answers: one HTML file without a
// framework, compiled in, which asks nobody but the daemon it came from.
//
// The sources are page/page.html, page.css and the scripts beside them; CMake puts
// them together. The policy names the hash of the one style and the one script, so
// a browser runs nothing else, whatever gets into the numbers.
//
// Life: the page is there as long as the process. Thread-safety: thread-safe.
#ifndef PARAMD_SERVER_OBSERVABILITY_BROWSER_PAGE_H_
#define PARAMD_SERVER_OBSERVABILITY_BROWSER_PAGE_H_

#include <string>
#include <string_view>

namespace paramd {

struct BrowserPage {
  std::string_view html;
  std::string content_security_policy;  // The header's value.
};

const BrowserPage& TheBrowserPage();

}  // namespace paramd

#endif  // PARAMD_SERVER_OBSERVABILITY_BROWSER_PAGE_H_
