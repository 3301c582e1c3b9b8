// What must hold while traffic flows: restarts, removals, changes, protocols and large bodies.

#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <map>
#include <memory>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "gtest/gtest.h"
#include "test/machine/load.h"
#include "test/machine/mesh.h"
#include "test/scenarios/programs.h"

namespace meltemi::scenarios {
namespace {

using machine::Eventually;
using machine::Finished;
using machine::Load;
using machine::LoadResult;
using machine::Mesh;
using machine::Pod;
using machine::PodSpec;
using std::chrono::seconds;

constexpr char kFlaskappUrl[] = "http://flaskapp/env/version";

std::string Weighted(int v1, int v2) {
  return absl::StrFormat(R"(apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: flaskapp, namespace: default}
spec:
  hosts: [flaskapp]
  http:
  - route:
    - destination: {host: flaskapp, subset: v1}
      weight: %d
    - destination: {host: flaskapp, subset: v2}
      weight: %d
)",
                         v1, v2);
}

constexpr char kSubsets[] = R"(apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: flaskapp, namespace: default}
spec:
  host: flaskapp
  subsets:
  - {name: v1, labels: {version: v1}}
  - {name: v2, labels: {version: v2}}
)";

class TrafficTest : public testing::Test {
 protected:
  void SetUp() override {
    if (const std::string why = machine::WhyNoNamespaces(); !why.empty()) GTEST_SKIP() << why;
    machine::Programs programs = BuiltPrograms();
    if (sidecar_ != PodSpec::Sidecar::kMeltemi) {
      std::string why_not;
      programs.envoy = FetchPeer("envoy", &why_not);
      if (programs.envoy.empty()) GTEST_SKIP() << "no Envoy: " << why_not;
    }
    auto mesh = Mesh::Start(programs, FreshFolder("traffic"));
    ASSERT_TRUE(mesh.ok()) << mesh.status();
    mesh_ = std::move(*mesh);
    sleep_ = AddPod("sleep", {{"app", "sleep"}});
  }

  Pod* AddPod(const std::string& name, const std::map<std::string, std::string>& labels) {
    const absl::StatusOr<Pod*> pod =
        mesh_->AddPod({.name = name, .labels = labels, .sidecar = sidecar_});
    EXPECT_TRUE(pod.ok()) << pod.status();
    return pod.ok() ? *pod : nullptr;
  }
  void StartApp(Pod* pod, const std::vector<std::string>& argv,
                const std::vector<std::string>& env = {}, int port = 80) {
    ASSERT_NE(pod, nullptr);
    const auto app = pod->Start("app", argv, env);
    ASSERT_TRUE(app.ok()) << app.status();
    ASSERT_TRUE(Eventually([&] { return pod->Listening(port); }, seconds(30))) << pod->Log("app");
  }
  // flaskapp v1 and v2 behind a Service.
  void AddFlaskapp() {
    mesh_->AddService("flaskapp", "10.96.0.10", "http", 80, 80);
    for (const char* version : {"v1", "v2"}) {
      Pod* pod =
          AddPod(absl::StrCat("flaskapp-", version), {{"app", "flaskapp"}, {"version", version}});
      StartApp(pod, {mesh_->programs().flaskapp, "80"}, {absl::StrCat("version=", version)});
      (version[1] == '1' ? v1_ : v2_) = pod;
    }
    Settle();
  }
  void Settle() {
    const absl::Status status = mesh_->Settle();
    ASSERT_TRUE(status.ok()) << status;
  }
  std::string Curl(const std::vector<std::string>& arguments) {
    std::vector<std::string> argv = {"curl", "-s", "-m", "60"};
    argv.insert(argv.end(), arguments.begin(), arguments.end());
    return sleep_->Exec(argv, seconds(90)).output;
  }
  // Requests that the load has made so far, as the sidecar counts them.
  int64_t Served() {
    return mesh_->Stat(*sleep_, sidecar_ == PodSpec::Sidecar::kMeltemi ? "istio_requests_total"
                                                                       : "upstream_rq_completed");
  }
  void WaitForRequests(int64_t more) {
    const int64_t before = Served();
    EXPECT_TRUE(Eventually([&] { return Served() >= before + more; }, seconds(60)));
  }

