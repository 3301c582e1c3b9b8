// The mesh as any cluster gets it: what `meltemi install` prints, with pilot in pods of its own
// account, and away again by `meltemi uninstall`.
#include <functional>
#include <memory>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "test/machine/process.h"
#include "test/nodes/cluster.h"
#include "test/nodes/cluster_world.h"
#include "test/scenarios/programs.h"

namespace meltemi::mesh {
namespace {

using machine::Eventually;
using nodes::Cluster;
using std::chrono::seconds;
using testing::HasSubstr;
using testing::Not;

constexpr char kUrl[] = "http://flaskapp/env/version";
constexpr char kDebugUrl[] = "http://meltemi-pilot.istio-system:15014";
// As for a cluster whose nodes have no CNI plugin of ours: redirection is an init container's work.
constexpr char kInstall[] =
    " install --set replicas=2 --set imagePullPolicy=IfNotPresent | kubectl apply -f -";

class PilotInAPodTest : public testing::Test {
 protected:
  static void TearDownTestSuite() {
    world().reset();
    cluster().reset();
  }
  static std::unique_ptr<Cluster>& cluster() {
    static auto& cluster = *new std::unique_ptr<Cluster>();
    return cluster;
  }
  static std::unique_ptr<scenarios::World>& world() {
    static auto& world = *new std::unique_ptr<scenarios::World>();
    return world;
  }

  void SetUp() override {
    static auto& why_not = *new std::string();
    if (cluster() == nullptr && why_not.empty()) {
      cluster() = Cluster::Up({.images = {"flaskapp", "httpbin", "sleep"}}, &why_not);
      if (cluster() != nullptr) Install();
    }
    if (cluster() == nullptr) GTEST_SKIP() << why_not;
    ASSERT_NE(world(), nullptr);
  }
  void TearDown() override {
    if (!HasFailure() || cluster() == nullptr) return;
    std::printf("%s\n", Out("kubectl -n istio-system get pods -o wide; kubectl -n istio-system "
                            "describe pods; kubectl -n istio-system logs deploy/meltemi-pilot "
                            "--tail=60")
                            .c_str());
  }

  static std::string Tool() { return scenarios::WorkspaceFile("cli/meltemi"); }
  static std::string Does(const std::string& line, absl::string_view input = "") {
    return cluster()->Does(line, input);
  }
  static std::string Out(const std::string& line) { return cluster()->Out(line); }

  static void Install() {
    Does(absl::StrCat(Tool(), " images mesh . && ", Tool(),
                      " images load meltemi-*.tar --data-dir=", cluster()->folder()));
    Does(Tool() + kInstall);
    Does("kubectl -n istio-system rollout status deployment/meltemi-pilot --timeout=120s");
    auto started = StartClusterWorld(*cluster(), scenarios::WorkspaceFile("examples/tutorial"));
    ASSERT_TRUE(started.ok()) << started.status();
    world() = std::move(*started);
  }

