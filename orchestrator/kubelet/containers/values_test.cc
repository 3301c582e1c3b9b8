// The pure parts: expansion, resolv.conf, credentials, security, hosts file, last words.
#include <filesystem>
#include <fstream>
#include <map>
#include <string>

#include "absl/strings/str_cat.h"
#include "cri/runtime/v1/container.pb.h"
#include "cri/runtime/v1/sandbox.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kube/codec/codec.h"
#include "kube/core/v1/pod.pb.h"
#include "orchestrator/kubelet/containers/configs.h"
#include "orchestrator/kubelet/containers/dns_config.h"
#include "orchestrator/kubelet/containers/expansion.h"
#include "orchestrator/kubelet/containers/last_words.h"
#include "orchestrator/kubelet/containers/mounts.h"
#include "orchestrator/kubelet/containers/pull_auths.h"
#include "orchestrator/kubelet/containers/security.h"

namespace meltemi::kubelet {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

kube::core::v1::Pod PodOf(const std::string& spec) {
  kube::core::v1::Pod out;
  EXPECT_TRUE(
      kube::FromJson(
          R"({"metadata":{"name":"web","namespace":"shop","uid":"u1"},"spec":)" + spec + "}", &out)
          .ok());
  return out;
}

kube::core::v1::Pod OneContainer(const std::string& container) {
  return PodOf(R"({"containers":[)" + container + "]}");
}

TEST(Expansion, KnownNamesAreReplacedAndDollarsEscaped) {
  const std::map<std::string, std::string> values = {{"A", "1"}, {"B", "$(A)"}};
  const auto expand = [&](const char* text) {
    return Expand(text, [&](const std::string& name) -> std::optional<std::string> {
      const auto it = values.find(name);
      return it == values.end() ? std::nullopt : std::make_optional(it->second);
    });
  };
  EXPECT_EQ(expand("x$(A)y"), "x1y");
  EXPECT_EQ(expand("$(B)"), "$(A)");
  EXPECT_EQ(expand("$(NOPE)"), "$(NOPE)");
  EXPECT_EQ(expand("$$(A) $A ${A} $(A $"), "$(A) $A ${A} $(A $");
  EXPECT_EQ(expand("$$$(A)"), "$1");
}

TEST(Dns, ClusterFirstAsksTheClusterAndSearchesItsNamespace) {
  const auto node =
      ParseResolvConf("nameserver 9.9.9.9\nsearch corp.example lan.\noptions ndots:1");
  const auto config =
      DnsConfigOf(PodOf(R"({"dnsPolicy":"ClusterFirst"})"), {"10.96.0.10"}, "cluster.local", node);
  EXPECT_THAT(config.servers(), ElementsAre("10.96.0.10"));
  EXPECT_THAT(config.searches(), ElementsAre("shop.svc.cluster.local", "svc.cluster.local",
                                             "cluster.local", "corp.example", "lan"));
  EXPECT_THAT(config.options(), ElementsAre("ndots:5"));
}

TEST(Dns, PoliciesSayWhomToAsk) {
  const auto node = ParseResolvConf("# local\nnameserver 9.9.9.9\nsearch a\nsearch b .\n");
  const auto of = [&](const std::string& spec) {
    return DnsConfigOf(PodOf(spec), {"10.96.0.10"}, "cluster.local", node);
  };
  EXPECT_THAT(of(R"({"dnsPolicy":"Default"})").servers(), ElementsAre("9.9.9.9"));
  EXPECT_THAT(of(R"({"dnsPolicy":"Default"})").searches(), ElementsAre("b"));
  EXPECT_THAT(of(R"({"dnsPolicy":"ClusterFirst","hostNetwork":true})").servers(),
              ElementsAre("9.9.9.9"));
  EXPECT_THAT(of(R"({"dnsPolicy":"ClusterFirstWithHostNet","hostNetwork":true})").servers(),
              ElementsAre("10.96.0.10"));
  const auto none = of(
      R"({"dnsPolicy":"None","dnsConfig":{"nameservers":["1.1.1.1"],"searches":["x"],
          "options":[{"name":"ndots","value":"2"},{"name":"edns0"}]}})");
  EXPECT_THAT(none.servers(), ElementsAre("1.1.1.1"));
  EXPECT_THAT(none.searches(), ElementsAre("x"));
  EXPECT_THAT(none.options(), ElementsAre("ndots:2", "edns0"));
}

