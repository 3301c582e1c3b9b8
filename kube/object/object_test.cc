#include "kube/object/object.h"

#include "base/json/parse.h"
#include "base/json/write.h"
#include "gtest/gtest.h"

namespace meltemi::kube {
namespace {

json::Value Pod() {
  return *json::Parse(R"({"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web",
    "namespace":"prod","uid":"u1","resourceVersion":"7","generation":3,
    "labels":{"z":"1","app":"web"},"annotations":{"note":"x"},"finalizers":["a/b"]},
    "spec":{"replicas":2,"paused":true,"template":{"name":"t"}}})");
}

TEST(ObjectTest, ReadsMetadata) {
  const json::Value object = Pod();
  EXPECT_EQ(KindOf(object), (GroupVersionKind{"apps", "v1", "Deployment"}));
  EXPECT_EQ(NameOf(object).ToString(), "prod/web");
  EXPECT_EQ(Uid(object), "u1");
  EXPECT_EQ(ResourceVersion(object), "7");
  EXPECT_EQ(Generation(object), 3);
  EXPECT_EQ(Label(object, "app"), "web");
  EXPECT_EQ(Label(object, "none"), std::nullopt);
  EXPECT_EQ(Annotation(object, "note"), "x");
  EXPECT_EQ(Labels(object)[0].first, "app");
  EXPECT_EQ(Finalizers(object), std::vector<std::string>{"a/b"});
  EXPECT_FALSE(BeingDeleted(object));
}

TEST(ObjectTest, ReadsByPath) {
  const json::Value object = Pod();
  EXPECT_EQ(IntAt(object, "spec.replicas", 1), 2);
  EXPECT_EQ(IntAt(object, "spec.other", 1), 1);
  EXPECT_TRUE(BoolAt(object, "spec.paused", false));
  EXPECT_EQ(TextAt(object, "spec.template.name"), "t");
  EXPECT_EQ(TextAt(object, "spec.replicas"), "2");
  EXPECT_EQ(At(object, "spec.template.name.deeper"), nullptr);
}

TEST(ObjectTest, TreesOfAnotherShapeReadAsEmpty) {
  for (const char* text : {"[]", "3", "null", R"({"metadata":[]})", R"({"metadata":null})",
                           R"({"metadata":{"labels":3,"finalizers":{},"name":[]}})"}) {
    json::Value object = *json::Parse(text);
    EXPECT_EQ(Name(object), "");
    EXPECT_EQ(Label(object, "a"), std::nullopt);
    EXPECT_TRUE(Labels(object).empty());
    EXPECT_TRUE(Finalizers(object).empty());
    EXPECT_EQ(KindOf(object).kind, "");
  }
}

TEST(ObjectTest, SetsLabels) {
  json::Value object = json::Value::Object();
  SetLabel(object, "app", "a");
  SetLabel(object, "app", "b");
  SetAnnotation(object, "k", "v");
  EXPECT_EQ(json::ToString(object),
            R"({"metadata":{"labels":{"app":"b"},"annotations":{"k":"v"}}})");
}

TEST(TimeTest, WritesWhatKubernetesWrites) {
  EXPECT_EQ(FormatTime(0), "1970-01-01T00:00:00Z");
  EXPECT_EQ(FormatTime(1767323045), "2026-01-02T03:04:05Z");
  EXPECT_EQ(FormatTime(951782400), "2000-02-29T00:00:00Z");
  EXPECT_EQ(FormatTime(-1), "1969-12-31T23:59:59Z");
  EXPECT_EQ(FormatMicroTime(1767323045000012), "2026-01-02T03:04:05.000012Z");
}

TEST(TimeTest, ReadsRfc3339) {
  EXPECT_EQ(ParseTimeMicros("2026-01-02T03:04:05Z"), 1767323045000000);
  EXPECT_EQ(ParseTimeMicros("2026-01-02T05:04:05.5+02:00"), 1767323045500000);
  EXPECT_EQ(ParseTimeMicros("2026-01-02T03:04:05.123456789Z"), 1767323045123456);
  for (const char* bad : {"", "2026-01-02", "2026-13-02T03:04:05Z", "2026-02-30T03:04:05Z",
                          "2026-01-02T24:04:05Z", "2026-01-02T03:04:05", "2026-01-02T03:04:05.Z",
                          "2026-01-02T03:04:05Zx", "2026-01-02 03:04:05Z"}) {
    EXPECT_EQ(ParseTimeMicros(bad), std::nullopt) << bad;
  }
}

TEST(TimeTest, EveryDayOfFourCenturiesComesBack) {
  for (int64_t day = -80000; day < 80000; day += 13) {
    const int64_t at = day * 86400 + 86399;
    EXPECT_EQ(ParseTimeMicros(FormatTime(at)), at * 1000000);
  }
}

}  // namespace
}  // namespace meltemi::kube
