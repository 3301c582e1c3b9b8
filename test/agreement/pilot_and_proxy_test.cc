// Every resource that pilot makes of its test manifests compiles in the proxy.
#include <google/protobuf/any.pb.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/config/endpoint/v3/endpoint.pb.h"
#include "envoy/config/listener/v3/listener.pb.h"
#include "envoy/config/route/v3/route.pb.h"
#include "pilot/snapshot/mesh_fake.h"
#include "pilot/translate/translator.h"
#include "proxy/config/compile/cluster.h"
#include "proxy/config/compile/context.h"
#include "proxy/config/compile/endpoints.h"
#include "proxy/config/compile/listener.h"
#include "proxy/config/compile/route.h"
#include "proxy/config/secrets/secret_store_fake.h"
#include "proxy/observe/log_sink.h"
#include "proxy/transport/tls_socket.h"

namespace meltemi {
namespace {

namespace fs = std::filesystem;
using pilot::ProxyKind;
using pilot::XdsType;

template <typename M>
M Unpack(const google::protobuf::Any& any) {
  M message;
  EXPECT_TRUE(any.UnpackTo(&message));
  return message;
}

absl::Status Compile(XdsType type, const google::protobuf::Any& any,
                     const proxy::CompileContext& context) {
  switch (type) {
    case XdsType::kCluster:
      return proxy::CompileCluster(Unpack<envoy::config::cluster::v3::Cluster>(any),
                                   context.tls_sockets)
          .status();
    case XdsType::kEndpoint:
      return proxy::CompileEndpoints(
                 Unpack<envoy::config::endpoint::v3::ClusterLoadAssignment>(any))
          .status();
    case XdsType::kListener:
      return proxy::CompileListener(Unpack<envoy::config::listener::v3::Listener>(any), context)
          .status();
    case XdsType::kRoute:
    case XdsType::kSecret:
      break;
  }
  return proxy::CompileRouteTable(Unpack<envoy::config::route::v3::RouteConfiguration>(any),
                                  context)
      .status();
}

std::vector<fs::path> Manifests() {
  std::vector<fs::path> paths;
  for (const auto& entry : fs::directory_iterator("pilot/translate/testdata")) {
    if (entry.path().extension() == ".yaml") paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

pilot::ProxyNode Node(ProxyKind kind, const std::string& app, const std::string& ns,
                      bool identity) {
  pilot::ProxyNode node;
  node.kind = kind;
  node.name = "tester";
  node.ns = ns;
  node.addresses = {"10.1.0.2"};
  // Whatever the manifests select.
  node.labels = {{"app", app}, {"istio", "ingressgateway"}};
  if (identity) node.labels[pilot::kTlsModeLabel] = "istio";
  node.access_log_path = "/dev/null";
  return node;
}

std::vector<pilot::ProxyNode> Nodes() {
  std::vector<pilot::ProxyNode> nodes;
  for (const bool identity : {false, true}) {
    nodes.push_back(Node(ProxyKind::kSidecar, "app", "default", identity));
    nodes.push_back(Node(ProxyKind::kGateway, "app", "default", identity));
    nodes.push_back(Node(ProxyKind::kSidecar, "server", "default", identity));
    nodes.push_back(Node(ProxyKind::kSidecar, "strict", "strict", identity));
    nodes.push_back(Node(ProxyKind::kSidecar, "plain", "plain", identity));
  }
  return nodes;
}

TEST(PilotAndProxy, WhatPilotSendsTheProxyTakes) {
  proxy::LogSinks sinks;
  proxy::SecretStoreFake secrets;
  proxy::TlsSockets sockets(secrets);
  const proxy::CompileContext context{sinks, {}, "tester", secrets, &sockets};
  int compiled = 0;
  const auto check = [&](XdsType type, const pilot::Resource& resource, const fs::path& path) {
    google::protobuf::Any any;
    ASSERT_TRUE(any.ParseFromString(resource.any));
    const absl::Status status = Compile(type, any, context);
    // Certificates in files are where the proxy runs.
    if (absl::StrContains(status.message(), "/etc/")) return;
    EXPECT_TRUE(status.ok()) << path << ": " << resource.name << ": " << status.ToString();
    ++compiled;
  };
  for (const fs::path& path : Manifests()) {
    std::stringstream text;
    text << std::ifstream(path).rdbuf();
    const pilot::SnapshotPtr snapshot = pilot::FakeMesh().Apply(text.str()).Build();
    for (const pilot::ProxyNode& node : Nodes()) {
      pilot::Translator translator;
      const std::unique_ptr<pilot::ProxyView> view = translator.NewView(node);
      view->Use(snapshot);
      for (const XdsType type :
           {XdsType::kCluster, XdsType::kEndpoint, XdsType::kListener, XdsType::kRoute}) {
        for (const auto& resource : view->Everything(type)) check(type, *resource, path);
      }
    }
  }
  EXPECT_GT(compiled, 100);
}

}  // namespace
}  // namespace meltemi