  PodSpec::Sidecar sidecar_ = PodSpec::Sidecar::kMeltemi;
  std::unique_ptr<Mesh> mesh_;
  Pod* sleep_ = nullptr;
  Pod* v1_ = nullptr;
  Pod* v2_ = nullptr;
};

// With our sidecars, and with Envoys over both protocols.
class RestartTest : public TrafficTest, public testing::WithParamInterface<PodSpec::Sidecar> {
 protected:
  RestartTest() { sidecar_ = GetParam(); }
  // Responses with clusters that the sidecar has taken so far.
  int64_t ClusterUpdates() { return mesh_->Stat(*sleep_, "cds.update_success"); }
};

TEST_P(RestartTest, PilotMayDieAndComeBackWithoutAFailedRequest) {
  AddFlaskapp();
  mesh_->Apply("dr", kSubsets);
  mesh_->Apply("vs", Weighted(100, 0));
  Settle();
  Load load = Load::Start(*sleep_, kFlaskappUrl, 4);
  WaitForRequests(200);
  mesh_->KillPilot();
  WaitForRequests(500);
  EXPECT_EQ(Curl({kFlaskappUrl}), "v1");
  const int64_t cluster_updates = ClusterUpdates();
  EXPECT_GE(cluster_updates, 1);
  // Changed while pilot is away: it must arrive once pilot is back.
  mesh_->Apply("vs", Weighted(0, 100));
  ASSERT_TRUE(mesh_->StartPilot().ok());
  Settle();
  EXPECT_EQ(Curl({kFlaskappUrl}), "v2");
  WaitForRequests(200);
  const LoadResult result = load.Stop();
  EXPECT_EQ(result.failed(), 0) << result.output;
  EXPECT_GT(result.requests, 900);
  // Who has told another pilot what it has is not sent it again.
  if (sidecar_ != PodSpec::Sidecar::kEnvoy) {
    EXPECT_EQ(ClusterUpdates(), cluster_updates);
  }
}

std::string NameOf(const testing::TestParamInfo<PodSpec::Sidecar>& info) {
  if (info.param == PodSpec::Sidecar::kEnvoy) return "Envoy";
  return info.param == PodSpec::Sidecar::kEnvoyDelta ? "EnvoyDelta" : "Ours";
}

INSTANTIATE_TEST_SUITE_P(Sidecars, RestartTest,
                         testing::Values(PodSpec::Sidecar::kMeltemi, PodSpec::Sidecar::kEnvoy,
                                         PodSpec::Sidecar::kEnvoyDelta),
                         NameOf);

TEST_F(TrafficTest, ARemovedEndpointIsDrainedUnderLoad) {
  AddFlaskapp();
  Load load = Load::Start(*sleep_, kFlaskappUrl, 8);
  WaitForRequests(300);
  mesh_->RemoveWorkload("flaskapp-v2");
  Settle();
  // As a pod that is terminated: its sidecar drains, then the application ends.
  EXPECT_EQ(mesh_->TerminateSidecar(*v2_), 0) << v2_->Log("sidecar");
  v2_->Stop("app");
  WaitForRequests(300);
  const LoadResult result = load.Stop();
  EXPECT_EQ(result.failed(), 0) << result.output;
}

TEST_F(TrafficTest, AHundredWeightChangesUnderLoadFailNoRequest) {
  AddFlaskapp();
  mesh_->Apply("dr", kSubsets);
  mesh_->Apply("vs", Weighted(50, 50));
  Settle();
  Load load = Load::Start(*sleep_, kFlaskappUrl, 8);
  for (int i = 0; i < 100; ++i) {
    mesh_->Apply("vs", Weighted(i, 100 - i));
    WaitForRequests(10);
  }
  mesh_->Apply("vs", Weighted(100, 0));
  Settle();
  const LoadResult result = load.Stop();
  EXPECT_EQ(result.failed(), 0) << result.output;
  EXPECT_EQ(Curl({kFlaskappUrl}), "v1");
}

TEST_F(TrafficTest, AClosedApplicationPortIs503WithUF) {
  AddFlaskapp();
  mesh_->Apply("dr", kSubsets);
  mesh_->Apply("vs", Weighted(100, 0));
  Settle();
  v1_->Stop("app");
  EXPECT_EQ(Curl({"-o", "/dev/null", "-w", "%{http_code}", kFlaskappUrl}), "503");
  EXPECT_TRUE(Eventually([&] { return absl::StrContains(mesh_->AccessLog(*v1_), " 503 UF "); },
                         seconds(10)))
      << mesh_->AccessLog(*v1_);
}