TEST(Dns, WhatTheResolverCannotTakeIsCut) {
  std::string lists = R"({"dnsPolicy":"None","dnsConfig":{"nameservers":["1","2","3","4"],)"
                      R"("searches":[")" +
                      std::string(254, 'a') + R"(")";
  for (int i = 0; i < 40; ++i) absl::StrAppend(&lists, ",\"", i, std::string(40, 'x'), "\"");
  const auto config = DnsConfigOf(PodOf(lists + "]}}"), {}, "", {});
  EXPECT_THAT(config.servers(), SizeIs(3));
  EXPECT_THAT(config.searches(), SizeIs(32));
  EXPECT_EQ(config.searches(0)[0], '0');
}

TEST(PullAuths, TheRegistrysCredentialsAreFound) {
  const std::string config = R"({"auths":{
    "https://index.docker.io/v1/":{"auth":"YW5uYTpzZWNyZXQ="},
    "registry.example:5000":{"username":"bert","password":"pw"},
    "registry.example:5000/team":{"username":"team","password":"pw"},
    "*.ghcr.io":{"registrytoken":"t"}}})";
  const auto hub = PullAuthsOf(config, false, "nginx:1.25");
  ASSERT_THAT(hub, SizeIs(1));
  EXPECT_EQ(hub[0].username, "anna");
  EXPECT_EQ(hub[0].password, "secret");
  const auto team = PullAuthsOf(config, false, "registry.example:5000/team/app");
  ASSERT_THAT(team, SizeIs(2));
  EXPECT_EQ(team[0].username, "team");
  EXPECT_THAT(PullAuthsOf(config, false, "registry.example:5001/app"), IsEmpty());
  EXPECT_THAT(PullAuthsOf(config, false, "eu.ghcr.io/app"), SizeIs(1));
  EXPECT_THAT(PullAuthsOf(config, false, "a.eu.ghcr.io/app"), IsEmpty());
  EXPECT_THAT(PullAuthsOf(R"({"docker.io":{"username":"a"}})", true, "nginx"), SizeIs(1));
  EXPECT_THAT(PullAuthsOf("no json", false, "nginx"), IsEmpty());
}

TEST(Security, NonRootIsCheckedInKubernetesWords) {
  const auto check = [](const std::string& context, const ImageUser& user) {
    const auto pod = OneContainer(R"({"name":"app","securityContext":)" + context + "}");
    return CheckNonRoot(pod, pod.spec().containers(0), user);
  };
  const std::string where = R"j( (pod: "web_shop(u1)", container: app))j";
  EXPECT_EQ(check("{}", {.uid = 0}), "");
  EXPECT_EQ(check(R"({"runAsNonRoot":true})", {.uid = 0}),
            "container has runAsNonRoot and image will run as root" + where);
  EXPECT_EQ(check(R"({"runAsNonRoot":true})", {.name = "www"}),
            "container has runAsNonRoot and image has non-numeric user (www), cannot verify user "
            "is non-root" +
                where);
  EXPECT_EQ(check(R"({"runAsNonRoot":true,"runAsUser":0})", {.uid = 5}),
            "container's runAsUser breaks non-root policy" + where);
  EXPECT_EQ(check(R"({"runAsNonRoot":true,"runAsUser":7})", {.uid = 0}), "");
  EXPECT_EQ(check(R"({"runAsNonRoot":true})", {.uid = 7}), "");
}

