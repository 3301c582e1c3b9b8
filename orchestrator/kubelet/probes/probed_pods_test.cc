#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/random/random.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kube/core/v1/pod.pb.h"
#include "orchestrator/kubelet/pods/pods_world.h"
#include "orchestrator/kubelet/probes/network_prober_fake.h"
#include "orchestrator/kubelet/probes/probes.h"

namespace meltemi::kubelet {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::Not;

constexpr char kUrl[] = "http 10.244.0.2:80/";

class ProbedPods : public testing::Test {
 protected:
  ProbedPods() {
    world_.make_probes = [this](Runtime& runtime, kube::EventRecorder& recorder) {
      return NewProbes(runtime, network_, world_.world.executor(), recorder, random_, nullptr);
    };
    world_.Start();
  }
  void Answer(ProbeVerdict verdict) { network_.answers[kUrl] = {std::move(verdict), {}}; }
  void Add(const std::string& probes) {
    world_.AddPod("web", absl::StrCat("containers: [{name: web, image: nginx, ", probes, "}]"));
  }
  int Restarts() { return world_.Get("web").status().container_statuses(0).restart_count(); }

  FastRandom random_{7};
  PodsWorld world_;
  NetworkProberFake network_{world_.world.executor()};
};

TEST_F(ProbedPods, ReadyWhenTheProbePasses) {
  Add("readinessProbe: {httpGet: {port: 80}, periodSeconds: 10}");
  world_.Advance(milliseconds(500));
  EXPECT_EQ(world_.PhaseOf("web"), "Running");
  Answer(NetworkProberFake::Ok());
  world_.Advance(seconds(1));
  EXPECT_EQ(world_.PhaseOf("web"), "Running Ready");
  Answer(NetworkProberFake::Status(503));
  world_.Advance(seconds(40));
  EXPECT_EQ(world_.PhaseOf("web"), "Running");
  EXPECT_EQ(Restarts(), 0);
}

TEST_F(ProbedPods, WithoutAProbeReadyWhenItListens) {
  Add("ports: [{containerPort: 80}, {containerPort: 53, protocol: UDP}]");
  world_.Advance(milliseconds(500));
  EXPECT_EQ(world_.PhaseOf("web"), "Running");
  network_.answers["tcp 10.244.0.2:80"] = {NetworkProberFake::Ok(), {}};
  world_.Advance(milliseconds(100));
  EXPECT_EQ(world_.PhaseOf("web"), "Running Ready");
  network_.answers.clear();
  world_.Advance(seconds(60));
  EXPECT_EQ(world_.PhaseOf("web"), "Running Ready") << "it is not asked again";
}

TEST_F(ProbedPods, WithoutAProbeReadyAfterAWhileAlthoughNobodyListens) {
  Add("ports: [{containerPort: 80}]");
  world_.Advance(milliseconds(1500));
  EXPECT_EQ(world_.PhaseOf("web"), "Running");
  world_.Advance(seconds(1));
  EXPECT_EQ(world_.PhaseOf("web"), "Running Ready");
}

TEST_F(ProbedPods, AContainerThatIsNotAliveIsStartedAgain) {
  Answer(NetworkProberFake::Ok());
  Add("livenessProbe: {httpGet: {port: 80}, periodSeconds: 5, failureThreshold: 2}");
  world_.Advance(seconds(20));
  EXPECT_EQ(Restarts(), 0);
  world_.Events();
  Answer(NetworkProberFake::Status(500));
  world_.Advance(seconds(12));
  EXPECT_EQ(Restarts(), 1);
  const std::vector<std::string> events = world_.Events();
  EXPECT_THAT(events, Contains("Warning Unhealthy Liveness probe failed: HTTP probe failed with "
                               "statuscode: 500"));
  EXPECT_THAT(events,
              Contains("Normal Killing Container web failed liveness probe, will be restarted"));
  Answer(NetworkProberFake::Ok());
  world_.Advance(minutes(2));
  EXPECT_EQ(Restarts(), 1);
  EXPECT_EQ(world_.PhaseOf("web"), "Running Ready");
}

TEST_F(ProbedPods, AContainerThatDoesNotStartIsStartedAgain) {
  Add("startupProbe: {httpGet: {port: 80}, periodSeconds: 5, failureThreshold: 3}");
  world_.Advance(seconds(9));
  EXPECT_EQ(Restarts(), 0);
  world_.Advance(seconds(10));
  EXPECT_EQ(Restarts(), 1);
  EXPECT_FALSE(world_.Get("web").status().container_statuses(0).started());
}

TEST_F(ProbedPods, ANewKubeletMakesNothingUnready) {
  Answer(NetworkProberFake::Ok());
  Add("readinessProbe: {httpGet: {port: 80}, periodSeconds: 10}, startupProbe: {httpGet: {port: "
      "80}}");
  world_.Advance(seconds(5));
  ASSERT_EQ(world_.PhaseOf("web"), "Running Ready");
  const int writes = world_.WritesOf("web");
  network_.TakeCalls();
  world_.Stop();
  world_.Advance(seconds(3));
  world_.Start();
  world_.Advance(seconds(30));
  EXPECT_EQ(world_.WritesOf("web"), writes);
  EXPECT_EQ(world_.PhaseOf("web"), "Running Ready");
  EXPECT_THAT(network_.TakeCalls(), Contains(kUrl));
  Answer(NetworkProberFake::Status(500));
  world_.Advance(seconds(40));
  EXPECT_EQ(world_.PhaseOf("web"), "Running");
}

TEST_F(ProbedPods, HooksRunBeforeTheEnd) {
  Add("lifecycle: {preStop: {httpGet: {port: 80, path: /stop}}}");
  world_.Advance(seconds(2));
  network_.TakeCalls();
  world_.Delete("web");
  world_.Advance(seconds(5));
  EXPECT_THAT(network_.TakeCalls(), Contains("http 10.244.0.2:80/stop"));
  EXPECT_EQ(world_.PhaseOf("web"), "gone");
}

}  // namespace
}  // namespace meltemi::kubelet
