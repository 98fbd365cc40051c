#include "runtime/loading/parameter_loader.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "runtime/base/parallel_for.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/graph/derivations.h"

namespace paramd {
namespace {

// An entry is what its key says: 64-byte aligned, 0 bytes cannot be claimed.
EntryKind KindOf(const ParameterForm& form) {
  const bool derived =
      std::holds_alternative<Derivation>(form.graph->constant(form.constant).source);
  return form.layout.plain() && !derived ? EntryKind::kTensor : EntryKind::kPacked;
}

}  // namespace

absl::StatusOr<LoadedForms> ParameterLoader::Load(int threads) {
  sources_.clear();
  sources_.resize(plan_.sources.size());
  result_ = LoadedForms();
  result_.source_ids.resize(plan_.sources.size());
  result_.refs.resize(plan_.forms.size());
  bytes_done_ = 0;

  PARAMD_RETURN_IF_ERROR(ReadSmall());
  PARAMD_RETURN_IF_ERROR(LoadBundle());

  Mutex mutex;
  absl::Status first_error;  // Guarded by `mutex`.
  std::atomic<bool> failed{false};
  ThreadTeam team(std::max(threads, 1));
  team.Run(static_cast<int64_t>(plan_.groups.size()), /*grain=*/1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end && !failed.load(); ++i) {
      absl::Status status = LoadGroup(plan_.groups[static_cast<size_t>(i)]);
      if (status.ok()) continue;
      failed.store(true);
      MutexLock lock(&mutex);
      if (first_error.ok()) first_error = std::move(status);
    }
  });
  sources_.clear();
  PARAMD_RETURN_IF_ERROR(first_error);
  // A file that was written meanwhile may have given us half of each.
  PARAMD_RETURN_IF_ERROR(checkpoint_.CheckUnchanged());
  return std::move(result_);
}

absl::StatusOr<std::vector<ContentId>> ParameterLoader::HashOnly() {
  sources_.clear();
  sources_.resize(plan_.sources.size());
  result_ = LoadedForms();
  result_.source_ids.resize(plan_.sources.size());
  for (size_t i = 0; i < plan_.sources.size(); ++i) {
    Source source;
    PARAMD_RETURN_IF_ERROR(ReadSource(static_cast<int32_t>(i), &source));
  }
  bytes_done_ = 0;
  return std::move(result_.source_ids);
}

void ParameterLoader::Count(uint64_t bytes) {
  const uint64_t done = bytes_done_.fetch_add(bytes) + bytes;
  if (hooks_.progress != nullptr) hooks_.progress(done);
}

absl::Status ParameterLoader::ReadSource(int32_t index, Source* into) {
  const FormSource& source = plan_.sources[static_cast<size_t>(index)];
  ContentId& id = result_.source_ids[static_cast<size_t>(index)];
  if (source.held != nullptr) {
    into->view = source.held->view();
    id = TensorContentId(into->view.dtype, into->view.shape.dims(), DigestOf(into->view.byte_span()));
    return absl::OkStatus();
  }
  const CheckpointTensor& tensor = checkpoint_.tensors()[static_cast<size_t>(source.tensor)];
  PARAMD_ASSIGN_OR_RETURN(into->scratch, ScratchBuffer::Allocate(tensor.bytes));
  ContentHasher hasher;
  // Of a dense tensor each piece counts; what else a tensor has, when it is there.
  uint64_t counted = 0;
  const bool dense = tensor.encoding == CheckpointTensor::Encoding::kDense;
  const auto before_piece = [&](uint64_t bytes) {
    if (hooks_.rate != nullptr) hooks_.rate->Take(bytes);
    if (!dense || counted + bytes >= tensor.bytes) return;
    counted += bytes;
    Count(bytes);
  };
  PARAMD_RETURN_IF_ERROR(
      checkpoint_.ReadTensor(tensor, into->scratch.bytes(), &hasher, before_piece));
  into->view = {tensor.dtype, tensor.shape, into->scratch.bytes().data()};
  id = TensorContentId(tensor.dtype, tensor.shape.dims(), hasher.Finish());
  Count(tensor.bytes - counted);
  if (hooks_.check != nullptr) return hooks_.check(tensor, source.tensor, into->view);
  return absl::OkStatus();
}