TEST(Security, TheContainersWordCountsBeforeThePods) {
  const auto pod = PodOf(R"({"shareProcessNamespace":true,"hostNetwork":true,
    "securityContext":{"runAsUser":1,"runAsGroup":2,"fsGroup":3,"supplementalGroups":[4],
                       "seccompProfile":{"type":"RuntimeDefault"}},
    "containers":[{"name":"app","securityContext":{"runAsUser":9,"allowPrivilegeEscalation":false,
      "readOnlyRootFilesystem":true,"capabilities":{"add":["NET_ADMIN"],"drop":["ALL"]}}}]})");
  cri::LinuxContainerSecurityContext out;
  std::string error;
  ASSERT_TRUE(ContainerSecurity(pod, pod.spec().containers(0), {}, "/seccomp", &out, &error));
  EXPECT_EQ(out.run_as_user().value(), 9);
  EXPECT_EQ(out.run_as_group().value(), 2);
  EXPECT_THAT(out.supplemental_groups(), ElementsAre(3, 4));
  EXPECT_TRUE(out.no_new_privs());
  EXPECT_TRUE(out.readonly_rootfs());
  EXPECT_THAT(out.capabilities().drop_capabilities(), ElementsAre("ALL"));
  EXPECT_EQ(out.seccomp().profile_type(), cri::SecurityProfile::RuntimeDefault);
  EXPECT_EQ(out.namespace_options().pid(), cri::POD);
  EXPECT_EQ(out.namespace_options().network(), cri::NODE);
  EXPECT_THAT(out.masked_paths(), testing::Contains("/proc/kcore"));

  const auto plain = OneContainer(R"({"name":"app"})");
  cri::LinuxContainerSecurityContext defaults;
  ASSERT_TRUE(
      ContainerSecurity(plain, plain.spec().containers(0), {.uid = 5}, "", &defaults, &error));
  EXPECT_EQ(defaults.run_as_user().value(), 5);
  EXPECT_EQ(defaults.seccomp().profile_type(), cri::SecurityProfile::Unconfined);
  EXPECT_EQ(defaults.namespace_options().pid(), cri::CONTAINER);
  EXPECT_FALSE(defaults.no_new_privs());
}

