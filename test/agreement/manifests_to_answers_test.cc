// A request by the manifests alone: YAML goes through pilot's translation and the proxy's compiler,
// then the proxy's route table is asked what it would do.
#include <google/protobuf/any.pb.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/http/header_map.h"
#include "envoy/config/route/v3/route.pb.h"
#include "pilot/snapshot/mesh_fake.h"
#include "pilot/translate/translator.h"
#include "proxy/config/compile/context.h"
#include "proxy/config/compile/route.h"
#include "proxy/config/secrets/secret_store_fake.h"
#include "proxy/observe/log_sink.h"
#include "proxy/route/route.h"

namespace meltemi {
namespace {

constexpr char kServices[] = R"(
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {clusterIP: 10.96.0.20, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: other}
spec: {ports: [{name: http, port: 80}, {name: http-alt, port: 8080}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: web}
spec: {host: web, subsets: [{name: a, labels: {v: a}}, {name: b, labels: {v: b}}]}
)";

// A client in namespace "default" whose sidecar has the routes of port 80.
class Client {
 public:
  explicit Client(const std::string& http_routes, const std::string& hosts = "[web]",
                  pilot::Labels labels = {}) {
    pilot::FakeMesh mesh;
    mesh.Apply(kServices);
    if (!http_routes.empty()) {
      mesh.Apply(absl::StrCat("apiVersion: networking.istio.io/v1\nkind: VirtualService\n",
                              "metadata: {name: web}\nspec:\n  hosts: ", hosts, "\n  http:\n",
                              http_routes));
    }
    Load(mesh.Build(), std::move(labels));
  }
  Client(const pilot::SnapshotPtr& snapshot, pilot::Labels labels) {
    Load(snapshot, std::move(labels));
  }

  // What happens to a request: "a" (the subset), "web" (the service without subset), "70 a 30 b",
  // "redirect 301", "answer 200", "no route", "passthrough".
  std::string Get(const std::string& path, const std::map<std::string, std::string>& headers = {},
                  const std::string& host = "web") const {
    const auto request = http::HeaderMap::New();
    request->set_method(headers.contains(":method") ? headers.at(":method") : "GET");
    request->set_scheme("http");
    request->set_authority(host);
    request->set_path(path);
    for (const auto& [name, value] : headers) {
      if (name != ":method") request->Add(name, value);
    }
    const proxy::VirtualHost* virtual_host = nullptr;
    const proxy::Route* route = table_->Match(*request, {}, &virtual_host);
    return route == nullptr ? "no route" : Describe(*route);
  }

 private:
  void Load(const pilot::SnapshotPtr& snapshot, pilot::Labels labels) {
    pilot::ProxyNode node;
    node.name = "client";
    node.ns = "default";
    node.addresses = {"10.1.0.1"};
    node.labels = std::move(labels);
    pilot::Translator translator;
    const auto view = translator.NewView(node);
    view->Use(snapshot);
    google::protobuf::Any any;
    envoy::config::route::v3::RouteConfiguration routes;
    ASSERT_TRUE(any.ParseFromString(view->Find(pilot::XdsType::kRoute, "80")->any));
    ASSERT_TRUE(any.UnpackTo(&routes));
    proxy::LogSinks sinks;
    proxy::SecretStoreFake secrets;
    auto table =
        proxy::CompileRouteTable(routes, proxy::CompileContext{sinks, {}, "client", secrets});
    ASSERT_TRUE(table.ok()) << table.status();
    table_ = *std::move(table);
  }

  // "outbound|80|a|web.default.svc.cluster.local" -> "a"; without subset the service's name.
  static std::string ShortCluster(absl::string_view name) {
    if (name == "PassthroughCluster") return "passthrough";
    const size_t host = name.rfind('|');
    const size_t subset = name.rfind('|', host - 1);
    if (subset + 1 < host) return std::string(name.substr(subset + 1, host - subset - 1));
    const absl::string_view service = name.substr(host + 1);
    return std::string(service.substr(0, service.find('.')));
  }

  static std::string Describe(const proxy::Route& route) {
    switch (route.action) {
      case proxy::Route::Action::kRedirect:
        return absl::StrCat("redirect ", route.redirect.status);
      case proxy::Route::Action::kDirectResponse:
        return absl::StrCat("answer ", route.direct.status);
      case proxy::Route::Action::kNonForwarding:
        return "none";
      case proxy::Route::Action::kForward:
        break;
    }
    if (route.clusters.size() == 1) return ShortCluster(route.clusters[0].cluster);
    std::string text;
    for (const proxy::WeightedCluster& cluster : route.clusters) {
      absl::StrAppend(&text, text.empty() ? "" : " ", cluster.weight, " ",
                      ShortCluster(cluster.cluster));
    }
    return text;
  }

