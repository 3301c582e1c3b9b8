// Whatever happens, no pod is ever bound to a node that a rule refuses: random clusters and pods,
// watches that lag behind, answers that are lost, schedulers that are killed. What is bound is
// checked write by write against rules that know nothing of the scheduler's code.
#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "kube/codec/codec.h"
#include "kube/core/v1/pod.pb.h"
#include "orchestrator/scheduler/testing/world.h"

namespace meltemi::scheduler {
namespace {

using apiserver::Fate;
using CorePod = kube::core::v1::Pod;

struct NodeFact {
  int cpu = 0;
  size_t pods = 0;
  std::string zone;
  bool tainted = false, unschedulable = false;
};

// What a pod asks for; empty: nothing.
struct PodWish {
  int cpu = 1;
  std::string app;  // label
  std::string zone;
  bool tolerates = false, important = false;
  bool alone = false;              // holds a port of its host
  std::string anti_app, anti_key;  // no pod of this app in the same host or zone
  std::string near_app;            // a pod of this app in the same zone
  bool spread = false;             // its app over zones, with a skew of 1
};

constexpr char kHost[] = "kubernetes.io/hostname", kZone[] = "topology.kubernetes.io/zone";

class Placements {
 public:
  explicit Placements(uint64_t seed)
      // Half of the seeds without anything that takes pods away: rules that count all pods can be
      // checked at the end then.
      : calm_(seed % 2 == 0), random_(seed), world_({}, seed) {}

  void Run() {
    world_.PriorityClass("important", 1000);
    for (int i = 0; i < 6; ++i) AddNode(absl::StrCat("n", i));
    world_.world().process().SetFate([this](const kube::ApiCall& call) { return FateOf(call); });
    world_.Run();
    for (int i = 0; i < 24; ++i) {
      AddPod(absl::StrCat("p", i));
      Disturb();
      Check();
    }
    failures_ = false;
    world_.Advance(seconds(30));
    Check();
    if (calm_) CheckEnd();
  }
  size_t bound() const { return where_.size(); }

 private:
  bool Chance(int of) { return random_.Below(static_cast<uint64_t>(of)) == 0; }
  std::string App() { return std::string(1, static_cast<char>('a' + random_.Below(3))); }
  std::string Zone() { return absl::StrCat("z", random_.Below(3)); }

  Fate FateOf(const kube::ApiCall& call) {
    if (!failures_ || call.method == "GET") return Fate::kPass;
    constexpr Fate kFates[] = {Fate::kRefuse, Fate::kLoseCall, Fate::kLoseAnswer};
    return Chance(6) ? kFates[random_.Below(3)] : Fate::kPass;
  }

  void AddNode(const std::string& name) {
    NodeFact node;
    node.cpu = 2 + static_cast<int>(random_.Below(4));
    node.pods = 2 + random_.Below(5);
    node.zone = Zone();
    node.tainted = Chance(5);
    node.unschedulable = Chance(8);
    world_.Node(name, absl::StrCat("cpu: '", node.cpu, "', memory: 8Gi, pods: '", node.pods, "'"),
                absl::StrCat(kZone, ": ", node.zone),
                absl::StrCat(node.tainted ? "taints: [{key: x, effect: NoSchedule}]" : "",
                             node.tainted && node.unschedulable ? ", " : "",
                             node.unschedulable ? "unschedulable: true" : ""));
    nodes_[name] = node;
  }

  void AddPod(const std::string& name) {
    PodWish wish;
    wish.cpu = 1 + static_cast<int>(random_.Below(2));
    wish.app = App();
    if (Chance(4)) wish.zone = Zone();
    wish.tolerates = Chance(3);
    wish.important = !calm_ && Chance(4);
    wish.alone = Chance(5);
    if (Chance(4)) {
      wish.anti_app = App();
      wish.anti_key = Chance(2) ? kHost : kZone;
    }
    if (Chance(6)) wish.near_app = App();
    wish.spread = Chance(4);
    world_.Pod(name, absl::StrCat("cpu: ", wish.cpu), SpecOf(wish), absl::StrCat("app: ", wish.app),
               wish.alone ? 8080 : 0);
    wishes_[name] = wish;
  }

  static std::string SpecOf(const PodWish& wish) {
    std::string spec = absl::StrCat("priorityClassName: '", wish.important ? "important" : "", "'");
    if (!wish.zone.empty())
      absl::StrAppend(&spec, ", nodeSelector: {", kZone, ": ", wish.zone, "}");
    if (wish.tolerates) absl::StrAppend(&spec, ", tolerations: [{key: x, operator: Exists}]");
    const auto term = [](const std::string& app, const std::string& key) {
      return absl::StrCat("{requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: ", key,
                          ", labelSelector: {matchLabels: {app: ", app, "}}}]}");
    };
    std::string affinity;
    if (!wish.near_app.empty()) affinity = "podAffinity: " + term(wish.near_app, kZone);
    if (!wish.anti_app.empty()) {
      absl::StrAppend(&affinity, affinity.empty() ? "" : ", ",
                      "podAntiAffinity: ", term(wish.anti_app, wish.anti_key));
    }
    if (!affinity.empty()) absl::StrAppend(&spec, ", affinity: {", affinity, "}");
    if (wish.spread) {
      absl::StrAppend(&spec, ", topologySpreadConstraints: [{maxSkew: 1, topologyKey: ", kZone,
                      ", whenUnsatisfiable: DoNotSchedule, nodeAffinityPolicy: Ignore, "
                      "labelSelector: {matchLabels: {app: ",
                      wish.app, "}}}]");
    }
    return spec;
  }