TEST(Security, ResourcesAreTheKernelsNumbers) {
  const auto of = [](const std::string& resources) {
    const auto pod = OneContainer(R"({"name":"app","resources":)" + resources + "}");
    return ContainerResources(pod, pod.spec().containers(0), 1000 << 20, {"2MB"});
  };
  const auto best = of("{}");
  EXPECT_EQ(best.cpu_shares(), 2);
  EXPECT_EQ(best.oom_score_adj(), 1000);
  EXPECT_EQ(best.hugepage_limits(0).limit(), 0u);
  const auto burst = of(R"({"requests":{"cpu":"250m","memory":"100Mi"},"limits":{"cpu":"1"}})");
  EXPECT_EQ(burst.cpu_shares(), 256);
  EXPECT_EQ(burst.cpu_quota(), 100'000);
  EXPECT_EQ(burst.oom_score_adj(), 900);
  const auto same = R"({"cpu":"1","memory":"100Mi","hugepages-2Mi":"4Mi"})";
  const auto all = of(absl::StrCat(R"({"requests":)", same, R"(,"limits":)", same, "}"));
  EXPECT_EQ(all.memory_limit_in_bytes(), 100 << 20);
  EXPECT_EQ(all.oom_score_adj(), -997);
  EXPECT_EQ(all.hugepage_limits(0).limit(), 4u << 20);
}

TEST(HostsFile, NamesThePodAndItsAliases) {
  const auto pod = PodOf(R"({"hostAliases":[{"ip":"1.2.3.4","hostnames":["a","b"]}]})");
  const std::string text =
      HostsFileText(pod, "", "web", "sub.shop.svc.cluster.local", {"10.0.0.2"});
  EXPECT_THAT(text, HasSubstr("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n"));
  EXPECT_THAT(text, HasSubstr("10.0.0.2\tweb.sub.shop.svc.cluster.local\tweb\n"));
  EXPECT_THAT(text, HasSubstr("\n# Entries added by HostAliases.\n1.2.3.4\ta\tb\n"));
  EXPECT_EQ(HostsFileText(PodOf(R"({"hostNetwork":true})"), "127.0.0.1 here\n", "", "", {}),
            "# Kubernetes-managed hosts file (host network).\n127.0.0.1 here\n");
}

TEST(LastWords, LogsLoseTheirHeads) {
  EXPECT_EQ(LogText("2024-01-01T00:00:00Z stdout F hello world\n"
                    "2024-01-01T00:00:00Z stderr P half \n"
                    "2024-01-01T00:00:00Z stderr F line\n"
                    "2024-01-01T00:00:00Z stdout F \n"
                    "broken"),
            "hello world\nhalf line\n\n");
}

TEST(LastWords, OnlyTheEndIsRead) {
  const std::string path = absl::StrCat(testing::TempDir(), "/end.log");
  std::ofstream log(path);
  for (int i = 0; i < 1000; ++i) log << "2024-01-01T00:00:00Z stdout F " << i << "\n";
  log.close();
  const std::string end = ReadLogEnd(path);
  EXPECT_EQ(end.substr(0, 4), "920\n");
  EXPECT_EQ(end.substr(end.size() - 4), "999\n");
  std::ofstream(path) << "t stdout F " << std::string(10'000, 'x') << "\n";
  EXPECT_EQ(ReadLogEnd(path).size(), 2048u);
  std::ofstream(path) << std::string(5000, 'm');
  EXPECT_EQ(ReadTerminationFile(path).size(), 4096u);
  EXPECT_EQ(ReadTerminationFile("/nowhere"), "");
  EXPECT_EQ(ReadTerminationFile(testing::TempDir()), "");
}

TEST(States, ComeBackFromLabels) {
  cri::Container listed;
  PodState pod;
  ContainerState state;
  EXPECT_FALSE(FromContainer(listed, &pod, &state));
  auto& labels = *listed.mutable_labels();
  labels["io.kubernetes.pod.uid"] = "u1";
  labels["io.kubernetes.pod.name"] = "web";
  labels["io.kubernetes.pod.namespace"] = "shop";
  labels["io.kubernetes.container.name"] = "app";
  (*listed.mutable_annotations())["io.kubernetes.container.hash"] = "ff";
  listed.set_id("c1");
  listed.set_pod_sandbox_id("s1");
  listed.mutable_metadata()->set_attempt(3);
  listed.set_state(cri::CONTAINER_EXITED);
  ASSERT_TRUE(FromContainer(listed, &pod, &state));
  EXPECT_EQ(pod.uid + pod.ns + pod.name, "u1shopweb");
  EXPECT_EQ(state.attempt, 3u);
  EXPECT_EQ(state.spec_hash, 255u);
  EXPECT_EQ(state.phase, ContainerState::Phase::kExited);
  cri::ContainerStatus status;
  status.set_state(cri::CONTAINER_EXITED);
  status.set_exit_code(137);
  status.set_reason("OOMKilled");
  status.set_finished_at(5'000'000'000);
  AddStatus(status, &state);
  EXPECT_EQ(state.reason, "OOMKilled");
  EXPECT_EQ(state.finished_at, WallTime(seconds(5)));
}

TEST(States, TheHashIsOfNameAndImage) {
  const auto hash = [](const char* json) {
    kube::core::v1::Container container;
    EXPECT_TRUE(kube::FromJson(json, &container).ok());
    return SpecHash(container);
  };
  EXPECT_EQ(hash(R"({"name":"a","image":"b"})"), hash(R"({"name":"a","image":"b","args":["x"]})"));
  EXPECT_NE(hash(R"({"name":"a","image":"b"})"), hash(R"({"name":"a","image":"c"})"));
  EXPECT_NE(hash(R"({"name":"ab","image":"c"})"), hash(R"({"name":"a","image":"bc"})"));
}

}  // namespace
}  // namespace meltemi::kubelet
