#include "runtime/loading/form_plan.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "absl/strings/str_format.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/params/sealed_memory.h"

namespace paramd {
namespace {

// Constants derived from derived ones beyond this are refused.
constexpr int kDerivationDepthMax = 32;
// The layout of our keys for packed forms; another meaning, another number.
constexpr uint32_t kPackVersion = 1;

const Derivation* DerivationOf(const Constant& constant) {
  return std::get_if<Derivation>(&constant.source);
}

const Tensor* HeldBy(const Constant& constant) {
  const auto* held = std::get_if<std::shared_ptr<const Tensor>>(&constant.source);
  return held == nullptr ? nullptr : held->get();
}

class Planner {
 public:
  Planner(const Checkpoint& checkpoint, const GraphPlan& graph_plan)
      : checkpoint_(checkpoint), graph_plan_(graph_plan) {}

  absl::StatusOr<FormPlan> Plan() {
    for (size_t i = 0; i < checkpoint_.tensors().size(); ++i) {
      const uint64_t bytes = checkpoint_.tensors()[i].bytes;
      plan_.sources.push_back({static_cast<int32_t>(i), nullptr, bytes});
      plan_.read_bytes += bytes;
      if (bytes < kSmallBytes) plan_.small_bytes += bytes;
    }
    const ParameterForms& forms = graph_plan_.forms();
    for (size_t i = 0; i < forms.forms().size(); ++i) {
      PARAMD_RETURN_IF_ERROR(AddForm(static_cast<FormId>(i), forms.forms()[i]));
    }
    MakeGroups();
    return std::move(plan_);
  }

 private:
  bool IsLarge(int32_t source) const {
    return plan_.sources[static_cast<size_t>(source)].bytes >= kSmallBytes;
  }

  absl::Status AddForm(FormId id, const ParameterForm& form) {
    const Constant& constant = form.graph->constant(form.constant);
    PlannedForm planned;
    planned.id = id;
    PARAMD_RETURN_IF_ERROR(AddSources(*form.graph, form.constant, 0, &planned.sources));
    std::sort(planned.sources.begin(), planned.sources.end());
    planned.sources.erase(std::unique(planned.sources.begin(), planned.sources.end()),
                          planned.sources.end());
    PARAMD_ASSIGN_OR_RETURN(planned.bytes, CheckedBytes(constant.dtype, constant.shape.dims()));
    if (!form.layout.plain()) planned.bytes = form.layout.bytes;
    planned.small = planned.bytes < kSmallBytes &&
                    std::none_of(planned.sources.begin(), planned.sources.end(),
                                 [this](int32_t source) { return IsLarge(source); });
    if (planned.small) {
      plan_.bundle.push_back(id);
      bundle_bytes_ += planned.bytes + kEntryAlignmentBytes;
    } else {
      if (planned.bytes > kSealedBytesMax) {
        return absl::ResourceExhaustedError(StrCat("constant '", constant.name, "' needs ",
                                                   planned.bytes, " bytes, the limit is ",
                                                   kSealedBytesMax));
      }
      plan_.final_bytes += PageRoundedBytes(planned.bytes);
    }
    plan_.forms.push_back(std::move(planned));
    return absl::OkStatus();
  }

  absl::Status AddSources(const Graph& graph, ConstantId id, int depth,
                          std::vector<int32_t>* sources) {
    if (id < 0 || static_cast<size_t>(id) >= graph.constants().size() ||
        depth > kDerivationDepthMax) {
      return absl::InvalidArgumentError("a derived constant refers to none, or to itself");
    }
    const Constant& constant = graph.constant(id);
    if (const Derivation* derivation = DerivationOf(constant)) {
      for (const ConstantId parent : derivation->parents) {
        PARAMD_RETURN_IF_ERROR(AddSources(graph, parent, depth + 1, sources));
      }
      return absl::OkStatus();
    }
    if (const Tensor* tensor = HeldBy(constant)) {
      const auto [at, added] =
          plan_.held.try_emplace(tensor, static_cast<int32_t>(plan_.sources.size()));
      // Held in memory already: as good as small, whatever its size.
      if (added) plan_.sources.push_back({kNone, tensor, 0});
      sources->push_back(at->second);
      return absl::OkStatus();
    }
    const auto* tensor = std::get_if<int32_t>(&constant.source);
    if (tensor == nullptr || *tensor < 0 ||
        static_cast<size_t>(*tensor) >= checkpoint_.tensors().size()) {
      return absl::InvalidArgumentError(
          StrCat("constant '", constant.name, "' has no bytes anywhere"));
    }
    sources->push_back(*tensor);
    return absl::OkStatus();
  }

  int32_t Root(int32_t source) {
    int32_t& parent = parents_[static_cast<size_t>(source)];
    while (parent != parents_[static_cast<size_t>(parent)]) {
      parent = parents_[static_cast<size_t>(parent)];
    }
    return parent;
  }

