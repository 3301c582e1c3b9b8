// up, down, status: the orchestrator on this machine.
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "cli/component.h"
#include "cli/verbs.h"

namespace meltemi::cli {
namespace {

namespace fs = std::filesystem;

constexpr char kDataDir[] = "/var/lib/meltemi";
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

Component ApiServer(const std::string& program, const std::string& data_dir) {
  return Component(program, data_dir + "/run", "apiserver");
}

struct UpOptions {
  std::string data_dir = kDataDir;
  bool control_plane_only = false;
  uint32_t port = 6443;
  std::vector<std::string> apiserver_args;
};

void PrintReady(const std::string& data_dir, const std::string& url) {
  std::printf("the API server is ready at %s\n  export KUBECONFIG=%s/admin.kubeconfig\n",
              url.c_str(), data_dir.c_str());
}

int Up(const UpOptions& options, const std::vector<std::string>& rest) {
  if (!rest.empty()) {
    PrintError(absl::StrCat("up: unexpected argument '", rest[0], "'"));
    return 2;
  }
  if (!options.control_plane_only) {
    PrintError("up: this release has no nodes yet; `up --control-plane-only` starts what there is");
    return 2;
  }
  const absl::StatusOr<std::string> program = OrchestratorPath();
  if (!program.ok()) {
    PrintError(std::string(program.status().message()));
    return 1;
  }
  Component apiserver = ApiServer(*program, options.data_dir);
  const bool running = apiserver.Running() != 0;
  const auto began = std::chrono::steady_clock::now();
  if (!running) {
    std::vector<std::string> args = {absl::StrCat("--data-dir=", options.data_dir),
                                     absl::StrCat("--secure-port=", options.port),
                                     // Nobody makes service accounts without a controller manager,
                                     // and no pod could be created.
                                     "--disable-admission-plugins=ServiceAccount"};
    args.insert(args.end(), options.apiserver_args.begin(), options.apiserver_args.end());
    if (const absl::Status status = apiserver.Start(args); !status.ok()) {
      PrintError(std::string(status.message()));
      return 1;
    }
  }
  const absl::StatusOr<std::string> url = apiserver.WaitUntilReady(kReadyTimeout);
  if (!url.ok()) {
    PrintError(std::string(url.status().message()));
    return 1;
  }
  if (running) std::printf("it was up already; ");
  PrintReady(options.data_dir, *url);
  if (!running) {
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
    std::printf("  (%.1f s; log: %s)\n", took.count(), apiserver.log_path().c_str());
  }
  return 0;
}

int Down(const std::string& data_dir) {
  const bool stopped = ApiServer("", data_dir).Stop(kStopGrace);
  std::printf(stopped ? "stopped; the data stays in %s\n" : "nothing was running (data: %s)\n",
              data_dir.c_str());
  return 0;
}

int Status(const std::string& data_dir) {
  const Component apiserver = ApiServer("", data_dir);
  const pid_t pid = apiserver.Running();
  if (pid == 0) {
    std::printf("apiserver  not running (data: %s)\n", data_dir.c_str());
    return 1;
  }
  const std::string url = apiserver.Url();
  std::printf("apiserver  %s  pid %d  %s\n", url.empty() ? "starting" : "ready", pid,
              url.empty() ? apiserver.log_path().c_str() : url.c_str());
  return url.empty() ? 1 : 0;
}

}  // namespace

Verb UpVerb() {
  return {"up", "", "starts the orchestrator on this machine",
          "Writes a kubeconfig; ordinary kubectl works with it. Twice does no harm.",
          [](Flags& flags) -> std::function<int(const std::vector<std::string>&)> {
            auto options = std::make_shared<UpOptions>();
            flags.Switch("control-plane-only", {}, &options->control_plane_only,
                         "the API server without nodes");
            flags.Text("data-dir", {}, &options->data_dir, "FOLDER", "where everything is kept");
            flags.Number("port", {}, &options->port, 0, 65535,
                         "of the API server; 0: the kernel chooses");
            flags.Repeated("apiserver-arg", {}, &options->apiserver_args, "--OPTION=VALUE",
                           "handed on to the API server (meltemi-orchestrator apiserver --help)");
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
