// A pod on the machine's own containerd, through gRPC and with our configurations: made, started,
// asked, stopped and taken away. Says how long each step takes.
#include <chrono>
#include <fstream>
#include <future>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cri/runtime/v1/container.pb.h"
#include "cri/runtime/v1/image.pb.h"
#include "cri/runtime/v1/sandbox.pb.h"
#include "cri/runtime/v1/stats.pb.h"
#include "cri/runtime/v1/status.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kube/client/client_fake.h"
#include "kube/codec/codec.h"
#include "kube/core/v1/pod.pb.h"
#include "kube/executor/executor_fake.h"
#include "kube/informer/informer.h"
#include "orchestrator/kubelet/cgroups/hierarchies.h"
#include "orchestrator/kubelet/cgroups/pod_cgroups.h"
#include "orchestrator/kubelet/containers/configs.h"
#include "orchestrator/kubelet/containers/no_volumes_fake.h"
#include "orchestrator/kubelet/cri/containerd_process.h"
#include "orchestrator/kubelet/cri/grpc_runtime.h"

namespace meltemi::kubelet {
namespace {

using ::testing::HasSubstr;
using Steady = std::chrono::steady_clock;

constexpr char kRoot[] = "/meltemi-test-containerd";

// What a call takes, on standard output.
template <typename Call>
auto Timed(const char* what, Call call) {
  const auto begin = Steady::now();
  auto out = call();
  const double ms = std::chrono::duration<double, std::milli>(Steady::now() - begin).count();
  printf("  %-24s %8.1f ms\n", what, ms);
  return out;
}

class ContainerdTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto machine = ContainerdProcess::Start();
    if (absl::IsFailedPrecondition(machine.status())) GTEST_SKIP() << machine.status().message();
    ASSERT_TRUE(machine.ok()) << machine.status();
    machine_ = *std::move(machine);
    RemoveGroups();  // of a run that died
    auto groups = NewPodCgroups({.root = kRoot});
    if (!groups.ok()) GTEST_SKIP() << groups.status().message();
    groups_ = *std::move(groups);
    auto runtime = NewGrpcRuntime(machine_->endpoint());
    ASSERT_TRUE(runtime.ok()) << runtime.status();
    runtime_ = *std::move(runtime);
    client_.on_call = [](const kube::ApiCall&) -> kube::Result<kube::ApiAnswer> {
      return kube::ApiAnswer{.body = R"({"metadata":{"resourceVersion":"1"},"items":[]})"};
    };
    informers_ = kube::NewInformers(client_, executor_);
    ContainerConfigsOptions options{.root = machine_->folder() + "/kubelet",
                                    .log_root = machine_->folder() + "/logs",
                                    .cluster_dns = {"10.96.0.10"}};
    configs_ =
        NewContainerConfigs(options, client_, *informers_, *runtime_, volumes_, executor_.clock());
    informers_->Start();
    executor_.Advance(seconds(1));
  }
  void TearDown() override {
    if (groups_ == nullptr) return;
    if (!sandbox_.empty()) {
      EXPECT_TRUE(runtime_->StopPodSandbox(sandbox_).ok());
      EXPECT_TRUE(runtime_->RemovePodSandbox(sandbox_).ok());
    }
    EXPECT_TRUE(groups_->Remove("u-1").ok());
    RemoveGroups();
  }
  static void RemoveGroups() {
    const auto hierarchies = FindHierarchies("/sys/fs/cgroup");
    if (!hierarchies.ok()) return;
    for (const Hierarchy& hierarchy : *hierarchies) {
      while (absl::IsUnavailable(RemoveGroup(hierarchy, kRoot))) std::this_thread::yield();
    }
  }

