#include "orchestrator/scheduler/volumes/volume_rules.h"

#include <algorithm>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/str_split.h"
#include "orchestrator/scheduler/plugins/placement.h"

namespace meltemi::scheduler {
namespace {

using kube::core::v1::PersistentVolume;

bool MentionsClaim(const PodInfo& pod, absl::string_view ns, absl::string_view name) {
  return pod.key.ns == ns &&
         std::any_of(pod.claims.begin(), pod.claims.end(),
                     [name](const PodClaim& claim) { return claim.name == name; });
}

// Whether the event is about a claim of the pod's, or about volumes or classes.
bool IsAboutClaimsOf(const PodInfo& pod, const ClusterEvent& event) {
  if (event.type != ClusterEvent::Type::kStorageChanged) return false;
  const std::pair<absl::string_view, absl::string_view> key = absl::StrSplit(event.claim, '/');
  return event.claim.empty() || MentionsClaim(pod, key.first, key.second);
}

// ---- VolumeBinding ----

class Bound final : public PluginState {
 public:
  std::unique_ptr<PluginState> Clone() const override { return std::make_unique<Bound>(*this); }

  std::shared_ptr<const ClaimNeeds> needs;
  std::string problem;
  // Of each volume that can't be used everywhere: one of its terms must match.
  std::shared_ptr<const std::vector<std::vector<NodeTerm>>> places;
};

class VolumeBinding final : public Plugin {
 public:
  explicit VolumeBinding(const ClaimBook& book) : book_(book) { filters = true; }
  absl::string_view name() const override { return "VolumeBinding"; }

  Verdict PreFilter(const PodInfo& pod, const Snapshot& snapshot,
                    std::unique_ptr<PluginState>* state) const override {
    if (pod.claims.empty()) return Verdict::Skip();
    auto made = std::make_unique<Bound>();
    auto needs = std::make_shared<ClaimNeeds>(book_.NeedsOf(pod));
    auto places = std::make_shared<std::vector<std::vector<NodeTerm>>>();
    for (const VolumePtr& volume : needs->bound) {
      if (!volume->spec().node_affinity().has_required()) continue;
      std::vector<NodeTerm>& terms = places->emplace_back();
      for (const auto& term : volume->spec().node_affinity().required().node_selector_terms()) {
        terms.emplace_back(term);
      }
    }
    made->problem = needs->problem;
    made->needs = std::move(needs);
    made->places = std::move(places);
    const absl::string_view problem = made->problem;
    *state = std::move(made);
    return problem.empty() ? Verdict::Ok() : Verdict::Unresolvable(problem);
  }

  Verdict Filter(const PodInfo& pod, const NodeInfo& node,
                 const PluginState* state) const override {
    const auto& bound = *static_cast<const Bound*>(state);
    Verdict verdict{Verdict::Code::kUnresolvable, {}};
    const bool fits = std::all_of(
        bound.places->begin(), bound.places->end(), [&node](const std::vector<NodeTerm>& terms) {
          return std::any_of(terms.begin(), terms.end(),
                             [&node](const NodeTerm& term) { return term.Matches(*node.facts); });
        });
    if (!fits) verdict.reasons.push_back("node(s) had volume node affinity conflict");
    ClaimPlan plan;
    if (!bound.needs->unbound.empty() && !book_.Plan(*bound.needs, *node.facts, &plan)) {
      verdict.reasons.push_back("node(s) didn't find available persistent volumes to bind");
    }
    if (bound.needs->lost) {
      verdict.reasons.push_back(
          "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)");
    }
    return verdict.reasons.empty() ? Verdict::Ok() : verdict;
  }

  bool MayHelp(const PodInfo& refused, const ClusterEvent& event) const override {
    if (event.type == ClusterEvent::Type::kNodeAdded) return true;
    if (event.type == ClusterEvent::Type::kNodeChanged) {
      return (event.node_change & ClusterEvent::kLabels) != 0;
    }
    return IsAboutClaimsOf(refused, event);
  }

 private:
  const ClaimBook& book_;
};

// ---- VolumeRestrictions: ReadWriteOncePod ----

class Alone final : public PluginState {
 public:
  std::unique_ptr<PluginState> Clone() const override { return std::make_unique<Alone>(*this); }

  std::vector<std::string> claims;
  int users = 0;  // pods that have a place and use one of them
};

class VolumeRestrictions final : public Plugin {
 public:
  explicit VolumeRestrictions(const ClaimBook& book) : book_(book) { filters = true; }
  absl::string_view name() const override { return "VolumeRestrictions"; }

  Verdict PreFilter(const PodInfo& pod, const Snapshot& snapshot,
                    std::unique_ptr<PluginState>* state) const override {
    if (pod.claims.empty()) return Verdict::Skip();
    auto made = std::make_unique<Alone>();
    made->claims = book_.NeedsOf(pod).alone;
    if (made->claims.empty()) return Verdict::Skip();
    for (const NodeInfo* node : snapshot.nodes()) {
      for (const PodInfoPtr& other : node->pods) made->users += UsesOf(*made, pod, *other);
    }
    *state = std::move(made);
    return Verdict::Ok();
  }

