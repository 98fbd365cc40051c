#include "runtime/backends/reference/named_ops.h"

#include <map>

namespace paramd::reference {
namespace {

const std::map<std::string_view, const NamedOp*>& Table() {
  static const auto& table = *[] {
    auto* rows = new std::map<std::string_view, const NamedOp*>;
    for (const absl::Span<const NamedOp> family :
         {NamedElementwise(), NamedIndexing(), NamedSelection(), NamedResampling(), NamedWindow(),
          NamedQuantized(), NamedIntegerProducts(), NamedRecurrent(), NamedNormalization(),
          NamedSignal(), NamedDynamic(), NamedMl(), NamedRandom(), NamedDeformConv()}) {
      for (const NamedOp& row : family) (*rows)[row.op] = &row;
    }
    return rows;
  }();
  return table;
}

}  // namespace

absl::StatusOr<KernelPlan> CompileKernel(const OpSpec& spec, const NamedParams& params) {
  const auto it = Table().find(params.op);
  if (it == Table().end()) return absl::UnimplementedError(StrCat("no ", params.op));
  const NamedOp& row = *it->second;
  const auto inputs = static_cast<int>(spec.inputs.size());
  if (inputs < row.inputs_min || inputs > row.inputs_max ||
      static_cast<int>(params.ints.size()) < row.ints_min) {
    return absl::InvalidArgumentError(
        StrCat(params.op, " has ", inputs, " inputs and ", params.ints.size(), " ints"));
  }
  for (int i = 0; i < row.inputs_min; ++i) {
    if (!HasIn(spec, i)) {
      return absl::InvalidArgumentError(StrCat(params.op, " lacks input ", i));
    }
  }
  // Of several results some may be left out, of one none.
  if (spec.outputs.size() == 1 && !HasOut(spec, 0)) {
    return absl::InvalidArgumentError(StrCat(params.op, " has no result"));
  }
  return row.compile(spec, params);
}

}  // namespace paramd::reference
