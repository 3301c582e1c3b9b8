// Requests for certificates (PKCS #10): made, read, signed.
//
// Threads: functions without state. Two builds, as tls.h. Source: RFC 2986, RFC 5280.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/tls/certificate.h"
#include "base/tls/tls.h"

namespace meltemi::tls {

// Of `request`, the names alone count.
absl::StatusOr<std::string> NewSigningRequestPem(const CertificateRequest& request,
                                                 absl::string_view private_key_pem);

struct SigningRequestInfo {
  std::string common_name;
  std::vector<std::string> organizations, dns_names, ip_addresses, uris, emails;
  bool is_rsa = false;  // the key
};
// Error: no request, or not signed with its own key.
absl::StatusOr<SigningRequestInfo> ReadSigningRequestPem(absl::string_view pem);

struct SigningPolicy {
  // "digital signature", "key encipherment", "client auth", "server auth" and the others of
  // Kubernetes' certificates API.
  std::vector<std::string> usages;
  int64_t not_before_s = 0, not_after_s = 0;  // Unix time
  // Not empty: the certificate is for these alone, whatever the request says it is for.
  std::vector<std::string> uris;
};
// A certificate for the request's key with its subject and names, never an authority. Error: what
// is wrong with the request, the issuer or a usage.
absl::StatusOr<std::string> SignRequest(absl::string_view request_pem, const KeyPair& issuer,
                                        const SigningPolicy& policy);

// Whether the first certificate is for this key.
bool IsCertificateOf(absl::string_view certificate_pem, absl::string_view private_key_pem);

}  // namespace meltemi::tls