  Verdict Filter(const PodInfo& pod, const NodeInfo& node,
                 const PluginState* state) const override {
    if (static_cast<const Alone*>(state)->users == 0) return Verdict::Ok();
    return Verdict::Unschedulable(
        "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access "
        "mode");
  }

  void AddPod(const PodInfo& pod, const PodInfo& added, const NodeInfo& node,
              PluginState* state) const override {
    auto& alone = *static_cast<Alone*>(state);
    alone.users += UsesOf(alone, pod, added);
  }
  void RemovePod(const PodInfo& pod, const PodInfo& removed, const NodeInfo& node,
                 PluginState* state) const override {
    auto& alone = *static_cast<Alone*>(state);
    alone.users -= UsesOf(alone, pod, removed);
  }

  bool MayHelp(const PodInfo& refused, const ClusterEvent& event) const override {
    if (event.type == ClusterEvent::Type::kPreemptorDone) return true;
    if (event.type == ClusterEvent::Type::kPodDeleted && event.pod_before != nullptr) {
      const auto& claims = refused.claims;
      return std::any_of(claims.begin(), claims.end(), [&](const PodClaim& claim) {
        return MentionsClaim(*event.pod_before, refused.key.ns, claim.name);
      });
    }
    return IsAboutClaimsOf(refused, event);
  }

 private:
  static int UsesOf(const Alone& alone, const PodInfo& pod, const PodInfo& other) {
    if (other.claims.empty() || other.uid == pod.uid) return 0;
    return std::any_of(
               alone.claims.begin(), alone.claims.end(),
               [&](const std::string& claim) { return MentionsClaim(other, pod.key.ns, claim); })
               ? 1
               : 0;
  }

  const ClaimBook& book_;
};

// ---- VolumeZone ----

constexpr const char* kZoneLabels[] = {
    "topology.kubernetes.io/zone", "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/region"};

class Zones final : public PluginState {
 public:
  std::unique_ptr<PluginState> Clone() const override { return std::make_unique<Zones>(*this); }

  std::vector<std::pair<const char*, std::set<std::string>>> wanted;  // by label
};

class VolumeZone final : public Plugin {
 public:
  explicit VolumeZone(const ClaimBook& book) : book_(book) { filters = true; }
  absl::string_view name() const override { return "VolumeZone"; }

  Verdict PreFilter(const PodInfo& pod, const Snapshot& snapshot,
                    std::unique_ptr<PluginState>* state) const override {
    if (pod.claims.empty()) return Verdict::Skip();
    auto made = std::make_unique<Zones>();
    for (const VolumePtr& volume : book_.NeedsOf(pod).bound) AddZones(*volume, *made);
    if (made->wanted.empty()) return Verdict::Skip();
    *state = std::move(made);
    return Verdict::Ok();
  }

  Verdict Filter(const PodInfo& pod, const NodeInfo& node,
                 const PluginState* state) const override {
    const bool has_any =
        std::any_of(std::begin(kZoneLabels), std::end(kZoneLabels), [&node](const char* label) {
          bool found = false;
          node.facts->Label(label, &found);
          return found;
        });
    if (!has_any) return Verdict::Ok();
    for (const auto& [label, values] : static_cast<const Zones*>(state)->wanted) {
      if (values.count(std::string(node.facts->Label(label))) == 0) {
        return Verdict::Unresolvable("node(s) had no available volume zone");
      }
    }
    return Verdict::Ok();
  }

  bool MayHelp(const PodInfo& refused, const ClusterEvent& event) const override {
    if (event.type == ClusterEvent::Type::kNodeAdded) return true;
    if (event.type == ClusterEvent::Type::kNodeChanged) {
      return (event.node_change & ClusterEvent::kLabels) != 0;
    }
    return IsAboutClaimsOf(refused, event);
  }

 private:
  static void AddZones(const PersistentVolume& volume, Zones& zones) {
    for (const char* label : kZoneLabels) {
      const auto found = volume.metadata().labels().find(label);
      if (found == volume.metadata().labels().end()) continue;
      // Several zones are written with two underscores between them.
      const std::set<std::string> values = absl::StrSplit(found->second, "__");
      zones.wanted.emplace_back(label, values);
    }
  }

  const ClaimBook& book_;
};

}  // namespace

void AddVolumeRules(const ClaimBook& book, std::vector<WeightedPlugin>* plugins) {
  auto at = std::find_if(plugins->begin(), plugins->end(), [](const WeightedPlugin& one) {
    return one.plugin->name() == "NodeResourcesFit";
  });
  if (at != plugins->end()) ++at;
  std::vector<WeightedPlugin> added;
  added.push_back({std::make_unique<VolumeRestrictions>(book), 1});
  added.push_back({std::make_unique<VolumeBinding>(book), 1});
  added.push_back({std::make_unique<VolumeZone>(book), 1});
  plugins->insert(at, std::make_move_iterator(added.begin()), std::make_move_iterator(added.end()));
}

}  // namespace meltemi::scheduler
