#include "runtime/tensor/npy.h"

#include <cctype>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>
#include <string_view>

#include "runtime/base/status_macros.h"
#include "runtime/base/strings.h"

namespace paramd {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr size_t kHeaderBytesMax = 64 << 10;

struct NpyType {
  std::string_view descr;
  DType dtype;
};
// '<' little-endian, '|' no order (one byte).
constexpr NpyType kTypes[] = {
    {"<f4", DType::kF32}, {"<f8", DType::kF64},   {"<f2", DType::kF16}, {"<i8", DType::kI64},
    {"<i4", DType::kI32}, {"<i2", DType::kI16},   {"|i1", DType::kI8},  {"<u8", DType::kU64},
    {"<u4", DType::kU32}, {"<u2", DType::kU16},   {"|u1", DType::kU8},  {"|b1", DType::kBool},
    {"<c8", DType::kC64}, {"<c16", DType::kC128},
};

absl::Status Bad(std::string_view what) {
  return absl::InvalidArgumentError(StrCat("not a usable .npy file: ", what));
}

// What follows `'key':` in the header's Python dictionary.
std::optional<std::string_view> ValueOf(std::string_view header, std::string_view key) {
  const size_t at = header.find(StrCat("'", key, "':"));
  if (at == std::string_view::npos) return std::nullopt;
  std::string_view value = header.substr(at + key.size() + 3);
  value.remove_prefix(std::min(value.find_first_not_of(' '), value.size()));
  return value;
}

absl::StatusOr<DType> ParseDescr(std::string_view header) {
  const auto value = ValueOf(header, "descr");
  if (!value.has_value() || value->size() < 2 || (*value)[0] != '\'') return Bad("no 'descr'");
  const std::string_view descr = value->substr(1, value->substr(1).find('\''));
  for (const NpyType& type : kTypes) {
    if (type.descr == descr) return type.dtype;
  }
  return Bad(StrCat("type '", descr.substr(0, 16), "' is not supported"));
}

absl::StatusOr<Shape> ParseShape(std::string_view header) {
  const auto value = ValueOf(header, "shape");
  if (!value.has_value() || !value->starts_with('(')) return Bad("no 'shape'");
  std::string_view text = value->substr(1);
  Shape shape;
  while (true) {
    text.remove_prefix(std::min(text.find_first_not_of(" ,"), text.size()));
    if (text.starts_with(')')) return shape;
    int64_t dim = 0;
    size_t digits = 0;
    for (; digits < text.size() && std::isdigit(static_cast<unsigned char>(text[digits]));
         ++digits) {
      if (digits >= 18) return Bad("a dimension is too large");
      dim = dim * 10 + (text[digits] - '0');
    }
    if (digits == 0) return Bad("'shape' is not a tuple of numbers");
    if (shape.rank() >= kRankMax) return Bad(StrCat("more than ", kRankMax, " dimensions"));
    shape.push_back(dim);
    text.remove_prefix(digits);
  }
}

struct FileCloser {
  void operator()(std::FILE* file) const { std::fclose(file); }
};

}  // namespace

absl::StatusOr<Tensor> ParseNpy(absl::Span<const std::byte> file) {
  const std::string_view bytes(reinterpret_cast<const char*>(file.data()), file.size());
  if (!bytes.starts_with(kMagic) || bytes.size() < 10) return Bad("it does not start as one");
  const auto major = static_cast<uint8_t>(bytes[6]);
  if (major < 1 || major > 3) return Bad(StrCat("version ", static_cast<int>(major)));
  const size_t length_bytes = major == 1 ? 2 : 4;
  const size_t header_at = 8 + length_bytes;
  if (bytes.size() < header_at) return Bad("it ends in its header");
  uint32_t length = 0;
  std::memcpy(&length, bytes.data() + 8, length_bytes);
  if (length > kHeaderBytesMax || length > bytes.size() - header_at) {
    return Bad(StrCat("its header claims ", length, " bytes"));
  }
  const std::string_view header = bytes.substr(header_at, length);
  PARAMD_ASSIGN_OR_RETURN(const DType dtype, ParseDescr(header));
  PARAMD_ASSIGN_OR_RETURN(const Shape shape, ParseShape(header));
  const auto order = ValueOf(header, "fortran_order");
  if (!order.has_value() || !order->starts_with("False")) {
    return Bad("it is in Fortran order; save it with numpy.ascontiguousarray");
  }
  PARAMD_ASSIGN_OR_RETURN(const uint64_t expected, CheckedBytes(dtype, shape.dims()));
  const std::string_view data = bytes.substr(header_at + length);
  if (data.size() != expected) {
    return Bad(StrCat("it has ", data.size(), " bytes of data, its shape ", shape.ToString(),
                      " asks for ", expected));
  }
  return Tensor::CopyOf({dtype, shape, data.data()});
}

absl::StatusOr<Tensor> ReadNpyFile(const std::string& path, uint64_t bytes_max) {
  const std::unique_ptr<std::FILE, FileCloser> file(std::fopen(path.c_str(), "rb"));
  if (file == nullptr) return absl::NotFoundError(StrCat("cannot open ", path));
  std::string bytes;
  char chunk[1 << 16];
  while (const size_t got = std::fread(chunk, 1, sizeof(chunk), file.get())) {
    bytes.append(chunk, got);
    if (bytes.size() > bytes_max) {
      return absl::InvalidArgumentError(StrCat(path, " has more than ", bytes_max, " bytes"));
    }
  }
  absl::StatusOr<Tensor> tensor =
      ParseNpy({reinterpret_cast<const std::byte*>(bytes.data()), bytes.size()});
  if (!tensor.ok()) {
    return absl::InvalidArgumentError(StrCat(path, ": ", FromAbsl(tensor.status().message())));
  }
  return tensor;
}

absl::StatusOr<std::string> ToNpy(const TensorView& tensor) {
  for (const NpyType& type : kTypes) {
    if (type.dtype != tensor.dtype) continue;
    std::string header = StrCat("{'descr': '", type.descr, "', 'fortran_order': False, 'shape': (");
    for (const int64_t dim : tensor.shape.dims()) StrAppend(&header, dim, ",");
    StrAppend(&header, "), }");
    // Data starts at a multiple of 64, the header ends in a newline.
    while ((10 + header.size() + 1) % 64 != 0) header.push_back(' ');
    header.push_back('\n');
    std::string file(kMagic);
    file.push_back('\x01');
    file.push_back('\x00');
    file.push_back(static_cast<char>(header.size() & 0xff));
    file.push_back(static_cast<char>(header.size() >> 8));
    file += header;
    file.append(static_cast<const char*>(tensor.data), tensor.bytes());
    return file;
  }
  return absl::InvalidArgumentError(StrCat("NumPy has no type for ", DTypeName(tensor.dtype)));
}

}  // namespace paramd
