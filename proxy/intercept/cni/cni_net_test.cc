// The plugin as a runtime starts it, on a network namespace of its own. Needs root.
#include <gtest/gtest.h>
#include <unistd.h>

#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "proxy/intercept/process.h"

namespace meltemi::proxy {
namespace {

constexpr char kPrevious[] = R"({"cniVersion":"1.0.0","ips":[{"address":"10.77.1.2/24"}]})";

class CniNetTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root";
    name_ = absl::StrCat("meltemi-cni-", getpid());
    ASSERT_TRUE(Shell("ip netns add " + name_));
  }
  void TearDown() override {
    if (!name_.empty()) Shell("ip netns del " + name_);
  }

  bool Shell(const std::string& command) {
    const auto result = RunProcess(absl::StrSplit(command, ' '), "");
    return result.ok() && result->exit_code == 0;
  }
  // The rules of the namespace, without the counters' and times' comments.
  std::string Rules() {
    const auto result = RunProcess({"ip", "netns", "exec", name_, "iptables-save"}, "");
    EXPECT_TRUE(result.ok()) << result.status();
    std::string rules;
    for (absl::string_view line : absl::StrSplit(result->out, '\n')) {
      if (absl::StartsWith(line, "-")) absl::StrAppend(&rules, line, "\n");
    }
    return rules;
  }
  ProcessResult Plugin(const std::string& command, const std::string& annotations) {
    const std::string config =
        absl::StrCat(R"({"cniVersion":"1.0.0","name":"n","type":"meltemi-cni","runtimeConfig":)",
                     R"({"io.kubernetes.cri.pod-annotations":)", annotations, R"(},"prevResult":)",
                     kPrevious, "}");
    auto result = RunProcess(
        {"/usr/bin/env", "CNI_COMMAND=" + command, "CNI_CONTAINERID=c", "CNI_IFNAME=eth0",
         "CNI_NETNS=/run/netns/" + name_, "proxy/intercept/cni/meltemi-cni"},
        config);
    EXPECT_TRUE(result.ok()) << result.status();
    return result.ok() ? *std::move(result) : ProcessResult();
  }

  const std::string injected_ =
      R"({"sidecar.istio.io/status":"{}","sidecar.istio.io/interceptionMode":"REDIRECT",)"
      R"("traffic.sidecar.istio.io/excludeInboundPorts":"15020,2222"})";
  std::string name_;
};

TEST_F(CniNetTest, AnInjectedPodIsRedirectedOnceHoweverOftenItIsAdded) {
  const ProcessResult added = Plugin("ADD", injected_);
  EXPECT_EQ(added.exit_code, 0) << added.out << added.err;
  EXPECT_EQ(added.out, absl::StrCat(kPrevious, "\n"));
  const std::string rules = Rules();
  EXPECT_TRUE(absl::StrContains(rules, "-j REDIRECT --to-ports 15006")) << rules;
  EXPECT_TRUE(absl::StrContains(rules, "--dport 2222 -j RETURN")) << rules;
  EXPECT_TRUE(absl::StrContains(rules, "--uid-owner 1337 -j RETURN")) << rules;
  EXPECT_EQ(Plugin("CHECK", injected_).exit_code, 0);
  EXPECT_EQ(Plugin("ADD", injected_).exit_code, 0);
  EXPECT_EQ(Rules(), rules);
  EXPECT_EQ(Plugin("DEL", injected_).exit_code, 0);
}

TEST_F(CniNetTest, OthersStayAsTheyAre) {
  EXPECT_EQ(Plugin("ADD", "{}").exit_code, 0);
  EXPECT_EQ(Rules(), "");
  const ProcessResult checked = Plugin("CHECK", injected_);
  EXPECT_EQ(checked.exit_code, 1);
  EXPECT_TRUE(absl::StrContains(checked.out, R"("code":101)")) << checked.out;
}

TEST_F(CniNetTest, ANamespaceThatIsGoneIsAnErrorInCnisForm) {
  const std::string name = std::exchange(name_, "meltemi-cni-nowhere");
  const ProcessResult result = Plugin("ADD", injected_);
  name_ = name;
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_TRUE(absl::StrContains(result.out, R"("code":100)")) << result.out;
}

}  // namespace
}  // namespace meltemi::proxy