  // Some time passes, some watches arrive, something breaks.
  void Disturb() {
    for (uint64_t i = random_.Below(30); i > 0; --i) {
      if (world_.world().api().undelivered() > 0 && Chance(2)) {
        world_.world().api().DeliverOne(random_.Below(world_.world().api().undelivered()));
      } else {
        world_.world().executor().RunOne();
      }
    }
    if (Chance(4)) world_.Advance(milliseconds(static_cast<int64_t>(random_.Below(3000))));
    Check();
    if (!calm_ && Chance(5) && !where_.empty()) {
      const std::string name = where_.begin()->first;
      world_.world().Delete<CorePod>(name);
    }
    if (Chance(12)) {
      world_.Restart();
      world_.world().process().SetFate([this](const kube::ApiCall& call) { return FateOf(call); });
    }
  }

  // Looks at all writes since the last time.
  void Check() {
    const auto& history = world_.world().api().history();
    for (; checked_ < history.size(); ++checked_) {
      const apiserver::HistoryEntry& entry = history[checked_];
      if (entry.resource != "pods") continue;
      CorePod pod;
      ASSERT_TRUE(kube::FromJson(entry.json, &pod).ok());
      if (entry.type == "DELETED") {
        where_.erase(entry.name);
      } else if (!pod.spec().node_name().empty() && !where_.contains(entry.name)) {
        CheckBinding(entry.name, pod.spec().node_name());
        where_[entry.name] = pod.spec().node_name();
      } else if (where_.contains(entry.name)) {
        EXPECT_EQ(where_[entry.name], pod.spec().node_name());
      }
    }
  }

  bool Together(const std::string& a, const std::string& b, const std::string& key) const {
    return key == kHost ? a == b : nodes_.at(a).zone == nodes_.at(b).zone;
  }

  void CheckBinding(const std::string& name, const std::string& node_name) {
    SCOPED_TRACE(absl::StrCat(name, " on ", node_name));
    ASSERT_TRUE(nodes_.contains(node_name));
    const NodeFact& node = nodes_.at(node_name);
    const PodWish& wish = wishes_.at(name);
    EXPECT_FALSE(node.unschedulable);
    EXPECT_TRUE(!node.tainted || wish.tolerates);
    EXPECT_TRUE(wish.zone.empty() || wish.zone == node.zone);
    int cpu = wish.cpu;
    size_t pods = 1;
    for (const auto& [other_name, other_node] : where_) {
      const PodWish& other = wishes_.at(other_name);
      if (other_node == node_name) {
        cpu += other.cpu;
        ++pods;
        EXPECT_FALSE(wish.alone && other.alone) << "same port as " << other_name;
      }
      EXPECT_FALSE(wish.anti_app == other.app && Together(node_name, other_node, wish.anti_key))
          << "next to " << other_name << " on " << other_node;
      EXPECT_FALSE(other.anti_app == wish.app && Together(node_name, other_node, other.anti_key))
          << "in the way of " << other_name << " on " << other_node;
    }
    EXPECT_LE(cpu, node.cpu);
    EXPECT_LE(pods, node.pods);
  }

  // Rules that count all pods: in the end they hold, since each step has kept them.
  void CheckEnd() {
    std::map<std::string, std::map<std::string, int>> pods;  // app → zone → pods
    for (const auto& [name, node] : where_) ++pods[wishes_.at(name).app][nodes_.at(node).zone];
    for (const auto& [name, node] : where_) {
      const std::string& near = wishes_.at(name).near_app;
      EXPECT_TRUE(near.empty() || pods[near][nodes_.at(node).zone] > 0) << name;
    }
  }

  const bool calm_;
  FastRandom random_;
  SchedulerWorld world_;
  bool failures_ = true;
  std::map<std::string, NodeFact> nodes_;
  std::map<std::string, PodWish> wishes_;
  std::map<std::string, std::string> where_;  // pod → node, by the writes so far
  size_t checked_ = 0;
};

TEST(PlacementTest, NoPodIsBoundWhereARuleRefusesIt) {
  size_t bound = 0;
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    SCOPED_TRACE(absl::StrCat("seed ", seed));
    Placements placements(seed);
    placements.Run();
    bound += placements.bound();
    if (testing::Test::HasFailure()) break;
  }
  EXPECT_GT(bound, 250u);  // else there would have been little to check
}

}  // namespace
}  // namespace meltemi::scheduler
