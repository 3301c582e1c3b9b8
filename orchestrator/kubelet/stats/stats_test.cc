#include "orchestrator/kubelet/stats/stats.h"

#include <sys/stat.h>

#include <fstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/json/parse.h"
#include "base/json/value.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kube/core/v1/pod.pb.h"
#include "kube/executor/executor_fake.h"
#include "orchestrator/apiserver/usage/summary.h"
#include "orchestrator/kubelet/cri/runtime_fake.h"
#include "orchestrator/kubelet/stats/proc_net.h"
#include "orchestrator/kubelet/stats/rates.h"
#include "orchestrator/kubelet/stats/stats_parts_fake.h"

namespace meltemi::kubelet {
namespace {

using kube::core::v1::Pod;
using testing::HasSubstr;
using testing::Not;

constexpr char kNetDev[] =
    "Inter-|   Receive                                                |  Transmit\n"
    " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop\n"
    "    lo:    1000      10    0    0    0     0          0         0    1000      10    0    0 "
    "0\n"
    "  eth0: 5000000     400    1    0    0     0          0         0 7000000     300    2    0 "
    "0\n"
    "veth12:       1       1    0    0    0     0          0         0       1       1    0    0 "
    "0\n";

class Groups final : public PodCgroups {
 public:
  absl::StatusOr<std::string> Ensure(const Pod&) override { return ""; }
  absl::Status Remove(const std::string&) override { return absl::OkStatus(); }
  absl::StatusOr<Usage> UsageOf(const std::string& uid) override {
    if (uid != "u1") return absl::NotFoundError("");
    return Usage{.cpu_nanoseconds = cpu_nanoseconds, .memory_bytes = 900, .working_set_bytes = 800};
  }
  absl::StatusOr<Usage> NodeUsage() override {
    return Usage{.cpu_nanoseconds = 10 * cpu_nanoseconds,
                 .memory_bytes = 2'000'000,
                 .working_set_bytes = 1'000'000};
  }
  std::vector<int32_t> Processes(const std::string&) override { return {4242, 4243}; }

  int64_t cpu_nanoseconds = 0;
};

class StatsTest : public testing::Test {
 protected:
  StatsTest() {
    root_ = testing::TempDir() + "stats-machine";
    for (const char* folder : {"", "/proc", "/proc/net", "/proc/4242", "/proc/4242/net",
                               "/proc/sys", "/proc/sys/kernel", "/logs"}) {
      mkdir((root_ + folder).c_str(), 0755);
    }
    Write("/proc/meminfo", "MemTotal: 8000 kB\nMemAvailable: 5000 kB\n");
    Write("/proc/4242/net/dev", kNetDev);
    Write("/proc/net/dev", kNetDev);
    Write("/proc/loadavg", "0.1 0.1 0.1 1/80 999\n");
    Write("/proc/sys/kernel/pid_max", "32768\n");
    Write("/logs/0.log", std::string(700, 'x'));
    Write("/logs/0.log.20240101-000000.gz", std::string(300, 'x'));
    machine_.SetContainer("app", {.cpu_nanocores = 250'000'000, .memory_bytes = 64 << 20});
    disks_.sizes = {{"scratch", {4096, 2}}, {"data", {1 << 20, 10}}};
    RunContainer();
    MakePod();
    executor_.Advance(seconds(10));
    stats_ = NewStats({.node_name = "n1", .root = "/", .machine_root = root_}, executor_, pods_,
                      *runtime_, groups_, disks_);
  }