  // Large sources that one form needs together are one group.
  void MakeGroups() {
    parents_.resize(plan_.sources.size());
    std::iota(parents_.begin(), parents_.end(), 0);
    for (const PlannedForm& form : plan_.forms) {
      int32_t first = kNone;
      for (const int32_t source : form.sources) {
        if (!IsLarge(source)) continue;
        if (first == kNone) first = source;
        parents_[static_cast<size_t>(Root(source))] = Root(first);
      }
    }
    absl::flat_hash_map<int32_t, SourceGroup> by_root;
    for (size_t i = 0; i < plan_.sources.size(); ++i) {
      const auto source = static_cast<int32_t>(i);
      if (!IsLarge(source)) continue;
      SourceGroup& group = by_root[Root(source)];
      group.sources.push_back(source);
      group.source_bytes += plan_.sources[i].bytes;
    }
    for (const PlannedForm& form : plan_.forms) {
      if (form.small) continue;
      const auto large = std::find_if(form.sources.begin(), form.sources.end(),
                                      [this](int32_t source) { return IsLarge(source); });
      // Large, and made of small things only (a fill): a group without sources.
      SourceGroup& group =
          large == form.sources.end() ? by_root[-1 - form.id] : by_root[Root(*large)];
      group.forms.push_back(form.id);
    }
    for (auto& [root, group] : by_root) {
      group.peak_bytes = group.source_bytes;
      for (const FormId id : group.forms) {
        const ParameterForm& form = graph_plan_.forms().form(id);
        const Constant& constant = form.graph->constant(form.constant);
        if (DerivationOf(constant) == nullptr || form.layout.plain()) continue;
        // While the tensor is derived its sources are there and the form's own
        // memory, which final_bytes counts, is not yet.
        const uint64_t derived = CheckedBytes(constant.dtype, constant.shape.dims()).value_or(0);
        const uint64_t both = group.source_bytes + derived;
        const uint64_t own = plan_.forms[static_cast<size_t>(id)].bytes;
        group.peak_bytes = std::max({group.peak_bytes, derived, both - std::min(both, own)});
      }
      plan_.groups.push_back(std::move(group));
    }
    std::sort(plan_.groups.begin(), plan_.groups.end(),
              [](const SourceGroup& a, const SourceGroup& b) {
                if (a.peak_bytes != b.peak_bytes) return a.peak_bytes > b.peak_bytes;
                return a.sources < b.sources;
              });
    if (bundle_bytes_ > 0) plan_.final_bytes += PageRoundedBytes(bundle_bytes_);
  }

  const Checkpoint& checkpoint_;
  const GraphPlan& graph_plan_;
  FormPlan plan_;
  std::vector<int32_t> parents_;
  uint64_t bundle_bytes_ = 0;
};

}  // namespace

uint64_t FormPlan::ScratchPeak(int threads) const {
  uint64_t bytes = small_bytes;
  // Groups are sorted by what they need: the worst moment has the first ones.
  for (size_t i = 0; i < groups.size() && i < static_cast<size_t>(std::max(threads, 1)); ++i) {
    bytes += groups[i].peak_bytes;
  }
  return bytes;
}

absl::StatusOr<FormPlan> PlanForms(const Checkpoint& checkpoint, const GraphPlan& plan) {
  return Planner(checkpoint, plan).Plan();
}

ContentId KeyOfConstant(const FormPlan& plan, const Graph& graph, ConstantId constant_id,
                        const std::vector<ContentId>& source_ids) {
  const Constant& constant = graph.constant(constant_id);
  if (DerivationOf(constant) != nullptr) {
    return DerivedKey(OriginOfDerived(plan, graph, constant_id, source_ids));
  }
  int32_t source = kNone;
  if (const Tensor* tensor = HeldBy(constant)) {
    source = plan.held.at(tensor);
  } else {
    source = std::get<int32_t>(constant.source);
  }
  return source_ids[static_cast<size_t>(source)];
}

FormOrigin OriginOfDerived(const FormPlan& plan, const Graph& graph, ConstantId constant_id,
                           const std::vector<ContentId>& source_ids) {
  const Constant& constant = graph.constant(constant_id);
  const Derivation& derivation = *DerivationOf(constant);
  FormOrigin origin;
  origin.transform = derivation.transform;  // Its name ends in its version.
  for (const ConstantId parent : derivation.parents) {
    origin.parents.push_back(KeyOfConstant(plan, graph, parent, source_ids));
  }
  origin.layout = StrCat(DTypeName(constant.dtype), constant.shape.ToString());
  // %a: exact, and the same text everywhere.
  for (const double arg : derivation.args) origin.layout += absl::StrFormat(" %a", arg);
  return origin;
}

FormOrigin OriginOfPacked(const FormPlan& plan, const ParameterForm& form,
                          const std::vector<ContentId>& source_ids) {
  FormOrigin origin;
  origin.parents.push_back(KeyOfConstant(plan, *form.graph, form.constant, source_ids));
  origin.transform = StrCat(form.backend->name(), ".pack");
  origin.transform_version = kPackVersion;
  origin.layout =
      StrCat(form.backend->fingerprint(), "|", form.shape.ToString(), "|", form.layout.descriptor);
  return origin;
}

ContentId KeyOfForm(const FormPlan& plan, const ParameterForm& form,
                    const std::vector<ContentId>& source_ids) {
  if (!form.layout.plain()) return DerivedKey(OriginOfPacked(plan, form, source_ids));
  return KeyOfConstant(plan, *form.graph, form.constant, source_ids);
}

}  // namespace paramd
