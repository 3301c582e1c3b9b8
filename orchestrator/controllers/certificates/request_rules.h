// What a request must look like for each signer, and what has been decided on it.
//
// Threads: functions without state. Source: pkg/apis/certificates/helpers.go and
// pkg/controller/certificates/signer of Kubernetes 1.32.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "base/tls/signing_request.h"
#include "kube/certificates/v1/certificates.pb.h"

namespace meltemi::controllers {

using Request = kube::certificates::v1::CertificateSigningRequest;

inline constexpr char kClientSigner[] = "kubernetes.io/kube-apiserver-client";
inline constexpr char kKubeletClientSigner[] = "kubernetes.io/kube-apiserver-client-kubelet";
inline constexpr char kKubeletServingSigner[] = "kubernetes.io/kubelet-serving";

bool IsOurSigner(absl::string_view name);
// Whether the request may be signed by the signer that it names. Error: Kubernetes' words.
absl::Status CheckForSigner(const Request& request, const tls::SigningRequestInfo& info);

const kube::certificates::v1::CertificateSigningRequestCondition* FindCondition(
    const Request& request, absl::string_view type);
bool IsApproved(const Request& request);  // and not denied
bool IsDecided(const Request& request);   // approved or denied

}  // namespace meltemi::controllers
