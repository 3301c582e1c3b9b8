// The options of `meltemi-orchestrator apiserver`: kube-apiserver's names where it has the same
// thing.
//
// Threads: plain values.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/clock/clock.h"

namespace meltemi::orchestrator {

struct ApiServerOptions {
  std::string data_dir = "/var/lib/meltemi";
  std::string bind_address = "0.0.0.0";
  uint32_t secure_port = 6443;
  std::string advertise_address;  // "": the machine's first global address
  // Gets "https://IP:PORT" once the server is ready.
  std::string address_file;
  std::vector<std::string> extra_names;  // more names and addresses of the serving certificate

  std::vector<std::string> etcd_servers;  // empty: SQLite in data_dir
  std::string etcd_ca_file, etcd_cert_file, etcd_key_file;
  uint32_t store_mib_max = 8192;

  std::string client_ca_file;               // "": the cluster's own authority
  std::string tls_cert_file, tls_key_file;  // "": made in data_dir/pki
  std::string token_auth_file;
  bool anonymous_auth = true;
  std::vector<std::string> authorization_modes = {"Node", "RBAC"};
  std::string service_account_issuer = "https://kubernetes.default.svc.cluster.local";
  std::vector<std::string> api_audiences;
  std::vector<std::string> enable_admission_plugins, disable_admission_plugins;

  std::string service_cluster_ip_range = "10.96.0.0/12";
  std::string service_node_port_range = "30000-32767";
  Duration event_ttl = seconds(3600);
  Duration request_timeout = seconds(60);
  uint32_t reads_in_flight_max = 400;
  uint32_t writes_in_flight_max = 200;
  uint32_t loops = 2;
  std::string log_level = "info";
};

// What to print instead of running goes to `*print` (--help).
absl::StatusOr<ApiServerOptions> ParseApiServerOptions(const std::vector<std::string>& args,
                                                       std::string* print);

}  // namespace meltemi::orchestrator
