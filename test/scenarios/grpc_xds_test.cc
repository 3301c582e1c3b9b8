// gRPC C++'s own xds:/// client takes its configuration from our control plane: no sidecar at its
// side.

#include <chrono>
#include <map>
#include <memory>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "gtest/gtest.h"
#include "test/machine/mesh.h"
#include "test/scenarios/programs.h"
#include "test/scenarios/statistics.h"

namespace meltemi::scenarios {
namespace {

using machine::Eventually;
using machine::Mesh;
using machine::Pod;
using machine::PodSpec;
using std::chrono::seconds;

constexpr char kTarget[] = "xds:///echo.default.svc.cluster.local:7000";

constexpr char kWeighted[] = R"(apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: echo, namespace: default}
spec:
  host: echo
  subsets:
  - {name: v1, labels: {version: v1}}
  - {name: v2, labels: {version: v2}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: echo, namespace: default}
spec:
  hosts: [echo]
  http:
  - route:
    - {destination: {host: echo, subset: v1}, weight: 80}
    - {destination: {host: echo, subset: v2}, weight: 20}
)";

class GrpcXdsTest : public testing::Test {
 protected:
  void SetUp() override {
    if (const std::string why = machine::WhyNoNamespaces(); !why.empty()) GTEST_SKIP() << why;
    auto mesh = Mesh::Start(BuiltPrograms(), FreshFolder("grpc-xds"));
    ASSERT_TRUE(mesh.ok()) << mesh.status();
    mesh_ = std::move(*mesh);
    mesh_->AddService("echo", "10.96.0.21", "grpc", 7000, 7000);
    for (const char* version : {"v1", "v2"}) {
      const auto pod = mesh_->AddPod({.name = absl::StrCat("echo-", version),
                                      .labels = {{"app", "echo"}, {"version", version}},
                                      .sidecar = PodSpec::Sidecar::kNone});
      ASSERT_TRUE(pod.ok()) << pod.status();
      ASSERT_TRUE((*pod)->Start("app", {echo_, "serve", "7000", version}).ok());
      ASSERT_TRUE(Eventually([&] { return (*pod)->Listening(7000); }, seconds(30)));
    }
    const auto client = mesh_->AddPod(
        {.name = "client", .labels = {{"app", "client"}}, .sidecar = PodSpec::Sidecar::kNone});
    ASSERT_TRUE(client.ok()) << client.status();
    client_ = *client;
  }

  // `count` unary calls: how many each server answered. Failures are under "failed".
  std::map<std::string, int> Call(int count) {
    const std::string bootstrap = absl::StrFormat(
        R"({"xds_servers": [{"server_uri": "%s:15010", "channel_creds": [{"type": "insecure"}],
            "server_features": ["xds_v3"]}],
           "node": {"id": "sidecar~%s~client.default~default.svc.cluster.local",
                    "metadata": {"GENERATOR": "grpc", "NAMESPACE": "default"}}})",
        mesh_->node().ip(), client_->ip());
    const machine::Finished finished =
        machine::RunToEnd({.argv = {echo_, "unary", kTarget, absl::StrCat(count)},
                           .env = {absl::StrCat("GRPC_XDS_BOOTSTRAP_CONFIG=", bootstrap)},
                           .network_namespace = client_->network().fd()},
                          seconds(60));
    std::map<std::string, int> counts;
    for (absl::string_view line : absl::StrSplit(finished.output, '\n')) {
      const std::vector<std::string> words = absl::StrSplit(line, ' ');
      int answered = 0;
      if (words.size() >= 2 && absl::SimpleAtoi(words[1], &answered)) counts[words[0]] = answered;
    }
    if (counts.count("failed") == 0) ADD_FAILURE() << finished.output;
    return counts;
  }

  const std::string echo_ = WorkspaceFile("test/apps/grpc_echo");
  std::unique_ptr<Mesh> mesh_;
  Pod* client_ = nullptr;
};

TEST_F(GrpcXdsTest, ResolvesAndBalancesOverBothEndpoints) {
  const auto counts = Call(200);
  EXPECT_EQ(counts.at("failed"), 0);
  EXPECT_GT(counts.count("v1"), 0u);
  EXPECT_GT(counts.count("v2"), 0u);
}

TEST_F(GrpcXdsTest, FollowsTheWeightsOfAVirtualService) {
  mesh_->Apply("weights", kWeighted);
  ASSERT_TRUE(mesh_->Settle().ok());
  const auto counts = Call(1000);
  EXPECT_EQ(counts.at("failed"), 0);
  EXPECT_TRUE(FitsShare(counts.count("v2") ? counts.at("v2") : 0, 1000, 0.2))
      << counts.at("v1") << " v1";
}

}  // namespace
}  // namespace meltemi::scenarios
