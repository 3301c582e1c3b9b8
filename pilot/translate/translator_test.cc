#include "pilot/translate/translator.h"

#include <gmock/gmock.h>
#include <google/protobuf/any.pb.h>
#include <google/protobuf/struct.pb.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "envoy/config/core/v3/base.pb.h"
#include "envoy/config/listener/v3/listener.pb.h"
#include "envoy/config/route/v3/route.pb.h"
#include "pilot/snapshot/mesh_fake.h"
#include "pilot/translate/node.h"

namespace meltemi::pilot {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kHost[] = "web.default.svc.cluster.local";
constexpr char kWeb[] = R"(
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: other}
spec: {selector: {app: other}, ports: [{name: http, port: 80}]}
)";
constexpr char kSubset[] = R"(
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: web}
spec: {host: web, subsets: [{name: a, labels: {v: a}}]}
)";

std::string Entry(const std::string& app, const std::string& address) {
  return absl::StrCat(
      "{apiVersion: networking.istio.io/v1, kind: WorkloadEntry, metadata: {name: ", app, address,
      "}, spec: {address: ", address, ", labels: {app: ", app, ", v: a}}}");
}

ProxyNode Node(const std::string& name, const std::string& address, Labels labels = {}) {
  ProxyNode node;
  node.id = absl::StrCat("sidecar~", address, "~", name, ".default~default.svc.cluster.local");
  node.name = name;
  node.ns = "default";
  node.addresses = {address};
  node.labels = std::move(labels);
  return node;
}

template <typename M>
M Unpack(const ResourcePtr& resource) {
  M message;
  google::protobuf::Any any;
  EXPECT_TRUE(resource != nullptr && any.ParseFromString(resource->any) && any.UnpackTo(&message));
  return message;
}

std::vector<std::string> Names(const ResourceSetPtr& set, const std::string& prefix) {
  std::vector<std::string> names;
  for (const ResourcePtr& resource : set->resources) {
    if (resource->name.rfind(prefix, 0) == 0) names.push_back(resource->name);
  }
  return names;
}

TEST(Translator, ProxiesOfOneClassShareOneTranslation) {
  FakeMesh mesh;
  const SnapshotPtr snapshot = mesh.Apply(kWeb).Build();
  Translator translator;
  const auto one = translator.NewView(Node("one", "10.1.0.1", {{"app", "web"}}));
  const auto two = translator.NewView(Node("two", "10.1.0.2", {{"app", "other"}}));
  one->Use(snapshot);
  two->Use(snapshot);
  EXPECT_EQ(translator.classes(), 1u);
  EXPECT_EQ(one->Find(XdsType::kRoute, "80"), two->Find(XdsType::kRoute, "80"));
  const std::string cluster = absl::StrCat("outbound|80||", kHost);
  EXPECT_EQ(one->Find(XdsType::kCluster, cluster), two->Find(XdsType::kCluster, cluster));
  EXPECT_THAT(Names(one->All(XdsType::kCluster), "inbound|"), ElementsAre("inbound|8080||"));
  EXPECT_THAT(Names(two->All(XdsType::kCluster), "inbound|"), ElementsAre("inbound|80||"));
}

TEST(Translator, LabelsThatARuleAsksForMakeAnotherClass) {
  FakeMesh mesh;
  mesh.Apply(kWeb).Apply(R"(
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web}
spec:
  hosts: [web]
  http:
  - match: [{sourceLabels: {app: vip}}]
    route: [{destination: {host: other}}]
  - route: [{destination: {host: web}}]
)");
  Translator translator;
  const SnapshotPtr snapshot = mesh.Build();
  const auto vip = translator.NewView(Node("vip", "10.1.0.1", {{"app", "vip"}, {"pod", "1"}}));
  const auto plain = translator.NewView(Node("plain", "10.1.0.2", {{"app", "x"}, {"pod", "2"}}));
  vip->Use(snapshot);
  plain->Use(snapshot);
  EXPECT_EQ(translator.classes(), 2u);
  using envoy::config::route::v3::RouteConfiguration;
  const auto first = [](ProxyView* view) {
    const auto routes = Unpack<RouteConfiguration>(view->Find(XdsType::kRoute, "80"));
    for (const auto& host : routes.virtual_hosts()) {
      if (host.name() == absl::StrCat(kHost, ":80")) return host.routes(0).route().cluster();
    }
    return std::string();
  };
  EXPECT_THAT(first(vip.get()), HasSubstr("other"));
  EXPECT_THAT(first(plain.get()), HasSubstr("web"));
}

