// PARAMD_RETURN_IF_ERROR and PARAMD_ASSIGN_OR_RETURN: hand an error upwards.
#ifndef PARAMD_RUNTIME_BASE_STATUS_MACROS_H_
#define PARAMD_RUNTIME_BASE_STATUS_MACROS_H_

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#define PARAMD_RETURN_IF_ERROR(expr)                                \
  do {                                                              \
    if (absl::Status paramd_status = (expr); !paramd_status.ok()) { \
      return paramd_status;                                         \
    }                                                               \
  } while (false)

#define PARAMD_STATUS_CONCAT_INNER(a, b) a##b
#define PARAMD_STATUS_CONCAT(a, b) PARAMD_STATUS_CONCAT_INNER(a, b)
#define PARAMD_ASSIGN_OR_RETURN(lhs, expr) \
  PARAMD_ASSIGN_OR_RETURN_IMPL(PARAMD_STATUS_CONCAT(paramd_statusor_, __LINE__), lhs, expr)
#define PARAMD_ASSIGN_OR_RETURN_IMPL(var, lhs, expr) \
  auto var = (expr);                                 \
  if (!var.ok()) return std::move(var).status();     \
  lhs = std::move(var).value()

#endif  // PARAMD_RUNTIME_BASE_STATUS_MACROS_H_
