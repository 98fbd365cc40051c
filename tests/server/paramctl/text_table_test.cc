#include "server/paramctl/text_table.h"

#include "tests/support/status_testing.h"

namespace paramd {
namespace {

TEST(TextTable, AlignsColumnsAndCountsCharactersNotBytes) {
  TextTable table({"NAME", "SIZE>"});
  table.Add({"w\u00e4ge", "1"});
  table.Add({"b", "1000"});
  EXPECT_EQ(table.ToString(),
            "NAME  SIZE\n"
            "w\u00e4ge     1\n"
            "b     1000\n");
}

TEST(TextTable, NumbersForPeople) {
  EXPECT_EQ(WithThousands(0), "0");
  EXPECT_EQ(WithThousands(999), "999");
  EXPECT_EQ(WithThousands(60965224), "60,965,224");
  EXPECT_EQ(BytesText(999), "999 B");
  EXPECT_EQ(BytesText(243860896), "243.9 MB");
  EXPECT_EQ(BytesText(999999), "1.0 MB");
  EXPECT_EQ(SecondsText(0.00125), "1.25 ms");
  EXPECT_EQ(SecondsText(2.5), "2.50 s");
}

}  // namespace
}  // namespace paramd
