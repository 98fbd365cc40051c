#include "server/observability/browser_page.h"

#include <openssl/sha.h>

#include "absl/log/check.h"
#include "absl/strings/escaping.h"
#include "runtime/base/strings.h"

namespace paramd {

// Of browser_page_html.cc, which CMake writes.
extern const std::string_view kBrowserPageHtml;

namespace {

// 'sha256-...' of what stands between the page's only <tag> and </tag>.
std::string HashOfElement(std::string_view html, std::string_view tag) {
  const std::string opening = StrCat("<", tag, ">");
  const std::string closing = StrCat("</", tag, ">");
  const size_t begin = html.find(opening);
  const size_t end = html.find(closing);
  CHECK(begin != std::string_view::npos && end != std::string_view::npos) << opening;
  const std::string_view text =
      html.substr(begin + opening.size(), end - begin - opening.size());
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest);
  return StrCat("'sha256-",
                absl::Base64Escape(absl::string_view(reinterpret_cast<const char*>(digest),
                                                     sizeof(digest))),
                "'");
}

}  // namespace

const BrowserPage& TheBrowserPage() {
  static const BrowserPage page = {
      .html = kBrowserPageHtml,
      .content_security_policy =
          StrCat("default-src 'none'; script-src ", HashOfElement(kBrowserPageHtml, "script"),
                 "; style-src ", HashOfElement(kBrowserPageHtml, "style"),
                 "; img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
                 "frame-ancestors 'none'")};
  return page;
}

}  // namespace paramd
