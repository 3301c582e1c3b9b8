// Calls over HTTPS to others (webhooks, kubelets) for whoever blocks on the answer: HTTP/1.1 on a
// loop thread of the client's own, connections kept for the next call.
//
// Threads: Start and Wait may be called from any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/clock/clock.h"
#include "base/net/address.h"
#include "base/tls/tls.h"

namespace meltemi::apiserver {

struct HttpsRequest {
  std::string method = "POST";
  // Where to: one of `addresses` in order until one connects, or else `host` (a name or an address)
  // and `port`.
  std::vector<net::Address> addresses;
  std::string host;
  uint16_t port = 443;
  std::string server_name;  // what the certificate has to be for
  std::string ca_pem;       // "": the system's CAs
  std::string authority, path;
  std::string body;  // JSON; of a GET there is none
  Duration timeout = seconds(10);
};

struct HttpsResponse {
  int code = 0;
  std::string body;
};

// A call under way.
class HttpsCall {
 public:
  virtual ~HttpsCall() = default;
  // Blocks until there is an answer, an error in Go's words ("dial tcp 10.0.0.1:443: connect:
  // connection refused", "context deadline exceeded") or the time-out. Once.
  virtual absl::StatusOr<HttpsResponse> Wait() = 0;
};

class HttpsClient {
 public:
  // Destroying ends what is under way.
  virtual ~HttpsClient() = default;
  virtual std::shared_ptr<HttpsCall> Start(HttpsRequest request) = 0;
};

struct HttpsClientOptions {
  std::string user_agent = "kube-apiserver-admission";
  std::optional<tls::KeyPair> identity;  // what it shows to who asks for a certificate
  bool verify = true;                    // servers' certificates
  size_t response_bytes_max = 3 * 1024 * 1024;
  size_t idle_connections_max = 25;        // per destination
  size_t all_idle_connections_max = 1000;  // over all of them
  Duration idle_timeout = seconds(90);
};

// `clock` outlives it.
std::unique_ptr<HttpsClient> NewHttpsClient(const Clock& clock,
                                            const HttpsClientOptions& options = {});

}  // namespace meltemi::apiserver
