#include "server/repository/model_repository.h"

#include <filesystem>
#include <limits>
#include <string>

#include "tests/support/status_testing.h"
#include "tests/support/temp_folder.h"

namespace paramd {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

RepositoryListing Scan(const TempFolder& folder) {
  const auto repository = ModelRepository::Open(folder.path());
  EXPECT_OK(repository.status());
  const auto listing = (*repository)->Scan();
  EXPECT_OK(listing.status());
  return *listing;
}

const RepositoryModel& Find(const RepositoryListing& listing, const std::string& name) {
  for (const RepositoryModel& model : listing.models) {
    if (model.name == name) return model;
  }
  ADD_FAILURE() << "no model " << name;
  static const RepositoryModel none;
  return none;
}

TEST(ModelRepository, ListsModelsAndVersionsInOrderOfTheirNumbers) {
  TempFolder folder;
  folder.Write("digits/2/model.onnx", "x");
  folder.Write("digits/10/model.onnx", "x");
  folder.Write("digits/9/model.onnx", "x");
  folder.Write("house-price/1/model.onnx", "x");

  const RepositoryListing listing = Scan(folder);

  ASSERT_THAT(listing.models, SizeIs(2));
  EXPECT_EQ(listing.models[0].name, "digits");
  EXPECT_EQ(listing.models[1].name, "house-price");
  const RepositoryModel& digits = listing.models[0];
  EXPECT_OK(digits.status);
  ASSERT_THAT(digits.versions, SizeIs(3));
  EXPECT_EQ(digits.versions[0].number, 2);
  EXPECT_EQ(digits.versions[2].number, 10);
  EXPECT_EQ(digits.versions[2].model_file, "digits/10/model.onnx");
  EXPECT_THAT(digits.selected, ElementsAre(10));
  EXPECT_FALSE(digits.has_config);
  EXPECT_THAT(listing.warnings, IsEmpty());
}

TEST(ModelRepository, VersionPolicyOfTheConfigurationSelects) {
  TempFolder folder;
  for (const char* version : {"1", "2", "3"}) {
    folder.Write(std::string("a/") + version + "/model.onnx", "x");
    folder.Write(std::string("b/") + version + "/model.onnx", "x");
    folder.Write(std::string("c/") + version + "/model.onnx", "x");
    folder.Write(std::string("d/") + version + "/model.onnx", "x");
  }
  folder.Write("a/config.pbtxt", "version_policy { all {} }");
  folder.Write("b/config.pbtxt", "version_policy { latest { num_versions: 2 } }");
  folder.Write("c/config.pbtxt", "version_policy { specific { versions: [3, 1, 7] } }");
  folder.Write("d/config.pbtxt", "version_policy { specific { versions: 8 } }");

  const RepositoryListing listing = Scan(folder);

  EXPECT_THAT(Find(listing, "a").selected, ElementsAre(1, 2, 3));
  EXPECT_THAT(Find(listing, "b").selected, ElementsAre(2, 3));
  EXPECT_THAT(Find(listing, "c").selected, ElementsAre(1, 3));
  EXPECT_THAT(Find(listing, "d").status,
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("version_policy")));
}

TEST(ModelRepository, OneBadModelNeverHidesTheOthers) {
  TempFolder folder;
  folder.Write("good/1/model.onnx", "x");
  folder.Write("bad-config/1/model.onnx", "x");
  folder.Write("bad-config/config.pbtxt", "max_batch_size: {");
  folder.Write("_bad name/1/model.onnx", "x");
  folder.MakeFolder("empty");
  folder.MakeFolder("no-model/1");
  folder.Write("other-name/1/model.onnx", "x");
  folder.Write("other-name/config.pbtxt", "name: \"something\"");
  folder.Write("net.onnx", "x");
  folder.Write("README.md", "a file beside the models");

  const RepositoryListing listing = Scan(folder);

  EXPECT_OK(Find(listing, "good").status);
  EXPECT_THAT(Find(listing, "bad-config").status,
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("config.pbtxt: line 1")));
  EXPECT_THAT(Find(listing, "bad-config").selected, IsEmpty());
  EXPECT_THAT(Find(listing, "_bad name").status,
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("does not start with")));
  EXPECT_THAT(Find(listing, "empty").status,
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("expected empty/1/model.onnx")));
  EXPECT_THAT(Find(listing, "no-model").status,
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("has no model.onnx")));
  EXPECT_THAT(Find(listing, "other-name").status,
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("'something'")));
  // README.md harms nobody; a model in the wrong place does.
  EXPECT_THAT(listing.warnings,
              ElementsAre("'net.onnx' is not a folder: expected <model>/<version>/net.onnx"));
}

TEST(ModelRepository, AVersionWithoutAModelIsNotSelectedAndTheOlderOneIs) {
  TempFolder folder;
  folder.Write("m/1/model.onnx", "x");
  folder.MakeFolder("m/2");
  folder.MakeFolder("m/3/model.onnx");  // A folder of that name.

  const RepositoryModel model = Scan(folder).models.at(0);

  EXPECT_OK(model.status);
  EXPECT_THAT(model.selected, ElementsAre(1));
  EXPECT_THAT(model.versions[1].status, StatusIs(absl::StatusCode::kNotFound));
  EXPECT_FALSE(model.versions[2].status.ok());
}

