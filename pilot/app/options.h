// meltemi-pilot's command line.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "pilot/snapshot/snapshot.h"

namespace meltemi::pilot {

struct Options {
  std::vector<std::string> config_paths;
  std::string default_namespace = "default";
  std::string xds_address;  // plaintext; "": everywhere, or on loopback alone beside a cluster
  std::string http_address = "0.0.0.0:15014";  // metrics and debug

  // --- with a Kubernetes API server instead of files
  bool in_cluster = false;  // by the account of the pod that this runs in, or
  std::string kubeconfig;   // by this file
  std::string pod_name;     // who this replica is; "": the host's name and the process id
  std::string secure_address = "0.0.0.0:15012";   // xDS and certificates over TLS
  std::string webhook_address = "0.0.0.0:15017";  // injection and validation
  // Names and addresses by which pilot is reached, beside those of its Service.
  std::vector<std::string> serving_names;
  std::string inject_config_path;  // "": defaults; see pilot/inject/settings.h
  // In a cluster whoever speaks from afar proves who it is.
  std::string PlainXdsAddress() const {
    if (!xds_address.empty()) return xds_address;
    return over_kubernetes() ? "127.0.0.1:15010" : "0.0.0.0:15010";
  }
  bool over_kubernetes() const { return in_cluster || !kubeconfig.empty(); }

  std::string log_level = "info";
  uint32_t debounce_quiet_ms = 10;
  uint32_t debounce_max_ms = 100;
  MeshSettings mesh;
  std::string help;  // to be printed, when it was asked for
  bool version = false;
};

// `args` without the program's name. Invalid argument with what is wrong and what is expected.
absl::StatusOr<Options> ParseOptions(const std::vector<std::string>& args);
// The options as JSON, for /debug/mesh.
std::string OptionsJson(const Options& options);

}  // namespace meltemi::pilot
