// Tensors as JSON: nested lists of numbers (or of strings, true, false) in,
// name, type, shape and a flat list of values out.
//
// Thread-safety: pure functions.
#ifndef PARAMD_SERVER_PARAMCTL_TENSOR_JSON_H_
#define PARAMD_SERVER_PARAMCTL_TENSOR_JSON_H_

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proto/paramd/v1/predict.pb.h"
#include "runtime/tensor/tensor_view.h"

namespace paramd {

// Fills name, type, shape and the typed field of `dtype`. InvalidArgument names
// the place where the nesting is uneven or a value is of another kind.
absl::Status TensorFromJson(const std::string& name, const nlohmann::json& values, DType dtype,
                            v1::Tensor* tensor);

// Fills name, type, shape and raw.
void TensorFromView(const std::string& name, const TensorView& view, v1::Tensor* tensor);

// The tensor's elements, typed or raw, in memory of their own.
absl::StatusOr<Tensor> ToTensor(const v1::Tensor& tensor);

// {"name":..., "dtype":..., "shape":[...], "data":[...]}
absl::StatusOr<nlohmann::ordered_json> TensorToJson(const v1::Tensor& tensor);

}  // namespace paramd

#endif  // PARAMD_SERVER_PARAMCTL_TENSOR_JSON_H_
