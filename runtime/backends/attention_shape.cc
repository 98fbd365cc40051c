#include "runtime/backends/attention_shape.h"

#include <array>
#include <initializer_list>

#include "runtime/backends/spec_validation.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"

namespace paramd {
namespace {

// An operand as [batch, head, row, column].
struct View {
  std::array<int64_t, 4> dims = {1, 1, 1, 1};
  std::array<int64_t, 4> steps = {0, 0, 0, 0};
};

template <typename... Pieces>
absl::Status Bad(const Pieces&... pieces) {
  return absl::InvalidArgumentError(StrCat("attention: ", pieces...));
}

// `perm[i]` is the operand's dimension that is dimension i of the last `rank`.
absl::StatusOr<View> ViewOf(const Shape& shape, const std::vector<int>& perm, int rank) {
  const bool in_order = perm.empty();
  if (!in_order && static_cast<int>(perm.size()) != rank) {
    return Bad("a permutation of ", perm.size(), " for rank ", rank);
  }
  if (shape.rank() > rank) return Bad(shape.ToString(), " has a rank above ", rank);
  std::array<int64_t, 4> strides{};
  int64_t stride = 1;
  for (int i = shape.rank() - 1; i >= 0; --i) {
    strides[static_cast<size_t>(i)] = stride;
    // An empty operand is never walked; its other dimensions still wrap nothing.
    stride = shape.elements() == 0 ? 1 : stride * shape.dim(i);
  }
  View view;
  uint32_t seen = 0;
  for (int i = 0; i < shape.rank(); ++i) {
    const int axis = in_order ? i : perm[static_cast<size_t>(i)];
    if (axis < 0 || axis >= shape.rank() || (seen >> axis & 1u) != 0) {
      return Bad("no permutation: ", axis, " for rank ", rank);
    }
    seen |= 1u << axis;
    const auto to = static_cast<size_t>(i + 4 - shape.rank());
    view.dims[to] = shape.dim(axis);
    view.steps[to] = shape.dim(axis) == 1 ? 0 : strides[static_cast<size_t>(axis)];
  }
  return view;
}

absl::Status Spread(const View& view, size_t i, std::string_view what, int64_t* size) {
  if (view.dims[i] == *size || view.dims[i] == 1) return absl::OkStatus();
  if (*size != 1) return Bad(what, " ", view.dims[i], " and ", *size, " do not broadcast");
  *size = view.dims[i];
  return absl::OkStatus();
}

AttentionShape::Steps StepsOf(const View& view) {
  return {view.steps[0], view.steps[1], view.steps[2], view.steps[3]};
}

}  // namespace

absl::StatusOr<AttentionShape> AttentionShapeOf(const OpSpec& spec, const AttentionParams& params) {
  const int rank = spec.inputs[0].shape.rank();
  if (rank != 3 && rank != 4) return Bad("rank ", rank, ", expected 3 or 4");
  for (size_t i = 1; i < 3; ++i) {
    if (spec.inputs[i].shape.rank() != rank) {
      return Bad("input ", i, " is ", spec.inputs[i].shape.ToString(), ", expected rank ", rank);
    }
  }
  PARAMD_ASSIGN_OR_RETURN(const View q, ViewOf(spec.inputs[0].shape, params.q_perm, rank));
  PARAMD_ASSIGN_OR_RETURN(const View k, ViewOf(spec.inputs[1].shape, params.k_perm, rank));
  PARAMD_ASSIGN_OR_RETURN(const View v, ViewOf(spec.inputs[2].shape, params.v_perm, rank));
  AttentionShape shape;
  shape.rows = q.dims[2];
  shape.head_size = q.dims[3];
  shape.keys = k.dims[2];
  shape.value_size = v.dims[3];
  if (k.dims[3] != shape.head_size) {
    return Bad("queries of ", shape.head_size, " numbers and keys of ", k.dims[3]);
  }
  View masks[2];
  for (int i = 0; i < 2; ++i) {
    const Operand* operand = InputOrNull(spec, 3 + i);
    if (operand == nullptr) continue;
    PARAMD_ASSIGN_OR_RETURN(masks[i], ViewOf(operand->shape, {}, rank));
    PARAMD_RETURN_IF_ERROR(Spread(masks[i], 2, "rows", &shape.rows));
    PARAMD_RETURN_IF_ERROR(Spread(masks[i], 3, "keys", &shape.keys));
  }
  if (v.dims[2] != shape.keys) return Bad(shape.keys, " keys and ", v.dims[2], " values");
  for (const View* view : std::initializer_list<const View*>{&q, &k, &v, &masks[0], &masks[1]}) {
    PARAMD_RETURN_IF_ERROR(Spread(*view, 0, "batches", &shape.batch));
    PARAMD_RETURN_IF_ERROR(Spread(*view, 1, "heads", &shape.heads));
  }
  const Shape& output = spec.outputs[0].shape;
  if (output.rank() != rank) return Bad("output ", output.ToString(), ", expected rank ", rank);
  // The output is y transposed: its dimension i is y's dimension y_perm[i].
  std::vector<int> inverse(params.y_perm.size(), -1);
  for (size_t i = 0; i < params.y_perm.size(); ++i) {
    const int axis = params.y_perm[i];
    if (axis < 0 || static_cast<size_t>(axis) >= inverse.size()) return Bad("no permutation of y");
    inverse[static_cast<size_t>(axis)] = static_cast<int>(i);
  }
  PARAMD_ASSIGN_OR_RETURN(const View y, ViewOf(output, inverse, rank));
  if (y.dims != std::array<int64_t, 4>{shape.batch, shape.heads, shape.rows, shape.value_size}) {
    return Bad("output ", output.ToString(), " for ", shape.batch, " batches, ", shape.heads,
               " heads, ", shape.rows, " rows of ", shape.value_size);
  }
  shape.q = StepsOf(q);
  shape.k = StepsOf(k);
  shape.v = StepsOf(v);
  shape.mask = StepsOf(masks[0]);
  shape.keep = StepsOf(masks[1]);
  shape.y = StepsOf(y);
  return shape;
}

}  // namespace paramd
