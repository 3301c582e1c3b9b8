// What gRPC's server proves itself with over TLS; its certificate can be replaced while it serves.
// gRPC takes certificates that change from files alone: they lie in a folder of this process that
// nobody else can read, and go with it.
//
// Threads: thread-safe. Source: gRPC's FileWatcherCertificateProvider.
#pragma once

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace grpc {
class ServerCredentials;
}
namespace meltemi::tls {
struct KeyPair;
}

namespace meltemi::pilot {

class ServingCredentials {
 public:
  // Error: the folder or its files could not be written, and where.
  static absl::StatusOr<std::unique_ptr<ServingCredentials>> New(const tls::KeyPair& identity);

  virtual ~ServingCredentials() = default;
  // New connections see it within a few seconds. After an error the old one stays.
  virtual absl::Status Replace(const tls::KeyPair& identity) = 0;
  virtual std::shared_ptr<grpc::ServerCredentials> grpc_credentials() const = 0;
};

}  // namespace meltemi::pilot
