#include "pilot/ca/authority.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/tls/certificate.h"
#include "base/tls/signing_request.h"
#include "pilot/push/caller.h"

namespace meltemi::pilot {
namespace {

constexpr Duration kRootLifetime = std::chrono::hours(24 * 365 * 10);
constexpr Duration kServingLifetime = std::chrono::hours(24 * 90);

int64_t UnixSeconds(WallTime time) { return ToMillis(time.time_since_epoch()) / 1000; }
int64_t Seconds(Duration duration) { return ToMillis(duration) / 1000; }

// The single certificates of a chain.
std::vector<std::string> SplitPem(absl::string_view pem) {
  constexpr absl::string_view kEnd = "-----END CERTIFICATE-----";
  std::vector<std::string> out;
  while (true) {
    const size_t begin = pem.find("-----BEGIN CERTIFICATE-----");
    if (begin == absl::string_view::npos) return out;
    const size_t end = pem.find(kEnd, begin);
    if (end == absl::string_view::npos) return out;
    out.push_back(absl::StrCat(pem.substr(begin, end + kEnd.size() - begin), "\n"));
    pem.remove_prefix(end + kEnd.size());
  }
}

// A request may name its caller or nobody.
absl::Status CheckNames(const tls::SigningRequestInfo& request, const std::string& spiffe) {
  for (const std::string& uri : request.uris) {
    if (uri != spiffe) {
      return absl::PermissionDeniedError(
          absl::StrCat("the request is for '", uri, "', its sender is '", spiffe, "'"));
    }
  }
  if (!request.dns_names.empty() || !request.ip_addresses.empty() || !request.emails.empty()) {
    return absl::PermissionDeniedError(
        "the request asks for names other than the SPIFFE identity of its sender");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::shared_ptr<const Authority>> Authority::New(AuthorityKeys keys,
                                                                const AuthorityOptions& options,
                                                                WallTime now) {
  const auto info = tls::ReadCertificatePem(keys.signer.certificate_chain_pem);
  if (!info.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the authority's certificate: ", info.status().message()));
  }
  if (!info->is_ca) {
    return absl::InvalidArgumentError("the authority's certificate may not sign others (CA:FALSE)");
  }
  if (info->not_after_s <= UnixSeconds(now)) {
    return absl::InvalidArgumentError("the authority's certificate has expired");
  }
  if (!tls::IsCertificateOf(keys.signer.certificate_chain_pem, keys.signer.private_key_pem)) {
    return absl::InvalidArgumentError("the authority's key is not that of its certificate");
  }
  if (const auto root = tls::ReadCertificatePem(keys.roots_pem); !root.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("the mesh's root: ", root.status().message()));
  }
  return std::shared_ptr<const Authority>(
      new Authority(std::move(keys), options, info->not_after_s));
}

absl::StatusOr<std::vector<std::string>> Authority::Sign(absl::string_view request_pem,
                                                         const Caller& caller, Duration lifetime,
                                                         WallTime now) const {
  const auto request = tls::ReadSigningRequestPem(request_pem);
  if (!request.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("the CSR: ", request.status().message()));
  }
  const std::string spiffe = caller.Spiffe();
  if (absl::Status status = CheckNames(*request, spiffe); !status.ok()) return status;
  if (lifetime <= Duration::zero()) lifetime = options_.lifetime;
  lifetime = std::min(lifetime, options_.lifetime_max);
  const int64_t begin = UnixSeconds(now);
  const auto leaf = tls::SignRequest(
      request_pem, keys_.signer,
      {.usages = {"digital signature", "key encipherment", "server auth", "client auth"},
       .not_before_s = begin - Seconds(options_.clock_skew),
       .not_after_s = std::min(begin + Seconds(lifetime), not_after_s_),
       .uris = {spiffe}});
  if (!leaf.ok()) return leaf.status();
  std::vector<std::string> chain = {*leaf};
  const std::vector<std::string> roots = SplitPem(keys_.roots_pem);
  for (const std::string& link : SplitPem(keys_.signer.certificate_chain_pem)) {
    if (std::find(roots.begin(), roots.end(), link) == roots.end()) chain.push_back(link);
  }
  chain.push_back(keys_.roots_pem);
  return chain;
}

absl::StatusOr<tls::KeyPair> Authority::ServingIdentity(
    const std::vector<std::string>& dns_names, const std::vector<std::string>& ip_addresses,
    WallTime now) const {
  const int64_t begin = UnixSeconds(now);
  auto pair = tls::NewCertificate(
      {.dns_names = dns_names,
       .ip_addresses = ip_addresses,
       .server_auth = true,
       .not_before_s = begin - Seconds(options_.clock_skew),
       .not_after_s = std::min(begin + Seconds(kServingLifetime), not_after_s_)},
      keys_.signer);
  if (!pair.ok()) return pair;
  // Whoever trusts the root alone needs what lies between.
  const std::vector<std::string> roots = SplitPem(keys_.roots_pem);
  std::string chain = pair->certificate_chain_pem;
  for (const std::string& link : SplitPem(keys_.signer.certificate_chain_pem)) {
    const bool is_root = std::find(roots.begin(), roots.end(), link) != roots.end();
    if (!is_root && chain.find(link) == std::string::npos) chain += link;
  }
  pair->certificate_chain_pem = std::move(chain);
  return pair;
}

absl::StatusOr<AuthorityKeys> NewSelfSignedKeys(absl::string_view trust_domain, WallTime now) {
  const int64_t begin = UnixSeconds(now);
  auto pair = tls::NewCertificate({.common_name = "Meltemi root",
                                   .organizations = {std::string(trust_domain)},
                                   .is_ca = true,
                                   .not_before_s = begin - Seconds(minutes(2)),
                                   .not_after_s = begin + Seconds(kRootLifetime)},
                                  {});
  if (!pair.ok()) return pair.status();
  AuthorityKeys keys;
  keys.roots_pem = pair->certificate_chain_pem;
  keys.signer = *std::move(pair);
  return keys;
}

}  // namespace meltemi::pilot
