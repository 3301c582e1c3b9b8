// A thousand VirtualServices for one host: the oldest wins, in whatever order they came and from
// wherever; nobody else notices.
#include <google/protobuf/any.pb.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "envoy/config/route/v3/route.pb.h"
#include "pilot/snapshot/mesh_fake.h"
#include "pilot/translate/node.h"
#include "pilot/translate/translator.h"

namespace meltemi::pilot {
namespace {

using envoy::config::route::v3::RouteConfiguration;
using envoy::config::route::v3::VirtualHost;

constexpr int kRules = 1000;
constexpr char kContested[] = "web.default.svc.cluster.local";
constexpr char kQuiet[] = "quiet.default.svc.cluster.local";
constexpr char kServices[] = R"(
{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {ports: [{name: http, port: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: quiet}, spec: {ports: [{name: http, port: 80}]}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: quiet}
spec: {hosts: [quiet], http: [{timeout: 3s, route: [{destination: {host: quiet}}]}]}
)";

// Rule `i` answers /own-`i`, and everything else with a timeout that tells it.
std::string Rule(int i, const std::string& ns, const std::string& created) {
  return absl::StrCat(
      "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: r", i,
      ", namespace: ", ns, created.empty() ? "" : ", creationTimestamp: \"" + created + "\"",
      "}\nspec: {hosts: [", kContested, "], http: [{match: [{uri: {exact: /own-", i,
      "}}], route: [{destination: {host: ", kContested, "}}]}, {timeout: ", i + 1,
      "s, route: [{destination: {host: ", kContested, "}}]}]}\n");
}

std::string AtSecond(int i) {
  return absl::StrFormat("2024-01-01T%02d:%02d:%02dZ", i / 3600, i / 60 % 60, i % 60);
}

// The virtual host that a sidecar in namespace default gets.
VirtualHost HostOf(const SnapshotPtr& snapshot, const std::string& host) {
  Translator translator;
  ProxyNode node;
  node.name = "app";
  node.ns = "default";
  node.addresses = {"10.1.0.1"};
  const auto view = translator.NewView(node);
  view->Use(snapshot);
  const ResourcePtr resource = view->Find(XdsType::kRoute, "80");
  google::protobuf::Any any;
  RouteConfiguration routes;
  EXPECT_TRUE(resource != nullptr && any.ParseFromString(resource->any) && any.UnpackTo(&routes));
  for (const VirtualHost& each : routes.virtual_hosts()) {
    if (each.name() == host + ":80") return each;
  }
  ADD_FAILURE() << "no virtual host for " << host;
  return VirtualHost();
}

// The seconds of the route that takes what nothing else does, which must be the last and only one.
int64_t Winner(const VirtualHost& host) {
  int64_t winner = 0;
  int takes_all = 0;
  for (const auto& route : host.routes()) {
    if (route.match().prefix() != "/") continue;
    ++takes_all;
    winner = route.route().timeout().seconds();
  }
  EXPECT_EQ(takes_all, 1) << "what nobody can reach is not sent to every proxy";
  EXPECT_EQ(host.routes(host.routes_size() - 1).match().prefix(), "/");
  return winner;
}

class ConflictTest : public ::testing::TestWithParam<bool> {
 protected:
  // Rules of one namespace, or of a thousand.
  static std::string NamespaceOf(int i) {
    return GetParam() ? absl::StrFormat("ns%04d", i) : std::string("default");
  }
};

TEST_P(ConflictTest, TheOldestWinsWhateverTheOrder) {
  const VirtualHost quiet = HostOf(FakeMesh().Apply(kServices).Build(), kQuiet);
  std::vector<int> order(kRules);
  for (int i = 0; i < kRules; ++i) order[static_cast<size_t>(i)] = i;
  std::mt19937 random(7);
  std::string first_bytes;
  for (int round = 0; round < 2; ++round) {
    std::shuffle(order.begin(), order.end(), random);
    std::string manifests = kServices;
    // Rule 700 is the oldest.
    for (const int i : order) {
      manifests += Rule(i, NamespaceOf(i), AtSecond((i - 700 + kRules) % kRules));
    }
    FakeMesh mesh;
    mesh.Apply(manifests);
    const auto begin = std::chrono::steady_clock::now();
    const SnapshotPtr snapshot = mesh.Build();
    const VirtualHost host = HostOf(snapshot, kContested);
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(2));
    EXPECT_EQ(Winner(host), 701);
    EXPECT_EQ(host.routes_size(), kRules + 1) << "each still answers its own path";
    EXPECT_EQ(host.routes(0).match().path(), "/own-700");
    if (first_bytes.empty()) first_bytes = SerializeDeterministic(host);
    EXPECT_EQ(SerializeDeterministic(host), first_bytes);
    EXPECT_EQ(SerializeDeterministic(HostOf(snapshot, kQuiet)), SerializeDeterministic(quiet));
  }
}

TEST_P(ConflictTest, OfOneAgeTheNameDecides) {
  std::string manifests = kServices;
  for (int i = kRules - 1; i >= 0; --i) manifests += Rule(i, NamespaceOf(i), "");
  EXPECT_EQ(Winner(HostOf(FakeMesh().Apply(manifests).Build(), kContested)), 1);
}

TEST_P(ConflictTest, WhenTheWinnerGoesTheNextOneIsInForce) {
  FakeMesh mesh;
  mesh.Apply(kServices);
  for (int i = 0; i < 20; ++i) mesh.Apply(Rule(i, NamespaceOf(i), AtSecond(i)));
  EXPECT_EQ(Winner(HostOf(mesh.Build(), kContested)), 1);
  mesh.Delete(Kind::kVirtualService, "r0", NamespaceOf(0));
  EXPECT_EQ(Winner(HostOf(mesh.Build(), kContested)), 2);
}

INSTANTIATE_TEST_SUITE_P(Namespaces, ConflictTest, ::testing::Bool(), [](const auto& info) {
  return std::string(info.param ? "AThousand" : "One");
});

}  // namespace
}  // namespace meltemi::pilot
