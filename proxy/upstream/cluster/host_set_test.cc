#include "proxy/upstream/cluster/host_set.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace meltemi::proxy {
namespace {

// A priority as "healthy/degraded/unhealthy" counts.
struct Counts {
  int healthy = 0, degraded = 0, unhealthy = 0;
};

std::shared_ptr<const HostSet> Make(const std::vector<Counts>& priorities,
                                    const HostSetOptions& options = {}) {
  std::vector<PlacedHost> hosts;
  const auto add = [&](uint32_t priority, int count, uint32_t bits) {
    for (int i = 0; i < count; ++i) {
      EndpointConfig endpoint;
      endpoint.address = net::Address::Loopback4(static_cast<uint16_t>(hosts.size() + 1));
      auto host = std::make_shared<Host>(endpoint, "c");
      host->health = bits;
      hosts.push_back({std::move(host), 1, priority});
    }
  };
  for (uint32_t i = 0; i < priorities.size(); ++i) {
    add(i, priorities[i].healthy, 0);
    add(i, priorities[i].degraded, Host::kEdsDegraded);
    add(i, priorities[i].unhealthy, Host::kEjected);
  }
  return BuildHostSet(hosts, options);
}

std::string Loads(const HostSet& set) {
  std::string out;
  for (const HostPriority& priority : set.priorities) {
    absl::StrAppend(&out, out.empty() ? "" : " ", priority.healthy_load_percent);
    if (priority.degraded_load_percent > 0) {
      absl::StrAppend(&out, "+", priority.degraded_load_percent);
    }
    if (priority.panic) absl::StrAppend(&out, "!");
  }
  return out;
}

// The table of Envoy's "Priority levels": overprovisioning 1.4, so that P0 yields only below 72 %.
TEST(HostSetTest, LoadsFollowEnvoysTableForTwoPriorities) {
  const auto loads = [](int p0_healthy, int p1_healthy) {
    return Loads(*Make({{.healthy = p0_healthy, .unhealthy = 100 - p0_healthy},
                        {.healthy = p1_healthy, .unhealthy = 100 - p1_healthy}},
                       {.panic_threshold_percent = 0}));
  };
  EXPECT_EQ(loads(100, 100), "100 0");
  EXPECT_EQ(loads(72, 72), "100 0");
  EXPECT_EQ(loads(71, 71), "99 1");
  EXPECT_EQ(loads(50, 50), "70 30");
  EXPECT_EQ(loads(25, 100), "35 65");
  EXPECT_EQ(loads(25, 25), "50 50");
  EXPECT_EQ(loads(0, 100), "0 100");
}

TEST(HostSetTest, PanicSetsInBelowTheThresholdWhenNothingElseCanCarryTheLoad) {
  EXPECT_EQ(Loads(*Make({{.healthy = 6, .unhealthy = 4}})), "100");
  EXPECT_EQ(Loads(*Make({{.healthy = 4, .unhealthy = 6}})), "100!");
  // P1 carries everything: P0 is no reason to panic.
  EXPECT_EQ(Loads(*Make({{.healthy = 1, .unhealthy = 9}, {.healthy = 10}})), "14 86");
  // Both weak: both send to all hosts, by their number.
  EXPECT_EQ(Loads(*Make({{.healthy = 1, .unhealthy = 9}, {.healthy = 1, .unhealthy = 29}})),
            "25! 75!");
  EXPECT_EQ(Loads(*Make({{.unhealthy = 3}})), "100!");
  EXPECT_EQ(Loads(*Make({{.unhealthy = 3}}, {.panic_threshold_percent = 0})), "0");
}

TEST(HostSetTest, DegradedHostsStepInForTheRest) {
  EXPECT_EQ(Loads(*Make({{.healthy = 50, .degraded = 50}})), "70+30");
  EXPECT_EQ(Loads(*Make({{.healthy = 80, .degraded = 20}})), "100");
}

TEST(HostSetTest, OverprovisioningIsConfigurable) {
  EXPECT_EQ(Loads(*Make({{.healthy = 50, .unhealthy = 50}, {.healthy = 100}},
                        {.overprovisioning_percent = 200})),
            "100 0");
  EXPECT_EQ(Loads(*Make({{.healthy = 50, .unhealthy = 50}, {.healthy = 100}},
                        {.overprovisioning_percent = 100})),
            "50 50");
}

TEST(HostSetTest, EmptyPrioritiesAreSkipped) {
  EXPECT_EQ(Loads(*Make({{}, {.healthy = 2}})), "0 100");
  EXPECT_EQ(Loads(*Make({})), "100!");
}

TEST(HostSetTest, DrainingHostsAreLeftOut) {
  auto host = std::make_shared<Host>(EndpointConfig{}, "c");
  host->SetHealthBit(Host::kEdsDraining, true);
  const auto set = BuildHostSet(std::vector<PlacedHost>{{host, 1, 0}}, {});
  EXPECT_EQ(set->total, 0u);
}

TEST(HostSetTest, WeightedLocalitiesShareByTheirWeightAndAvailability) {
  std::vector<PlacedHost> hosts;
  const auto add = [&](const char* zone, uint32_t locality_weight, uint32_t weight, uint32_t bits) {
    EndpointConfig endpoint;
    endpoint.address = net::Address::Loopback4(static_cast<uint16_t>(hosts.size() + 1));
    endpoint.zone = zone;
    auto host = std::make_shared<Host>(endpoint, "c");
    host->health = bits;
    hosts.push_back({std::move(host), weight, 0, locality_weight});
  };
  add("a", 3, 1, 0);
  add("a", 3, 1, 0);
  add("b", 1, 1, 0);
  add("b", 1, 4, 0);
  add("c", 0, 9, 0);  // a locality without weight
  const auto share = [&](size_t i) {
    const auto set = BuildHostSet(hosts, {.locality_weighted = true});
    for (const WeightedHost& entry : set->priorities[0].healthy->hosts) {
      if (entry.host == hosts[i].host) return entry.weight;
    }
    return 0u;
  };
  EXPECT_EQ(share(0), 375000u);
  EXPECT_EQ(share(1), 375000u);
  EXPECT_EQ(share(2), 50000u);
  EXPECT_EQ(share(3), 200000u);
  EXPECT_EQ(share(4), 0u);
  // Half of "a" is gone: 3 * 0.7 of what is left of it.
  hosts[0].host->health = Host::kEjected;
  EXPECT_EQ(share(0), 0u);
  EXPECT_NEAR(share(1), 1000000 * 2.1 / 3.1, 1);
}

TEST(HostSetTest, PickPriorityFollowsTheLoads) {
  const auto set = Make({{.healthy = 50, .unhealthy = 50}, {.healthy = 50, .degraded = 50}},
                        {.panic_threshold_percent = 0});
  int counts[2][2] = {};
  for (uint64_t i = 0; i < 100; ++i) {
    bool degraded;
    const size_t at = set->PickPriority(i, &degraded);
    ++counts[at][degraded];
  }
  EXPECT_EQ(counts[0][0], 70);
  EXPECT_EQ(counts[1][0], 30);
}

}  // namespace
}  // namespace meltemi::proxy
