#include "orchestrator/kubelet/probes/probes.h"

#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/json/write.h"
#include "base/random/random_fake.h"
#include "base/yaml/parse.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kube/codec/codec.h"
#include "kube/core/v1/pod.pb.h"
#include "kube/events/recorder_fake.h"
#include "kube/executor/executor_fake.h"
#include "orchestrator/kubelet/cri/runtime_fake.h"
#include "orchestrator/kubelet/probes/network_prober_fake.h"

namespace meltemi::kubelet {
namespace {

using kube::core::v1::Pod;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

constexpr char kUrl[] = "http 10.244.0.2:8080/healthz";

// One pod with a container "app" that runs in a runtime in memory.
class ProbesTest : public testing::Test {
 protected:
  // `container`: YAML of the fields beside the name. Its port is none that is waited for.
  void Run(const std::string& container, const std::string& pod = "") {
    const std::string text = absl::StrCat(
        "{metadata: {name: web, namespace: default, uid: u1}, spec: {", pod,
        " containers: [{name: app, image: nginx, ports: [{name: http, containerPort: 8080, "
        "protocol: UDP}], ",
        container, "}]}}");
    const auto value = yaml::Parse(text);
    ASSERT_TRUE(value.ok()) << value.status();
    ASSERT_TRUE(kube::FromJson(json::ToString(*value), &pod_).ok());
    pod_.mutable_spec()->set_restart_policy("Always");
    StartContainer();
    Restart();
  }
  void StartContainer() {
    cri::PodSandboxConfig sandbox;
    sandbox.mutable_metadata()->set_name("web");
    sandbox.mutable_metadata()->set_namespace_("default");
    sandbox.mutable_metadata()->set_uid("u1");
    if (sandbox_.empty()) sandbox_ = *runtime_->RunPodSandbox(sandbox, "");
    machine_.AddImage("nginx");
    cri::ContainerConfig config;
    config.mutable_metadata()->set_name("app");
    config.mutable_metadata()->set_attempt(attempt_++);
    config.mutable_image()->set_image("nginx");
    id_ = *runtime_->CreateContainer(sandbox_, config, sandbox);
    ASSERT_TRUE(runtime_->StartContainer(id_).ok());
    started_at_ = executor_.clock().WallNow();
  }
  // A kubelet that begins anew.
  void Restart() {
    probes_.reset();
    probes_ = NewProbes(*runtime_, network_, executor_, recorder_, random_, nullptr);
    probes_->OnChange([this](const std::string& uid) {
      EXPECT_EQ(uid, "u1");
      ++changes_;
    });
    Sync();
  }
  PodState State() const {
    PodState out;
    out.uid = "u1";
    out.sandboxes.push_back({.id = sandbox_, .ready = true, .ips = {"10.244.0.2"}});
    ContainerState container;
    container.id = id_;
    container.name = "app";
    container.phase = running_ ? ContainerState::Phase::kRunning : ContainerState::Phase::kExited;
    container.started_at = started_at_;
    out.containers.push_back(container);
    return out;
  }
  void Sync(bool ending = false) {
    probes_->Sync(std::make_shared<const Pod>(pod_), State(), ending);
  }
  ProbeResult Get() const { return probes_->Get(pod_.spec().containers(0), State().containers[0]); }
  std::string Text() const {
    const ProbeResult result = Get();
    return absl::StrCat(result.started ? "started" : "", result.ready ? " ready" : "",
                        result.unhealthy ? " unhealthy" : "");
  }
  void Answer(ProbeVerdict verdict, Duration takes = Duration::zero()) {
    network_.answers[kUrl] = {std::move(verdict), takes};
  }
  absl::Status Hook(const std::string& handler, Duration timeout = seconds(30)) {
    kube::core::v1::LifecycleHandler message;
    EXPECT_TRUE(kube::FromJson(json::ToString(*yaml::Parse(handler)), &message).ok());
    probes_->RunHook(std::make_shared<const Pod>(pod_), pod_.spec().containers(0),
                     State().containers[0], "10.244.0.2", message, timeout,
                     [this](absl::Status status) { hook_ = std::move(status); });
    executor_.Advance(milliseconds(1));
    return hook_.value_or(absl::UnknownError("not yet"));
  }

