// What the TLS handshake of a connection said: for access logs, statistics, forwarded certificates
// and authorization. Made once per connection; immutable; held by the connection, so that its
// streams may point at it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace meltemi::proxy {

struct TlsInfo {
  std::string version;      // "TLSv1.3"
  std::string cipher;       // "TLS_AES_256_GCM_SHA384"
  std::string alpn;         // "" when none was agreed on
  std::string server_name;  // SNI
  bool resumed = false;

  // The peer's certificate. It was verified unless `peer_presented` is all that is said of it.
  bool peer_presented = false, peer_verified = false;
  std::vector<std::string> peer_uri_sans, peer_dns_sans;
  std::string peer_subject;                             // RFC 2253
  std::string peer_issuer;                              // likewise
  std::string peer_serial;                              // hexadecimal, lower case
  std::string peer_sha256;                              // of the DER, hexadecimal, lower case
  std::string peer_certificate_pem;                     // "" unless somebody asked for it
  int64_t peer_not_before_s = 0, peer_not_after_s = 0;  // Unix time
  // Our own.
  std::vector<std::string> local_uri_sans, local_dns_sans;
  std::string local_subject;

  // Who the peer is: its first URI name, "spiffe://cluster.local/ns/NS/sa/SA"; "" unless verified.
  const std::string& principal() const {
    static const std::string& kNone = *new std::string();
    return peer_verified && !peer_uri_sans.empty() ? peer_uri_sans[0] : kNone;
  }
};

}  // namespace meltemi::proxy
