#include "orchestrator/app/controller_manager_options.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/flags/flags.h"

namespace meltemi::orchestrator {
namespace {

constexpr char kUsage[] =
    "meltemi-orchestrator controller-manager [OPTIONS]\n\n"
    "Makes the cluster what its objects say: Deployments become pods, Services get endpoints, "
    "what\n"
    "has lost its owner goes.";

void List(Flags& flags, const char* name, std::vector<std::string>* out, const char* value_name,
          const char* help) {
  flags.Custom(name, {}, value_name, help, [out](const std::string& text) {
    *out = absl::StrSplit(text, ',', absl::SkipEmpty());
    return absl::OkStatus();
  });
}

void AddFlags(ControllerManagerOptions* o, Flags& flags) {
  AddComponentFlags(&o->component, /*with_election=*/true, flags);
  List(flags, "controllers", &o->controllers, "NAME,…",
       "that run; '*': all (default); -NAME: not that one");
  flags.Text("root-ca-file", {}, &o->root_ca_file, "FILE",
             "PEM for every namespace's kube-root-ca.crt; default: the kubeconfig's");
  flags.Text("cluster-signing-cert-file", {}, &o->cluster_signing_cert_file, "FILE",
             "PEM: the authority that signs kubelets' certificates; default: none");
  flags.Text("cluster-signing-key-file", {}, &o->cluster_signing_key_file, "FILE", "PEM: its key");
  flags.Time("cluster-signing-duration", {}, &o->cluster_signing_duration,
             "how long signed certificates are valid at most");
  flags.Switch("use-service-account-credentials", {}, &o->service_account_credentials,
               "each controller acts as a service account of its own (default: true)");
  List(flags, "load-balancer-pool", &o->load_balancer_pool, "IP|CIDR|FIRST-LAST,…",
       "addresses for Services of type LoadBalancer; default: they stay pending");
  flags.Text("cluster-dns-ip", {}, &o->cluster_dns_ip, "IP",
             "of the Service kube-system/kube-dns; empty: it is not made");
  List(flags, "cluster-cidr", &o->cluster_cidrs, "CIDR,…",
       "pod addresses, of which each node gets a part; default: none");
  flags.Number("node-cidr-mask-size", {}, &o->node_cidr_mask_size, 8, 30, "of a node's part");
  flags.Time("node-monitor-period", {}, &o->node_monitor_period, "between looks at nodes");
  flags.Time("node-monitor-grace-period", {}, &o->node_monitor_grace_period,
             "a node that is silent for so long is unhealthy");
  flags.Time("node-startup-grace-period", {}, &o->node_startup_grace_period,
             "the same for one that has just appeared");
  flags.Number("terminated-pod-gc-threshold", {}, &o->terminated_pod_gc_threshold, 0, 1'000'000'000,
               "finished pods that are kept; 0: all");
  flags.Time("horizontal-pod-autoscaler-sync-period", {}, &o->autoscaler_sync_period,
             "between looks at metrics");
  flags.Time("horizontal-pod-autoscaler-downscale-stabilization", {},
             &o->autoscaler_downscale_stabilization, "scale down only to the highest of this long");
  flags.Time("horizontal-pod-autoscaler-cpu-initialization-period", {},
             &o->autoscaler_cpu_initialization_period, "a pod's first CPU figures may be odd");
  flags.Time("horizontal-pod-autoscaler-initial-readiness-delay", {},
             &o->autoscaler_initial_readiness_delay,
             "readiness that changes after it is no start-up any more");
}

}  // namespace

absl::StatusOr<ControllerManagerOptions> ParseControllerManagerOptions(
    const std::vector<std::string>& args, std::string* print) {
  ControllerManagerOptions options;
  options.component.kubeconfig = "/var/lib/meltemi/controller-manager.kubeconfig";
  options.component.secure_port = 10257;
  options.component.lease_name = "kube-controller-manager";
  Flags flags(kUsage);
  AddFlags(&options, flags);
  absl::Status status = flags.Parse(args);
  if (status.ok()) status = CheckComponentOptions(options.component);
  if (status.ok() &&
      options.cluster_signing_cert_file.empty() != options.cluster_signing_key_file.empty()) {
    status = absl::InvalidArgumentError(
        "--cluster-signing-cert-file and --cluster-signing-key-file belong together: give both or "
        "neither");
  }
  if (!status.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat(status.message(), "; see meltemi-orchestrator controller-manager --help"));
  }
  if (flags.help_wanted()) *print = flags.Help();
  return options;
}

}  // namespace meltemi::orchestrator
