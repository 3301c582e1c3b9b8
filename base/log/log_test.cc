#include "base/log/log.h"

#include "gtest/gtest.h"

namespace meltemi::log {
namespace {

TEST(Log, ArgumentsAreEvaluatedOnlyWhenTheLevelIsOn) {
  int evaluated = 0;
  const auto count = [&evaluated] { return ++evaluated; };
  ASSERT_TRUE(SetLevel("quiet", "error"));
  LOG(kInfo, "quiet", count());
  EXPECT_EQ(evaluated, 0);
  LOG(kError, "quiet", count());
  EXPECT_EQ(evaluated, 1);
}

TEST(Log, AStarSetsComponentsThatComeLaterToo) {
  ASSERT_TRUE(SetLevel("*", "debug"));
  EXPECT_EQ(GetComponent("born-later").level, kDebug);
  EXPECT_EQ(Levels()["born-later"], kDebug);
  ASSERT_TRUE(SetLevel("*", "info"));
  EXPECT_EQ(GetComponent("born-later").level, kInfo);
}

TEST(Log, RefusesUnknownLevels) {
  EXPECT_FALSE(SetLevel("*", "loud"));
  EXPECT_TRUE(SetLevel("x", "warn"));
}

TEST(Log, LinesCarryTimeLevelComponentAndPlace) {
  testing::internal::CaptureStderr();
  LOG(kWarn, "net", "port ", 80, " is taken");
  const std::string line = testing::internal::GetCapturedStderr();
  EXPECT_NE(line.find("warning net: port 80 is taken (log_test.cc:"), std::string::npos) << line;
}

TEST(LogDeath, ChecksNameTheirCondition) { EXPECT_DEATH(CHECK(1 == 2), "CHECK failed: 1 == 2"); }

TEST(Log, BugsAreCountedAndShownOncePerPlace) {
  testing::internal::CaptureStderr();
  const uint64_t before = BugCount();
  for (int i = 0; i < 3; ++i) BUG_ONCE("impossible");
  EXPECT_EQ(BugCount(), before + 3);
  const std::string out = testing::internal::GetCapturedStderr();
  EXPECT_EQ(out.find("impossible"), out.rfind("impossible"));
}

}  // namespace
}  // namespace meltemi::log