TEST_F(TrafficTest, WebSocketsPassTwoSidecars) {
  const std::string peer = WorkspaceFile("test/apps/websocket_peer.py");
  mesh_->AddService("chat", "10.96.0.20", "http", 80, 80);
  StartApp(AddPod("chat", {{"app", "chat"}}), {"python3", peer, "serve", "80"});
  Settle();
  const Finished called = sleep_->Exec({"python3", peer, "call", "ws://chat/", "200"});
  EXPECT_EQ(called.output, "echoed 200\n");
}

TEST_F(TrafficTest, GrpcUnaryAndStreamingPassTwoSidecars) {
  const std::string echo = WorkspaceFile("test/apps/grpc_echo");
  mesh_->AddService("echo", "10.96.0.21", "grpc", 7000, 7000);
  for (const char* name : {"echo-a", "echo-b"}) {
    StartApp(AddPod(name, {{"app", "echo"}}), {echo, "serve", "7000", name}, {}, 7000);
  }
  Settle();
  // One connection of the client; its calls are balanced over both servers.
  const Finished unary = sleep_->Exec({echo, "unary", "echo:7000", "200"});
  EXPECT_TRUE(absl::StrContains(unary.output, "failed 0")) << unary.output;
  EXPECT_TRUE(absl::StrContains(unary.output, "echo-a") &&
              absl::StrContains(unary.output, "echo-b"))
      << unary.output;
  const Finished stream = sleep_->Exec({echo, "stream", "echo:7000", "300"});
  EXPECT_TRUE(absl::StrContains(stream.output, "echoed 300 status 0")) << stream.output;
}

TEST_F(TrafficTest, AGigabyteEachWayNeedsLittleMemory) {
  constexpr int64_t kGigabyte = int64_t{1} << 30;
  constexpr int64_t kGrowthKbMax = 16 * 1024;
  const std::string folder = FreshFolder("bulk");
  const std::string file = absl::StrCat(folder, "/gigabyte");
  machine::WriteFile(file, "");
  ASSERT_EQ(truncate(file.c_str(), kGigabyte), 0);
  const std::string config = absl::StrCat(folder, "/nginx.conf");
  machine::WriteFile(
      config, absl::StrCat("daemon off; pid ", folder, "/pid; error_log stderr; events {}\n",
                           "http { access_log off; server { listen 80; root ", folder, "; } }\n"));
  mesh_->AddService("bulk", "10.96.0.22", "http", 80, 80);
  Pod* bulk = AddPod("bulk", {{"app", "bulk"}});
  StartApp(bulk, {"nginx", "-p", folder, "-c", config, "-g", "user root;"});
  mesh_->AddService("sink", "10.96.0.23", "http", 80, 80);
  Pod* sink = AddPod("sink", {{"app", "sink"}});
  StartApp(sink, {"python3", WorkspaceFile("test/apps/sink.py"), "80"});
  Settle();
  ASSERT_EQ(Curl({"-o", "/dev/null", "-w", "%{http_code}", "http://bulk/nginx.conf"}), "200");
  ASSERT_EQ(Curl({"-T", config, "http://sink/"}), absl::StrCat(machine::ReadFile(config).size()));
  const std::vector<Pod*> pods = {sleep_, bulk, sink};
  std::vector<int64_t> before_kb;
  for (Pod* pod : pods) before_kb.push_back(mesh_->SidecarMemoryKb(*pod));

  EXPECT_EQ(
      Curl({"-o", "/dev/null", "-w", "%{http_code} %{size_download}", "http://bulk/gigabyte"}),
      absl::StrCat("200 ", kGigabyte));
  EXPECT_EQ(Curl({"-T", file, "http://sink/"}), absl::StrCat(kGigabyte));

  for (size_t i = 0; i < pods.size(); ++i) {
    EXPECT_LT(mesh_->SidecarPeakMemoryKb(*pods[i]), before_kb[i] + kGrowthKbMax) << pods[i]->name();
  }
}

}  // namespace
}  // namespace meltemi::scenarios