  static std::string Asks(const std::string& url) {
    return Out(absl::StrCat(
        "kubectl exec deploy/sleep -c sleep -- curl -s -o /dev/null -m 5 -w '%{http_code}' ", url,
        " 2>/dev/null || true"));
  }
  // Load from sleep on flaskapp while `change` happens: nothing of it fails.
  static void UnderLoad(const char* what, const std::function<void()>& change) {
    const auto load = world()->StartLoad(kUrl, 4);
    change();
    const machine::LoadResult result = load->Stop();
    std::printf("%s: %s\n", what, result.Text().c_str());
    EXPECT_GT(result.requests, 100) << what << "\n" << result.output;
    EXPECT_EQ(result.failed(), 0) << what << "\n" << result.output;
  }
  static void RuleIsProgrammed() {
    const std::string folder = scenarios::WorkspaceFile("examples/tutorial");
    Does(absl::StrCat("kubectl apply -f ", folder, "/11-destinationrule.yaml -f ", folder,
                      "/11-bluegreen.yaml"));
    Does("kubectl wait --for=condition=Programmed virtualservice/flaskapp --timeout=60s");
    const std::string answers =
        Out("kubectl exec deploy/sleep -c sleep -- curl -s -w '\\n' "
            "'http://flaskapp/env/version?n=[1-50]'");
    EXPECT_FALSE(absl::StrContains(answers, "v2")) << answers;
    Does("kubectl delete virtualservice/flaskapp destinationrule/flaskapp");
  }
};

TEST_F(PilotInAPodTest, PodsAreInjectedAndRulesEnforced) {
  EXPECT_THAT(Does("kubectl get pods -l app=flaskapp --no-headers"), HasSubstr("2/2"));
  EXPECT_THAT(Does("kubectl get pods -l app=sleep -o yaml"), HasSubstr("istio-init"));
  EXPECT_EQ(Asks(kUrl), "200");
  RuleIsProgrammed();
}

TEST_F(PilotInAPodTest, ManifestsAreLookedAt) {
  const nodes::Answer answer = cluster()->Shell(
      "kubectl apply -f -",
      "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: hole}\n"
      "spec:\n  hosts: [flaskapp]\n  http:\n  - route:\n"
      "    - {destination: {host: flaskapp, subset: v1}, weight: -1}\n");
  EXPECT_NE(answer.exit_status, 0);
  EXPECT_THAT(answer.output, HasSubstr("denied the request"));
}

TEST_F(PilotInAPodTest, DebugPagesAreForThoseWhoMayEnterThePod) {
  EXPECT_EQ(Asks(absl::StrCat(kDebugUrl, "/metrics")), "200");
  for (const char* page : {"/debug/configz", "/debug/syncz", "/debug/loglevel"}) {
    EXPECT_EQ(Asks(absl::StrCat(kDebugUrl, page)), "403") << page;
  }
  const auto forward = cluster()->Start(
      {"kubectl", "-n", "istio-system", "port-forward", "deploy/meltemi-pilot", "25014:15014"},
      cluster()->folder() + "/forward.log");
  ASSERT_TRUE(forward.ok()) << forward.status();
  std::string status;
  EXPECT_TRUE(Eventually(
      [&] {
        status = Out(Tool() + " proxy-status --pilot=127.0.0.1:25014");
        return absl::StrContains(status, "SNAPSHOT") || absl::StrContains(status, "No proxy");
      },
      seconds(20)))
      << status;
}

TEST_F(PilotInAPodTest, NothingFailsWhilePilotIsReplaced) {
  UnderLoad("rolling update of pilot", [] {
    Does("kubectl -n istio-system rollout restart deployment/meltemi-pilot");
    Does("kubectl -n istio-system rollout status deployment/meltemi-pilot --timeout=120s");
  });
  RuleIsProgrammed();
}

TEST_F(PilotInAPodTest, InstallingAgainChangesNothing) {
  EXPECT_THAT(Does(Tool() + kInstall), Not(HasSubstr("created")));
  Does("kubectl -n istio-system rollout status deployment/meltemi-pilot --timeout=60s");
  EXPECT_THAT(Does("for pod in $(kubectl -n istio-system get pods -l app=meltemi-pilot -o name); "
                   "do kubectl -n istio-system logs $pod; done"),
              Not(HasSubstr("forbidden")));
}

// The last one: there is no pilot afterwards.
TEST_F(PilotInAPodTest, WithoutPilotPodsGoOnAndNewOnesStart) {
  UnderLoad("uninstall", [] {
    Does(absl::StrCat(Tool(), " uninstall | kubectl delete --ignore-not-found -f -"));
    Does("kubectl -n istio-system wait --for=delete pod -l app=meltemi-pilot --timeout=60s");
  });
  Does("kubectl rollout restart deployment/flaskapp-v2");
  Does("kubectl rollout status deployment/flaskapp-v2 --timeout=90s");
  EXPECT_THAT(Does("kubectl get pods -l app=flaskapp,version=v2 --no-headers"), HasSubstr("1/1"));
  EXPECT_THAT(Does("kubectl get pods -l app=flaskapp,version=v1 --no-headers"), HasSubstr("2/2"));
}

}  // namespace
}  // namespace meltemi::mesh
