#include "orchestrator/apiserver/patch/managed_fields.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "base/json/parse.h"
#include "base/json/write.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "orchestrator/apiserver/patch/managers.h"
#include "orchestrator/apiserver/patch/schema_fake.h"

namespace meltemi::apiserver {
namespace {

using ::testing::HasSubstr;

json::Value Json(absl::string_view text) {
  absl::StatusOr<json::Value> value = json::Parse(text);
  EXPECT_TRUE(value.ok()) << value.status() << "\n" << text;
  return value.value_or(json::Value());
}

// One object and the people who write it. Each write is a second after the last.
class Story {
 public:
  explicit Story(absl::string_view schema)
      : schema_(
            SchemaOfText(arena_, absl::StrCat(R"({"apiVersion":"string","kind":"string",)",
                                              R"("metadata":{"name":"string","uid":"string",)",
                                              R"("labels":{"*":"string"},"resourceVersion":)",
                                              R"("string","annotations":{"*":"string"},)",
                                              R"("managedFields":{"[]":"any"}},"spec":)", schema,
                                              R"(,"status":{"phase":"string","n":"int"}})"))) {}

  // `parts`: the members beside apiVersion and kind. "", or the error.
  std::string Apply(absl::string_view manager, absl::string_view parts, bool force = false) {
    FieldManager who = Who(manager);
    kube::Result<json::Value> result = apiserver::Apply(schema_, live_, Object(parts), who, force);
    if (!result.ok()) {
      error_ = result.status();
      return absl::StrCat(error_.code, " ", error_.message);
    }
    live_ = *std::move(result);
    return "";
  }
  void Update(absl::string_view manager, absl::string_view parts) {
    json::Value updated = Object(parts);
    if (const json::Value* fields = live_.Find("metadata", "managedFields")) {
      updated.MutableObject("metadata").Set("managedFields", *fields);
    }
    TrackUpdate(schema_, live_, Who(manager), updated);
    live_ = updated;
  }

  // The member of the object as text.
  std::string Spec() const {
    const json::Value* spec = live_.Find("spec");
    return spec == nullptr ? "gone" : json::ToString(*spec);
  }
  // What the manager owns, as FieldsV1; "" when it has no entry.
  std::string Owns(absl::string_view manager, absl::string_view member = "fieldsV1") const {
    const json::Value* entries = live_.Find("metadata", "managedFields");
    if (entries == nullptr) return "";
    for (const json::Value& entry : entries->items()) {
      if (entry.FindString("manager") != manager) continue;
      const json::Value* value = entry.Find(member);
      return value == nullptr ? "none" : json::ToString(*value);
    }
    return "";
  }
  std::string TimeOf(absl::string_view manager) const { return Owns(manager, "time"); }

  FieldManager Who(absl::string_view manager) {
    ++clock_;
    FieldManager who;
    who.name = std::string(manager);
    who.api_version = "example.com/v1";
    who.subresource = subresource;
    who.time = absl::StrCat("2026-01-01T00:00:", clock_ < 10 ? "0" : "", clock_, "Z");
    return who;
  }
  static json::Value Object(absl::string_view parts) {
    return Json(absl::StrCat(R"({"apiVersion":"example.com/v1","kind":"Thing")",
                             parts.empty() ? "" : ",", parts, "}"));
  }

  std::string subresource;
  kube::Status error_;
  json::Value live_;
  SchemaArena arena_;
  const Schema& schema_;

