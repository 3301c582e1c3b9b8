// The ADS service over gRPC: each stream is a Peer of the PushServer. Loop-owned.
//
// Comes from: push/ (responses). Goes to: the wire, by base/grpc.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/loop/loop.h"

namespace meltemi::http::grpc {
class Server;
}
namespace meltemi::tls {
class Context;
struct KeyPair;
}  // namespace meltemi::tls

namespace meltemi::pilot {

class CallAuthenticator;  // pilot/push/caller.h
class PushServer;         // pilot/push/push_server.h

class AdsServer {
 public:
  struct Options {
    std::string address = "0.0.0.0:15010";  // port 0: any free one
    size_t request_bytes_max = 16 * 1024 * 1024;
    // What the server proves itself with; null: plaintext.
    const tls::KeyPair* identity = nullptr;
    // Asked about each stream's token before anything of it is read; null: everybody may come.
    // Outlives the server.
    CallAuthenticator* authenticator = nullptr;
  };

  // Starts to serve at once. Unavailable, with the address, where it cannot be bound;
  // INVALID_ARGUMENT for an address or an identity that is none. `push` and `loop` must outlive the
  // server.
  static absl::StatusOr<std::unique_ptr<AdsServer>> Start(Loop* loop, PushServer* push,
                                                          const Options& options);
  // Ends all streams.
  virtual ~AdsServer() = default;

  // For connections from now on. Error: what is wrong with it; the old one stays.
  virtual absl::Status SetIdentity(const tls::KeyPair& identity) = 0;
  // More can be served at the same address.
  virtual http::grpc::Server& server() = 0;
  virtual int port() const = 0;
};

}  // namespace meltemi::pilot
