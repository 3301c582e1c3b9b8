#include "pilot/translate/secrets.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "envoy/extensions/transport_sockets/tls/v3/secret.pb.h"
#include "networking/v1/destination_rule.pb.h"
#include "networking/v1/gateway.pb.h"
#include "pilot/translate/tls_context.h"

namespace meltemi::pilot {
namespace {

using envoy::extensions::transport_sockets::tls::v3::Secret;

// What a proxy says of its labels counts only where nothing better is known.
Labels TrustedLabels(const ProxyNode& node, const Snapshot& snapshot) {
  for (const std::string& address : node.addresses) {
    const WorkloadPtr workload = snapshot.workloads->FindByAddress(address);
    if (workload == nullptr) continue;
    if (workload->meta.ns == node.ns && workload->meta.name == node.name) {
      return workload->meta.labels;
    }
    return {};
  }
  return node.labels;
}

bool Uses(const networking::ServerTLSSettings& tls, absl::string_view resource) {
  const auto is = [&](const std::string& credential) {
    return !credential.empty() && CredentialResourceName(credential) == resource;
  };
  return is(tls.credential_name()) || is(tls.ca_cert_credential_name()) ||
         std::any_of(tls.credential_names().begin(), tls.credential_names().end(), is);
}

bool Uses(const networking::TrafficPolicy& policy, absl::string_view resource) {
  const auto is = [&](const networking::ClientTLSSettings& tls) {
    return !tls.credential_name().empty() &&
           CredentialResourceName(tls.credential_name()) == resource;
  };
  return is(policy.tls()) ||
         std::any_of(policy.port_level_settings().begin(), policy.port_level_settings().end(),
                     [&](const auto& port) { return is(port.tls()); });
}

// A gateway's servers, and what it is a client of.
bool NeedsKey(const ProxyNode& node, absl::string_view resource, const Snapshot& snapshot) {
  if (node.kind != ProxyKind::kGateway) return false;
  const Labels labels = TrustedLabels(node, snapshot);
  bool is_gateway = false;
  for (const GatewayPtr& gateway : snapshot.rules->gateways()) {
    if (!LabelsMatch(gateway->selector, labels)) continue;
    is_gateway = true;
    for (const auto& server : gateway->spec->servers()) {
      if (Uses(server.tls(), resource)) return true;
    }
  }
  if (!is_gateway) return false;
  for (const DestinationRulePtr& rule : snapshot.rules->destination_rules()) {
    if (Uses(rule->spec->traffic_policy(), resource)) return true;
    for (const auto& subset : rule->spec->subsets()) {
      if (Uses(subset.traffic_policy(), resource)) return true;
    }
  }
  return false;
}

ResourcePtr Made(absl::string_view name, Secret* secret) {
  secret->set_name(std::string(name));
  return MakeResource(secret->name(), *secret);
}

}  // namespace

ResourcePtr BuildSecret(absl::string_view name, const ProxyNode& node, const Snapshot& snapshot) {
  absl::string_view rest = name;
  if (!node.authenticated || !absl::ConsumePrefix(&rest, "kubernetes://")) return nullptr;
  const size_t slash = rest.find('/');
  if (slash != absl::string_view::npos) {
    if (rest.substr(0, slash) != node.ns) return nullptr;
    rest.remove_prefix(slash + 1);
  }
  Secret secret;
  if (absl::EndsWith(rest, kRootsSuffix)) {
    const CredentialPtr found = snapshot.credentials->FindRoots(node.ns, rest);
    if (found == nullptr) return nullptr;
    secret.mutable_validation_context()->mutable_trusted_ca()->set_inline_bytes(found->roots);
    if (!found->crl.empty()) {
      secret.mutable_validation_context()->mutable_crl()->set_inline_bytes(found->crl);
    }
    return Made(name, &secret);
  }
  const CredentialPtr found = snapshot.credentials->FindCertificate(node.ns, rest);
  if (found == nullptr || !NeedsKey(node, name, snapshot)) return nullptr;
  auto& certificate = *secret.mutable_tls_certificate();
  certificate.mutable_certificate_chain()->set_inline_bytes(found->chain);
  certificate.mutable_private_key()->set_inline_bytes(found->key);
  if (!found->staple.empty()) certificate.mutable_ocsp_staple()->set_inline_bytes(found->staple);
  return Made(name, &secret);
}

}  // namespace meltemi::pilot