 private:
  int clock_ = 0;
};

TEST(ServerSideApply, TheFirstApplierOwnsWhatItSays) {
  Story story(R"({"replicas":"int","labels":{"*":"string"}})");
  EXPECT_EQ(story.Apply("a", R"("metadata":{"name":"x"},"spec":{"replicas":3,"labels":{"l":"1"}})"),
            "");
  EXPECT_EQ(story.Owns("a"), R"({"f:spec":{"f:labels":{"f:l":{}},"f:replicas":{}}})");
  EXPECT_EQ(json::ToString(*story.live_.Find("metadata", "managedFields")),
            R"([{"manager":"a","operation":"Apply","apiVersion":"example.com/v1",)"
            R"("time":"2026-01-01T00:00:01Z","fieldsType":"FieldsV1",)"
            R"("fieldsV1":{"f:spec":{"f:labels":{"f:l":{}},"f:replicas":{}}}}])");
}

TEST(ServerSideApply, AnotherValueIsAConflictUntilItIsForced) {
  Story story(R"({"replicas":"int","image":"string"})");
  story.Apply("a", R"("spec":{"replicas":3,"image":"i"})");
  EXPECT_EQ(story.Apply("b", R"("spec":{"replicas":4})"),
            "409 Apply failed with 1 conflict: conflict with \"a\": .spec.replicas");
  EXPECT_EQ(story.error_.reason, "Conflict");
  ASSERT_EQ(story.error_.causes.size(), 1u);
  EXPECT_EQ(story.error_.causes[0].reason, "FieldManagerConflict");
  EXPECT_EQ(story.error_.causes[0].message, "conflict with \"a\"");
  EXPECT_EQ(story.error_.causes[0].field, ".spec.replicas");
  EXPECT_EQ(story.Spec(), R"({"replicas":3,"image":"i"})");

  EXPECT_EQ(story.Apply("b", R"("spec":{"replicas":4})", /*force=*/true), "");
  EXPECT_EQ(story.Spec(), R"({"replicas":4,"image":"i"})");
  EXPECT_EQ(story.Owns("a"), R"({"f:spec":{"f:image":{}}})");
  EXPECT_EQ(story.Owns("b"), R"({"f:spec":{"f:replicas":{}}})");
}

TEST(ServerSideApply, ManyConflictsAreListedByManager) {
  Story story(R"({"replicas":"int","image":"string","paused":"bool"})");
  story.Update("kubectl-client-side-apply", R"("spec":{"replicas":1,"paused":true})");
  EXPECT_EQ(story.Apply("b", R"("spec":{"replicas":2})"),
            "409 Apply failed with 1 conflict: conflict with \"kubectl-client-side-apply\" using "
            "example.com/v1: .spec.replicas");
  story.Apply("a", R"("spec":{"image":"i"})");
  EXPECT_EQ(
      story.Apply("b", R"("spec":{"replicas":2,"paused":false,"image":"j"})"),
      "409 Apply failed with 3 conflicts: conflicts with \"a\":\n- .spec.image\nconflicts with "
      "\"kubectl-client-side-apply\" using example.com/v1:\n- .spec.paused\n- .spec.replicas");
  story.subresource = "scale";
  story.Update("scaler", R"("spec":{"replicas":5,"paused":true,"image":"i"})");
  story.subresource = "";
  EXPECT_EQ(story.Apply("b", R"("spec":{"replicas":2})"),
            "409 Apply failed with 1 conflict: conflict with \"scaler\" with subresource \"scale\" "
            "using example.com/v1: .spec.replicas");
}

TEST(ServerSideApply, TheSameValueIsShared) {
  Story story(R"({"replicas":"int","image":"string"})");
  story.Apply("a", R"("spec":{"replicas":3,"image":"i"})");
  EXPECT_EQ(story.Apply("b", R"("spec":{"replicas":3})"), "");
  EXPECT_EQ(story.Owns("b"), R"({"f:spec":{"f:replicas":{}}})");
  // One of two owners leaves: the field stays. Then the last one leaves.
  EXPECT_EQ(story.Apply("a", R"("spec":{"image":"i"})"), "");
  EXPECT_EQ(story.Spec(), R"({"replicas":3,"image":"i"})");
  EXPECT_EQ(story.Apply("b", ""), "");
  EXPECT_EQ(story.Spec(), R"({"image":"i"})");
  EXPECT_EQ(story.Owns("b"), "");
}

TEST(ServerSideApply, WhatIsLeftOutGoesUnlessAnUpdaterOwnsIt) {
  Story story(R"({"replicas":"int","image":"string","deep":{"a":{"b":"string"}}})");
  story.Apply("a", R"("spec":{"replicas":3,"image":"i","deep":{"a":{"b":"c"}}})");
  story.Update("hpa", R"("spec":{"replicas":7,"image":"i","deep":{"a":{"b":"c"}}})");
  EXPECT_EQ(story.Owns("hpa"), R"({"f:spec":{"f:replicas":{}}})");
  EXPECT_EQ(story.Apply("a", R"("spec":{"image":"i"})"), "");
  EXPECT_EQ(story.Spec(), R"({"replicas":7,"image":"i"})");
}

TEST(ServerSideApply, FieldsOfNobodyStay) {
  Story story(R"({"replicas":"int","image":"string"})");
  story.Apply("a", R"("spec":{"image":"i"})");
  // A default of the server.
  story.live_.Find("spec")->Set("replicas", json::Value::Int(1));
  EXPECT_EQ(story.Apply("a", R"("spec":{"image":"j"})"), "");
  EXPECT_EQ(story.Spec(), R"({"image":"j","replicas":1})");
  // It becomes the applier's own without a conflict.
  EXPECT_EQ(story.Apply("a", R"("spec":{"image":"j","replicas":2})"), "");
  EXPECT_EQ(story.Spec(), R"({"image":"j","replicas":2})");
}

constexpr absl::string_view kKeyed =
    R"({"list":{"[]":{"name":"string","value":"string","n":"int"},"keys":"name"}})";

TEST(ServerSideApply, EntriesOfMapListsAreOwnedOneByOne) {
  Story story(kKeyed);
  story.Apply("a", R"("spec":{"list":[{"name":"x","value":"1"},{"name":"y","value":"2"}]})");
  EXPECT_EQ(story.Owns("a"),
            R"({"f:spec":{"f:list":{"k:{\"name\":\"x\"}":{".":{},"f:name":{},"f:value":{}},)"
            R"("k:{\"name\":\"y\"}":{".":{},"f:name":{},"f:value":{}}}}})");
  EXPECT_EQ(story.Apply("b", R"("spec":{"list":[{"name":"z","value":"3"},{"name":"x","n":1}]})"),
            "");
  EXPECT_EQ(story.Spec(), R"({"list":[{"name":"z","value":"3"},{"name":"x","value":"1","n":1},)"
                          R"({"name":"y","value":"2"}]})");
  // a takes its entries away: of x, b's part stays.
  EXPECT_EQ(story.Apply("a", R"("spec":{"list":[{"name":"y","value":"2"}]})"), "");
  EXPECT_EQ(story.Spec(),
            R"({"list":[{"name":"z","value":"3"},{"name":"x","n":1},{"name":"y","value":"2"}]})");
  EXPECT_EQ(story.Apply("b", R"("spec":{"list":[{"name":"y","value":"5"}]})"),
            "409 Apply failed with 1 conflict: conflict with \"a\": .spec.list[name=\"y\"].value");
  EXPECT_EQ(story.Apply("b", ""), "");
  EXPECT_EQ(story.Spec(), R"({"list":[{"name":"y","value":"2"}]})");
}

