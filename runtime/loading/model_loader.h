// LoadModel: a model file becomes a Model that is ready to serve.
//
//   skim       headers only: where each tensor is                checkpoints/
//   import     the graph, its roles, the passes                  graph/
//   plan       from shapes alone: ops, backends, which forms of which parameters
//   admit      peak bytes against the store and the machine: go, or refuse with numbers
//   parameters each tensor read once, hashed on the way, shared or packed into a
//              sealed segment; at most one tensor a loader thread in between
//   seal       manifest, generation, weights_id
//   check      may rows of different calls share a batch?
//   warm up    programs for 1, 2, 4 ... rows
//
// On any error everything is given back: reservations, segments, memory.
//
// Thread-safety: thread-safe; a load uses the calling thread and
// loader_threads - 1 more.
#ifndef PARAMD_RUNTIME_LOADING_MODEL_LOADER_H_
#define PARAMD_RUNTIME_LOADING_MODEL_LOADER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "runtime/backends/backend.h"
#include "runtime/base/clock.h"
#include "runtime/base/cpu_budget.h"
#include "runtime/base/directory.h"
#include "runtime/loading/admission.h"
#include "runtime/loading/model_record.h"
#include "runtime/loading/rate_limit.h"
#include "runtime/model.h"
#include "runtime/params/parameter_store.h"

namespace paramd {

struct LoadStep {
  std::string_view stage;    // "skim", "import", ..., as in load_stages.
  uint64_t bytes_done = 0;   // Of parameters read from disk.
  uint64_t bytes_total = 0;  // 0 until the file was skimmed.
};

struct ModelLoadOptions {
  // What the ledger calls it: "digits/1".
  std::string label;
  // "f32" or "bf16".
  std::string precision = "f32";
  // Best first, the reference last; empty: all of this build.
  absl::Span<const Backend* const> backends;
  // Threads of the stream that will run the model.
  int threads = 1;
  // Threads that read and pack.
  int loader_threads = 1;
  // Rows of one batch. Nothing: as many as rows_max_automatic if that is proved
  // safe. 0: never more than one call. A number: at most so many, if safe.
  std::optional<int64_t> max_batch_size;
  int64_t rows_max_automatic = 32;
  // Arenas that will hold its activations; for admission.
  int streams = 1;
  // The configuration in effect, for the manifest.
  std::string config;
  // Programs kept beside those of the warm-up.
  size_t programs_max = 32;
  // Of the inputs of the batching check.
  uint32_t seed = 20261124;
  // Graph passes to leave out (runtime/graph/passes), by name: for finding out
  // whether one changes an answer.
  std::vector<std::string> disabled_passes;
  // Memory left on the machine; empty: ask it.
  std::function<MemoryBudget()> memory_budget;
  // Called from loader threads, several at once. May be empty.
  std::function<void(const LoadStep&)> progress;
  // Borrowed; of what is read from files. Null: no limit.
  RateLimit* rate = nullptr;
};

struct ModelLoadResult {
  std::unique_ptr<Model> model;  // Must go before the store.
  uint64_t generation = 0;
  ContentId weights_id;
  // What RestoreModel needs. `revision` is the caller's to fill, and the times of
  // `warm` as well, which has the sizes that are compiled.
  ModelRecord record;
};

// What a load would take, without loading.
struct LoadEstimate {
  uint64_t form_bytes = 0;      // Of all that stays, resident or not; whole pages.
  uint64_t resident_bytes = 0;  // Of these, what the table has already.
  AdmissionNeed need;
  AdmissionRoom room;
  absl::Status verdict;  // OK, or ResourceExhausted with both numbers and what would fit.
};

// Which of the options change what a load brings: two of equal choices and equal
// files are the same model.
std::string LoadChoices(const ModelLoadOptions& options);

// Loads `file`, a plain name in `folder`, which is also where its external data
// may be. All are borrowed; the store must outlive the model.
// InvalidArgument: the file or the options are wrong. Unimplemented: this build
// cannot run the model, and says which node and why. ResourceExhausted: it does
// not fit, with the numbers. DataLoss: the file changed while it was read.
absl::StatusOr<ModelLoadResult> LoadModel(const Directory& folder, std::string_view file,
                                          ParameterStore* store, const Clock* clock,
                                          const ModelLoadOptions& options);

// As LoadModel, up to where it would read the parameters. They are read all the
// same, and hashed: only their bytes tell what is resident already.
// `freed_bytes`: what goes before the load begins. Errors are LoadModel's.
absl::StatusOr<LoadEstimate> EstimateLoad(const Directory& folder, std::string_view file,
                                          ParameterStore* store, const Clock* clock,
                                          const ModelLoadOptions& options, uint64_t freed_bytes);

// The same model again from what is resident, opening no file: from the record
// of a load whose segments somebody still holds. Its answers are bit for bit
// those of the first load, its generation and weights_id are the same. Nothing is
// done per byte of the parameters, nothing is checked or measured again, and only
// one row is compiled: the other sizes of record.warm are for the caller to
// compile when it serves.
// FailedPrecondition: another format, other choices, or a segment is missing;
// DataLoss: the record or the manifest is damaged. Either way: load the file.
absl::StatusOr<ModelLoadResult> RestoreModel(const ModelRecord& record, ParameterStore* store,
                                             const Clock* clock, const ModelLoadOptions& options);

}  // namespace paramd

#endif  // PARAMD_RUNTIME_LOADING_MODEL_LOADER_H_
