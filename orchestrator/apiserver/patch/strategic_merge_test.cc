#include <string>

#include "absl/strings/str_cat.h"
#include "base/json/parse.h"
#include "base/json/write.h"
#include "gtest/gtest.h"
#include "orchestrator/apiserver/patch/patch.h"
#include "orchestrator/apiserver/patch/schema_fake.h"

namespace meltemi::apiserver {
namespace {

json::Value Json(absl::string_view text) {
  absl::StatusOr<json::Value> value = json::Parse(text);
  EXPECT_TRUE(value.ok()) << value.status() << "\n" << text;
  return value.value_or(json::Value());
}

class StrategicMergeTest : public ::testing::Test {
 protected:
  // Of a pod's spec; the outcome, or the code and message of the error.
  std::string Spec(absl::string_view spec, absl::string_view patch) {
    return Patched(pod_, absl::StrCat(R"({"spec":)", spec, "}"),
                   absl::StrCat(R"({"spec":)", patch, "}"), "spec");
  }
  std::string Meta(absl::string_view metadata, absl::string_view patch) {
    return Patched(pod_, absl::StrCat(R"({"metadata":)", metadata, "}"),
                   absl::StrCat(R"({"metadata":)", patch, "}"), "metadata");
  }
  static std::string Patched(const Schema& schema, absl::string_view object,
                             absl::string_view patch, absl::string_view member) {
    kube::Result<json::Value> result = ApplyStrategicMerge(schema, Json(object), Json(patch));
    if (result.ok()) {
      const json::Value* part = result->Find(member);
      return part == nullptr ? "gone" : json::ToString(*part);
    }
    return absl::StrCat(result.status().code, " ", result.status().message);
  }