TEST(ServerSideApply, TheOrderOfTheAppliedListWins) {
  Story story(kKeyed);
  story.Apply("a", R"("spec":{"list":[{"name":"a"},{"name":"b"},{"name":"c"}]})");
  story.Apply("b", R"("spec":{"list":[{"name":"c"},{"name":"n"},{"name":"a"}]})");
  EXPECT_EQ(story.Spec(), R"({"list":[{"name":"b"},{"name":"c"},{"name":"n"},{"name":"a"}]})");
}

TEST(ServerSideApply, KeysMayHaveDefaults) {
  Story story(R"({"ports":{"[]":{"port":"int","protocol=TCP":"string","name":"string"},)"
              R"("keys":"port,protocol"}})");
  story.Apply("a", R"("spec":{"ports":[{"port":53},{"port":53,"protocol":"UDP"},{"port":443}]})");
  EXPECT_THAT(story.Owns("a"),
              HasSubstr(R"("k:{\"port\":53,\"protocol\":\"TCP\"}":{".":{},"f:port")"));
  EXPECT_EQ(story.Apply("b", R"("spec":{"ports":[{"port":53,"protocol":"TCP","name":"dns"}]})"),
            "");
  EXPECT_EQ(story.Spec(),
            R"({"ports":[{"port":53,"protocol":"TCP","name":"dns"},{"port":53,"protocol":"UDP"},)"
            R"({"port":443}]})");
}

TEST(ServerSideApply, EntriesOfSetsAreOwnedOneByOne) {
  Story story(R"({"set":{"[]":"string","set":true}})");
  story.Apply("a", R"("spec":{"set":["x","y"]})");
  EXPECT_EQ(story.Owns("a"), R"({"f:spec":{"f:set":{"v:\"x\"":{},"v:\"y\"":{}}}})");
  EXPECT_EQ(story.Apply("b", R"("spec":{"set":["y","z"]})"), "");
  EXPECT_EQ(story.Spec(), R"({"set":["x","y","z"]})");
  EXPECT_EQ(story.Apply("a", R"("spec":{"set":["x"]})"), "");
  EXPECT_EQ(story.Spec(), R"({"set":["x","y","z"]})");
  EXPECT_EQ(story.Apply("b", R"("spec":{"set":["z"]})"), "");
  EXPECT_EQ(story.Spec(), R"({"set":["x","z"]})");
}

