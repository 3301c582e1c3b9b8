#include "proxy/transport/tls_stats.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "proxy/observe/tls_info.h"

namespace meltemi::proxy {

TlsStats::TlsStats(metrics::Scope& scope, absl::string_view prefix, metrics::Labels tag,
                   bool server)
    : scope_(scope),
      prefix_(prefix),
      tag_(std::move(tag)),
      server_(server),
      handshake_(Get("ssl_handshake")) {
  // Shown from the start, as by Envoy: an alarm on them needs the zero.
  for (absl::string_view name :
       {"ssl_connection_error", "ssl_fail_verify_error", "ssl_fail_verify_san",
        "ssl_fail_verify_cert_hash", "ssl_fail_verify_no_cert", "ssl_session_reused",
        "ssl_no_certificate"}) {
    Get(name);
  }
}

metrics::Counter& TlsStats::Get(absl::string_view name) {
  return scope_.GetCounter(absl::StrCat(prefix_, name), tag_);
}

void TlsStats::OnHandshake(const TlsInfo& info) {
  handshake_.Inc();
  if (info.resumed) Get("ssl_session_reused").Inc();
  if (!info.peer_presented) Get("ssl_no_certificate").Inc();
  const auto count = [this](absl::string_view name, absl::string_view label,
                            const std::string& value) {
    metrics::Labels labels = tag_;
    labels.emplace_back(std::string(label), value);
    scope_.GetCounter(absl::StrCat(prefix_, name), labels).Inc();
  };
  count("ssl_versions", "envoy_ssl_version", info.version);
  // Envoy's own two names for one thing.
  count("ssl_ciphers", server_ ? "envoy_ssl_cipher" : "cipher_suite", info.cipher);
}

void TlsStats::OnFailure(tls::HandshakeFailure failure) {
  switch (failure) {
    case tls::HandshakeFailure::kNone:
      break;
    case tls::HandshakeFailure::kProtocol:
      return Get("ssl_connection_error").Inc();
    case tls::HandshakeFailure::kNoCertificate:
      return Get("ssl_fail_verify_no_cert").Inc();
    case tls::HandshakeFailure::kUntrusted:
      return Get("ssl_fail_verify_error").Inc();
    case tls::HandshakeFailure::kName:
      return Get("ssl_fail_verify_san").Inc();
    case tls::HandshakeFailure::kDigest:
      return Get("ssl_fail_verify_cert_hash").Inc();
  }
}

void TlsStats::OnNotReady() {
  Get(server_ ? "server_ssl_socket_factory_downstream_context_secrets_not_ready"
              : "client_ssl_socket_factory_upstream_context_secrets_not_ready")
      .Inc();
}

}  // namespace meltemi::proxy
