#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "orchestrator/controllers/nodes/health.h"
#include "orchestrator/controllers/nodes/taints.h"
#include "orchestrator/controllers/nodes/tolerations.h"
#include "orchestrator/controllers/nodes/zones.h"

namespace meltemi::controllers {
namespace {

using kube::coordination::v1::Lease;
using kube::core::v1::Node;
using kube::core::v1::PodSpec;
using kube::core::v1::Taint;
using kube::core::v1::Toleration;

Node NodeWith(absl::string_view type, absl::string_view status) {
  Node node;
  auto& condition = *node.mutable_status()->add_conditions();
  condition.set_type(std::string(type));
  condition.set_status(std::string(status));
  return node;
}

void AddTaint(Node& node, absl::string_view key, absl::string_view effect) {
  Taint& taint = *node.mutable_spec()->add_taints();
  taint.set_key(std::string(key));
  taint.set_effect(std::string(effect));
}

std::string Told(const TaintChange& change) {
  std::string out;
  for (const TaintName& each : change.add) absl::StrAppend(&out, "+", each.key, ":", each.effect);
  for (const TaintName& each : change.remove) {
    absl::StrAppend(&out, "-", each.key, ":", each.effect);
  }
  return out;
}

TEST(Taints, FollowFromConditions) {
  struct Case {
    const char* type;
    const char* status;
    const char* told;
  };
  const Case cases[] = {
      {"Ready", "True", ""},
      {"Ready", "False", "+node.kubernetes.io/not-ready:NoSchedule"},
      {"Ready", "Unknown", "+node.kubernetes.io/unreachable:NoSchedule"},
      {"MemoryPressure", "True", "+node.kubernetes.io/memory-pressure:NoSchedule"},
      {"MemoryPressure", "Unknown", ""},
      {"DiskPressure", "True", "+node.kubernetes.io/disk-pressure:NoSchedule"},
      {"PIDPressure", "True", "+node.kubernetes.io/pid-pressure:NoSchedule"},
      {"NetworkUnavailable", "True", "+node.kubernetes.io/network-unavailable:NoSchedule"},
      {"Anything", "True", ""},
  };
  for (const Case& each : cases) {
    EXPECT_EQ(Told(NoScheduleChange(NodeWith(each.type, each.status))), each.told)
        << each.type << "=" << each.status;
  }
}

TEST(Taints, OfOthersStay) {
  Node node = NodeWith("Ready", "True");
  AddTaint(node, "example.com/mine", kNoSchedule);
  AddTaint(node, kNotReadyTaint, kNoExecute);
  EXPECT_EQ(Told(NoScheduleChange(node)), "");
  AddTaint(node, kNotReadyTaint, kNoSchedule);
  EXPECT_EQ(Told(NoScheduleChange(node)), "-node.kubernetes.io/not-ready:NoSchedule");
  node.mutable_spec()->set_unschedulable(true);
  EXPECT_EQ(Told(NoScheduleChange(node)),
            "+node.kubernetes.io/unschedulable:NoSchedule-node.kubernetes.io/not-ready:NoSchedule");
}

TEST(Taints, NoExecuteWaitsItsTurnOnce) {
  Node node;
  EXPECT_TRUE(NoExecuteChange(node, "False").wait);
  EXPECT_TRUE(NoExecuteChange(node, "Unknown").wait);
  EXPECT_FALSE(NoExecuteChange(node, "").wait);
  EXPECT_FALSE(NoExecuteChange(node, "True").wait);
  AddTaint(node, kNotReadyTaint, kNoExecute);
  EXPECT_FALSE(NoExecuteChange(node, "False").wait);
  EXPECT_EQ(Told(NoExecuteChange(node, "False").now), "");
  EXPECT_EQ(Told(NoExecuteChange(node, "Unknown").now),
            "+node.kubernetes.io/unreachable:NoExecute-node.kubernetes.io/not-ready:NoExecute");
  EXPECT_EQ(Told(NoExecuteChange(node, "True").now), "-node.kubernetes.io/not-ready:NoExecute");
}

TEST(Labels, OlderNamesFollow) {
  Node node;
  EXPECT_TRUE(MissingLabels(node).empty());
  auto& labels = *node.mutable_metadata()->mutable_labels();
  labels["kubernetes.io/os"] = "linux";
  labels["kubernetes.io/arch"] = "arm64";
  labels["beta.kubernetes.io/arch"] = "amd64";
  const auto missing = MissingLabels(node);
  ASSERT_EQ(missing.size(), 2u);
  EXPECT_EQ(missing[0], std::make_pair(std::string("beta.kubernetes.io/os"), std::string("linux")));
  EXPECT_EQ(missing[1].second, "arm64");
}

struct TolerationCase {
  const char* tolerations;  // "key/operator/value/effect/seconds", more after "|"; "-": not given
  int seconds;              // -1: for ever
};

PodSpec SpecOf(absl::string_view text) {
  PodSpec spec;
  for (size_t from = 0; from < text.size();) {
    std::string parts[5];
    for (std::string& part : parts) {
      const size_t end = std::min(text.find_first_of("/|", from), text.size());
      part = std::string(text.substr(from, end - from));
      from = end + 1;
    }
    Toleration& toleration = *spec.add_tolerations();
    toleration.set_key(parts[0]);
    toleration.set_operator_(parts[1]);
    toleration.set_value(parts[2]);
    toleration.set_effect(parts[3]);
    if (parts[4] != "-") toleration.set_toleration_seconds(std::stoll(parts[4]));
  }
  return spec;
}

TEST(Tolerations, SayHowLong) {
  Taint taint;
  taint.set_key("k");
  taint.set_value("v");
  taint.set_effect(kNoExecute);
  const TolerationCase cases[] = {
      {"", 0},
      {"k/Exists//NoExecute/-", -1},
      {"/Exists///-", -1},
      {"k/Exists//NoSchedule/-", 0},
      {"k/Equal/v/NoExecute/30", 30},
      {"k//v//30", 30},
      {"k/Equal/w/NoExecute/30", 0},
      {"k/Exists//NoExecute/-5", 0},
      {"k/Strange/v/NoExecute/-", 0},
      // The first that fits counts.
      {"k/Exists//NoExecute/60|k/Exists//NoExecute/-", 60},
  };
  for (const TolerationCase& each : cases) {
    const std::optional<Duration> found = ToleratedFor(SpecOf(each.tolerations), {taint});
    EXPECT_EQ(found.has_value() ? ToMillis(*found) / 1000 : -1, each.seconds) << each.tolerations;
  }
  // Of several taints the shortest time counts, and one that is not tolerated at all.
  Taint other = taint;
  other.set_key("o");
  const PodSpec both = SpecOf("k/Exists//NoExecute/60|o/Exists//NoExecute/10");
  EXPECT_EQ(ToleratedFor(both, {taint, other}), seconds(10));
  EXPECT_EQ(ToleratedFor(SpecOf("k/Exists//NoExecute/60"), {taint, other}), seconds(0));
  EXPECT_EQ(ToleratedFor(both, {}), std::nullopt);
}

class ZonesTest : public testing::Test {
 protected:
  MonotonicTime At(int second) { return MonotonicTime(seconds(second)); }
  Zones zones_{Zones::Options()};
};

TEST_F(ZonesTest, NodesGetTheirTurnAtARate) {
  zones_.Update({{"z", {8, 2}}}, At(0));
  zones_.Wait("z", "a");
  zones_.Wait("z", "b");
  zones_.Wait("z", "b");
  EXPECT_EQ(zones_.Take("z", At(0)).node, "a");
  const Zones::Next next = zones_.Take("z", At(0));
  EXPECT_EQ(next.node, "");
  EXPECT_EQ(ToMillis(*next.after), 10'000);
  EXPECT_EQ(zones_.Take("z", At(10)).node, "b");
  EXPECT_FALSE(zones_.Take("z", At(20)).after.has_value());
}

TEST_F(ZonesTest, AZoneThatIsPartlyDownIsSlowOrStops) {
  // Small: not at all. Three nodes at least must be down.
  zones_.Update({{"z", {1, 2}}}, At(0));
  EXPECT_EQ(zones_.state("z"), Zones::State::kNormal);
  zones_.Update({{"z", {2, 3}}}, At(0));
  EXPECT_EQ(zones_.state("z"), Zones::State::kPartial);
  zones_.Wait("z", "a");
  EXPECT_FALSE(zones_.Take("z", At(100)).after.has_value());
  // Large: a tenth of the rate.
  zones_.Update({{"z", {40, 60}}}, At(100));
  EXPECT_EQ(zones_.Take("z", At(100)).node, "a");
  zones_.Wait("z", "b");
  EXPECT_EQ(ToMillis(*zones_.Take("z", At(100)).after), 100'000);
}

TEST_F(ZonesTest, WhenAllIsDownItIsAnOutageOfOurOwn) {
  EXPECT_EQ(zones_.Update({{"y", {0, 1}}, {"z", {1, 2}}}, At(0)), Zones::Turn::kNone);
  EXPECT_FALSE(zones_.outage());
  EXPECT_EQ(zones_.state("y"), Zones::State::kFull);
  zones_.Wait("z", "a");
  EXPECT_EQ(zones_.Update({{"y", {0, 1}}, {"z", {0, 3}}}, At(5)), Zones::Turn::kOutageBegins);
  EXPECT_TRUE(zones_.outage());
  EXPECT_EQ(zones_.Take("z", At(100)).node, "");
  EXPECT_EQ(zones_.Update({{"y", {0, 1}}, {"z", {3, 0}}}, At(100)), Zones::Turn::kOutageEnds);
  EXPECT_EQ(zones_.Take("z", At(100)).node, "a");
  EXPECT_EQ(zones_.Update({}, At(200)), Zones::Turn::kNone);
}

TEST_F(ZonesTest, AreNamedByLabels) {
  Node node;
  EXPECT_EQ(ZoneOf(node), "");
  (*node.mutable_metadata()->mutable_labels())["topology.kubernetes.io/zone"] = "a";
  EXPECT_EQ(ZoneOf(node), ":a");
  (*node.mutable_metadata()->mutable_labels())["failure-domain.beta.kubernetes.io/region"] = "eu";
  EXPECT_EQ(ZoneOf(node), "eu:a");
}

TEST(Health, CountsFromWhenAChangeWasSeen) {
  const NodeHealth::Grace grace{seconds(40), seconds(60)};
  const auto at = [](int second) { return MonotonicTime(seconds(second)); };
  Node node = NodeWith("Ready", "True");
  node.mutable_metadata()->set_uid("u");
  node.mutable_status()->mutable_conditions(0)->mutable_last_heartbeat_time()->set_seconds(1000);
  Lease lease;
  NodeHealth health;
  health.Observe(node, nullptr, at(0));
  health.Observe(node, &lease, at(40));
  EXPECT_FALSE(health.IsSilent(grace, at(40)));
  EXPECT_TRUE(health.IsSilent(grace, at(41)));
  // A node whose clock goes backwards is heard all the same.
  lease.mutable_spec()->mutable_renew_time()->set_seconds(5);
  health.Observe(node, &lease, at(50));
  EXPECT_FALSE(health.IsSilent(grace, at(90)));
  node.mutable_status()->mutable_conditions(0)->mutable_last_heartbeat_time()->set_seconds(7);
  health.Observe(node, &lease, at(95));
  EXPECT_FALSE(health.IsSilent(grace, at(135)));
  // Another node of the same name begins anew; without a status it has more time.
  Node fresh;
  fresh.mutable_metadata()->set_uid("v");
  health.Observe(fresh, nullptr, at(200));
  EXPECT_FALSE(health.IsSilent(grace, at(260)));
  EXPECT_TRUE(health.IsSilent(grace, at(261)));
}

TEST(Health, UnknownIsWrittenOnce) {
  Node node = NodeWith("Ready", "True");
  kube::meta::v1::Time now;
  now.set_seconds(9);
  EXPECT_TRUE(SetUnknown(now, node));
  ASSERT_EQ(node.status().conditions_size(), 4);
  EXPECT_EQ(node.status().conditions(0).message(), "Kubelet stopped posting node status.");
  EXPECT_EQ(node.status().conditions(1).message(), "Kubelet never posted node status.");
  EXPECT_FALSE(SetUnknown(now, node));
}

}  // namespace
}  // namespace meltemi::controllers
