#include "orchestrator/app/hollow_kubelet_main.h"

#include <cstdio>
#include <map>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/flags/flags.h"
#include "base/net/address.h"
#include "orchestrator/component/run.h"
#include "orchestrator/kubelet/hollow/hollow.h"
#include "orchestrator/kubelet/hollow/hollow_server.h"

namespace meltemi::orchestrator {
namespace {

constexpr char kUsage[] =
    "meltemi-orchestrator kubelet --hollow N [OPTIONS]\n\n"
    "N nodes that run pods in memory, without containers: to try things out and to test at scale.";

class HollowWork final : public Work {
 public:
  HollowWork(Parts& parts, const kubelet::HollowOptions& options)
      : parts_(parts), options_(options) {}
  ~HollowWork() override {
    if (server_ != nullptr) server_->SetNodes(nullptr);
  }
  absl::Status Serve() {
    absl::StatusOr<net::Address> address = net::Address::FromIp("0.0.0.0", options_.port);
    if (!address.ok()) return address.status();
    kubelet::HollowServerOptions serving;
    serving.address = *address;
    serving.identity = parts_.serving.identity;
    serving.client_ca_pem = parts_.serving.client_ca_pem;
    serving.authorize = [this](const apiserver::Request& request, absl::string_view verb,
                               absl::string_view node, absl::string_view subresource) {
      return Authorize(request, verb, node, subresource);
    };
    absl::StatusOr<std::unique_ptr<kubelet::HollowServer>> server =
        kubelet::StartHollowServer(serving, parts_.clock);
    if (!server.ok()) return server.status();
    server_ = *std::move(server);
    options_.port = server_->port();
    return absl::OkStatus();
  }
  void Start() override {
    nodes_ = kubelet::StartHollowNodes(options_, parts_.client, parts_.executor, parts_.random,
                                       &parts_.metrics);
    server_->SetNodes(nodes_.get());
  }

 private:
  // As kubelets ask: the API server says who it is, and whether they may.
  kube::Outcome Authorize(const apiserver::Request& request, absl::string_view verb,
                          absl::string_view node, absl::string_view subresource) {
    const kube::Result<apiserver::UserInfo> user = parts_.access_reviews.Authenticate(request);
    if (!user.ok()) return user.status();
    return parts_.access_reviews.AuthorizeNode(*user, verb, node, subresource);
  }

  Parts& parts_;
  kubelet::HollowOptions options_;
  std::unique_ptr<kubelet::HollowServer> server_;
  std::unique_ptr<kubelet::HollowNodes> nodes_;
};

struct Options {
  ComponentOptions component;
  uint32_t nodes = 0, pods_max = 110, zones = 0, port = 10250, cpu_milli = 1;
  double failure_rate = 0;
  kubelet::HollowOptions hollow;
};

absl::Status Pair(const std::string& text, std::map<std::string, std::string>* out) {
  const std::pair<std::string, std::string> pair = absl::StrSplit(text, absl::MaxSplits('=', 1));
  if (pair.first.empty() || text.find('=') == std::string::npos) {
    return absl::InvalidArgumentError(absl::StrCat("'", text, "' is not KEY=VALUE"));
  }
  (*out)[pair.first] = pair.second;
  return absl::OkStatus();
}

void AddFlags(Options* o, Flags& flags) {
  AddComponentFlags(&o->component, /*with_election=*/false, flags);
  kubelet::HollowOptions& hollow = o->hollow;
  flags.Number("hollow", {}, &o->nodes, 1, 100'000, "how many nodes");
  flags.Text("node-name-prefix", {}, &hollow.name_prefix, "TEXT", "names are TEXT0, TEXT1, …");
  flags.Text("node-cpu", {}, &hollow.cpu, "QUANTITY", "of each node");
  flags.Text("node-memory", {}, &hollow.memory, "QUANTITY", "of each node");
  flags.Number("max-pods", {}, &o->pods_max, 0, 100'000, "of each node");
  flags.Number("node-zones", {}, &o->zones, 0, 1000, "spread over so many zones");
  flags.Custom("node-label", {}, "KEY=VALUE", "of each node; %d is its number; may be repeated",
               [&hollow](const std::string& text) { return Pair(text, &hollow.labels); });
  flags.Custom(
      "extended-resource", {}, "NAME=QUANTITY", "of each node; may be repeated",
      [&hollow](const std::string& text) { return Pair(text, &hollow.extended_resources); });
  flags.Repeated("register-with-taints", {}, &hollow.taints, "KEY=VALUE:EFFECT",
                 "of each node; may be repeated");
  flags.Number("port", {}, &o->port, 0, 65535, "of the nodes' statistics and logs; 0: any");
  flags.Time("start-delay", {}, &hollow.start_delay, "until containers run");
  flags.Time("ready-delay", {}, &hollow.ready_delay, "from then until they are ready");
  flags.Time("stop-delay", {}, &hollow.stop_delay, "until they have stopped");
  flags.Time("run-for", {}, &hollow.run_for, "after which containers of Jobs end");
  flags.Number("pod-cpu-milli", {}, &o->cpu_milli, 0, 1'000'000, "what a pod uses");
  flags.Custom(
      "failure-rate", {}, "0…1", "part of all starts that fail", [o](const std::string& text) {
        char* end = nullptr;
        o->failure_rate = std::strtod(text.c_str(), &end);
        if (*end == '\0' && !text.empty() && o->failure_rate >= 0 && o->failure_rate <= 1) {
          return absl::OkStatus();
        }
        return absl::InvalidArgumentError(absl::StrCat("'", text, "' is not in 0…1"));
      });
}

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "meltemi-orchestrator kubelet: %s\n", std::string(status.message()).c_str());
  return 2;
}

}  // namespace

int HollowKubeletMain(const std::vector<std::string>& args, const std::vector<std::string>& argv) {
  Options options;
  Flags flags(kUsage);
  AddFlags(&options, flags);
  absl::Status status = flags.Parse(args);
  if (flags.help_wanted()) {
    std::fputs(flags.Help().c_str(), stdout);
    return 0;
  }
  if (status.ok()) status = CheckComponentOptions(options.component);
  if (!status.ok()) {
    return Fail(absl::InvalidArgumentError(
        absl::StrCat(status.message(), "; see meltemi-orchestrator kubelet --help")));
  }
  kubelet::HollowOptions& hollow = options.hollow;
  hollow.nodes = static_cast<int>(options.nodes);
  hollow.pods_max = static_cast<int>(options.pods_max);
  hollow.zones = static_cast<int>(options.zones);
  hollow.port = static_cast<uint16_t>(options.port);
  hollow.cpu_milli_per_pod = options.cpu_milli;
  hollow.failure_rate = options.failure_rate;
  ComponentSpec spec{
      .name = "kubelet", .options = options.component, .threads_max = 64, .elects = false};
  spec.make_work = [&hollow](Parts& parts) -> absl::StatusOr<std::unique_ptr<Work>> {
    auto work = std::make_unique<HollowWork>(parts, hollow);
    if (absl::Status status = work->Serve(); !status.ok()) return status;
    return work;
  };
  return RunComponent(spec, argv);
}

}  // namespace meltemi::orchestrator
