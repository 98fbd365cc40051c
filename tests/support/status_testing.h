// ASSERT_OK, EXPECT_OK, ASSERT_OK_AND_ASSIGN, StatusIs and IsOkAndHolds for tests.
#ifndef PARAMD_TESTS_SUPPORT_STATUS_TESTING_H_
#define PARAMD_TESTS_SUPPORT_STATUS_TESTING_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/status/status_matchers.h"
#include "runtime/base/status_macros.h"

#define ASSERT_OK(expr) ASSERT_THAT((expr), ::absl_testing::IsOk())
#define EXPECT_OK(expr) EXPECT_THAT((expr), ::absl_testing::IsOk())
#define ASSERT_OK_AND_ASSIGN(lhs, expr) \
  ASSERT_OK_AND_ASSIGN_IMPL(PARAMD_STATUS_CONCAT(test_statusor_, __LINE__), lhs, expr)
#define ASSERT_OK_AND_ASSIGN_IMPL(var, lhs, expr) \
  auto var = (expr);                              \
  ASSERT_TRUE(var.ok()) << var.status();          \
  lhs = std::move(var).value()

namespace paramd {
using ::absl_testing::IsOk;
using ::absl_testing::IsOkAndHolds;
using ::absl_testing::StatusIs;
}  // namespace paramd

#endif  // PARAMD_TESTS_SUPPORT_STATUS_TESTING_H_
