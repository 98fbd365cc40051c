#include "server/repository/repository_check.h"

#include <string>
#include <vector>

#include "tests/support/status_testing.h"
#include "tests/support/temp_folder.h"

namespace paramd {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(RepositoryCheck, AGoodRepositoryHasNoFindings) {
  TempFolder folder;
  folder.Write("a/1/model.onnx", "x");
  folder.Write("b/1/model.onnx", "x");
  folder.Write("b/2/model.onnx", "x");
  ASSERT_OK_AND_ASSIGN(const CheckReport report, CheckRepository(folder.path(), {}));
  EXPECT_EQ(report.models, 2);
  EXPECT_EQ(report.versions, 2);
  EXPECT_TRUE(report.findings.empty());
  EXPECT_EQ(CheckReportText(report), "2 models, 2 versions to serve, 0 errors, 0 warnings\n");
}

TEST(RepositoryCheck, ReportsEachFaultOnceWithItsPlace) {
  TempFolder folder;
  folder.Write("a/1/model.onnx", "x");
  folder.Write("a/config.pbtxt", "\n\nmax_batchsize: 3\n");
  folder.MakeFolder("b/4");
  folder.Write("c/1/model.onnx", "x");
  folder.Write("c/config.pbtxt",
               "version_policy { specific { versions: [1, 2] } } optimization {}");
  folder.Write("d\x1b[31m/1/model.onnx", "x");

  ASSERT_OK_AND_ASSIGN(const CheckReport report, CheckRepository(folder.path(), {}));

  EXPECT_EQ(report.errors(), 3) << CheckReportText(report);
  EXPECT_EQ(report.warnings(), 2) << CheckReportText(report);
  const std::string text = CheckReportText(report);
  EXPECT_THAT(text, HasSubstr("error    a: a/config.pbtxt: line 3:"));
  EXPECT_THAT(text, HasSubstr("error    b 4: 'b/4' has no model.onnx"));
  EXPECT_THAT(text, HasSubstr("warning  c 2: version_policy names it"));
  EXPECT_THAT(text, HasSubstr("'optimization' is not used"));
  EXPECT_THAT(text, Not(HasSubstr("\x1b")));
}

TEST(RepositoryCheck, AsksTheDeepCheckAboutTheVersionsThatWouldBeServed) {
  TempFolder folder;
  folder.Write("a/1/model.onnx", "x");
  folder.Write("a/2/model.onnx", "x");
  folder.MakeFolder("b/1");
  std::vector<std::string> asked;
  CheckOptions options;
  options.deep = [&asked](const ModelRepository& repository, const RepositoryModel&,
                          const RepositoryVersion& version) -> absl::Status {
    asked.push_back(version.folder);
    EXPECT_OK(repository.directory().OpenFile(version.model_file));
    return absl::UnimplementedError("operator Foo");
  };
  ASSERT_OK_AND_ASSIGN(CheckReport report, CheckRepository(folder.path(), options));
  EXPECT_THAT(asked, ElementsAre("a/2"));
  EXPECT_THAT(CheckReportText(report), HasSubstr("error    a 2: operator Foo"));

  asked.clear();
  options.all_versions = true;
  ASSERT_OK_AND_ASSIGN(report, CheckRepository(folder.path(), options));
  EXPECT_THAT(asked, ElementsAre("a/1", "a/2"));
}

TEST(RepositoryCheck, AnEmptyOrAbsentRepositoryIsAnError) {
  TempFolder folder;
  ASSERT_OK_AND_ASSIGN(const CheckReport report, CheckRepository(folder.path(), {}));
  EXPECT_EQ(report.errors(), 1);
  EXPECT_THAT(CheckRepository(folder.path("absent"), {}), StatusIs(absl::StatusCode::kNotFound));
}

}  // namespace
}  // namespace paramd