TEST(Translator, EndpointChangesTouchNothingElse) {
  FakeMesh mesh;
  mesh.Apply(kWeb).Apply(Entry("web", "10.1.0.1"));
  Translator translator;
  const auto view = translator.NewView(Node("one", "10.1.0.9", {{"app", "client"}}));
  view->Use(mesh.Build());
  const auto clusters = view->All(XdsType::kCluster);
  const auto listeners = view->All(XdsType::kListener);
  const auto route = view->Find(XdsType::kRoute, "80");
  const std::string web = absl::StrCat("outbound|80||", kHost);
  const std::string other = "outbound|80||other.default.svc.cluster.local";
  const auto web_before = view->Find(XdsType::kEndpoint, web);
  const auto other_before = view->Find(XdsType::kEndpoint, other);
  view->Use(mesh.Apply(Entry("web", "10.1.0.2")).Build());
  EXPECT_EQ(view->All(XdsType::kCluster), clusters);
  EXPECT_EQ(view->All(XdsType::kListener), listeners);
  EXPECT_EQ(view->Find(XdsType::kRoute, "80"), route);
  EXPECT_EQ(view->Find(XdsType::kEndpoint, other), other_before);
  EXPECT_NE(view->Find(XdsType::kEndpoint, web)->hash, web_before->hash);
}

// Requests that were still routed to the old subset found it empty while its cluster went away.
TEST(Translator, AClusterThatGoesAwayIsNotEmptiedFirst) {
  FakeMesh mesh;
  mesh.Apply(kWeb).Apply(kSubset).Apply(Entry("web", "10.1.0.1"));
  Translator translator;
  const auto view = translator.NewView(Node("one", "10.1.0.9"));
  view->Use(mesh.Build());
  const std::string name = absl::StrCat("outbound|80|a|", kHost);
  EXPECT_NE(view->Find(XdsType::kEndpoint, name), nullptr);
  view->Use(mesh.Delete(Kind::kDestinationRule, "web").Build());
  EXPECT_EQ(view->Find(XdsType::kEndpoint, name), nullptr);
}

// A rule with subsets alone made the service's own cluster a new one, with new connections.
TEST(Translator, ASubsetLeavesTheServicesOwnClusterAlone) {
  FakeMesh mesh;
  Translator translator;
  const auto view = translator.NewView(Node("one", "10.1.0.9"));
  view->Use(mesh.Apply(kWeb).Build());
  const std::string name = absl::StrCat("outbound|80||", kHost);
  const uint64_t before = view->Find(XdsType::kCluster, name)->hash;
  view->Use(mesh.Apply(kSubset).Build());
  EXPECT_EQ(view->Find(XdsType::kCluster, name)->hash, before);
}

TEST(Translator, NodeWithoutLabelsTakesThoseOfItsWorkload) {
  FakeMesh mesh;
  mesh.Apply(kWeb).Apply(Entry("web", "10.1.0.1"));
  Translator translator;
  const auto view = translator.NewView(Node("web-1", "10.1.0.1"));
  view->Use(mesh.Build());
  EXPECT_THAT(Names(view->All(XdsType::kCluster), "inbound|"), ElementsAre("inbound|8080||"));
}

TEST(Translator, ProxylessClientsAskByName) {
  FakeMesh mesh;
  Translator translator;
  ProxyNode node = Node("one", "10.1.0.9");
  node.kind = ProxyKind::kProxyless;
  const auto view = translator.NewView(node);
  view->Use(mesh.Apply(kWeb).Build());
  for (const char* name : {"web.default.svc.cluster.local:80", "web:80"}) {
    const ResourcePtr listener = view->Find(XdsType::kListener, name);
    ASSERT_NE(listener, nullptr) << name;
    EXPECT_EQ(Unpack<envoy::config::listener::v3::Listener>(listener).name(), name);
    EXPECT_THAT(listener->needs, ElementsAre(absl::StrCat("outbound|80||", kHost)));
  }
  EXPECT_NE(view->Find(XdsType::kRoute, absl::StrCat("outbound|80||", kHost)), nullptr);
  EXPECT_EQ(view->Find(XdsType::kListener, "web.default.svc.cluster.local:81"), nullptr);
  EXPECT_EQ(view->Find(XdsType::kListener, "nowhere:80"), nullptr);
}

TEST(Node, IsReadFromIdAndMetadata) {
  envoy::config::core::v3::Node node;
  node.set_id("sidecar~10.1.0.1~web-1.shop~shop.svc.cluster.local");
  auto& fields = *node.mutable_metadata()->mutable_fields();
  (*fields["LABELS"].mutable_struct_value()->mutable_fields())["app"].set_string_value("web");
  fields["INSTANCE_IPS"].set_string_value("10.1.0.1,fd00::1");
  fields["CLUSTER_ID"].set_string_value("Kubernetes");
  auto parsed = ParseNode(node);
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(parsed->name, "web-1");
  EXPECT_EQ(parsed->ns, "shop");
  EXPECT_THAT(parsed->addresses, ElementsAre("10.1.0.1", "fd00::1"));
  EXPECT_EQ(parsed->labels.at("app"), "web");
  EXPECT_EQ(parsed->kind, ProxyKind::kSidecar);
  fields["GENERATOR"].set_string_value("grpc");
  EXPECT_EQ(ParseNode(node)->kind, ProxyKind::kProxyless);
}

TEST(Node, WithoutAddressOrNamespaceIsRefused) {
  envoy::config::core::v3::Node node;
  node.set_id("web");
  const auto parsed = ParseNode(node);
  ASSERT_FALSE(parsed.ok());
  EXPECT_THAT(std::string(parsed.status().message()), HasSubstr("node id \"web\""));
}

}  // namespace
}  // namespace meltemi::pilot