TEST(ServerSideApply, AtomicPartsAreOneField) {
  Story story(R"({"atomicList":{"[]":"int"},"atomicMap":{"atomic":true,"*":"string"}})");
  story.Apply("a", R"("spec":{"atomicList":[1,2],"atomicMap":{"x":"1"}})");
  EXPECT_EQ(story.Owns("a"), R"({"f:spec":{"f:atomicList":{},"f:atomicMap":{}}})");
  EXPECT_EQ(story.Apply("b", R"("spec":{"atomicList":[1,2,3]})"),
            "409 Apply failed with 1 conflict: conflict with \"a\": .spec.atomicList");
  EXPECT_EQ(story.Apply("b", R"("spec":{"atomicMap":{"y":"2"}})", /*force=*/true), "");
  EXPECT_EQ(story.Spec(), R"({"atomicList":[1,2],"atomicMap":{"y":"2"}})");
}

TEST(ServerSideApply, PartsWithoutASchemaAreMapsAndAtomicLists) {
  Story story(R"({"any":"any"})");
  story.Apply("a", R"("spec":{"any":{"m":{"x":1},"l":[{"name":"q"}]}})");
  EXPECT_EQ(story.Owns("a"), R"({"f:spec":{"f:any":{"f:l":{},"f:m":{".":{},"f:x":{}}}}})");
  EXPECT_EQ(story.Apply("b", R"("spec":{"any":{"m":{"y":2},"l":[{"name":"r"}]}})"),
            "409 Apply failed with 1 conflict: conflict with \"a\": .spec.any.l");
  EXPECT_EQ(story.Apply("b", R"("spec":{"any":{"m":{"y":2}}})"), "");
  EXPECT_EQ(story.Spec(), R"({"any":{"m":{"x":1,"y":2},"l":[{"name":"q"}]}})");
}

TEST(ServerSideApply, NothingNewKeepsTheTimeAndTheObject) {
  Story story(R"({"replicas":"int"})");
  story.Apply("a", R"("metadata":{"name":"x"},"spec":{"replicas":3})");
  json::Value before = story.live_;
  EXPECT_EQ(story.Apply("a", R"("metadata":{"name":"x"},"spec":{"replicas":3})"), "");
  EXPECT_EQ(story.live_, before);
  story.Apply("a", R"("metadata":{"name":"x"},"spec":{"replicas":4})");
  EXPECT_EQ(story.TimeOf("a"), "\"2026-01-01T00:00:03Z\"");
}

TEST(ServerSideApply, WrongConfigurationsAreRefusedInKubernetesWords) {
  Story story(R"({"replicas":"int","s":"string","set":{"[]":"string","set":true},)"
              R"("list":{"[]":{"name":"string"},"keys":"name"}})");
  constexpr absl::string_view kBefore =
      "500 failed to create typed patch object (/x; example.com/v1, Kind=Thing): ";
  auto apply = [&](absl::string_view spec) {
    return story.Apply("a", absl::StrCat(R"("metadata":{"name":"x"},"spec":)", spec));
  };
  EXPECT_EQ(apply(R"({"frob":1})"),
            absl::StrCat(kBefore, ".spec.frob: field not declared in schema"));
  EXPECT_EQ(apply(R"({"replicas":"3"})"),
            absl::StrCat(kBefore, ".spec.replicas: expected numeric (int or float), got string"));
  EXPECT_EQ(
      apply(R"({"s":1})"),
      absl::StrCat(kBefore, ".spec.s: expected string, got &value.valueUnstructured{Value:1}"));
  EXPECT_EQ(apply(R"({"set":["a","a"]})"),
            absl::StrCat(kBefore, ".spec.set: duplicate entries for key [=\"a\"]"));
  EXPECT_EQ(apply(R"({"list":[{}]})"),
            absl::StrCat(kBefore,
                         ".spec.list: element 0: associative list with keys has an element that "
                         "omits key field \"name\" (and doesn't have default value)"));
  EXPECT_EQ(
      apply(R"({"s":1,"replicas":"x"})"),
      absl::StrCat(kBefore,
                   "errors:\n  .spec.s: expected string, got "
                   "&value.valueUnstructured{Value:1}\n  .spec.replicas: expected numeric (int "
                   "or float), got string"));
  EXPECT_EQ(story.Apply("a", R"("metadata":{"managedFields":[]})"),
            "400 metadata.managedFields must be nil");
  kube::Result<json::Value> result =
      apiserver::Apply(story.schema_, json::Value(), Json(R"({"apiVersion":"v2","kind":"T"})"),
                       story.Who("a"), false);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.status().message, "invalid object type: /v2, Kind=T");
}