  std::shared_ptr<const proxy::RouteTable> table_;
};

constexpr char kToA[] = "  - route: [{destination: {host: web, subset: a}}]\n";

TEST(ManifestsToAnswers, WithoutRulesEachServiceAnswersUnderAllItsNames) {
  const Client client("");
  for (const char* name :
       {"web", "web:80", "web.default", "web.default.svc", "web.default.svc.cluster.local",
        "WEB.default.svc.cluster.local:80", "10.96.0.20", "10.96.0.20:80"}) {
    EXPECT_EQ(client.Get("/", {}, name), "web") << name;
  }
  EXPECT_EQ(client.Get("/", {}, "other"), "other");
  EXPECT_EQ(client.Get("/", {}, "example.com"), "passthrough");
}

TEST(ManifestsToAnswers, CanaryByHeader) {
  const Client client(
      absl::StrCat("  - match: [{headers: {lab: {exact: canary}}}]\n"
                   "    route: [{destination: {host: web, subset: b}}]\n",
                   kToA));
  EXPECT_EQ(client.Get("/", {{"lab", "canary"}}), "b");
  EXPECT_EQ(client.Get("/"), "a");
  EXPECT_EQ(client.Get("/", {{"lab", "other"}}), "a");
}

TEST(ManifestsToAnswers, Weights) {
  const Client client(
      "  - route:\n"
      "    - {destination: {host: web, subset: a}, weight: 70}\n"
      "    - {destination: {host: web, subset: b}, weight: 30}\n");
  EXPECT_EQ(client.Get("/"), "70 a 30 b");
}

TEST(ManifestsToAnswers, PathsMethodsAndQueries) {
  const Client client(
      absl::StrCat("  - match: [{uri: {prefix: /api}, method: {exact: POST}}]\n"
                   "    route: [{destination: {host: web, subset: b}}]\n"
                   "  - match: [{uri: {regex: '/v[0-9]+/.*'}}, {queryParams: {debug: {}}}]\n"
                   "    route: [{destination: {host: other, port: {number: 8080}}}]\n"
                   "  - match: [{uri: {exact: /Old}, ignoreUriCase: true}]\n"
                   "    redirect: {uri: /new, redirectCode: 308}\n"
                   "  - match: [{uri: {prefix: /health}}]\n"
                   "    directResponse: {status: 204}\n",
                   kToA));
  EXPECT_EQ(client.Get("/api/x", {{":method", "POST"}}), "b");
  EXPECT_EQ(client.Get("/api/x"), "a");
  EXPECT_EQ(client.Get("/v12/x"), "other");
  EXPECT_EQ(client.Get("/vx/x"), "a");
  EXPECT_EQ(client.Get("/?debug=1"), "other");
  EXPECT_EQ(client.Get("/oLD"), "redirect 308");
  EXPECT_EQ(client.Get("/health"), "answer 204");
}

// "without the header" holds for a request that lacks it and for one with another value.
TEST(ManifestsToAnswers, WithoutHeaders) {
  const Client client(
      absl::StrCat("  - match: [{withoutHeaders: {x-user: {exact: root}}}]\n"
                   "    route: [{destination: {host: web, subset: b}}]\n",
                   kToA));
  EXPECT_EQ(client.Get("/"), "b");
  EXPECT_EQ(client.Get("/", {{"x-user", "me"}}), "b");
  EXPECT_EQ(client.Get("/", {{"x-user", "root"}}), "a");
}

TEST(ManifestsToAnswers, SourceLabelsChooseByCaller) {
  const std::string routes = absl::StrCat(
      "  - match: [{sourceLabels: {app: vip}}]\n"
      "    route: [{destination: {host: web, subset: b}}]\n",
      kToA);
  EXPECT_EQ(Client(routes, "[web]", {{"app", "vip"}}).Get("/"), "b");
  EXPECT_EQ(Client(routes, "[web]", {{"app", "plain"}}).Get("/"), "a");
}

TEST(ManifestsToAnswers, NothingMatchesMeansNoRoute) {
  const Client client(
      "  - match: [{uri: {exact: /only}}]\n"
      "    route: [{destination: {host: web, subset: b}}]\n");
  EXPECT_EQ(client.Get("/only"), "b");
  EXPECT_EQ(client.Get("/else"), "no route");
}

TEST(ManifestsToAnswers, HostsThatAreNoServicesAreServedOnPort80) {
  const Client client(kToA, "[web, shop.example.com, \"*.example.org\"]");
  EXPECT_EQ(client.Get("/", {}, "shop.example.com"), "a");
  EXPECT_EQ(client.Get("/", {}, "a.b.example.org"), "a");
  EXPECT_EQ(client.Get("/", {}, "example.org"), "passthrough");
}

TEST(ManifestsToAnswers, SeveralRulesForAHostAreMergedOldestFirst) {
  const auto rule = [](const std::string& name, const std::string& when,
                       const std::string& routes) {
    return absl::StrCat(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: ", name,
        ", creationTimestamp: \"", when, "\"}\nspec:\n  hosts: [web]\n  http:\n", routes);
  };
  pilot::FakeMesh mesh;
  mesh.Apply(kServices);
  mesh.Apply(rule("late", "2022-01-01T00:00:00Z",
                  "  - match: [{uri: {prefix: /x}}]\n    route: [{destination: {host: other}}]\n"));
  mesh.Apply(rule("early", "2021-01-01T00:00:00Z", kToA));
  const Client client(mesh.Build(), {});
  EXPECT_EQ(client.Get("/x"), "other") << "what matches everything goes last";
  EXPECT_EQ(client.Get("/"), "a");
}

// Applied one by one in any order, no step leaves a request without a cluster that exists.
TEST(ManifestsToAnswers, OrderOfApplyingNeverBreaks) {
  pilot::FakeMesh mesh;
  mesh.Apply(kServices).Delete(pilot::Kind::kDestinationRule, "web");
  mesh.Apply(absl::StrCat("apiVersion: networking.istio.io/v1\nkind: VirtualService\n",
                          "metadata: {name: web}\nspec:\n  hosts: [web]\n  http:\n", kToA));
  EXPECT_EQ(Client(mesh.Build(), {}).Get("/"), "web");
  mesh.Apply(kServices);
  EXPECT_EQ(Client(mesh.Build(), {}).Get("/"), "a");
  mesh.Delete(pilot::Kind::kDestinationRule, "web");
  EXPECT_EQ(Client(mesh.Build(), {}).Get("/"), "a");
}

}  // namespace
}  // namespace meltemi
