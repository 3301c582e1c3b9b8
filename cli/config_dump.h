// Reads Envoy's /config_dump, from pilot or from a proxy, into tables. Pure functions.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/json/value.h"
#include "cli/table.h"

namespace meltemi::cli {

// What the user wants to see; empty fields ask for nothing.
struct Filter {
  std::string fqdn;
  std::string port;
  std::string subset;
  std::string name;

  bool AcceptsCluster(absl::string_view cluster_name) const;
  bool AcceptsName(const json::Value& resource) const;
};

// The resources of an xDS type ("cds", "eds", "lds", "rds"), static and dynamic. Pointers into
// `dump`.
std::vector<const json::Value*> ResourcesOf(const json::Value& dump, absl::string_view xds);

Table ClusterTable(const std::vector<const json::Value*>& clusters, const Filter& filter);
Table ListenerTable(const std::vector<const json::Value*>& listeners, const Filter& filter);
Table RouteTable(const std::vector<const json::Value*>& routes, const Filter& filter);
Table EndpointTable(const std::vector<const json::Value*>& assignments, const Filter& filter);

}  // namespace meltemi::cli
