// The configuration of two sidecars, for either program: one that takes plaintext and sends mutual
// TLS, one that takes mutual TLS and answers.
#pragma once

#include <string>

#include "base/tls/tls.h"

namespace meltemi::tls_interop {

inline constexpr char kSni[] = "outbound_.80_._.server.default.svc.cluster.local";

struct Sidecar {
  int admin_port = 0;
  int port = 0;
  tls::KeyPair own;
  std::string roots_pem;
  std::string peer_name;  // the URI that the other end must have
  bool tls13 = true;      // or 1.2
  bool http2 = false;     // between the two
  std::string log_path;
  int upstream_port = 0;  // the client's alone
};

// JSON bootstraps. The server says "mesh" to who offers the protocols of Istio's sidecars, and "not
// mesh" to others; the client makes a new connection for each request.
std::string ServerSidecar(const Sidecar& sidecar);
std::string ClientSidecar(const Sidecar& sidecar);

}  // namespace meltemi::tls_interop