  SchemaArena arena_;
  const Schema& pod_ = PodSchemaFake(arena_);
  const Schema& deployment_ = DeploymentSchemaFake(arena_);
};

TEST_F(StrategicMergeTest, MapsAreMergedAndNullsDelete) {
  EXPECT_EQ(Meta(R"({"labels":{"a":"1","b":"2"}})", R"({"labels":{"b":null,"c":"3","d":null}})"),
            R"({"labels":{"a":"1","c":"3"}})");
  EXPECT_EQ(Meta(R"({"name":"x"})", R"({"labels":{"a":"1","b":null}})"),
            R"({"name":"x","labels":{"a":"1"}})");
  EXPECT_EQ(Meta(R"({"labels":{"a":"1"}})", R"({"labels":null})"), "{}");
  EXPECT_EQ(Spec(R"({"nodeName":"a"})", R"({"nodeName":"b"})"), R"({"nodeName":"b"})");
}

TEST_F(StrategicMergeTest, ListsWithAMergeKeyAreMergedByIt) {
  EXPECT_EQ(Spec(R"({"containers":[{"name":"a","image":"1"},{"name":"b","image":"2"}]})",
                 R"({"containers":[{"name":"b","image":"3"},{"name":"c","image":"4"}]})"),
            R"({"containers":[{"name":"a","image":"1"},{"name":"b","image":"3"},)"
            R"({"name":"c","image":"4"}]})");
  // Nested lists by their own keys.
  EXPECT_EQ(Spec(R"({"containers":[{"name":"a","env":[{"name":"X","value":"1"}]}]})",
                 R"({"containers":[{"name":"a","env":[{"name":"Y","value":"2"}]}]})"),
            R"({"containers":[{"name":"a","env":[{"name":"Y","value":"2"},)"
            R"({"name":"X","value":"1"}]}]})");
}

TEST_F(StrategicMergeTest, OtherListsAreReplaced) {
  EXPECT_EQ(
      Spec(R"({"tolerations":[{"key":"a"},{"key":"b"}]})", R"({"tolerations":[{"key":"c"}]})"),
      R"({"tolerations":[{"key":"c"}]})");
  EXPECT_EQ(Spec(R"({"containers":[{"name":"a","args":["x","y"]}]})",
                 R"({"containers":[{"name":"a","args":["z"]}]})"),
            R"({"containers":[{"name":"a","args":["z"]}]})");
}

TEST_F(StrategicMergeTest, ListsOfScalarsAreUnitedInThePatchsOrder) {
  EXPECT_EQ(Meta(R"({"finalizers":["a","b"]})", R"({"finalizers":["c","a"]})"),
            R"({"finalizers":["c","a","b"]})");
  EXPECT_EQ(Meta(R"({"finalizers":["a","b","c"]})",
                 R"({"$deleteFromPrimitiveList/finalizers":["a","c","x"]})"),
            R"({"finalizers":["b"]})");
  EXPECT_EQ(Meta(R"({"finalizers":["a","b"]})",
                 R"({"$deleteFromPrimitiveList/finalizers":["a"],)"
                 R"("$setElementOrder/finalizers":["c","b"],"finalizers":["c"]})"),
            R"({"finalizers":["c","b"]})");
  EXPECT_EQ(Meta(R"({})", R"({"$deleteFromPrimitiveList/finalizers":["a"]})"), "{}");
}

TEST_F(StrategicMergeTest, DirectiveDeleteTakesAnEntryOut) {
  EXPECT_EQ(Spec(R"({"containers":[{"name":"a"},{"name":"b"}]})",
                 R"({"containers":[{"name":"a","$patch":"delete"}]})"),
            R"({"containers":[{"name":"b"}]})");
  EXPECT_EQ(Spec(R"({"containers":[{"name":"a"}]})",
                 R"({"containers":[{"name":"x","$patch":"delete"},{"name":"b"}]})"),
            R"({"containers":[{"name":"b"},{"name":"a"}]})");
  EXPECT_EQ(Spec(R"({"nodeSelector":{"a":"1"}})", R"({"nodeSelector":{"$patch":"delete"}})"),
            R"({"nodeSelector":{}})");
  // Where there is nothing, there is nothing to delete.
  EXPECT_EQ(Spec(R"({"nodeName":"n"})",
                 R"({"containers":[{"name":"x","$patch":"delete"},{"name":"b"}]})"),
            R"({"nodeName":"n","containers":[{"name":"b"}]})");
}

TEST_F(StrategicMergeTest, DirectiveReplaceDoesNotMerge) {
  EXPECT_EQ(Spec(R"({"containers":[{"name":"a"},{"name":"b"}]})",
                 R"({"containers":[{"name":"c"},{"$patch":"replace"}]})"),
            R"({"containers":[{"name":"c"}]})");
  EXPECT_EQ(Meta(R"({"labels":{"a":"1"}})", R"({"labels":{"b":"2","$patch":"replace"}})"),
            R"({"labels":{"b":"2"}})");
  EXPECT_EQ(Patched(deployment_,
                    R"({"spec":{"strategy":{"type":"RollingUpdate",)"
                    R"("rollingUpdate":{"maxSurge":1}}}})",
                    R"({"spec":{"strategy":{"$patch":"replace","type":"Recreate"}}})", "spec"),
            R"({"strategy":{"type":"Recreate"}})");
}

TEST_F(StrategicMergeTest, RetainKeysClearsTheRest) {
  EXPECT_EQ(Patched(deployment_,
                    R"({"spec":{"strategy":{"type":"RollingUpdate",)"
                    R"("rollingUpdate":{"maxSurge":1}}}})",
                    R"({"spec":{"strategy":{"$retainKeys":["type"],"type":"Recreate"}}})", "spec"),
            R"({"strategy":{"type":"Recreate"}})");
  // What kubectl apply sends to swap a volume's source.
  EXPECT_EQ(Spec(R"({"volumes":[{"name":"v","emptyDir":{"medium":"Memory"}}]})",
                 R"({"$setElementOrder/volumes":[{"name":"v"}],)"
                 R"("volumes":[{"$retainKeys":["name","hostPath"],"name":"v",)"
                 R"("hostPath":{"path":"/x"}}]})"),
            R"({"volumes":[{"name":"v","hostPath":{"path":"/x"}}]})");
  EXPECT_EQ(Spec(R"({"volumes":[{"name":"v"}]})",
                 R"({"volumes":[{"$retainKeys":["name"],"name":"v","hostPath":{"path":"/x"}}]})"),
            "400 invalid patch format of retainKeys");
  EXPECT_EQ(Spec("{}", R"({"$retainKeys":"x"})"), "400 invalid patch format of retainKeys");
}

TEST_F(StrategicMergeTest, ElementOrderDecides) {
  constexpr absl::string_view kAbc = R"({"containers":[{"name":"a"},{"name":"b"},{"name":"c"}]})";
  EXPECT_EQ(
      Spec(kAbc, R"({"$setElementOrder/containers":[{"name":"c"},{"name":"b"},{"name":"a"}]})"),
      R"({"containers":[{"name":"c"},{"name":"b"},{"name":"a"}]})");
  // A new entry goes where the order has it; what only the server has keeps its place.
  EXPECT_EQ(Spec(kAbc, R"({"$setElementOrder/containers":[{"name":"a"},{"name":"n"},{"name":"c"}],)"
                       R"("containers":[{"name":"n"}]})"),
            R"({"containers":[{"name":"a"},{"name":"n"},{"name":"b"},{"name":"c"}]})");
  EXPECT_EQ(Spec(kAbc, R"({"$setElementOrder/containers":[{"name":"n"},{"name":"a"}],)"
                       R"("containers":[{"name":"n"},{"name":"b","$patch":"delete"}]})"),
            // The new one stands in the place of the deleted one, behind what moved up.
            R"({"containers":[{"name":"c"},{"name":"n"},{"name":"a"}]})");
  EXPECT_EQ(Spec("{}", R"({"$setElementOrder/containers":[{"name":"n"}],)"
                       R"("containers":[{"name":"n"}]})"),
            R"({"containers":[{"name":"n"}]})");
  EXPECT_EQ(Spec("{}", R"({"$setElementOrder/containers":[{"name":"n"}]})"), "{}");
  EXPECT_EQ(Meta(R"({"finalizers":["a","b","c"]})", R"({"$setElementOrder/finalizers":["c","a"]})"),
            R"({"finalizers":["b","c","a"]})");
}

TEST_F(StrategicMergeTest, ErrorsAreInKubernetesWords) {
  EXPECT_EQ(
      Spec(R"({"containers":[{"name":"a"}]})", R"({"containers":[{"image":"x","args":["b"]}]})"),
      "500 map: map[args:[b] image:x] does not contain declared merge key: name");
  EXPECT_EQ(Spec(R"({"containers":[{"name":"a"}]})",
                 R"({"containers":[{"$patch":"delete","image":"x"}]})"),
            "500 map: map[$patch:delete image:x] does not contain declared merge key: name");
  EXPECT_EQ(
      Spec(R"({"containers":[{"name":"a"}]})", R"({"containers":[{"name":"a","$patch":"merge"}]})"),
      "500 merging lists cannot yet be specified in the patch");
  EXPECT_EQ(
      Spec(R"({"containers":[{"name":"a"}]})", R"({"containers":[{"name":"a","$patch":"x"}]})"),
      "500 unknown patch type: x in map: map[$patch:x name:a]");
  EXPECT_EQ(Spec("{}", R"({"$patch":"frob"})"),
            "500 unknown patch type: frob in map: map[$patch:frob]");
  EXPECT_EQ(Spec(R"({"containers":[{"name":"a"}]})", R"({"containers":["a"]})"),
            "500 list element types are not identical: [[map[name:a]] [a]]");
  EXPECT_EQ(Spec("{}", R"({"$setElementOrder/containers":{"a":1}})"),
            "500 expected a []interface {}, but received a map[string]interface {}");
  EXPECT_EQ(Spec("{}", R"({"$setElementOrder/frob":["a"]})"),
            "500 unable to find api field in struct PodSpec for the json field \"frob\"");
  EXPECT_EQ(Spec("{}", R"({"$deleteFromPrimitiveList":["a"]})"),
            "400 invalid patch format of primitive list");
  EXPECT_EQ(Spec("{}", R"({"$setElementOrderX/containers":[]})"),
            "400 invalid patch format of setElementOrder list");
  EXPECT_EQ(Spec(R"({"containers":[{"name":"a"}]})",
                 R"({"$setElementOrder/containers":[{"name":"a"}],"containers":[{"name":"b"}]})"),
            "500 The order in patch list:\n[map[name:b]]\n doesn't match $setElementOrder list:\n"
            "[map[name:a]]\n");
  EXPECT_EQ(Meta(R"({"finalizers":["a"]})", R"({"finalizers":[["b"]]})"),
            "422 the server rejected our request due to an error in our request");
  kube::Result<json::Value> result = ApplyStrategicMerge(pod_, Json("{}"), Json("[]"));
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.status().code, 400);
}

TEST_F(StrategicMergeTest, WhatHasNoSchemaIsMergedAsMaps) {
  const Schema& any = SchemaOfText(arena_, R"({"data":"any"})");
  EXPECT_EQ(Patched(any, R"({"data":{"a":{"b":1,"l":[1]}}})", R"({"data":{"a":{"c":2,"l":[2]}}})",
                    "data"),
            R"({"a":{"b":1,"l":[2],"c":2}})");
}

TEST_F(StrategicMergeTest, NewEntriesBringNoDirectivesAlong) {
  EXPECT_EQ(Spec(R"({"containers":[{"name":"a"}]})",
                 R"({"containers":[{"name":"b","$setElementOrder/ports":[{"containerPort":1}],)"
                 R"("ports":[{"containerPort":1},{"containerPort":2,"$patch":"delete"}]}]})"),
            R"({"containers":[{"name":"b","ports":[{"containerPort":1}]},{"name":"a"}]})");
}

TEST_F(StrategicMergeTest, LongListsDoNotTakeQuadraticTime) {
  std::string list, order;
  for (int i = 0; i < 20'000; ++i) {
    absl::StrAppend(&list, i > 0 ? "," : "", "\"", i, "\"");
    absl::StrAppend(&order, i > 0 ? "," : "", "\"", 20'000 - i, "\"");
  }
  std::string outcome = Meta(absl::StrCat(R"({"finalizers":[)", list, "]}"),
                             absl::StrCat(R"({"finalizers":[)", order,
                                          R"(],"$setElementOrder/finalizers":[)", order, "]}"));
  EXPECT_EQ(outcome.substr(0, 35), R"({"finalizers":["20000","0","19999",)");
}

}  // namespace
}  // namespace meltemi::apiserver
