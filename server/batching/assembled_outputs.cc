#include "server/batching/assembled_outputs.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "absl/log/check.h"
#include "absl/status/status.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"

namespace paramd {
namespace {

// Bytes between two rows; for strings, of the std::string objects.
uint64_t RowBytes(const TensorView& tensor) {
  const int64_t rows = tensor.shape.dim(0);
  if (rows == 0) return 0;
  if (tensor.dtype == DType::kString) {
    return static_cast<uint64_t>(tensor.shape.elements() / rows) * sizeof(std::string);
  }
  return tensor.bytes() / static_cast<uint64_t>(rows);
}

}  // namespace

TensorView RowsOf(const TensorView& tensor, int64_t first_row, int64_t rows) {
  TensorView view = tensor;
  if (tensor.data != nullptr) {
    view.data = static_cast<const std::byte*>(tensor.data) +
                static_cast<uint64_t>(first_row) * RowBytes(tensor);
  }
  view.shape.set_dim(0, rows);
  return view;
}

absl::Status AssembledOutputs::Store(absl::Span<const TensorView> parts, int64_t first_row,
                                     int64_t total_rows) {
  absl::Span<Tensor> outputs;
  {
    MutexLock lock(&mutex_);
    if (outputs_.empty()) {
      for (const TensorView& part : parts) {
        Shape shape = part.shape;
        shape.set_dim(0, total_rows);
        if (part.dtype != DType::kString) {
          PARAMD_RETURN_IF_ERROR(CheckedBytes(part.dtype, shape.dims()).status());
        }
        outputs_.emplace_back(part.dtype, std::move(shape));
      }
    }
    outputs = absl::MakeSpan(outputs_);  // Never grows again.
  }
  CHECK_EQ(outputs.size(), parts.size());
  for (size_t i = 0; i < parts.size(); ++i) {
    const int64_t rows = parts[i].shape.dim(0);
    const TensorView place = RowsOf(std::as_const(outputs[i]).view(), first_row, rows);
    // Trailing dimensions that depend on the rows' values may differ between batches.
    if (place.shape != parts[i].shape || place.dtype != parts[i].dtype) {
      return absl::InvalidArgumentError(
          StrCat("this request needs several batches, and their outputs do not fit together: ",
                 place.shape.ToString(), " and ", parts[i].shape.ToString()));
    }
    void* to = const_cast<void*>(place.data);
    if (place.dtype == DType::kString) {
      const auto from = parts[i].as<std::string>();
      std::copy(from.begin(), from.end(), static_cast<std::string*>(to));
    } else if (const uint64_t bytes = parts[i].bytes(); bytes > 0) {
      std::memcpy(to, parts[i].data, bytes);
    }
  }
  return absl::OkStatus();
}

}  // namespace paramd
