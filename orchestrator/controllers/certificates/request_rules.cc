#include "orchestrator/controllers/certificates/request_rules.h"

#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace meltemi::controllers {
namespace {

constexpr char kSignature[] = "digital signature", kEncipherment[] = "key encipherment";

std::set<std::string> UsagesOf(const Request& request) {
  return {request.spec().usages().begin(), request.spec().usages().end()};
}

// With key encipherment (RSA) or without.
absl::Status CheckUsages(const Request& request, const std::string& purpose) {
  const std::set<std::string> full = {kSignature, kEncipherment, purpose};
  const std::set<std::string> usages = UsagesOf(request);
  if (usages == full || usages == std::set<std::string>{kSignature, purpose}) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("usages did not match [", absl::StrJoin(full, " "), "]"));
}

absl::Status CheckOfNode(const tls::SigningRequestInfo& info) {
  if (info.organizations != std::vector<std::string>{"system:nodes"}) {
    return absl::InvalidArgumentError("subject organization is not system:nodes");
  }
  if (!absl::StartsWith(info.common_name, "system:node:")) {
    return absl::InvalidArgumentError("subject common name does not begin with system:node:");
  }
  return absl::OkStatus();
}

absl::Status CheckKubeletClient(const Request& request, const tls::SigningRequestInfo& info) {
  if (!info.dns_names.empty()) {
    return absl::InvalidArgumentError("DNS subjectAltNames are not allowed");
  }
  if (!info.emails.empty()) {
    return absl::InvalidArgumentError("Email subjectAltNames are not allowed");
  }
  if (!info.ip_addresses.empty()) {
    return absl::InvalidArgumentError("IP subjectAltNames are not allowed");
  }
  if (!info.uris.empty()) {
    return absl::InvalidArgumentError("URI subjectAltNames are not allowed");
  }
  if (absl::Status status = CheckOfNode(info); !status.ok()) return status;
  return CheckUsages(request, "client auth");
}

absl::Status CheckKubeletServing(const Request& request, const tls::SigningRequestInfo& info) {
  if (info.dns_names.empty() && info.ip_addresses.empty()) {
    return absl::InvalidArgumentError("DNS or IP subjectAltName is required");
  }
  if (!info.emails.empty()) {
    return absl::InvalidArgumentError("Email subjectAltNames are not allowed");
  }
  if (!info.uris.empty()) {
    return absl::InvalidArgumentError("URI subjectAltNames are not allowed");
  }
  if (absl::Status status = CheckUsages(request, "server auth"); !status.ok()) return status;
  return CheckOfNode(info);
}

absl::Status CheckClient(const Request& request) {
  bool authenticates = false;
  for (const std::string& usage : request.spec().usages()) {
    if (usage == kSignature || usage == kEncipherment) continue;
    if (usage != "client auth") {
      return absl::InvalidArgumentError(
          absl::StrCat("invalid usage for client certificate: ", usage));
    }
    authenticates = true;
  }
  if (authenticates) return absl::OkStatus();
  return absl::InvalidArgumentError("missing required usage for client certificate: client auth");
}

}  // namespace

bool IsOurSigner(absl::string_view name) {
  return name == kClientSigner || name == kKubeletClientSigner || name == kKubeletServingSigner;
}

absl::Status CheckForSigner(const Request& request, const tls::SigningRequestInfo& info) {
  const std::string& signer = request.spec().signer_name();
  if (signer == kKubeletClientSigner) return CheckKubeletClient(request, info);
  if (signer == kKubeletServingSigner) return CheckKubeletServing(request, info);
  if (signer == kClientSigner) return CheckClient(request);
  return absl::InvalidArgumentError(absl::StrCat("unrecognized signerName: \"", signer, "\""));
}

const kube::certificates::v1::CertificateSigningRequestCondition* FindCondition(
    const Request& request, absl::string_view type) {
  for (const auto& condition : request.status().conditions()) {
    if (condition.type() == type) return &condition;
  }
  return nullptr;
}

bool IsApproved(const Request& request) {
  return FindCondition(request, "Approved") != nullptr &&
         FindCondition(request, "Denied") == nullptr;
}

bool IsDecided(const Request& request) {
  return FindCondition(request, "Approved") != nullptr ||
         FindCondition(request, "Denied") != nullptr;
}

}  // namespace meltemi::controllers
