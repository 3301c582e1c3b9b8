// Two machines (network namespaces, each with a data folder of its own): a cluster is begun on one,
// the other one joins, parts die, and nothing is left behind.
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/process/run_process.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test/kubeproxy/network.h"
#include "test/machine/process.h"

namespace meltemi::cli {
namespace {

namespace fs = std::filesystem;
using kubeproxy::In;
using machine::Namespace;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

struct Answer {
  int exit_code = -1;
  std::string output;
};

class Machine {
 public:
  Machine(const std::string& folder, const std::string& name)
      : name_(name), folder_(absl::StrCat(folder, "/", name)), network_(*Namespace::Make()) {}
  ~Machine() { Meltemi({"down", "--purge", "--grace=0s"}); }

  const Namespace& network() const { return network_; }
  const std::string& folder() const { return folder_; }
  Answer Run(const std::vector<std::string>& argv) const {
    Answer answer;
    In(network_, [&] {
      ProcessOptions options;
      options.timeout = seconds(120);
      const auto result = RunProcess(argv, "", options);
      if (result.ok()) {
        answer = {result->exit_code, result->out + result->err};
      } else {
        answer.output = std::string(result.status().message());
      }
    });
    return answer;
  }
  Answer Meltemi(std::vector<std::string> words) const {
    char* const program = realpath("cli/meltemi", nullptr);
    words.insert(words.begin(), program == nullptr ? "cli/meltemi" : program);
    free(program);
    words.push_back("--data-dir=" + folder_);
    return Run(words);
  }
  void Kill(const std::string& part) const {
    int pid = 0;
    std::ifstream(absl::StrCat(folder_, "/", part, ".pid")) >> pid;
    ASSERT_GT(pid, 1) << part;
    ASSERT_EQ(kill(pid, SIGKILL), 0);
  }
  std::string part(const std::string& of_node) const {
    return absl::StrCat("nodes/", name_, "/run/", of_node);
  }

 private:
  const std::string name_, folder_;
  const Namespace network_;
};

std::string WhyNot() {
  const std::string no_namespaces = machine::WhyNoNamespaces();
  if (!no_namespaces.empty()) return no_namespaces;
  for (const char* program : {"containerd", "runc", "ctr", "kubectl", "nft", "iptables",
                              "conntrack", "/usr/lib/cni/bridge"}) {
    if (FindProgram(program).empty()) return absl::StrCat(program, " is not installed");
  }
  return "";
}

class JoinTest : public testing::Test {
 protected:
  void SetUp() override {
    const std::string why_not = WhyNot();
    if (!why_not.empty()) GTEST_SKIP() << why_not;
    char path[] = "/tmp/join.XXXXXX";
    folder_ = mkdtemp(path);
    first_ = std::make_unique<Machine>(folder_, "first");
    second_ = std::make_unique<Machine>(folder_, "second");
    const std::string far = absl::StrCat(second_->network().holder());
    for (const char* line :
         {"link add eth0 type veth peer name eth0 netns FAR", "addr add 10.251.0.1/24 dev eth0",
          "link set eth0 up", "route add default via 10.251.0.254"}) {
      Ip(*first_, absl::StrReplaceAll(line, {{"FAR", far}}));
    }
    for (const char* line : {"addr add 10.251.0.2/24 dev eth0", "link set eth0 up",
                             "route add default via 10.251.0.254"}) {
      Ip(*second_, line);
    }
  }
  void TearDown() override {
    first_.reset();
    second_.reset();
    if (!folder_.empty()) fs::remove_all(folder_);
  }
  static void Ip(const Machine& machine, const std::string& line) {
    const absl::Status status = machine.network().Run(absl::StrSplit("ip " + line, ' '));
    ASSERT_TRUE(status.ok()) << line << ": " << status;
  }
  void Begin() {
    const Answer up = first_->Meltemi({"up", "--no-mesh", "--node-name=first"});
    ASSERT_EQ(up.exit_code, 0) << up.output;
    EXPECT_THAT(up.output, HasSubstr("all nodes are Ready"));
  }
  // The line that `join --print` shows, as words, without the program.
  std::vector<std::string> JoinLine() {
    const Answer print = first_->Meltemi({"join", "--print"});
    EXPECT_EQ(print.exit_code, 0) << print.output;
    std::vector<std::string> words =
        absl::StrSplit(absl::StripSuffix(print.output, "\n"), ' ', absl::SkipEmpty());
    EXPECT_EQ(words[0], "meltemi");
    words.erase(words.begin());
    words.push_back("--node-name=second");
    return words;
  }
  // On the first machine; there is no image for it, but a sandbox with its network.
  void RunPodWithPort(const std::string& name) {
    const std::string file = absl::StrCat(folder_, "/pod.yaml");
    std::ofstream(file)
        << "apiVersion: v1\nkind: Pod\nmetadata: {name: " << name
        << "}\nspec: {nodeName: first, containers: [{name: c, image: none, "
           "imagePullPolicy: Never, ports: [{containerPort: 80, hostPort: 8088}]}]}\n";
    const Answer created = first_->Run(
        {"kubectl", "--kubeconfig", first_->folder() + "/admin.kubeconfig", "create", "-f", file});
    ASSERT_EQ(created.exit_code, 0) << created.output;
    EXPECT_TRUE(machine::Eventually(
        [&] {
          return absl::StrContains(first_->Run({"iptables-save", "-t", "nat"}).output,
                                   "--dport 8088 -j DNAT");
        },
        std::chrono::seconds(30)));
  }
  static void ExpectNothingLeft(const Machine& machine) {
    // Tables that iptables has made once stay, empty.
    EXPECT_THAT(machine.Run({"nft", "list", "ruleset"}).output,
                AllOf(Not(HasSubstr("meltemi")), Not(HasSubstr("jump")), Not(HasSubstr("CNI-"))));
    EXPECT_THAT(machine.Run({"ip", "link"}).output,
                AllOf(Not(HasSubstr("meltemi")), Not(HasSubstr("veth"))));
    EXPECT_EQ(machine.Run({"ip", "route", "show", "proto", "77"}).output, "");
    const std::string processes = machine.Run({"ps", "-e", "-o", "args"}).output;
    EXPECT_THAT(processes, Not(HasSubstr(machine.folder())));
    EXPECT_THAT(machine.Run({"cat", "/proc/self/mountinfo"}).output,
                Not(HasSubstr(machine.folder())));
    EXPECT_FALSE(fs::exists(machine.folder())) << "--purge removes the data";
  }

