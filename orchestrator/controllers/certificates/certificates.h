// CertificateSigningRequests: those of kubelets are approved and signed; old ones are cleaned up.
// Bootstrap tokens that have expired are deleted.
//
// Threads: made and destroyed on one thread; works on the executor's. Source:
// pkg/controller/certificates/{approver,signer,cleaner}, pkg/controller/bootstrap/tokencleaner;
// signers kubernetes.io/kube-apiserver-client-kubelet and kubernetes.io/kubelet-serving.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/clock/clock.h"

namespace meltemi::controllers {

struct Context;
class Running;

struct CertificateSignerOptions {
  std::string ca_cert_pem, ca_key_pem;
  Duration duration = minutes(365 * 24 * 60);
};

std::unique_ptr<Running> NewCertificateApprover(Context& context);
// Error: the CA cannot be read.
absl::StatusOr<std::unique_ptr<Running>> NewCertificateSigner(
    Context& context, const CertificateSignerOptions& options);
std::unique_ptr<Running> NewCertificateCleaner(Context& context);
std::unique_ptr<Running> NewBootstrapTokenCleaner(Context& context);

}  // namespace meltemi::controllers
