// ./meltemi demo: runs the mesh half of the tutorial on this machine and prints what each step
// measured.

#include <pthread.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "test/machine/pods.h"
#include "test/scenarios/programs.h"
#include "test/scenarios/tutorial.h"

namespace meltemi::scenarios {
namespace {

void Say(const std::string& text) { std::fprintf(stderr, "demo: %s\n", text.c_str()); }

bool Wanted(const std::string& name, const std::vector<std::string>& only) {
  if (only.empty()) return true;
  for (const std::string& one : only) {
    if (strcasecmp(one.c_str(), name.c_str()) == 0) return true;
  }
  return false;
}

void PrintRow(const Row& row) {
  std::printf("%-19s %-48s %-58s %s\n", row.step.c_str(), row.asked.c_str(), row.measured.c_str(),
              row.passed ? "pass" : "FAIL");
}

int Usage(int status) {
  std::printf("usage: ./meltemi demo [--keep] [--stay] [STEP...]\n\nsteps:");
  for (const Tutorial::Step& step : Tutorial::Steps()) std::printf(" %s", step.name.c_str());
  std::printf(
      "\n--keep leaves the logs and the manifests in place and says where\n"
      "--stay measures nothing: the mesh runs until Ctrl-C, and you are told how to enter its "
      "pods\n");
  return status;
}

void RemoveFolder(const std::string& folder) {
  machine::RunToEnd({.argv = {"rm", "-rf", folder}}, std::chrono::seconds(20));
}

// Ctrl-C: what runs dies with this process; its files are taken away here.
void EndOnSignals(const std::string& folder) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::thread([signals, folder] {
    int number = 0;
    sigwait(&signals, &number);
    std::fprintf(stderr, "\ndemo: interrupted; nothing of it is left running\n");
    RemoveFolder(folder);
    _exit(128 + number);
  }).detach();
}

int Stay(Tutorial& tutorial, const std::string& folder) {
  const auto enter = [](machine::Pod& pod) {
    return absl::StrCat("nsenter --target ", pod.process("app")->pid(), " --net --mount");
  };
  std::printf(
      "\nThe mesh runs; Ctrl-C ends it. From another terminal, as root:\n\n"
      "  manifests (edit, add, delete):  %s/config/\n"
      "  ask from the sleep pod:         %s curl -s http://flaskapp/env/version\n"
      "  its sidecar's admin port:       %s curl -s localhost:15000/clusters\n"
      "  access log of the sidecar:      %s/sleep.sidecar.log\n"
      "  what the proxies have:          nsenter --target %d --net %s proxy-status\n",
      folder.c_str(), enter(tutorial.sleep()).c_str(), enter(tutorial.sleep()).c_str(),
      folder.c_str(), tutorial.mesh().node().process("pilot")->pid(),
      tutorial.mesh().programs().cli.c_str());
  std::fflush(stdout);
  while (true) pause();
}

int Main(const std::vector<std::string>& args) {
  std::vector<std::string> only;
  bool keep = false, stay = false;
  for (const std::string& arg : args) {
    if (arg == "--help" || arg == "-h") return Usage(0);
    if (arg == "--keep") {
      keep = true;
      continue;
    }
    if (arg == "--stay") {
      stay = true;
      continue;
    }
    bool known = false;
    for (const Tutorial::Step& step : Tutorial::Steps()) known |= Wanted(step.name, {arg});
    if (!known) {
      std::fprintf(stderr, "demo: there is no step '%s'\n", arg.c_str());
      return Usage(2);
    }
    only.push_back(arg);
  }
  if (const std::string why = machine::WhyNoNamespaces(); !why.empty()) {
    std::fprintf(stderr, "demo: %s\n", why.c_str());
    return 1;
  }
  const std::string examples = WorkspaceFile("examples/tutorial");
  const std::string user = UserTutorialFolder();
  const Manifests manifests =
      user.empty() ? Manifests::Examples(examples) : Manifests::Tutorial(user, examples);
  Say(absl::StrCat("manifests from ", manifests.folder));
  const std::string folder = FreshFolder("meltemi-demo");
  EndOnSignals(folder);
  auto tutorial =
      Tutorial::Start(BuiltPrograms(), folder, manifests, machine::PodSpec::Sidecar::kMeltemi, Say);
  if (!tutorial.ok()) {
    std::fprintf(stderr, "demo: %s\n(logs: %s)\n", std::string(tutorial.status().message()).c_str(),
                 folder.c_str());
    return 1;
  }
  if (stay) return Stay(**tutorial, folder);
  std::vector<Row> rows;
  for (const Tutorial::Step& step : Tutorial::Steps()) {
    if (!Wanted(step.name, only)) continue;
    Say(absl::StrCat("measuring ", step.name));
    for (Row& row : step.run(**tutorial)) rows.push_back(std::move(row));
  }
  std::printf("\n%-19s %-48s %-58s %s\n%s\n", "step", "asked", "measured", "",
              std::string(131, '-').c_str());
  bool passed = true;
  for (const Row& row : rows) {
    PrintRow(row);
    passed &= row.passed;
  }
  tutorial->reset();
  if (keep || !passed) {
    std::printf("\nlogs: %s\n", folder.c_str());
  } else {
    RemoveFolder(folder);
  }
  return passed ? 0 : 1;
}

}  // namespace
}  // namespace meltemi::scenarios

int main(int argc, char** argv) {
  return meltemi::scenarios::Main(std::vector<std::string>(argv + 1, argv + argc));
}
