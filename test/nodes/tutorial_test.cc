// The tutorial's steps 01 to 07 and 19 on real containers, with the real kubectl: with the user's
// own manifests where they are at hand, and with ours from examples/workloads. A request that fails
// while pods come and go fails the test.
#include <memory>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "test/machine/process.h"
#include "test/nodes/cluster.h"
#include "test/nodes/requests.h"
#include "test/scenarios/programs.h"

namespace meltemi::nodes {
namespace {

using std::chrono::seconds;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr double kRequestsPerSecond = 100;
constexpr char kWeb[] = "test-web-deployment";

class Tutorial : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    cluster() = Cluster::Up({.up_args = {"--controller-manager-arg=--load-balancer-pool="
                                         "192.0.2.10-192.0.2.20",
                                         "--controller-manager-arg=--horizontal-pod-autoscaler-"
                                         "downscale-stabilization=5s"},
                             .images = {"nginx-1.10", "nginx-1.11", "test.web", "busybox"}},
                            &why_not());
    if (cluster() == nullptr || Folder().empty()) return;
    // They take a minute until there is something to be seen.
    cluster()->Does("kubectl apply -f " + File("07-liveness-exec.yaml") + " -f " +
                    File("07-liveness-http.yaml"));
  }
  static void TearDownTestSuite() { cluster().reset(); }
  static std::unique_ptr<Cluster>& cluster() {
    static auto& cluster = *new std::unique_ptr<Cluster>();
    return cluster;
  }
  static std::string& why_not() {
    static auto& why = *new std::string();
    return why;
  }
  static std::string Folder() { return scenarios::UserTutorialFolder(); }
  static std::string File(const std::string& name) { return Folder() + "/" + name; }

  void SetUp() override {
    if (cluster() == nullptr) GTEST_SKIP() << why_not();
    if (Folder().empty()) GTEST_SKIP() << "the tutorial's manifests are not beside the checkout";
    node_ip_ = cluster()->NodeIp(cluster()->NodeNames().front());
  }

  static std::string Does(const std::string& line) { return cluster()->Does(line); }
  static std::string Out(const std::string& line) { return cluster()->Out(line); }
  static void WaitForRollout(const std::string& name) {
    EXPECT_THAT(Does("kubectl rollout status deployment/" + name + " --timeout=120s"),
                HasSubstr("successfully rolled out"));
  }
  // The last of the old pods is out of the node's rules a moment after the rollout's end.
  static bool AnswersAs(const char* version, const std::string& ip, int port) {
    return machine::Eventually(
        [&] { return absl::StrContains(Ask(ip, port, "/").server, version); }, seconds(10));
  }
  static void Delete(const std::string& what) {
    Does("kubectl delete --ignore-not-found --timeout=60s " + what);
  }
  // Applies the manifest of step 02 with another image.
  static void ApplyImage(const std::string& image) {
    Does(absl::StrCat("sed 's/nginx:1.10/", image, "/' ", File("02-deployment.yaml"),
                      " | kubectl apply --record -f - 2>/dev/null"));
  }

  std::string node_ip_;
};

TEST_F(Tutorial, Step01CreatesExposesScalesAndDeletes) {
  Does("kubectl apply -f " + File("01-deployment.yaml"));
  WaitForRollout(kWeb);
  EXPECT_THAT(Out("kubectl apply -f " + File("01-service-without-port.yaml")),
              HasSubstr("spec.ports[0].port: "));
  Does(absl::StrCat("kubectl expose deployment ", kWeb, " --port=80 --type=LoadBalancer"));
  const std::string ip =
      Out(absl::StrCat("kubectl get service ", kWeb, " -o jsonpath={.spec.clusterIP}"));
  EXPECT_TRUE(machine::Eventually([&] { return Ask(ip, 80, "/").failure.empty(); }, seconds(10)));
  const std::string balancer = Out(absl::StrCat(
      "kubectl get service ", kWeb, " -o jsonpath='{.status.loadBalancer.ingress[0].ip}'"));
  EXPECT_EQ(balancer, "192.0.2.10");
  EXPECT_THAT(Ask(balancer, 80, "/").failure, IsEmpty());
  Does(absl::StrCat("kubectl scale deployment ", kWeb, " --replicas 2"));
  WaitForRollout(kWeb);
  Does(absl::StrCat("kubectl set image deployment/", kWeb, " nginx=nginx:1.11"));
  WaitForRollout(kWeb);
  EXPECT_TRUE(AnswersAs("1.11", ip, 80));
  EXPECT_THAT(Does(absl::StrCat("kubectl describe deployment ", kWeb)),
              HasSubstr("2 desired | 2 updated | 2 total | 2 available"));
  Delete(absl::StrCat("deployment ", kWeb));
  Delete(absl::StrCat("service ", kWeb));
  EXPECT_TRUE(
      cluster()->Prints("kubectl get pods -l app=test-web-deployment -o name", "", seconds(30)));
}

