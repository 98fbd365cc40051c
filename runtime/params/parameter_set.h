// ParameterSet: everything that one version of a model holds in the store, and
// what is known about each of its parameters. While it lives, its entries are
// mapped and it counts as one holder of each.
//
// Parameters describe the checkpoint; entries are what is in memory. They
// differ: a weight of which only the packed form is kept is a parameter whose
// content id is no entry, and the packed form is an entry that is no parameter.
//
// Life: ParameterSetBuilder collects while a version loads (one thread); Build
// makes the set, immutable from then on. It must go before the store.
// Thread-safety: a built set is thread-safe.
#ifndef PARAMD_RUNTIME_PARAMS_PARAMETER_SET_H_
#define PARAMD_RUNTIME_PARAMS_PARAMETER_SET_H_

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/types/span.h"
#include "runtime/params/parameter.h"
#include "runtime/params/parameter_store.h"

namespace paramd {

// Elements (not bytes) by role.
struct ParameterCounts {
  std::array<int64_t, kParameterRoles> elements{};
  std::array<int64_t, kParameterRoles> tensors{};

  int64_t of(ParameterRole role) const { return elements[static_cast<size_t>(role)]; }
  // What training set: weights and biases.
  int64_t trained() const { return of(ParameterRole::kWeight) + of(ParameterRole::kBias); }
};
ParameterCounts CountParameters(absl::Span<const Parameter> parameters);

class ParameterSet {
 public:
  ~ParameterSet();
  ParameterSet(const ParameterSet&) = delete;
  ParameterSet& operator=(const ParameterSet&) = delete;

  const std::string& label() const { return label_; }
  // In the order they were added.
  const std::vector<Parameter>& parameters() const { return parameters_; }
  // Null if there is none of that name.
  const Parameter* FindParameter(std::string_view name) const;
  const ParameterCounts& counts() const { return counts_; }
  const ContentId& weights_id() const { return weights_id_; }

  // What is in memory for this set; each key once.
  const std::vector<ParameterRef>& entries() const { return entries_; }
  // Null if the set holds no such entry. Valid as long as the set.
  const ParameterRef* FindEntry(const ContentId& key) const;

  // Whole pages, by who else holds them at this moment.
  SetBytes bytes() const { return store_->BytesOfSet(set_id_); }
  uint64_t unique_bytes() const { return bytes().unique.total(); }
  uint64_t shared_bytes() const { return bytes().shared.total(); }
  // Bytes of the entries by element type; kUndefined for manifests.
  const absl::btree_map<DType, uint64_t>& bytes_by_dtype() const { return bytes_by_dtype_; }

  // Hashes every entry again, and checks the ids of resident parameters against
  // their type and shape. DataLoss names the first that differs.
  absl::Status Verify() const;

 private:
  friend class ParameterSetBuilder;
  ParameterSet() = default;

  ParameterStore* store_ = nullptr;
  uint64_t set_id_ = 0;
  std::string label_;
  std::vector<Parameter> parameters_;
  absl::flat_hash_map<std::string, size_t> parameter_index_;
  ParameterCounts counts_;
  ContentId weights_id_;
  std::vector<ParameterRef> entries_;
  absl::flat_hash_map<ContentId, size_t> entry_index_;
  absl::btree_map<DType, uint64_t> bytes_by_dtype_;
};

class ParameterSetBuilder {
 public:
  explicit ParameterSetBuilder(ParameterStore* store);
  ~ParameterSetBuilder();

  // InvalidArgument for a name that is already there.
  absl::Status AddParameter(Parameter parameter);
  // Keeps the entry; the same key again changes nothing. `dtype` is what the
  // entry's elements are, for bytes_by_dtype.
  void Hold(const ParameterRef& ref, DType dtype);
  const ParameterRef* FindEntry(const ContentId& key) const { return set_->FindEntry(key); }

  // `label` is what the ledger calls the set: "digits/1".
  std::unique_ptr<ParameterSet> Build(std::string_view label) &&;

 private:
  std::unique_ptr<ParameterSet> set_;
};

}  // namespace paramd

#endif  // PARAMD_RUNTIME_PARAMS_PARAMETER_SET_H_
