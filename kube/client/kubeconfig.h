// How to reach a cluster and as whom: from a kubeconfig file, or from within a pod.
//
// Threads: functions without state. Source: clientcmd's v1.Config; "Accessing the API from a Pod".
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace meltemi::kube {

struct ClusterAccess {
  std::string server;                    // "https://127.0.0.1:6443"
  std::string ca_pem;                    // empty: the system's CAs
  std::string server_name;               // TLS server name, where it is not the host of `server`
  bool insecure = false;                 // insecure-skip-tls-verify
  std::string certificate_pem, key_pem;  // of the client
  std::string token;                     // bearer token
  std::string token_file;                // read again when it changes (at most once a minute)
  std::string ns = "default";
};

// `context` empty: the current one. Certificates, keys and tokens inline or as files (relative to
// the kubeconfig's folder). Error: what is missing, with the file's name; exec and auth-provider
// plugins are refused by name.
absl::StatusOr<ClusterAccess> ReadKubeconfig(const std::string& path,
                                             absl::string_view context = "");

// The service account of the pod that this runs in: `host` and `port` are the values of
// KUBERNETES_SERVICE_HOST and _PORT (the caller reads the environment), `folder` holds token,
// ca.crt and namespace ("/var/run/secrets/kubernetes.io/serviceaccount").
absl::StatusOr<ClusterAccess> InCluster(absl::string_view host, absl::string_view port,
                                        const std::string& folder);

}  // namespace meltemi::kube