TEST(ServerSideApply, ObjectsThatNobodyTrackedBelongToBeforeFirstApply) {
  Story story(R"({"replicas":"int","image":"string"})");
  story.live_ =
      Story::Object(R"("metadata":{"name":"x","uid":"u"},"spec":{"replicas":1,"image":"i"})");
  EXPECT_EQ(story.Apply("a", R"("spec":{"replicas":2})"),
            "409 Apply failed with 1 conflict: conflict with \"before-first-apply\" using "
            "example.com/v1: .spec.replicas");
  EXPECT_EQ(story.Apply("a", R"("spec":{"replicas":1})"), "");
  EXPECT_EQ(story.Owns("before-first-apply"),
            R"({"f:spec":{".":{},"f:image":{},"f:replicas":{}}})");
}

TEST(ServerSideApply, KubectlTakesOverFromItsClientSideSelf) {
  Story story(R"({"replicas":"int","image":"string"})");
  constexpr absl::string_view kAnnotated =
      R"("metadata":{"name":"x","annotations":{"kubectl.kubernetes.io/last-applied-configuration":)"
      R"("{\"apiVersion\":\"example.com/v1\",\"kind\":\"Thing\",\"spec\":{\"replicas\":1,)"
      R"(\"image\":\"i\"}}"}},"spec":{"replicas":1,"image":"i"})";
  story.Update("kubectl-client-side-apply", kAnnotated);
  // Another name is no kubectl.
  EXPECT_THAT(story.Apply("other", R"("spec":{"replicas":2,"image":"i"})"),
              HasSubstr("1 conflict"));
  EXPECT_EQ(story.Apply("kubectl", R"("metadata":{"name":"x"},"spec":{"replicas":2,"image":"i"})"),
            "");
  EXPECT_EQ(story.Spec(), R"({"replicas":2,"image":"i"})");
  EXPECT_EQ(story.live_.Find("metadata", "annotations")->members()[0].value.text(),
            "{\"apiVersion\":\"example.com/v1\",\"kind\":\"Thing\",\"metadata\":{\"name\":\"x\"},"
            "\"spec\":{\"image\":\"i\",\"replicas\":2}}\n");
  // What somebody else has changed since is a conflict all the same.
  json::Value changed = story.live_;
  Story second(R"({"replicas":"int","image":"string"})");
  second.Update("kubectl-client-side-apply", kAnnotated);
  second.Update("edit", absl::StrReplaceAll(
                            kAnnotated, {{R"("spec":{"replicas":1)", R"("spec":{"replicas":9)"}}));
  EXPECT_EQ(second.Apply("kubectl", R"("spec":{"replicas":2,"image":"j"})"),
            "409 Apply failed with 1 conflict: conflict with \"edit\" using example.com/v1: "
            ".spec.replicas");
}

TEST(TrackUpdate, TheCreatorOwnsEverythingButWhatIsTheServers) {
  Story story(
      R"({"replicas":"int","labels":{"*":"string"},"l":{"[]":{"name":"string"},"keys":"name"}})");
  story.Update("kubectl-create",
               R"("metadata":{"name":"x","uid":"u","resourceVersion":"1","labels":{"a":"b"}},)"
               R"("spec":{"replicas":1,"labels":{"q":"r"},"l":[{"name":"n"}]})");
  EXPECT_EQ(story.Owns("kubectl-create"),
            R"({"f:metadata":{"f:labels":{".":{},"f:a":{}}},"f:spec":{".":{},)"
            R"("f:l":{".":{},"k:{\"name\":\"n\"}":{".":{},"f:name":{}}},)"
            R"("f:labels":{".":{},"f:q":{}},"f:replicas":{}}})");
}

