// /clusters: Envoy's text lines, and the same as JSON.
#include <string>

#include "absl/strings/str_cat.h"
#include "proxy/upstream/cluster/directory.h"

namespace meltemi::proxy {
namespace {

std::string HealthFlags(const Host& host) {
  static constexpr std::pair<Host::HealthBit, absl::string_view> kFlags[] = {
      {Host::kFailedActiveCheck, "/failed_active_hc"},
      {Host::kEjected, "/failed_outlier_check"},
      {Host::kEdsUnhealthy, "/failed_eds_health"},
      {Host::kEdsDegraded, "/degraded_eds_health"},
      {Host::kPendingFirstCheck, "/pending_active_hc"},
      {Host::kEdsDraining, "/eds_status_draining"},
  };
  std::string flags;
  for (const auto& [bit, word] : kFlags) {
    if (host.HasHealthBit(bit)) absl::StrAppend(&flags, word);
  }
  return flags.empty() ? "healthy" : flags;
}

std::string Rate(double percent) { return percent < 0 ? "-1.0" : absl::StrCat(percent); }

template <typename T>
T Load(const std::atomic<T>& value) {
  return value.load(std::memory_order_relaxed);
}

void AppendHost(std::string& out, const MainCluster& cluster, const PlacedHost& placed) {
  const Host& host = *placed.host;
  const std::string prefix =
      absl::StrCat(cluster.name(), "::", host.config.address.ToString(), "::");
  const auto line = [&](absl::string_view name, const auto& value) {
    absl::StrAppend(&out, prefix, name, "::", value, "\n");
  };
  line("cx_active", Load(host.connections_active));
  line("cx_connect_fail", Load(host.connect_failures));
  line("cx_total", Load(host.connections_total));
  line("rq_active", Load(host.requests_active));
  line("rq_error", Load(host.requests_error));
  line("rq_success", Load(host.requests_success));
  line("rq_timeout", Load(host.timeouts));
  line("rq_total", Load(host.requests_total));
  line("hostname", host.config.hostname);
  line("health_flags", HealthFlags(host));
  line("weight", placed.weight);
  line("region", host.config.region);
  line("zone", host.config.zone);
  line("sub_zone", host.config.sub_zone);
  line("canary", "false");
  line("priority", placed.priority);
  line("success_rate", Rate(cluster.SuccessRate(host)));
  line("local_origin_success_rate", "-1.0");
}

void AppendBreakers(std::string& out, const std::string& name, absl::string_view priority,
                    const CircuitBreakers& limits) {
  const std::string prefix = absl::StrCat(name, "::", priority, "_priority::max_");
  absl::StrAppend(&out, prefix, "connections::", limits.connections_max, "\n");
  absl::StrAppend(&out, prefix, "pending_requests::", limits.pending_requests_max, "\n");
  absl::StrAppend(&out, prefix, "requests::", limits.requests_max, "\n");
  absl::StrAppend(&out, prefix, "retries::", limits.retries_max, "\n");
}

std::string Quote(absl::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (static_cast<unsigned char>(c) < 0x20) {
      absl::StrAppend(&out, "\\u00", absl::Hex(static_cast<unsigned char>(c), absl::kZeroPad2));
    } else {
      out += c;
    }
  }
  out += '"';
  return out;
}

std::string HostJson(const MainCluster& cluster, const PlacedHost& placed) {
  const Host& host = *placed.host;
  std::string stats;
  const auto stat = [&](absl::string_view name, uint64_t value, absl::string_view type) {
    absl::StrAppend(&stats, stats.empty() ? "" : ",", "{\"name\":\"", name, "\",\"value\":\"",
                    value, "\"", type.empty() ? "" : ",\"type\":\"", type, type.empty() ? "" : "\"",
                    "}");
  };
  stat("cx_connect_fail", Load(host.connect_failures), "");
  stat("cx_total", Load(host.connections_total), "");
  stat("rq_error", Load(host.requests_error), "");
  stat("rq_success", Load(host.requests_success), "");
  stat("rq_timeout", Load(host.timeouts), "");
  stat("rq_total", Load(host.requests_total), "");
  stat("cx_active", Load(host.connections_active), "GAUGE");
  stat("rq_active", Load(host.requests_active), "GAUGE");
  std::string health;
  const auto flag = [&](Host::HealthBit bit, absl::string_view name) {
    if (!host.HasHealthBit(bit)) return;
    absl::StrAppend(&health, health.empty() ? "" : ",", "\"", name, "\":true");
  };
  flag(Host::kFailedActiveCheck, "failed_active_health_check");
  flag(Host::kEjected, "failed_outlier_check");
  flag(Host::kPendingFirstCheck, "pending_active_hc");
  absl::string_view eds = "HEALTHY";
  if (host.HasHealthBit(Host::kEdsUnhealthy)) eds = "UNHEALTHY";
  if (host.HasHealthBit(Host::kEdsDraining)) eds = "DRAINING";
  if (host.HasHealthBit(Host::kEdsDegraded)) eds = "DEGRADED";
  absl::StrAppend(&health, health.empty() ? "" : ",", "\"eds_health_status\":\"", eds, "\"");
  return absl::StrCat(
      "{\"address\":{\"socket_address\":{\"address\":", Quote(host.config.address.ip()),
      ",\"port_value\":", host.config.address.port(), "}},\"stats\":[", stats,
      "],\"health_status\":{", health, "},\"weight\":", placed.weight,
      ",\"hostname\":", Quote(host.config.hostname), ",\"priority\":", placed.priority,
      ",\"locality\":{\"region\":", Quote(host.config.region),
      ",\"zone\":", Quote(host.config.zone), ",\"sub_zone\":", Quote(host.config.sub_zone), "}}");
}

}  // namespace

std::string Directory::DebugText() const {
  std::string out;
  for (const auto& [name, cluster] : clusters_) {
    const ClusterConfig& config = cluster->config();
    absl::StrAppend(&out, name, "::observability_name::",
                    config.alt_stat_name.empty() ? name : config.alt_stat_name, "\n");
    AppendBreakers(out, name, "default", config.breakers_default);
    AppendBreakers(out, name, "high", config.breakers_high);
    if (config.discovery == Discovery::kEds) {
      absl::StrAppend(&out, name, "::eds_service_name::",
                      config.eds_service_name.empty() ? name : config.eds_service_name, "\n");
    }
    for (const PlacedHost& placed : cluster->hosts()) AppendHost(out, *cluster, placed);
  }
  return out;
}

std::string Directory::DebugJson() const {
  std::string out = "{\"cluster_statuses\":[";
  bool first = true;
  for (const auto& [name, cluster] : clusters_) {
    const ClusterConfig& config = cluster->config();
    absl::StrAppend(&out, first ? "" : ",", "{\"name\":", Quote(name), ",\"observability_name\":",
                    Quote(config.alt_stat_name.empty() ? name : config.alt_stat_name));
    if (config.discovery == Discovery::kEds) {
      absl::StrAppend(&out, ",\"eds_service_name\":",
                      Quote(config.eds_service_name.empty() ? name : config.eds_service_name));
    }
    absl::StrAppend(&out, ",\"host_statuses\":[");
    first = false;
    bool first_host = true;
    for (const PlacedHost& placed : cluster->hosts()) {
      absl::StrAppend(&out, first_host ? "" : ",", HostJson(*cluster, placed));
      first_host = false;
    }
    absl::StrAppend(&out, "]}");
  }
  return absl::StrCat(out, "]}");
}

}  // namespace meltemi::proxy
