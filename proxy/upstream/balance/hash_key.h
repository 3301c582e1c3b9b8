// What stands for a host in consistent hashing.
#pragma once

#include <string>

#include "proxy/upstream/cluster/cluster_config.h"
#include "proxy/upstream/cluster/host.h"

namespace meltemi::proxy {

inline std::string HashKey(const Host& host, const ClusterConfig& config) {
  return config.hash_by_hostname && !host.config.hostname.empty() ? host.config.hostname
                                                                  : host.config.address.ToString();
}

inline bool HashKeyLess(const Host& a, const Host& b) {
  return a.config.address.ToString() < b.config.address.ToString();
}

}  // namespace meltemi::proxy
