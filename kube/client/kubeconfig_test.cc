#include "kube/client/kubeconfig.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace meltemi::kube {
namespace {

constexpr char kConfig[] = R"(
apiVersion: v1
kind: Config
current-context: here
contexts:
- name: here
  context: {cluster: local, user: admin, namespace: work}
- name: there
  context: {cluster: remote, user: robot}
- name: lost
  context: {cluster: nowhere, user: admin}
- name: cloud
  context: {cluster: local, user: plugin}
clusters:
- name: local
  cluster: {server: "https://127.0.0.1:6443", certificate-authority: ca.crt}
- name: remote
  cluster: {server: "https://api:443", insecure-skip-tls-verify: true, tls-server-name: kubernetes}
users:
- name: admin
  user: {client-certificate-data: Q0VSVA==, client-key: pki/key}
- name: robot
  user: {tokenFile: /var/token}
- name: plugin
  user: {exec: {command: aws}}
)";

class KubeconfigTest : public testing::Test {
 protected:
  KubeconfigTest() : folder_(testing::TempDir()) {
    Write("config", kConfig);
    Write("ca.crt", "CA");
    mkdir((folder_ + "/pki").c_str(), 0755);
    Write("pki/key", "KEY");
  }
  void Write(const std::string& name, const std::string& text) {
    std::ofstream(folder_ + "/" + name) << text;
  }
  std::string Why(const std::string& context) {
    const auto read = ReadKubeconfig(folder_ + "/config", context);
    return absl::StrReplaceAll(read.status().message(), {{folder_ + "/", ""}});
  }
  const std::string folder_;
};

TEST_F(KubeconfigTest, TheCurrentContextWithFilesBesideIt) {
  const auto access = ReadKubeconfig(folder_ + "/config");
  ASSERT_TRUE(access.ok()) << access.status();
  EXPECT_EQ(access->server, "https://127.0.0.1:6443");
  EXPECT_EQ(access->ca_pem, "CA");
  EXPECT_EQ(access->certificate_pem, "CERT");
  EXPECT_EQ(access->key_pem, "KEY");
  EXPECT_EQ(access->ns, "work");
  EXPECT_FALSE(access->insecure);
}

TEST_F(KubeconfigTest, AnotherContext) {
  const auto access = ReadKubeconfig(folder_ + "/config", "there");
  ASSERT_TRUE(access.ok()) << access.status();
  EXPECT_EQ(access->token_file, "/var/token");
  EXPECT_EQ(access->server_name, "kubernetes");
  EXPECT_TRUE(access->insecure);
  EXPECT_EQ(access->ns, "default");
}

TEST_F(KubeconfigTest, WhatIsMissingIsTold) {
  EXPECT_EQ(Why("nobody"), R"(config: contexts: there is none with the name "nobody")");
  EXPECT_EQ(Why("lost"), R"(config: clusters: there is none with the name "nowhere")");
  EXPECT_EQ(Why("cloud"), R"(config: users: "plugin" has exec, which is not supported)");
  Write("config", absl::StrReplaceAll(kConfig, {{"ca.crt", "no.crt"}}));
  EXPECT_EQ(Why(""), "config: certificate-authority: no.crt: can't be read");
  Write("config", absl::StrReplaceAll(kConfig, {{"Q0VSVA==", "abc$"}}));
  EXPECT_EQ(Why(""), "config: client-certificate-data is no base64");
  Write("config", absl::StrReplaceAll(kConfig, {{", client-key: pki/key", ""}}));
  EXPECT_EQ(Why(""), R"(config: users: "admin": a client-certificate needs a client-key)");
  Write("config", "[");
  EXPECT_TRUE(absl::StartsWith(Why(""), "config: line 1"));
  Write("config", "{}");
  EXPECT_EQ(Why(""), "config: no current-context is set");
}

TEST_F(KubeconfigTest, WithinAPod) {
  Write("token", "T");
  Write("namespace", "mine\n");
  const auto access = InCluster("10.96.0.1", "443", folder_);
  ASSERT_TRUE(access.ok()) << access.status();
  EXPECT_EQ(access->server, "https://10.96.0.1:443");
  EXPECT_EQ(access->token_file, folder_ + "/token");
  EXPECT_EQ(access->ca_pem, "CA");
  EXPECT_EQ(access->ns, "mine");
  EXPECT_EQ(InCluster("fd00::1", "443", folder_)->server, "https://[fd00::1]:443");
  EXPECT_FALSE(InCluster("", "", folder_).ok());
}

}  // namespace
}  // namespace meltemi::kube
