#include "test/machine/mesh.h"

#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "test/machine/envoy.h"

namespace meltemi::machine {
namespace {

using std::chrono::seconds;

constexpr uid_t kProxyUid = 1337;
constexpr int kXdsPort = 15010;
constexpr int kPilotDebugPort = 15014;

std::string LabelYaml(const std::map<std::string, std::string>& labels) {
  return absl::StrJoin(labels, "", [](std::string* out, const auto& label) {
    absl::StrAppend(out, "    ", label.first, ": ", label.second, "\n");
  });
}

bool IsEnvoy(const PodSpec& spec) {
  return spec.sidecar == PodSpec::Sidecar::kEnvoy || spec.sidecar == PodSpec::Sidecar::kEnvoyDelta;
}

// A line of /proc/<pid>/status, in kB; 0 when there is no such process.
int64_t StatusKb(const Process* process, absl::string_view field) {
  if (process == nullptr) return 0;
  const std::string status = ReadFile(absl::StrCat("/proc/", process->pid(), "/status"));
  for (absl::string_view line : absl::StrSplit(status, '\n')) {
    if (!absl::StartsWith(line, field)) continue;
    const std::vector<absl::string_view> words =
        absl::StrSplit(line, absl::ByAnyChar(" \t"), absl::SkipEmpty());
    int64_t kb = 0;
    if (words.size() > 1 && absl::SimpleAtoi(words[1], &kb)) return kb;
  }
  return 0;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Mesh>> Mesh::Start(const Programs& programs,
                                                  const std::string& folder) {
  absl::StatusOr<std::unique_ptr<Node>> node = Node::Make(folder);
  if (!node.ok()) return node.status();
  const std::string config = absl::StrCat(folder, "/config");
  mkdir(config.c_str(), 0755);
  auto mesh = std::unique_ptr<Mesh>(new Mesh(programs, std::move(*node), config));
  if (absl::Status status = mesh->StartPilot(); !status.ok()) return status;
  return mesh;
}

absl::Status Mesh::StartPilot() {
  const auto started = node_->Start(
      "pilot", {programs_.pilot, "--config", config_folder_, "--access-log-file", "/dev/stdout"});
  if (!started.ok()) return started.status();
  const bool ready = Eventually(
      [this] {
        return !node_->process("pilot")->running() ||
               node_->Exec({"curl", "-sf", "-m", "5",
                            absl::StrCat("http://127.0.0.1:", kPilotDebugPort, "/ready")})
                       .exit_status == 0;
      },
      seconds(30));
  if (ready && node_->process("pilot")->running()) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("pilot does not become ready: ", node_->Log("pilot")));
}

void Mesh::KillPilot() { node_->process("pilot")->Kill(); }

void Mesh::Apply(const std::string& name, const std::string& yaml) {
  WriteFile(absl::StrCat(config_folder_, "/", name, ".yaml"), yaml);
}

void Mesh::ApplyFile(const std::string& name, const std::string& path) {
  Apply(name, ReadFile(path));
}

void Mesh::Delete(const std::string& name) {
  unlink(absl::StrCat(config_folder_, "/", name, ".yaml").c_str());
}

void Mesh::AddService(const std::string& name, const std::string& cluster_ip,
                      const std::string& port_name, int port, int target_port) {
  Apply(
      absl::StrCat("service-", name),
      absl::StrFormat("apiVersion: v1\nkind: Service\nmetadata:\n  name: %s\n  namespace: default\n"
                      "spec:\n  clusterIP: %s\n  selector:\n    app: %s\n"
                      "  ports:\n    - name: %s\n      port: %d\n      targetPort: %d\n",
                      name, cluster_ip, name, port_name, port, target_port));
  node_->SetHost(cluster_ip, {name, absl::StrCat(name, ".default"),
                              absl::StrCat(name, ".default.svc.cluster.local")});
}

absl::StatusOr<Pod*> Mesh::AddPod(const PodSpec& spec) {
  absl::StatusOr<Pod*> pod = node_->AddPod(spec.name);
  if (!pod.ok()) return pod.status();
  Apply(absl::StrCat("workload-", spec.name),
        absl::StrCat("apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata:\n  name: ",
                     spec.name, "\n  namespace: default\nspec:\n  address: ", (*pod)->ip(),
                     "\n  serviceAccount: default\n  labels:\n", LabelYaml(spec.labels)));
  if (spec.sidecar != PodSpec::Sidecar::kNone) {
    if (absl::Status status = StartSidecar(**pod, spec); !status.ok()) return status;
  }
  return pod;
}

std::vector<std::string> Mesh::SidecarCommand(const Pod& pod, const PodSpec& spec) const {
  if (spec.command) return spec.command(pod);
  if (IsEnvoy(spec)) {
    // As text: the sidecar's user may not be allowed to read the test's folder.
    return {programs_.envoy,
            "--config-yaml",
            EnvoyBootstrap({.name = spec.name,
                            .ip = pod.ip(),
                            .labels = spec.labels,
                            .xds_ip = node_->ip(),
                            .xds_port = kXdsPort,
                            .delta = spec.sidecar == PodSpec::Sidecar::kEnvoyDelta}),
            "--concurrency",
            absl::StrCat(spec.concurrency),
            "--use-dynamic-base-id",
            "-l",
            "warning"};
  }
  std::vector<std::string> argv = {
      programs_.proxy, "sidecar", "--xds-address", absl::StrCat(node_->ip(), ":", kXdsPort),
      "--namespace",   "default", "--workload",    spec.name,
      "--ip",          pod.ip(),  "--concurrency", absl::StrCat(spec.concurrency)};
  for (const auto& [key, value] : spec.labels) {
    argv.push_back("--labels");
    argv.push_back(absl::StrCat(key, "=", value));
  }
  argv.insert(argv.end(), spec.proxy_args.begin(), spec.proxy_args.end());
  return argv;
}

absl::Status Mesh::StartSidecar(Pod& pod, const PodSpec& spec) {
  if (absl::Status status = pod.network().Run({programs_.proxy, "intercept", "apply"});
      !status.ok()) {
    return status;
  }
  const auto started = pod.Start("sidecar", SidecarCommand(pod, spec), {}, kProxyUid);
  if (!started.ok()) return started.status();
  ++sidecars_;
  const std::string ready_url =
      IsEnvoy(spec) ? "http://127.0.0.1:15000/ready" : "http://127.0.0.1:15021/healthz/ready";
  const bool ready = Eventually(
      [&] {
        return !(*started)->running() ||
               pod.Exec({"curl", "-sf", "-m", "5", ready_url}).exit_status == 0;
      },
      seconds(30));
  if (ready && (*started)->running()) return absl::OkStatus();
  return absl::UnavailableError(
      absl::StrCat("the sidecar of ", pod.name(), " does not become ready: ", pod.Log("sidecar")));
}

void Mesh::RemoveWorkload(const std::string& name) { Delete(absl::StrCat("workload-", name)); }

int Mesh::TerminateSidecar(Pod& pod) {
  --sidecars_;
  pod.process("sidecar")->Signal(SIGTERM);
  return pod.process("sidecar")->Wait(seconds(60));
}

std::string Mesh::Admin(const Pod& pod, const std::string& path) const {
  return pod.Exec({"curl", "-s", "-m", "20", absl::StrCat("http://127.0.0.1:15000", path)}).output;
}

int64_t Mesh::Stat(const Pod& pod, const std::string& name_part) const {
  int64_t total = 0;
  for (absl::string_view line : absl::StrSplit(Admin(pod, "/stats"), '\n')) {
    const size_t colon = line.rfind(": ");
    int64_t value = 0;
    if (colon == absl::string_view::npos || !absl::StrContains(line.substr(0, colon), name_part))
      continue;
    if (absl::SimpleAtoi(line.substr(colon + 2), &value)) total += value;
  }
  return total;
}

int64_t Mesh::SidecarMemoryKb(Pod& pod) const { return StatusKb(pod.process("sidecar"), "VmRSS:"); }

int64_t Mesh::SidecarPeakMemoryKb(Pod& pod) const {
  return StatusKb(pod.process("sidecar"), "VmHWM:");
}

absl::Status Mesh::Settle(std::chrono::milliseconds timeout) {
  const Finished finished = node_->Exec(
      {programs_.cli, "proxy-status", "--pilot", absl::StrCat("127.0.0.1:", kPilotDebugPort),
       "--wait", absl::StrCat(timeout.count(), "ms"), "--proxies", absl::StrCat(sidecars_)},
      timeout + seconds(10));
  if (finished.exit_status == 0) return absl::OkStatus();
  return absl::DeadlineExceededError(finished.output);
}

}  // namespace meltemi::machine
