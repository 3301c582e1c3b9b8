// Where pods are.
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kube/core/v1/node.pb.h"
#include "kube/quantity/quantity.h"
#include "test/sim/invariant.h"

namespace meltemi::sim {
namespace {

using kube::core::v1::Node;
using kube::core::v1::Pod;
using kube::core::v1::Taint;
using kube::core::v1::Toleration;

bool Tolerates(const Pod& pod, const Taint& taint) {
  for (const Toleration& toleration : pod.spec().tolerations()) {
    if (!toleration.effect().empty() && toleration.effect() != taint.effect()) continue;
    if (!toleration.key().empty() && toleration.key() != taint.key()) continue;
    if (toleration.operator_() == "Exists" || toleration.value() == taint.value()) return true;
  }
  return false;
}

bool Accepts(const Node& node, const Pod& pod) {
  Taint unschedulable;
  unschedulable.set_key("node.kubernetes.io/unschedulable");
  unschedulable.set_effect("NoSchedule");
  if (node.spec().unschedulable() && !Tolerates(pod, unschedulable)) return false;
  for (const Taint& taint : node.spec().taints()) {
    if (taint.effect() != "PreferNoSchedule" && !Tolerates(pod, taint)) return false;
  }
  for (const auto& [key, value] : pod.spec().node_selector()) {
    const auto found = node.metadata().labels().find(key);
    if (found == node.metadata().labels().end() || found->second != value) return false;
  }
  return true;
}

int64_t Milli(const std::string& text) {
  const auto quantity = kube::Quantity::Parse(text);
  return quantity.has_value() ? quantity->MilliValue() : 0;
}

template <typename Map>
int64_t MilliAt(const Map& map, const std::string& key) {
  const auto found = map.find(key);
  return found == map.end() ? 0 : Milli(found->second.string());
}

int64_t Requested(const Pod& pod, const std::string& resource) {
  int64_t sum = 0;
  for (const auto& container : pod.spec().containers()) {
    sum += MilliAt(container.resources().requests(), resource);
  }
  return sum;
}

class PlacementInvariant final : public Invariant {
 public:
  void OnChange(const Truth& truth, const Change& change, const Circumstances& circumstances,
                Findings& findings) override {
    if (change.resource() == "nodes") OnNode(change);
    if (change.resource() != "pods" || change.gone()) return;
    const Pod& pod = *change.After<Pod>();
    const std::string& node = pod.spec().node_name();
    const std::string before = change.created() ? "" : change.Before<Pod>()->spec().node_name();
    if (node == before) return;
    if (!before.empty()) {
      findings.Add(absl::StrCat("pod ", pod.metadata().name(), " moves from ", before, " to ",
                                node.empty() ? "nowhere" : node));
      return;
    }
    OnBound(truth, pod, node, circumstances, findings);
  }

 private:
  using Seen = std::pair<int64_t, MessagePtr>;  // from this revision on

  void OnNode(const Change& change) {
    if (change.gone()) {
      versions_.erase(change.entry.name);
      return;
    }
    versions_[change.entry.name].emplace_back(change.entry.revision, change.after);
  }

  void OnBound(const Truth& truth, const Pod& pod, const std::string& node,
               const Circumstances& circumstances, Findings& findings) {
    const auto* const now = truth.Find<Node>("nodes", "", node);
    // It may have been deleted a moment ago.
    if (now == nullptr) return;
    if (!AcceptedSince(pod, node, circumstances.scheduler_nodes_revision)) {
      findings.Add(absl::StrCat("pod ", pod.metadata().name(), " is bound to ", node,
                                ", whose taints or labels refuse it"));
    }
    int64_t cpu = 0, memory = 0, count = 0;
    for (const auto& [name, message] : truth.Of("pods")) {
      const Pod& other = static_cast<const Pod&>(*message);
      if (other.spec().node_name() != node || IsFinished(other)) continue;
      // The scheduler takes a pod for unbound when it was not told that it had bound it.
      if (circumstances.unacknowledged.count(other.metadata().uid()) > 0) continue;
      cpu += Requested(other, "cpu");
      memory += Requested(other, "memory");
      count += 1000;
    }
    Compare("cpu", cpu, *now, pod, findings);
    Compare("memory", memory, *now, pod, findings);
    Compare("pods", count, *now, pod, findings);
  }

  static void Compare(const std::string& resource, int64_t milli, const Node& node, const Pod& pod,
                      Findings& findings) {
    const int64_t room = MilliAt(node.status().allocatable(), resource);
    if (milli <= room) return;
    findings.Add(absl::StrCat("pod ", pod.metadata().name(), " is bound to ",
                              node.metadata().name(), ", which has too little ", resource, ": ",
                              milli, " of ", room, " (in thousandths)"));
  }

  // One of the node's states from `revision` on takes the pod.
  bool AcceptedSince(const Pod& pod, const std::string& node, int64_t revision) {
    const std::vector<Seen>& seen = versions_[node];
    for (size_t i = 0; i < seen.size(); ++i) {
      const bool over = i + 1 < seen.size() && seen[i + 1].first <= revision;
      if (!over && Accepts(static_cast<const Node&>(*seen[i].second), pod)) return true;
    }
    return false;
  }

  std::map<std::string, std::vector<Seen>> versions_;
};

}  // namespace

std::unique_ptr<Invariant> NewPlacementInvariant() {
  return std::make_unique<PlacementInvariant>();
}

}  // namespace meltemi::sim
