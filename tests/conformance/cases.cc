#include "tests/conformance/cases.h"

#include <iterator>
#include <utility>

#include "runtime/base/strings.h"

namespace paramd::conformance {

void AddCases(std::vector<Case>* cases, std::string_view name, const CaseOptions& options,
              const std::function<OpSpec(DType)>& make) {
  for (DType dtype : options.dtypes) {
    cases->push_back({.name = StrCat(name, "/", DTypeName(dtype)),
                      .spec = make(dtype),
                      .data = options.data,
                      .index_range = options.index_range,
                      .onednn_must_take = options.onednn_must_take && dtype == DType::kF32});
  }
}

std::vector<Case> AllCases() {
  std::vector<Case> all;
  for (auto* family : {&WindowCases, &MatMulCases, &AttentionCases, &ElementwiseCases, &RowCases,
                       &MovementCases}) {
    std::vector<Case> cases = (*family)();
    all.insert(all.end(), std::make_move_iterator(cases.begin()),
               std::make_move_iterator(cases.end()));
  }
  return all;
}

}  // namespace paramd::conformance
