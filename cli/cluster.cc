// up, down, status: the orchestrator on this machine.
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <iterator>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "cli/component.h"
#include "cli/verbs.h"

namespace meltemi::cli {
namespace {

namespace fs = std::filesystem;

constexpr char kDataDir[] = "/var/lib/meltemi";
constexpr char kPodCidr[] = "10.244.0.0/16";
constexpr std::chrono::seconds kReadyTimeout(60);
constexpr std::chrono::seconds kStopGrace(15);

// Beside this program, or where the build puts it.
absl::StatusOr<std::string> OrchestratorPath() {
  std::error_code error;
  const fs::path folder = fs::read_symlink("/proc/self/exe", error).parent_path();
  for (const char* place : {"meltemi-orchestrator", "../orchestrator/app/meltemi-orchestrator"}) {
    const fs::path path = folder / place;
    if (access(path.c_str(), X_OK) == 0) return fs::weakly_canonical(path, error).string();
  }
  return absl::NotFoundError(
      absl::StrCat("meltemi-orchestrator is not beside ", folder.string(),
                   "/meltemi; build it with ./meltemi build //orchestrator/app:all"));
}

struct UpOptions {
  std::string data_dir = kDataDir;
  bool control_plane_only = false;
  uint32_t port = 6443;
  uint32_t hollow_nodes = 0;
  std::vector<std::string> apiserver_args, controller_manager_args, scheduler_args, kubelet_args;
};

// A part of the orchestrator and how it is started.
struct Part {
  const char* name;
  std::vector<std::string> args;
};

// In the order in which they are started.
constexpr const char* kPartNames[] = {"apiserver", "controller-manager", "scheduler", "kubelet"};

Component PartOf(const std::string& program, const std::string& data_dir, const char* name) {
  return Component(program, data_dir + "/run", name);
}

// What every client of the API server is told. Beside an API server whose port the kernel chooses
// their ports are the kernel's choice too: it is not the one cluster of this machine.
std::vector<std::string> ClientArgs(const UpOptions& options, const char* kubeconfig,
                                    uint32_t port) {
  return {absl::StrCat("--kubeconfig=", options.data_dir, "/", kubeconfig, ".kubeconfig"),
          absl::StrCat("--client-ca-file=", options.data_dir, "/pki/ca.crt"),
          absl::StrCat("--secure-port=", options.port == 0 ? 0 : port), "--bind-address=127.0.0.1"};
}

std::vector<Part> PartsOf(const UpOptions& options) {
  const auto with = [](std::vector<std::string> args, const std::vector<std::string>& more) {
    args.insert(args.end(), more.begin(), more.end());
    return args;
  };
  std::vector<std::string> controller_manager = ClientArgs(options, "controller-manager", 10257);
  controller_manager.push_back(absl::StrCat("--cluster-cidr=", kPodCidr));
  std::vector<Part> parts = {
      {"apiserver", with({absl::StrCat("--data-dir=", options.data_dir),
                          absl::StrCat("--secure-port=", options.port)},
                         options.apiserver_args)},
      {"controller-manager", with(std::move(controller_manager), options.controller_manager_args)},
      {"scheduler", with(ClientArgs(options, "scheduler", 10259), options.scheduler_args)},
  };
  if (options.hollow_nodes > 0) {
    std::vector<std::string> args = ClientArgs(options, "admin", 10248);
    args.push_back(absl::StrCat("--hollow=", options.hollow_nodes));
    if (options.port == 0) args.push_back("--port=0");
    parts.push_back({"kubelet", with(std::move(args), options.kubelet_args)});
  }
  return parts;
}

void PrintReady(const UpOptions& options, const std::string& url) {
  std::printf("the cluster is ready at %s", url.c_str());
  if (options.hollow_nodes > 0) std::printf(" with %u hollow nodes", options.hollow_nodes);
  std::printf("\n  export KUBECONFIG=%s/admin.kubeconfig\n", options.data_dir.c_str());
}

// Error: which part, and why.
absl::Status StartParts(const UpOptions& options, const std::string& program, std::string* url,
                        int* started) {
  const std::string url_before = PartOf(program, options.data_dir, "apiserver").Url();
  for (const Part& part : PartsOf(options)) {
    Component component = PartOf(program, options.data_dir, part.name);
    const bool is_server = part.name == absl::string_view("apiserver");
    // Who was told of an API server at another port would look for it there.
    if (!is_server && *url != url_before) component.Stop(kStopGrace);
    if (component.Running() == 0) {
      if (absl::Status status = component.Start(part.args); !status.ok()) return status;
      ++*started;
    }
    const absl::StatusOr<std::string> ready = component.WaitUntilReady(kReadyTimeout);
    if (!ready.ok()) return ready.status();
    if (is_server) *url = *ready;
  }
  return absl::OkStatus();
}

int Up(const UpOptions& options, const std::vector<std::string>& rest) {
  if (!rest.empty()) {
    PrintError(absl::StrCat("up: unexpected argument '", rest[0], "'"));
    return 2;
  }
  if (!options.control_plane_only) {
    PrintError(
        "up: this release has no nodes that run containers yet; `up --control-plane-only` starts "
        "what there is, and --hollow-nodes N adds nodes that run pods in memory");
    return 2;
  }
  const absl::StatusOr<std::string> program = OrchestratorPath();
  if (!program.ok()) {
    PrintError(std::string(program.status().message()));
    return 1;
  }
  const auto began = std::chrono::steady_clock::now();
  std::string url;
  int started = 0;
  if (const absl::Status status = StartParts(options, *program, &url, &started); !status.ok()) {
    PrintError(std::string(status.message()));
    return 1;
  }
  if (started == 0) std::printf("it was up already; ");
  PrintReady(options, url);
  if (started > 0) {
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
    std::printf("  (%.1f s; logs: %s/run)\n", took.count(), options.data_dir.c_str());
  }
  return 0;
}

int Down(const std::string& data_dir) {
  bool stopped = false;
  for (auto name = std::rbegin(kPartNames); name != std::rend(kPartNames); ++name) {
    stopped |= PartOf("", data_dir, *name).Stop(kStopGrace);
  }
  std::printf(stopped ? "stopped; the data stays in %s\n" : "nothing was running (data: %s)\n",
              data_dir.c_str());
  return 0;
}

int Status(const std::string& data_dir) {
  bool all = true;
  for (const char* name : kPartNames) {
    const Component component = PartOf("", data_dir, name);
    const pid_t pid = component.Running();
    const std::string url = component.Url();
    const bool wanted = name != absl::string_view("kubelet") || fs::exists(component.pid_path());
    if (!wanted) continue;
    all &= pid != 0 && !url.empty();
    if (pid == 0) {
      std::printf("%-20s not running  %s\n", name, component.log_path().c_str());
    } else {
      std::printf("%-20s %-11s  pid %d  %s\n", name, url.empty() ? "starting" : "ready", pid,
                  url.empty() ? component.log_path().c_str() : url.c_str());
    }
  }
  return all ? 0 : 1;
}

}  // namespace

Verb UpVerb() {
  return {"up", "", "starts the orchestrator on this machine",
          "Writes a kubeconfig; ordinary kubectl works with it. Twice does no harm.",
          [](Flags& flags) -> std::function<int(const std::vector<std::string>&)> {
            auto options = std::make_shared<UpOptions>();
            flags.Switch("control-plane-only", {}, &options->control_plane_only,
                         "no nodes that run containers");
            flags.Number("hollow-nodes", {}, &options->hollow_nodes, 0, 100'000,
                         "nodes that run pods in memory");
            flags.Text("data-dir", {}, &options->data_dir, "FOLDER", "where everything is kept");
            flags.Number("port", {}, &options->port, 0, 65535,
                         "of the API server; 0: the kernel chooses");
            const auto hand_on = [&flags](const char* name, std::vector<std::string>* args,
                                          const char* part) {
              flags.Repeated(name, {}, args, "--OPTION=VALUE",
                             absl::StrCat("handed on (meltemi-orchestrator ", part, " --help)"));
            };
            hand_on("apiserver-arg", &options->apiserver_args, "apiserver");
            hand_on("controller-manager-arg", &options->controller_manager_args,
                    "controller-manager");
            hand_on("scheduler-arg", &options->scheduler_args, "scheduler");
            hand_on("kubelet-arg", &options->kubelet_args, "kubelet");
            return [options](const std::vector<std::string>& rest) { return Up(*options, rest); };
          }};
}

Verb DownVerb() {
  return {"down", "", "stops the orchestrator", "The data stays; `up` goes on with it.",
          [](Flags& flags) -> std::function<int(const std::vector<std::string>&)> {
            auto data_dir = std::make_shared<std::string>(kDataDir);
            flags.Text("data-dir", {}, data_dir.get(), "FOLDER", "where everything is kept");
            return [data_dir](const std::vector<std::string>&) { return Down(*data_dir); };
          }};
}

Verb StatusVerb() {
  return {"status", "", "what of the orchestrator runs", "Exit code 1 if something does not.",
          [](Flags& flags) -> std::function<int(const std::vector<std::string>&)> {
            auto data_dir = std::make_shared<std::string>(kDataDir);
            flags.Text("data-dir", {}, data_dir.get(), "FOLDER", "where everything is kept");
            return [data_dir](const std::vector<std::string>&) { return Status(*data_dir); };
          }};
}

}  // namespace meltemi::cli
