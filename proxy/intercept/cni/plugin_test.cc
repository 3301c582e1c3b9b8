// What a runtime says, and what it is told; the rules themselves are proxy/intercept's.
#include "proxy/intercept/cni/plugin.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/json/parse.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace meltemi::proxy {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

constexpr char kPrevious[] =
    R"({"cniVersion":"1.0.0","interfaces":[{"name":"eth0"}],"ips":[{"address":"10.1.0.2/24"}]})";
constexpr char kInjected[] =
    R"({"sidecar.istio.io/status":"{}","sidecar.istio.io/interceptionMode":"REDIRECT",)"
    R"("traffic.sidecar.istio.io/excludeInboundPorts":"15020,22",)"
    R"("traffic.sidecar.istio.io/excludeOutboundIPRanges":"10.9.0.0/16",)"
    R"("proxy.meltemi.dev/uid":"4711"})";

std::string Config(const std::string& annotations, const std::string& version = "1.0.0") {
  return absl::StrCat(R"({"cniVersion":")", version, R"(","name":"n","type":"meltemi-cni",)",
                      R"("runtimeConfig":{"io.kubernetes.cri.pod-annotations":)", annotations, "},",
                      R"("prevResult":)", kPrevious, "}");
}

class PluginTest : public testing::Test {
 protected:
  CniAnswer Run(const std::string& command, const std::string& config) {
    return RunCni({command, "container", "/run/netns/a", "eth0", config},
                  [this](const std::string& netns,
                         const InterceptCommand& intercept) -> absl::StatusOr<std::string> {
                    EXPECT_EQ(netns, "/run/netns/a");
                    calls_.push_back(intercept);
                    if (!failure_.ok()) return failure_;
                    return rules_;
                  });
  }

  std::vector<InterceptCommand> calls_;
  std::string rules_;
  absl::Status failure_;
};

TEST_F(PluginTest, RedirectsAnInjectedPod) {
  const CniAnswer answer = Run("ADD", Config(kInjected));
  EXPECT_EQ(answer.exit_code, 0);
  EXPECT_EQ(answer.out, absl::StrCat(kPrevious, "\n"));
  ASSERT_EQ(calls_.size(), 1u);
  EXPECT_EQ(calls_[0].verb, InterceptCommand::Verb::kApply);
  EXPECT_EQ(calls_[0].options.exclude_inbound_ports, "15020,22");
  EXPECT_EQ(calls_[0].options.exclude_outbound_ips, "10.9.0.0/16");
  EXPECT_EQ(calls_[0].options.include_outbound_ips, "*");
  EXPECT_EQ(calls_[0].options.proxy_uids, "4711");
}

TEST_F(PluginTest, LeavesOthersAlone) {
  for (const char* annotations : {"{}", "null", R"({"sidecar.istio.io/status":"{}"})",
                                  R"({"sidecar.istio.io/interceptionMode":"REDIRECT"})"}) {
    const CniAnswer answer = Run("ADD", Config(annotations, "0.3.1"));
    EXPECT_EQ(answer.exit_code, 0);
    EXPECT_THAT(answer.out, HasSubstr(R"("cniVersion":"0.3.1")"));
    EXPECT_EQ(Run("CHECK", Config(annotations)).exit_code, 0);
  }
  EXPECT_THAT(calls_, IsEmpty());
}

TEST_F(PluginTest, CheckLooksForTheRules) {
  rules_ = "-A OUTPUT -j ISTIO_OUTPUT";
  EXPECT_EQ(Run("CHECK", Config(kInjected)).exit_code, 0);
  rules_ = "";
  const CniAnswer answer = Run("CHECK", Config(kInjected));
  EXPECT_EQ(answer.exit_code, 1);
  EXPECT_THAT(answer.out, HasSubstr(R"("code":101)"));
}

TEST_F(PluginTest, DeletingNeedsNothing) {
  const CniAnswer answer = Run("DEL", R"({"cniVersion":"0.4.0","name":"n","type":"meltemi-cni"})");
  EXPECT_EQ(answer.exit_code, 0);
  EXPECT_EQ(answer.out, "");
  EXPECT_THAT(calls_, IsEmpty());
}

TEST_F(PluginTest, SaysWhatItUnderstands) {
  EXPECT_EQ(Run("VERSION", "").out,
            R"({"cniVersion":"1.0.0","supportedVersions":["0.3.0","0.3.1","0.4.0","1.0.0"]})"
            "\n");
}

TEST_F(PluginTest, ErrorsAreInCnisForm) {
  struct Row {
    std::string command, config, code, message;
  };
  const Row rows[] = {
      {"", "", R"("code":4)", "CNI_COMMAND is"},
      {"ADD", "garbage", R"("code":6)", "no JSON"},
      {"ADD", R"({"cniVersion":"9.0.0"})", R"("code":1)", "is none of"},
      {"ADD", R"({"cniVersion":"1.0.0"})", R"("code":7)", "prevResult"},
      {"ADD", R"({"cniVersion":"1.0.0","prevResult":{}})", R"("code":7)", "no pod annotations"},
      {"ADD",
       Config(R"({"sidecar.istio.io/status":"","sidecar.istio.io/interceptionMode":"REDIRECT",)"
              R"("traffic.sidecar.istio.io/excludeOutboundPorts":"ssh"})"),
       R"("code":7)", "ssh"},
  };
  for (const Row& row : rows) {
    const CniAnswer answer = Run(row.command, row.config);
    EXPECT_EQ(answer.exit_code, 1);
    ASSERT_TRUE(json::Parse(answer.out).ok()) << answer.out;
    EXPECT_THAT(answer.out, HasSubstr(row.code));
    EXPECT_THAT(answer.out, HasSubstr(row.message));
  }
  failure_ = absl::NotFoundError("iptables-save was not found");
  const CniAnswer answer = Run("ADD", Config(kInjected));
  EXPECT_EQ(answer.exit_code, 1);
  EXPECT_THAT(answer.out, HasSubstr(R"("code":100)"));
  EXPECT_THAT(answer.out, HasSubstr("iptables-save was not found"));
}

}  // namespace
}  // namespace meltemi::proxy
