// StrCat over std::string_view, and bridges to absl::string_view.
//
// Debian builds Abseil so that absl::string_view is its own type. Our headers
// speak std::string_view, so this is the one place that converts.
//
// Thread-safety: pure functions.
#ifndef PARAMD_RUNTIME_BASE_STRINGS_H_
#define PARAMD_RUNTIME_BASE_STRINGS_H_

#include <string>
#include <string_view>
#include <type_traits>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace paramd {

inline absl::string_view ToAbsl(std::string_view text) { return {text.data(), text.size()}; }
inline std::string_view FromAbsl(absl::string_view text) { return {text.data(), text.size()}; }

template <typename T>
decltype(auto) StrCatPiece(const T& piece) {
  if constexpr (std::is_same_v<T, std::string_view>) {
    return ToAbsl(piece);
  } else {
    return (piece);
  }
}

// absl::StrCat that also takes std::string_view.
template <typename... Pieces>
std::string StrCat(const Pieces&... pieces) {
  return absl::StrCat(StrCatPiece(pieces)...);
}

template <typename... Pieces>
void StrAppend(std::string* target, const Pieces&... pieces) {
  absl::StrAppend(target, StrCatPiece(pieces)...);
}

}  // namespace paramd

#endif  // PARAMD_RUNTIME_BASE_STRINGS_H_
