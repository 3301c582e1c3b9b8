// Certificates and keys of gateways, out of Kubernetes Secrets. Immutable; shared between
// snapshots.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "pilot/model/meta.h"

namespace meltemi::kube::core::v1 {
class Secret;
}

namespace meltemi::pilot {

// The name of a credential with this at its end means its roots alone.
inline constexpr absl::string_view kRootsSuffix = "-cacert";

// What a Secret holds of a credential, PEM; empty where it has none.
struct Credential {
  ObjectMeta meta;
  std::string chain;
  std::string key;
  std::string staple;  // OCSP, DER
  std::string roots;
  std::string crl;
};
using CredentialPtr = std::shared_ptr<const Credential>;

// Reads cert, key, cacert, crl or tls.crt, tls.key, ca.crt, ca.crl, tls.ocsp-staple. Null for a
// Secret that holds neither a certificate with its key nor roots.
CredentialPtr DecodeSecret(const ObjectMeta& meta, const kube::core::v1::Secret& secret);

class CredentialTable {
 public:
  CredentialTable() = default;
  explicit CredentialTable(const std::vector<CredentialPtr>& credentials);

  // Null: there is none that holds a certificate with its key.
  CredentialPtr FindCertificate(absl::string_view ns, absl::string_view name) const;
  // `name` ends in "-cacert": the Secret of that name, else the one without the suffix. Null: none
  // that holds roots.
  CredentialPtr FindRoots(absl::string_view ns, absl::string_view name) const;
  size_t size() const { return by_name_.size(); }

 private:
  CredentialPtr Find(absl::string_view ns, absl::string_view name) const;

  std::map<std::string, CredentialPtr, std::less<>> by_name_;  // by "NS/NAME"
};

}  // namespace meltemi::pilot
