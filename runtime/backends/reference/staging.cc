#include "runtime/backends/reference/staging.h"

#include <algorithm>
#include <variant>

#include "runtime/tensor/half.h"
#include "runtime/tensor/small_float.h"

namespace paramd::reference {
namespace {

bool Moves(const OpParams& params) {
  return std::holds_alternative<ConcatParams>(params) ||
         std::holds_alternative<TransposeParams>(params) ||
         std::holds_alternative<ReshapeParams>(params) ||
         std::holds_alternative<SliceParams>(params) ||
         std::holds_alternative<GatherParams>(params) ||
         std::holds_alternative<PadParams>(params) ||
         std::holds_alternative<ExpandParams>(params) ||
         std::holds_alternative<WhereParams>(params);
}

bool NarrowFloat(DType dtype) {
  return dtype == DType::kF16 || dtype == DType::kBF16 || IsSmallFloat(dtype);
}

uint8_t Nibble(const void* source, int64_t i) {
  const uint8_t pair = static_cast<const uint8_t*>(source)[i / 2];
  return (i % 2 == 0 ? pair : pair >> 4) & 0xf;
}

void SetNibble(void* target, int64_t i, int value) {
  uint8_t& pair = static_cast<uint8_t*>(target)[i / 2];
  // The low half comes first and clears the rest, so the last byte of an odd
  // count has a defined upper half.
  if (i % 2 == 0) {
    pair = static_cast<uint8_t>(value & 0xf);
  } else {
    pair = static_cast<uint8_t>(pair | (value & 0xf) << 4);
  }
}

}  // namespace

DType StagedType(const OpSpec& spec, DType dtype) {
  // 4-bit elements are widened by every op: two share a byte.
  if (dtype == DType::kI4) return DType::kI8;
  if (dtype == DType::kU4) return DType::kU8;
  if (dtype == DType::kF4E2M1) return DType::kF32;
  const bool moves = Moves(spec.params) && spec.post_ops.empty();
  if (moves) return dtype;
  // A reorder or a cast to the same type moves too, whatever the type.
  const bool converts = std::holds_alternative<ReorderParams>(spec.params) ||
                        std::holds_alternative<CastParams>(spec.params);
  if (converts && spec.post_ops.empty() && spec.inputs[0].dtype == spec.outputs[0].dtype) {
    return dtype;
  }
  // The kernel itself says what becomes of what is too large.
  const auto* cast = std::get_if<CastParams>(&spec.params);
  if (cast != nullptr && !cast->saturate && dtype == spec.outputs[0].dtype) return dtype;
  return NarrowFloat(dtype) ? DType::kF32 : dtype;
}

void Widen(DType from, const void* source, DType to, void* target, int64_t count) {
  if (to != DType::kF32) {  // 4 bits to a byte.
    auto* bytes = static_cast<uint8_t*>(target);
    for (int64_t i = 0; i < count; ++i) {
      const uint8_t nibble = Nibble(source, i);
      // Sign extension: only i4 goes to i8.
      bytes[i] = to == DType::kI8 && nibble >= 8 ? static_cast<uint8_t>(nibble | 0xf0) : nibble;
    }
    return;
  }
  auto* floats = static_cast<float*>(target);
  if (from == DType::kBF16) {
    const auto* halves = static_cast<const uint16_t*>(source);
    for (int64_t i = 0; i < count; ++i) floats[i] = BF16ToFloat(halves[i]);
  } else if (from == DType::kF16) {
    const auto* halves = static_cast<const uint16_t*>(source);
    for (int64_t i = 0; i < count; ++i) floats[i] = F16ToFloat(halves[i]);
  } else if (IsSmallFloat(from)) {
    const auto* bytes = static_cast<const uint8_t*>(source);
    const bool four_bits = from == DType::kF4E2M1;
    for (int64_t i = 0; i < count; ++i) {
      floats[i] = SmallFloatToFloat(from, four_bits ? Nibble(source, i) : bytes[i]);
    }
  }
}

void Narrow(DType from, const void* source, DType to, void* target, int64_t count) {
  if (from != DType::kF32) {
    const auto* bytes = static_cast<const uint8_t*>(source);
    for (int64_t i = 0; i < count; ++i) {
      const int value = from == DType::kI8 ? std::clamp<int>(static_cast<int8_t>(bytes[i]), -8, 7)
                                           : std::min<int>(bytes[i], 15);
      SetNibble(target, i, value);
    }
    return;
  }
  const auto* floats = static_cast<const float*>(source);
  if (to == DType::kBF16) {
    auto* halves = static_cast<uint16_t*>(target);
    for (int64_t i = 0; i < count; ++i) halves[i] = FloatToBF16(floats[i]);
  } else if (to == DType::kF16) {
    auto* halves = static_cast<uint16_t*>(target);
    for (int64_t i = 0; i < count; ++i) halves[i] = FloatToF16(floats[i]);
  } else if (IsSmallFloat(to)) {
    auto* bytes = static_cast<uint8_t*>(target);
    for (int64_t i = 0; i < count; ++i) {
      const uint8_t bits = FloatToSmallFloat(to, floats[i]);
      if (to == DType::kF4E2M1) {
        SetNibble(target, i, bits);
      } else {
        bytes[i] = bits;
      }
    }
  }
}

}  // namespace paramd::reference
