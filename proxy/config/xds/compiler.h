// The compilers of proxy/config/compile behind one seam: protobuf in, what the data plane runs on
// out.
//
// Main loop only. Errors (INVALID_ARGUMENT) name the field and what is wrong with it; they become
// the reason of a NACK.
#pragma once

#include <memory>

#include "absl/status/statusor.h"

namespace envoy::config::cluster::v3 {
class Cluster;
}
namespace envoy::config::endpoint::v3 {
class ClusterLoadAssignment;
}
namespace envoy::config::listener::v3 {
class Listener;
}
namespace envoy::config::route::v3 {
class RouteConfiguration;
}

namespace meltemi::proxy {

struct ClusterConfig;
struct EndpointsConfig;
struct ListenerConfig;
class RouteTable;

struct ClusterResource {
  std::shared_ptr<const ClusterConfig> config;
  std::shared_ptr<const EndpointsConfig> inline_endpoints;  // null for EDS clusters
};

class Compiler {
 public:
  virtual ~Compiler() = default;
  virtual absl::StatusOr<ClusterResource> Compile(
      const envoy::config::cluster::v3::Cluster& cluster) = 0;
  virtual absl::StatusOr<std::shared_ptr<const EndpointsConfig>> Compile(
      const envoy::config::endpoint::v3::ClusterLoadAssignment& endpoints) = 0;
  virtual absl::StatusOr<std::shared_ptr<const ListenerConfig>> Compile(
      const envoy::config::listener::v3::Listener& listener) = 0;
  virtual absl::StatusOr<std::shared_ptr<const RouteTable>> Compile(
      const envoy::config::route::v3::RouteConfiguration& routes) = 0;
};

}  // namespace meltemi::proxy
