// OnnxBytes: writes ONNX files field by field, wrong ones too, which a library
// would refuse to write.
//
// Thread-safety: pure functions.
#ifndef PARAMD_TESTS_RUNTIME_CHECKPOINTS_ONNX_BYTES_H_
#define PARAMD_TESTS_RUNTIME_CHECKPOINTS_ONNX_BYTES_H_

#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

namespace paramd::onnx_bytes {

inline std::string Varint(uint64_t value) {
  std::string out;
  while (value >= 0x80) {
    out += static_cast<char>(value | 0x80);
    value >>= 7;
  }
  out += static_cast<char>(value);
  return out;
}
inline std::string Number(int field, uint64_t value) {
  return Varint(static_cast<uint64_t>(field) << 3) + Varint(value);
}
inline std::string Bytes(int field, std::string_view bytes) {
  return Varint(static_cast<uint64_t>(field) << 3 | 2) + Varint(bytes.size()) + std::string(bytes);
}
inline std::string Fixed32(int field, std::string_view four) {
  return Varint(static_cast<uint64_t>(field) << 3 | 5) + std::string(four);
}
template <typename T>
std::string Raw(std::initializer_list<T> values) {
  std::string out(values.size() * sizeof(T), '\0');
  std::memcpy(out.data(), std::data(values), out.size());
  return out;
}
inline std::string Varints(std::initializer_list<int64_t> values) {
  std::string out;
  for (int64_t value : values) out += Varint(static_cast<uint64_t>(value));
  return out;
}

// A TensorProto; `data` is one or more fields made with the above.
inline std::string Tensor(std::string_view name, std::vector<int64_t> dims, int type,
                          std::string_view data) {
  std::string out;
  for (int64_t dim : dims) out += Number(1, static_cast<uint64_t>(dim));
  out += Number(2, static_cast<uint64_t>(type));
  if (!name.empty()) out += Bytes(8, name);
  return out + std::string(data);
}
inline std::string External(std::string_view key, std::string_view value) {
  return Bytes(13, Bytes(1, key) + Bytes(2, value));
}
inline std::string Initializer(std::string_view tensor) { return Bytes(5, tensor); }
inline std::string Node(std::string_view fields) { return Bytes(1, fields); }
// A Constant node whose value is `tensor`.
inline std::string Constant(std::string_view output, std::string_view tensor) {
  return Node(Bytes(2, output) + Bytes(4, "Constant") +
              Bytes(5, Bytes(1, "value") + Bytes(5, tensor) + Number(20, 4)));
}
// A node with a graph inside.
inline std::string If(std::string_view output, std::string_view graph) {
  return Node(Bytes(2, output) + Bytes(4, "If") +
              Bytes(5, Bytes(1, "then_branch") + Bytes(6, graph) + Number(20, 5)));
}
inline std::string Model(std::string_view graph) {
  return Number(1, 8) + Bytes(2, "test") + Bytes(7, graph) + Bytes(8, Number(2, 17));
}

}  // namespace paramd::onnx_bytes

#endif  // PARAMD_TESTS_RUNTIME_CHECKPOINTS_ONNX_BYTES_H_
