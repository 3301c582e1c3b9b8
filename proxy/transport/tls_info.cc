#include "proxy/transport/tls_info.h"

#include <utility>

#include "base/tls/certificate.h"

namespace meltemi::proxy {

std::shared_ptr<const TlsInfo> ReadTlsInfo(const tls::Connection& connection, const OwnNames& own,
                                           bool with_certificate) {
  auto info = std::make_shared<TlsInfo>();
  const tls::SessionInfo& session = connection.session();
  info->version = session.version;
  info->cipher = session.cipher;
  info->alpn = session.alpn;
  info->server_name = session.server_name;
  info->resumed = session.resumed;
  info->local_uri_sans = own.uri_sans;
  info->local_dns_sans = own.dns_sans;
  info->local_subject = own.subject;
  auto peer = connection.ReadPeer();
  if (!peer.ok()) return info;
  info->peer_presented = true;
  info->peer_verified = session.peer_verified;
  info->peer_uri_sans = std::move(peer->uris);
  info->peer_dns_sans = std::move(peer->dns_names);
  info->peer_subject = std::move(peer->subject);
  info->peer_issuer = std::move(peer->issuer);
  info->peer_serial = std::move(peer->serial_hex);
  info->peer_sha256 = std::move(peer->sha256_hex);
  info->peer_not_before_s = peer->not_before_s;
  info->peer_not_after_s = peer->not_after_s;
  if (with_certificate) info->peer_certificate_pem = connection.PeerPem(/*chain=*/false);
  return info;
}

}  // namespace meltemi::proxy
