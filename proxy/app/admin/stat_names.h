// Envoy's dotted names of statistics, as its text page shows them.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace meltemi::proxy {

// One line of metrics::Registry::RenderText to Envoy's form:
//   envoy_cluster_upstream_rq_total{envoy_cluster_name="a"}: 3 -> cluster.a.upstream_rq_total: 3
//   envoy_server_live: 1                                       -> server.live: 1
// What is not Envoy's stays as it is.
std::string EnvoyStatLine(absl::string_view line);

}  // namespace meltemi::proxy
