#include "test/interop/kubernetes/real_api.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kube/client/http_client.h"
#include "kube/client/kubeconfig.h"
#include "test/interop/clients/fetch.h"

namespace meltemi::interop {
namespace {

constexpr char kToken[] = "an-administrator-of-this-test";

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
  const machine::Finished key =
      machine::RunToEnd({.argv = {"openssl", "genrsa", "-out", folder + "/sa.key", "2048"}},
                        std::chrono::seconds(60));
  if (key.exit_status != 0) return absl::InternalError(key.output);
  machine::WriteFile(folder + "/tokens.csv",
                     absl::StrCat(kToken, ",administrator,1,\"system:masters\"\n"));
  api->port_ = FreePort();
  api->url_ = absl::StrCat("https://127.0.0.1:", api->port_);
  api->kubeconfig_ = folder + "/kubeconfig";
  machine::WriteFile(
      api->kubeconfig_,
      absl::StrCat("{apiVersion: v1, kind: Config, current-context: c, clusters: [{name: c, ",
                   "cluster: {server: '", api->url_, "', insecure-skip-tls-verify: true}}], ",
                   "users: [{name: u, user: {token: ", kToken,
                   "}}], contexts: ", "[{name: c, context: {cluster: c, user: u}}]}\n"));
  if (absl::Status status = api->StartAgain(); !status.ok()) return status;
  return api;
}

RealApi::~RealApi() {
  process_.Kill();
  etcd_ = nullptr;
  std::error_code ignored;
  if (!folder_.empty()) std::filesystem::remove_all(folder_, ignored);
}

absl::Status RealApi::StartAgain() {
  auto process = machine::Process::Start(
      {.argv = {program_, "--etcd-servers=" + etcd_->endpoint(), "--bind-address=127.0.0.1",
                absl::StrCat("--secure-port=", port_), "--cert-dir=" + folder_ + "/certs",
                "--service-cluster-ip-range=10.96.0.0/16",
                "--service-account-issuer=https://kubernetes.default.svc",
                "--service-account-signing-key-file=" + folder_ + "/sa.key",
                "--service-account-key-file=" + folder_ + "/sa.key",
                "--token-auth-file=" + folder_ + "/tokens.csv", "--authorization-mode=RBAC",
                // Nobody makes service accounts here.
                "--disable-admission-plugins=ServiceAccount", "--profiling=false"},
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
