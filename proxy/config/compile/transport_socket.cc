#include "proxy/config/compile/transport_socket.h"

#include <string>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "envoy/config/core/v3/base.pb.h"
#include "envoy/extensions/transport_sockets/raw_buffer/v3/raw_buffer.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/tls.pb.h"
#include "envoy/type/matcher/v3/string.pb.h"
#include "google/protobuf/any.pb.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "proxy/config/compile/data_source.h"
#include "proxy/config/compile/matchers.h"
#include "proxy/config/compile/try.h"
#include "proxy/config/compile/unsupported.h"
#include "proxy/transport/tls_socket.h"

namespace meltemi::proxy {
namespace {

namespace core = envoy::config::core::v3;
namespace tls_v3 = envoy::extensions::transport_sockets::tls::v3;
using RawBuffer = envoy::extensions::transport_sockets::raw_buffer::v3::RawBuffer;

constexpr absl::string_view kRawBufferName = "envoy.transport_sockets.raw_buffer";
// Istio's name for the machine's own roots, where its agent would answer.
constexpr absl::string_view kSystemRoots = "file-root:system";
// Istio's exchange of peer metadata over TCP. It is not spoken, so it is never agreed on: who
// offers it offers others too, and goes on without it.
constexpr absl::string_view kPeerExchange = "istio-peer-exchange";

absl::Status Invalid(absl::string_view where, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(where, ": ", what));
}

// The same bytes for equal messages.
std::string KeyOf(const google::protobuf::Message& message) {
  std::string bytes;
  google::protobuf::io::StringOutputStream stream(&bytes);
  google::protobuf::io::CodedOutputStream coded(&stream);
  coded.SetSerializationDeterministic(true);
  message.SerializeToCodedStream(&coded);
  coded.Trim();
  return bytes;
}

// ---- Parameters ---------------------------------------------------------------------------------

absl::Status ReadVersion(tls_v3::TlsParameters::TlsProtocol from, absl::string_view where,
                         tls::Version* to) {
  switch (from) {
    case tls_v3::TlsParameters::TLS_AUTO:
      return absl::OkStatus();
    case tls_v3::TlsParameters::TLSv1_2:
      *to = tls::Version::kTls12;
      return absl::OkStatus();
    case tls_v3::TlsParameters::TLSv1_3:
      *to = tls::Version::kTls13;
      return absl::OkStatus();
    default:
      return Invalid(where, absl::StrCat(tls_v3::TlsParameters::TlsProtocol_Name(from),
                                         " is not supported (TLS 1.2 and 1.3 are)"));
  }
}

absl::Status ReadParameters(const tls_v3::TlsParameters& from, absl::string_view where,
                            tls::Parameters* to) {
  RETURN_IF_ERROR(CheckSupported(from, where,
                                 {"tls_minimum_protocol_version", "tls_maximum_protocol_version",
                                  "cipher_suites", "ecdh_curves", "signature_algorithms"}));
  RETURN_IF_ERROR(ReadVersion(from.tls_minimum_protocol_version(),
                              absl::StrCat(where, ".tls_minimum_protocol_version"),
                              &to->version_min));
  RETURN_IF_ERROR(ReadVersion(from.tls_maximum_protocol_version(),
                              absl::StrCat(where, ".tls_maximum_protocol_version"),
                              &to->version_max));
  if (to->version_min > to->version_max) {
    return Invalid(where, "'tls_minimum_protocol_version' is above the maximum");
  }
  to->ciphers.assign(from.cipher_suites().begin(), from.cipher_suites().end());
  to->curves.assign(from.ecdh_curves().begin(), from.ecdh_curves().end());
  to->signature_algorithms.assign(from.signature_algorithms().begin(),
                                  from.signature_algorithms().end());
  return absl::OkStatus();
}

// ---- Certificates -------------------------------------------------------------------------------

absl::StatusOr<std::string> ReadSdsName(const tls_v3::SdsSecretConfig& config,
                                        absl::string_view where) {
  // Where secrets come from is this proxy's own choice: its authority, or its one xDS stream.
  RETURN_IF_ERROR(CheckSupported(config, where, {"name", "sds_config.**"}));
  if (config.name().empty()) return Invalid(where, "'name' is not set");
  return config.name();
}

absl::Status ReadCertificate(const tls_v3::CommonTlsContext& common, absl::string_view where,
                             MaterialConfig* out) {
  const int count =
      common.tls_certificates_size() + common.tls_certificate_sds_secret_configs_size();
  if (count == 0) return absl::OkStatus();
  if (count > 1) return Invalid(where, "more than one certificate is not supported");
  out->certificate.emplace();
  if (common.tls_certificate_sds_secret_configs_size() > 0) {
    ASSIGN_OR_RETURN(out->certificate->sds_name,
                     ReadSdsName(common.tls_certificate_sds_secret_configs(0),
                                 absl::StrCat(where, ".tls_certificate_sds_secret_configs[0]")));
    return absl::OkStatus();
  }
  const std::string here = absl::StrCat(where, ".tls_certificates[0]");
  const tls_v3::TlsCertificate& certificate = common.tls_certificates(0);
  RETURN_IF_ERROR(CheckSupported(certificate, here, {"certificate_chain", "private_key"}));
  ASSIGN_OR_RETURN(
      out->certificate->pair.certificate_chain_pem,
      ReadDataSource(certificate.certificate_chain(), absl::StrCat(here, ".certificate_chain")));
  ASSIGN_OR_RETURN(out->certificate->pair.private_key_pem,
                   ReadDataSource(certificate.private_key(), absl::StrCat(here, ".private_key")));
  return absl::OkStatus();
}

// ---- What the peer's certificate must be --------------------------------------------------------

absl::StatusOr<std::optional<tls::SubjectName::Kind>> ReadKind(
    tls_v3::SubjectAltNameMatcher::SanType type, absl::string_view where) {
  switch (type) {
    case tls_v3::SubjectAltNameMatcher::EMAIL:
      return tls::SubjectName::Kind::kEmail;
    case tls_v3::SubjectAltNameMatcher::DNS:
      return tls::SubjectName::Kind::kDns;
    case tls_v3::SubjectAltNameMatcher::URI:
      return tls::SubjectName::Kind::kUri;
    case tls_v3::SubjectAltNameMatcher::IP_ADDRESS:
      return tls::SubjectName::Kind::kIp;
    default:
      return Invalid(where,
                     absl::StrCat("'san_type: ", tls_v3::SubjectAltNameMatcher::SanType_Name(type),
                                  "' is not supported"));
  }
}

absl::Status ReadNames(const tls_v3::CertificateValidationContext& context, absl::string_view where,
                       std::vector<NameMatcher>* out) {
  for (int i = 0; i < context.match_typed_subject_alt_names_size(); ++i) {
    const auto& from = context.match_typed_subject_alt_names(i);
    const std::string here = absl::StrCat(where, ".match_typed_subject_alt_names[", i, "]");
    RETURN_IF_ERROR(CheckSupported(from, here, {"san_type", "matcher"}));
    NameMatcher matcher;
    ASSIGN_OR_RETURN(matcher.kind, ReadKind(from.san_type(), here));
    ASSIGN_OR_RETURN(matcher.text,
                     CompileStringMatcher(from.matcher(), absl::StrCat(here, ".matcher")));
    out->push_back(std::move(matcher));
  }
  for (int i = 0; i < context.match_subject_alt_names_size(); ++i) {
    NameMatcher matcher;
    ASSIGN_OR_RETURN(matcher.text, CompileStringMatcher(
                                       context.match_subject_alt_names(i),
                                       absl::StrCat(where, ".match_subject_alt_names[", i, "]")));
    out->push_back(std::move(matcher));
  }
  return absl::OkStatus();
}

absl::Status ReadDigests(const tls_v3::CertificateValidationContext& context,
                         absl::string_view where, MaterialConfig* out) {
  for (const std::string& text : context.verify_certificate_hash()) {
    const std::string hex = absl::StrReplaceAll(text, {{":", ""}});
    const bool good =
        hex.size() == 64 && hex.find_first_not_of("0123456789abcdefABCDEF") == std::string::npos;
    if (!good) return Invalid(where, absl::StrCat("invalid hex-encoded SHA-256 ", text));
    out->certificate_sha256.push_back(absl::HexStringToBytes(hex));
  }
  for (const std::string& text : context.verify_certificate_spki()) {
    std::string bytes;
    if (!absl::Base64Unescape(text, &bytes) || bytes.size() != 32) {
      return Invalid(where, absl::StrCat("invalid base64-encoded SHA-256 ", text));
    }
    out->key_sha256.push_back(std::move(bytes));
  }
  return absl::OkStatus();
}

absl::Status ReadValidation(const tls_v3::CertificateValidationContext& context,
                            absl::string_view where, MaterialConfig* out,
                            std::vector<NameMatcher>* names) {
  RETURN_IF_ERROR(CheckSupported(
      context, where,
      {"trusted_ca", "system_root_certs", "verify_certificate_spki", "verify_certificate_hash",
       "match_typed_subject_alt_names", "match_subject_alt_names", "allow_expired_certificate",
       "trust_chain_verification", "max_verify_depth.value"}));
  if (context.has_trusted_ca()) {
    out->roots.emplace();
    ASSIGN_OR_RETURN(out->roots->pem,
                     ReadDataSource(context.trusted_ca(), absl::StrCat(where, ".trusted_ca")));
  } else if (context.has_system_root_certs()) {
    out->roots.emplace();
    out->roots->system = true;
  }
  RETURN_IF_ERROR(ReadDigests(context, where, out));
  RETURN_IF_ERROR(ReadNames(context, where, names));
  out->allow_expired = context.allow_expired_certificate();
  out->accept_untrusted =
      context.trust_chain_verification() == tls_v3::CertificateValidationContext::ACCEPT_UNTRUSTED;
  if (context.has_max_verify_depth()) {
    if (context.max_verify_depth().value() > 100) {
      return Invalid(where, "'max_verify_depth' is above 100");
    }
    out->depth_max = static_cast<int>(context.max_verify_depth().value());
  }
  return absl::OkStatus();
}

absl::Status ReadSdsRoots(const tls_v3::SdsSecretConfig& config, absl::string_view where,
                          MaterialConfig* out) {
  if (!out->roots.has_value()) out->roots.emplace();
  RootsSource roots;
  ASSIGN_OR_RETURN(roots.sds_name, ReadSdsName(config, where));
  if (roots.sds_name == kSystemRoots) {
    roots.sds_name.clear();
    roots.system = true;
  }
  out->roots = std::move(roots);
  return absl::OkStatus();
}

absl::Status ReadPeer(const tls_v3::CommonTlsContext& common, absl::string_view where,
                      MaterialConfig* out, std::vector<NameMatcher>* names) {
  switch (common.validation_context_type_case()) {
    case tls_v3::CommonTlsContext::kValidationContext:
      RETURN_IF_ERROR(ReadValidation(common.validation_context(),
                                     absl::StrCat(where, ".validation_context"), out, names));
      break;
    case tls_v3::CommonTlsContext::kValidationContextSdsSecretConfig:
      RETURN_IF_ERROR(ReadSdsRoots(common.validation_context_sds_secret_config(),
                                   absl::StrCat(where, ".validation_context_sds_secret_config"),
                                   out));
      break;
    case tls_v3::CommonTlsContext::kCombinedValidationContext: {
      const std::string here = absl::StrCat(where, ".combined_validation_context");
      const auto& combined = common.combined_validation_context();
      RETURN_IF_ERROR(CheckSupported(
          combined, here, {"default_validation_context", "validation_context_sds_secret_config"}));
      RETURN_IF_ERROR(ReadValidation(combined.default_validation_context(),
                                     absl::StrCat(here, ".default_validation_context"), out,
                                     names));
      RETURN_IF_ERROR(ReadSdsRoots(combined.validation_context_sds_secret_config(),
                                   absl::StrCat(here, ".validation_context_sds_secret_config"),
                                   out));
      break;
    }
    case tls_v3::CommonTlsContext::VALIDATION_CONTEXT_TYPE_NOT_SET:
      return absl::OkStatus();
  }
  if (!names->empty() && !out->roots.has_value()) {
    return Invalid(where,
                   "SAN-based verification of peer certificates without trusted CA is insecure and "
                   "not allowed");
  }
  return absl::OkStatus();
}

// ---- Both sides ---------------------------------------------------------------------------------

absl::Status ReadCommon(const tls_v3::CommonTlsContext& common, absl::string_view where,
                        MaterialConfig* out, std::vector<std::string>* alpn,
                        std::vector<NameMatcher>* names) {
  RETURN_IF_ERROR(CheckSupported(
      common, where,
      {"tls_params", "tls_certificates", "tls_certificate_sds_secret_configs", "validation_context",
       "validation_context_sds_secret_config", "combined_validation_context", "alpn_protocols"}));
  RETURN_IF_ERROR(
      ReadParameters(common.tls_params(), absl::StrCat(where, ".tls_params"), &out->parameters));
  RETURN_IF_ERROR(ReadCertificate(common, where, out));
  RETURN_IF_ERROR(ReadPeer(common, where, out, names));
  for (const std::string& protocol : common.alpn_protocols()) {
    if (protocol.empty() || protocol.size() > 255) {
      return Invalid(where, "'alpn_protocols': a protocol has 1 to 255 bytes");
    }
    if (protocol != kPeerExchange) alpn->push_back(protocol);
  }
  return absl::OkStatus();
}

bool LooksAtPeer(const MaterialConfig& config) {
  return config.roots.has_value() || !config.certificate_sha256.empty() ||
         !config.key_sha256.empty();
}

// The part of the key that concerns contexts: what each connection brings itself is left out.
tls_v3::CommonTlsContext SharedPart(const tls_v3::CommonTlsContext& common) {
  tls_v3::CommonTlsContext shared = common;
  shared.clear_alpn_protocols();
  tls_v3::CertificateValidationContext* validation = nullptr;
  if (shared.has_validation_context()) validation = shared.mutable_validation_context();
  if (shared.has_combined_validation_context()) {
    validation = shared.mutable_combined_validation_context()->mutable_default_validation_context();
  }
  if (validation != nullptr) {
    validation->clear_match_typed_subject_alt_names();
    validation->clear_match_subject_alt_names();
  }
  return shared;
}

absl::StatusOr<std::shared_ptr<const TlsSocket>> Make(TlsConfig config, absl::string_view where,
                                                      TlsSockets* sockets) {
  if (sockets == nullptr) return Invalid(where, "TLS is not supported here");
  auto socket = sockets->Get(std::move(config));
  if (!socket.ok()) return Invalid(where, socket.status().message());
  return socket;
}

bool IsRaw(const core::TransportSocket& socket) {
  if (socket.has_typed_config()) {
    return AnyTypeName(socket.typed_config()) == RawBuffer::descriptor()->full_name();
  }
  return socket.name().empty() || socket.name() == kRawBufferName;
}

// `Context`: the type that this side takes.
template <typename Context>
absl::Status Unpack(const core::TransportSocket& socket, absl::string_view where, Context* to) {
  RETURN_IF_ERROR(CheckSupported(socket, where, {"name", "typed_config"}));
  if (AnyTypeName(socket.typed_config()) != Context::descriptor()->full_name()) {
    return Invalid(where, absl::StrCat("transport socket '", socket.name(), "' of type '",
                                       AnyTypeName(socket.typed_config()), "' is not supported"));
  }
  return UnpackAny(socket.typed_config(), where, to);
}

}  // namespace