  std::string folder_;
  std::unique_ptr<Machine> first_, second_;
};

TEST_F(JoinTest, ASecondMachineBecomesANode) {
  Begin();
  const Answer join = second_->Meltemi(JoinLine());
  ASSERT_EQ(join.exit_code, 0) << join.output;
  EXPECT_THAT(join.output, HasSubstr("node second is Ready in the cluster at https://10.251.0.1"));
  for (const Machine* machine : {first_.get(), second_.get()}) {
    const Answer status = machine->Meltemi({"status"});
    EXPECT_EQ(status.exit_code, 0) << status.output;
    EXPECT_THAT(status.output, AllOf(HasSubstr("first                Ready"),
                                     HasSubstr("second               Ready")));
  }
  EXPECT_THAT(second_->Meltemi({"status"}).output, Not(HasSubstr("apiserver")));
  EXPECT_THAT(first_->Run({"ip", "route", "show", "proto", "77"}).output,
              HasSubstr("via 10.251.0.2"))
      << "the way to the other machine's pods";
  EXPECT_EQ(second_->Meltemi(JoinLine()).exit_code, 0) << "twice does no harm";
}

TEST_F(JoinTest, WhoIsNotBelievedIsToldSo) {
  Begin();
  std::vector<std::string> other_cluster = JoinLine(), other_token = JoinLine();
  for (std::string& word : other_cluster) {
    if (absl::StartsWith(word, "--ca-hash=")) word = "--ca-hash=sha256:" + std::string(64, '0');
  }
  EXPECT_THAT(second_->Meltemi(other_cluster).output,
              HasSubstr("is not the cluster that you want"));
  for (std::string& word : other_token) {
    if (absl::StartsWith(word, "--token=")) word = "--token=aaaaaa.0123456789abcdef";
  }
  const Answer refused = second_->Meltemi(other_token);
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_THAT(refused.output, HasSubstr("does not accept the bootstrap token"));
  EXPECT_EQ(second_->Meltemi({"join"}).exit_code, 2);
}

TEST_F(JoinTest, WhatHasDiedIsStartedAgain) {
  Begin();
  EXPECT_THAT(first_->Meltemi({"up", "--no-mesh", "--node-name=first"}).output,
              HasSubstr("up already"));
  for (const char* part : {"kubelet", "containerd", "kube-proxy", "dns"}) {
    first_->Kill(first_->part(part));
    const Answer status = first_->Meltemi({"status"});
    EXPECT_EQ(status.exit_code, 1);
    EXPECT_THAT(status.output, HasSubstr("it has died"));
    const Answer up = first_->Meltemi({"up", "--no-mesh", "--node-name=first"});
    EXPECT_EQ(up.exit_code, 0) << part << "\n" << up.output;
    EXPECT_EQ(first_->Meltemi({"status"}).exit_code, 0) << part;
  }
}

TEST_F(JoinTest, NothingIsLeftEvenWhenAllWereKilled) {
  Begin();
  ASSERT_EQ(second_->Meltemi(JoinLine()).exit_code, 0);
  const std::string pod = absl::StrCat("port-", getpid());
  RunPodWithPort(pod);
  for (const char* part : {"containerd", "kubelet", "kube-proxy", "dns"}) {
    first_->Kill(first_->part(part));
    second_->Kill(second_->part(part));
  }
  for (const char* part : {"run/apiserver", "run/controller-manager", "run/scheduler"}) {
    first_->Kill(part);
  }
  for (const Machine* machine : {first_.get(), second_.get()}) {
    const Answer down = machine->Meltemi({"down", "--purge"});
    EXPECT_EQ(down.exit_code, 0) << down.output;
    ExpectNothingLeft(*machine);
  }
  EXPECT_EQ(first_->Run({"grep", "-rl", pod, "/var/lib/cni/results"}).output, "");
}

TEST_F(JoinTest, NothingIsLeftOfPodsWithPorts) {
  Begin();
  RunPodWithPort("port");
  const Answer down = first_->Meltemi({"down", "--purge"});
  EXPECT_EQ(down.exit_code, 0) << down.output;
  ExpectNothingLeft(*first_);
}

}  // namespace
}  // namespace meltemi::cli
