#include "test/controllers/cluster.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <chrono>
#include <cstdio>
#include <fstream>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/clock/clock.h"
#include "kube/client/http_client.h"
#include "kube/client/kubeconfig.h"
#include "kube/client/typed.h"
#include "kube/core/v1/node.pb.h"

namespace meltemi::controllers {
namespace {

constexpr char kProgram[] = "orchestrator/app/meltemi-orchestrator";
constexpr char kApiServer[] = "apiserver";
constexpr std::chrono::seconds kStartMax(60);
constexpr std::chrono::seconds kShellMax(120);

std::string NewFolder() {
  std::string name = absl::StrCat(testing::TempDir(), "/controllers-XXXXXX");
  EXPECT_NE(mkdtemp(name.data()), nullptr);
  return name;
}

const Clock& SharedClock() {
  static const SystemClock clock;
  return clock;
}

bool AllNodesAreReady(kube::Client& client, int count) {
  const auto nodes = kube::List<kube::core::v1::Node>(client);
  if (!nodes.ok()) return false;
  int ready = 0;
  for (const auto& node : *nodes) {
    bool tainted = false;
    for (const auto& taint : node.spec().taints()) tainted |= !taint.effect().empty();
    for (const auto& condition : node.status().conditions()) {
      ready += condition.type() == "Ready" && condition.status() == "True" && !tainted ? 1 : 0;
    }
  }
  return ready == count;
}

}  // namespace

Cluster::Cluster(const ClusterOptions& options) : options_(options), folder_(NewFolder()) {
  Start(kApiServer);
  WaitForApiServer();
  absl::StatusOr<kube::ClusterAccess> access =
      kube::ReadKubeconfig(folder_ + "/data/admin.kubeconfig");
  EXPECT_TRUE(access.ok()) << access.status();
  if (!access.ok()) return;
  auto client = kube::NewHttpClient(*access, SharedClock(), {.user_agent = "test"});
  EXPECT_TRUE(client.ok()) << client.status();
  if (!client.ok()) return;
  client_ = *std::move(client);
  for (const std::string& part : parts()) {
    if (part != kApiServer) Start(part);
  }
  EXPECT_TRUE(
      machine::Eventually([&] { return AllNodesAreReady(*client_, options_.nodes); }, kStartMax))
      << LogOf("kubelet") << LogOf("controller-manager-0");
}

Cluster::~Cluster() {
  client_.reset();
  // Not the API server first: the others would complain in their logs.
  while (!processes_.empty()) {
    auto last = std::prev(processes_.end());
    last->second.Kill();
    processes_.erase(last);
  }
}

std::vector<std::string> Cluster::parts() const {
  std::vector<std::string> parts = {kApiServer};
  for (int i = 0; i < options_.controller_managers; ++i) {
    parts.push_back(absl::StrCat("controller-manager-", i));
  }
  for (int i = 0; i < options_.schedulers; ++i) parts.push_back(absl::StrCat("scheduler-", i));
  if (options_.nodes > 0) parts.push_back("kubelet");
  return parts;
}

std::vector<std::string> Cluster::ArgsOf(const std::string& part) const {
  const std::string data = folder_ + "/data";
  if (part == kApiServer) {
    return {"apiserver",     "--data-dir",        data,
            "--secure-port", absl::StrCat(port_), "--bind-address",
            "127.0.0.1",     "--address-file",    folder_ + "/url"};
  }
  std::vector<std::string> args;
  const bool manager = absl::StartsWith(part, "controller-manager");
  const bool scheduler = absl::StartsWith(part, "scheduler");
  const char* name = manager ? "controller-manager" : scheduler ? "scheduler" : "kubelet";
  const char* user = manager ? "controller-manager" : scheduler ? "scheduler" : "admin";
  args = {name, absl::StrCat("--kubeconfig=", data, "/", user, ".kubeconfig"),
          absl::StrCat("--client-ca-file=", data, "/pki/ca.crt"), "--secure-port=0",
          "--bind-address=127.0.0.1"};
  if (options_.quick_election && (manager || scheduler)) {
    args.insert(args.end(), {"--leader-elect-lease-duration=3s", "--leader-elect-renew-deadline=2s",
                             "--leader-elect-retry-period=400ms"});
  }
  if (manager) {
    args.insert(args.end(), options_.controller_manager_args.begin(),
                options_.controller_manager_args.end());
  } else if (!scheduler) {
    args.insert(args.end(), {absl::StrCat("--hollow=", options_.nodes), "--port=0"});
    args.insert(args.end(), options_.kubelet_args.begin(), options_.kubelet_args.end());
  }
  return args;
}

void Cluster::Start(const std::string& part) {
  if (part == kApiServer) std::remove((folder_ + "/url").c_str());
  machine::ProcessOptions options;
  // A log of all its lives.
  options.argv = {"bash", "-c", absl::StrCat("exec \"$@\" >> ", folder_, "/", part, ".log 2>&1"),
                  "bash"};
  options.argv.push_back(kProgram);
  for (std::string& arg : ArgsOf(part)) options.argv.push_back(std::move(arg));
  auto process = machine::Process::Start(options);
  EXPECT_TRUE(process.ok()) << process.status();
  if (process.ok()) processes_[part] = *std::move(process);
}

bool Cluster::Running(const std::string& part) { return processes_[part].running(); }

void Cluster::Kill(const std::string& part) { processes_[part].Kill(); }

void Cluster::WaitForApiServer() {
  std::string url;
  const bool up = machine::Eventually(
      [&] {
        std::ifstream in(folder_ + "/url");
        return std::getline(in, url) && !url.empty();
      },
      kStartMax);
  EXPECT_TRUE(up) << "the API server did not start: " << LogOf(kApiServer);
  const size_t colon = url.rfind(':');
  if (colon != std::string::npos && absl::SimpleAtoi(url.substr(colon + 1), &port_)) return;
  ADD_FAILURE() << "no address: " << url;
}

std::string Cluster::LogOf(const std::string& part) const {
  return absl::StrCat(part, ":\n", machine::ReadFile(folder_ + "/" + part + ".log"), "\n");
}

history::ApiServerAddress Cluster::address() const {
  return {absl::StrCat("127.0.0.1:", port_), folder_ + "/data/pki"};
}

Answer Cluster::Shell(const std::string& line, absl::string_view input) const {
  machine::ProcessOptions options;
  const std::string stdin_file = folder_ + "/stdin";
  machine::WriteFile(stdin_file, input);
  options.argv = {
      "bash", "-c",
      absl::StrCat("set -o pipefail; cd ", folder_, "; { ", line, "\n} < ", stdin_file)};
  options.env = {absl::StrCat("KUBECONFIG=", folder_, "/data/admin.kubeconfig"),
                 absl::StrCat("HOME=", folder_), absl::StrCat("KUBECACHEDIR=", folder_, "/cache")};
  machine::Finished done = machine::RunToEnd(options, kShellMax);
  return {done.exit_status, std::move(done.output)};
}

bool HasKubectl() {
  return machine::RunToEnd({.argv = {"bash", "-c", "command -v kubectl"}}, kShellMax).exit_status ==
         0;
}

}  // namespace meltemi::controllers
