#include "orchestrator/kubelet/volumes/downward.h"

#include <gtest/gtest.h>

#include "kube/codec/codec.h"
#include "kube/core/v1/pod.pb.h"
#include "kube/core/v1/reference.pb.h"

namespace meltemi::kubelet {
namespace {

using kube::core::v1::Pod;

Pod Sample() {
  Pod pod;
  EXPECT_TRUE(kube::FromJson(R"({"metadata":{"name":"web","namespace":"shop","uid":"u1",
      "labels":{"b":"2","a":"1"},"annotations":{"note":"say \"hi\"\nagain","x.io/k":"v"}},
      "spec":{"containers":[{"name":"c","resources":{"limits":{"cpu":"1500m","memory":"64Mi"},
      "requests":{"cpu":"250m","ephemeral-storage":"1Gi"}}}],
      "initContainers":[{"name":"i"}]}})",
                             &pod)
                  .ok());
  return pod;
}

std::string Field(absl::string_view path) {
  const auto text = MetadataField(Sample(), path);
  return text.ok() ? *text : std::string(text.status().message());
}

TEST(DownwardTest, FieldsOfTheMetadata) {
  EXPECT_EQ(Field("metadata.name"), "web");
  EXPECT_EQ(Field("metadata.namespace"), "shop");
  EXPECT_EQ(Field("metadata.uid"), "u1");
  EXPECT_EQ(Field("metadata.labels"), "a=\"1\"\nb=\"2\"");
  EXPECT_EQ(Field("metadata.annotations"), "note=\"say \\\"hi\\\"\\nagain\"\nx.io/k=\"v\"");
  EXPECT_EQ(Field("metadata.labels['a']"), "1");
  EXPECT_EQ(Field("metadata.annotations['x.io/k']"), "v");
  EXPECT_EQ(Field("metadata.labels['none']"), "");
  EXPECT_EQ(Field("spec.nodeName"), "unsupported fieldPath: spec.nodeName");
  EXPECT_EQ(Field("metadata.name['x']"),
            "fieldPath \"metadata.name['x']\" does not support subscript");
}

std::string Resource(const char* resource, const char* divisor = "", const char* container = "c") {
  kube::core::v1::ResourceFieldSelector selector;
  selector.set_container_name(container);
  selector.set_resource(resource);
  selector.mutable_divisor()->set_string(divisor);
  const auto text = ContainerResource(Sample(), selector, "", {{"cpu", "4"}, {"memory", "8Gi"}});
  return text.ok() ? *text : std::string(text.status().message());
}

TEST(DownwardTest, ResourcesOfContainers) {
  EXPECT_EQ(Resource("limits.cpu"), "2") << "rounded up";
  EXPECT_EQ(Resource("limits.cpu", "1m"), "1500");
  EXPECT_EQ(Resource("limits.memory"), "67108864");
  EXPECT_EQ(Resource("limits.memory", "1Mi"), "64");
  EXPECT_EQ(Resource("requests.cpu", "1m"), "250");
  EXPECT_EQ(Resource("requests.ephemeral-storage", "1Gi"), "1");
  EXPECT_EQ(Resource("requests.memory"), "0");
  EXPECT_EQ(Resource("limits.cpu", "", "i"), "4") << "the node's, where there is no limit";
  EXPECT_EQ(Resource("limits.memory", "1Gi", "i"), "8");
  EXPECT_EQ(Resource("limits.gpu"), "unsupported container resource : limits.gpu");
  EXPECT_EQ(Resource("limits.cpu", "", "x"), "container x not found");
}

}  // namespace
}  // namespace meltemi::kubelet
