#include "proxy/listener/chain_match.h"

#include <algorithm>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"

namespace meltemi::proxy {
namespace {

using Candidates = absl::InlinedVector<const FilterChain*, 16>;

// How well a criterion fits: kNoFit, 0 when the chain does not ask, more when it asks for more.
constexpr int kNoFit = -1;

// Keeps the chains that fit best.
template <typename Fit>
void KeepBest(Candidates& chains, Fit&& fit) {
  int best = kNoFit;
  Candidates kept;
  for (const FilterChain* chain : chains) {
    const int score = fit(chain->match);
    if (score == kNoFit || score < best) continue;
    if (score > best) kept.clear();
    best = score;
    kept.push_back(chain);
  }
  chains = std::move(kept);
}

int FitRanges(const std::vector<net::Cidr>& ranges, const net::Address& address) {
  if (ranges.empty()) return 0;
  int best = kNoFit;
  for (const net::Cidr& range : ranges) {
    // Above 0 also for 0.0.0.0/0: "any" that was asked for still fits as little as not asking.
    if (range.Contains(address)) best = std::max(best, range.prefix_bits());
  }
  return best;
}

int FitServerName(const std::vector<std::string>& names, absl::string_view server_name) {
  if (names.empty()) return 0;
  int best = kNoFit;
  for (const std::string& name : names) {
    if (absl::StartsWith(name, "*.")) {
      const absl::string_view suffix = absl::string_view(name).substr(1);
      if (server_name.size() > suffix.size() && absl::EndsWith(server_name, suffix)) {
        best = std::max(best, static_cast<int>(suffix.size()));
      }
    } else if (!server_name.empty() && name == server_name) {
      return 1 << 20;
    }
  }
  return best;
}

int FitApplication(const std::vector<std::string>& wanted,
                   const std::vector<std::string>& offered) {
  if (wanted.empty()) return 0;
  for (size_t i = 0; i < offered.size(); ++i) {
    if (std::find(wanted.begin(), wanted.end(), offered[i]) != wanted.end()) {
      return (1 << 20) - static_cast<int>(std::min<size_t>(i, 1000));
    }
  }
  return kNoFit;
}

bool SameIpOrLoopback(const net::Address& source, const net::Address& destination) {
  if (!source.is_ip()) return true;  // a Unix socket is local
  return source.is_loopback() || source.ip() == destination.ip();
}

void KeepDestination(Candidates& chains, const net::Address& destination) {
  KeepBest(chains, [&](const FilterChainMatch& match) {
    if (!match.destination_port.has_value()) return 0;
    return destination.is_ip() && *match.destination_port == destination.port() ? 1 : kNoFit;
  });
  KeepBest(chains, [&](const FilterChainMatch& match) {
    return FitRanges(match.prefix_ranges, destination);
  });
}

Candidates AllChains(const ListenerConfig& config) {
  Candidates chains;
  for (const FilterChain& chain : config.filter_chains) chains.push_back(&chain);
  return chains;
}

void KeepSniffed(Candidates& chains, const SniffResult& sniffed) {
  KeepBest(chains, [&](const FilterChainMatch& match) {
    return FitServerName(match.server_names, sniffed.server_name);
  });
  KeepBest(chains, [&](const FilterChainMatch& match) {
    if (match.transport_protocol.empty()) return 0;
    return match.transport_protocol == sniffed.transport_protocol ? 1 : kNoFit;
  });
  KeepBest(chains, [&](const FilterChainMatch& match) {
    return FitApplication(match.application_protocols, sniffed.application_protocols);
  });
}

void KeepSource(Candidates& chains, const ChainQuery& query) {
  KeepBest(chains, [&](const FilterChainMatch& match) {
    return FitRanges(match.direct_source_ranges, query.direct_source);
  });
  const bool local = SameIpOrLoopback(query.source, query.destination);
  KeepBest(chains, [&](const FilterChainMatch& match) {
    if (match.source_local_only) return local ? 1 : kNoFit;
    if (match.source_external_only) return local ? kNoFit : 1;
    return 0;
  });
  KeepBest(chains, [&](const FilterChainMatch& match) {
    return FitRanges(match.source_ranges, query.source);
  });
  KeepBest(chains, [&](const FilterChainMatch& match) {
    if (match.source_ports.empty()) return 0;
    const auto& ports = match.source_ports;
    return std::find(ports.begin(), ports.end(), query.source.port()) != ports.end() ? 1 : kNoFit;
  });
}

bool SameRanges(const std::vector<net::Cidr>& a, const std::vector<net::Cidr>& b) {
  return std::equal(
      a.begin(), a.end(), b.begin(), b.end(),
      [](const net::Cidr& x, const net::Cidr& y) { return x.ToString() == y.ToString(); });
}

}  // namespace

const FilterChain* MatchChain(const ListenerConfig& config, const ChainQuery& query) {
  const SniffResult nothing;
  const FilterChain* fallback = config.default_chain.has_value() ? &*config.default_chain : nullptr;
  Candidates chains = AllChains(config);
  KeepDestination(chains, query.destination);
  KeepSniffed(chains, query.sniffed == nullptr ? nothing : *query.sniffed);
  KeepSource(chains, query);
  return chains.empty() ? fallback : chains.front();
}

bool NeedsSniffing(const ListenerConfig& config, const net::Address& destination) {
  if (!config.http_inspector && !config.tls_inspector) return false;
  Candidates chains = AllChains(config);
  KeepDestination(chains, destination);
  return std::any_of(chains.begin(), chains.end(), [](const FilterChain* chain) {
    return !chain->match.server_names.empty() || !chain->match.transport_protocol.empty() ||
           !chain->match.application_protocols.empty() || !chain->network_filters.empty();
  });
}

bool SameMatch(const FilterChainMatch& a, const FilterChainMatch& b) {
  return a.destination_port == b.destination_port && SameRanges(a.prefix_ranges, b.prefix_ranges) &&
         a.server_names == b.server_names && a.transport_protocol == b.transport_protocol &&
         a.application_protocols == b.application_protocols &&
         SameRanges(a.direct_source_ranges, b.direct_source_ranges) &&
         SameRanges(a.source_ranges, b.source_ranges) && a.source_ports == b.source_ports &&
         a.source_local_only == b.source_local_only &&
         a.source_external_only == b.source_external_only;
}

}  // namespace meltemi::proxy