absl::StatusOr<std::shared_ptr<const TlsSocket>> CompileUpstreamSocket(
    const core::TransportSocket& socket, absl::string_view where, TlsSockets* sockets) {
  if (IsRaw(socket)) return nullptr;
  tls_v3::UpstreamTlsContext context;
  RETURN_IF_ERROR(Unpack(socket, where, &context));
  RETURN_IF_ERROR(
      CheckSupported(context, where, {"common_tls_context", "sni", "max_session_keys.value"}));
  TlsConfig config;
  std::vector<NameMatcher> names;
  MaterialConfig& material = config.material;
  RETURN_IF_ERROR(ReadCommon(context.common_tls_context(),
                             absl::StrCat(where, ": common_tls_context"), &material, &config.alpn,
                             &names));
  if (context.sni().size() > 255) return Invalid(where, "'sni' has more than 255 bytes");
  config.server_name = context.sni();
  if (!names.empty()) {
    config.names = std::make_shared<const std::vector<NameMatcher>>(std::move(names));
    config.names_key = KeyOf(context.common_tls_context());
  }
  material.peer =
      LooksAtPeer(material) ? tls::PeerCertificate::kRequired : tls::PeerCertificate::kNone;
  if (context.has_max_session_keys() && context.max_session_keys().value() == 0) {
    material.sessions_max = 0;
  }
  material.key = absl::StrCat("client ", material.sessions_max, " ",
                              KeyOf(SharedPart(context.common_tls_context())));
  return Make(std::move(config), where, sockets);
}

