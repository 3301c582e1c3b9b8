// The options that every client of the API server shares (controller-manager, scheduler, kubelet),
// by Kubernetes' names.
//
// Threads: plain values.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "base/clock/clock.h"

namespace meltemi {
class Flags;
}  // namespace meltemi

namespace meltemi::orchestrator {

struct ComponentOptions {
  std::string kubeconfig = "/var/lib/meltemi/admin.kubeconfig";
  std::string bind_address = "0.0.0.0";
  uint32_t secure_port = 0;  // of /healthz, /metrics, /debug
  // Gets "https://IP:PORT" once the component works (or stands by).
  std::string address_file;
  std::string tls_cert_file, tls_key_file;  // "": made for this run
  std::string client_ca_file;               // who signs clients' certificates; "": nobody
  bool leader_elect = true;
  std::string lease_name;
  Duration lease_duration = seconds(15);
  Duration renew_deadline = seconds(10);
  Duration retry_period = seconds(2);
  std::string log_level = "info";
};

void AddComponentFlags(ComponentOptions* options, bool with_election, Flags& flags);
// Error: what is wrong, beyond what the flags see by themselves.
absl::Status CheckComponentOptions(const ComponentOptions& options);

}  // namespace meltemi::orchestrator
