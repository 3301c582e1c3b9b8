#include "orchestrator/apiserver/schema/cel/program.h"

#include <string>

#include <gtest/gtest.h>

#include "base/json/parse.h"

namespace meltemi::cel {
namespace {

const char* const kSelf = R"({"min":1,"max":5,"half":0.5,"name":"web-1","on":true,"nothing":null,
  "list":["a","b","c"],"ports":[{"name":"http","port":80},{"name":"tls","port":443}],
  "map":{"x":1,"y":2},"my-key":7,"namespace":"n"})";

std::string Holds(absl::string_view rule, const char* old_self = nullptr) {
  const auto program = Program::Compile(rule);
  if (!program.ok()) return std::string(program.status().message());
  const json::Value self = *json::Parse(kSelf);
  const json::Value old_value = old_self == nullptr ? json::Value() : *json::Parse(old_self);
  Budget budget;
  const auto holds = program->Test(self, old_self == nullptr ? nullptr : &old_value, budget);
  return holds.ok() ? (*holds ? "true" : "false") : std::string(holds.status().message());
}

TEST(CelTest, RulesThatHold) {
  for (const char* rule : {
           "self.min <= self.max",
           "self.min + 4 == self.max && self.max - 1 == 4 && 7 / 2 == 3 && 7 % 2 == 1",
           "self.half * 2.0 == 1.0 && self.min == 1.0 && -self.min < 0",
           "has(self.min) && !has(self.other) && self.nothing == null",
           "self.name.startsWith('web-') && self.name.matches('^[a-z]+-[0-9]+$')",
           "size(self.list) == 3 && self.list.size() == 3 && self.name.size() == 5",
           "self.list.all(x, x.size() == 1) && self.list.exists(x, x == 'b')",
           "self.ports.exists_one(p, p.name == 'tls' && p.port == 443)",
           "self.ports.map(p, p.port) == [80, 443] && self.ports.filter(p, p.port > 80).size() == "
           "1",
           "self.map.all(k, self.map[k] > 0) && 'x' in self.map && !('z' in self.map)",
           "self.list[0] == 'a' && 'c' in self.list && self.list + ['d'] == ['a','b','c','d']",
           "self.on ? self.min == 1 : false",
           "self.missing == 1 || true",
           "!(false && self.missing == 1)",
           "self.my__dash__key == 7 && self.__namespace__ == 'n'",
           "type(self.min) == int && type(self.name) == string && string(self.min) == '1'",
           "self.name.split('-')[1] == '1' && self.list.join(',') == 'a,b,c'",
           "self.name.replace('web', 'x') == 'x-1' && self.name.substring(0, 3) == 'web'",
           "self.name.indexOf('-') == 3 && ' A '.trim().lowerAscii() == 'a'",
           "self.ports.map(p, p.port).isSorted() && [1,2,3].sum() == 6 && [3,1].min() == 1",
           "{'a': 1}.a == 1 && \"it's\" == 'it\\'s' && r'\\d' == '\\\\d'",
           "int('42') == 42 && double(2) == 2.0 && 0x10 == 16 && 1e3 == 1000.0",
           "self.list.map(x, x != 'a', x + '!') == ['b!', 'c!']  // a remark",
       }) {
    EXPECT_EQ(Holds(rule), "true") << rule;
  }
}

TEST(CelTest, RulesThatDoNot) {
  EXPECT_EQ(Holds("self.min > self.max"), "false");
  EXPECT_EQ(Holds("self.list.all(x, x == 'a')"), "false");
  EXPECT_EQ(Holds("oldSelf.min == self.min", R"({"min":2})"), "false");
  EXPECT_EQ(Holds("oldSelf.min <= self.max", R"({"min":2})"), "true");
}

TEST(CelTest, ErrorsWhileRunning) {
  EXPECT_EQ(Holds("self.other == 1"), "no such key: other");
  EXPECT_EQ(Holds("self.list[5] == 'x'"), "index out of bounds: 5");
  EXPECT_EQ(Holds("self.min / 0 == 1"), "division by zero");
  EXPECT_EQ(Holds("9223372036854775807 + self.min > 0"), "integer overflow");
  EXPECT_EQ(Holds("self.name < self.min"), "no such overload");
  EXPECT_EQ(Holds("self.min"), "the rule is not of type bool");
}

TEST(CelTest, ErrorsInTheText) {
  EXPECT_EQ(Holds("self.min >"), "ERROR: <input>:1:11: Syntax error: unexpected end");
  EXPECT_EQ(Holds("(self.min"), "ERROR: <input>:1:10: Syntax error: missing ')'");
  EXPECT_EQ(Holds("other == 1"), "undeclared reference to 'other' (in container '')");
  EXPECT_EQ(Holds("self.min.frobnicate()"),
            "undeclared reference to 'frobnicate' (in container '')");
  EXPECT_EQ(Holds("has(self)"), "ERROR: <input>:1:10: invalid argument to has() macro");
  EXPECT_NE(Holds(std::string(500, '(')).find("nested too deeply"), std::string::npos);
  EXPECT_NE(Holds(std::string(500, '!') + "true").find("nested too deeply"), std::string::npos);
  EXPECT_EQ(Program::Compile("quantity(self.name).isGreaterThan(quantity('1'))").status().code(),
            absl::StatusCode::kUnimplemented);
}

TEST(CelTest, LongChainsAreRefused) {
  std::string sum = "1", path = "self";
  for (int i = 0; i < 4000; ++i) {
    sum += "+1";
    path += ".a";
  }
  EXPECT_NE(Holds(sum).find("too many operators"), std::string::npos);
  EXPECT_NE(Holds(path).find("too many operators"), std::string::npos);
}

TEST(CelTest, TheBudgetEnds) {
  const auto program =
      Program::Compile("self.all(a, self.all(b, self.all(c, self.all(d, a + b + c + d >= 0))))");
  ASSERT_TRUE(program.ok());
  json::Value list = json::Value::Array();
  for (int i = 0; i < 100; ++i) list.Append(json::Value::Int(i));
  Budget budget;
  EXPECT_TRUE(absl::IsOutOfRange(program->Test(list, nullptr, budget).status()));
}

}  // namespace
}  // namespace meltemi::cel
