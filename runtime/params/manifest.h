// Manifest: all that a restarted worker needs to serve a version again without
// opening a model file: the graph, the configuration, every parameter with its
// content id, and the key of every packed form with what it was made of.
//
// It is kept as a sealed segment like any other (EntryKind::kManifest), named
// by its content, so versions of the same file share it. Numbers that differ
// between them (version, generation) are therefore not in it.
//
// The parser trusts nothing: the digest, every length and count, roles and
// types, that names differ, and that keys, values and weights_id follow from
// what they are made of.
//
// Life: values. Thread-safety: values and pure functions.
#ifndef PARAMD_RUNTIME_PARAMS_MANIFEST_H_
#define PARAMD_RUNTIME_PARAMS_MANIFEST_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "runtime/params/content_id.h"
#include "runtime/params/parameter.h"
#include "runtime/params/parameter_store.h"

namespace paramd {

struct PackedEntry {
  ContentId key;  // DerivedKey(origin); filled by ParseManifest.
  uint64_t bytes = 0;
  DType dtype = DType::kUndefined;  // Of the packed elements.
  FormOrigin origin;
};

// A parameter whose original bytes are kept as an entry of their own.
struct KeptEntry {
  ContentId key;
  uint64_t bytes = 0;
  DType dtype = DType::kUndefined;
};

// A small tensor that the graph cannot be put together without: shapes, axes.
struct ManifestValue {
  uint32_t parameter = 0;  // Index into Manifest::parameters, below `tensors`.
  std::string bytes;       // Dense.
};

struct Manifest {
  std::string format;  // What `graph` is: "onnx", "safetensors", ...
  std::string graph;   // Without parameters.
  std::string config;  // The configuration as it was in effect.
  std::vector<Parameter> parameters;
  // So many of the parameters, the first ones, are tensors of the checkpoint, in
  // its order, which `graph` refers to by number; the others are made by nodes.
  uint32_t tensors = 0;
  std::vector<ManifestValue> values;  // Ascending by parameter.
  std::vector<KeptEntry> kept;
  std::vector<PackedEntry> packed;
  ContentId weights_id;  // Of the parameters; filled by ParseManifest.
};

// The layout's number; another one is refused, never guessed at.
inline constexpr uint32_t kManifestVersion = 2;

// InvalidArgument if a name or origin is too long for the format.
absl::StatusOr<std::string> SerializeManifest(const Manifest& manifest);
// DataLoss if the bytes are damaged or not a manifest; Unimplemented for
// another version of the layout.
absl::StatusOr<Manifest> ParseManifest(absl::Span<const std::byte> bytes);

// Puts a serialized manifest into the store, or shares the one that is there.
absl::StatusOr<ParameterRef> StoreManifest(ParameterStore* store, const std::string& serialized);

}  // namespace paramd

#endif  // PARAMD_RUNTIME_PARAMS_MANIFEST_H_
