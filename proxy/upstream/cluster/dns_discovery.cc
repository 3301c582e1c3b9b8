#include "proxy/upstream/cluster/dns_discovery.h"

#include <algorithm>
#include <utility>

#include "base/log/log.h"

namespace meltemi::proxy {
namespace {

constexpr Duration kRefreshMin = seconds(1);

bool SameAddresses(const std::vector<net::Address>& a, const std::vector<net::Address>& b) {
  return a.size() == b.size() && std::is_permutation(a.begin(), a.end(), b.begin());
}

// The address in use, when the answer still has it, else the answer's first.
void KeepOne(const std::vector<net::Address>& in_use, net::DnsAnswer& answer) {
  if (answer.addresses.empty()) return;
  const bool stays = !in_use.empty() && std::find(answer.addresses.begin(), answer.addresses.end(),
                                                  in_use[0]) != answer.addresses.end();
  answer.addresses = {stays ? in_use[0] : answer.addresses[0]};
}

}  // namespace

// One name; several endpoints may share it.
struct DnsDiscovery::Name {
  std::string name;
  std::vector<net::Address> addresses;
  std::unique_ptr<net::DnsQuery> query;
  std::unique_ptr<Timer> timer;
  bool tried = false;
};

DnsDiscovery::DnsDiscovery(Loop& loop, Random& random, net::DnsResolver& resolver,
                           metrics::Scope& scope, std::shared_ptr<const ClusterConfig> config,
                           std::shared_ptr<const EndpointsConfig> names, Callback on_change)
    : loop_(loop),
      random_(random),
      resolver_(resolver),
      scope_(scope),
      config_(std::move(config)),
      endpoints_(std::move(names)),
      on_change_(std::move(on_change)) {
  for (const EndpointConfig& endpoint : endpoints_->endpoints) {
    if (endpoint.dns_name.empty()) continue;
    const bool known = std::any_of(names_.begin(), names_.end(), [&](const auto& name) {
      return name->name == endpoint.dns_name;
    });
    if (known) continue;
    auto name = std::make_unique<Name>();
    name->name = endpoint.dns_name;
    name->timer = loop_.NewTimer([this, raw = name.get()] { Resolve(*raw); });
    names_.push_back(std::move(name));
  }
  for (const auto& name : names_) Resolve(*name);
}

DnsDiscovery::~DnsDiscovery() = default;

void DnsDiscovery::Resolve(Name& name) {
  scope_.GetCounter("envoy_cluster_update_attempt").Inc();
  name.query = resolver_.Resolve(name.name, config_->dns_family,
                                 [this, raw = &name](absl::StatusOr<net::DnsAnswer> answer) {
                                   OnAnswer(*raw, std::move(answer));
                                 });
}

void DnsDiscovery::OnAnswer(Name& name, absl::StatusOr<net::DnsAnswer> answer) {
  Duration again = config_->dns_refresh;
  bool changed = !std::exchange(name.tried, true);
  if (answer.ok()) {
    scope_.GetCounter("envoy_cluster_update_success").Inc();
    if (config_->respect_dns_ttl) again = answer->ttl;
    if (config_->discovery == Discovery::kLogicalDns) KeepOne(name.addresses, *answer);
    if (!SameAddresses(name.addresses, answer->addresses)) {
      name.addresses = std::move(answer->addresses);
      changed = true;
    }
  } else {
    scope_.GetCounter("envoy_cluster_update_failure").Inc();
    if (config_->dns_failure_refresh > Duration(0)) again = config_->dns_failure_refresh;
    LOG(kWarn, "upstream", "cluster ", config_->name, ": ", answer.status().message(), "; ",
        name.addresses.empty() ? "no addresses are known" : "the last good answer stays");
  }
  again = std::max(again, kRefreshMin);
  // Up to a tenth more, so that proxies that started together don't ask together for ever.
  again += Duration(random_.Below(static_cast<uint64_t>(again.count()) / 10 + 1));
  name.timer->Arm(again);
  if (changed) Tell();
}

void DnsDiscovery::Tell() {
  if (!std::all_of(names_.begin(), names_.end(), [](const auto& name) { return name->tried; })) {
    return;
  }
  auto resolved = std::make_shared<EndpointsConfig>(*endpoints_);
  resolved->endpoints.clear();
  for (const EndpointConfig& endpoint : endpoints_->endpoints) {
    if (endpoint.dns_name.empty()) {
      resolved->endpoints.push_back(endpoint);
      continue;
    }
    const auto at = std::find_if(names_.begin(), names_.end(),
                                 [&](const auto& name) { return name->name == endpoint.dns_name; });
    for (const net::Address& address : (*at)->addresses) {
      EndpointConfig host = endpoint;
      host.address = address;
      host.address.set_port(endpoint.port);
      if (host.hostname.empty()) host.hostname = endpoint.dns_name;
      resolved->endpoints.push_back(std::move(host));
    }
  }
  on_change_(std::move(resolved));
}

}  // namespace meltemi::proxy
