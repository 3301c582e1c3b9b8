// What a certificate that the library holds says.
//
// Threads: functions without state.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/tls/certificate.h"
#include "base/tls/handles.h"

namespace meltemi::tls {

struct SubjectNames {
  std::vector<std::string> dns_names, ip_addresses, uris, emails;
};
SubjectNames SubjectNamesOf(X509* certificate);

absl::StatusOr<CertificateInfo> CertificateInfoOf(X509* certificate);
std::string PemOf(X509* certificate);

}  // namespace meltemi::tls