TEST(ModelRepository, OddVersionFoldersAreWarnedAboutAndNeverServed) {
  TempFolder folder;
  folder.Write("m/1/model.onnx", "x");
  folder.Write("m/007/model.onnx", "x");
  folder.Write("m/0/model.onnx", "x");
  folder.Write("m/99999999999999999999/model.onnx", "x");
  folder.Write("m/9223372036854775808/model.onnx", "x");
  folder.Write("m/latest/model.onnx", "x");
  folder.Write("m/-1/model.onnx", "x");
  folder.Write("m/labels.txt", "cat\n");

  const RepositoryModel model = Scan(folder).models.at(0);

  EXPECT_THAT(model.versions, SizeIs(1));
  EXPECT_THAT(model.warnings, SizeIs(4));
}

TEST(ModelRepository, HiddenEntriesAreLeftAlone) {
  TempFolder folder;
  folder.Write(".git/HEAD", "x");
  folder.Write("..2026_11_24/m/1/model.onnx", "x");
  folder.Write("m~/1/model.onnx", "x");
  folder.Write("m/.cache/1", "x");
  folder.Write("m/1/model.onnx", "x");
  const RepositoryListing listing = Scan(folder);
  EXPECT_THAT(listing.models, SizeIs(1));
  EXPECT_THAT(listing.warnings, IsEmpty());
}

// How a ConfigMap, git-sync or a Hugging Face cache looks.
TEST(ModelRepository, LinksThatStayInsideTheRootAreFollowed) {
  TempFolder folder;
  folder.Write("..data-7/digits/1/model.onnx", "x");
  folder.Link("..data-7", "..data");
  folder.Link("..data/digits", "digits");
  folder.Write(".blobs/abc", "x");
  folder.MakeFolder("hub/1");
  folder.Link("../../.blobs/abc", "hub/1/model.onnx");
  folder.Link("../digits/1", "again/1");

  const RepositoryListing listing = Scan(folder);

  ASSERT_THAT(listing.models, SizeIs(3));
  EXPECT_OK(Find(listing, "digits").status);
  EXPECT_OK(Find(listing, "hub").status);
  EXPECT_OK(Find(listing, "again").status);
}

TEST(ModelRepository, LinksThatLeadOutsideAreRefusedByName) {
  TempFolder outside;
  outside.Write("secret/1/model.onnx", "x");
  outside.Write("config.pbtxt", "max_batch_size: 1");
  TempFolder folder;
  folder.Link(outside.path("secret"), "absolute");
  folder.Link("../" + std::filesystem::path(outside.path()).filename().string() + "/secret",
              "relative");
  folder.Link(outside.path("secret/1"), "version/1");
  folder.MakeFolder("file/1");
  folder.Link(outside.path("secret/1/model.onnx"), "file/1/model.onnx");
  folder.Write("config/1/model.onnx", "x");
  folder.Link(outside.path("config.pbtxt"), "config/config.pbtxt");
  folder.Link("nowhere", "broken");
  folder.Link("loop-b", "loop-a");
  folder.Link("loop-a", "loop-b");

  const RepositoryListing listing = Scan(folder);

  for (const char* name : {"absolute", "relative", "version", "file", "config"}) {
    EXPECT_THAT(Find(listing, name).status, StatusIs(absl::StatusCode::kPermissionDenied)) << name;
    EXPECT_THAT(Find(listing, name).selected, IsEmpty());
    EXPECT_THAT(std::string(Find(listing, name).status.message()), Not(HasSubstr(outside.path())));
  }
  EXPECT_FALSE(Find(listing, "loop-a").status.ok());
  EXPECT_THAT(listing.warnings, ElementsAre(HasSubstr("'broken' is a link to nothing")));
}

