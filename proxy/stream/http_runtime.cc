#include "proxy/stream/http_runtime.h"

#include <utility>

#include "proxy/config/snapshot.h"

namespace meltemi::proxy {

HttpRuntime::HttpRuntime(WorkerContext& worker_context, StreamPool& stream_pool,
                         std::shared_ptr<const HttpConfig> http_config, uint32_t buffer_bytes,
                         std::shared_ptr<ListenerStats> stats_of_listener)
    : worker(worker_context),
      streams(stream_pool),
      config_owner(std::move(http_config)),
      config(*config_owner),
      buffer_bytes_max(buffer_bytes),
      scope(worker.shard, {}),
      filter_scope(worker.shard, {{"envoy_http_conn_manager_prefix", config.stat_prefix}}),
      stats(scope, config.stat_prefix),
      listener_stats(std::move(stats_of_listener)) {
  for (const HttpFilterConfig& filter : config.filters) {
    filters.push_back(filter.config->NewFactory(filter_scope));
  }
  if (config.inline_routes != nullptr) {
    routes_ = std::make_shared<const std::shared_ptr<const RouteTable>>(config.inline_routes);
  }
}

const RouteTableHold& HttpRuntime::CurrentRoutes() {
  if (config.inline_routes != nullptr) return routes_;
  const Snapshot* snapshot = worker.snapshot.get();
  const uint64_t sequence = snapshot == nullptr ? 0 : snapshot->sequence;
  if (sequence == sequence_ && routes_ != nullptr) return routes_;
  sequence_ = sequence;
  std::shared_ptr<const RouteTable> table;
  if (snapshot != nullptr) {
    const auto found = snapshot->routes.find(config.rds_name);
    if (found != snapshot->routes.end()) table = found->second;
  }
  if (routes_ == nullptr || *routes_ != table) {
    routes_ = std::make_shared<const std::shared_ptr<const RouteTable>>(std::move(table));
  }
  return routes_;
}

}  // namespace meltemi::proxy
