#include "server/keeper/listening_socket.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "runtime/base/strings.h"
#include "tests/support/status_testing.h"
#include "tests/support/temp_folder.h"

namespace paramd {
namespace {

using ::testing::HasSubstr;

TEST(ListeningSocket, TakesAnyPortAndRefusesATakenOne) {
  ASSERT_OK_AND_ASSIGN(const UniqueFd first, ListenOnTcp("127.0.0.1:0", "--grpc-address"));
  const int port = PortOf(first.get());
  EXPECT_GT(port, 0);
  EXPECT_OK(CheckListening(first.get()));
  EXPECT_THAT(ListenOnTcp(StrCat("127.0.0.1:", port), "--grpc-address").status(),
              StatusIs(absl::StatusCode::kAlreadyExists,
                       HasSubstr("the port is taken. Stop the other process or choose another "
                                 "with --grpc-address")));
  // 192.0.2.0/24 is for documentation: nobody has it.
  EXPECT_THAT(ListenOnTcp("192.0.2.1:0", "--grpc-address").status(),
              StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("not one of this machine's")));
  EXPECT_THAT(ListenOnTcp("nonsense", "--grpc-address").status(),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(ListeningSocket, AUnixSocketIsPrivateAndReplacesOnlyADeadOne) {
  TempFolder folder;
  const std::string path = folder.path("made/admin.sock");
  UniqueFd first;
  { ASSERT_OK_AND_ASSIGN(first, ListenOnUnix(path)); }
  struct stat found = {};
  ASSERT_EQ(stat(path.c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 0777, 0600u);
  ASSERT_EQ(stat(folder.path("made").c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 0777, 0700u);
  EXPECT_EQ(PortOf(first.get()), 0);
  EXPECT_THAT(ListenOnUnix(path).status(),
              StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("another process listens")));
  first.Reset();  // Its process died; the file is still there.
  ASSERT_TRUE(std::filesystem::exists(path));
  EXPECT_OK(ListenOnUnix(path).status());
}

TEST(ListeningSocket, NeverRemovesWhatIsNoSocket) {
  TempFolder folder;
  const std::string path = folder.Write("precious", "data");
  EXPECT_THAT(ListenOnUnix(path).status(),
              StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("no socket")));
  EXPECT_TRUE(std::filesystem::is_regular_file(path));
  EXPECT_THAT(ListenOnUnix(folder.path(std::string(200, 'x'))).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("bytes, allowed are")));
}

TEST(ListeningSocket, OnlyADefaultAdminSocketMayBeMissing) {
  TempFolder folder;
  ServerConfig config;
  config.admin_socket = folder.Write("precious", "data");
  EXPECT_FALSE(ListenForAdmin(config).ok());
  config.admin_socket_is_default = true;
  ASSERT_OK_AND_ASSIGN(const UniqueFd none, ListenForAdmin(config));
  EXPECT_FALSE(none.valid());
  config.admin_socket = "";
  ASSERT_OK_AND_ASSIGN(const UniqueFd off, ListenForAdmin(config));
  EXPECT_FALSE(off.valid());
}

TEST(ListeningSocket, WhatDoesNotListenIsNotTakenOver) {
  const UniqueFd plain(socket(AF_INET, SOCK_STREAM, 0));
  EXPECT_FALSE(CheckListening(plain.get()).ok());
  EXPECT_FALSE(CheckListening(-1).ok());
}

}  // namespace
}  // namespace paramd
