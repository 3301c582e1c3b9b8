#include "orchestrator/apiserver/patch/field_set.h"

#include <string>
#include <vector>

#include "absl/strings/str_join.h"
#include "base/json/parse.h"
#include "base/json/write.h"
#include "gtest/gtest.h"
#include "orchestrator/apiserver/patch/field_path.h"

namespace meltemi::apiserver {
namespace {

FieldSet Set(absl::string_view text) {
  absl::StatusOr<json::Value> value = json::Parse(text);
  EXPECT_TRUE(value.ok()) << value.status();
  std::optional<FieldSet> set = FieldSet::FromJson(*value);
  EXPECT_TRUE(set.has_value()) << text;
  return set.value_or(FieldSet());
}

std::string Text(const FieldSet& set) { return json::ToString(set.ToJson()); }

std::string Paths(const FieldSet& set) {
  std::vector<std::string> paths;
  set.ForEach([&paths](const std::string& path) { paths.push_back(path); });
  return absl::StrJoin(paths, " ");
}

TEST(FieldSet, IsWrittenAsItWasRead) {
  constexpr absl::string_view kFields =
      R"({"f:metadata":{"f:labels":{".":{},"f:app":{}}},"f:spec":{"f:containers":{)"
      R"("k:{\"name\":\"a\"}":{".":{},"f:image":{}}},"f:finalizers":{".":{},"v:\"x/y\"":{}},)"
      R"("f:list":{"i:0":{},"i:10":{}}}})";
  EXPECT_EQ(Text(Set(kFields)), kFields);
}

TEST(FieldSet, IsSortedAsKubernetesSortsIt) {
  // Fields, keys, values, places; numbers in keys by their value.
  EXPECT_EQ(Text(Set(R"({"i:10":{},"i:9":{},"v:\"b\"":{},"v:\"a\"":{},"v:10":{},"v:9":{},"f:b":{},)"
                     R"("f:a":{},"k:{\"port\":443}":{},"k:{\"port\":80}":{},)"
                     R"("k:{\"port\":80,\"protocol\":\"TCP\"}":{}})")),
            R"({"f:a":{},"f:b":{},"k:{\"port\":80}":{},"k:{\"port\":80,\"protocol\":\"TCP\"}":{},)"
            R"("k:{\"port\":443}":{},"v:9":{},"v:10":{},"v:\"a\"":{},"v:\"b\"":{},"i:9":{},)"
            R"("i:10":{}})");
  EXPECT_LT(CompareElements(R"(k:{"name":"a"})", R"(k:{"name":"ab"})"), 0);
  EXPECT_LT(CompareElements(R"(k:{"name":"a"})", R"(k:{"name":"a b"})"), 0);
  EXPECT_GT(CompareElements(R"(k:{"name":"a\nb"})", R"(k:{"name":"a\tb"})"), 0);
  EXPECT_LT(CompareElements(R"(k:{"a":1})", R"(k:{"a":"1"})"), 0);
  EXPECT_LT(CompareElements("v:false", "v:true"), 0);
}

TEST(FieldSet, UnknownElementsAreLeftOutAndBrokenOnesRefused) {
  EXPECT_EQ(Text(Set(R"({"x:new":{"f:a":{}},"f:b":{}})")), R"({"f:b":{}})");
  EXPECT_EQ(Text(Set(R"({"k:{\"b\":1, \"a\":\"x\"}":{}})")), R"({"k:{\"a\":\"x\",\"b\":1}":{}})");
  for (absl::string_view text : {R"({"f":{}})", R"({"name":{}})", R"({"k:x":{}})", R"({"i:x":{}})",
                                 R"({"f:a":1})", R"([])", R"({"v:1":{},"v: 1":{}})"}) {
    EXPECT_FALSE(FieldSet::FromJson(*json::Parse(text)).has_value()) << text;
  }
}

TEST(FieldSet, PathsAreShownAsUsersKnowThem) {
  EXPECT_EQ(
      Paths(Set(R"({"f:metadata":{"f:labels":{"f:app.kubernetes.io/name":{}}},"f:spec":{)"
                R"("f:replicas":{},"f:template":{"f:spec":{"f:containers":{)"
                R"("k:{\"containerPort\":80,\"protocol\":\"TCP\"}":{".":{},"f:x":{}}}}},)"
                R"("f:set":{"v:\"a\"":{}},"f:atomic":{"i:3":{}}}})")),
      ".metadata.labels.app.kubernetes.io/name .spec.replicas .spec.atomic[3] .spec.set[=\"a\"] "
      ".spec.template.spec.containers[containerPort=80,protocol=\"TCP\"] "
      ".spec.template.spec.containers[containerPort=80,protocol=\"TCP\"].x");
}

TEST(FieldSet, UnionsIntersectionsAndDifferences) {
  FieldSet a = Set(R"({"f:a":{".":{},"f:x":{},"f:y":{}},"f:b":{}})");
  FieldSet b = Set(R"({"f:a":{".":{},"f:y":{},"f:z":{}},"f:c":{}})");
  EXPECT_EQ(Text(Union(a, b)), R"({"f:a":{".":{},"f:x":{},"f:y":{},"f:z":{}},"f:b":{},"f:c":{}})");
  EXPECT_EQ(Text(Intersection(a, b)), R"({"f:a":{".":{},"f:y":{}}})");
  EXPECT_EQ(Text(Difference(a, b)), R"({"f:a":{"f:x":{}},"f:b":{}})");
  EXPECT_TRUE(a.Intersects(b));
  EXPECT_FALSE(a.Intersects(Set(R"({"f:a":{"f:q":{}},"f:d":{}})")));
  EXPECT_TRUE(Difference(a, a).empty());
  EXPECT_TRUE(Union(a, a) == a);
}

}  // namespace
}  // namespace meltemi::apiserver
