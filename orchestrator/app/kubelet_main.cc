#include "orchestrator/app/kubelet_main.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/flags/flags.h"
#include "orchestrator/app/hollow_kubelet_main.h"
#include "orchestrator/app/node_kubelet.h"
#include "orchestrator/component/run.h"
#include "orchestrator/kubelet/bootstrap/bootstrap.h"

namespace meltemi::orchestrator {
namespace {

constexpr char kUsage[] =
    "meltemi-orchestrator kubelet [OPTIONS]\n\n"
    "Runs the pods of this node, in a container runtime. With --hollow N: see\n"
    "meltemi-orchestrator kubelet --hollow 1 --help.";

struct Options {
  ComponentOptions component;
  NodeKubeletOptions node;
  uint32_t port = 10250, pods_max = 110, log_files_max = 5, log_size_mib = 10;
  bool no_network = false;
};

absl::Status Pair(const std::string& text, std::map<std::string, std::string>* out) {
  for (const absl::string_view part : absl::StrSplit(text, ',')) {
    const std::pair<std::string, std::string> pair = absl::StrSplit(part, absl::MaxSplits('=', 1));
    if (pair.first.empty() || !absl::StrContains(part, '=')) {
      return absl::InvalidArgumentError(absl::StrCat("'", text, "' is not KEY=VALUE"));
    }
    (*out)[pair.first] = pair.second;
  }
  return absl::OkStatus();
}

void AddNodeFlags(Options* o, Flags& flags) {
  kubelet::NodeOptions& node = o->node.node;
  flags.Text("hostname-override", {}, &node.name, "NAME", "the node; default: the host name");
  flags.Text("node-ip", {}, &node.ip, "IP", "default: of the default route's interface");
  flags.Number("max-pods", {}, &o->pods_max, 1, 10'000, "that it takes");
  flags.Custom("node-labels", {}, "KEY=VALUE,…", "beside the usual ones",
               [&node](const std::string& text) { return Pair(text, &node.labels); });
  flags.Repeated("register-with-taints", {}, &node.taints, "KEY=VALUE:EFFECT", "may be repeated");
  flags.Custom("system-reserved", {}, "NAME=QUANTITY,…", "of the node's capacity",
               [&node](const std::string& text) { return Pair(text, &node.system_reserved); });
  flags.Custom("kube-reserved", {}, "NAME=QUANTITY,…", "of the node's capacity",
               [&node](const std::string& text) { return Pair(text, &node.kube_reserved); });
}

void AddFlags(Options* o, Flags& flags) {
  AddComponentFlags(&o->component, /*with_election=*/false, flags);
  NodeKubeletOptions& node = o->node;
  flags.Text("bootstrap-kubeconfig", {}, &node.identity.bootstrap_kubeconfig, "FILE",
             "with what it asks for a certificate where --kubeconfig is not there yet");
  flags.Text("cert-dir", {}, &node.identity.cert_dir, "FOLDER", "of its certificates");
  flags.Text("container-runtime-endpoint", {}, &node.container_runtime_endpoint, "unix://PATH",
             "a CRI v1 runtime");
  flags.Text("root-dir", {}, &node.root_dir, "FOLDER", "of pods and their volumes");
  flags.Text("pod-log-dir", {}, &node.pod_log_dir, "FOLDER", "of containers' logs");
  flags.Text("local-volumes-dir", {}, &node.local_volumes_dir, "FOLDER",
             "of volumes that are made for claims");
  flags.Text("cgroup-root", {}, &node.cgroup_root, "PATH", "below which pods are");
  flags.Text("usage-cgroup", {}, &node.usage_cgroup, "PATH",
             "whose usage is the node's; '/': the machine; default: --cgroup-root");
  flags.Text("cni-conf-dir", {}, &node.cni_conf_dir, "FOLDER",
             "where the runtime looks for its network");
  flags.Text("cni-ipam-dir", {}, &node.cni_ipam_dir, "FOLDER", "of the pod addresses in use");
  flags.Text("cni-chained-plugin", {}, &node.cni_chained_plugin, "NAME",
             "a CNI plugin behind the others that gets the pods' annotations, such as meltemi-cni");
  flags.Switch("no-network", {}, &o->no_network, "somebody else sets the pod network up");
  flags.Text("cluster-cidr", {}, &node.cluster_cidr, "CIDR", "of all pods");
  flags.Repeated("cluster-dns", {}, &node.cluster_dns, "IP", "pods' name server; may be repeated");
  flags.Text("cluster-domain", {}, &node.cluster_domain, "NAME", "of services and pods");
  flags.Text("resolv-conf", {}, &node.resolv_conf, "FILE", "of pods with dnsPolicy Default");
  flags.Text("address", {}, &node.bind_address, "IP", "of --port");
  flags.Number("port", {}, &o->port, 0, 65535, "of logs, exec, statistics");
  flags.Number("container-log-max-size", {}, &o->log_size_mib, 1, 10'000, "in MiB");
  flags.Number("container-log-max-files", {}, &o->log_files_max, 2, 100, "of one container");
  AddNodeFlags(o, flags);
}

int Fail(const absl::Status& status, int code) {
  std::fprintf(stderr, "meltemi-orchestrator kubelet: %s\n", std::string(status.message()).c_str());
  return code;
}

int NodeKubeletMain(const std::vector<std::string>& args, const std::vector<std::string>& argv) {
  Options options;
  options.component.kubeconfig = "/var/lib/meltemi/kubelet.kubeconfig";
  options.node.identity.cert_dir = "/var/lib/kubelet/pki";
  options.node.node.name = HostName();
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
                    absl::StrCat(status.message(), "; see meltemi-orchestrator kubelet --help")),
                2);
  }
  NodeKubeletOptions& node = options.node;
  node.port = static_cast<uint16_t>(options.port);
  node.node.pods_max = static_cast<int>(options.pods_max);
  node.manage_network = !options.no_network;
  node.logs.size_max = int64_t{options.log_size_mib} << 20;
  node.logs.files_max = static_cast<int>(options.log_files_max);
  node.identity.node_name = node.node.name;
  node.identity.kubeconfig = options.component.kubeconfig;
  const SystemClock clock;
  status = kubelet::EnsureIdentity(node.identity, clock);
  if (!status.ok()) return Fail(status, 1);
  ComponentSpec spec{
      .name = "kubelet", .options = options.component, .threads_max = 64, .elects = false};
  spec.make_work = [&node](Parts& parts) { return NewNodeKubelet(node, parts); };
  return RunComponent(spec, argv);
}

}  // namespace

int KubeletMain(const std::vector<std::string>& args, const std::vector<std::string>& argv) {
  const bool hollow = std::any_of(args.begin(), args.end(), [](const std::string& arg) {
    return arg == "--hollow" || absl::StartsWith(arg, "--hollow=");
  });
  return hollow ? HollowKubeletMain(args, argv) : NodeKubeletMain(args, argv);
}

}  // namespace meltemi::orchestrator
