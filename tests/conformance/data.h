// Random operands for a case, from a seed that is printed.
//
// Thread-safety: pure functions.
#ifndef PARAMD_TESTS_CONFORMANCE_DATA_H_
#define PARAMD_TESTS_CONFORMANCE_DATA_H_

#include <cstdint>
#include <random>

#include "runtime/tensor/tensor_view.h"
#include "tests/conformance/cases.h"

namespace paramd::conformance {

// 1, or what --gtest_random_seed says.
uint64_t Seed();

// One tensor of the operand's type and shape; an empty Tensor where it is absent.
Tensor Fill(const Operand& operand, Data data, int64_t index_range, std::mt19937_64& random);

// One tensor for every operand of the case.
std::vector<Tensor> FillAll(const Case& c, std::mt19937_64& random);

}  // namespace paramd::conformance

#endif  // PARAMD_TESTS_CONFORMANCE_DATA_H_
