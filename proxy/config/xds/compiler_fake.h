// A compiler that takes names for configuration.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "envoy/config/bootstrap/v3/bootstrap.pb.h"
#include "envoy/config/route/v3/route.pb.h"
#include "proxy/config/xds/compiler.h"
#include "proxy/listener/listener_config.h"
#include "proxy/route/route.h"
#include "proxy/upstream/cluster/cluster_config.h"

namespace meltemi::proxy {

// Names that begin with "bad" don't compile. A listener's stat_prefix is its RDS name; a virtual
// host's name is the cluster that its route names.
class NameCompiler final : public Compiler {
 public:
  absl::StatusOr<ClusterResource> Compile(
      const envoy::config::cluster::v3::Cluster& cluster) override {
    ++compiled;
    if (absl::StartsWith(cluster.name(), "bad")) return Refuse("cluster", cluster.name());
    auto config = std::make_shared<ClusterConfig>();
    config->name = cluster.name();
    config->discovery = cluster.type() == envoy::config::cluster::v3::Cluster::EDS
                            ? Discovery::kEds
                            : Discovery::kStatic;
    return ClusterResource{std::move(config), nullptr};
  }
  absl::StatusOr<std::shared_ptr<const EndpointsConfig>> Compile(
      const envoy::config::endpoint::v3::ClusterLoadAssignment& endpoints) override {
    ++compiled;
    auto config = std::make_shared<EndpointsConfig>();
    config->cluster_name = endpoints.cluster_name();
    return config;
  }
  absl::StatusOr<std::shared_ptr<const ListenerConfig>> Compile(
      const envoy::config::listener::v3::Listener& listener) override {
    ++compiled;
    if (absl::StartsWith(listener.name(), "bad")) return Refuse("listener", listener.name());
    auto config = std::make_shared<ListenerConfig>();
    config->name = listener.name();
    auto http = std::make_shared<HttpConfig>();
    http->rds_name = listener.stat_prefix();
    config->filter_chains.emplace_back();
    config->filter_chains.back().http = std::move(http);
    return config;
  }
  absl::StatusOr<std::shared_ptr<const RouteTable>> Compile(
      const envoy::config::route::v3::RouteConfiguration& routes) override {
    ++compiled;
    auto table = std::make_shared<RouteTable>();
    table->name = routes.name();
    for (const auto& host : routes.virtual_hosts()) {
      auto route = std::make_unique<Route>();
      route->clusters.emplace_back();
      route->clusters.back().cluster = host.name();
      table->virtual_hosts.push_back(std::make_unique<VirtualHost>());
      table->virtual_hosts.back()->routes.push_back(std::move(route));
    }
    return table;
  }
  int compiled = 0;

 private:
  static absl::Status Refuse(absl::string_view what, const std::string& name) {
    return absl::InvalidArgumentError(
        absl::StrCat(what, " '", name, "': field 'x' is not supported"));
  }
};

}  // namespace meltemi::proxy
