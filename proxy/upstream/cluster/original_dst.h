// The hosts of an original destination cluster on one worker: made as requests name them.
#pragma once

#include <memory>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "base/clock/clock.h"
#include "base/http/header_map.h"
#include "base/net/address.h"
#include "proxy/upstream/cluster/cluster_config.h"
#include "proxy/upstream/cluster/host.h"

namespace meltemi::proxy {

// The address that a request goes to: the header's (when the cluster reads one and it is there),
// else the connection's original destination, with the configured port. Unset when there is none.
// Error: the header's text is no address.
absl::StatusOr<net::Address> OriginalDestinationOf(const ClusterConfig& config,
                                                   const http::HeaderMap* headers,
                                                   const net::Address& original_dst);

// Loop-owned.
class OriginalDstHosts {
 public:
  // nullptr when too many are in use.
  std::shared_ptr<Host> FindOrAdd(const net::Address& address, const ClusterConfig& config);
  // Forgets what has not been used since the last call, and returns it: its pools should drain.
  std::vector<std::shared_ptr<Host>> Sweep();
  size_t size() const { return hosts_.size(); }

 private:
  struct Entry {
    std::shared_ptr<Host> host;
    bool used = true;
  };
  // Whoever sends requests chooses the addresses.
  static constexpr size_t kHostsMax = 65536;
  absl::flat_hash_map<net::Address, Entry> hosts_;
};

}  // namespace meltemi::proxy
