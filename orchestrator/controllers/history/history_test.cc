#include "orchestrator/controllers/history/history.h"

#include <gtest/gtest.h>

#include "base/json/parse.h"

namespace meltemi::controllers {
namespace {

using kube::core::v1::PodTemplateSpec;

PodTemplateSpec Template(const std::string& image) {
  PodTemplateSpec out;
  (*out.mutable_metadata()->mutable_labels())["app"] = "web";
  auto& container = *out.mutable_spec()->add_containers();
  container.set_name("c");
  container.set_image(image);
  return out;
}

TEST(RevisionData, IsAPatchThatBringsTheTemplateBack) {
  kube::apps::v1::ControllerRevision revision;
  revision.mutable_data()->set_raw(RevisionData(Template("i:1")));
  const absl::StatusOr<json::Value> tree = json::Parse(revision.data().raw());
  ASSERT_TRUE(tree.ok()) << tree.status();
  EXPECT_EQ(tree->Find("spec", "template", "$patch")->text(), "replace");
  EXPECT_EQ(tree->Find("spec", "template", "metadata", "labels", "app")->text(), "web");
  const std::optional<PodTemplateSpec> back = TemplateOf(revision);
  ASSERT_TRUE(back.has_value());
  EXPECT_EQ(RevisionData(*back), revision.data().raw());
  EXPECT_NE(RevisionData(Template("i:2")), revision.data().raw());
}

TEST(RevisionData, OfAnotherShapeHasNoTemplate) {
  kube::apps::v1::ControllerRevision revision;
  for (const char* data : {"", "[]", "{}", R"({"spec":{}})", R"({"spec":{"template":7}})"}) {
    revision.mutable_data()->set_raw(data);
    EXPECT_FALSE(TemplateOf(revision).has_value()) << data;
  }
}

}  // namespace
}  // namespace meltemi::controllers
