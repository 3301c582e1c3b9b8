// What stands beside an Envoy in a pod: it gives it its certificate and the roots (SDS over a Unix
// socket). Beside meltemi-proxy stands nothing: there the same PEM is in the bootstrap.
#pragma once

#include <string>
#include <thread>

#include "base/clock/clock.h"
#include "base/tls/tls.h"

namespace meltemi {
class Loop;
}

namespace meltemi::bench {

// One certificate for every workload of the benchmark, and the root that signed it.
struct Identity {
  tls::KeyPair workload;
  std::string roots_pem;
};

// Of `spiffe`, an ECDSA P-256 key, good for a day.
Identity NewIdentity(const std::string& spiffe);

// Answers on a thread of its own until it is destroyed.
class SecretServer {
 public:
  // The socket may be connected to by every user.
  SecretServer(const std::string& path, const Identity& identity);
  SecretServer(const SecretServer&) = delete;
  SecretServer& operator=(const SecretServer&) = delete;
  ~SecretServer();

 private:
  SystemClock clock_;
  Loop* loop_ = nullptr;  // of the thread
  std::thread thread_;
};

}  // namespace meltemi::bench