TEST(TrackUpdate, ChangesMoveFromOneToTheOther) {
  Story story(R"({"replicas":"int","image":"string"})");
  story.Update("a", R"("spec":{"replicas":1,"image":"i"})");
  story.Update("b", R"("spec":{"replicas":2,"image":"i"})");
  EXPECT_EQ(story.Owns("a"), R"({"f:spec":{".":{},"f:image":{}}})");
  EXPECT_EQ(story.Owns("b"), R"({"f:spec":{"f:replicas":{}}})");
  story.Update("c", R"("spec":{"image":"i"})");
  EXPECT_EQ(story.Owns("b"), "");
  EXPECT_EQ(story.Owns("c"), "");
}

TEST(TrackUpdate, NoChangeLeavesTimesAlone) {
  Story story(R"({"replicas":"int"})");
  story.Update("a", R"("spec":{"replicas":1})");
  json::Value before = story.live_;
  story.Update("a", R"("spec":{"replicas":1})");
  story.Update("b", R"("spec":{"replicas":1})");
  EXPECT_EQ(*story.live_.Find("metadata", "managedFields"),
            *before.Find("metadata", "managedFields"));
  story.Update("a", R"("spec":{"replicas":2})");
  EXPECT_EQ(story.TimeOf("a"), "\"2026-01-01T00:00:04Z\"");
}

TEST(TrackUpdate, SubresourcesHaveEntriesOfTheirOwn) {
  Story story(R"({"replicas":"int"})");
  story.Update("a", R"("spec":{"replicas":1})");
  story.subresource = "status";
  story.Update("a", R"("spec":{"replicas":1},"status":{"n":1})");
  ASSERT_EQ(story.live_.Find("metadata", "managedFields")->items().size(), 2u);
  EXPECT_EQ(json::ToString(story.live_.Find("metadata", "managedFields")->items()[1]),
            R"({"manager":"a","operation":"Update","apiVersion":"example.com/v1",)"
            R"("time":"2026-01-01T00:00:02Z","fieldsType":"FieldsV1",)"
            R"("fieldsV1":{"f:status":{".":{},"f:n":{}}},"subresource":"status"})");
}

TEST(TrackUpdate, AClientCanResetButNotLoseTheFields) {
  Story story(R"({"replicas":"int"})");
  story.Apply("a", R"("metadata":{"name":"x","uid":"u"},"spec":{"replicas":1})");
  // A client that does not know managedFields sends none.
  json::Value updated = Story::Object(R"("metadata":{"name":"x"},"spec":{"replicas":2})");
  TrackUpdate(story.schema_, story.live_, story.Who("b"), updated);
  EXPECT_EQ(updated.Find("metadata", "managedFields")->items().size(), 1u);
  for (absl::string_view reset : {"[]", "[{}]"}) {
    json::Value cleared = Story::Object(
        absl::StrCat(R"("metadata":{"managedFields":)", reset, R"(},"spec":{"replicas":2})"));
    TrackUpdate(story.schema_, story.live_, story.Who("b"), cleared);
    EXPECT_EQ(cleared.Find("metadata", "managedFields"), nullptr);
    // From then on nothing is recorded, until somebody applies.
    json::Value next = Story::Object(R"("spec":{"replicas":3})");
    TrackUpdate(story.schema_, cleared, story.Who("b"), next);
    EXPECT_EQ(next.Find("metadata", "managedFields"), nullptr);
  }
  // What is no managedFields at all does no harm.
  json::Value broken = Story::Object(
      R"("metadata":{"managedFields":[{"manager":"q","operation":"Frob"}]},"spec":{"replicas":1})");
  TrackUpdate(story.schema_, story.live_, story.Who("b"), broken);
  EXPECT_EQ(*broken.Find("metadata", "managedFields"),
            *story.live_.Find("metadata", "managedFields"));
}

