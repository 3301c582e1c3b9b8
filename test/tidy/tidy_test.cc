#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test/tidy/function_lines.h"
#include "test/tidy/rules.h"

namespace meltemi::tidy {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<int> LinesOfFunctions(absl::string_view text) {
  std::vector<int> lines;
  for (const FunctionSpan& span : FindFunctions(text)) lines.push_back(span.lines);
  return lines;
}

File Cpp(std::string path, std::string text) {
  return {std::move(path), text, BlankOutNonCode(text)};
}

// The names of the rules that object to a file.
std::vector<std::string> Objections(const File& file, const Budget& budget = {}) {
  std::vector<std::string> names;
  for (const Rule& rule : FileRules()) {
    if (!rule.check(file, budget).empty()) names.emplace_back(rule.name);
  }
  return names;
}

std::string FunctionOf(int lines) {
  std::string text = "void F() {\n";
  for (int i = 2; i < lines; ++i) text += "  x();\n";
  return text + "}\n";
}

TEST(FunctionLinesTest, MeasuresFunctionsAndMethodsButNotScopes) {
  EXPECT_THAT(LinesOfFunctions(R"(
namespace a {
struct S {
  int f() const {
    if (x) {
      y();
    }
  }
  int g() { return 1; }
};
auto h(int x) -> int
{
}
}  // namespace a
)"),
              ElementsAre(5, 1, 2));
}

TEST(FunctionLinesTest, InitialiserListsAreNotBodies) {
  EXPECT_THAT(LinesOfFunctions(R"(
Foo::Foo(int a, B b = {})
    : a_{a}, b_(std::move(b)), c_{1, 2} {
  one();
}
)"),
              ElementsAre(3));
}

TEST(FunctionLinesTest, BracesInLiteralsAndCommentsDoNotCount) {
  EXPECT_THAT(LinesOfFunctions("void f() {\n  g(\"{\", '{', R\"x({{{)x\");  // {\n  /* { */\n}\n"
                               "void h() { n = 1'000'000; }\n"),
              ElementsAre(4, 1));
}

TEST(FunctionLinesTest, TablesAndEnumsAreNotFunctions) {
  EXPECT_THAT(LinesOfFunctions("enum class E { kA };\nconstexpr int kTable[] = {\n1,\n2};\n"
                               "struct alignas(64) S {\n int x;\n};\n"
                               "constexpr int (*kCalls[])() = {\n f,\n g,\n};\n"),
              IsEmpty());
}

TEST(FunctionLinesTest, SurvivesWhatIsNotCpp) {
  for (const char* text : {"}}}}", "((((", "{", "R\"", "'", "\"\\", "#", "/*", ")){{;;"}) {
    FindFunctions(text);
  }
}

TEST(RulesTest, AGoodFilePassesEveryRule) {
  EXPECT_THAT(Objections(Cpp("proxy/a.h", "// What.\n#pragma once\n\nvoid F();\n")), IsEmpty());
}

TEST(RulesTest, EachRuleObjectsToItsOffence) {
  const std::string once = "#pragma once\n";
  EXPECT_THAT(Objections(Cpp("a/b.h", "void F();\n")), ElementsAre("headers have #pragma once"));
  EXPECT_THAT(Objections(Cpp("a/b.cc", std::string(101, 'x') + "\n")),
              ElementsAre("lines have at most 100 columns"));
  EXPECT_THAT(Objections(Cpp("a/b.cc", "x(); \n")),
              ElementsAre("no trailing blanks, tabs or missing last newline"));
  EXPECT_THAT(Objections(Cpp("a/b.cc", "x();")),
              ElementsAre("no trailing blanks, tabs or missing last newline"));
  EXPECT_THAT(Objections(Cpp("a/b.cc", "std::regex r;\n")), ElementsAre("no std::regex"));
  EXPECT_THAT(Objections(Cpp("a/b.cc", "absl::Mutex m;\n")),
              ElementsAre("locks are those that TSan knows"));
  EXPECT_THAT(Objections(Cpp("a/b_test.cc", "absl::SleepFor(x);\n")),
              ElementsAre("tests do not sleep"));
  EXPECT_THAT(Objections(Cpp("base/b.cc", "getenv(\"X\");\n")),
              ElementsAre("only app folders read the environment"));
  EXPECT_THAT(Objections(Cpp("a/b.cc", "throw 1;\n")), ElementsAre("our code throws nothing"));
  EXPECT_THAT(Objections(Cpp("a/b.cc", "#include \"../c.h\"\n")),
              ElementsAre("includes start at the root"));
  EXPECT_THAT(Objections(Cpp("a/b.h", once + "using namespace std;\n")),
              ElementsAre("no using namespace in headers"));
  EXPECT_THAT(Objections(Cpp("a/b.cc", "// TODO: later\n")),
              ElementsAre("a TODO says what it waits for"));
}

TEST(RulesTest, WhatIsOnlyWrittenAboutIsAllowed) {
  EXPECT_THAT(Objections(Cpp("a/b_test.cc",
                             "// std::regex and sleep( are not for us\n"
                             "Log(\"throw 1\"); absl::Sleeper(x); my_usleep(1); mesh.sleep();\n"
                             "// TODO(TLS): check the certificate\n")),
              IsEmpty());
  EXPECT_THAT(Objections(Cpp("proxy/app/main.cc", "getenv(\"X\");\n")), IsEmpty());
  EXPECT_THAT(Objections(Cpp("a/b.cc", "// https://example.com/" + std::string(99, 'x') + "\n")),
              IsEmpty());
}

TEST(RulesTest, TheBudgetIsARatchet) {
  const std::string rule = "functions have at most 70 lines";
  const File big = Cpp("a/b.cc", FunctionOf(80));
  EXPECT_THAT(Objections(Cpp("a/b.cc", FunctionOf(70))), IsEmpty());
  EXPECT_THAT(Objections(big), ElementsAre(rule));
  EXPECT_THAT(Objections(big, ParseBudget("function_lines a/b.cc 80\n")), IsEmpty());
  // It grew; it shrank without the entry being lowered.
  EXPECT_THAT(Objections(big, ParseBudget("function_lines a/b.cc 79\n")), ElementsAre(rule));
  EXPECT_THAT(Objections(big, ParseBudget("function_lines a/b.cc 81\n")), ElementsAre(rule));
  EXPECT_THAT(Objections(Cpp("a/b.cc", FunctionOf(60)), ParseBudget("function_lines a/b.cc 80\n")),
              ElementsAre(rule));
}

TEST(RulesTest, FilesHaveALimitToo) {
  std::string text;
  for (int i = 0; i < 801; ++i) text += "int x;\n";
  EXPECT_THAT(Objections(Cpp("a/b.cc", text)), ElementsAre("files have at most 800 lines"));
  EXPECT_THAT(Objections(Cpp("a/b.cc", text), ParseBudget("file_lines a/b.cc 801\n")), IsEmpty());
}

TEST(FoldersTest, NamesSayWhatAFolderDoesAndEachHasAReadme) {
  const std::vector<File> files = {
      Cpp("base/util/a.h", ""), Cpp("base/net/a.h", ""), {"base/net/README.md", "", ""}};
  ASSERT_EQ(CheckFolderNames(files).size(), 1u);
  EXPECT_EQ(CheckFolderNames(files)[0].where, "base/util");
  ASSERT_EQ(CheckReadmes(files).size(), 1u);
  EXPECT_EQ(CheckReadmes(files)[0].where, "base/util");
}

}  // namespace
}  // namespace meltemi::tidy
