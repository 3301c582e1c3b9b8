// Logs, statistics and probes of a container that really runs, on the machine's own containerd.
#include <dirent.h>

#include <chrono>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/random/locked_random.h"
#include "cri/runtime/v1/container.pb.h"
#include "cri/runtime/v1/sandbox.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kube/core/v1/pod.pb.h"
#include "kube/events/recorder_fake.h"
#include "kube/executor/executor.h"
#include "orchestrator/apiserver/usage/summary.h"
#include "orchestrator/kubelet/cgroups/hierarchies.h"
#include "orchestrator/kubelet/cri/containerd_process.h"
#include "orchestrator/kubelet/cri/grpc_runtime.h"
#include "orchestrator/kubelet/logs/logs.h"
#include "orchestrator/kubelet/probes/probes.h"
#include "orchestrator/kubelet/stats/stats.h"
#include "orchestrator/kubelet/stats/stats_parts_fake.h"

namespace meltemi::kubelet {
namespace {

using kube::core::v1::Pod;
using testing::HasSubstr;

constexpr char kRoot[] = "/meltemi-test-stats";

// Says "line 1 …", "line 2 …" as fast as a shell can, with short breaks; and uses CPU by it.
constexpr char kTalk[] =
    "i=0; while :; do n=0; while [ $n -lt 100 ]; do i=$((i+1)); n=$((n+1)); "
    "echo \"line $i xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"; "
    "done; usleep 20000; done";

class ContainerdTest : public testing::Test {
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
    RunPod();
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

  void RunPod() {
    auto pod = std::make_shared<Pod>();
    pod->mutable_metadata()->set_name("web");
    pod->mutable_metadata()->set_namespace_("shop");
    pod->mutable_metadata()->set_uid("u-1");
    auto* const spec = pod->mutable_spec()->add_containers();
    spec->set_name("talk");
    auto* const probe = spec->mutable_readiness_probe();
    probe->mutable_handler()->mutable_exec()->add_command("ls");
    probe->mutable_handler()->mutable_exec()->add_command("/tmp/ready");
    probe->set_period_seconds(1);
    probe->set_timeout_seconds(5);
    probe->set_failure_threshold(1);
    cri::PodSandboxConfig config;
    config.mutable_metadata()->set_name("web");
    config.mutable_metadata()->set_namespace_("shop");
    config.mutable_metadata()->set_uid("u-1");
    config.set_log_directory(machine_->folder() + "/logs");
    const auto group = groups_->Ensure(*pod);
    ASSERT_TRUE(group.ok()) << group.status();
    config.mutable_linux()->set_cgroup_parent(*group);
    config.mutable_linux()->mutable_security_context()->mutable_namespace_options();
    const auto sandbox = runtime_->RunPodSandbox(config, "");
    ASSERT_TRUE(sandbox.ok()) << sandbox.status();
    sandbox_ = *sandbox;
    cri::ContainerConfig container;
    container.mutable_metadata()->set_name("talk");
    container.mutable_image()->set_image(ContainerdProcess::kImage);
    for (const char* word : {"sh", "-c", kTalk}) container.add_command(word);
    container.set_log_path("talk.log");
    container.mutable_linux()->mutable_security_context()->mutable_namespace_options();
    const auto id = runtime_->CreateContainer(sandbox_, container, config);
    ASSERT_TRUE(id.ok()) << id.status();
    ASSERT_TRUE(runtime_->StartContainer(*id).ok());
    ContainerState state;
    state.id = *id;
    state.name = "talk";
    state.phase = ContainerState::Phase::kRunning;
    state.started_at = clock_.WallNow();
    state.log_path = runtime_->ContainerStatus(*id)->log_path();
    pods_.pod.pod = pod;
    pods_.pod.state.uid = "u-1";
    pods_.pod.state.sandboxes.push_back({.id = sandbox_, .ready = true, .ips = {"10.99.0.2"}});
    pods_.pod.state.containers.push_back(state);
  }

  template <typename Condition>
  static bool Eventually(Condition condition) {
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (!condition()) {
      if (std::chrono::steady_clock::now() > until) return false;
      std::this_thread::yield();
    }
    return true;
  }

