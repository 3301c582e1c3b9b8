// HTTP filters by the type of their typed_config, and what routes say over them
// (typed_per_filter_config). Pure functions; main loop.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "proxy/listener/listener_config.h"
#include "proxy/route/policies.h"

namespace google::protobuf {
class Any;
template <typename T>
class RepeatedPtrField;
template <typename Key, typename T>
class Map;
}  // namespace google::protobuf
namespace envoy::extensions::filters::network::http_connection_manager::v3 {
class HttpFilter;
}

namespace meltemi::proxy {

struct CompiledHttpFilters {
  // In order, without the router (which must be last) and without those that do nothing here:
  // Istio's metadata exchange and stats (built in), alpn (`upstream_alpn`), grpc_stats without
  // filter state.
  std::vector<HttpFilterConfig> filters;
  bool suppress_envoy_headers = false;                // the router's
  std::shared_ptr<const AlpnOverride> upstream_alpn;  // Istio's alpn filter; null: none
};

// `where` begins error texts: "listener 'x': filter chain 'y'".
absl::StatusOr<CompiledHttpFilters> CompileHttpFilters(
    const google::protobuf::RepeatedPtrField<
        envoy::extensions::filters::network::http_connection_manager::v3::HttpFilter>& filters,
    absl::string_view where);

// typed_per_filter_config of a table, virtual host, route or weighted cluster, by filter name. What
// is not named here stays null.
absl::StatusOr<FilterOverrides> CompileFilterOverrides(
    const google::protobuf::Map<std::string, google::protobuf::Any>& per_filter,
    absl::string_view where);

// `own` over `base`: what `own` does not name is taken from `base`.
FilterOverrides MergeOverrides(const FilterOverrides& own, const FilterOverrides& base);

}  // namespace meltemi::proxy