TEST(ModelRepository, AnOversizedOrOddConfigurationIsTheModelsError) {
  TempFolder folder;
  folder.Write("big/1/model.onnx", "x");
  folder.Write("big/config.pbtxt", std::string(static_cast<size_t>(kModelConfigBytesMax) + 1, '#'));
  folder.Write("dir/1/model.onnx", "x");
  folder.MakeFolder("dir/config.pbtxt");
  folder.Write("empty/1/model.onnx", "x");
  folder.Write("empty/config.pbtxt", "");
  const RepositoryListing listing = Scan(folder);
  EXPECT_THAT(Find(listing, "big").status, StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_FALSE(Find(listing, "dir").status.ok());
  EXPECT_OK(Find(listing, "empty").status);
}

TEST(ModelRepository, UnusedFieldsBecomeWarningsWithTheFilesName) {
  TempFolder folder;
  folder.Write("m/1/model.onnx", "x");
  folder.Write("m/config.pbtxt", "optimization { graph { level: 1 } }");
  const RepositoryModel model = Scan(folder).models.at(0);
  EXPECT_OK(model.status);
  EXPECT_THAT(model.warnings, ElementsAre("m/config.pbtxt: 'optimization' is not used by paramd"));
}

TEST(ModelRepository, TheConfiguredFileNameIsLookedFor) {
  TempFolder folder;
  folder.Write("m/1/net.onnx", "x");
  folder.Write("m/config.pbtxt", "default_model_filename: \"net.onnx\"");
  const RepositoryModel model = Scan(folder).models.at(0);
  EXPECT_OK(model.status);
  EXPECT_EQ(model.versions.at(0).model_file, "m/1/net.onnx");
}

TEST(ModelRepository, ScanModelNeverLeavesTheRoot) {
  TempFolder folder;
  folder.Write("root/m/1/model.onnx", "x");
  folder.Write("beside/1/model.onnx", "x");
  ASSERT_OK_AND_ASSIGN(const auto repository, ModelRepository::Open(folder.path("root")));
  EXPECT_OK(repository->ScanModel("m"));
  for (const std::string& name :
       {std::string("../beside"), std::string(".."), std::string("."), std::string(""),
        std::string("m/1"), std::string("/etc"), std::string("m\0x", 3)}) {
    EXPECT_THAT(repository->ScanModel(name), StatusIs(absl::StatusCode::kInvalidArgument)) << name;
  }
  EXPECT_THAT(repository->ScanModel("absent"), StatusIs(absl::StatusCode::kNotFound));
}

TEST(ModelRepository, SeesWhatChangedSinceTheLastScan) {
  TempFolder folder;
  folder.Write("m/1/model.onnx", "x");
  ASSERT_OK_AND_ASSIGN(const auto repository, ModelRepository::Open(folder.path()));
  EXPECT_THAT(repository->Scan()->models.at(0).selected, ElementsAre(1));
  folder.Write("m/2/model.onnx", "x");
  EXPECT_THAT(repository->Scan()->models.at(0).selected, ElementsAre(2));
  std::filesystem::remove_all(folder.path("m"));
  EXPECT_THAT(repository->Scan()->models, IsEmpty());
}

TEST(ModelRepository, ARootThatIsNoFolderIsAnError) {
  TempFolder folder;
  folder.Write("file", "x");
  EXPECT_THAT(ModelRepository::Open(folder.path("absent")), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_FALSE(ModelRepository::Open(folder.path("file")).ok());
}

TEST(Names, ModelNamesMatchThePattern) {
  for (const char* name : {"a", "A9", "house-price", "x.y_z-1", "0", "efficientnet-lite0"}) {
    EXPECT_OK(CheckModelName(name)) << name;
  }
  EXPECT_OK(CheckModelName(std::string(128, 'a')));
  for (const std::string& name :
       {std::string(), std::string(129, 'a'), std::string("."), std::string(".."),
        std::string("-a"), std::string("_a"), std::string("a/b"), std::string("a b"),
        std::string("a\n"), std::string("\xc3\xa9"), std::string("a\0b", 3)}) {
    EXPECT_THAT(CheckModelName(name), StatusIs(absl::StatusCode::kInvalidArgument)) << name;
  }
}

TEST(Names, LabelsAreNeverNumbers) {
  EXPECT_OK(CheckLabel("default"));
  EXPECT_OK(CheckLabel("7a"));
  EXPECT_THAT(CheckLabel("7"), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(CheckLabel(""), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(Names, VersionsAreDecimalFromOneTo63Bits) {
  EXPECT_EQ(ParseVersionNumber("1"), 1);
  EXPECT_EQ(ParseVersionNumber("9223372036854775807"), std::numeric_limits<int64_t>::max());
  for (const char* text : {"", "0", "01", "-1", "+1", " 1", "1 ", "1a", "9223372036854775808",
                           "99999999999999999999", "0x1", "1.0"}) {
    EXPECT_EQ(ParseVersionNumber(text), std::nullopt) << text;
  }
}

TEST(SelectVersions, IsAFunctionOfPolicyAndNumbersAlone) {
  VersionPolicy latest;
  EXPECT_THAT(SelectVersions(latest, {}), IsEmpty());
  EXPECT_THAT(SelectVersions(latest, {3, 1, 2}), ElementsAre(3));
  latest.latest_count = 2;
  EXPECT_THAT(SelectVersions(latest, {3, 1, 2, 3}), ElementsAre(2, 3));
  latest.latest_count = 4'000'000'000;
  EXPECT_THAT(SelectVersions(latest, {3, 1}), ElementsAre(1, 3));
  const VersionPolicy all = {.kind = VersionPolicy::Kind::kAll};
  EXPECT_THAT(SelectVersions(all, {5, 4}), ElementsAre(4, 5));
  const VersionPolicy specific = {.kind = VersionPolicy::Kind::kSpecific, .versions = {2, 9}};
  EXPECT_THAT(SelectVersions(specific, {1, 2, 3}), ElementsAre(2));
}

}  // namespace
}  // namespace paramd
