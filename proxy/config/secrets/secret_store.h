// The secrets that TLS is made of, by their SDS names: certificates with keys, and the roots that
// peers are verified against. "default" is this workload's own certificate, "ROOTCA" the roots of
// its mesh; both come from the certificate authority (ca_client.h). Others come over the xDS stream
// (SDS), or stand in the configuration itself.
//
// Main loop only. What workers use is made from it and handed to them whole
// (proxy/transport/tls_socket.h), so that a rotation touches no listener, cluster or connection.
#pragma once

#include <memory>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/strings/string_view.h"

namespace meltemi::tls {
struct KeyPair;
}

namespace meltemi::proxy {

inline constexpr absl::string_view kWorkloadCertificate = "default";
inline constexpr absl::string_view kMeshRoots = "ROOTCA";

enum class SecretKind : uint8_t { kCertificate, kRoots };

// Somebody's interest in a secret: while it lives the secret is subscribed to. May outlive nothing:
// destroyed before the store.
class SecretWatch {
 public:
  virtual ~SecretWatch() = default;
};

class SecretStore {
 public:
  virtual ~SecretStore() = default;

  // The newest good version; null: not known (yet). Valid until the loop's next turn.
  virtual const tls::KeyPair* Certificate(absl::string_view name) const = 0;
  // PEM, one or more certificates.
  virtual const std::string* Roots(absl::string_view name) const = 0;

  // `changed` is called from the loop when that secret has come or has changed; never from within
  // Watch.
  virtual std::unique_ptr<SecretWatch> Watch(SecretKind kind, std::string name,
                                             absl::AnyInvocable<void()> changed) = 0;
};

}  // namespace meltemi::proxy