  void Write(const std::string& path, const std::string& text) {
    std::ofstream(root_ + path) << text;
  }
  void RunContainer() {
    cri::PodSandboxConfig sandbox;
    sandbox.mutable_metadata()->set_name("web");
    sandbox.mutable_metadata()->set_namespace_("default");
    sandbox.mutable_metadata()->set_uid("u1");
    const std::string id = *runtime_->RunPodSandbox(sandbox, "");
    machine_.AddImage("nginx");
    cri::ContainerConfig config;
    config.mutable_metadata()->set_name("app");
    config.mutable_image()->set_image("nginx");
    id_ = *runtime_->CreateContainer(id, config, sandbox);
    ASSERT_TRUE(runtime_->StartContainer(id_).ok());
  }
  void MakePod() {
    auto pod = std::make_shared<Pod>();
    pod->mutable_metadata()->set_name("web");
    pod->mutable_metadata()->set_namespace_("default");
    pod->mutable_metadata()->set_uid("u1");
    pod->mutable_status()->mutable_start_time()->set_seconds(1704067200);
    auto* volume = pod->mutable_spec()->add_volumes();
    volume->set_name("scratch");
    volume->mutable_volume_source()->mutable_empty_dir();
    volume = pod->mutable_spec()->add_volumes();
    volume->set_name("data");
    volume->mutable_volume_source()->mutable_persistent_volume_claim()->set_claim_name("claim");
    pods_.pod.pod = pod;
    ContainerState container;
    container.id = id_;
    container.name = "app";
    container.image = "nginx";
    container.phase = ContainerState::Phase::kRunning;
    container.started_at = executor_.clock().WallNow();
    container.log_path = root_ + "/logs/0.log";
    pods_.pod.state.containers.push_back(container);
  }
  // Time goes by, and CPU is used: half a core by the pod, five by the machine.
  void Pass(int times_s) {
    for (int i = 0; i < times_s; ++i) {
      groups_.cpu_nanoseconds += 500'000'000;
      executor_.Advance(seconds(1));
    }
  }
  json::Value Summary(bool only_cpu_and_memory = false) {
    return *json::Parse(stats_->SummaryJson(only_cpu_and_memory));
  }