absl::StatusOr<std::shared_ptr<const TlsSocket>> CompileDownstreamSocket(
    const core::TransportSocket& socket, absl::string_view where, TlsSockets* sockets) {
  if (IsRaw(socket)) return nullptr;
  tls_v3::DownstreamTlsContext context;
  RETURN_IF_ERROR(Unpack(socket, where, &context));
  // There is no stateful resumption, and one certificate needs no search.
  RETURN_IF_ERROR(
      CheckSupported(context, where,
                     {"common_tls_context", "require_client_certificate.value", "require_sni.**",
                      "disable_stateless_session_resumption", "disable_stateful_session_resumption",
                      "full_scan_certs_on_sni_mismatch.**"}));
  if (context.require_sni().value()) return Invalid(where, "'require_sni' is not supported");
  TlsConfig config;
  std::vector<NameMatcher> names;
  MaterialConfig& material = config.material;
  material.server = true;
  RETURN_IF_ERROR(ReadCommon(context.common_tls_context(),
                             absl::StrCat(where, ": common_tls_context"), &material, &material.alpn,
                             &names));
  if (!material.certificate.has_value()) {
    return Invalid(where, "no TLS certificates found for server context");
  }
  material.names = std::make_shared<const std::vector<NameMatcher>>(std::move(names));
  material.peer = context.require_client_certificate().value() ? tls::PeerCertificate::kRequired
                  : LooksAtPeer(material)                      ? tls::PeerCertificate::kOptional
                                                               : tls::PeerCertificate::kNone;
  material.tickets = !context.disable_stateless_session_resumption();
  material.key = absl::StrCat("server ", KeyOf(context));
  return Make(std::move(config), where, sockets);
}

}  // namespace meltemi::proxy