TEST_F(Tutorial, Steps02To05NoRequestFails) {
  Does("kubectl apply -f " + File("02-deployment.yaml"));
  Does("kubectl apply -f " + File("03-nodeport-service.yaml"));
  WaitForRollout(kWeb);
  ASSERT_TRUE(
      machine::Eventually([&] { return Ask(node_ip_, 30044, "/").failure.empty(); }, seconds(10)));
  const auto under_load = [this](const char* what, auto change) {
    Requests requests(node_ip_, 30044, kRequestsPerSecond, 4);
    EXPECT_TRUE(machine::Eventually([&] { return requests.sent() > 50; }, seconds(10)));
    change();
    WaitForRollout(kWeb);
    const int64_t sent = requests.sent();
    EXPECT_TRUE(machine::Eventually([&] { return requests.sent() > sent + 50; }, seconds(10)));
    const RequestReport report = requests.Stop();
    std::printf("%s: %s\n", what, report.Text().c_str());
    EXPECT_THAT(report.failures, IsEmpty()) << what;
    return report;
  };
  const RequestReport update = under_load("rolling update", [] { ApplyImage("nginx:1.11"); });
  EXPECT_EQ(update.server_names.size(), 2u) << "both versions have answered";
  EXPECT_TRUE(AnswersAs("1.11", node_ip_, 30044));
  EXPECT_THAT(Out(absl::StrCat("kubectl rollout history deployment/", kWeb)),
              HasSubstr("kubectl apply --record=true --filename=-"));
  under_load("undo", [] { Does(absl::StrCat("kubectl rollout undo deployment/", kWeb)); });
  EXPECT_TRUE(AnswersAs("1.10", node_ip_, 30044));
  under_load("scaling", [] {
    Does(absl::StrCat("kubectl scale deployment ", kWeb, " --replicas=2"));
    WaitForRollout(kWeb);
    Does(absl::StrCat("kubectl scale deployment ", kWeb, " --replicas=6"));
  });
  Does(absl::StrCat("kubectl rollout pause deployment/", kWeb));
  ApplyImage("nginx:1.11");
  EXPECT_TRUE(AnswersAs("1.10", node_ip_, 30044));
  under_load("resume", [] { Does(absl::StrCat("kubectl rollout resume deployment/", kWeb)); });
  EXPECT_TRUE(AnswersAs("1.11", node_ip_, 30044));
  Delete(absl::StrCat("deployment ", kWeb));
  Delete("service test-web-svc");
}

TEST_F(Tutorial, Steps06And19ScaleUnderLoadAndBack) {
  Does(absl::StrCat("kubectl apply -f ", File("06-hpa-deployment.yaml"), " -f ",
                    File("06-hpa-service.yaml"), " -f ", File("06-hpa.yaml")));
  WaitForRollout("test-scale-deployment");
  EXPECT_TRUE(machine::Eventually(
      [] { return absl::StrContains(Out("kubectl top pod"), "test-scale-deployment"); },
      seconds(60)))
      << Out("kubectl top pod");
  const std::string replicas =
      "kubectl get deployment test-scale-deployment -o jsonpath={.spec.replicas}";
  {
    machine::ProcessOptions load;
    load.argv = {"wrk", "-c", "8",   "-t",
                 "1",   "-d", "120", absl::StrCat("http://", node_ip_, ":30077/")};
    const absl::StatusOr<machine::Process> running = machine::Process::Start(load);
    ASSERT_TRUE(running.ok()) << running.status();
    EXPECT_TRUE(machine::Eventually(
        [&] {
          int count = 0;
          return absl::SimpleAtoi(Out(replicas), &count) && count > 1;
        },
        seconds(100)))
        << Out("kubectl describe hpa test-scale-hpa");
  }
  // fortio load -c 8 -qps 500
  Requests requests(node_ip_, 30077, 500, 8);
  EXPECT_TRUE(machine::Eventually([&] { return requests.sent() > 5000; }, seconds(30)));
  const RequestReport report = requests.Stop();
  std::printf("500 requests per second: %s\n", report.Text().c_str());
  EXPECT_THAT(report.failures, IsEmpty());
  EXPECT_THAT(Does("kubectl get hpa test-scale-hpa"), HasSubstr("%/80%"));
  EXPECT_TRUE(cluster()->Prints(replicas, "1", seconds(120)));
  Delete("hpa test-scale-hpa");
  Delete("deployment test-scale-deployment");
  Delete("service test-scale-svc");
}

TEST_F(Tutorial, Step07RestartsWhatItsProbeFinds) {
  for (const char* pod : {"liveness-exec", "liveness-http"}) {
    EXPECT_TRUE(machine::Eventually(
        [&] {
          const std::string count =
              Out(absl::StrCat("kubectl get pod ", pod,
                               " -o jsonpath='{.status.containerStatuses[0].restartCount}'"));
          return !count.empty() && count != "0";
        },
        seconds(120)))
        << Out(absl::StrCat("kubectl describe pod ", pod));
    const std::string described = Does(absl::StrCat("kubectl describe pod ", pod));
    EXPECT_THAT(described, HasSubstr("Unhealthy"));
    EXPECT_THAT(described, HasSubstr("Liveness probe failed: "));
    EXPECT_THAT(described,
                HasSubstr("Container liveness failed liveness probe, will be restarted"));
  }
  Delete("pod --grace-period=1 liveness-exec liveness-http");
}

}  // namespace
}  // namespace meltemi::nodes
