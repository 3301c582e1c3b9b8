// One request on a connection of its own, from a source address of choice, in plaintext or over
// TLS. Blocks; bounded.
#pragma once

#include <memory>
#include <string>

#include "base/tls/tls.h"
#include "test/interop/authorization/table.h"

namespace meltemi::authorization {

struct Answer {
  std::string status;   // "200"; "no answer" when the connection ended before one
  std::string rest;     // grpc-status, body
  int client_port = 0;  // that the connection came from
};

// The certificates of the clients; index by Identity.
struct Identities {
  tls::KeyPair a, b, dns_name;
  std::string roots_pem;
};

class Client {
 public:
  explicit Client(const Identities& identities);
  ~Client();
  // `id` goes with it as x-case.
  Answer Send(const Request& request, int port, const std::string& id);

 private:
  struct Contexts;
  std::unique_ptr<Contexts> contexts_;
};

}  // namespace meltemi::authorization
