// The seam of network filters: what judges a connection before its filter chain takes it. The
// terminal filters (HTTP connections, TCP proxy) are the chain's own and not of this kind.
//
// Loop-owned; one object per filter chain and worker. A connection is judged once, when what the
// client is and wants is known (sniffed, TLS handshake over) and nothing has been done for it: a
// refused one reaches no upstream. (Envoy's filters wait for the first byte instead, so that a
// server that speaks first is heard by clients that it should not talk to.)
#pragma once

#include <cstdint>
#include <memory>

#include "absl/strings/string_view.h"
#include "base/net/address.h"

namespace meltemi::metrics {
class Scope;
}

namespace meltemi::proxy {

struct TlsInfo;

// Valid for the call alone.
struct ConnectionFacts {
  const net::Address& remote;  // the socket's peer
  const net::Address& local;   // the original destination when redirected
  absl::string_view server_name;
  const TlsInfo* tls = nullptr;  // null: plaintext
  uint64_t id = 0;               // of the connection, for logs
};

class NetworkFilter {
 public:
  virtual ~NetworkFilter() = default;
  // "" lets the connection pass. Else it is closed, and this goes into logs as
  // %CONNECTION_TERMINATION_DETAILS%; valid as long as the filter.
  virtual absl::string_view Judge(const ConnectionFacts& facts) = 0;
};

// The immutable, thread-safe form that the compiler makes from a filter's proto.
class NetworkFilterConfig {
 public:
  virtual ~NetworkFilterConfig() = default;
  // The filter's counters live in `scope`, which outlives it.
  virtual std::unique_ptr<NetworkFilter> NewFilter(metrics::Scope& scope) const = 0;
};

}  // namespace meltemi::proxy
