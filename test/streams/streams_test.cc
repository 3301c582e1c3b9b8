// What users do with a container that runs: both kubectls, the API server, the kubelet's server, a
// real containerd.

#include <chrono>
#include <future>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "test/kubectl/cluster.h"
#include "test/streams/node.h"

namespace meltemi::streams {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

class Streams : public testing::TestWithParam<size_t> {
 protected:
  static void SetUpTestSuite() {
    (void)programs();
    node() = std::make_unique<Node>();
  }
  static void TearDownTestSuite() { node().reset(); }
  void SetUp() override {
    if (!node()->why_not().empty()) GTEST_SKIP() << node()->why_not();
    program_ = programs()[GetParam()];
    if (!program_.why_not.empty()) GTEST_SKIP() << program_.why_not;
  }
  Answer Run(const std::string& line) const { return node()->Shell(program_.path, line); }
  std::string Out(const std::string& line) const {
    const Answer answer = Run(line);
    EXPECT_EQ(answer.exit_status, 0) << line << "\n" << answer.output;
    return answer.output;
  }

  static std::unique_ptr<Node>& node() {
    static auto& node = *new std::unique_ptr<Node>();
    return node;
  }
  static const std::vector<kubectl::Program>& programs() {
    static const auto& programs = *new std::vector<kubectl::Program>(kubectl::Programs());
    return programs;
  }
  kubectl::Program program_;
};

INSTANTIATE_TEST_SUITE_P(Kubectl, Streams, testing::Values(0, 1),
                         [](const testing::TestParamInfo<size_t>& info) {
                           return info.param == 0 ? "Installed" : "Debian";
                         });

TEST_P(Streams, InputThatEndsEndsTheCommand) {
  EXPECT_EQ(Out("echo hello | timeout 20 kubectl exec -i web -c main -- cat"), "hello\n");
  EXPECT_EQ(Out("timeout 20 kubectl exec -i web -c main -- wc -c </dev/null"), "0\n");
}

TEST_P(Streams, MuchInputAndOutput) {
  EXPECT_EQ(Out("head -c 20000000 /dev/urandom >big; timeout 40 kubectl exec -i web -c main -- cat "
                "<big >back; cmp big back && echo same"),
            "same\n");
}

TEST_P(Streams, CommandsTellHowTheyEnded) {
  const Answer seven = Run("timeout 20 kubectl exec web -c main -- sh -c 'echo bad >&2; exit 7'");
  EXPECT_EQ(seven.exit_status, 7);
  EXPECT_EQ(seven.output, "bad\ncommand terminated with exit code 7\n");
  EXPECT_EQ(Out("timeout 20 kubectl exec web -c main -- sh -c 'echo o; echo e >&2' 2>/dev/null"),
            "o\n");
  const Answer none = Run("timeout 20 kubectl exec web -c main -- no-such-program");
  EXPECT_NE(none.exit_status, 0);
  EXPECT_THAT(none.output, HasSubstr("exec: \"no-such-program\": executable file not found"));
}

TEST_P(Streams, WhatIsNotThere) {
  EXPECT_THAT(Run("timeout 20 kubectl exec web -c nope -- ls").output,
              HasSubstr("container nope is not valid for pod web"));
  EXPECT_THAT(Run("timeout 20 kubectl exec web -c done -- ls").output,
              HasSubstr("container not found (\"done\")"));
}

TEST_P(Streams, ATerminalHasASize) {
  const std::string out =
      Out("timeout 30 script -qec \"stty rows 33 cols 77; kubectl exec -it web -c main -- sh -c "
          "'for i in 1 2 3 4 5 6 7 8 9 10; do stty size; sleep 0.1; done; tty'\" /dev/null");
  EXPECT_THAT(out, HasSubstr("33 77\r\n"));
  EXPECT_THAT(out, HasSubstr("/dev/pts/"));
}

// Each goes on until what is expected has been heard; what says it then dies of its broken pipe.
TEST_P(Streams, AttachHearsWhatIsSaid) {
  EXPECT_THAT(Run("timeout 20 kubectl attach web -c main | grep -m 1 tick").output,
              HasSubstr("tick "));
  EXPECT_THAT(
      Run("(while echo you; do sleep 0.1; done) | timeout 20 kubectl attach -i web -c input "
          "2>/dev/null | grep -m 1 said")
          .output,
      HasSubstr("you said you\n"));
  EXPECT_THAT(Run("(while echo 'echo $((6*7))'; do sleep 0.1; done) | timeout 10 script -qec "
                  "'kubectl attach -it web -c terminal' /dev/null | grep -m 1 '^42'")
                  .output,
              HasSubstr("42"));
}

TEST_P(Streams, FilesAreCopiedBothWays) {
  EXPECT_EQ(
      Out("mkdir -p up; rm -rf up/* down; head -c 3000000 /dev/urandom >up/a; echo b >up/b;"
          "timeout 30 kubectl cp up web:/tmp/up -c main && "
          "timeout 30 kubectl cp web:/tmp/up down -c main 2>/dev/null >/dev/null && "
          "diff -r up down && timeout 20 kubectl exec web -c main -- rm -r /tmp/up; echo done"),
      "done\n");
}

TEST_P(Streams, PortsAreForwarded) {
  const std::string out = Out(
      "timeout 20 kubectl exec web -c main -- sh -c "
      "'echo page >/www/index.html; head -c 2000000 /dev/urandom >/www/big'\n"
      "timeout 20 kubectl exec web -c main -- cat /www/big >big\n"
      "timeout 40 kubectl port-forward pod/web :8080 >forward.log 2>&1 & forward=$!\n"
      "for i in $(seq 100); do grep -q Forwarding forward.log && break; sleep 0.1; done\n"
      "port=$(sed -n 's/.*127.0.0.1:\\([0-9]*\\) .*/\\1/p' forward.log)\n"
      "for i in $(seq 40); do curl -s -m 20 http://127.0.0.1:$port/big | cmp - big && echo ok & "
      "pids=\"$pids $!\"; done; wait $pids\n"
      "curl -s -m 20 http://127.0.0.1:$port/; kill $forward\n");
  std::string expected;
  for (int i = 0; i < 40; ++i) expected += "ok\n";
  EXPECT_EQ(out, expected + "page\n");
  // Nobody listens there.
  EXPECT_THAT(
      Out("timeout 40 kubectl port-forward pod/web :9 >forward.log 2>&1 & forward=$!\n"
          "for i in $(seq 100); do grep -q Forwarding forward.log && break; sleep 0.1; done\n"
          "port=$(sed -n 's/.*127.0.0.1:\\([0-9]*\\) .*/\\1/p' forward.log)\n"
          "curl -s -m 20 http://127.0.0.1:$port/\n"
          "for i in $(seq 100); do grep -q occurred forward.log && break; sleep 0.1; done; "
          "kill $forward; cat forward.log"),
      HasSubstr("an error occurred forwarding"));
}

TEST_P(Streams, LogsAndTheirOptions) {
  EXPECT_EQ(Out("timeout 20 kubectl logs web -c done | sort"), "first\nsecond\nthird\n");
  EXPECT_EQ(Out("timeout 20 kubectl logs web -c done --tail=1 | wc -l"), "1\n");
  EXPECT_EQ(Out("timeout 20 kubectl logs web -c done --limit-bytes=3 | wc -c"), "3\n");
  EXPECT_THAT(Out("timeout 20 kubectl logs web -c main --timestamps --tail=1"), StartsWith("20"));
  EXPECT_EQ(Out("timeout 20 kubectl logs web -c done --since=1s"), "");
  EXPECT_THAT(Out("timeout 20 kubectl logs web -c main --since=1h"), StartsWith("tick 0\n"));
  EXPECT_EQ(Run("timeout 20 kubectl logs web -c main --previous").output,
            "Error from server (BadRequest): previous terminated container \"main\" in pod \"web\" "
            "not found\n");
}

// Dashboards, and Kubernetes' conformance tests.
TEST_P(Streams, OtherClientsSpeakOlderWebSockets) {
  if (GetParam() > 0) GTEST_SKIP() << "there is no kubectl in it";
  if (Run("command -v python3").exit_status != 0) GTEST_SKIP() << "needs python3";
  const std::string client = node()->tool("websocket.py");
  const std::string pod = "/api/v1/namespaces/default/pods/web";
  for (const char* const protocol : {"channel.k8s.io", "v4.channel.k8s.io", "v5.channel.k8s.io"}) {
    EXPECT_THAT(Out(absl::StrCat("timeout 20 ", client, " '", pod,
                                 "/exec?container=main&stdout=1&stderr=1&command=echo&command=hi' ",
                                 protocol)),
                HasSubstr("1:hi\n"))
        << protocol;
  }
  EXPECT_THAT(
      Out(absl::StrCat("timeout 20 ", client, " '", pod, "/log?container=done' binary.k8s.io")),
      HasSubstr("first\nsecond\n"));
}

TEST_P(Streams, LogsAreFollowedUntilTheContainerEnds) {
  const std::string name = absl::StrCat("ending-", GetParam());
  EXPECT_THAT(Run("timeout 3 kubectl logs -f web -c main --tail=1 | head -n 4 | wc -l").output,
              HasSubstr("4\n"));
  const std::string out = absl::StrCat(node()->folder(), "/", name, ".out");
  std::future<Answer> followed = std::async(std::launch::async, [&] {
    return Run(absl::StrCat("timeout 40 kubectl logs -f web -c ", name, " >", out, " 2>&1"));
  });
  EXPECT_TRUE(machine::Eventually([&] { return machine::ReadFile(out) == "it begins\n"; },
                                  std::chrono::seconds(20)));
  node()->Kill(name);
  EXPECT_EQ(followed.get().exit_status, 0);
  EXPECT_EQ(machine::ReadFile(out), "it begins\n");
}

}  // namespace
}  // namespace meltemi::streams
