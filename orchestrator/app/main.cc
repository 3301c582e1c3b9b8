// meltemi-orchestrator: one program for all parts of the orchestrator; the first argument names the
// part.
#include <cstdio>
#include <string>
#include <vector>

#include "orchestrator/app/apiserver_main.h"
#include "orchestrator/app/controller_manager_main.h"
#include "orchestrator/app/dns_main.h"
#include "orchestrator/app/kube_proxy_main.h"
#include "orchestrator/app/kubelet_main.h"
#include "orchestrator/app/scheduler_main.h"

namespace meltemi::orchestrator {
namespace {

struct Part {
  const char* name;
  const char* what;
  int (*run)(const std::vector<std::string>& args, const std::vector<std::string>& argv);
};

constexpr Part kParts[] = {
    {"apiserver", "serves the Kubernetes API", &ApiServerMain},
    {"controller-manager", "makes the cluster what its objects say", &ControllerManagerMain},
    {"scheduler", "gives pods nodes", &SchedulerMain},
    {"kubelet", "runs the pods of nodes", &KubeletMain},
    {"kube-proxy", "leads packets for services to pods", &KubeProxyMain},
    {"dns", "answers for the names of services and pods", &DnsMain},
};

void PrintUsage(std::FILE* to) {
  std::fprintf(to, "usage: meltemi-orchestrator PART [OPTIONS]\n\n");
  for (const Part& part : kParts) std::fprintf(to, "  %-20s %s\n", part.name, part.what);
  std::fprintf(to, "\nEach part tells its options with --help.\n");
}

int Main(const std::vector<std::string>& argv) {
  std::vector<std::string> args(argv.begin() + 1, argv.end());
  if (args.empty()) {
    PrintUsage(stderr);
    return 2;
  }
  const std::string name = args[0];
  args.erase(args.begin());
  if (name == "--help" || name == "-h" || name == "help") {
    PrintUsage(stdout);
    return 0;
  }
  if (name == "--version" || name == "version") {
    std::puts("meltemi-orchestrator 0.1.0 (Kubernetes v1.32)");
    return 0;
  }
  for (const Part& part : kParts) {
    if (name == part.name) return part.run(args, argv);
  }
  std::fprintf(stderr, "meltemi-orchestrator: no part '%s'\n", name.c_str());
  PrintUsage(stderr);
  return 2;
}

}  // namespace
}  // namespace meltemi::orchestrator

int main(int argc, char** argv) {
  return meltemi::orchestrator::Main(std::vector<std::string>(argv, argv + argc));
}
