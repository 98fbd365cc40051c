#include "server/rpc/status_mapping.h"

#include <string>

#include "tests/support/status_testing.h"

namespace paramd {
namespace {

TEST(StatusMapping, EveryCodeKeepsItsNumber) {
  for (int number = 1; number <= 16; ++number) {
    const auto code = static_cast<absl::StatusCode>(number);
    if (code == absl::StatusCode::kUnknown) continue;
    const grpc::Status mapped = ToGrpcStatus(absl::Status(code, "why"));
    EXPECT_EQ(static_cast<int>(mapped.error_code()), number);
    EXPECT_EQ(mapped.error_message(), "why");
  }
  EXPECT_TRUE(ToGrpcStatus(absl::OkStatus()).ok());
}

TEST(StatusMapping, WhatNobodyClassifiedIsOursAndSaysNothing) {
  const grpc::Status mapped = ToGrpcStatus(absl::UnknownError("secret"));
  EXPECT_EQ(mapped.error_code(), grpc::StatusCode::INTERNAL);
  EXPECT_EQ(mapped.error_message().find("secret"), std::string::npos);
}

TEST(StatusMapping, WhereTheRepositoryLiesIsCutOut) {
  EXPECT_EQ(WithoutRoot("/srv/models/digits/1: no file in /srv/models//x", "/srv/models"),
            "digits/1: no file in x");
  EXPECT_EQ(WithoutRoot("text", ""), "text");
}

TEST(StatusMapping, AMessageFitsIntoATrailer) {
  const grpc::Status mapped = ToGrpcStatus(absl::NotFoundError(std::string(100000, 'x')));
  EXPECT_LE(mapped.error_message().size(), 4096u);
  EXPECT_TRUE(mapped.error_message().ends_with("..."));
}

}  // namespace
}  // namespace paramd
