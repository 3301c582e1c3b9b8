// The groups of pods in the kernel's own tree, below a root of the test's.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <string>

#include "gtest/gtest.h"
#include "kube/codec/codec.h"
#include "kube/core/v1/pod.pb.h"
#include "orchestrator/kubelet/cgroups/hierarchies.h"
#include "orchestrator/kubelet/cgroups/pod_cgroups.h"

namespace meltemi::kubelet {
namespace {

constexpr char kMount[] = "/sys/fs/cgroup";

class KernelCgroups : public ::testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root, to make control groups";
    auto hierarchies = FindHierarchies(kMount);
    if (!hierarchies.ok()) GTEST_SKIP() << hierarchies.status();
    hierarchies_ = *std::move(hierarchies);
    TearDown();  // what a run that died has left
    auto made = NewPodCgroups({.mount = kMount, .root = root_});
    if (!made.ok()) GTEST_SKIP() << made.status();
    groups_ = *std::move(made);
  }
  void TearDown() override {
    for (const Hierarchy& hierarchy : hierarchies_) {
      while (absl::IsUnavailable(RemoveGroup(hierarchy, root_))) sched_yield();
    }
  }

  const std::string root_ = "/meltemi-test-cgroups";
  std::vector<Hierarchy> hierarchies_;
  std::unique_ptr<PodCgroups> groups_;
};

TEST_F(KernelCgroups, APodsGroupLimitsCountsAndKills) {
  kube::core::v1::Pod pod;
  ASSERT_TRUE(kube::FromJson(R"({"metadata":{"uid":"u-1"},"spec":{"containers":[{"name":"c",
      "resources":{"requests":{"cpu":"500m"},"limits":{"cpu":"1","memory":"64Mi"}}}]}})",
                             &pod)
                  .ok());
  const auto group = groups_->Ensure(pod);
  ASSERT_TRUE(group.ok()) << group.status();
  EXPECT_EQ(*group, root_ + "/kubepods/burstable/podu-1");
  ASSERT_TRUE(groups_->Ensure(pod).ok());

  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t child = fork();
  if (child == 0) {
    volatile uint64_t work = 0;
    for (int i = 0; i < 1'000'000; ++i) work = work + 1;
    (void)!write(ready[1], "x", 1);
    for (;;) pause();
  }
  // Below the pod's own group, where a container's would be.
  for (const Hierarchy& hierarchy : hierarchies_) {
    ASSERT_TRUE(MakeGroup(hierarchy, *group + "/c1").ok());
    const absl::Status moved =
        WriteGroupFile(hierarchy.path + *group + "/c1", "cgroup.procs", std::to_string(child));
    ASSERT_TRUE(moved.ok()) << moved;
  }
  char byte = 0;
  ASSERT_EQ(read(ready[0], &byte, 1), 1);
  const auto usage = groups_->UsageOf("u-1");
  ASSERT_TRUE(usage.ok()) << usage.status();
  EXPECT_GE(usage->cpu_nanoseconds, 0);
  EXPECT_TRUE(groups_->NodeUsage().ok());

  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  absl::Status removed = groups_->Remove("u-1");
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(WTERMSIG(status), SIGKILL);
  while (absl::IsUnavailable(removed) && std::chrono::steady_clock::now() < until) {
    removed = groups_->Remove("u-1");
  }
  EXPECT_TRUE(removed.ok()) << removed;
  EXPECT_FALSE(groups_->UsageOf("u-1").ok());
  EXPECT_TRUE(groups_->Remove("u-1").ok());
}

}  // namespace
}  // namespace meltemi::kubelet
