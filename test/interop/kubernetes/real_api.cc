#include "test/interop/kubernetes/real_api.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <filesystem>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/json/parse.h"
#include "base/tls/certificate.h"
#include "kube/client/http_client.h"
#include "kube/client/kubeconfig.h"
#include "test/interop/clients/fetch.h"

namespace meltemi::interop {
namespace {

constexpr char kToken[] = "an-administrator-of-this-test";

// What the mesh asks, in short.
constexpr char kAuditPolicy[] = R"(apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  userGroups: ["system:serviceaccounts:istio-system"]
- level: None
)";

int FreePort() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(address);
  EXPECT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), length), 0);
  getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length);
  close(fd);
  return ntohs(address.sin_port);
}

}  // namespace

absl::StatusOr<std::unique_ptr<RealApi>> RealApi::Start() {
  auto api = std::make_unique<RealApi>();
  std::string why;
  api->program_ = Fetch("apiserver", &why, "test/interop/kubernetes/fetch.sh");
  if (api->program_.empty()) return absl::NotFoundError(why);
  std::string folder = absl::StrCat(testing::TempDir(), "/kube-XXXXXX");
  if (mkdtemp(folder.data()) == nullptr) return absl::InternalError("no folder");
  api->folder_ = folder;
  std::filesystem::create_directory(folder + "/etcd");
  auto etcd = store::EtcdProcess::Start({.folder = folder + "/etcd"});
  if (!etcd.ok()) return etcd.status();
  api->etcd_ = *std::move(etcd);
  api->port_ = FreePort();
  api->kubeconfig_ = folder + "/kubeconfig";
  if (absl::Status status = api->MakeFiles(); !status.ok()) return status;
  if (absl::Status status = api->StartAgain(); !status.ok()) return status;
  // Nobody else makes accounts here; the namespace is there a moment after the server.
  const bool made = machine::Eventually(
      [&] {
        return api->Kubectl({"create", "serviceaccount", "default"}).exit_status == 0;
      },
      std::chrono::seconds(30));
  if (!made) return absl::InternalError("the namespace default has not come");
  return api;
}

absl::Status RealApi::MakeFiles() {
  const machine::Finished key =
      machine::RunToEnd({.argv = {"openssl", "genrsa", "-out", folder_ + "/sa.key", "2048"}},
                        std::chrono::seconds(60));
  if (key.exit_status != 0) return absl::InternalError(key.output);
  machine::WriteFile(folder_ + "/tokens.csv",
                     absl::StrCat(kToken, ",administrator,1,\"system:masters\"\n"));
  machine::WriteFile(folder_ + "/audit.yaml", kAuditPolicy);
  ChangeAuthority();
  return absl::OkStatus();
}

void RealApi::ChangeAuthority() {
  const int64_t now = time(nullptr);
  const auto ca = tls::NewCertificate({.common_name = "an authority",
                                       .is_ca = true,
                                       .not_before_s = now - 60,
                                       .not_after_s = now + 86400},
                                      {});
  ASSERT_TRUE(ca.ok()) << ca.status();
  const auto serving = tls::NewCertificate({.common_name = "kube-apiserver",
                                            .ip_addresses = {"127.0.0.1"},
                                            .server_auth = true,
                                            .not_before_s = now - 60,
                                            .not_after_s = now + 86400},
                                           *ca);
  ASSERT_TRUE(serving.ok()) << serving.status();
  machine::WriteFile(folder_ + "/server.crt", serving->certificate_chain_pem);
  machine::WriteFile(folder_ + "/server.key", serving->private_key_pem);
  ca_pem_ = ca->certificate_chain_pem;
  WriteKubeconfig(kubeconfig_, kToken, port_);
}

void RealApi::WriteKubeconfig(const std::string& path, absl::string_view token, int port) const {
  machine::WriteFile(
      path, absl::StrCat("{apiVersion: v1, kind: Config, current-context: c, clusters: [{name: c, ",
                         "cluster: {server: 'https://127.0.0.1:", port,
                         "', certificate-authority-data: ", absl::Base64Escape(ca_pem_),
                         "}}], users: [{name: u, user: {token: ", token,
                         "}}], contexts: [{name: c, context: {cluster: c, user: u}}]}\n"));
}

std::string RealApi::KubeconfigOf(const std::string& ns, const std::string& account) const {
  const std::string path = absl::StrCat(folder_, "/", account, ".kubeconfig");
  const std::string token =
      Does(absl::StrCat("create token ", account, " --namespace=", ns, " --duration=1h"));
  WriteKubeconfig(path, token, port_);
  return path;
}

