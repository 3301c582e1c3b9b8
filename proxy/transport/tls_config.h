// TLS of one side as configured: immutable, compiled from Upstream- and DownstreamTlsContext, free
// of protobuf. Any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/tls/tls.h"
#include "proxy/route/matchers.h"

namespace meltemi::proxy {

// What a name of a peer's certificate may be.
struct NameMatcher {
  std::optional<tls::SubjectName::Kind> kind;  // unset: of any kind
  StringMatcher text;
};

// Null when `names` is empty: any certificate will do. Exact DNS matchers know a certificate's
// wildcard ("*.example.com"), as in Envoy.
tls::NameFits NamesFit(std::shared_ptr<const std::vector<NameMatcher>> names);

// A certificate with its key: an SDS name, or inline.
struct CertificateSource {
  std::string sds_name;
  tls::KeyPair pair;
};

struct RootsSource {
  std::string sds_name;
  std::string pem;
  bool system = false;  // the machine's
};

// What a context (with its caches) is made of. Equal keys share one.
struct MaterialConfig {
  std::string key;  // never ""
  bool server = false;
  std::optional<CertificateSource> certificate;  // always set for servers
  std::optional<RootsSource> roots;              // unset: signatures are not looked at
  tls::PeerCertificate peer = tls::PeerCertificate::kNone;
  tls::Parameters parameters;
  bool accept_untrusted = false;
  bool allow_expired = false;
  std::optional<int> depth_max;
  std::vector<std::string> certificate_sha256, key_sha256;  // raw
  // Servers; a client's stand in TlsConfig.
  std::vector<std::string> alpn;
  std::shared_ptr<const std::vector<NameMatcher>> names;
  bool tickets = true;
  size_t sessions_max = 256;  // clients
};

struct TlsConfig {
  MaterialConfig material;
  // Clients: what each connection says and wants.
  std::string server_name;
  std::vector<std::string> alpn;
  std::shared_ptr<const std::vector<NameMatcher>> names;
  std::string names_key;  // equal for equal `names`
};

}  // namespace meltemi::proxy
