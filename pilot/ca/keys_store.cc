#include "pilot/ca/keys_store.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "kube/client/client.h"
#include "kube/client/typed.h"
#include "kube/core/v1/config.pb.h"

namespace meltemi::pilot {
namespace {

using kube::core::v1::Secret;

constexpr char kCertificate[] = "ca-cert.pem";
constexpr char kKey[] = "ca-key.pem";
constexpr char kChain[] = "cert-chain.pem";
constexpr char kRoot[] = "root-cert.pem";

std::string Value(const Secret& secret, const char* key) {
  const auto it = secret.data().find(key);
  return it == secret.data().end() ? "" : it->second;
}

absl::StatusOr<AuthorityKeys> KeysOf(const Secret& secret, absl::string_view ns) {
  const std::string name = absl::StrCat("Secret ", ns, "/", secret.metadata().name());
  AuthorityKeys keys;
  keys.signer.certificate_chain_pem = Value(secret, kCertificate);
  keys.signer.private_key_pem = Value(secret, kKey);
  keys.roots_pem = Value(secret, kRoot);
  for (const char* key : {kCertificate, kKey}) {
    if (Value(secret, key).empty()) {
      return absl::FailedPreconditionError(absl::StrCat(name, " has no ", key));
    }
  }
  // An authority that signed itself is its own root; an intermediate leads there by its chain,
  // which begins with itself or with what comes after it.
  if (const std::string chain = Value(secret, kChain); !chain.empty()) {
    std::string& all = keys.signer.certificate_chain_pem;
    if (absl::StartsWith(chain, absl::StripAsciiWhitespace(all))) {
      all = chain;
    } else {
      if (!absl::EndsWith(all, "\n")) all += "\n";
      all += chain;
    }
    if (keys.roots_pem.empty()) {
      return absl::FailedPreconditionError(absl::StrCat(name, " has ", kChain, " but no ", kRoot));
    }
  }
  if (keys.roots_pem.empty()) keys.roots_pem = Value(secret, kCertificate);
  return keys;
}

absl::Status Failure(absl::string_view doing, const kube::Status& status) {
  const std::string text = absl::StrCat(doing, ": ", status.message);
  return kube::IsTransient(status) ? absl::UnavailableError(text)
                                   : absl::PermissionDeniedError(text);
}

kube::Result<Secret> Make(kube::Client& client, absl::string_view ns, const AuthorityKeys& keys) {
  Secret secret;
  secret.mutable_metadata()->set_name(std::string(kOwnKeysSecret));
  secret.mutable_metadata()->set_namespace_(std::string(ns));
  secret.set_type("istio.io/ca-root");
  (*secret.mutable_data())[kCertificate] = keys.signer.certificate_chain_pem;
  (*secret.mutable_data())[kKey] = keys.signer.private_key_pem;
  return kube::Create(client, secret);
}

}  // namespace

absl::StatusOr<AuthorityKeys> LoadOrMakeKeys(kube::Client& client, absl::string_view ns,
                                             absl::string_view trust_domain, WallTime now) {
  for (const absl::string_view name : {kGivenKeysSecret, kOwnKeysSecret}) {
    const kube::Result<Secret> secret = kube::Get<Secret>(client, ns, name);
    if (secret.ok()) return KeysOf(*secret, ns);
    if (!kube::IsNotFound(secret.status())) {
      return Failure(absl::StrCat("reading Secret ", ns, "/", name), secret.status());
    }
  }
  const absl::StatusOr<AuthorityKeys> keys = NewSelfSignedKeys(trust_domain, now);
  if (!keys.ok()) return keys.status();
  const kube::Result<Secret> made = Make(client, ns, *keys);
  if (made.ok()) return *keys;
  if (kube::IsAlreadyExists(made.status())) {
    // Another replica was faster: its root is everybody's.
    const kube::Result<Secret> other = kube::Get<Secret>(client, ns, kOwnKeysSecret);
    if (other.ok()) return KeysOf(*other, ns);
    return Failure(absl::StrCat("reading Secret ", ns, "/", kOwnKeysSecret), other.status());
  }
  return Failure(absl::StrCat("making Secret ", ns, "/", kOwnKeysSecret), made.status());
}

}  // namespace meltemi::pilot
