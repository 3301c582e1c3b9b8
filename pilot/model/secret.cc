#include "pilot/model/secret.h"

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "kube/core/v1/config.pb.h"

namespace meltemi::pilot {
namespace {

// What is given as text counts as in the API server: over the bytes of that key.
std::string Value(const kube::core::v1::Secret& secret, const char* key) {
  const auto text = secret.string_data().find(key);
  if (text != secret.string_data().end()) return text->second;
  const auto bytes = secret.data().find(key);
  return bytes == secret.data().end() ? "" : bytes->second;
}

}  // namespace

CredentialPtr DecodeSecret(const ObjectMeta& meta, const kube::core::v1::Secret& secret) {
  if (secret.type() == "kubernetes.io/service-account-token" ||
      secret.type() == "helm.sh/release.v1") {
    return nullptr;  // large, many, and never a gateway's
  }
  auto result = std::make_shared<Credential>();
  result->meta.kind = meta.kind;
  result->meta.name = meta.name;
  result->meta.ns = meta.ns;
  result->chain = Value(secret, "cert");
  result->key = Value(secret, "key");
  result->crl = Value(secret, "crl");
  if (result->chain.empty() || result->key.empty()) {
    result->chain = Value(secret, "tls.crt");
    result->key = Value(secret, "tls.key");
    result->staple = Value(secret, "tls.ocsp-staple");
  }
  if (result->crl.empty()) result->crl = Value(secret, "ca.crl");
  result->roots = Value(secret, "cacert");
  if (result->roots.empty()) result->roots = Value(secret, "ca.crt");
  const bool has_pair = !result->chain.empty() && !result->key.empty();
  if (!has_pair && result->roots.empty()) return nullptr;
  return result;
}

CredentialTable::CredentialTable(const std::vector<CredentialPtr>& credentials) {
  for (const CredentialPtr& credential : credentials) {
    by_name_.emplace(absl::StrCat(credential->meta.ns, "/", credential->meta.name), credential);
  }
}

CredentialPtr CredentialTable::Find(absl::string_view ns, absl::string_view name) const {
  const auto it = by_name_.find(absl::StrCat(ns, "/", name));
  return it == by_name_.end() ? nullptr : it->second;
}

CredentialPtr CredentialTable::FindCertificate(absl::string_view ns, absl::string_view name) const {
  CredentialPtr found = Find(ns, name);
  return found == nullptr || found->chain.empty() || found->key.empty() ? nullptr : found;
}

CredentialPtr CredentialTable::FindRoots(absl::string_view ns, absl::string_view name) const {
  CredentialPtr found = Find(ns, name);
  if (found == nullptr && absl::EndsWith(name, kRootsSuffix)) {
    found = Find(ns, name.substr(0, name.size() - kRootsSuffix.size()));
  }
  return found == nullptr || found->roots.empty() ? nullptr : found;
}

}  // namespace meltemi::pilot
