// TextTable: rows of cells in aligned columns, and numbers as people read them.
//
// Thread-safety: values and pure functions.
#ifndef PARAMD_SERVER_PARAMCTL_TEXT_TABLE_H_
#define PARAMD_SERVER_PARAMCTL_TEXT_TABLE_H_

#include <cstdint>
#include <string>
#include <vector>

namespace paramd {

class TextTable {
 public:
  // Columns whose title ends in '>' are aligned to the right (and lose the '>').
  explicit TextTable(std::vector<std::string> titles);
  void Add(std::vector<std::string> cells);
  std::string ToString() const;

 private:
  std::vector<bool> right_;
  std::vector<std::vector<std::string>> rows_;  // The first holds the titles.
};

std::string WithThousands(uint64_t number);  // "60,965,224"
std::string BytesText(uint64_t bytes);       // "243.9 MB": powers of 1000.
std::string SecondsText(double seconds);     // "1.25 ms"

}  // namespace paramd

#endif  // PARAMD_SERVER_PARAMCTL_TEXT_TABLE_H_