  kube::ExecutorFake executor_;
  RuntimeFake machine_{executor_};
  std::unique_ptr<Runtime> runtime_ = machine_.Connect();
  OnePodFake pods_;
  Groups groups_;
  DisksFake disks_;
  std::string root_, id_;
  std::unique_ptr<Stats> stats_;
};

TEST_F(StatsTest, WhatTheMetricsApiReads) {
  Pass(60);
  for (const bool only_cpu_and_memory : {true, false}) {
    const auto usage = apiserver::ParseSummary(stats_->SummaryJson(only_cpu_and_memory));
    ASSERT_TRUE(usage.ok()) << usage.status();
    EXPECT_NEAR(static_cast<double>(usage->node.cpu_nanocores), 5e9, 3e8);
    EXPECT_EQ(usage->node.memory_bytes, 1'000'000);
    const apiserver::PodUsage& pod = usage->pods.at({"default", "web"});
    EXPECT_EQ(pod.uid, "u1");
    ASSERT_EQ(pod.containers.size(), 1u);
    EXPECT_EQ(pod.containers[0].name, "app");
    EXPECT_NEAR(static_cast<double>(pod.containers[0].usage.cpu_nanocores), 250e6, 10e6);
    EXPECT_EQ(pod.containers[0].usage.memory_bytes, 64 << 20);
  }
}

TEST_F(StatsTest, ANewContainerHasARateFromItsStart) {
  const json::Value summary = Summary(true);
  const json::Value& container = summary.Find("pods")->items()[0].Find("containers")->items()[0];
  EXPECT_NEAR(static_cast<double>(*container.Find("cpu", "usageNanoCores")->AsInt64()), 250e6, 1e6);
}

TEST_F(StatsTest, TheWholeSummary) {
  Pass(20);
  const json::Value summary = Summary();
  const json::Value& node = *summary.Find("node");
  EXPECT_EQ(node.FindString("nodeName"), "n1");
  EXPECT_EQ(*node.Find("memory", "availableBytes")->AsInt64(), 8000 * 1024 - 1'000'000);
  EXPECT_EQ(node.Find("network")->FindString("name"), "eth0");
  EXPECT_EQ(*node.Find("rlimit", "maxpid")->AsInt64(), 32768);
  EXPECT_EQ(*node.Find("rlimit", "curproc")->AsInt64(), 80);
  EXPECT_GT(*node.Find("fs", "capacityBytes")->AsInt64(), 0);
  const json::Value& pod = summary.Find("pods")->items()[0];
  EXPECT_EQ(*pod.Find("memory", "workingSetBytes")->AsInt64(), 800);
  EXPECT_EQ(*pod.Find("network", "rxBytes")->AsInt64(), 5'000'000);
  EXPECT_EQ(*pod.Find("network", "txErrors")->AsInt64(), 2);
  EXPECT_EQ(*pod.Find("process_stats", "process_count")->AsInt64(), 2);
  const json::Value& container = pod.Find("containers")->items()[0];
  EXPECT_EQ(*container.Find("logs", "usedBytes")->AsInt64(), 1000);
  const int64_t layer = *container.Find("rootfs", "usedBytes")->AsInt64();
  // The claim is no ephemeral storage.
  EXPECT_EQ(*pod.Find("ephemeral-storage", "usedBytes")->AsInt64(), layer + 1000 + 4096);
  const json::Value& volume = pod.Find("volume")->items()[1];
  EXPECT_EQ(volume.FindString("name"), "data");
  EXPECT_EQ(volume.Find("pvcRef")->FindString("name"), "claim");
  EXPECT_EQ(*volume.Find("usedBytes")->AsInt64(), 1 << 20);
}

TEST_F(StatsTest, ResultsAreKeptForASecondAndVolumesForAMinute) {
  Pass(20);
  const int64_t calls = machine_.calls();
  const std::string first = stats_->SummaryJson(false);
  const int64_t of_one = machine_.calls() - calls;
  EXPECT_EQ(stats_->SummaryJson(false), first);
  (void)stats_->ResourceMetrics();
  (void)stats_->ContainerMetrics();
  EXPECT_EQ(machine_.calls() - calls, of_one);
  EXPECT_EQ(disks_.walks, 1);
  Pass(30);
  (void)stats_->SummaryJson(false);
  EXPECT_EQ(disks_.walks, 1);
  Pass(31);
  (void)stats_->SummaryJson(false);
  EXPECT_EQ(disks_.walks, 2);
}

TEST_F(StatsTest, Prometheus) {
  Pass(20);
  const std::string resource = stats_->ResourceMetrics();
  EXPECT_THAT(resource, HasSubstr("# TYPE node_cpu_usage_seconds_total counter\n"
                                  "node_cpu_usage_seconds_total 100 1704067230000\n"));
  EXPECT_THAT(resource, HasSubstr("container_memory_working_set_bytes{container=\"app\",namespace="
                                  "\"default\",pod=\"web\"} 67108864 "));
  EXPECT_THAT(resource, HasSubstr("pod_cpu_usage_seconds_total{namespace=\"default\",pod=\"web\"} "
                                  "10 "));
  EXPECT_THAT(resource, HasSubstr("\nresource_scrape_error 0\n"));
  const std::string containers = stats_->ContainerMetrics();
  EXPECT_THAT(containers, HasSubstr(absl::StrCat(
                              "container_memory_usage_bytes{container=\"app\",id=\"", id_, "\"")));
  EXPECT_THAT(containers,
              HasSubstr("container_network_receive_bytes_total{container=\"\",id=\"u1\",image=\"\","
                        "interface=\"eth0\",name=\"\",namespace=\"default\",pod=\"web\"} 5000000"));
}

TEST_F(StatsTest, ARuntimeThatDoesNotAnswer) {
  Pass(20);
  machine_.on_call = [](absl::string_view) { return RuntimeFault::Unavailable(); };
  Pass(2);
  EXPECT_THAT(stats_->ResourceMetrics(), HasSubstr("\nresource_scrape_error 1\n"));
  EXPECT_EQ(Summary(true).Find("pods")->items().size(), 1u);
  Pass(70);
  EXPECT_EQ(Summary(true).Find("pods")->items().size(), 0u);
  EXPECT_TRUE(Summary(true).Find("node", "cpu") != nullptr);
}

TEST(RatesTest, OfTheLastHalfMinute) {
  Rates rates;
  const auto at = [](int64_t s) { return WallTime(seconds(1'000'000 + s)); };
  const int64_t second = 1'000'000'000;
  EXPECT_FALSE(rates.Observe("x", 0, at(0), std::nullopt).has_value());
  EXPECT_EQ(rates.Observe("x", 10 * second, at(10), std::nullopt), second);
  EXPECT_EQ(rates.Observe("x", 10 * second, at(20), std::nullopt), second / 2);
  EXPECT_EQ(rates.Observe("x", 10 * second, at(60), std::nullopt), 0);
  // It began anew.
  EXPECT_FALSE(rates.Observe("x", 5, at(70), std::nullopt).has_value());
  EXPECT_EQ(rates.Observe("y", 8 * second, at(70), at(66)), 2 * second);
  rates.ForgetBut(at(80));
  EXPECT_FALSE(rates.Observe("y", 9 * second, at(80), std::nullopt).has_value());
}

TEST(ProcNetTest, Garbage) {
  EXPECT_EQ(ParseNetDev(kNetDev).size(), 1u);
  EXPECT_TRUE(ParseNetDev("").empty());
  EXPECT_TRUE(ParseNetDev("eth0: 1 2 3\neth1\n: x y z\n").empty());
}

}  // namespace
}  // namespace meltemi::kubelet
