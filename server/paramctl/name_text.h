// Where a name points, as a line.
#ifndef PARAMD_SERVER_PARAMCTL_NAME_TEXT_H_
#define PARAMD_SERVER_PARAMCTL_NAME_TEXT_H_

#include <cstdio>
#include <string>

#include "proto/paramd/v1/admin.pb.h"
#include "runtime/base/strings.h"

namespace paramd {

// "default of digits is version 3, was version 2"
inline std::string NameText(const std::string& model, const v1::NameState& name) {
  const auto version = [](int64_t number) {
    return number == 0 ? std::string("nowhere") : StrCat("version ", number);
  };
  std::string text = StrCat(name.name(), " of ", model, " is ", version(name.version()));
  if (name.previous() != 0) StrAppend(&text, ", was ", version(name.previous()));
  return text;
}

inline void PrintName(const std::string& model, const v1::NameState& name) {
  std::puts(NameText(model, name).c_str());
}

}  // namespace paramd

#endif  // PARAMD_SERVER_PARAMCTL_NAME_TEXT_H_
