// Envoy reads what pilot makes of its test manifests, and finds nothing wrong with it.
#include <google/protobuf/any.pb.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "envoy/config/bootstrap/v3/bootstrap.pb.h"
#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/config/listener/v3/listener.pb.h"
#include "pilot/snapshot/mesh_fake.h"
#include "pilot/translate/node.h"
#include "pilot/translate/translator.h"
#include "test/machine/process.h"
#include "test/scenarios/programs.h"

namespace meltemi {
namespace {

namespace fs = std::filesystem;
using envoy::config::bootstrap::v3::Bootstrap;
using envoy::config::cluster::v3::Cluster;
using pilot::XdsType;

std::string ReadFile(const fs::path& path) {
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

std::vector<fs::path> Manifests() {
  std::vector<fs::path> paths;
  for (const auto& entry : fs::directory_iterator("pilot/translate/testdata")) {
    if (entry.path().extension() == ".yaml") paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

// "# node: ID [label=value …]" in the first lines.
std::vector<pilot::ProxyNode> NodesOf(const std::string& yaml) {
  std::vector<pilot::ProxyNode> nodes;
  for (const absl::string_view line : absl::StrSplit(yaml, '\n')) {
    if (!absl::StartsWith(line, "# node: ")) continue;
    const std::vector<std::string> words = absl::StrSplit(line.substr(8), ' ');
    const std::vector<std::string> id = absl::StrSplit(words[0], '~');
    pilot::ProxyNode node;
    node.id = words[0];
    if (id[0] == "router") node.kind = pilot::ProxyKind::kGateway;
    if (id[0] == "grpc") node.kind = pilot::ProxyKind::kProxyless;
    node.addresses = {id[1]};
    const std::pair<std::string, std::string> name = absl::StrSplit(id[2], '.');
    node.name = name.first;
    node.ns = name.second;
    for (size_t i = 1; i < words.size(); ++i) {
      node.labels.insert(
          std::pair<std::string, std::string>(absl::StrSplit(words[i], absl::MaxSplits('=', 1))));
    }
    nodes.push_back(std::move(node));
  }
  return nodes;
}

// Where Envoy would ask for the rest: nobody is there, and in this mode nobody is asked.
void AddSource(const std::string& name, Bootstrap* out) {
  Cluster& cluster = *out->mutable_static_resources()->add_clusters();
  cluster.set_name(name);
  cluster.set_type(Cluster::STATIC);
  cluster.mutable_connect_timeout()->set_seconds(1);
  cluster.mutable_http2_protocol_options();
  cluster.mutable_load_assignment()->set_cluster_name(name);
  auto& address = *cluster.mutable_load_assignment()
                       ->add_endpoints()
                       ->add_lb_endpoints()
                       ->mutable_endpoint()
                       ->mutable_address()
                       ->mutable_socket_address();
  address.set_address("127.0.0.1");
  address.set_port_value(9);
}

Bootstrap BootstrapOf(const pilot::SnapshotPtr& snapshot, const pilot::ProxyNode& node) {
  Bootstrap bootstrap;
  bootstrap.mutable_node()->set_id(node.id);
  bootstrap.mutable_node()->set_cluster("test");
  auto& ads = *bootstrap.mutable_dynamic_resources()->mutable_ads_config();
  ads.set_api_type(envoy::config::core::v3::ApiConfigSource::GRPC);
  ads.set_transport_api_version(envoy::config::core::v3::V3);
  ads.add_grpc_services()->mutable_envoy_grpc()->set_cluster_name("xds-grpc");
  AddSource("xds-grpc", &bootstrap);
  AddSource("sds-grpc", &bootstrap);
  pilot::Translator translator;
  const auto view = translator.NewView(node);
  view->Use(snapshot);
  auto& resources = *bootstrap.mutable_static_resources();
  const auto unpack = [](const pilot::Resource& resource, google::protobuf::Message* out) {
    google::protobuf::Any any;
    EXPECT_TRUE(any.ParseFromString(resource.any) && any.UnpackTo(out));
  };
  for (const auto& cluster : view->All(XdsType::kCluster)->resources) {
    unpack(*cluster, resources.add_clusters());
  }
  for (const auto& listener : view->All(XdsType::kListener)->resources) {
    unpack(*listener, resources.add_listeners());
  }
  return bootstrap;
}

// A certificate with its key where the manifests' files are to be.
bool WriteCertificate(const std::string& folder) {
  const machine::Finished made = machine::RunToEnd(
      {.argv = {"openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=test", "-days", "2",
                "-keyout", folder + "/k.pem", "-out", folder + "/c.pem"}},
      std::chrono::seconds(60));
  return made.exit_status == 0;
}

TEST(Envoy, TakesWhatPilotMakes) {
  std::string why_not;
  const std::string envoy = scenarios::FetchPeer("envoy", &why_not);
  if (envoy.empty()) GTEST_SKIP() << "no Envoy: " << why_not;
  const std::string folder = scenarios::FreshFolder("configuration");
  ASSERT_TRUE(WriteCertificate(folder));
  int validated = 0;
  for (const fs::path& path : Manifests()) {
    const std::string yaml =
        absl::StrReplaceAll(ReadFile(path), {{"/etc/c.pem", folder + "/c.pem"},
                                             {"/etc/k.pem", folder + "/k.pem"},
                                             {"/etc/ca.pem", folder + "/c.pem"}});
    const pilot::SnapshotPtr snapshot = pilot::FakeMesh().Apply(yaml).Build();
    for (const pilot::ProxyNode& node : NodesOf(yaml)) {
      if (node.kind == pilot::ProxyKind::kProxyless) continue;
      SCOPED_TRACE(absl::StrCat(path.string(), " for ", node.id));
      const std::string file = absl::StrCat(folder, "/", validated, ".pb");
      std::ofstream(file) << BootstrapOf(snapshot, node).SerializeAsString();
      const machine::Finished finished =
          machine::RunToEnd({.argv = {envoy, "--mode", "validate", "--config-path", file,
                                      "--log-level", "error", "--disable-hot-restart"}},
                            std::chrono::seconds(60));
      EXPECT_EQ(finished.exit_status, 0) << finished.output;
      ++validated;
    }
  }
  EXPECT_GE(validated, 10);
}

}  // namespace
}  // namespace meltemi
