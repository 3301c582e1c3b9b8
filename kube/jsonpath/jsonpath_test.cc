#include "kube/jsonpath/jsonpath.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "absl/strings/str_join.h"
#include "base/json/parse.h"
#include "base/json/write.h"

namespace meltemi::kube {
namespace {

const char* const kPod =
    R"({"metadata":{"name":"web","labels":{"app.kubernetes.io/name":"x","a":"b"}},
  "spec":{"replicas":3,"containers":[{"name":"a","ports":[{"port":80},{"port":81}]},
  {"name":"b","on":true},{"name":"c","ports":[{"port":443}]}]},
  "status":{"conditions":[{"type":"Ready","status":"True"},{"type":"Other","status":"False"}]}})";

std::string Find(absl::string_view path) {
  const auto compiled = JsonPath::Compile(path);
  if (!compiled.ok()) return std::string(compiled.status().message());
  const json::Value root = *json::Parse(kPod);
  std::vector<std::string> found;
  for (const json::Value* value : compiled->Find(root)) found.push_back(json::ToString(*value));
  return absl::StrJoin(found, " ");
}

TEST(JsonPathTest, Fields) {
  EXPECT_EQ(Find("{.metadata.name}"), R"("web")");
  EXPECT_EQ(Find(".metadata.name"), R"("web")");
  EXPECT_EQ(Find("metadata.name"), R"("web")");
  EXPECT_EQ(Find("$.spec.replicas"), "3");
  EXPECT_EQ(Find(".metadata.labels.app\\.kubernetes\\.io/name"), R"("x")");
  EXPECT_EQ(Find(".metadata.labels['app.kubernetes.io/name']"), R"("x")");
  EXPECT_EQ(Find("['metadata','spec']['name','replicas']"), R"("web" 3)");
  EXPECT_EQ(Find(".nothing.here[0]"), "");
  EXPECT_EQ(Find(".metadata.name.deeper"), "");
}

TEST(JsonPathTest, Lists) {
  EXPECT_EQ(Find(".spec.containers[0].name"), R"("a")");
  EXPECT_EQ(Find(".spec.containers[-1].name"), R"("c")");
  EXPECT_EQ(Find(".spec.containers[3].name"), "");
  EXPECT_EQ(Find(".spec.containers[-4].name"), "");
  EXPECT_EQ(Find(".spec.containers[*].name"), R"("a" "b" "c")");
  EXPECT_EQ(Find(".spec.containers[1:].name"), R"("b" "c")");
  EXPECT_EQ(Find(".spec.containers[:-1].name"), R"("a" "b")");
  EXPECT_EQ(Find(".spec.containers[::2].name"), R"("a" "c")");
  EXPECT_EQ(Find(".spec.containers[0,2].name"), R"("a" "c")");
  EXPECT_EQ(Find(".spec.containers[*].ports[*].port"), "80 81 443");
}

TEST(JsonPathTest, Filters) {
  EXPECT_EQ(Find(R"(.status.conditions[?(@.type=="Ready")].status)"), R"("True")");
  EXPECT_EQ(Find(R"(.status.conditions[?(@.type != 'Ready')].status)"), R"("False")");
  EXPECT_EQ(Find(".spec.containers[?(@.ports)].name"), R"("a" "c")");
  EXPECT_EQ(Find(".spec.containers[?(@.on==true)].name"), R"("b")");
  EXPECT_EQ(Find(".spec.containers[*].ports[?(@.port>80)].port"), "81 443");
  EXPECT_EQ(Find(".spec.containers[*].ports[?(@.port<=80)].port"), "80");
  EXPECT_EQ(Find(".spec.containers[?(@.ports[0].port==443)].name"), R"("c")");
  EXPECT_EQ(Find(".spec.containers[?(@.name=='a]')].name"), "");
}

TEST(JsonPathTest, Descendants) {
  EXPECT_EQ(Find("..port"), "80 81 443");
  EXPECT_EQ(Find(".spec..name"), R"("a" "b" "c")");
  EXPECT_EQ(Find(".metadata.*").substr(0, 5), R"("web")");
  EXPECT_EQ(Find("."), json::ToString(*json::Parse(kPod)));
}

TEST(JsonPathTest, SaysWhatIsWrong) {
  EXPECT_EQ(Find(""), "the path is empty");
  EXPECT_NE(Find(".a[").find("unterminated array"), std::string::npos);
  EXPECT_NE(Find(".a[x]").find("invalid array index x"), std::string::npos);
  EXPECT_NE(Find(".a[::0]").find("step must be > 0"), std::string::npos);
  EXPECT_NE(Find(".a[?(@.b=~1)]").find("unknown operator"), std::string::npos);
  EXPECT_NE(Find(".a b").find("unexpected character"), std::string::npos);
  EXPECT_NE(Find(std::string(5000, 'a')).find("more than 4096"), std::string::npos);
}

TEST(JsonPathTest, WhatIsFoundIsBounded) {
  std::string text = "1";
  for (int i = 0; i < 60; ++i) text = "[" + text + "]";
  const json::Value root = *json::Parse(text);
  EXPECT_EQ(JsonPath::Compile("..[*]..[*]..[*]..[*]")->Find(root).size(), 100'000u);
  EXPECT_EQ(JsonPath::Compile("..[*]..[*]..[*]..[*]..[*]..[*].x")->Find(root).size(), 0u);
}

}  // namespace
}  // namespace meltemi::kube
