#include "runtime/graph/functions/own_functions.h"

namespace paramd {

std::vector<const OwnFunction*> AllOwnFunctions() {
  std::vector<const OwnFunction*> rows;
  for (const absl::Span<const OwnFunction> family :
       {MlLinearFunctions(), MlLabelFunctions(), MlTreeFunctions(), MlSupportVectorFunctions(),
        MicrosoftFunctions(), MicrosoftAttentionFunctions()}) {
    for (const OwnFunction& row : family) rows.push_back(&row);
  }
  return rows;
}

const OwnFunction* FindOwnFunction(std::string_view domain, std::string_view op, int64_t version) {
  static const std::vector<const OwnFunction*>& rows = *new auto(AllOwnFunctions());
  for (const OwnFunction* row : rows) {
    if (row->op == op && row->domain == domain && row->since <= version && version <= row->until) {
      return row;
    }
  }
  return nullptr;
}

}  // namespace paramd
