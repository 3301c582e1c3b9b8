#include "proxy/upstream/cluster/host_set.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "proxy/upstream/balance/hash_table.h"

namespace meltemi::proxy {
namespace {

// Weights in locality-weighted lists are shares of this.
constexpr double kWeightScale = 1000000;

std::string LocalityKey(const Host& host) {
  return absl::StrCat(host.config.region, "/", host.config.zone, "/", host.config.sub_zone);
}

// One locality within a priority.
struct Locality {
  uint32_t weight = 0;
  size_t hosts = 0, usable = 0;
  uint64_t usable_weight = 0;
};

struct Sorted {
  std::shared_ptr<HostList> all = std::make_shared<HostList>();
  std::shared_ptr<HostList> healthy = std::make_shared<HostList>();
  std::shared_ptr<HostList> degraded = std::make_shared<HostList>();
};

void Append(HostList& list, const PlacedHost& placed) {
  if (!list.hosts.empty() && list.hosts.front().weight != placed.weight) list.equal_weights = false;
  list.hosts.push_back({placed.host, placed.weight});
}

// Turns host weights into shares: a locality gets its weight, less where overprovisioning can't
// make up for its missing hosts, and its hosts divide that by theirs. Hosts without a share are
// left out.
std::shared_ptr<HostList> ShareByLocality(const HostList& list, const HostList& all,
                                          const std::map<const Host*, uint32_t>& locality_weights,
                                          uint32_t overprovisioning_percent) {
  std::map<std::string, Locality> localities;
  for (const WeightedHost& entry : all.hosts) {
    Locality& locality = localities[LocalityKey(*entry.host)];
    locality.weight = locality_weights.at(entry.host.get());
    ++locality.hosts;
  }
  for (const WeightedHost& entry : list.hosts) {
    Locality& locality = localities[LocalityKey(*entry.host)];
    ++locality.usable;
    locality.usable_weight += entry.weight;
  }
  double total = 0;
  const auto share = [&](const Locality& locality) {
    const double availability =
        std::min(1.0, overprovisioning_percent / 100.0 * static_cast<double>(locality.usable) /
                          static_cast<double>(locality.hosts));
    return locality.usable == 0 ? 0 : locality.weight * availability;
  };
  for (const auto& [key, locality] : localities) total += share(locality);
  auto shared = std::make_shared<HostList>();
  for (const WeightedHost& entry : list.hosts) {
    const Locality& locality = localities[LocalityKey(*entry.host)];
    if (total == 0 || share(locality) == 0) continue;
    const double part =
        share(locality) / total * entry.weight / static_cast<double>(locality.usable_weight);
    const auto weight = static_cast<uint32_t>(std::max(1.0, std::round(part * kWeightScale)));
    Append(*shared, {entry.host, weight, 0, 0});
  }
  return shared;
}

std::vector<Sorted> Sort(absl::Span<const PlacedHost> hosts, const HostSetOptions& options) {
  std::vector<Sorted> sorted(1);
  for (const PlacedHost& placed : hosts) {
    const uint32_t bits = placed.host->health.load(std::memory_order_relaxed);
    if ((bits & Host::kEdsDraining) != 0) continue;
    if ((bits & Host::kPendingFirstCheck) != 0 && options.ignore_new_hosts_until_first_check) {
      continue;
    }
    if (placed.priority >= sorted.size()) sorted.resize(placed.priority + 1);
    Sorted& priority = sorted[placed.priority];
    Append(*priority.all, placed);
    if (!placed.host->healthy()) continue;
    Append((bits & Host::kEdsDegraded) != 0 ? *priority.degraded : *priority.healthy, placed);
  }
  return sorted;
}

// Splits 100 percent over the priorities, first come first served by `share`.
uint32_t Distribute(uint32_t remaining, uint32_t total, const std::vector<uint32_t>& health,
                    HostSet& set, uint32_t HostPriority::*load) {
  for (size_t i = 0; i < health.size(); ++i) {
    const uint32_t wanted = total == 0 ? 0 : health[i] * 100 / total;
    set.priorities[i].*load = std::min(remaining, wanted);
    remaining -= set.priorities[i].*load;
  }
  return remaining;
}

// Everything is in panic: hosts count, healthy or not.
void LoadByHostCount(HostSet& set) {
  size_t total = 0;
  for (const HostPriority& priority : set.priorities) total += priority.all->hosts.size();
  if (total == 0) {
    set.priorities[0].healthy_load_percent = 100;
    return;
  }
  uint32_t given = 0;
  HostPriority* first = nullptr;
  for (HostPriority& priority : set.priorities) {
    const size_t count = priority.all->hosts.size();
    priority.degraded_load_percent = 0;
    priority.healthy_load_percent = static_cast<uint32_t>(100 * count / total);
    given += priority.healthy_load_percent;
    if (first == nullptr && count > 0) first = &priority;
  }
  first->healthy_load_percent += 100 - given;
}

void ComputeLoads(HostSet& set, const HostSetOptions& options) {
  std::vector<uint32_t> healthy, degraded;
  uint32_t sum = 0;
  for (const HostPriority& priority : set.priorities) {
    const size_t count = priority.all->hosts.size();
    const auto health = [&](size_t good) -> uint32_t {
      if (count == 0) return 0;
      return static_cast<uint32_t>(
          std::min<size_t>(100, options.overprovisioning_percent * good / count));
    };
    healthy.push_back(health(priority.healthy->hosts.size()));
    degraded.push_back(health(priority.degraded->hosts.size()));
    sum += healthy.back() + degraded.back();
  }
  const uint32_t total = std::min(100u, sum);
  uint32_t left = Distribute(100, total, healthy, set, &HostPriority::healthy_load_percent);
  left = Distribute(left, total, degraded, set, &HostPriority::degraded_load_percent);
  for (size_t i = 0; left > 0 && i < set.priorities.size(); ++i) {
    if (healthy[i] == 0 && degraded[i] == 0) continue;
    (healthy[i] > 0 ? set.priorities[i].healthy_load_percent
                    : set.priorities[i].degraded_load_percent) += left;
    left = 0;
  }
  // Panic is looked at only when the healthy hosts of all priorities can't carry everything.
  bool all_panic = total < 100;
  for (HostPriority& priority : set.priorities) {
    const size_t good = priority.healthy->hosts.size() + priority.degraded->hosts.size();
    const size_t count = priority.all->hosts.size();
    const double percent = count == 0 ? 0 : 100.0 * static_cast<double>(good) / count;
    priority.panic = total < 100 && percent < options.panic_threshold_percent;
    all_panic = all_panic && priority.panic;
  }
  if (all_panic) LoadByHostCount(set);
}

}  // namespace

HostList::HostList() = default;
HostList::~HostList() = default;

size_t HostSet::PickPriority(uint64_t random, bool* degraded) const {
  *degraded = false;
  if (priorities.size() == 1 && priorities[0].degraded_load_percent == 0) return 0;
  const uint32_t point = static_cast<uint32_t>(random % 100);
  uint32_t sum = 0;
  for (size_t i = 0; i < priorities.size(); ++i) {
    sum += priorities[i].healthy_load_percent;
    if (point < sum) return i;
  }
  for (size_t i = 0; i < priorities.size(); ++i) {
    sum += priorities[i].degraded_load_percent;
    if (point < sum) {
      *degraded = true;
      return i;
    }
  }
  return 0;
}

std::shared_ptr<const HostSet> BuildHostSet(absl::Span<const PlacedHost> hosts,
                                            const HostSetOptions& options) {
  auto set = std::make_shared<HostSet>();
  std::map<const Host*, uint32_t> locality_weights;
  if (options.locality_weighted) {
    for (const PlacedHost& placed : hosts) {
      locality_weights[placed.host.get()] = placed.locality_weight;
    }
  }
  for (Sorted& sorted : Sort(hosts, options)) {
    HostPriority priority;
    set->total += sorted.all->hosts.size();
    set->healthy += sorted.healthy->hosts.size();
    set->degraded += sorted.degraded->hosts.size();
    const bool same = sorted.healthy->hosts.size() == sorted.all->hosts.size();
    priority.healthy = same ? sorted.all : std::move(sorted.healthy);
    priority.all = std::move(sorted.all);
    priority.degraded = std::move(sorted.degraded);
    set->priorities.push_back(std::move(priority));
  }
  ComputeLoads(*set, options);
  if (!options.locality_weighted) return set;
  // In panic health does not count, and so neither do localities: `all` stays as it is.
  for (HostPriority& priority : set->priorities) {
    const auto weigh = [&](const HostList& list) {
      return ShareByLocality(list, *priority.all, locality_weights,
                             options.overprovisioning_percent);
    };
    priority.healthy = weigh(*priority.healthy);
    priority.degraded = weigh(*priority.degraded);
  }
  return set;
}

}  // namespace meltemi::proxy
