// The endpoints of a cluster whose hosts are given by name.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "base/loop/loop.h"
#include "base/metrics/metrics.h"
#include "base/net/dns.h"
#include "base/random/random.h"
#include "proxy/upstream/cluster/cluster_config.h"

namespace meltemi::proxy {

// Main loop. Resolves each name again and again: after the answer's time to live (where the cluster
// respects it) or the configured interval, with some jitter. The last good answer holds until there
// is a better one. Strict DNS: all addresses are hosts. Logical DNS: one of them, the same one as
// long as it is in the answer.
class DnsDiscovery {
 public:
  using Callback = absl::AnyInvocable<void(std::shared_ptr<const EndpointsConfig>)>;
  // `on_change` gets the endpoints (which may be empty) when all names have been tried once, and
  // whenever they change afterwards. `scope` counts attempts, successes and failures.
  DnsDiscovery(Loop& loop, Random& random, net::DnsResolver& resolver, metrics::Scope& scope,
               std::shared_ptr<const ClusterConfig> config,
               std::shared_ptr<const EndpointsConfig> names, Callback on_change);
  ~DnsDiscovery();
  DnsDiscovery(const DnsDiscovery&) = delete;
  DnsDiscovery& operator=(const DnsDiscovery&) = delete;

 private:
  struct Name;
  void Resolve(Name& name);
  void OnAnswer(Name& name, absl::StatusOr<net::DnsAnswer> answer);
  void Tell();

  Loop& loop_;
  Random& random_;
  net::DnsResolver& resolver_;
  metrics::Scope& scope_;
  const std::shared_ptr<const ClusterConfig> config_;
  const std::shared_ptr<const EndpointsConfig> endpoints_;
  Callback on_change_;
  std::vector<std::unique_ptr<Name>> names_;
};

}  // namespace meltemi::proxy