  kube::ExecutorFake executor_;
  RuntimeFake machine_{executor_};
  std::unique_ptr<Runtime> runtime_ = machine_.Connect();
  NetworkProberFake network_{executor_};
  kube::EventRecorderFake recorder_;
  FakeRandom random_;
  Pod pod_;
  std::string sandbox_, id_;
  uint32_t attempt_ = 0;
  bool running_ = true;
  WallTime started_at_{};
  int changes_ = 0;
  std::optional<absl::Status> hook_;
  std::unique_ptr<Probes> probes_;
};

TEST_F(ProbesTest, WithoutProbesItIsReadyWhenItRuns) {
  Run("");
  EXPECT_EQ(Text(), "started ready");
  running_ = false;
  EXPECT_EQ(Text(), "");
}

TEST_F(ProbesTest, Readiness) {
  Run("readinessProbe: {httpGet: {path: /healthz, port: http, httpHeaders: [{name: Host, value: "
      "x.example}, {name: X-A, value: b}]}, initialDelaySeconds: 3, periodSeconds: 10, "
      "timeoutSeconds: 1, failureThreshold: 2, successThreshold: 1}");
  Answer(NetworkProberFake::Status(503));
  executor_.Advance(milliseconds(2900));
  EXPECT_EQ(Text(), "started");
  EXPECT_THAT(network_.TakeCalls(), IsEmpty());
  executor_.Advance(milliseconds(100));
  EXPECT_THAT(network_.TakeCalls(), ElementsAre(kUrl));
  EXPECT_EQ(network_.last_http.authority, "x.example");
  EXPECT_THAT(
      network_.last_http.headers,
      ElementsAre(std::make_pair("X-A", "b"), std::make_pair("User-Agent", "kube-probe/1.32"),
                  std::make_pair("Accept", "*/*")));
  EXPECT_THAT(recorder_.Take(), ElementsAre("Warning Unhealthy Readiness probe failed: HTTP probe "
                                            "failed with statuscode: 503"));
  EXPECT_EQ(changes_, 0);

  // It is asked sooner than its period says, without complaints, until it passes once.
  executor_.Advance(seconds(2));
  EXPECT_THAT(recorder_.Take(), IsEmpty());
  Answer(NetworkProberFake::Ok());
  executor_.Advance(seconds(4));
  EXPECT_EQ(Text(), "started ready");
  EXPECT_EQ(changes_, 1);
  EXPECT_THAT(recorder_.Take(), IsEmpty());

  // Two failures in a row take it out again, at its period.
  Answer(NetworkProberFake::Status(500));
  network_.TakeCalls();
  executor_.Advance(seconds(10));
  EXPECT_EQ(Text(), "started ready");
  executor_.Advance(seconds(10));
  EXPECT_EQ(Text(), "started");
  EXPECT_THAT(network_.TakeCalls(), SizeIs(2));
  EXPECT_EQ(changes_, 2);
}

TEST_F(ProbesTest, APermanentFailureIsAskedByItsPeriodInTheEnd) {
  Run("readinessProbe: {tcpSocket: {port: 81}, periodSeconds: 5}");
  executor_.Advance(minutes(1));
  network_.TakeCalls();
  recorder_.Take();
  executor_.Advance(minutes(1));
  EXPECT_THAT(network_.TakeCalls(), SizeIs(12));
  EXPECT_THAT(recorder_.Take(), SizeIs(12));
}

TEST_F(ProbesTest, LivenessKillsAfterItsThreshold) {
  Run("livenessProbe: {exec: {command: [cat, /tmp/$(NAME)]}, periodSeconds: 5, "
      "failureThreshold: 3}, env: [{name: NAME, value: healthy}]");
  machine_.on_exec = [](const ExecCall&) { return ExecAnswer{}; };
  executor_.Advance(seconds(20));
  EXPECT_EQ(Text(), "started ready");
  EXPECT_THAT(machine_.TakeCalls(), Contains("ExecSync default/web/app#0 cat /tmp/healthy"));
  machine_.on_exec = [](const ExecCall&) {
    return ExecAnswer{.result = {1, "", "cat: no such file"}};
  };
  executor_.Advance(seconds(14));
  EXPECT_FALSE(Get().unhealthy);
  executor_.Advance(seconds(1));
  EXPECT_TRUE(Get().unhealthy);
  EXPECT_EQ(Get().why, "Container app failed liveness probe, will be restarted");
  EXPECT_THAT(recorder_.Take(),
              ElementsAre("Warning Unhealthy Liveness probe failed: cat: no such file",
                          "Warning Unhealthy Liveness probe failed: cat: no such file",
                          "Warning Unhealthy Liveness probe failed: cat: no such file"));
  EXPECT_EQ(changes_, 1);
  // Nothing more is asked until there is a new container.
  machine_.TakeCalls();
  executor_.Advance(minutes(1));
  EXPECT_THAT(machine_.TakeCalls(), IsEmpty());
  machine_.Exit("default/web/app", 137);
  StartContainer();
  Sync();
  EXPECT_EQ(Text(), "started ready");
  executor_.Advance(seconds(1));
  EXPECT_THAT(machine_.TakeCalls(), Contains("ExecSync default/web/app#1 cat /tmp/healthy"));
}

TEST_F(ProbesTest, ACommandThatTakesTooLongFails) {
  Run("livenessProbe: {exec: {command: [sleep, '9']}, timeoutSeconds: 2, failureThreshold: 1}");
  machine_.on_exec = [](const ExecCall&) { return ExecAnswer{.takes = seconds(9)}; };
  executor_.Advance(seconds(3));
  EXPECT_TRUE(Get().unhealthy);
  EXPECT_THAT(recorder_.Take(),
              ElementsAre("Warning Unhealthy Liveness probe failed: command timed "
                          "out: \"sleep 9\" timed out after 2s"));
}

TEST_F(ProbesTest, WhatSaysNothingAboutTheContainerCountsNot) {
  Run("livenessProbe: {exec: {command: [x]}, periodSeconds: 10, failureThreshold: 1}");
  machine_.on_exec = [](const ExecCall&) {
    return ExecAnswer{.error = absl::UnavailableError("gone")};
  };
  executor_.Advance(seconds(5));
  EXPECT_FALSE(Get().unhealthy);
  EXPECT_THAT(machine_.TakeCalls(), Contains(HasSubstr("ExecSync")).Times(3));
  EXPECT_THAT(recorder_.Take(),
              ElementsAre(HasSubstr("Liveness probe errored: rpc error: code = ")));
}

TEST_F(ProbesTest, TheOthersWaitForTheStartupProbe) {
  Run("startupProbe: {httpGet: {path: /healthz, port: 8080}, periodSeconds: 10, failureThreshold: "
      "3}, livenessProbe: {tcpSocket: {port: 9}, periodSeconds: 1, failureThreshold: 1}, "
      "readinessProbe: {grpc: {port: 90, service: s}, periodSeconds: 10}");
  network_.answers["grpc 10.244.0.2:90/s"] = {NetworkProberFake::Ok(), {}};
  executor_.Advance(seconds(9));
  EXPECT_EQ(Text(), "");
  EXPECT_THAT(network_.TakeCalls(), Not(Contains("tcp 10.244.0.2:9")));
  Answer(NetworkProberFake::Ok());
  executor_.Advance(seconds(5));
  EXPECT_EQ(Text(), "started ready unhealthy");
  EXPECT_THAT(network_.TakeCalls(), Contains("tcp 10.244.0.2:9"));
}

TEST_F(ProbesTest, AStartupProbeThatNeverPassesKills) {
  Run("startupProbe: {httpGet: {path: /healthz, port: 8080}, periodSeconds: 2, failureThreshold: "
      "3}");
  executor_.Advance(seconds(3));
  EXPECT_FALSE(Get().unhealthy);
  executor_.Advance(seconds(2));
  EXPECT_EQ(Get().why, "Container app failed startup probe, will be restarted");
}

TEST_F(ProbesTest, APodThatEndsIsNotKilledAgain) {
  Run("livenessProbe: {tcpSocket: {port: 9}, periodSeconds: 1, failureThreshold: 1}, "
      "readinessProbe: {httpGet: {path: /healthz, port: 8080}, periodSeconds: 1, "
      "failureThreshold: 1}");
  Answer(NetworkProberFake::Ok());
  executor_.Advance(milliseconds(10));
  EXPECT_EQ(Text(), "started ready unhealthy");
  Sync(/*ending=*/true);
  EXPECT_EQ(Text(), "started ready");
  Answer(NetworkProberFake::Status(500));
  executor_.Advance(seconds(2));
  EXPECT_EQ(Text(), "started");
}

TEST_F(ProbesTest, AKubeletThatBeginsAnewBelievesTheStatus) {
  Run("readinessProbe: {httpGet: {path: /healthz, port: 8080}, periodSeconds: 10, "
      "failureThreshold: 1}, startupProbe: {tcpSocket: {port: 1}}");
  executor_.Advance(seconds(1));
  auto* const status = pod_.mutable_status()->add_container_statuses();
  status->set_name("app");
  status->set_container_id("containerd://" + id_);
  status->set_started(true);
  status->set_ready(true);
  random_ = FakeRandom(~uint64_t{0} / 2);
  network_.TakeCalls();
  Restart();
  EXPECT_EQ(Text(), "started ready");
  // Not all of a node's probes at once: half of the period in this case.
  executor_.Advance(milliseconds(4900));
  EXPECT_THAT(network_.TakeCalls(), IsEmpty());
  executor_.Advance(milliseconds(200));
  EXPECT_THAT(network_.TakeCalls(), ElementsAre(kUrl));
  EXPECT_EQ(Text(), "started");
}

TEST_F(ProbesTest, ForgottenOnesAreNotAskedAnyMore) {
  Run("readinessProbe: {httpGet: {path: /healthz, port: 8080}, periodSeconds: 1}");
  executor_.Advance(seconds(3));
  probes_->Forget("u1");
  network_.TakeCalls();
  executor_.Advance(seconds(10));
  EXPECT_THAT(network_.TakeCalls(), IsEmpty());
}

TEST_F(ProbesTest, AnAnswerOfAnEarlierContainerDoesNotCount) {
  Run("readinessProbe: {httpGet: {path: /healthz, port: 8080}, periodSeconds: 5, timeoutSeconds: "
      "4}");
  Answer(NetworkProberFake::Ok(), seconds(2));
  executor_.Advance(seconds(1));
  machine_.Exit("default/web/app", 1);
  running_ = false;
  Sync();
  StartContainer();
  running_ = true;
  Sync();
  Answer(NetworkProberFake::Status(500));
  executor_.Advance(seconds(4));
  EXPECT_EQ(Text(), "started");
}

TEST_F(ProbesTest, PortsThatAreNotThere) {
  Run("readinessProbe: {httpGet: {path: /healthz, port: nope}, periodSeconds: 5}");
  executor_.Advance(seconds(1));
  EXPECT_THAT(recorder_.Take(),
              ElementsAre("Warning Unhealthy Readiness probe errored: strconv.Atoi: parsing "
                          "\"nope\": invalid syntax"));
}

TEST_F(ProbesTest, Redirects) {
  Run("livenessProbe: {httpGet: {path: /healthz, port: 8080}, failureThreshold: 1}");
  Answer({ProbeVerdict::Kind::kWarning, "Probe terminated redirects, Response body: ", 302});
  executor_.Advance(seconds(1));
  EXPECT_FALSE(Get().unhealthy);
  EXPECT_THAT(recorder_.Take(), ElementsAre("Warning ProbeWarning Liveness probe warning: Probe "
                                            "terminated redirects, Response body: "));
}

TEST_F(ProbesTest, Hooks) {
  Run("");
  EXPECT_TRUE(Hook("{exec: {command: [echo, hi]}}").ok());
  EXPECT_THAT(machine_.TakeCalls(), Contains("ExecSync default/web/app#0 echo hi"));
  machine_.on_exec = [](const ExecCall&) { return ExecAnswer{.result = {3, "out", "bad"}}; };
  EXPECT_EQ(Hook("{exec: {command: [sh, -c, x]}}").message(),
            "Exec lifecycle hook ([sh -c x]) for Container \"app\" in Pod \"web_default(u1)\" "
            "failed - error: command 'sh -c x' exited with 3: bad, message: \"outbad\"");

  // Any answer will do.
  network_.answers["http 10.244.0.2:8080/stop"] = {NetworkProberFake::Status(500), {}};
  EXPECT_TRUE(Hook("{httpGet: {path: /stop, port: http}}").ok());
  EXPECT_THAT(network_.last_http.headers,
              Contains(std::make_pair("User-Agent", "kube-lifecycle/1.32")));
  EXPECT_THAT(std::string(Hook("{httpGet: {path: /no, port: 1}}").message()),
              HasSubstr("HTTP lifecycle hook (/no) for Container"));
}

TEST_F(ProbesTest, SleepHooks) {
  Run("");
  (void)Hook("{sleep: {seconds: 5}}");
  executor_.Advance(milliseconds(4900));
  EXPECT_FALSE(hook_.has_value());
  executor_.Advance(milliseconds(200));
  EXPECT_TRUE(hook_->ok());
  hook_.reset();
  (void)Hook("{sleep: {seconds: 50}}", seconds(2));
  executor_.Advance(seconds(2));
  EXPECT_THAT(std::string(hook_->message()),
              HasSubstr("container terminated before sleep hook finished"));
  hook_.reset();
  (void)Hook("{sleep: {seconds: 5}}");
  probes_.reset();
  executor_.Advance(seconds(10));
  EXPECT_FALSE(hook_.has_value());
}

}  // namespace
}  // namespace meltemi::kubelet
