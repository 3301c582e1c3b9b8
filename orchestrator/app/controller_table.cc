#include "orchestrator/app/controller_table.h"

#include <algorithm>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "orchestrator/component/files.h"
#include "orchestrator/controllers/autoscaler/autoscaler.h"
#include "orchestrator/controllers/certificates/certificates.h"
#include "orchestrator/controllers/clusterdns/cluster_dns.h"
#include "orchestrator/controllers/cronjob/cronjob.h"
#include "orchestrator/controllers/daemonset/daemonset.h"
#include "orchestrator/controllers/deployment/deployment.h"
#include "orchestrator/controllers/disruption/disruption.h"
#include "orchestrator/controllers/endpoints/endpoints.h"
#include "orchestrator/controllers/garbage/garbage.h"
#include "orchestrator/controllers/job/job.h"
#include "orchestrator/controllers/namespaces/namespaces.h"
#include "orchestrator/controllers/nodes/ipam/ipam.h"
#include "orchestrator/controllers/nodes/nodes.h"
#include "orchestrator/controllers/podgc/podgc.h"
#include "orchestrator/controllers/replicaset/replicaset.h"
#include "orchestrator/controllers/serviceaccounts/serviceaccounts.h"
#include "orchestrator/controllers/services/services.h"
#include "orchestrator/controllers/statefulset/statefulset.h"
#include "orchestrator/controllers/volumes/volumes.h"

namespace meltemi::orchestrator {
namespace {

using controllers::Context;
using controllers::Running;
using Options = ControllerManagerOptions;
using Made = absl::StatusOr<std::unique_ptr<Running>>;

// A controller that needs nothing but its context.
template <std::unique_ptr<Running> (*kNew)(Context&)>
Made Plain(Context& context, const Options&, const std::string&) {
  return kNew(context);
}

Made NodeLifecycle(Context& context, const Options& options, const std::string&) {
  return controllers::NewNodeLifecycleController(
      context, {.monitor_period = options.node_monitor_period,
                .monitor_grace = options.node_monitor_grace_period,
                .startup_grace = options.node_startup_grace_period});
}

Made PodGarbage(Context& context, const Options& options, const std::string&) {
  return controllers::NewPodGarbageCollector(
      context, {.terminated_pods_max = static_cast<int>(options.terminated_pod_gc_threshold)});
}

Made Autoscaler(Context& context, const Options& options, const std::string&) {
  return controllers::NewAutoscalerController(
      context, {.sync_period = options.autoscaler_sync_period,
                .downscale_stabilization = options.autoscaler_downscale_stabilization,
                .cpu_initialization_period = options.autoscaler_cpu_initialization_period,
                .initial_readiness_delay = options.autoscaler_initial_readiness_delay});
}

Made RootCa(Context& context, const Options&, const std::string& root_ca_pem) {
  return controllers::NewRootCaPublisher(context, root_ca_pem);
}

Made NodeIpam(Context& context, const Options& options, const std::string&) {
  if (options.cluster_cidrs.empty()) return nullptr;
  return controllers::NewNodeIpamController(
      context, {.cluster_cidrs = options.cluster_cidrs,
                .node_mask_ipv4 = static_cast<int>(options.node_cidr_mask_size)});
}

Made ClusterDns(Context& context, const Options& options, const std::string&) {
  if (options.cluster_dns_ip.empty()) return nullptr;
  return controllers::NewClusterDnsController(context, {.cluster_ip = options.cluster_dns_ip});
}

Made CertificateSigner(Context& context, const Options& options, const std::string&) {
  if (options.cluster_signing_cert_file.empty()) return nullptr;
  absl::StatusOr<std::string> certificate = ReadWholeFile(options.cluster_signing_cert_file);
  if (!certificate.ok()) return certificate.status();
  absl::StatusOr<std::string> key = ReadWholeFile(options.cluster_signing_key_file);
  if (!key.ok()) return key.status();
  Made made =
      controllers::NewCertificateSigner(context, {.ca_cert_pem = *std::move(certificate),
                                                  .ca_key_pem = *std::move(key),
                                                  .duration = options.cluster_signing_duration});
  if (made.ok()) return made;
  return absl::InvalidArgumentError(
      absl::StrCat("--cluster-signing-cert-file: ", made.status().message()));
}

Made LoadBalancer(Context& context, const Options& options, const std::string&) {
  const absl::Status pool = controllers::CheckLoadBalancerPool(options.load_balancer_pool);
  if (!pool.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("--load-balancer-pool: ", pool.message()));
  }
  return controllers::NewLoadBalancerController(context, options.load_balancer_pool);
}

}  // namespace

