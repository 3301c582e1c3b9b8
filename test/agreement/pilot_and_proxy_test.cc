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
      return proxy::CompileCluster(Unpack<envoy::config::cluster::v3::Cluster>(any)).status();
    case XdsType::kEndpoint:
      return proxy::CompileEndpoints(
                 Unpack<envoy::config::endpoint::v3::ClusterLoadAssignment>(any))
          .status();
    case XdsType::kListener:
      return proxy::CompileListener(Unpack<envoy::config::listener::v3::Listener>(any), context)
          .status();
    case XdsType::kRoute:
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

pilot::ProxyNode Node(ProxyKind kind) {
  pilot::ProxyNode node;
  node.kind = kind;
  node.name = "tester";
  node.ns = "default";
  node.addresses = {"10.1.0.2"};
  // Whatever the manifests select.
  node.labels = {{"app", "app"}, {"istio", "ingressgateway"}};
  node.access_log_path = "/dev/null";
  return node;
}

TEST(PilotAndProxy, WhatPilotSendsTheProxyTakes) {
  proxy::LogSinks sinks;
  proxy::SecretStoreFake secrets;
  const proxy::CompileContext context{sinks, {}, "tester", secrets};
  int compiled = 0;
  for (const fs::path& path : Manifests()) {
    std::stringstream text;
    text << std::ifstream(path).rdbuf();
    const pilot::SnapshotPtr snapshot = pilot::FakeMesh().Apply(text.str()).Build();
    for (const ProxyKind kind : {ProxyKind::kSidecar, ProxyKind::kGateway}) {
      pilot::Translator translator;
      const std::unique_ptr<pilot::ProxyView> view = translator.NewView(Node(kind));
      view->Use(snapshot);
      for (const XdsType type :
           {XdsType::kCluster, XdsType::kEndpoint, XdsType::kListener, XdsType::kRoute}) {
        for (const pilot::ResourcePtr& resource : view->Everything(type)) {
          google::protobuf::Any any;
          ASSERT_TRUE(any.ParseFromString(resource->any));
          const absl::Status status = Compile(type, any, context);
          EXPECT_TRUE(status.ok()) << path << ": " << resource->name << ": " << status.ToString();
          ++compiled;
        }
      }
    }
  }
  EXPECT_GT(compiled, 100);
}

}  // namespace
}  // namespace meltemi
