#include "orchestrator/kubelet/cgroups/pod_cgroups.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "gtest/gtest.h"
#include "kube/codec/codec.h"
#include "kube/core/v1/pod.pb.h"
#include "orchestrator/kubelet/cgroups/hierarchies.h"

namespace meltemi::kubelet {
namespace {

namespace fs = std::filesystem;

const char* const kGroups[] = {"",
                               "/m",
                               "/m/n",
                               "/m/n/kubepods",
                               "/m/n/kubepods/burstable",
                               "/m/n/kubepods/besteffort",
                               "/m/n/kubepods/podg",
                               "/m/n/kubepods/burstable/podb1",
                               "/m/n/kubepods/burstable/podb2",
                               "/m/n/kubepods/besteffort/pode"};

kube::core::v1::Pod PodOf(const std::string& uid, const std::string& requests,
                          const std::string& limits) {
  kube::core::v1::Pod out;
  EXPECT_TRUE(
      kube::FromJson(R"({"metadata":{"uid":")" + uid +
                         R"("},"spec":{"containers":[{"name":"c","resources":{"requests":)" +
                         requests + R"(,"limits":)" + limits + "}}]}}",
                     &out)
          .ok());
  return out;
}

// A tree of plain files where the kernel's would be: what is written there can be read again.
class PodCgroupsTest : public ::testing::Test {
 protected:
  PodCgroupsTest()
      : mount_(fs::path(::testing::TempDir()) /
               ::testing::UnitTest::GetInstance()->current_test_info()->name()) {
    fs::remove_all(mount_);
  }
  ~PodCgroupsTest() override { fs::remove_all(mount_); }

  void Write(const std::string& file, const std::string& text) {
    fs::create_directories((mount_ / file).parent_path());
    std::ofstream(mount_ / file) << text;
  }
  std::string Read(const std::string& file) {
    std::ostringstream out;
    out << std::ifstream(mount_ / file).rdbuf();
    return out.str();
  }
  void MakeV1() {
    for (const std::string group : kGroups) {
      for (const std::string name : {"cpu", "cpuacct", "cpuset", "memory", "pids", "systemd"}) {
        Write(name + group + "/cgroup.procs", "");
        Write(name + group + "/tasks", "");
      }
      Write("unified" + group + "/cgroup.procs", "");
      Write("unified" + group + "/cgroup.controllers", "hugetlb\n");
      Write("unified" + group + "/cgroup.subtree_control", "");
      Write("cpu" + group + "/cpu.shares", "1024\n");
      Write("cpu" + group + "/cpu.cfs_quota_us", "-1\n");
      Write("cpu" + group + "/cpu.cfs_period_us", "0\n");
      Write("cpuset" + group + "/cpuset.cpus", group.empty() ? "0-1\n" : "\n");
      Write("cpuset" + group + "/cpuset.mems", group.empty() ? "0\n" : "\n");
      Write("memory" + group + "/memory.limit_in_bytes", "-1\n");
      Write("unified" + group + "/hugetlb.2MB.max", "max\n");
    }
    fs::create_symlink("cpu", mount_ / "cpu-link");
  }
  void MakeV2() {
    Write("cgroup.controllers", "cpu memory pids\n");
    for (const std::string group : kGroups) {
      Write(group.substr(group.empty() ? 0 : 1) + "/cgroup.procs", "");
      Write("." + group + "/cgroup.subtree_control", "");
      Write("." + group + "/cpu.weight", "100\n");
      Write("." + group + "/cpu.max", "max 100000\n");
      Write("." + group + "/memory.max", "max\n");
    }
  }
  std::unique_ptr<PodCgroups> Make(const std::string& usage_root = "") {
    auto made = NewPodCgroups({.mount = mount_.string(), .root = "/m/n", .usage_root = usage_root});
    EXPECT_TRUE(made.ok()) << made.status();
    return *std::move(made);
  }

  const fs::path mount_;
};

TEST_F(PodCgroupsTest, V1HasOneGroupPerHierarchy) {
  MakeV1();
  const auto groups = Make();
  EXPECT_EQ(
      *groups->Ensure(PodOf("g", R"({"cpu":"2","memory":"1Gi"})", R"({"cpu":"2","memory":"1Gi"})")),
      "/m/n/kubepods/podg");
  EXPECT_EQ(Read("cpu/m/n/kubepods/podg/cpu.shares"), "2048");
  EXPECT_EQ(Read("cpu/m/n/kubepods/podg/cpu.cfs_quota_us"), "200000");
  EXPECT_EQ(Read("cpu/m/n/kubepods/podg/cpu.cfs_period_us"), "100000");
  EXPECT_EQ(Read("memory/m/n/kubepods/podg/memory.limit_in_bytes"), "1073741824");
  // Nothing could run without CPUs.
  EXPECT_EQ(Read("cpuset/m/n/kubepods/podg/cpuset.cpus"), "0-1");
  EXPECT_EQ(Read("cpu/m/n/kubepods/besteffort/cpu.shares"), "2");
  EXPECT_EQ(*groups->Ensure(PodOf("e", "{}", "{}")), "/m/n/kubepods/besteffort/pode");
}

TEST_F(PodCgroupsTest, BurstablePodsShareTheSumOfWhatTheyAskFor) {
  MakeV1();
  for (const char* pod : {"b1", "b2"}) {
    Write(std::string("cpu/m/n/kubepods/burstable/pod") + pod + "/cpu.shares", "0");
  }
  const auto groups = Make();
  EXPECT_EQ(*groups->Ensure(PodOf("b1", R"({"cpu":"1"})", "{}")), "/m/n/kubepods/burstable/podb1");
  EXPECT_EQ(Read("cpu/m/n/kubepods/burstable/cpu.shares"), "1024");
  EXPECT_TRUE(groups->Ensure(PodOf("b2", R"({"cpu":"500m"})", "{}")).ok());
  EXPECT_EQ(Read("cpu/m/n/kubepods/burstable/cpu.shares"), "1536");
}

TEST_F(PodCgroupsTest, V2HasOneGroupWithAllControllers) {
  MakeV2();
  const auto groups = Make();
  const std::string both = R"({"cpu":"1500m","memory":"1Gi"})";
  EXPECT_EQ(*groups->Ensure(PodOf("g", both, both)), "/m/n/kubepods/podg");
  EXPECT_EQ(Read("m/n/kubepods/podg/cpu.max"), "150000 100000");
  EXPECT_EQ(Read("m/n/kubepods/podg/cpu.weight"), "59");
  EXPECT_EQ(Read("m/n/kubepods/podg/memory.max"), "1073741824");
  EXPECT_NE(Read("m/n/cgroup.subtree_control"), "");
}

TEST_F(PodCgroupsTest, UsageIsReadFromEitherKind) {
  MakeV1();
  const auto groups = Make();
  const std::string pod = "/m/n/kubepods/besteffort/pode/";
  Write("cpuacct" + pod + "cpuacct.usage", "12345\n");
  Write("memory" + pod + "memory.usage_in_bytes", "1000\n");
  Write("memory" + pod + "memory.stat",
        "inactive_file 1\ntotal_inactive_file 300\ntotal_rss 400\ntotal_pgfault 7\n");
  const Usage usage = *groups->UsageOf("e");
  EXPECT_EQ(usage.cpu_nanoseconds, 12345);
  EXPECT_EQ(usage.working_set_bytes, 700);
  EXPECT_EQ(usage.rss_bytes, 400);
  EXPECT_EQ(usage.page_faults, 7);
  EXPECT_EQ(groups->UsageOf("nobody").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(PodCgroupsTest, TheNodesUsageIsItsRootOrTheMachine) {
  MakeV2();
  Write("m/n/memory.current", "50\n");
  Write("m/n/memory.stat", "anon 20\ninactive_file 10\n");
  Write("m/n/cpu.stat", "usage_usec 3\n");
  Write("memory.stat", "anon 500\nfile 400\nkernel 100\ninactive_file 200\n");
  Write("cpu.stat", "usage_usec 9\n");
  EXPECT_EQ(Make()->NodeUsage()->working_set_bytes, 40);
  EXPECT_EQ(Make()->NodeUsage()->cpu_nanoseconds, 3000);
  EXPECT_EQ(Make("/")->NodeUsage()->memory_bytes, 1000);
  EXPECT_EQ(Make("/")->NodeUsage()->working_set_bytes, 800);
}

TEST_F(PodCgroupsTest, WhatIsLeftInAGroupIsKilled) {
  MakeV1();
  const auto groups = Make();
  const pid_t child = fork();
  if (child == 0) {
    for (;;) pause();
  }
  Write("memory/m/n/kubepods/podg/cgroup.procs", std::to_string(child) + "\n0\n1\n");
  // Plain files keep the folder from going, as processes that are still ending do.
  EXPECT_EQ(groups->Remove("g").code(), absl::StatusCode::kUnavailable);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(WTERMSIG(status), SIGKILL);
  EXPECT_TRUE(groups->Remove("nobody").ok());
}

TEST_F(PodCgroupsTest, AUidIsNoPath) {
  MakeV1();
  const auto groups = Make();
  EXPECT_FALSE(groups->Ensure(PodOf("../x", "{}", "{}")).ok());
  EXPECT_TRUE(groups->Remove("..").ok());
}

TEST_F(PodCgroupsTest, AMachineWithoutGroupsSaysWhatIsMissing) {
  fs::create_directories(mount_);
  EXPECT_NE(NewPodCgroups({.mount = mount_.string()}).status().message().find("mount -t cgroup2"),
            absl::string_view::npos);
  Write("cgroup.controllers", "pids\n");
  EXPECT_NE(NewPodCgroups({.mount = mount_.string()}).status().message().find("controller cpu"),
            absl::string_view::npos);
}

}  // namespace
}  // namespace meltemi::kubelet
