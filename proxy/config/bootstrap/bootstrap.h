// What a proxy is started with: a bootstrap file in Envoy's form, or a handful of sidecar options.
//
// Main thread, at start only. Nothing is silently ignored: a field that is not supported is an
// error with its name, except what only concerns Envoy's own inner workings (listed in README.md).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/clock/clock.h"
#include "base/net/address.h"
#include "proxy/config/secrets/credential_files.h"

namespace envoy::config::bootstrap::v3 {
class Bootstrap;
}
namespace envoy::config::core::v3 {
class Node;
}

namespace meltemi::proxy {

struct Workload;  // proxy/observe/mesh_stats.h

// Where the control plane is.
struct AdsTarget {
  // Tried in turn. A name is resolved at each connection; "unix:/path" as it stands.
  struct Endpoint {
    std::string host;  // an IP address, a DNS name, or "unix:/path"
    uint16_t port = 0;
    std::string ToString() const;
  };
  std::vector<Endpoint> endpoints;
  std::string authority;  // of the gRPC requests
  bool delta = false;     // incremental (DELTA_GRPC) instead of state of the world (GRPC)
  std::vector<std::pair<std::string, std::string>> initial_metadata;
  Duration connect_timeout = seconds(5);
  CredentialFiles credentials;
};

// Where this workload's certificate comes from.
struct CaTarget {
  AdsTarget::Endpoint endpoint;
  CredentialFiles credentials;
  std::string identity;  // "spiffe://TRUST_DOMAIN/ns/NAMESPACE/sa/SERVICE_ACCOUNT"
  std::string cluster_id;
  Duration validity = minutes(24 * 60);  // that is asked for
};

struct Bootstrap {
  Bootstrap();
  Bootstrap(Bootstrap&&) noexcept;
  Bootstrap& operator=(Bootstrap&&) noexcept;
  ~Bootstrap();

  // Never null: node, static_resources and all the rest, for the compilers and /config_dump.
  std::unique_ptr<envoy::config::bootstrap::v3::Bootstrap> proto;
  std::optional<net::Address> admin_address;
  std::optional<AdsTarget> ads;
  std::optional<CaTarget> ca;
  bool clusters_over_ads = false;                // dynamic_resources.cds_config
  bool listeners_over_ads = false;               // dynamic_resources.lds_config
  Duration initial_fetch_timeout = seconds(15);  // the longer of the two; 0: for ever

  const envoy::config::core::v3::Node& node() const;
};

// What is accepted and without effect here is appended to `*notes` (one line each) for the log.
// Error: "FILE:LINE: field.path: what is wrong", or the name of the unsupported field.
absl::StatusOr<Bootstrap> ParseBootstrap(absl::string_view text, absl::string_view source,
                                         std::vector<std::string>* notes);
absl::StatusOr<Bootstrap> LoadBootstrap(const std::string& path, std::vector<std::string>* notes);

// The same checks for a message that is at hand.
absl::StatusOr<Bootstrap> BootstrapOf(const envoy::config::bootstrap::v3::Bootstrap& proto,
                                      absl::string_view source,
                                      std::vector<std::string>* notes = nullptr);

// A workload's own description, for sidecar mode.
struct SidecarOptions {
  std::string xds_address;            // "host:port", "[::1]:port" or "unix:/path"; needed
  std::string node_type = "sidecar";  // or "router"
  std::string node_id;                // whole; "" = TYPE~IP~NAME.NAMESPACE~NAMESPACE.svc.DOMAIN
  std::string ip;                     // "" = the first global address of the interfaces
  std::string workload;               // pod name; "" = host name
  std::string workload_name;          // of its owner (deployment); "" = workload
  std::string namespace_ = "default";
  std::string domain = "cluster.local";
  std::string service_cluster;  // "" = APP.NAMESPACE, else WORKLOAD_NAME.NAMESPACE
  std::string service_account;
  std::string cluster_id = "Kubernetes";
  std::string mesh_id = "cluster.local";
  // TLS to the control plane, verified against these roots; "": plaintext.
  std::string root_cert;
  // What the control plane and the authority know this workload by; "": none.
  std::string token_file;
  std::string ca_address;  // "" = xds_address; "off": no certificate of our own
  std::string trust_domain = "cluster.local";
  Duration secret_ttl = minutes(24 * 60);  // that the certificate is asked for
  std::vector<std::string> labels;         // "key=value"
  std::string labels_file;                 // key="value" per line, as Kubernetes writes them
  std::vector<std::string> metadata;       // "KEY=text", or "KEY=json"
  uint16_t admin_port = 15000;
  bool delta_xds = true;  // incremental instead of state of the world
  Duration initial_fetch_timeout = seconds(15);
};

// The bootstrap that says the same. Error: the option and what was wrong with it.
absl::StatusOr<Bootstrap> SidecarBootstrap(const SidecarOptions& options);

// Who this proxy is, from node.id and Istio's node metadata.
std::shared_ptr<const Workload> WorkloadOf(const envoy::config::core::v3::Node& node);

}  // namespace meltemi::proxy