  void MakePod(const std::string& spec) {
    ASSERT_TRUE(
        kube::FromJson(
            R"({"metadata":{"name":"web","namespace":"shop","uid":"u-1"},"spec":)" + spec + "}",
            &pod_)
            .ok());
    const auto group = groups_->Ensure(pod_);
    ASSERT_TRUE(group.ok()) << group.status();
    sandbox_config_ = *configs_->Sandbox(pod_, 0, *group);
    const auto id =
        Timed("RunPodSandbox", [&] { return runtime_->RunPodSandbox(sandbox_config_, ""); });
    ASSERT_TRUE(id.ok()) << id.status();
    sandbox_ = *id;
    ip_ = runtime_->PodSandboxStatus(sandbox_)->network().ip();
  }
  // The container's id.
  std::string Start(int index, uint32_t attempt = 0) {
    const auto& container = pod_.spec().containers(index);
    const auto image = runtime_->ImageStatus(container.image());
    EXPECT_TRUE(image.ok()) << image.status();
    cri::ContainerConfig config;
    ConfigError error;
    EXPECT_TRUE(Timed("Container (config)", [&] {
      return configs_->Container(pod_, container, attempt, image->id(), {}, {ip_}, &config, &error);
    })) << error.message;
    const auto id = Timed("CreateContainer", [&] {
      return runtime_->CreateContainer(sandbox_, config, sandbox_config_);
    });
    EXPECT_TRUE(id.ok()) << id.status();
    const absl::Status started =
        Timed("StartContainer", [&] { return runtime_->StartContainer(id.value_or("")); });
    start_error_ = started;
    return id.value_or("");
  }
  absl::StatusOr<ExecResult> Exec(const std::string& id, const std::vector<std::string>& command,
                                  Duration timeout = seconds(10)) {
    std::promise<absl::StatusOr<ExecResult>> end;
    runtime_->ExecSync(id, command, timeout, [&](absl::StatusOr<ExecResult> result) {
      end.set_value(std::move(result));
    });
    return end.get_future().get();
  }
  absl::Status Stop(const std::string& id, Duration grace) {
    std::promise<absl::Status> end;
    runtime_->StopContainer(id, grace, [&](absl::Status status) { end.set_value(status); });
    return end.get_future().get();
  }
  ContainerState StateOf(const std::string& id) {
    ContainerState out;
    PodState pod;
    const auto listed = runtime_->ListContainers("u-1");
    for (const cri::Container& container : listed.value()) {
      if (container.id() != id) continue;
      EXPECT_TRUE(FromContainer(container, &pod, &out));
    }
    AddStatus(*runtime_->ContainerStatus(id), &out);
    return out;
  }
  ContainerState WaitForExit(const std::string& id) {
    const auto until = Steady::now() + std::chrono::seconds(30);
    ContainerState out = StateOf(id);
    while (out.phase != ContainerState::Phase::kExited && Steady::now() < until) out = StateOf(id);
    return out;
  }

  std::unique_ptr<ContainerdProcess> machine_;
  std::unique_ptr<PodCgroups> groups_;
  std::unique_ptr<Runtime> runtime_;
  kube::ExecutorFake executor_;
  kube::ClientFake client_;
  NoVolumes volumes_;
  std::unique_ptr<kube::Informers> informers_;
  std::unique_ptr<ContainerConfigs> configs_;
  kube::core::v1::Pod pod_;
  cri::PodSandboxConfig sandbox_config_;
  std::string sandbox_, ip_;
  absl::Status start_error_;
};

TEST_F(ContainerdTest, APodRunsAsItsSpecSays) {
  EXPECT_EQ(runtime_->Version()->runtime_name(), "containerd");
  EXPECT_TRUE(runtime_->Status()->conditions(0).status());
  MakePod(R"j({"dnsPolicy":"ClusterFirst","hostname":"box","containers":[{"name":"app",
    "image":"localhost/test:1","terminationMessagePath":"/dev/termination-log",
    "command":["sh","-c"],
    "args":["echo hello; trap 'echo bye > $(FILE); exit 3' TERM; while :; do sleep 0.05; done"],
    "env":[{"name":"WHO","value":"me"},{"name":"FILE","value":"/dev/termination-log"}],
    "securityContext":{"runAsUser":1000,"runAsGroup":2000,"readOnlyRootFilesystem":true},
    "resources":{"requests":{"cpu":"100m"},"limits":{"cpu":"500m","memory":"64Mi"}}}]})j");
  EXPECT_THAT(ip_, testing::StartsWith("10.99.0."));
  const std::string id = Start(0);
  ASSERT_TRUE(start_error_.ok()) << start_error_;
  const auto said = Timed("ExecSync", [&] {
    return Exec(id, {"sh", "-c",
                     "id -u; id -g; echo $WHO; cat /etc/hosts /etc/resolv.conf /etc/hostname; "
                     "touch /x || echo read-only; exit 7"});
  });
  ASSERT_TRUE(said.ok()) << said.status();
  EXPECT_EQ(said->exit_code, 7);
  EXPECT_THAT(said->out, testing::StartsWith("1000\n2000\nme\n"));
  EXPECT_THAT(said->out, HasSubstr(ip_ + "\tbox\n"));
  EXPECT_THAT(said->out, HasSubstr("nameserver 10.96.0.10"));
  EXPECT_THAT(said->out, HasSubstr("search shop.svc.cluster.local"));
  EXPECT_THAT(said->out, HasSubstr("read-only"));
  EXPECT_EQ(Exec(id, {"sleep", "100"}, seconds(1)).status().code(),
            absl::StatusCode::kDeadlineExceeded);
  const auto much = Timed("ExecSync, 4 MB", [&] {
    return Exec(id, {"sh", "-c", "yes 0123456789abcdef | head -c 4000000"});
  });
  ASSERT_TRUE(much.ok()) << much.status();
  EXPECT_EQ(much->out.size(), 1u << 20);
  EXPECT_GT(groups_->UsageOf("u-1")->memory_bytes, 0);
  EXPECT_EQ(runtime_->ListContainerStats("u-1")->size(), 1u);
  EXPECT_THAT(*runtime_->Exec(id, {"sh"}, {.in = true, .out = true, .tty = true}),
              testing::StartsWith("http://127.0.0.1:"));

  EXPECT_TRUE(Timed("StopContainer", [&] { return Stop(id, seconds(20)); }).ok());
  const ContainerState state = WaitForExit(id);
  EXPECT_EQ(state.exit_code, 3);
  EXPECT_EQ(state.reason, "Error");
  EXPECT_EQ(configs_->TerminationMessage(pod_, pod_.spec().containers(0), state), "bye\n");
  std::ostringstream log;
  log << std::ifstream(state.log_path).rdbuf();
  EXPECT_THAT(log.str(), HasSubstr("stdout F hello\n"));
  EXPECT_TRUE(Timed("RemoveContainer", [&] { return runtime_->RemoveContainer(id); }).ok());
  EXPECT_TRUE(Timed("StopPodSandbox", [&] { return runtime_->StopPodSandbox(sandbox_); }).ok());
  EXPECT_TRUE(Timed("RemovePodSandbox", [&] { return runtime_->RemovePodSandbox(sandbox_); }).ok());
  EXPECT_TRUE(runtime_->RemovePodSandbox(sandbox_).ok());
  EXPECT_TRUE(Stop(id, seconds(1)).ok());
}

