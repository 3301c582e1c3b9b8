// Where secrets of the xDS stream go, and which ones are wanted.
//
// Main loop only. Errors (INVALID_ARGUMENT) say what is wrong without a word of what the secret
// holds; they become the reason of a NACK.
#pragma once

#include <set>
#include <string>

#include "absl/status/status.h"

namespace envoy::extensions::transport_sockets::tls::v3 {
class Secret;
}

namespace meltemi::proxy {

class SecretSink {
 public:
  virtual ~SecretSink() = default;
  // What to subscribe to. What was there and is not wanted any more is forgotten.
  virtual std::set<std::string> WantedNames() = 0;
  // `version`: of the response, or its own.
  virtual absl::Status Set(const envoy::extensions::transport_sockets::tls::v3::Secret& secret,
                           const std::string& version) = 0;
  // One of the bootstrap, which no other replaces.
  virtual absl::Status SetStatic(
      const envoy::extensions::transport_sockets::tls::v3::Secret& secret) = 0;
};

}  // namespace meltemi::proxy
