// What an operator sets for all injected pods.
//
// Threads: plain values; shared as `shared_ptr<const InjectSettings>` once read.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/json/value.h"
#include "kube/selector/selector.h"

namespace meltemi::pilot {

inline constexpr char kDefaultProxyImage[] = "meltemi/proxy:0.1.0";
inline constexpr uint32_t kProxyId = 1337;             // uid and gid; never redirected
inline constexpr uint32_t kDefaultProbesPort = 15020;  // Istio's agent's

// Istio's ProxyConfig as far as it concerns the pod. Mesh-wide, then by the annotation
// proxy.istio.io/config.
struct ProxyConfig {
  uint32_t concurrency = 2;            // worker threads; 0: one for each CPU
  std::string drain_duration = "45s";  // what is in flight at the end has so long
  // How long the proxy still accepts after SIGTERM. Unset: 5s beside the application, 500ms as a
  // native sidecar, which ends after it anyway.
  std::optional<std::string> termination_drain_duration;
  bool hold_application = false;                // holdApplicationUntilProxyStarts
  std::string image_type;                       // appended to the image's tag
  std::string discovery_address;                // "": of the settings
  std::map<std::string, std::string> metadata;  // proxyMetadata
  std::string secret_ttl;                       // its SECRET_TTL; "": the proxy's default
};

struct ProxyResources {
  // Quantities; "" means none.
  std::string cpu_request = "10m", memory_request = "40Mi", cpu_limit, memory_limit;
};

// Native sidecars are init containers with restartPolicy Always: Kubernetes 1.29.
enum class NativeSidecars : uint8_t { kByVersion, kAlways, kNever };

struct InjectSettings {
  std::string image = kDefaultProxyImage;
  std::string image_pull_policy;  // "": Kubernetes' default
  std::vector<std::string> image_pull_secrets;
  std::string xds_address = "meltemi-pilot.istio-system.svc:15012";
  std::string trust_domain = "cluster.local";
  std::string domain = "cluster.local";  // of the cluster's services
  std::string cluster_id = "Kubernetes";
  std::string mesh_id;  // "": the trust domain
  std::string network;
  std::string revision = "default";
  std::string log_level = "warn";

  bool cni = false;  // a CNI plugin redirects: no istio-init container
  NativeSidecars native_sidecars = NativeSidecars::kByVersion;
  int server_minor = 0;  // of the API server's version 1.N; 0: not known, taken for new
  bool legacy_fs_group = false;
  bool rewrite_probes = true;
  bool prometheus_annotations = true;
  uint32_t probes_port = kDefaultProbesPort;
  ProxyResources resources;
  ProxyConfig proxy_config;

  // Istio's lists, "*" for all.
  std::string include_ip_ranges = "*", exclude_ip_ranges;
  std::string include_inbound_ports = "*", exclude_inbound_ports;
  std::string include_outbound_ports, exclude_outbound_ports;

  // Whether pods are injected of which nothing else says so. (The webhooks' selectors come first.)
  bool policy_enabled = true;
  // Of pods' labels; "never" comes first, and both only where neither the label nor the annotation
  // sidecar.istio.io/inject says something.
  std::vector<kube::LabelSelector> never_inject, always_inject;
  std::map<std::string, std::string> injected_annotations;
};

// The text of the key `inject.yaml` of the ConfigMap `meltemi`, on top of the defaults. Unknown
// keys are errors. Error: "line N: KEY …".
absl::StatusOr<InjectSettings> ParseInjectSettings(absl::string_view yaml);

// Istio's ProxyConfig, YAML or JSON, on top of `*config`. Fields that mean nothing to this proxy
// are told in `*warnings`. Error: what cannot be read.
absl::Status ApplyProxyConfig(absl::string_view text, ProxyConfig* config,
                              std::vector<std::string>* warnings);

}  // namespace meltemi::pilot
