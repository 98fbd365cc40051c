// OnnxTensor: one TensorProto as the skim met it on the wire, checked and
// turned into where its bytes are. Only the ONNX reader's two files use it.
//
// Life: values. Thread-safety: values and pure functions.
#ifndef PARAMD_RUNTIME_CHECKPOINTS_ONNX_TENSOR_H_
#define PARAMD_RUNTIME_CHECKPOINTS_ONNX_TENSOR_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/checkpoints/checkpoint.h"
#include "runtime/tensor/dtype.h"

namespace paramd {

// Field numbers of onnx.proto's TensorProto.
struct OnnxTensorField {
  static constexpr int kDims = 1;
  static constexpr int kDataType = 2;
  static constexpr int kSegment = 3;
  static constexpr int kFloatData = 4;
  static constexpr int kInt32Data = 5;
  static constexpr int kStringData = 6;
  static constexpr int kInt64Data = 7;
  static constexpr int kName = 8;
  static constexpr int kRawData = 9;
  static constexpr int kDoubleData = 10;
  static constexpr int kUint64Data = 11;
  static constexpr int kExternalData = 13;
  static constexpr int kDataLocation = 14;
  static constexpr int kMetadataProps = 16;
};

struct OnnxTensor {
  std::string name;
  std::vector<int64_t> dims;
  int32_t data_type = 0;
  bool external = false;
  // The external_data entries that matter.
  std::optional<std::string> location;
  std::optional<std::string> external_offset;
  std::optional<std::string> external_length;

  // The one field that has the elements; 0: none was seen.
  int data_field = 0;
  // Its range in the model's file, when it came as one piece...
  bool has_range = false;
  uint64_t offset = 0;
  uint64_t file_bytes = 0;
  // ...or its elements, when it came one by one: fixed numbers as bytes,
  // varints as 64-bit numbers.
  std::string loose_bytes;
  std::vector<uint64_t> loose_varints;
};

// True for elements written as varints (int32_data, int64_data, uint64_data).
bool IsVarintField(int data_field);

// Checks that type, shape and data agree and says where the bytes are: in
// `model_file`, inline, or (external) left for the caller, who gets Encoding
// kDense with file_bytes set and opens the file. The tensor must not hold strings.
absl::StatusOr<CheckpointTensor> ResolveOnnxTensor(const OnnxTensor& tensor, uint32_t model_file);

// The decimal number of an external_data entry; InvalidArgument otherwise.
absl::StatusOr<uint64_t> ParseExternalNumber(const std::string& text, std::string_view what);

}  // namespace paramd

#endif  // PARAMD_RUNTIME_CHECKPOINTS_ONNX_TENSOR_H_