absl::Status ParameterLoader::ReadSmall() {
  for (size_t i = 0; i < plan_.sources.size(); ++i) {
    if (plan_.sources[i].bytes >= kSmallBytes) continue;
    PARAMD_RETURN_IF_ERROR(ReadSource(static_cast<int32_t>(i), &sources_[i]));
  }
  return absl::OkStatus();
}

absl::Status ParameterLoader::LoadGroup(const SourceGroup& group) {
  for (const int32_t source : group.sources) {
    PARAMD_RETURN_IF_ERROR(ReadSource(source, &sources_[static_cast<size_t>(source)]));
  }
  for (size_t i = 0; i < group.forms.size(); ++i) {
    PARAMD_RETURN_IF_ERROR(LoadForm(group.forms[i], group, i + 1 == group.forms.size()));
  }
  for (const int32_t source : group.sources) sources_[static_cast<size_t>(source)] = Source();
  return absl::OkStatus();
}

absl::Status ParameterLoader::LoadForm(FormId id, const SourceGroup& group, bool last) {
  const ParameterForm& form = graph_plan_.forms().form(id);
  const PlannedForm& planned = plan_.forms[static_cast<size_t>(id)];
  if (planned.bytes == 0) return absl::OkStatus();
  const ContentId key = KeyOfForm(plan_, form, result_.source_ids);
  // A resident form is shared without deriving anything.
  const bool resident = store_->Find(key).ok();
  const bool derived =
      std::holds_alternative<Derivation>(form.graph->constant(form.constant).source);
  ScratchBuffer scratch;
  TensorView plain;
  if (!resident && derived && !form.layout.plain()) {
    PARAMD_ASSIGN_OR_RETURN(plain, PlainBytes(*form.graph, form.constant, &scratch));
    // Before the form's own memory is taken, its sources go: at no moment is
    // there more than one tensor beside what stays.
    if (last) {
      for (const int32_t source : group.sources) sources_[static_cast<size_t>(source)] = Source();
    }
  }
  PARAMD_ASSIGN_OR_RETURN(ParameterStore::Claimed claimed,
                          store_->Claim(key, planned.bytes, KindOf(form)));
  if (!claimed.resident()) {
    if (plain.data != nullptr) {
      PARAMD_RETURN_IF_ERROR(Pack(form, plain, claimed.builder()->bytes()));
      scratch.Reset();
    } else if (resident && derived && !form.layout.plain()) {
      // It went away between the two looks; sources may still be made of it.
      PARAMD_ASSIGN_OR_RETURN(plain, PlainBytes(*form.graph, form.constant, &scratch));
      PARAMD_RETURN_IF_ERROR(Pack(form, plain, claimed.builder()->bytes()));
    } else {
      PARAMD_RETURN_IF_ERROR(MakeForm(id, claimed.builder()->bytes()));
    }
    PARAMD_ASSIGN_OR_RETURN(ParameterRef ref, store_->Seal(std::move(claimed.builder())));
    SetForm(id, std::move(ref));
    return absl::OkStatus();
  }
  SetForm(id, std::move(claimed.ref()));
  return absl::OkStatus();
}

absl::Status ParameterLoader::LoadBundle() {
  std::vector<EntryRequest> requests;
  absl::flat_hash_map<ContentId, std::vector<FormId>> forms_of;
  for (const FormId id : plan_.bundle) {
    const PlannedForm& planned = plan_.forms[static_cast<size_t>(id)];
    if (planned.bytes == 0) continue;
    const ContentId key = KeyOfForm(plan_, graph_plan_.forms().form(id), result_.source_ids);
    std::vector<FormId>& forms = forms_of[key];
    if (forms.empty()) requests.push_back({key, planned.bytes});
    forms.push_back(id);
  }
  const auto take = [&](ParameterRef ref) {
    for (const FormId id : forms_of.at(ref.key())) SetForm(id, ref);
  };
  while (!requests.empty()) {
    PARAMD_ASSIGN_OR_RETURN(ParameterStore::BundleClaim claim,
                            store_->ClaimBundle(requests, EntryKind::kTensor));
    for (ParameterRef& ref : claim.resident) take(std::move(ref));
    if (claim.builder != nullptr) {
      for (size_t i = 0; i < claim.builder->size(); ++i) {
        const FormId id = forms_of.at(claim.builder->key(i)).front();
        PARAMD_RETURN_IF_ERROR(MakeForm(id, claim.builder->bytes(i)));
      }
      PARAMD_ASSIGN_OR_RETURN(std::vector<ParameterRef> refs,
                              store_->SealBundle(std::move(claim.builder)));
      for (ParameterRef& ref : refs) take(std::move(ref));
    }
    requests = std::move(claim.waiting);
  }
  return absl::OkStatus();
}

