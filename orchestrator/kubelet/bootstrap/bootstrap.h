// A kubelet's identity: with a bootstrap token it asks for a certificate once, and renews it by
// itself from then on.
//
// On disk, as a kubelet keeps them: CERT_DIR/kubelet-client-current.pem (certificate and key, a
// link to the newest of the dated files), CERT_DIR/kubelet.{crt,key} (serving), and a kubeconfig
// that points to the former. Threads: see the parts. Source: "TLS bootstrapping",
// pkg/kubelet/certificate; client-go/util/certificate.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock/clock.h"
#include "base/random/random.h"
#include "base/tls/tls.h"
#include "kube/client/client.h"
#include "kube/executor/executor.h"

namespace meltemi::kubelet {

struct BootstrapOptions {
  std::string node_name;
  std::string bootstrap_kubeconfig;  // "": there must be an identity already
  std::string kubeconfig;
  std::string cert_dir;
  // A request that nobody has decided on by then is made anew.
  Duration request_timeout = minutes(15);
};

// Called by main before the component runs: returns at once when `kubeconfig` holds a certificate
// that is still good for this node, and otherwise blocks until one has been signed (an API server
// that can't be reached is waited for). Error: what is wrong and what to do; an expired identity
// without a bootstrap kubeconfig, a token that is refused, a request that was denied.
absl::Status EnsureIdentity(const BootstrapOptions& options, const Clock& clock);

// Asks for certificates with whatever rights `client` has. Works on the executor's threads.
class IdentityRequest {
 public:
  // The answer: the certificate with its key. Once, unless this is destroyed before. Errors that
  // may pass are retried, with `trouble` told (may be empty); others end it.
  using Done = std::function<void(absl::StatusOr<tls::KeyPair>)>;
  virtual ~IdentityRequest() = default;
};
std::unique_ptr<IdentityRequest> RequestIdentity(const BootstrapOptions& options,
                                                 kube::Client& client, kube::Executor& executor,
                                                 std::function<void(const absl::Status&)> trouble,
                                                 IdentityRequest::Done done);

// Renews the client certificate when 70 to 90 % of its life is over, and tells when there is a new
// one on disk: who uses the kubeconfig then begins anew.
class IdentityRenewal {
 public:
  virtual ~IdentityRenewal() = default;
};
std::unique_ptr<IdentityRenewal> StartIdentityRenewal(const BootstrapOptions& options,
                                                      kube::Client& client,
                                                      kube::Executor& executor, Random& random,
                                                      std::function<void()> renewed);

// The kubelet's serving certificate: read from `cert_dir`, or made (signed by itself) when it is
// missing, about to expire or not for these names and addresses.
absl::StatusOr<tls::KeyPair> ServingCertificate(const std::string& cert_dir,
                                                const std::string& node_name,
                                                const std::vector<std::string>& ip_addresses,
                                                const Clock& clock);

}  // namespace meltemi::kubelet
