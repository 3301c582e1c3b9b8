// What `meltemi install --set KEY=VALUE` can say.
//
// Threads: plain values.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace meltemi::cli {

struct ContainerResources {
  std::string cpu_request, memory_request, cpu_limit, memory_limit;
};

struct InstallSettings {
  std::string hub = "meltemi";  // images are HUB/pilot:TAG and HUB/proxy:TAG
  std::string tag = "0.1.0";
  std::string image_pull_policy;  // "": Kubernetes' default
  uint32_t replicas = 1;
  bool cni = false;  // nodes have the CNI plugin: no privileged init containers
  bool ingress_gateway = false;
  std::string trust_domain = "cluster.local";
  std::string domain = "cluster.local";
  std::string access_log_file;  // of all proxies
  std::string outbound_policy;  // ALLOW_ANY, REGISTRY_ONLY; "": pilot's default
  ContainerResources pilot = {"100m", "128Mi", "", ""};
  ContainerResources proxy = {"10m", "40Mi", "", ""};
};

// Each "KEY=VALUE"; the last one of a key counts. Error: the key or the value, and what there is.
absl::StatusOr<InstallSettings> ParseInstallSettings(const std::vector<std::string>& sets);

// "KEY  what it is (default)", one line each, for the help.
std::string InstallSettingsHelp();

}  // namespace meltemi::cli
