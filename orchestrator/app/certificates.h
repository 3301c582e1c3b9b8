// The cluster's own certificate authority and what it signs, in a folder of PEM files made at the
// first start: ca, apiserver (serving), apiserver-kubelet-client, admin, controller-manager,
// scheduler, and the key of service account tokens (sa.key). Names as kubeadm's, so that people
// find their way.
//
// Threads: called once at start.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/tls/tls.h"

namespace meltemi::orchestrator {

struct CertificateOptions {
  std::string folder;
  // What the API server is reached by, beside kubernetes.default.svc… and loopback.
  std::vector<std::string> dns_names, ip_addresses;
  int64_t now_s = 0;  // Unix time
};

struct ClusterCertificates {
  tls::KeyPair ca, apiserver, kubelet_client, admin, controller_manager, scheduler;
  std::string service_account_key_pem;
};

// Reads what is there, makes what is missing, renews what expires within a month (or, of the
// serving certificate, lacks a name). Files are written whole or not at all, keys with mode 0600.
// Error: which file, what is wrong, what to do.
absl::StatusOr<ClusterCertificates> EnsureCertificates(const CertificateOptions& options);

// For a client that the cluster's authority knows: "system:node:NAME" in "system:nodes", …
absl::StatusOr<tls::KeyPair> IssueClientCertificate(const tls::KeyPair& ca,
                                                    absl::string_view common_name,
                                                    absl::string_view organization, int64_t now_s);

}  // namespace meltemi::orchestrator
