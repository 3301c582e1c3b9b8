// The options of `meltemi-orchestrator controller-manager`: kube-controller-manager's names where
// it has the same thing.
//
// Threads: plain values.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/clock/clock.h"
#include "orchestrator/component/options.h"

namespace meltemi::orchestrator {

struct ControllerManagerOptions {
  ComponentOptions component;
  // "*": all; "-NAME": not that one; names: only those.
  std::vector<std::string> controllers = {"*"};
  std::string root_ca_file;  // for kube-root-ca.crt; "": the CA of the kubeconfig
  // Who signs the certificates of kubelets; "": nobody.
  std::string cluster_signing_cert_file, cluster_signing_key_file;
  Duration cluster_signing_duration = minutes(365 * 24 * 60);
  bool service_account_credentials = true;
  std::vector<std::string> load_balancer_pool;
  std::string cluster_dns_ip = "10.96.0.10";  // of kube-system/kube-dns; "": no such Service
  std::vector<std::string> cluster_cidrs;     // of pods; empty: nodes get no ranges
  uint32_t node_cidr_mask_size = 24;
  Duration node_monitor_period = seconds(5);
  Duration node_monitor_grace_period = seconds(40);
  Duration node_startup_grace_period = seconds(60);
  uint32_t terminated_pod_gc_threshold = 12'500;
  Duration autoscaler_sync_period = seconds(15);
  Duration autoscaler_downscale_stabilization = minutes(5);
  Duration autoscaler_cpu_initialization_period = minutes(5);
  Duration autoscaler_initial_readiness_delay = seconds(30);
};

// What to print instead of running goes to `*print` (--help).
absl::StatusOr<ControllerManagerOptions> ParseControllerManagerOptions(
    const std::vector<std::string>& args, std::string* print);

}  // namespace meltemi::orchestrator
