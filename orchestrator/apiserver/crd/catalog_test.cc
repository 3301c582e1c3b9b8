#include "orchestrator/apiserver/crd/catalog.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace meltemi::apiserver {
namespace {

std::shared_ptr<const Resource> Make(const char* group, const char* version, const char* plural,
                                     const char* kind) {
  auto resource = std::make_shared<Resource>();
  resource->group = group;
  resource->version = version;
  resource->plural = plural;
  resource->kind = kind;
  return resource;
}

TEST(CatalogTest, GroupsAndVersionsComeInKubernetesOrder) {
  const auto catalog = NewCatalog(
      {Make("example.com", "v1alpha1", "widgets", "Widget"),
       Make("example.com", "v1", "widgets", "Widget"),
       Make("example.com", "v1beta2", "widgets", "Widget"),
       Make("example.com", "v10", "widgets", "Widget"),
       Make("example.com", "odd", "widgets", "Widget"), Make("another.io", "v1", "things", "Thing"),
       Make("batch", "v1", "jobs", "Job"), Make("autoscaling", "v1", "hpas", "HPA"),
       Make("autoscaling", "v2", "hpas", "HPA"), Make("apps", "v1", "deployments", "Deployment"),
       Make("", "v1", "services", "Service"), Make("", "v1", "pods", "Pod")},
      7);
  std::vector<std::string> order;
  for (const GroupVersion& gv : catalog->group_versions()) {
    order.push_back(kube::ApiVersion(gv.group, gv.version));
  }
  EXPECT_EQ(order, (std::vector<std::string>{"v1", "apps/v1", "autoscaling/v2", "autoscaling/v1",
                                             "batch/v1", "another.io/v1", "example.com/v10",
                                             "example.com/v1", "example.com/v1beta2",
                                             "example.com/v1alpha1", "example.com/odd"}));
  EXPECT_EQ(catalog->group_versions()[0].resources[0]->plural, "pods");
  EXPECT_EQ(catalog->generation(), 7u);
  EXPECT_EQ(catalog->FindPreferred({"example.com", "widgets"})->version, "v10");
  EXPECT_EQ(catalog->Find("autoscaling", "v1", "hpas")->version, "v1");
  EXPECT_EQ(catalog->FindKind({"", "v1", "Pod"})->plural, "pods");
  EXPECT_EQ(catalog->Find("apps", "v1", "pods"), nullptr);
  EXPECT_EQ(catalog->FindKind({"", "v2", "Pod"}), nullptr);
  EXPECT_EQ(catalog->FindPreferred({"", "widgets"}), nullptr);
}

TEST(CatalogTest, TheFirstOfTwoWithOneNameIsServed) {
  auto first = Make("a.io", "v1", "things", "Thing");
  const auto catalog = NewCatalog({first, Make("a.io", "v1", "things", "Other")});
  EXPECT_EQ(catalog->Find("a.io", "v1", "things"), first.get());
  EXPECT_EQ(catalog->group_versions()[0].resources.size(), 1u);
  const auto source = NewFixedCatalogSource(catalog);
  EXPECT_EQ(source->current(), catalog);
}

}  // namespace
}  // namespace meltemi::apiserver
