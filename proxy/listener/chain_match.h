// Which filter chain of a listener takes a connection: Envoy's precedence of match criteria.
//
// Pure functions over an immutable ListenerConfig; any thread.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/net/address.h"
#include "proxy/listener/listener_config.h"
#include "proxy/listener/sniffer.h"

namespace meltemi::proxy {

struct ChainQuery {
  net::Address destination;              // the original one when redirected
  net::Address direct_source;            // the socket's peer
  net::Address source;                   // the same, unless a proxy protocol says otherwise
  const SniffResult* sniffed = nullptr;  // null: nobody looked
};

// Criteria in order: destination port, destination address (longest prefix), server name (exact,
// then longest wildcard), transport protocol, application protocol (in the client's order), direct
// source, local or external source, source address, source port. At each step the most specific
// value that fits decides and there is no way back, as in Envoy. nullptr: no chain and no default.
const FilterChain* MatchChain(const ListenerConfig& config, const ChainQuery& query);

// Whether what a Sniffer finds can change the answer of MatchChain for this destination; when not,
// nobody need wait for the client's first bytes.
bool NeedsSniffing(const ListenerConfig& config, const net::Address& destination);

// Whether two chains could not be told apart (an error of configuration).
bool SameMatch(const FilterChainMatch& a, const FilterChainMatch& b);

}  // namespace meltemi::proxy
