#include "orchestrator/apiserver/openapi/discovery.h"

#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/json/parse.h"
#include "base/json/write.h"
#include "orchestrator/apiserver/crd/catalog.h"
#include "orchestrator/apiserver/openapi/accept.h"

namespace meltemi::apiserver {
namespace {

using json::Value;

const std::vector<std::string> kAllVerbs = {"create", "delete", "deletecollection", "get",
                                            "list",   "patch",  "update",           "watch"};

std::shared_ptr<Resource> Make(const char* group, const char* version, const char* plural,
                               const char* kind) {
  auto resource = std::make_shared<Resource>();
  resource->group = group;
  resource->version = version;
  resource->plural = plural;
  resource->singular = std::string(plural, std::string(plural).size() - 1);
  resource->kind = kind;
  resource->verbs = kAllVerbs;
  return resource;
}

class Source final : public CatalogSource {
 public:
  std::shared_ptr<const Catalog> current() const override { return catalog; }
  std::shared_ptr<const Catalog> catalog;
};

class DiscoveryTest : public testing::Test {
 protected:
  DiscoveryTest() {
    auto pods = Make("", "v1", "pods", "Pod");
    pods->short_names = {"po"};
    pods->categories = {"all"};
    pods->status_subresource = true;
    pods->other_subresources = {"log", "exec", "eviction"};
    auto deployments = Make("apps", "v1", "deployments", "Deployment");
    deployments->scale = ScaleSubresource{"spec.replicas", "status.replicas", ""};
    auto nodes = Make("", "v1", "nodes", "Node");
    nodes->namespaced = false;
    resources_ = {pods, deployments, nodes, Make("batch", "v1", "jobs", "Job"),
                  Make("batch", "v2", "jobs", "Job")};
    source_.catalog = NewCatalog(resources_);
    handler_ = NewDiscoveryHandler(source_);
  }

  Body Get(const std::string& path, const std::string& accept = "",
           const std::string& if_none_match = "") {
    Request request;
    request.method = "GET";
    request.info.path = path;
    request.headers = {{"accept", accept}, {"if-none-match", if_none_match}, {"host", "api:6443"}};
    return std::get<Body>(handler_->Handle(request));
  }
  Value Tree(const std::string& path, const std::string& accept = "") {
    const Body body = Get(path, accept);
    EXPECT_EQ(body.code, 200) << body.bytes;
    const auto tree = json::Parse(body.bytes);
    EXPECT_TRUE(tree.ok()) << body.bytes;
    return tree.ok() ? *tree : Value();
  }

