// The ADS service over gRPC (callback API: no thread per stream). gRPC's threads hand what they
// read to the loop; the loop writes. Everything but the constructor and destructor runs on the
// loop.
//
// Comes from: push/ (responses). Goes to: the wire.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/loop/loop.h"
#include "pilot/push/push_server.h"

namespace grpc {
class ServerCredentials;
class Service;
}  // namespace grpc

namespace meltemi::pilot {

class CallAuthenticator;  // pilot/push/caller.h

class AdsServer {
 public:
  struct Options {
    std::string address = "0.0.0.0:15010";  // port 0: any free one
    int request_bytes_max = 16 * 1024 * 1024;
    // What connections are made with; null: plaintext.
    std::shared_ptr<grpc::ServerCredentials> credentials;
    // Asked about each stream's token before anything of it is read; null: everybody may come.
    // Outlives the server.
    CallAuthenticator* authenticator = nullptr;
    // More that is served at the same address. They outlive the server.
    std::vector<grpc::Service*> services;
  };

  // Starts to serve at once. Unavailable, with the address, where it cannot be bound. `push` and
  // `loop` must outlive the server.
  static absl::StatusOr<std::unique_ptr<AdsServer>> Start(Loop* loop, PushServer* push,
                                                          const Options& options);
  // Ends all streams and waits for gRPC's threads. On the loop's thread.
  virtual ~AdsServer() = default;

  virtual int port() const = 0;
};

}  // namespace meltemi::pilot