absl::Status ParameterLoader::MakeForm(FormId id, absl::Span<std::byte> bytes) {
  const ParameterForm& form = graph_plan_.forms().form(id);
  const Constant& constant = form.graph->constant(form.constant);
  if (form.layout.plain() && std::holds_alternative<Derivation>(constant.source)) {
    return DeriveInto(*form.graph, form.constant, {constant.dtype, constant.shape, bytes.data()});
  }
  ScratchBuffer scratch;
  PARAMD_ASSIGN_OR_RETURN(const TensorView plain, PlainBytes(*form.graph, form.constant, &scratch));
  if (!form.layout.plain()) return Pack(form, plain, bytes);
  if (plain.bytes() != bytes.size()) {
    return absl::InternalError(StrCat("constant '", constant.name, "' has ", plain.bytes(),
                                      " bytes, planned were ", bytes.size()));
  }
  std::memcpy(bytes.data(), plain.data, bytes.size());
  return absl::OkStatus();
}

absl::StatusOr<TensorView> ParameterLoader::PlainBytes(const Graph& graph, ConstantId id,
                                                       ScratchBuffer* scratch) {
  const Constant& constant = graph.constant(id);
  if (std::holds_alternative<Derivation>(constant.source)) {
    PARAMD_ASSIGN_OR_RETURN(const uint64_t bytes,
                            CheckedBytes(constant.dtype, constant.shape.dims()));
    PARAMD_ASSIGN_OR_RETURN(*scratch, ScratchBuffer::Allocate(bytes));
    const MutableTensorView result{constant.dtype, constant.shape, scratch->bytes().data()};
    PARAMD_RETURN_IF_ERROR(DeriveInto(graph, id, result));
    return TensorView(result);
  }
  int32_t source = kNone;
  if (const auto* held = std::get_if<std::shared_ptr<const Tensor>>(&constant.source)) {
    source = plan_.held.at(held->get());
  } else {
    source = std::get<int32_t>(constant.source);
  }
  TensorView view = sources_[static_cast<size_t>(source)].view;
  if (view.data == nullptr && view.bytes() > 0) {
    return absl::InternalError(StrCat("constant '", constant.name, "' is not in memory"));
  }
  // A graph may give the same bytes another shape (rank-1 made rank-2).
  view.shape = constant.shape;
  return view;
}

absl::Status ParameterLoader::DeriveInto(const Graph& graph, ConstantId id,
                                         const MutableTensorView& result) {
  const Constant& constant = graph.constant(id);
  const Derivation& derivation = std::get<Derivation>(constant.source);
  std::vector<ScratchBuffer> scratch(derivation.parents.size());
  std::vector<TensorView> parents;
  for (size_t i = 0; i < derivation.parents.size(); ++i) {
    PARAMD_ASSIGN_OR_RETURN(TensorView parent,
                            PlainBytes(graph, derivation.parents[i], &scratch[i]));
    parents.push_back(std::move(parent));
  }
  const absl::Status status = Derive(derivation.transform, parents, derivation.args, result);
  if (status.ok()) return status;
  return absl::Status(status.code(),
                      ToAbsl(StrCat("deriving '", constant.name, "' (", derivation.transform,
                                    "): ", FromAbsl(status.message()))));
}

absl::Status ParameterLoader::Pack(const ParameterForm& form, const TensorView& plain,
                                   absl::Span<std::byte> packed) {
  // The op may read the constant in another shape of as many elements.
  const TensorView source{plain.dtype, form.shape, plain.data};
  return form.packer->Pack(form.packer_input, source, packed);
}

void ParameterLoader::SetForm(FormId id, ParameterRef ref) {
  result_.refs[static_cast<size_t>(id)] = std::move(ref);
}

}  // namespace paramd
