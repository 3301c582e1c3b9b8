#include "pilot/translate/tls_context.h"

#include <initializer_list>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "envoy/config/core/v3/base.pb.h"
#include "envoy/extensions/transport_sockets/raw_buffer/v3/raw_buffer.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/tls.pb.h"
#include "networking/v1/destination_rule.pb.h"
#include "networking/v1/gateway.pb.h"
#include "pilot/model/ciphers.h"
#include "pilot/model/secret.h"
#include "pilot/translate/resource.h"

namespace meltemi::pilot {
namespace {

namespace tls = envoy::extensions::transport_sockets::tls::v3;
using networking::ClientTLSSettings;
using networking::ServerTLSSettings;
using tls::CertificateValidationContext;
using tls::CommonTlsContext;
using tls::SdsSecretConfig;

constexpr char kWorkloadCertificate[] = "default";
constexpr char kMeshRoots[] = "ROOTCA";
constexpr char kWorkloadSecretsCluster[] = "sds-grpc";
constexpr char kSystemRoots[] = "file-root:system";
constexpr char kPeerExchange[] = "istio-peer-exchange";
constexpr char kBuiltin[] = "builtin://";

// Those that the mesh's own servers take below TLS 1.3.
constexpr const char* kMeshCiphers[] = {
    "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",   "AES256-GCM-SHA384",           "AES128-GCM-SHA256",
};

void SetWorkloadSecret(const char* name, SdsSecretConfig* out) {
  out->set_name(name);
  auto& source = *out->mutable_sds_config();
  auto& api = *source.mutable_api_config_source();
  api.set_api_type(envoy::config::core::v3::ApiConfigSource::GRPC);
  api.set_transport_api_version(envoy::config::core::v3::V3);
  api.set_set_node_on_first_message_only(true);
  api.add_grpc_services()->mutable_envoy_grpc()->set_cluster_name(kWorkloadSecretsCluster);
  source.set_resource_api_version(envoy::config::core::v3::V3);
  source.mutable_initial_fetch_timeout();  // 0: nothing goes on without it
}

// No time-out of zero: a Secret that does not exist must not hold up all that is beside it.
void SetCredential(absl::string_view credential, SdsSecretConfig* out) {
  if (absl::StartsWith(credential, kBuiltin)) {
    SetWorkloadSecret(absl::EndsWith(credential, kRootsSuffix) ? kMeshRoots : kWorkloadCertificate,
                      out);
    return;
  }
  out->set_name(CredentialResourceName(credential));
  out->mutable_sds_config()->mutable_ads();
  out->mutable_sds_config()->set_resource_api_version(envoy::config::core::v3::V3);
}

template <typename Names>
void AddExactNames(const Names& names, CertificateValidationContext* out) {
  for (const std::string& name : names) out->add_match_subject_alt_names()->set_exact(name);
}

void SetFile(const std::string& path, envoy::config::core::v3::DataSource* out) {
  out->set_filename(path);
}

void AddFilePair(const std::string& chain, const std::string& key, CommonTlsContext* out) {
  tls::TlsCertificate& certificate = *out->add_tls_certificates();
  SetFile(chain, certificate.mutable_certificate_chain());
  SetFile(key, certificate.mutable_private_key());
}

void AddAlpn(std::initializer_list<const char*> protocols, CommonTlsContext* out) {
  for (const char* protocol : protocols) out->add_alpn_protocols(protocol);
}

void AddServerAlpn(bool http, bool mesh, CommonTlsContext* out) {
  if (!http && mesh) out->add_alpn_protocols(kPeerExchange);
  AddAlpn({"h2", "http/1.1"}, out);
}

void SetClientVersions(CommonTlsContext* out) {
  out->mutable_tls_params()->set_tls_minimum_protocol_version(tls::TlsParameters::TLSv1_2);
  out->mutable_tls_params()->set_tls_maximum_protocol_version(tls::TlsParameters::TLSv1_3);
}

tls::TlsParameters::TlsProtocol ToVersion(ServerTLSSettings::TLSProtocol version) {
  return static_cast<tls::TlsParameters::TlsProtocol>(version);  // the same numbers
}

void SetServerParameters(const ServerTLSSettings& from, CommonTlsContext* out) {
  tls::TlsParameters& to = *out->mutable_tls_params();
  to.set_tls_minimum_protocol_version(from.min_protocol_version() == ServerTLSSettings::TLS_AUTO
                                          ? tls::TlsParameters::TLSv1_2
                                          : ToVersion(from.min_protocol_version()));
  to.set_tls_maximum_protocol_version(ToVersion(from.max_protocol_version()));
  // One that nobody knows would have the whole listener rejected.
  std::set<std::string> ciphers;
  for (const std::string& cipher : from.cipher_suites()) {
    if (IsCipherSuite(cipher) && ciphers.insert(cipher).second) to.add_cipher_suites(cipher);
  }
}

void FillServerValidation(const ServerTLSSettings& from, CertificateValidationContext* out) {
  AddExactNames(from.subject_alt_names(), out);
  *out->mutable_verify_certificate_spki() = from.verify_certificate_spki();
  *out->mutable_verify_certificate_hash() = from.verify_certificate_hash();
  if (!from.ca_crl().empty()) SetFile(from.ca_crl(), out->mutable_crl());
  if (from.insecure_skip_verify().value()) {
    out->set_trust_chain_verification(CertificateValidationContext::ACCEPT_UNTRUSTED);
  }
}

bool AsksForCertificate(const ServerTLSSettings& from) {
  return from.mode() == ServerTLSSettings::MUTUAL ||
         from.mode() == ServerTLSSettings::OPTIONAL_MUTUAL ||
         from.mode() == ServerTLSSettings::ISTIO_MUTUAL;
}

// Certificates from Secrets.
void FillFromCredentials(const ServerTLSSettings& from, CommonTlsContext* out) {
  std::string roots = absl::StrCat(from.credential_name(), kRootsSuffix);
  if (from.credential_names_size() > 0) {
    for (const std::string& name : from.credential_names()) {
      SetCredential(name, out->add_tls_certificate_sds_secret_configs());
    }
    roots = absl::StrCat(from.credential_names(0), kRootsSuffix);
  } else {
    SetCredential(from.credential_name(), out->add_tls_certificate_sds_secret_configs());
  }
  if (!from.ca_cert_credential_name().empty()) roots = from.ca_cert_credential_name();
  if (!AsksForCertificate(from)) return;
  auto& combined = *out->mutable_combined_validation_context();
  FillServerValidation(from, combined.mutable_default_validation_context());
  SetCredential(roots, combined.mutable_validation_context_sds_secret_config());
}

// Certificates from files where the gateway runs.
void FillFromFiles(const ServerTLSSettings& from, CommonTlsContext* out) {
  if (from.tls_certificates_size() > 0) {
    for (const auto& pair : from.tls_certificates()) {
      AddFilePair(pair.server_certificate(), pair.private_key(), out);
    }
  } else {
    AddFilePair(from.server_certificate(), from.private_key(), out);
  }
  if (!AsksForCertificate(from)) return;
  CertificateValidationContext& validation = *out->mutable_validation_context();
  FillServerValidation(from, &validation);
  if (!from.ca_certificates().empty()) {
    SetFile(from.ca_certificates(), validation.mutable_trusted_ca());
  }
}

}  // namespace

const std::vector<std::string>& MeshHttpAlpn() {
  static const auto& list =
      *new std::vector<std::string>{"istio-http/1.0", "istio-http/1.1", "istio-h2"};
  return list;
}

const std::vector<std::string>& MeshTcpAlpn() {
  static const auto& list = *new std::vector<std::string>{kPeerExchange, "istio"};
  return list;
}

const std::vector<std::string>& MeshAlpn() {
  static const auto& list = *new std::vector<std::string>{"istio", kPeerExchange, "istio-http/1.0",
                                                          "istio-http/1.1", "istio-h2"};
  return list;
}

void FillMeshServerTls(bool http, absl::string_view trust_domain, tls::DownstreamTlsContext* out) {
  CommonTlsContext& common = *out->mutable_common_tls_context();
  out->mutable_require_client_certificate()->set_value(true);
  AddServerAlpn(http, /*mesh=*/true, &common);
  SetClientVersions(&common);
  for (const char* cipher : kMeshCiphers) common.mutable_tls_params()->add_cipher_suites(cipher);
  SetWorkloadSecret(kWorkloadCertificate, common.add_tls_certificate_sds_secret_configs());
  auto& combined = *common.mutable_combined_validation_context();
  combined.mutable_default_validation_context()->add_match_subject_alt_names()->set_prefix(
      absl::StrCat("spiffe://", trust_domain, "/"));
  SetWorkloadSecret(kMeshRoots, combined.mutable_validation_context_sds_secret_config());
}

void FillMeshClientTls(const std::vector<std::string>& names, absl::string_view sni, bool http2,
                       tls::UpstreamTlsContext* out) {
  CommonTlsContext& common = *out->mutable_common_tls_context();
  out->set_sni(std::string(sni));
  SetClientVersions(&common);
  AddAlpn({kPeerExchange, "istio"}, &common);
  if (http2) common.add_alpn_protocols("h2");
  SetWorkloadSecret(kWorkloadCertificate, common.add_tls_certificate_sds_secret_configs());
  auto& combined = *common.mutable_combined_validation_context();
  AddExactNames(names, combined.mutable_default_validation_context());
  SetWorkloadSecret(kMeshRoots, combined.mutable_validation_context_sds_secret_config());
}

void FillGatewayServerTls(const ServerTLSSettings& from, bool http,
                          tls::DownstreamTlsContext* out) {
  CommonTlsContext& common = *out->mutable_common_tls_context();
  const bool mesh = from.mode() == ServerTLSSettings::ISTIO_MUTUAL;
  out->mutable_require_client_certificate()->set_value(mesh ||
                                                       from.mode() == ServerTLSSettings::MUTUAL);
  AddServerAlpn(http, mesh, &common);
  if (mesh) {
    SetWorkloadSecret(kWorkloadCertificate, common.add_tls_certificate_sds_secret_configs());
    auto& combined = *common.mutable_combined_validation_context();
    AddExactNames(from.subject_alt_names(), combined.mutable_default_validation_context());
    SetWorkloadSecret(kMeshRoots, combined.mutable_validation_context_sds_secret_config());
    SetClientVersions(&common);
    return;
  }
  SetServerParameters(from, &common);
  if (!from.credential_name().empty() || from.credential_names_size() > 0) {
    FillFromCredentials(from, &common);
  } else {
    FillFromFiles(from, &common);
  }
}

void FillClientTls(const ClientTLSSettings& from, const std::vector<std::string>& names, bool http2,
                   tls::UpstreamTlsContext* out) {
  CommonTlsContext& common = *out->mutable_common_tls_context();
  out->set_sni(from.sni());
  SetClientVersions(&common);
  if (http2) common.add_alpn_protocols("h2");
  const bool mutual = from.mode() == ClientTLSSettings::MUTUAL;
  const bool skip = from.insecure_skip_verify().value();
  if (!from.credential_name().empty()) {
    if (mutual) {
      SetCredential(from.credential_name(), common.add_tls_certificate_sds_secret_configs());
    }
    if (skip) return;
    auto& combined = *common.mutable_combined_validation_context();
    AddExactNames(names, combined.mutable_default_validation_context());
    SetCredential(absl::StrCat(from.credential_name(), kRootsSuffix),
                  combined.mutable_validation_context_sds_secret_config());
    return;
  }
  if (mutual) AddFilePair(from.client_certificate(), from.private_key(), &common);
  if (skip) return;
  if (from.ca_certificates().empty() || from.ca_certificates() == "system") {
    auto& combined = *common.mutable_combined_validation_context();
    AddExactNames(names, combined.mutable_default_validation_context());
    auto& roots = *combined.mutable_validation_context_sds_secret_config();
    SetWorkloadSecret(kSystemRoots, &roots);
    return;
  }
  CertificateValidationContext& validation = *common.mutable_validation_context();
  AddExactNames(names, &validation);
  SetFile(from.ca_certificates(), validation.mutable_trusted_ca());
  if (!from.ca_crl().empty()) SetFile(from.ca_crl(), validation.mutable_crl());
}

std::string CredentialResourceName(absl::string_view credential) {
  for (const absl::string_view scheme :
       {"kubernetes://", "kubernetes-gateway://", "configmap://"}) {
    if (absl::StartsWith(credential, scheme)) return std::string(credential);
  }
  return absl::StrCat("kubernetes://", credential);
}

void SetTls(const google::protobuf::Message& context,
            envoy::config::core::v3::TransportSocket* out) {
  out->set_name("envoy.transport_sockets.tls");
  PackAny(context, out->mutable_typed_config());
}

void SetPlaintext(envoy::config::core::v3::TransportSocket* out) {
  out->set_name("envoy.transport_sockets.raw_buffer");
  PackAny(envoy::extensions::transport_sockets::raw_buffer::v3::RawBuffer(),
          out->mutable_typed_config());
}

std::vector<std::string> SpiffeNames(const std::vector<std::string>& accounts,
                                     absl::string_view trust_domain) {
  std::vector<std::string> names;
  for (const std::string& account : accounts) {
    const size_t slash = account.find('/');
    names.push_back(absl::StrCat("spiffe://", trust_domain, "/ns/", account.substr(0, slash),
                                 "/sa/", account.substr(slash + 1)));
  }
  return names;
}

std::string MeshServerName(uint32_t port, absl::string_view subset, absl::string_view host) {
  return absl::StrCat("outbound_.", port, "_.", subset, "_.", host);
}

}  // namespace meltemi::pilot
