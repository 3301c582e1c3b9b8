// The cluster's DNS on a node: names of services and pods from the API server, everything else from
// upstream servers through a cache.
//
// wire/ reads and writes messages (sans IO), records/ answers from a snapshot of the objects,
// forward/ asks upstream; this drives them over UDP and TCP. Threads: made and destroyed on one
// thread; a loop thread of its own serves. Source: the DNS-based service discovery specification
// (kubernetes/dns 1.1.0), RFC 1035, 2308, 6891, 7766; CoreDNS' kubernetes plugin for defaults.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/clock/clock.h"
#include "base/metrics/metrics.h"
#include "base/net/address.h"
#include "kube/informer/informer.h"

namespace meltemi::dns {

struct DnsOptions {
  std::vector<net::Address> addresses;  // UDP and TCP; port 0: the kernel's choice
  std::string domain = "cluster.local";
  std::vector<net::Address> upstreams;  // none: of resolv_conf, which is read again on change
  std::string resolv_conf = "/etc/resolv.conf";
  Duration ttl = seconds(30);  // of cluster names
  Duration cache_ttl_max = seconds(30), upstream_timeout = seconds(2);
  size_t cache_bytes_max = 16 * 1024 * 1024;
  size_t tcp_connections_max = 256, forwards_max = 1000;  // under way
};

class DnsServer {
 public:
  virtual ~DnsServer() = default;
  // The informers that were asked for are synced: cluster names are answered from now on
  // (SERVFAIL before).
  virtual void Start() = 0;
  virtual std::vector<net::Address> addresses() const = 0;  // of UDP, in the order of the options
};

// Error: an address can't be bound.
absl::StatusOr<std::unique_ptr<DnsServer>> StartDnsServer(const DnsOptions& options,
                                                          const Clock& clock,
                                                          kube::Informers& informers,
                                                          metrics::Registry* metrics);

}  // namespace meltemi::dns
