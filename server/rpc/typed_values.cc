#include "server/rpc/typed_values.h"

#include <bit>
#include <limits>

#include "absl/log/check.h"
#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"
#include "runtime/tensor/half.h"
#include "runtime/tensor/small_float.h"
#include "server/rpc/wire_writer.h"

namespace paramd {
namespace {

// How the field's values lie in a packed block and alone.
WireType ElementWireType(TypedField field) {
  switch (field) {
    case TypedField::kF32:
      return WireType::kFixed32;
    case TypedField::kF64:
      return WireType::kFixed64;
    case TypedField::kStrings:
      return WireType::kBytes;
    default:
      return WireType::kVarint;
  }
}

// c64 and c128 travel as pairs of floats.
bool IsComplex(DType dtype) { return dtype == DType::kC64 || dtype == DType::kC128; }

uint8_t GetNibble(const void* data, uint64_t index) {
  const auto byte = static_cast<const uint8_t*>(data)[index / 2];
  return (index % 2 == 0) ? byte & 0xf : byte >> 4;
}
void SetNibble(void* data, uint64_t index, uint8_t value) {
  auto& byte = static_cast<uint8_t*>(data)[index / 2];
  byte = static_cast<uint8_t>((index % 2 == 0) ? (byte & 0xf0) | (value & 0xf)
                                               : (byte & 0x0f) | (value << 4));
}

absl::Status OutOfRange(DType dtype) {
  return absl::InvalidArgumentError(
      StrCat("a number is outside the range of its type ", DTypeName(dtype)));
}

template <typename T, typename V>
absl::Status StoreInteger(V value, DType dtype, void* data, uint64_t index) {
  if (value < static_cast<V>(std::numeric_limits<T>::min()) ||
      value > static_cast<V>(std::numeric_limits<T>::max())) {
    return OutOfRange(dtype);
  }
  static_cast<T*>(data)[index] = static_cast<T>(value);
  return absl::OkStatus();
}

absl::Status StoreSigned(int64_t value, const MutableTensorView& target, uint64_t index) {
  switch (target.dtype) {
    case DType::kI64:
      return StoreInteger<int64_t>(value, target.dtype, target.data, index);
    case DType::kI32:
      return StoreInteger<int32_t>(value, target.dtype, target.data, index);
    case DType::kI16:
      return StoreInteger<int16_t>(value, target.dtype, target.data, index);
    case DType::kI8:
      return StoreInteger<int8_t>(value, target.dtype, target.data, index);
    default:  // kI4
      if (value < -8 || value > 7) return OutOfRange(target.dtype);
      SetNibble(target.data, index, static_cast<uint8_t>(value));
      return absl::OkStatus();
  }
}

absl::Status StoreUnsigned(uint64_t value, const MutableTensorView& target, uint64_t index) {
  switch (target.dtype) {
    case DType::kU64:
      return StoreInteger<uint64_t>(value, target.dtype, target.data, index);
    case DType::kU32:
      return StoreInteger<uint32_t>(value, target.dtype, target.data, index);
    case DType::kU16:
      return StoreInteger<uint16_t>(value, target.dtype, target.data, index);
    case DType::kU8:
      return StoreInteger<uint8_t>(value, target.dtype, target.data, index);
    case DType::kBool:
      static_cast<uint8_t*>(target.data)[index] = value != 0 ? 1 : 0;
      return absl::OkStatus();
    default:  // kU4
      if (value > 15) return OutOfRange(target.dtype);
      SetNibble(target.data, index, static_cast<uint8_t>(value));
      return absl::OkStatus();
  }
}

void StoreFloat(float value, const MutableTensorView& target, uint64_t index) {
  switch (target.dtype) {
    case DType::kF16:
      static_cast<uint16_t*>(target.data)[index] = FloatToF16(value);
      return;
    case DType::kBF16:
      static_cast<uint16_t*>(target.data)[index] = FloatToBF16(value);
      return;
    case DType::kF4E2M1:
      SetNibble(target.data, index, FloatToSmallFloat(target.dtype, value));
      return;
    case DType::kF32:
    case DType::kC64:
      static_cast<float*>(target.data)[index] = value;
      return;
    default:
      static_cast<uint8_t*>(target.data)[index] = FloatToSmallFloat(target.dtype, value);
  }
}

float LoadFloat(const TensorView& view, uint64_t index) {
  switch (view.dtype) {
    case DType::kF16:
      return F16ToFloat(static_cast<const uint16_t*>(view.data)[index]);
    case DType::kBF16:
      return BF16ToFloat(static_cast<const uint16_t*>(view.data)[index]);
    case DType::kF4E2M1:
      return SmallFloatToFloat(view.dtype, GetNibble(view.data, index));
    case DType::kF32:
    case DType::kC64:
      return static_cast<const float*>(view.data)[index];
    default:
      return SmallFloatToFloat(view.dtype, static_cast<const uint8_t*>(view.data)[index]);
  }
}

// The varint that element `index` is written as.
uint64_t LoadVarint(const TensorView& view, uint64_t index) {
  switch (view.dtype) {
    case DType::kI64:
      return ZigZag(static_cast<const int64_t*>(view.data)[index]);
    case DType::kI32:
      return ZigZag(static_cast<const int32_t*>(view.data)[index]);
    case DType::kI16:
      return ZigZag(static_cast<const int16_t*>(view.data)[index]);
    case DType::kI8:
      return ZigZag(static_cast<const int8_t*>(view.data)[index]);
    case DType::kI4:
      return ZigZag((GetNibble(view.data, index) ^ 8) - 8);
    case DType::kU64:
      return static_cast<const uint64_t*>(view.data)[index];
    case DType::kU32:
      return static_cast<const uint32_t*>(view.data)[index];
    case DType::kU16:
      return static_cast<const uint16_t*>(view.data)[index];
    case DType::kU4:
      return GetNibble(view.data, index);
    default:  // kU8, kBool
      return static_cast<const uint8_t*>(view.data)[index];
  }
}

// Numbers that `view` is written as.
uint64_t NumbersOf(const TensorView& view) {
  const auto elements = static_cast<uint64_t>(view.shape.elements());
  return IsComplex(view.dtype) ? 2 * elements : elements;
}

uint64_t PackedContentSize(const TensorView& view, TypedField field) {
  const uint64_t numbers = NumbersOf(view);
  switch (ElementWireType(field)) {
    case WireType::kFixed32:
      return numbers * 4;
    case WireType::kFixed64:
      return numbers * 8;
    default:
      break;
  }
  uint64_t bytes = 0;
  for (uint64_t i = 0; i < numbers; ++i) bytes += VarintSize(LoadVarint(view, i));
  return bytes;
}

// A plain int32 is written like an int64: the upper half repeats its sign.
int64_t SignedValue(TypedField field, SignedForm form, uint64_t bits) {
  if (form == SignedForm::kZigZag) return UnZigZag(bits);
  return field == TypedField::kI32 ? static_cast<int32_t>(bits) : static_cast<int64_t>(bits);
}

absl::Status ReadOne(TypedField field, SignedForm form, WireReader* reader,
                     const MutableTensorView& target, uint64_t index) {
  switch (field) {
    case TypedField::kF32: {
      PARAMD_ASSIGN_OR_RETURN(const uint32_t bits, reader->ReadFixed32());
      StoreFloat(std::bit_cast<float>(bits), target, index);
      return absl::OkStatus();
    }
    case TypedField::kF64: {
      PARAMD_ASSIGN_OR_RETURN(const uint64_t bits, reader->ReadFixed64());
      static_cast<double*>(target.data)[index] = std::bit_cast<double>(bits);
      return absl::OkStatus();
    }
    case TypedField::kI32:
    case TypedField::kI64: {
      PARAMD_ASSIGN_OR_RETURN(const uint64_t bits, reader->ReadVarint());
      return StoreSigned(SignedValue(field, form, bits), target, index);
    }
    default: {
      PARAMD_ASSIGN_OR_RETURN(const uint64_t bits, reader->ReadVarint());
      return StoreUnsigned(bits, target, index);
    }
  }
}

}  // namespace

std::string_view TypedFieldName(TypedField field) {
  switch (field) {
    case TypedField::kNone:
      return "none";
    case TypedField::kF32:
      return "f32";
    case TypedField::kF64:
      return "f64";
    case TypedField::kI32:
      return "i32";
    case TypedField::kI64:
      return "i64";
    case TypedField::kU32:
      return "u32";
    case TypedField::kU64:
      return "u64";
    case TypedField::kBools:
      return "bools";
    case TypedField::kStrings:
      return "strings";
  }
  return "none";
}

TypedField TypedFieldOf(DType dtype) {
  switch (dtype) {
    case DType::kF64:
    case DType::kC128:
      return TypedField::kF64;
    case DType::kI64:
      return TypedField::kI64;
    case DType::kI32:
    case DType::kI16:
    case DType::kI8:
    case DType::kI4:
      return TypedField::kI32;
    case DType::kU64:
      return TypedField::kU64;
    case DType::kU32:
    case DType::kU16:
    case DType::kU8:
    case DType::kU4:
      return TypedField::kU32;
    case DType::kBool:
      return TypedField::kBools;
    case DType::kString:
      return TypedField::kStrings;
    case DType::kUndefined:
      return TypedField::kNone;
    default:
      return TypedField::kF32;
  }
}

DType NaturalType(TypedField field) {
  switch (field) {
    case TypedField::kNone:
      return DType::kUndefined;
    case TypedField::kF32:
      return DType::kF32;
    case TypedField::kF64:
      return DType::kF64;
    case TypedField::kI32:
      return DType::kI32;
    case TypedField::kI64:
      return DType::kI64;
    case TypedField::kU32:
      return DType::kU32;
    case TypedField::kU64:
      return DType::kU64;
    case TypedField::kBools:
      return DType::kBool;
    case TypedField::kStrings:
      return DType::kString;
  }
  return DType::kUndefined;
}

absl::StatusOr<uint64_t> CountTyped(TypedField field, WireType type, WireReader* reader) {
  const WireType element = ElementWireType(field);
  if (type == element) {  // Alone: strings always, numbers when not packed.
    PARAMD_RETURN_IF_ERROR(reader->Skip(type));
    return 1;
  }
  if (type != WireType::kBytes) {
    return absl::InvalidArgumentError(StrCat("field '", TypedFieldName(field),
                                             "' of a tensor has the wrong wire type ",
                                             static_cast<int>(type)));
  }
  PARAMD_ASSIGN_OR_RETURN(WireReader packed, reader->ReadBytes());
  if (element == WireType::kVarint) {
    uint64_t count = 0;
    for (; !packed.done(); ++count) PARAMD_RETURN_IF_ERROR(packed.ReadVarint().status());
    return count;
  }
  const uint64_t size = element == WireType::kFixed32 ? 4 : 8;
  if (packed.left() % size != 0) {
    return absl::InvalidArgumentError(StrCat("field '", TypedFieldName(field), "' has ",
                                             packed.left(), " bytes, not a multiple of ", size));
  }
  return packed.left() / size;
}

absl::Status ReadTyped(TypedField field, SignedForm form, WireType type, WireReader* reader,
                       const MutableTensorView& target, uint64_t* next) {
  if (field == TypedField::kStrings) {
    PARAMD_ASSIGN_OR_RETURN(const WireReader content, reader->ReadBytes());
    std::string& text = static_cast<std::string*>(target.data)[(*next)++];
    text.resize(content.left());
    content.CopyTo(absl::MakeSpan(reinterpret_cast<std::byte*>(text.data()), text.size()));
    return absl::OkStatus();
  }
  if (type != WireType::kBytes) return ReadOne(field, form, reader, target, (*next)++);
  PARAMD_ASSIGN_OR_RETURN(WireReader packed, reader->ReadBytes());
  // The bytes of a packed block are those of the tensor for these two.
  const bool dense =
      (field == TypedField::kF32 && target.dtype == DType::kF32) || field == TypedField::kF64;
  if (dense) {
    const uint64_t size = field == TypedField::kF32 ? 4 : 8;
    const uint64_t bytes = packed.left();
    packed.CopyTo(absl::MakeSpan(static_cast<std::byte*>(target.data) + *next * size, bytes));
    *next += bytes / size;
    return absl::OkStatus();
  }
  while (!packed.done()) {
    PARAMD_RETURN_IF_ERROR(ReadOne(field, form, &packed, target, (*next)++));
  }
  return absl::OkStatus();
}

uint64_t TypedSize(const TensorView& view) {
  const TypedField field = TypedFieldOf(view.dtype);
  if (field == TypedField::kStrings) {
    uint64_t bytes = 0;
    for (const std::string& text : view.as<std::string>()) bytes += BytesFieldSize(text.size());
    return bytes;
  }
  const uint64_t content = PackedContentSize(view, field);
  return content == 0 ? 0 : BytesFieldSize(content);
}

std::byte* WriteTyped(const TensorView& view, std::byte* out) {
  const TypedField field = TypedFieldOf(view.dtype);
  const auto number = static_cast<uint32_t>(field);
  if (field == TypedField::kStrings) {
    for (const std::string& text : view.as<std::string>()) {
      out = WriteRaw(text.data(), text.size(), WriteBytesHead(number, text.size(), out));
    }
    return out;
  }
  const uint64_t content = PackedContentSize(view, field);
  if (content == 0) return out;
  out = WriteBytesHead(number, content, out);
  if (field == TypedField::kF64 || view.dtype == DType::kF32 || view.dtype == DType::kC64) {
    return WriteRaw(view.data, content, out);
  }
  const uint64_t numbers = NumbersOf(view);
  for (uint64_t i = 0; i < numbers; ++i) {
    if (field == TypedField::kF32) {
      const float value = LoadFloat(view, i);
      out = WriteRaw(&value, sizeof(value), out);
    } else {
      out = WriteVarint(LoadVarint(view, i), out);
    }
  }
  return out;
}

}  // namespace paramd
