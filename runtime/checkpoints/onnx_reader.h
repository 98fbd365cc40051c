// ReadOnnx: skims an ONNX file for where its parameters are, without holding
// them: a Checkpoint of file ranges, and the model's bytes without the large
// tensors ("skeleton"), small enough for libonnx to parse.
//
// Every dense tensor of a graph's initializers, whatever its size, is in the
// checkpoint, and so are tensors in node attributes (Constant) above
// `inline_bytes_max`. In the skeleton each of them carries its index in
// Checkpoint::tensors() as metadata_props {kOnnxTensorIndexKey, "17"}; up to
// inline_bytes_max bytes it also keeps its data there (shape inference wants to
// see shape constants), above it has data_location EXTERNAL with the location
// kOnnxStrippedLocation and no data. Strings, sparse tensors and everything
// that this skim does not know stay in the skeleton as they were.
//
// Names in the checkpoint: an initializer's own, "subgraph3/w" for those of
// nested graphs (numbered in file order), the node's first output for
// attributes ("out", then "out.1" for a second tensor of the same node).
//
// Thread-safety: a pure function of the files.
#ifndef PARAMD_RUNTIME_CHECKPOINTS_ONNX_READER_H_
#define PARAMD_RUNTIME_CHECKPOINTS_ONNX_READER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "runtime/base/directory.h"
#include "runtime/base/file_source.h"
#include "runtime/checkpoints/checkpoint.h"

namespace paramd {

inline constexpr std::string_view kOnnxTensorIndexKey = "paramd.tensor";
inline constexpr std::string_view kOnnxStrippedLocation = "paramd.checkpoint";

struct OnnxLimits {
  uint64_t skeleton_bytes_max = uint64_t{256} << 20;
  uint64_t inline_bytes_max = 1024;  // Tensors up to this stay in the skeleton.
  // Typed data that is not one packed range is decoded while skimming; all of
  // it together.
  uint64_t decoded_bytes_max = uint64_t{64} << 20;
  uint32_t nodes_max = 1'000'000;
  uint32_t tensors_max = 200'000;
  uint32_t graph_depth_max = 16;  // Graphs within graphs.
  uint32_t external_files_max = 1'024;
};

struct OnnxFile {
  std::unique_ptr<Checkpoint> checkpoint;
  std::string skeleton;  // A serialized onnx::ModelProto.
};

// `folder` is the model's own folder, beneath which external data is opened,
// never through a hard link; null: a file with external data is refused.
// InvalidArgument if the file is damaged, beyond a limit or inconsistent;
// Unimplemented for element types that this build does not know.
absl::StatusOr<OnnxFile> ReadOnnx(std::unique_ptr<FileSource> model, const Directory* folder,
                                  const OnnxLimits& limits = {});

}  // namespace paramd

#endif  // PARAMD_RUNTIME_CHECKPOINTS_ONNX_READER_H_
