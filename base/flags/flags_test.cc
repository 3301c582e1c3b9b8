#include "base/flags/flags.h"

#include <gtest/gtest.h>

namespace meltemi {
namespace {

class FlagsTest : public testing::Test {
 protected:
  FlagsTest() {
    flags_.Text("config-path", {"c"}, &path_, "FILE", "the bootstrap");
    flags_.Switch("dry-run", {}, &dry_run_, "print only");
    flags_.Number("concurrency", {}, &workers_, 0, 64, "workers");
    flags_.Time("drain-time", {}, &drain_, "for requests in flight");
    flags_.Repeated("label", {"labels"}, &labels_, "K=V", "of the workload");
  }
  std::string Error(const std::vector<std::string>& args) {
    return std::string(flags_.Parse(args).message());
  }

  std::string path_ = "default.yaml";
  bool dry_run_ = false;
  uint32_t workers_ = 2;
  Duration drain_ = seconds(45);
  std::vector<std::string> labels_;
  Flags flags_{"test [options]"};
};

TEST_F(FlagsTest, AllSpellings) {
  ASSERT_EQ(Error({"-c", "a.yaml", "--concurrency=4", "--dry-run", "--drain-time", "1500ms",
                   "--label", "app=x", "--labels=v=1"}),
            "");
  EXPECT_EQ(path_, "a.yaml");
  EXPECT_EQ(workers_, 4u);
  EXPECT_TRUE(dry_run_);
  EXPECT_EQ(drain_, milliseconds(1500));
  EXPECT_EQ(labels_, (std::vector<std::string>{"app=x", "v=1"}));
}

TEST_F(FlagsTest, AbsentOptionsKeepTheirDefaults) {
  ASSERT_EQ(Error({"--dry-run=false"}), "");
  EXPECT_EQ(path_, "default.yaml");
  EXPECT_FALSE(dry_run_);
}

TEST_F(FlagsTest, ErrorsNameTheOption) {
  EXPECT_EQ(Error({"--concurency", "2"}),
            "unknown option --concurency, did you mean --concurrency?");
  EXPECT_EQ(Error({"--zzz"}), "unknown option --zzz");
  EXPECT_EQ(Error({"--concurrency", "many"}), "--concurrency: 'many' is no number from 0 to 64");
  EXPECT_EQ(Error({"--concurrency", "65"}), "--concurrency: '65' is no number from 0 to 64");
  EXPECT_EQ(Error({"-c"}), "-c needs a value: FILE");
  EXPECT_EQ(Error({"--dry-run=maybe"}), "--dry-run: 'maybe' is neither true nor false");
  EXPECT_EQ(Error({"stray"}), "unexpected argument 'stray'");
  EXPECT_NE(Error({"--drain-time", "soon"}).find("no duration"), std::string::npos);
}

TEST(FlagsChoiceTest, TakesWhatIsListedAlone) {
  std::string output = "table";
  std::vector<std::string> rest;
  Flags flags("show");
  flags.Choice("output", {"o"}, &output, {"json", "table"}, "form of the output");
  ASSERT_TRUE(flags.Parse({"a", "-o", "json", "b"}, &rest).ok());
  EXPECT_EQ(output, "json");
  EXPECT_EQ(rest, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(flags.Parse({"--output=xml"}).message(), "--output: 'xml' is none of json|table");
}

TEST_F(FlagsTest, HelpListsEveryOptionWithItsDefault) {
  ASSERT_TRUE(flags_.Parse({"--nonsense", "--help"}).ok());
  EXPECT_TRUE(flags_.help_wanted());
  const std::string help = flags_.Help();
  EXPECT_NE(help.find("--config-path, -c FILE"), std::string::npos);
  EXPECT_NE(help.find("(default.yaml)"), std::string::npos);
  EXPECT_NE(help.find("(45s)"), std::string::npos);
}

}  // namespace
}  // namespace meltemi
