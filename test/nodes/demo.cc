// ./meltemi demo: a cluster of its own, the tutorial from its first step to its last with kubectl,
// containers and injected sidecars, and a table of what each step measured.

#include <strings.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "test/nodes/cluster.h"
#include "test/nodes/cluster_world.h"
#include "test/nodes/isolation.h"
#include "test/nodes/tutorial_steps.h"
#include "test/scenarios/programs.h"
#include "test/scenarios/tutorial.h"

namespace meltemi::nodes {
namespace {

using scenarios::Manifests;
using scenarios::Tutorial;

struct DemoOptions {
  std::vector<std::string> only;
  bool stay = false;
};

void Say(const std::string& text) { std::fprintf(stderr, "demo: %s\n", text.c_str()); }

bool SameName(const std::string& a, const std::string& b) {
  return strcasecmp(a.c_str(), b.c_str()) == 0;
}

std::vector<std::string> StepNames() {
  std::vector<std::string> names;
  for (const TutorialSteps::Step& step : TutorialSteps::Steps()) names.push_back(step.name);
  for (const Tutorial::Step& step : Tutorial::Steps()) names.push_back(step.name);
  return names;
}

bool Wanted(const std::string& name, const DemoOptions& options) {
  for (const std::string& one : options.only) {
    if (SameName(one, name)) return true;
  }
  return options.only.empty();
}

int Usage(int status) {
  std::printf("usage: ./meltemi demo [--stay] [STEP...]\n\nsteps:");
  for (const std::string& name : StepNames()) std::printf(" %s", name.c_str());
  std::printf(
      "\n--stay measures nothing: the cluster runs until Ctrl-C, and you are told how to use it\n");
  return status;
}

// False: `*status` is how to end.
bool ReadArguments(int argc, char** argv, DemoOptions* options, int* status) {
  for (int i = 1; i < argc; ++i) {
    const std::string arg = argv[i];
    bool known = false;
    for (const std::string& name : StepNames()) known |= SameName(name, arg);
    if (arg == "--help" || arg == "-h") {
      *status = Usage(0);
      return false;
    }
    if (arg == "--stay") {
      options->stay = true;
    } else if (known) {
      options->only.push_back(arg);
    } else {
      std::fprintf(stderr, "demo: there is no step '%s'\n", arg.c_str());
      *status = Usage(2);
      return false;
    }
  }
  return true;
}

// The folder with the manifests, and how the mesh half's are called there.
struct Input {
  std::string folder;
  Manifests mesh;
};
Input FindInput() {
  const std::string examples = scenarios::WorkspaceFile("examples/tutorial");
  const std::string user = scenarios::UserTutorialFolder();
  if (user.empty()) return {examples, Manifests::Examples(examples)};
  return {user, Manifests::Tutorial(user, examples)};
}

void PrintTable(const std::vector<Row>& rows) {
  std::printf("\n%-19s %-52s %-60s %s\n%s\n", "step", "asked", "measured", "",
              std::string(137, '-').c_str());
  for (const Row& row : rows) {
    std::printf("%-19s %-52s %-60s %s\n", row.step.c_str(), row.asked.c_str(), row.measured.c_str(),
                row.passed ? "pass" : "FAIL");
  }
}

int Stay(const Cluster& cluster) {
  std::printf(
      "\nThe cluster runs; Ctrl-C ends it. From another terminal, as root:\n\n"
      "  nsenter --target %d --net --mount --pid bash\n"
      "  export KUBECONFIG=%s/admin.kubeconfig\n"
      "  kubectl get pods\n"
      "  kubectl exec deploy/sleep -c sleep -- curl -s http://flaskapp/env/version\n",
      getpid(), cluster.folder().c_str());
  std::fflush(stdout);
  while (true) pause();
}

int Demo(const DemoOptions& options) {
  const Input input = FindInput();
  Say(absl::StrCat("manifests from ", input.folder));
  ClusterOptions up{
      .up_args = TutorialSteps::ClusterArgs(), .mesh = true, .images = TutorialSteps::Images()};
  for (const char* image : {"flaskapp", "httpbin", "sleep"}) up.images.push_back(image);
  Say("starting a cluster, building the images");
  std::string why_not;
  const std::unique_ptr<Cluster> cluster = Cluster::Up(up, &why_not);
  if (cluster == nullptr) {
    Say(why_not);
    return 1;
  }
  std::vector<Row> rows;
  const auto run = [&](const std::string& name, const std::function<std::vector<Row>()>& step) {
    if (options.stay || !Wanted(name, options)) return;
    Say("measuring " + name);
    for (Row& row : step()) rows.push_back(std::move(row));
  };
  TutorialSteps orchestrator(*cluster, input.folder);
  for (const TutorialSteps::Step& step : TutorialSteps::Steps()) {
    run(step.name, [&] { return step.run(orchestrator); });
  }
  Say("starting flaskapp v1 and v2, httpbin and sleep with their sidecars");
  const auto world = StartClusterWorld(*cluster, input.folder);
  if (!world.ok()) {
    Say(std::string(world.status().message()));
    return 1;
  }
  if (options.stay) return Stay(*cluster);
  Tutorial mesh(**world, input.mesh);
  for (const Tutorial::Step& step : Tutorial::Steps()) {
    run(step.name, [&] { return step.run(mesh); });
  }
  PrintTable(rows);
  for (const Row& row : rows) {
    if (!row.passed) return 1;
  }
  return 0;
}

}  // namespace
}  // namespace meltemi::nodes

int main(int argc, char** argv) {
  meltemi::nodes::DemoOptions options;
  int status = 0;
  if (!meltemi::nodes::ReadArguments(argc, argv, &options, &status)) return status;
  if (!meltemi::nodes::Isolate(argv)) return 1;
  return meltemi::nodes::Demo(options);
}
