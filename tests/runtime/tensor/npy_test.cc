#include "runtime/tensor/npy.h"

#include <cstring>
#include <string>
#include <vector>

#include "tests/support/status_testing.h"

namespace paramd {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

absl::StatusOr<Tensor> Parse(const std::string& file) {
  return ParseNpy({reinterpret_cast<const std::byte*>(file.data()), file.size()});
}

// A version 1 file around `header` and `data`.
std::string File(std::string header, const std::string& data) {
  std::string file("\x93NUMPY\x01\x00", 8);
  file.push_back(static_cast<char>(header.size() & 0xff));
  file.push_back(static_cast<char>(header.size() >> 8));
  return file + header + data;
}

TEST(Npy, ReadsWhatItWrites) {
  const std::vector<float> values = {1, 2, 3, 4, 5, 6};
  const Tensor tensor = Tensor::Of<float>(DType::kF32, {2, 3}, values);
  ASSERT_OK_AND_ASSIGN(const std::string file, ToNpy(tensor.view()));
  ASSERT_OK_AND_ASSIGN(const Tensor back, Parse(file));
  EXPECT_EQ(back.dtype(), DType::kF32);
  EXPECT_EQ(back.shape(), (Shape{2, 3}));
  EXPECT_EQ(std::memcmp(back.view().data, values.data(), 24), 0);
}

TEST(Npy, ReadsScalarsAndEmptyTensors) {
  const std::string data("\x07\0\0\0\0\0\0\0", 8);
  ASSERT_OK_AND_ASSIGN(
      const Tensor scalar,
      Parse(File("{'descr': '<i8', 'fortran_order': False, 'shape': (), }", data)));
  EXPECT_THAT(scalar.view().as<int64_t>(), ElementsAre(7));
  ASSERT_OK_AND_ASSIGN(
      const Tensor empty,
      Parse(File("{'descr': '<f4', 'fortran_order': False, 'shape': (0, 4), }", "")));
  EXPECT_EQ(empty.shape(), (Shape{0, 4}));
}

TEST(Npy, RefusesHostileFiles) {
  const struct {
    std::string file;
    const char* message;
  } kCases[] = {
      {"", "does not start"},
      {"\x93NUMPY", "does not start"},
      {std::string("\x93NUMPY\x09\x00\x00\x00", 10), "version 9"},
      {std::string("\x93NUMPY\x02\x00\xff\xff\xff\xff", 12), "claims 4294967295"},
      {File("{}", ""), "no 'descr'"},
      {File("{'descr': '<f4', 'fortran_order': False}", ""), "no 'shape'"},
      {File("{'descr': '>f4', 'fortran_order': False, 'shape': (1,)}", "abcd"), "'>f4'"},
      {File("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", "abcd"), "'|O'"},
      {File("{'descr': '<f4', 'fortran_order': True, 'shape': (1,)}", "abcd"), "Fortran"},
      {File("{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", "abcd"), "asks for 8"},
      {File("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}", "abcd"), "tuple"},
      {File("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}", ""),
       "too large"},
      {File("{'descr': '<f4', 'fortran_order': False, 'shape': (999999999,999999999,999999999)}",
            ""),
       "2^62"},
      {File("{'descr': '<f4', 'fortran_order': False, 'shape': (1", ""), "tuple"},
  };
  for (const auto& bad : kCases) {
    SCOPED_TRACE(bad.message);
    EXPECT_THAT(Parse(bad.file),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(bad.message)));
  }
}

TEST(Npy, SaysWhichFileIsMissing) {
  EXPECT_THAT(ReadNpyFile("/nowhere/x.npy"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("/nowhere/x.npy")));
}

TEST(Npy, RefusesTypesThatNumPyHasNot) {
  const Tensor tensor(DType::kBF16, {1});
  EXPECT_THAT(ToNpy(tensor.view()),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("bf16")));
}

}  // namespace
}  // namespace paramd
