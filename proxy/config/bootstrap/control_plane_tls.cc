#include "proxy/config/bootstrap/control_plane_tls.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "envoy/config/core/v3/base.pb.h"
#include "envoy/extensions/transport_sockets/raw_buffer/v3/raw_buffer.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/tls.pb.h"
#include "proxy/config/compile/unsupported.h"
#include "proxy/config/secrets/credential_files.h"

namespace meltemi::proxy {
namespace {

namespace core_v3 = envoy::config::core::v3;
namespace raw_v3 = envoy::extensions::transport_sockets::raw_buffer::v3;
namespace tls_v3 = envoy::extensions::transport_sockets::tls::v3;

constexpr absl::string_view kSupported[] = {
    "sni",
    "common_tls_context.alpn_protocols",
    "common_tls_context.tls_certificates.certificate_chain.filename",
    "common_tls_context.tls_certificates.certificate_chain.inline_string",
    "common_tls_context.tls_certificates.certificate_chain.inline_bytes",
    "common_tls_context.tls_certificates.private_key.filename",
    "common_tls_context.tls_certificates.private_key.inline_string",
    "common_tls_context.tls_certificates.private_key.inline_bytes",
    "common_tls_context.validation_context.trusted_ca.filename",
    "common_tls_context.validation_context.trusted_ca.inline_string",
    "common_tls_context.validation_context.trusted_ca.inline_bytes",
    "common_tls_context.validation_context.match_typed_subject_alt_names.san_type",
    "common_tls_context.validation_context.match_typed_subject_alt_names.matcher.exact",
    "common_tls_context.validation_context.match_subject_alt_names.exact",
};

void ReadSource(const core_v3::DataSource& source, std::string* file, std::string* text) {
  *file = source.filename();
  *text = source.has_inline_string() ? source.inline_string() : source.inline_bytes();
}

bool Offers(const tls_v3::CommonTlsContext& context, absl::string_view protocol) {
  if (context.alpn_protocols().empty()) return true;
  for (const std::string& offered : context.alpn_protocols()) {
    if (offered == protocol) return true;
  }
  return false;
}

}  // namespace

absl::Status ReadControlPlaneTls(const core_v3::TransportSocket& socket, absl::string_view where,
                                 CredentialFiles* out) {
  const std::string here = absl::StrCat(where, ": transport_socket");
  if (AnyTypeName(socket.typed_config()) == raw_v3::RawBuffer::descriptor()->full_name()) {
    return absl::OkStatus();
  }
  tls_v3::UpstreamTlsContext tls;
  absl::Status status = UnpackAny(socket.typed_config(), here, &tls);
  if (!status.ok()) return status;
  status = CheckSupported(tls, here, absl::MakeConstSpan(kSupported));
  if (!status.ok()) return status;
  const tls_v3::CommonTlsContext& common = tls.common_tls_context();
  if (common.tls_certificates_size() > 1) {
    return absl::InvalidArgumentError(absl::StrCat(here, ": one certificate is enough"));
  }
  if (!Offers(common, "h2")) {
    return absl::InvalidArgumentError(
        absl::StrCat(here, ": alpn_protocols has no \"h2\", which gRPC needs"));
  }
  out->tls = true;
  out->server_name = tls.sni();
  for (const tls_v3::TlsCertificate& certificate : common.tls_certificates()) {
    ReadSource(certificate.certificate_chain(), &out->certificate_file, &out->certificate_pem);
    ReadSource(certificate.private_key(), &out->key_file, &out->key_pem);
  }
  const tls_v3::CertificateValidationContext& validation = common.validation_context();
  ReadSource(validation.trusted_ca(), &out->root_file, &out->root_pem);
  for (const auto& matcher : validation.match_typed_subject_alt_names()) {
    out->names.push_back(matcher.matcher().exact());
  }
  for (const auto& matcher : validation.match_subject_alt_names()) {
    out->names.push_back(matcher.exact());
  }
  out->peer = !validation.has_trusted_ca() ? CredentialFiles::Peer::kAnybody
              : out->names.empty()         ? CredentialFiles::Peer::kAny
                                           : CredentialFiles::Peer::kNames;
  return absl::OkStatus();
}

}  // namespace meltemi::proxy
