#include "proxy/upstream/balance/balancer.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "proxy/upstream/balance/edf.h"
#include "proxy/upstream/balance/hash_table.h"

namespace meltemi::proxy {
namespace {

// In turn, each as often as its weight says, spread out evenly. Begins anywhere, so that workers
// and proxies that start together don't all begin with the same host.
class RoundRobin final : public Balancer {
 public:
  RoundRobin(const HostList& list, Random& random) : list_(list) {
    if (list.equal_weights) {
      next_ = random.Below(list.hosts.size());
      return;
    }
    for (size_t i = 0; i < list.hosts.size(); ++i) {
      // Without this all hosts would be due at once at the start, heavy ones first.
      schedule_.Add(i, list.hosts[i].weight, random.Unit());
    }
  }

  const Host* Pick(std::optional<uint64_t>, uint32_t) override {
    if (list_.hosts.empty()) return nullptr;
    if (list_.equal_weights) {
      if (next_ >= list_.hosts.size()) next_ = 0;
      return list_.hosts[next_++].host.get();
    }
    const size_t i = schedule_.Next([&](size_t at) { return double(list_.hosts[at].weight); });
    return list_.hosts[i].host.get();
  }

 private:
  const HostList& list_;
  size_t next_ = 0;
  EdfSchedule schedule_;
};

// Of `choices` hosts drawn at random the one with the fewest requests; with unequal weights in turn
// by weight / (requests + 1), as Envoy does.
class LeastRequest final : public Balancer {
 public:
  LeastRequest(const HostList& list, uint32_t choices, Random& random)
      : list_(list), choices_(std::max(2u, choices)), random_(random) {
    if (list.equal_weights) return;
    for (size_t i = 0; i < list.hosts.size(); ++i) {
      schedule_.Add(i, list.hosts[i].weight, random.Unit());
    }
  }

  const Host* Pick(std::optional<uint64_t>, uint32_t) override {
    if (list_.hosts.empty()) return nullptr;
    if (!list_.equal_weights) {
      const size_t i = schedule_.Next([&](size_t at) {
        const WeightedHost& entry = list_.hosts[at];
        return entry.weight / (double(Active(*entry.host)) + 1);
      });
      return list_.hosts[i].host.get();
    }
    const Host* best = nullptr;
    for (uint32_t i = 0; i < choices_; ++i) {
      const Host* drawn = list_.hosts[random_.Below(list_.hosts.size())].host.get();
      if (best == nullptr || Active(*drawn) < Active(*best)) best = drawn;
    }
    return best;
  }

 private:
  static uint32_t Active(const Host& host) {
    return host.requests_active.load(std::memory_order_relaxed);
  }

  const HostList& list_;
  const uint32_t choices_;
  Random& random_;
  EdfSchedule schedule_;
};

class RandomChoice final : public Balancer {
 public:
  RandomChoice(const HostList& list, Random& random) : list_(list), random_(random) {}
  const Host* Pick(std::optional<uint64_t>, uint32_t) override {
    if (list_.hosts.empty()) return nullptr;
    return list_.hosts[random_.Below(list_.hosts.size())].host.get();
  }

 private:
  const HostList& list_;
  Random& random_;
};

class Hashing final : public Balancer {
 public:
  Hashing(const HostList& list, const ClusterConfig& config, Random& random) : random_(random) {
    absl::call_once(list.table_once, [&] {
      list.table =
          config.balance == Balance::kMaglev ? NewMaglev(list, config) : NewRing(list, config);
    });
    table_ = list.table.get();
  }
  const Host* Pick(std::optional<uint64_t> hash, uint32_t attempt) override {
    return table_->Pick(hash.has_value() ? *hash : random_.Next(), attempt);
  }

 private:
  const HashTable* table_;
  Random& random_;
};

}  // namespace

std::unique_ptr<Balancer> NewBalancer(const HostList& list, const ClusterConfig& config,
                                      Random& random) {
  switch (config.balance) {
    case Balance::kLeastRequest:
      return std::make_unique<LeastRequest>(list, config.least_request_choices, random);
    case Balance::kRandom:
      return std::make_unique<RandomChoice>(list, random);
    case Balance::kRingHash:
    case Balance::kMaglev:
      return std::make_unique<Hashing>(list, config, random);
    case Balance::kRoundRobin:
    case Balance::kClusterProvided:
      break;
  }
  return std::make_unique<RoundRobin>(list, random);
}

HostPicker::HostPicker(std::shared_ptr<const HostSet> hosts,
                       std::shared_ptr<const ClusterConfig> config, Random& random)
    : hosts_(std::move(hosts)),
      config_(std::move(config)),
      random_(random),
      levels_(hosts_->priorities.size()) {}

HostPicker::~HostPicker() = default;

HostPicker::Choice HostPicker::Pick(std::optional<uint64_t> hash,
                                    absl::Span<const Host* const> tried, uint32_t tries_max) {
  Choice choice = PickOnce(hash, 0);
  if (tried.empty()) return choice;
  for (uint32_t attempt = 1; attempt <= tries_max; ++attempt) {
    if (choice.host == nullptr) break;
    if (std::find(tried.begin(), tried.end(), choice.host) == tried.end()) break;
    choice = PickOnce(hash, attempt);
  }
  return choice;
}

HostPicker::Choice HostPicker::PickOnce(std::optional<uint64_t> hash, uint32_t attempt) {
  bool degraded = false;
  size_t at = 0;
  if (hosts_->priorities.size() > 1 || hosts_->degraded > 0) {
    const bool hashing =
        config_->balance == Balance::kRingHash || config_->balance == Balance::kMaglev;
    at = hosts_->PickPriority(hashing && hash.has_value() ? *hash : random_.Next(), &degraded);
  }
  const HostPriority& priority = hosts_->priorities[at];
  Level& level = levels_[at];
  if (priority.panic) {
    if (config_->fail_traffic_on_panic) return {nullptr, true};
    if (level.all == nullptr) level.all = NewBalancer(*priority.all, *config_, random_);
    return {level.all->Pick(hash, attempt), true};
  }
  std::unique_ptr<Balancer>& balancer = degraded ? level.degraded : level.healthy;
  if (balancer == nullptr) {
    balancer = NewBalancer(degraded ? *priority.degraded : *priority.healthy, *config_, random_);
  }
  return {balancer->Pick(hash, attempt), false};
}

}  // namespace meltemi::proxy
