#include "orchestrator/kubelet/node/node.h"

#include <sys/stat.h>

#include <fstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kube/coordination/v1/coordination.pb.h"
#include "kube/core/v1/node.pb.h"
#include "orchestrator/controllers/runtime/testing/world.h"
#include "orchestrator/kubelet/cri/runtime_fake.h"
#include "orchestrator/kubelet/node/machine.h"

namespace meltemi::kubelet {
namespace {

using apiserver::Fate;
using controllers::World;
using kube::coordination::v1::Lease;
using kube::core::v1::Node;
using kube::core::v1::NodeCondition;
using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

constexpr char kName[] = "n1";

void MakeFolders(const std::string& path) {
  for (size_t at = 1; (at = path.find('/', at)) != std::string::npos; ++at) {
    mkdir(path.substr(0, at).c_str(), 0755);
  }
  mkdir(path.c_str(), 0755);
}

// A node with a machine of files, a runtime in memory and an API server.
class Story : public testing::Test, public controllers::Running {
 protected:
  Story() {
    root_ = testing::TempDir() + "machine";
    Write("/proc/cpuinfo", "processor\t: 0\nprocessor\t: 1\n");
    SetMemory(4'000'000, 3'000'000);
    Write("/proc/stat", "cpu 1 2 3\nbtime 1704060000\n");
    Write("/proc/sys/kernel/random/boot_id", "boot-1\n");
    Write("/etc/machine-id", "0123456789abcdef\n");
    Write("/etc/os-release", "NAME=\"Debian\"\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n");
    Write("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "0\n");
    options_.name = kName;
    options_.ip = "10.0.0.7";
    options_.root = testing::TempDir();
    options_.machine_root = root_;
    options_.version = "v1.32.0";
    options_.labels["disk"] = "fast";
    options_.disk_available_min_percent = 0;
    runtime_fake_.fs_mountpoint = testing::TempDir();
    runtime_fake_.network_ready = false;
  }

  void Write(const std::string& path, const std::string& text) {
    MakeFolders((root_ + path).substr(0, (root_ + path).rfind('/')));
    std::ofstream(root_ + path) << text;
  }
  void SetMemory(int64_t total_kib, int64_t available_kib) {
    Write("/proc/meminfo",
          absl::StrCat("MemTotal:  ", total_kib,
                       " kB\nMemFree: 1 kB\nMemAvailable: ", available_kib, " kB\n"));
  }

  std::unique_ptr<controllers::Running> MakeKeeper(controllers::Context& context) {
    struct Held final : controllers::Running {
      void Start() override { keeper->Start(); }
      std::unique_ptr<NodeKeeper> keeper;
    };
    auto held = std::make_unique<Held>();
    held->keeper =
        NewNodeKeeper(options_, context.client, context.informers, context.executor,
                      context.recorder("kubelet"), *runtime_, [this] { return unhealthy_; });
    held->keeper->OnPodCidr([this](const std::string& cidr) { cidrs_.push_back(cidr); });
    keeper_ = held->keeper.get();
    return held;
  }
  void Start() override {}
  void Begin() { world_.Run(MakeKeeper(world_.context())); }
  void BeginReady() {
    runtime_fake_.network_ready = true;
    Begin();
    world_.Advance(seconds(1));
    ASSERT_EQ(Condition("Ready").status(), "True");
    world_.Events();
  }

  Node Now() { return world_.Get<Node>(kName, ""); }
  NodeCondition Condition(const std::string& type) {
    const Node node = Now();
    for (const NodeCondition& condition : node.status().conditions()) {
      if (condition.type() == type) return condition;
    }
    return NodeCondition();
  }

  World world_;
  RuntimeFake runtime_fake_{world_.executor()};
  std::unique_ptr<Runtime> runtime_ = runtime_fake_.Connect();
  NodeOptions options_;
  std::string root_, unhealthy_;
  std::vector<std::string> cidrs_;
  NodeKeeper* keeper_ = nullptr;
};

TEST_F(Story, RegistersWithWhatTheMachineIs) {
  options_.taints = {"dedicated=lab:NoExecute"};
  runtime_fake_.AddImage("small:1");
  runtime_fake_.SetImage("large:1", {.present = true, .size_bytes = 5'000'000});
  BeginReady();
  const Node node = Now();
  EXPECT_EQ(node.metadata().labels().at("kubernetes.io/hostname"), kName);
  EXPECT_EQ(node.metadata().labels().at("kubernetes.io/os"), "linux");
  EXPECT_EQ(node.metadata().labels().at("disk"), "fast");
  EXPECT_EQ(node.spec().taints(0).key(), "dedicated");
  EXPECT_EQ(node.status().capacity().at("cpu").string(), "2");
  EXPECT_EQ(node.status().capacity().at("memory").string(), "4000000Ki");
  EXPECT_EQ(node.status().allocatable().at("memory").string(), "3897600Ki");
  EXPECT_EQ(node.status().capacity().at("pods").string(), "110");
  EXPECT_EQ(node.status().capacity().at("hugepages-2Mi").string(), "0");
  EXPECT_NE(node.status().capacity().at("ephemeral-storage").string(), "0");
  EXPECT_EQ(node.status().addresses(0).type(), "InternalIP");
  EXPECT_EQ(node.status().addresses(0).address(), "10.0.0.7");
  EXPECT_EQ(node.status().addresses(1).address(), kName);
  EXPECT_EQ(node.status().daemon_endpoints().kubelet_endpoint().port(), 10250);
  EXPECT_EQ(node.status().node_info().os_image(), "Debian GNU/Linux 12 (bookworm)");
  EXPECT_EQ(node.status().node_info().boot_id(), "boot-1");
  EXPECT_EQ(node.status().node_info().kubelet_version(), "v1.32.0");
  EXPECT_TRUE(
      absl::StartsWith(node.status().node_info().container_runtime_version(), "containerd://"));
  ASSERT_EQ(node.status().images_size(), 2);
  EXPECT_EQ(node.status().images(0).size_bytes(), 5'000'000);
  EXPECT_THAT(node.status().images(0).names(), Contains(HasSubstr("large")));
  EXPECT_EQ(Condition("Ready").message(), "kubelet is posting ready status");
  EXPECT_EQ(Condition("MemoryPressure").reason(), "KubeletHasSufficientMemory");
  EXPECT_EQ(Condition("DiskPressure").message(), "kubelet has no disk pressure");
  EXPECT_EQ(Condition("PIDPressure").status(), "False");
}

TEST_F(Story, IsReadyWithinAMomentOfTheNetwork) {
  Begin();
  world_.Advance(seconds(3));
  EXPECT_EQ(Condition("Ready").status(), "False");
  EXPECT_EQ(Condition("Ready").reason(), "KubeletNotReady");
  EXPECT_THAT(Condition("Ready").message(),
              HasSubstr("container runtime network not ready: NetworkReady=false reason:"));
  EXPECT_FALSE(keeper_->ready());
  const size_t writes = world_.Writes();
  world_.Advance(seconds(4));
  EXPECT_LE(world_.Writes(), writes + 1);  // the lease alone

  world_.Patch<Node>(kName, "{spec: {podCIDR: 10.244.3.0/24, podCIDRs: [10.244.3.0/24]}}", "", "");
  world_.Settle();
  EXPECT_EQ(cidrs_, std::vector<std::string>{"10.244.3.0/24"});
  runtime_fake_.network_ready = true;
  world_.Advance(milliseconds(400));
  EXPECT_EQ(Condition("Ready").status(), "True");
  EXPECT_TRUE(keeper_->ready());
  const std::vector<std::string> events = world_.Events();
  EXPECT_THAT(events, Contains("Normal Starting Starting kubelet."));
  EXPECT_THAT(events, Contains("Normal NodeHasSufficientMemory Node n1 status is now: "
                               "NodeHasSufficientMemory"));
  EXPECT_THAT(events, Contains("Normal NodeReady Node n1 status is now: NodeReady"));
  EXPECT_THAT(events, Not(Contains(HasSubstr("InvalidDiskCapacity"))));
}

TEST_F(Story, RenewsItsLeaseAndWritesStatusSeldom) {
  BeginReady();
  world_.Advance(seconds(60));
  const size_t before = world_.Writes();
  world_.Advance(seconds(100));
  EXPECT_EQ(world_.Writes() - before, 10u);  // a lease each ten seconds, nothing else
  const Lease lease = world_.Get<Lease>(kName, "kube-node-lease");
  EXPECT_EQ(lease.spec().holder_identity(), kName);
  EXPECT_EQ(lease.spec().lease_duration_seconds(), 40);
  EXPECT_EQ(lease.metadata().owner_references(0).uid(), Now().metadata().uid());
  const int64_t heartbeat = Condition("Ready").last_heartbeat_time().seconds();
  world_.Advance(minutes(6));
  EXPECT_GT(Condition("Ready").last_heartbeat_time().seconds(), heartbeat);
}

TEST_F(Story, ARuntimeThatGoesAwayMakesItNotReady) {
  BeginReady();
  runtime_fake_.on_call = [](absl::string_view) { return RuntimeFault::Unavailable(); };
  world_.Advance(seconds(25));
  EXPECT_EQ(Condition("Ready").status(), "True");
  world_.Advance(seconds(20));
  EXPECT_EQ(Condition("Ready").message(), "container runtime is down");
  EXPECT_THAT(world_.Events(), Contains("Normal NodeNotReady Node n1 status is now: NodeNotReady"));
  runtime_fake_.on_call = nullptr;
  world_.Advance(seconds(12));
  EXPECT_EQ(Condition("Ready").status(), "True");
}

TEST_F(Story, SeveralProblemsAreToldTogether) {
  unhealthy_ = "PLEG is not healthy: pleg has yet to be successful";
  Begin();
  world_.Advance(seconds(1));
  EXPECT_THAT(Condition("Ready").message(),
              HasSubstr("[PLEG is not healthy: pleg has yet to be successful, container runtime "
                        "network not ready: "));
}

TEST_F(Story, ADeletedNodeRegistersAgain) {
  BeginReady();
  const std::string uid = Now().metadata().uid();
  world_.Delete<Node>(kName, {}, "");
  world_.Settle();
  world_.Advance(seconds(1));
  EXPECT_NE(Now().metadata().uid(), uid);
  EXPECT_EQ(Condition("Ready").status(), "True");
  const Lease lease = world_.Get<Lease>(kName, "kube-node-lease");
  EXPECT_EQ(lease.metadata().owner_references(0).uid(), Now().metadata().uid());
}

TEST_F(Story, ARestartKeepsWhatOthersWrote) {
  BeginReady();
  world_.Patch<Node>(kName,
                     "{metadata: {labels: {disk: slow, mine: yes-it-is}}, spec: {podCIDR: "
                     "10.244.1.0/24, podCIDRs: [10.244.1.0/24]}}",
                     "", "");
  world_.Patch<Node>(kName, "{status: {capacity: {example.com/dongle: '4'}}}", "status", "");
  world_.Settle();
  EXPECT_EQ(Now().status().allocatable().at("example.com/dongle").string(), "4");
  cidrs_.clear();
  Write("/proc/sys/kernel/random/boot_id", "boot-2\n");
  world_.Restart([this](controllers::Context& context) { return MakeKeeper(context); });
  world_.Advance(seconds(2));
  EXPECT_EQ(Now().metadata().labels().at("disk"), "slow");
  EXPECT_EQ(Now().metadata().labels().at("mine"), "yes-it-is");
  EXPECT_EQ(Now().status().allocatable().at("example.com/dongle").string(), "4");
  EXPECT_EQ(cidrs_, std::vector<std::string>{"10.244.1.0/24"});
  EXPECT_THAT(world_.Events(),
              Contains("Warning Rebooted Node n1 has been rebooted, boot id: boot-2"));
  EXPECT_EQ(Condition("Ready").status(), "True");
}

TEST_F(Story, LittleMemoryIsToldUntilItHasBeenOverForAWhile) {
  BeginReady();
  SetMemory(4'000'000, 50'000);
  world_.Advance(seconds(11));
  EXPECT_EQ(Condition("MemoryPressure").status(), "True");
  EXPECT_EQ(Condition("MemoryPressure").message(), "kubelet has insufficient memory available");
  EXPECT_EQ(Condition("Ready").status(), "True");
  SetMemory(4'000'000, 3'000'000);
  world_.Advance(minutes(4));
  EXPECT_EQ(Condition("MemoryPressure").status(), "True");
  world_.Advance(minutes(2));
  EXPECT_EQ(Condition("MemoryPressure").status(), "False");
}

TEST_F(Story, SaysThatItIsAliveWhenSomebodyHasGivenItUp) {
  BeginReady();
  Node node = Now();
  for (NodeCondition& condition : *node.mutable_status()->mutable_conditions()) {
    if (condition.type() == "Ready") condition.set_status("Unknown");
  }
  ASSERT_TRUE(kube::UpdateStatus(world_.user(), node).ok());
  world_.Settle();
  EXPECT_EQ(Condition("Ready").status(), "True");
}

TEST_F(Story, TellsOfCordons) {
  BeginReady();
  world_.Patch<Node>(kName, "{spec: {unschedulable: true}}", "", "");
  world_.Settle();
  EXPECT_THAT(world_.Events(),
              Contains("Normal NodeNotSchedulable Node n1 status is now: NodeNotSchedulable"));
}

TEST_F(Story, AServerThatCannotBeReachedAtFirst) {
  runtime_fake_.network_ready = true;
  world_.process().SetFate([](const kube::ApiCall& call) {
    return call.method == "GET" ? Fate::kPass : Fate::kLoseCall;
  });
  Begin();
  world_.Advance(seconds(30));
  EXPECT_THAT(world_.List<Node>(), IsEmpty());
  world_.process().SetFate({});
  world_.Advance(seconds(8));
  EXPECT_EQ(Condition("Ready").status(), "True");
}

TEST_F(Story, AnAnswerThatIsLostDoesNoHarm) {
  runtime_fake_.network_ready = true;
  int call_number = 0;
  world_.process().SetFate([&](const kube::ApiCall& call) {
    return call.method != "GET" && ++call_number % 2 == 1 ? Fate::kLoseAnswer : Fate::kPass;
  });
  Begin();
  world_.Advance(minutes(2));
  EXPECT_EQ(Condition("Ready").status(), "True");
  EXPECT_EQ(world_.Get<Lease>(kName, "kube-node-lease").spec().holder_identity(), kName);
}

TEST(MachineTest, ReadsThisMachine) {
  const Machine machine = ReadMachine("");
  EXPECT_GT(machine.cpus, 0);
  EXPECT_GT(machine.memory_bytes, machine.memory_available_bytes);
  EXPECT_FALSE(machine.kernel_version.empty());
  EXPECT_FALSE(machine.boot_id.empty());
  EXPECT_GT(ReadFileSystem("/").capacity_bytes, 0);
  EXPECT_EQ(ReadFileSystem("/no/such/place").capacity_bytes, 0);
  EXPECT_EQ(ReadMachineFile("/no/such/file"), "");
}

}  // namespace
}  // namespace meltemi::kubelet