  std::vector<std::shared_ptr<const Resource>> resources_;
  Source source_;
  std::unique_ptr<Handler> handler_;
};

TEST_F(DiscoveryTest, LegacyDocuments) {
  EXPECT_EQ(json::ToString(Tree("/api")),
            R"({"kind":"APIVersions","versions":["v1"],"serverAddressByClientCIDRs":[)"
            R"({"clientCIDR":"0.0.0.0/0","serverAddress":"api:6443"}]})");
  EXPECT_EQ(json::ToString(Tree("/apis/batch")),
            R"({"kind":"APIGroup","apiVersion":"v1","name":"batch","versions":[{"groupVersion":)"
            R"("batch/v2","version":"v2"},{"groupVersion":"batch/v1","version":"v1"}],)"
            R"("preferredVersion":{"groupVersion":"batch/v2","version":"v2"}})");
  const Value groups = Tree("/apis");
  ASSERT_EQ(groups.Find("groups")->items().size(), 2u);
  EXPECT_EQ(groups.Find("groups")->items()[0].FindString("name"), "apps");
}

TEST_F(DiscoveryTest, ResourcesComeWithTheirSubresources) {
  const Value list = Tree("/api/v1");
  std::vector<std::string> names;
  std::map<std::string, Value> by_name;
  for (const Value& resource : list.Find("resources")->items()) {
    names.emplace_back(resource.FindString("name"));
    by_name[names.back()] = resource;
  }
  EXPECT_EQ(names, (std::vector<std::string>{"nodes", "pods", "pods/eviction", "pods/exec",
                                             "pods/log", "pods/status"}));
  EXPECT_EQ(json::ToString(by_name["pods/eviction"]),
            R"({"name":"pods/eviction","singularName":"","namespaced":true,"group":"policy",)"
            R"("version":"v1","kind":"Eviction","verbs":["create"]})");
  EXPECT_EQ(json::ToString(*by_name["pods"].Find("shortNames")), R"(["po"])");
  EXPECT_FALSE(by_name["nodes"].Find("namespaced")->bool_value());
  EXPECT_EQ(json::ToString(Tree("/apis/apps/v1/").Find("resources")->items()[1]),
            R"({"name":"deployments/scale","singularName":"","namespaced":true,"group":)"
            R"("autoscaling","version":"v1","kind":"Scale","verbs":["get","patch","update"]})");
}

TEST_F(DiscoveryTest, AggregatedFormOnRequest) {
  const std::string accept =
      "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,"
      "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";
  const Body body = Get("/apis", accept);
  EXPECT_EQ(body.content_type,
            "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList");
  const Value list = Tree("/apis", accept);
  EXPECT_EQ(list.FindString("apiVersion"), "apidiscovery.k8s.io/v2");
  const Value& apps = list.Find("items")->items()[0];
  EXPECT_EQ(apps.Find("metadata")->FindString("name"), "apps");
  const Value& deployments = apps.Find("versions")->items()[0].Find("resources")->items()[0];
  EXPECT_EQ(deployments.FindString("resource"), "deployments");
  EXPECT_EQ(deployments.FindString("scope"), "Namespaced");
  EXPECT_EQ(deployments.Find("subresources")->items()[0].Find("responseKind")->FindString("kind"),
            "Scale");
  // One group version has no aggregated form.
  EXPECT_EQ(Tree("/apis/apps/v1", accept).FindString("kind"), "APIResourceList");
  EXPECT_EQ(Get("/apis", "application/json;as=Other;g=x;v=v1").code, 406);
  EXPECT_EQ(Get("/apis", "application/vnd.kubernetes.protobuf").code, 406);
}

TEST_F(DiscoveryTest, UnchangedDocumentsAreNotSentAgain) {
  const Body first = Get("/apis");
  std::string etag;
  for (const auto& [name, value] : first.fields) {
    if (name == "etag") etag = value;
  }
  ASSERT_FALSE(etag.empty());
  EXPECT_EQ(Get("/apis", "", etag).code, 304);
  resources_.push_back(Make("example.com", "v1", "widgets", "Widget"));
  source_.catalog = NewCatalog(resources_, 2);
  EXPECT_EQ(Get("/apis", "", etag).code, 200);
  EXPECT_EQ(Get("/apis/example.com/v1").code, 200);
}

TEST_F(DiscoveryTest, WhatIsNotThereIsNotFound) {
  EXPECT_EQ(Get("/apis/example.com").code, 404);
  EXPECT_EQ(Get("/apis/apps/v9").code, 404);
}

TEST(AcceptTest, OrdersByWeight) {
  const auto ranges = ParseAccept("text/html;q=0.5, application/JSON;v=1 , */*;q=0.1, bad/x;q=0");
  ASSERT_EQ(ranges.size(), 3u);
  EXPECT_EQ(ranges[0].type, "application/json");
  EXPECT_EQ(ranges[0].Parameter("v"), "1");
  EXPECT_EQ(ranges[1].type, "text/html");
  EXPECT_TRUE(ranges[2].Covers("image/png"));
  EXPECT_TRUE(ParseAccept("application/*")[0].Covers("application/json"));
  EXPECT_EQ(ParseAccept("").size(), 1u);
}

}  // namespace
}  // namespace meltemi::apiserver