TEST_F(ContainerdTest, WhatGoesWrongIsSaid) {
  MakePod(R"({"containers":[
    {"name":"bad","image":"localhost/test:1","command":["/no/such"]},
    {"name":"stubborn","image":"localhost/test:1","command":["sleep","1000000"]},
    {"name":"hungry","image":"localhost/test:1","resources":{"limits":{"memory":"16Mi"}},
     "command":["sh","-c","x=aaaaaaaaaaaaaaaa; while :; do x=$x$x; done"]}]})");
  const std::string bad = Start(0);
  EXPECT_THAT(std::string(start_error_.message()), HasSubstr("no such file or directory"));
  ContainerState state = StateOf(bad);
  EXPECT_EQ(state.exit_code, 128);
  EXPECT_EQ(state.reason, "StartError");

  // PID 1 takes no signal that it does not ask for. Right after the start it is still runc, which
  // would end with 2.
  const std::string stubborn = Start(1);
  while (Exec(stubborn, {"cat", "/proc/1/comm"})->out != "sleep\n") {
  }
  EXPECT_TRUE(Stop(stubborn, seconds(1)).ok());
  EXPECT_EQ(WaitForExit(stubborn).exit_code, 137);

  const std::string hungry = Start(2);
  state = WaitForExit(hungry);
  EXPECT_EQ(state.reason, "OOMKilled");
  EXPECT_EQ(runtime_->ImageStatus("localhost/nothing:1")->id(), "");
  std::promise<absl::StatusOr<std::string>> pulled;
  runtime_->PullImage("localhost:1/nothing:1", {}, nullptr,
                      [&](absl::StatusOr<std::string> ref) { pulled.set_value(std::move(ref)); });
  EXPECT_FALSE(pulled.get_future().get().ok());
  const auto images = runtime_->ListImages();
  ASSERT_EQ(images.value().size(), 1u);
  EXPECT_TRUE((*images)[0].pinned());  // the sandboxes', too
  EXPECT_GT(runtime_->ImageFsInfo()->size(), 0u);
}

TEST_F(ContainerdTest, ContainersOutliveTheRuntime) {
  MakePod(R"({"containers":[{"name":"app","image":"localhost/test:1"}]})");
  const std::string id = Start(0);
  ASSERT_TRUE(start_error_.ok()) << start_error_;
  machine_->Kill();
  EXPECT_EQ(runtime_->ListContainers("").status().code(), absl::StatusCode::kUnavailable);
  ASSERT_TRUE(machine_->StartAgain().ok());
  const auto until = Steady::now() + std::chrono::seconds(30);
  auto listed = runtime_->ListContainers("u-1");
  while (!listed.ok() && Steady::now() < until) listed = runtime_->ListContainers("u-1");
  ASSERT_TRUE(listed.ok()) << listed.status();
  ASSERT_EQ(listed->size(), 1u);
  EXPECT_EQ(StateOf(id).phase, ContainerState::Phase::kRunning);
}

}  // namespace
}  // namespace meltemi::kubelet
