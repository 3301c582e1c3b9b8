#include "orchestrator/app/kube_proxy_main.h"

#include <cstdio>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/flags/flags.h"
#include "orchestrator/component/run.h"
#include "orchestrator/kubeproxy/kube_proxy.h"
#include "orchestrator/network/node_network.h"

namespace meltemi::orchestrator {
namespace {

constexpr char kUsage[] =
    "meltemi-orchestrator kube-proxy [OPTIONS]\n\n"
    "Leads packets for services to their pods, on this node.";

struct Options {
  ComponentOptions component;
  kubeproxy::KubeProxyOptions proxy;
  bool cleanup = false, pod_routes = false;
};

class KubeProxyWork final : public Work {
 public:
  // `network`: null, or keeps routes to pods.
  KubeProxyWork(std::unique_ptr<kubeproxy::KubeProxy> proxy,
                std::unique_ptr<network::NodeNetwork> network)
      : proxy_(std::move(proxy)), network_(std::move(network)) {}
  void Start() override {
    proxy_->Start();
    if (network_ != nullptr) network_->Start();
  }
  const kubeproxy::KubeProxy& proxy() const { return *proxy_; }

 private:
  const std::unique_ptr<kubeproxy::KubeProxy> proxy_;
  const std::unique_ptr<network::NodeNetwork> network_;
};

void AddFlags(Options* o, Flags& flags) {
  AddComponentFlags(&o->component, /*with_election=*/false, flags);
  kubeproxy::KubeProxyOptions& proxy = o->proxy;
  flags.Text("hostname-override", {}, &proxy.node_name, "NAME", "the node; default: the host name");
  flags.Choice("proxy-mode", {}, &proxy.mode, {"nftables", "iptables"}, "what writes the rules");
  flags.Text("cluster-cidr", {}, &proxy.cluster_cidr, "CIDR", "where pods are");
  flags.Repeated("node-port-addresses", {}, &proxy.node_port_addresses, "CIDR",
                 "where node ports are served, or 'primary'; may be repeated");
  flags.Switch("masquerade-all", {}, &proxy.masquerade_all, "of all that goes to services");
  flags.Time("iptables-min-sync-period", {}, &proxy.sync_min, "between two changes of the rules");
  flags.Time("iptables-sync-period", {}, &proxy.sync_full, "after which all rules are looked at");
  flags.Switch("pod-routes", {}, &o->pod_routes,
               "also keep routes to nodes' pods: on a machine that is no node itself");
  flags.Switch("cleanup", {}, &o->cleanup, "take all rules away and end");
}

int Fail(const absl::Status& status, int code) {
  std::fprintf(stderr, "meltemi-orchestrator kube-proxy: %s\n",
               std::string(status.message()).c_str());
  return code;
}

}  // namespace

int KubeProxyMain(const std::vector<std::string>& args, const std::vector<std::string>& argv) {
  Options options;
  options.component.kubeconfig = "/var/lib/meltemi/kubelet.kubeconfig";
  options.component.secure_port = 10249;
  options.proxy.node_name = HostName();
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
                    absl::StrCat(status.message(), "; see meltemi-orchestrator kube-proxy --help")),
                2);
  }
  if (options.cleanup) {
    status = kubeproxy::RemoveAllRules();
    return status.ok() ? 0 : Fail(status, 1);
  }
  // It keeps what it needs of each object itself.
  ComponentSpec spec{.name = "kube-proxy",
                     .options = options.component,
                     .threads_max = 16,
                     .elects = false,
                     .messages_max = 500};
  spec.make_work = [&options](Parts& parts) -> absl::StatusOr<std::unique_ptr<Work>> {
    absl::StatusOr<std::unique_ptr<kubeproxy::KubeProxy>> proxy =
        kubeproxy::NewKubeProxy(options.proxy, parts.informers, parts.executor,
                                parts.RecorderOf("kube-proxy"), &parts.metrics);
    if (!proxy.ok()) return proxy.status();
    std::unique_ptr<network::NodeNetwork> network;
    if (options.pod_routes) {
      network = network::NewNodeNetwork({.node_name = options.proxy.node_name,
                                         .cni_conf_dir = "",
                                         .cluster_cidr = options.proxy.cluster_cidr},
                                        parts.informers, parts.executor);
    }
    auto work = std::make_unique<KubeProxyWork>(*std::move(proxy), std::move(network));
    parts.pages.AddCheck({.name = "sync", .check = [proxy = &work->proxy()] {
                            return proxy->healthy() ? absl::OkStatus()
                                                    : absl::UnavailableError("rules are overdue");
                          }});
    return work;
  };
  return RunComponent(spec, argv);
}

}  // namespace meltemi::orchestrator