const std::vector<ControllerEntry>& AllControllers() {
  using namespace controllers;  // NOLINT: the table reads better
  static const std::vector<ControllerEntry>& table = *new std::vector<ControllerEntry>{
      {"serviceaccount-controller", "service-account-controller", "serviceaccount-controller",
       &Plain<NewServiceAccountController>},
      {"root-ca-certificate-publisher-controller", "root-ca-cert-publisher",
       "root-ca-certificate-publisher", &RootCa},
      {"namespace-controller", "namespace-controller", "namespace-controller",
       &Plain<NewNamespaceController>},
      {"garbage-collector-controller", "generic-garbage-collector", "garbage-collector-controller",
       &Plain<NewGarbageCollector>},
      {"pod-garbage-collector-controller", "pod-garbage-collector", "pod-garbage-collector",
       &PodGarbage},
      {"replicaset-controller", "replicaset-controller", "replicaset-controller",
       &Plain<NewReplicaSetController>},
      {"replicationcontroller-controller", "replication-controller", "replication-controller",
       &Plain<NewReplicationControllerController>},
      {"deployment-controller", "deployment-controller", "deployment-controller",
       &Plain<NewDeploymentController>},
      {"statefulset-controller", "statefulset-controller", "statefulset-controller",
       &Plain<NewStatefulSetController>},
      {"daemonset-controller", "daemon-set-controller", "daemonset-controller",
       &Plain<NewDaemonSetController>},
      {"job-controller", "job-controller", "job-controller", &Plain<NewJobController>},
      {"ttl-after-finished-controller", "ttl-after-finished-controller",
       "ttl-after-finished-controller", &Plain<NewFinishedJobsController>},
      {"cronjob-controller", "cronjob-controller", "cronjob-controller",
       &Plain<NewCronJobController>},
      {"endpoints-controller", "endpoint-controller", "endpoint-controller",
       &Plain<NewEndpointsController>},
      {"endpointslice-controller", "endpointslice-controller", "endpoint-slice-controller",
       &Plain<NewEndpointSliceController>},
      {"endpointslice-mirroring-controller", "endpointslicemirroring-controller",
       "endpoint-slice-mirroring-controller", &Plain<NewEndpointSliceMirroringController>},
      {"service-lb-controller", "service-controller", "service-controller", &LoadBalancer},
      {"cluster-dns-controller", "cluster-dns-controller", "cluster-dns-controller", &ClusterDns},
      {"node-ipam-controller", "node-controller", "cidrAllocator", &NodeIpam},
      {"node-lifecycle-controller", "node-controller", "node-controller", &NodeLifecycle},
      {"taint-eviction-controller", "node-controller", "taint-eviction-controller",
       &Plain<NewTaintEvictionController>},
      {"disruption-controller", "disruption-controller", "controllermanager",
       &Plain<NewDisruptionController>},
      {"certificatesigningrequest-approving-controller", "certificate-controller",
       "certificate-controller", &Plain<NewCertificateApprover>},
      {"certificatesigningrequest-signing-controller", "certificate-controller",
       "certificate-controller", &CertificateSigner},
      {"certificatesigningrequest-cleaner-controller", "certificate-controller",
       "certificate-controller", &Plain<NewCertificateCleaner>},
      {"token-cleaner-controller", "token-cleaner", "token-cleaner",
       &Plain<NewBootstrapTokenCleaner>},
      {"horizontal-pod-autoscaler-controller", "horizontal-pod-autoscaler",
       "horizontal-pod-autoscaler", &Autoscaler},
      {"persistentvolume-binder-controller", "persistent-volume-binder",
       "persistentvolume-controller", &Plain<NewVolumeBinder>},
      {"persistentvolumeclaim-protection-controller", "pvc-protection-controller",
       "pvc-protection-controller", &Plain<NewClaimProtection>},
      {"persistentvolume-protection-controller", "pv-protection-controller",
       "pv-protection-controller", &Plain<NewVolumeProtection>},
      {"ephemeral-volume-controller", "ephemeral-volume-controller", "ephemeral_volume",
       &Plain<NewEphemeralVolumes>},
  };
  return table;
}

absl::StatusOr<std::vector<const ControllerEntry*>> ChosenControllers(
    const std::vector<std::string>& wanted) {
  std::set<std::string> known;
  for (const ControllerEntry& entry : AllControllers()) known.insert(entry.name);
  std::set<std::string> yes, no;
  for (const std::string& word : wanted) {
    const bool off = absl::StartsWith(word, "-");
    const std::string name = off ? word.substr(1) : word;
    if (name == "*" && !off) {
      yes.insert(known.begin(), known.end());
    } else if (known.count(name) == 0) {
      return absl::InvalidArgumentError(absl::StrCat("--controllers: there is no '", name,
                                                     "'; there are ", absl::StrJoin(known, ", ")));
    } else {
      (off ? no : yes).insert(name);
    }
  }
  std::vector<const ControllerEntry*> out;
  for (const ControllerEntry& entry : AllControllers()) {
    if (yes.count(entry.name) > 0 && no.count(entry.name) == 0) out.push_back(&entry);
  }
  return out;
}

}  // namespace meltemi::orchestrator