RealApi::~RealApi() {
  process_.Kill();
  etcd_ = nullptr;
  std::error_code ignored;
  if (!folder_.empty()) std::filesystem::remove_all(folder_, ignored);
}

absl::Status RealApi::StartAgain(bool elsewhere) {
  const int port = elsewhere ? FreePort() : port_;
  WriteKubeconfig(kubeconfig_, kToken, port);
  auto process = machine::Process::Start(
      {.argv = {program_, "--etcd-servers=" + etcd_->endpoint(), "--bind-address=127.0.0.1",
                // It has no pods' network: webhooks are called at their Service's endpoints.
                "--advertise-address=198.51.100.10", "--enable-aggregator-routing=true",
                absl::StrCat("--secure-port=", port), "--tls-cert-file=" + folder_ + "/server.crt",
                "--tls-private-key-file=" + folder_ + "/server.key",
                "--service-cluster-ip-range=10.96.0.0/16",
                "--service-account-issuer=https://kubernetes.default.svc",
                "--service-account-signing-key-file=" + folder_ + "/sa.key",
                "--service-account-key-file=" + folder_ + "/sa.key",
                "--token-auth-file=" + folder_ + "/tokens.csv", "--authorization-mode=RBAC",
                "--audit-policy-file=" + folder_ + "/audit.yaml",
                "--audit-log-path=" + folder_ + "/audit.log", "--profiling=false"},
       .output_path = folder_ + "/apiserver.log"});
  if (!process.ok()) return process.status();
  process_ = *std::move(process);
  const std::unique_ptr<kube::Client> client = NewClient();
  const bool ready = machine::Eventually(
      [&] {
        return !process_.running() || client->Call({.path = "/readyz", .timeout = seconds(2)}).ok();
      },
      std::chrono::seconds(120));
  if (!ready || !process_.running()) {
    const std::string log = process_.Output();
    return absl::InternalError(
        absl::StrCat("kube-apiserver is not ready: ",
                     log.substr(log.size() - std::min<size_t>(log.size(), 2000))));
  }
  return absl::OkStatus();
}

void RealApi::Stop() { process_.Kill(); }

absl::Status RealApi::Compact() {
  const auto ask = [this](absl::string_view path, const std::string& body) {
    return machine::RunToEnd({.argv = {"curl", "-sS", "-m", "10", "-d", body,
                                       absl::StrCat(etcd_->endpoint(), "/v3/kv/", path)}},
                             std::chrono::seconds(20))
        .output;
  };
  const auto range = json::Parse(ask("range", R"({"key":"AA=="})"));
  const json::Value* const revision = range.ok() ? range->Find("header", "revision") : nullptr;
  if (revision == nullptr) return absl::InternalError("etcd does not say its revision");
  const std::string answer = ask(
      "compaction", absl::StrCat(R"({"revision":")", revision->text(), R"(","physical":true})"));
  if (absl::StrContains(answer, "error")) return absl::InternalError(answer);
  return absl::OkStatus();
}

std::vector<json::Value> RealApi::Audit() const {
  std::vector<json::Value> events;
  for (absl::string_view line :
       absl::StrSplit(machine::ReadFile(folder_ + "/audit.log"), '\n', absl::SkipEmpty())) {
    auto event = json::Parse(line);
    if (event.ok()) events.push_back(*std::move(event));
  }
  return events;
}

std::string RealApi::Does(absl::string_view words, absl::string_view input) const {
  const machine::Finished done = Kubectl(absl::StrSplit(words, ' '), input);
  EXPECT_EQ(done.exit_status, 0) << words << "\n" << done.output;
  return std::string(absl::StripAsciiWhitespace(done.output));
}

std::unique_ptr<kube::Client> RealApi::NewClient() const {
  const auto access = kube::ReadKubeconfig(kubeconfig_);
  EXPECT_TRUE(access.ok()) << access.status();
  auto client = kube::NewHttpClient(*access, clock_, {.user_agent = "meltemi-test/1"});
  EXPECT_TRUE(client.ok()) << client.status();
  return *std::move(client);
}

machine::Finished RealApi::Kubectl(std::vector<std::string> args, absl::string_view input) const {
  std::vector<std::string> argv = {"kubectl", "--kubeconfig", kubeconfig_, "--cache-dir",
                                   folder_ + "/kubectl"};
  if (!input.empty()) {
    // What begins with a brace is taken for JSON.
    machine::WriteFile(folder_ + "/input.yaml", absl::StrCat("---\n", input));
    args.insert(args.end(), {"-f", folder_ + "/input.yaml"});
  }
  argv.insert(argv.end(), args.begin(), args.end());
  return machine::RunToEnd({.argv = std::move(argv)}, std::chrono::seconds(90));
}

}  // namespace meltemi::interop
