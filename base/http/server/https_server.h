// A WebServer over TLS whose certificate can be replaced while it runs. Links what the binary links
// for //base/tls.
//
// Loop-owned.
#pragma once

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/http/server/web_server.h"
#include "base/loop/loop.h"
#include "base/net/address.h"
#include "base/tls/tls.h"

namespace meltemi::http {

class HttpsServer {
 public:
  virtual ~HttpsServer() = default;
  // For connections from now on; those that are open stay. Error: what is wrong with the PEM; the
  // old one stays in use.
  virtual absl::Status SetIdentity(const tls::KeyPair& identity) = 0;
  virtual const WebServer& server() const = 0;
};

// Offers HTTP/2 and HTTP/1.1 (ALPN), TLS 1.2 and later; asks for no client certificate.
absl::StatusOr<std::unique_ptr<HttpsServer>> ListenHttps(Loop& loop, const net::Address& address,
                                                         const tls::KeyPair& identity,
                                                         WebHandler handler,
                                                         const WebServerOptions& options = {});

}  // namespace meltemi::http