  SystemClock clock_;
  std::unique_ptr<kube::Executor> executor_ = kube::NewThreadExecutor(clock_);
  std::unique_ptr<ContainerdProcess> machine_;
  std::unique_ptr<PodCgroups> groups_;
  std::unique_ptr<Runtime> runtime_;
  OnePodFake pods_;
  DisksFake volumes_;
  std::string sandbox_;
};

int CountFiles(const std::string& folder, absl::string_view part) {
  int out = 0;
  DIR* const dir = opendir(folder.c_str());
  if (dir == nullptr) return 0;
  while (const dirent* entry = readdir(dir)) out += absl::StrContains(entry->d_name, part) ? 1 : 0;
  closedir(dir);
  return out;
}

TEST_F(ContainerdTest, ALogIsFollowedOverRotationsWithoutAGap) {
  const std::string path = pods_.pod.state.containers[0].log_path;
  const std::string folder = path.substr(0, path.rfind('/'));
  auto rotation =
      NewLogRotation({.size_max = 256 * 1024, .files_max = 4, .period = milliseconds(1100)},
                     *runtime_, *executor_);
  absl::StatusOr<std::unique_ptr<LogReader>> reader = absl::NotFoundError("");
  ASSERT_TRUE(Eventually([&] { return (reader = OpenLog(path, {.follow = true})).ok(); }));
  std::string left;
  int64_t last = 0;
  ASSERT_TRUE(Eventually([&] {
    const absl::StatusOr<std::string> piece = (*reader)->Read(64 * 1024);
    EXPECT_TRUE(piece.ok()) << piece.status();
    left += piece.value_or("");
    size_t at = 0;
    for (size_t end; (end = left.find('\n', at)) != std::string::npos; at = end + 1) {
      const std::vector<absl::string_view> words =
          absl::StrSplit(absl::string_view(left).substr(at, end - at), ' ');
      int64_t number = 0;
      EXPECT_TRUE(words.size() == 3 && absl::SimpleAtoi(words[1], &number));
      EXPECT_EQ(number, last + 1);
      last = number;
    }
    left.erase(0, at);
    return HasFailure() || CountFiles(folder, ".gz") >= 2;
  }));
  printf("  %lld lines over %d rotations\n", static_cast<long long>(last),
         CountFiles(folder, ".log.2"));
  EXPECT_LE(CountFiles(folder, "talk.log"), 5);  // one may be on its way to be compressed
  EXPECT_GT(last, 1000);
  // The end of it, by going back; also in the middle of a rotation.
  ASSERT_TRUE(Eventually([&] {
    const auto tail = OpenLog(path, {.tail_lines = 3});
    EXPECT_TRUE(tail.ok()) << tail.status();
    return tail.ok() && absl::StartsWith(*(*tail)->Read(10'000), "line ");
  }));
}

TEST_F(ContainerdTest, WhatItUsesIsSeen) {
  const auto stats = NewStats({.node_name = "n1", .root = machine_->folder()}, *executor_, pods_,
                              *runtime_, *groups_, volumes_);
  absl::StatusOr<apiserver::NodeUsage> usage = absl::NotFoundError("");
  ASSERT_TRUE(Eventually([&] {
    usage = apiserver::ParseSummary(stats->SummaryJson(true));
    return usage.ok() && usage->pods.count({"shop", "web"}) > 0;
  })) << usage.status();
  const apiserver::PodUsage& pod = usage->pods.at({"shop", "web"});
  ASSERT_EQ(pod.containers.size(), 1u);
  printf("  node %lld m, container %lld m, %lld KiB\n",
         static_cast<long long>(usage->node.cpu_nanocores / 1'000'000),
         static_cast<long long>(pod.containers[0].usage.cpu_nanocores / 1'000'000),
         static_cast<long long>(pod.containers[0].usage.memory_bytes / 1024));
  EXPECT_GT(pod.containers[0].usage.cpu_nanocores, 1'000'000);
  EXPECT_LT(pod.containers[0].usage.cpu_nanocores, 2'000'000'000);
  EXPECT_GT(pod.containers[0].usage.memory_bytes, 10'000);
  EXPECT_GE(usage->node.memory_bytes, pod.containers[0].usage.memory_bytes);
  const std::string summary = stats->SummaryJson(false);
  EXPECT_THAT(summary, HasSubstr("\"network\":{"));
  EXPECT_THAT(summary, HasSubstr("\"name\":\"eth0\""));
  EXPECT_THAT(summary, testing::Not(HasSubstr("\"process_count\":0")));
  EXPECT_THAT(stats->ResourceMetrics(), HasSubstr("\nresource_scrape_error 0\n"));
  EXPECT_THAT(stats->ContainerMetrics(), HasSubstr("interface=\"eth0\""));
}

TEST_F(ContainerdTest, ACommandIsAProbe) {
  class NoNetwork final : public NetworkProber {
    void Http(const HttpProbe&, ProbeDone) override {}
    void Tcp(const TcpProbe&, ProbeDone) override {}
    void Grpc(const GrpcProbe&, ProbeDone) override {}
  } network;
  kube::EventRecorderFake recorder;
  LockedRandom random;
  const auto probes = NewProbes(*runtime_, network, *executor_, recorder, random, nullptr);
  probes->OnChange([](const std::string&) {});
  probes->Sync(pods_.pod.pod, pods_.pod.state, false);
  const auto ready = [&] {
    return probes->Get(pods_.pod.pod->spec().containers(0), pods_.pod.state.containers[0]).ready;
  };
  std::vector<std::string> events;
  ASSERT_TRUE(Eventually([&] {
    for (std::string& event : recorder.Take()) events.push_back(std::move(event));
    return !events.empty();
  }));
  EXPECT_THAT(events[0], HasSubstr("Readiness probe failed: ls: /tmp/ready: No such file"));
  EXPECT_FALSE(ready());
  bool touched = false;
  runtime_->ExecSync(pods_.pod.state.containers[0].id,
                     {"sh", "-c", "mkdir -p /tmp; touch /tmp/ready"}, seconds(5),
                     [&](absl::StatusOr<ExecResult> result) { touched = result.ok(); });
  EXPECT_TRUE(Eventually(ready));
  EXPECT_TRUE(touched);
}

}  // namespace
}  // namespace meltemi::kubelet