TEST(TrackUpdate, TheOldestOfManyUpdatersBecomeAncient) {
  Story story(R"({"m":{"*":"string"}})");
  std::string map;
  for (int i = 0; i < 15; ++i) {
    absl::StrAppend(&map, map.empty() ? "" : ",", "\"k", i, "\":\"v\"");
    story.Update(absl::StrCat("manager-", i), absl::StrCat(R"("spec":{"m":{)", map, "}}"));
  }
  const json::Value& entries = *story.live_.Find("metadata", "managedFields");
  EXPECT_EQ(entries.items().size(), 10u);
  EXPECT_EQ(story.Owns("ancient-changes"),
            R"({"f:spec":{".":{},"f:m":{".":{},"f:k0":{},"f:k1":{},"f:k2":{},"f:k3":{},"f:k4":{},)"
            R"("f:k5":{}}}})");
  EXPECT_EQ(story.TimeOf("ancient-changes"), "\"2026-01-01T00:00:06Z\"");
  EXPECT_EQ(story.Owns("manager-14"), R"({"f:spec":{"f:m":{"f:k14":{}}}})");
}

TEST(TrackUpdate, FieldsOfPartsThatBecameAtomicAreThePart) {
  Story story(R"({"m":{"*":"string"},"n":"int"})");
  story.Update("a", R"("spec":{"m":{"x":"1","y":"2"}})");
  SchemaArena arena;
  const Schema& atomic = SchemaOfText(
      arena, R"({"apiVersion":"string","kind":"string","metadata":{"managedFields":{"[]":"any"}},)"
             R"("spec":{"m":{"atomic":true,"*":"string"},"n":"int"}})");
  json::Value updated = Story::Object(R"("spec":{"m":{"x":"1","y":"2"},"n":1})");
  TrackUpdate(atomic, story.live_, story.Who("b"), updated);
  EXPECT_EQ(json::ToString(*updated.Find("metadata", "managedFields")->items()[0].Find("fieldsV1")),
            R"({"f:spec":{".":{},"f:m":{}}})");
}

TEST(TrackUpdate, StructsThatAreAlwaysThereAreNotOwned) {
  SchemaArena arena;
  Schema& inner = arena.New();
  inner.type = SchemaType::kObject;
  const Schema& number = SchemaOfText(arena, "\"int\"");
  inner.properties.push_back({.name = "n", .schema = &number});
  Schema& root = arena.New();
  root.type = SchemaType::kObject;
  root.properties.push_back({.name = "spec", .schema = &inner, .presence = Presence::kAlways});
  root.properties.push_back({.name = "pointer", .schema = &inner});
  json::Value created = Json(R"({"spec":{"n":1},"pointer":{"n":1}})");
  TrackUpdate(root, json::Value(), {"a", "v1", "", "t"}, created);
  EXPECT_EQ(json::ToString(*created.Find("metadata", "managedFields")->items()[0].Find("fieldsV1")),
            R"({"f:pointer":{".":{},"f:n":{}},"f:spec":{"f:n":{}}})");
}

TEST(Managers, AreSortedAsKubernetesSortsThem) {
  json::Value entries = Json(
      R"([{"manager":"u2","operation":"Update","apiVersion":"v1","time":"2026-01-01T00:00:02Z",)"
      R"("fieldsType":"FieldsV1","fieldsV1":{"f:a":{}}},)"
      R"({"manager":"u1","operation":"Update","apiVersion":"v1","time":"2026-01-01T00:00:02Z",)"
      R"("fieldsType":"FieldsV1","fieldsV1":{"f:a":{}}},)"
      R"({"manager":"u9","operation":"Update","apiVersion":"v1","time":"2026-01-01T00:00:01Z",)"
      R"("fieldsType":"FieldsV1","fieldsV1":{"f:a":{}}},)"
      R"({"manager":"z","operation":"Apply","apiVersion":"v1","fieldsType":"FieldsV1"}])");
  std::optional<Managers> managers = Managers::FromJson(entries);
  ASSERT_TRUE(managers.has_value());
  std::string order;
  json::Value sorted = (*std::move(managers)).ToJson();
  for (const json::Value& entry : sorted.items()) {
    absl::StrAppend(&order, entry.FindString("manager"), " ");
  }
  EXPECT_EQ(order, "z u9 u1 u2 ");
}

}  // namespace
}  // namespace meltemi::apiserver
