#include "orchestrator/controllers/daemonset/plan.h"

#include <algorithm>
#include <utility>

#include "absl/algorithm/container.h"

namespace meltemi::controllers::daemonsets {
namespace {

namespace apps = kube::apps::v1;
namespace core = kube::core::v1;

constexpr char kNameField[] = "metadata.name";

bool IsGoing(const core::Pod& pod) { return pod.metadata().has_deletion_timestamp(); }

// Pods that are on their node first, then by age, then by name.
bool IsOlder(const PodPtr& a, const PodPtr& b) {
  const auto key = [](const core::Pod& pod) {
    return std::make_tuple(pod.spec().node_name().empty(),
                           pod.metadata().creation_timestamp().seconds(), pod.metadata().name());
  };
  return key(*a) < key(*b);
}

// The one pod of each revision on a node; nothing when there are several of one.
struct Pair {
  PodPtr fresh, old;
};
std::optional<Pair> FindPair(const View& view, const std::vector<PodPtr>& pods) {
  Pair pair;
  for (const PodPtr& pod : pods) {
    if (IsGoing(*pod)) continue;
    PodPtr& slot = view.IsUpdated(*pod) ? pair.fresh : pair.old;
    if (slot != nullptr) return std::nullopt;
    slot = pod;
  }
  return pair;
}

class Manager {
 public:
  Manager(const View& view, const std::function<Duration(const std::string&)>& backoff)
      : view_(view), backoff_(backoff) {}

  Plan Run() {
    for (const auto& [node, place] : view_.places) {
      if (!place.known) {
        // Its pods are the garbage collector's, but those that nobody has placed yet.
        for (const PodPtr& pod : place.pods) {
          if (pod->spec().node_name().empty() && !IsGoing(*pod)) Remove(pod, node);
        }
      } else if (place.answer.start && place.pods.empty()) {
        plan_.create.push_back(node);
      } else if (place.answer.stay) {
        Prune(node, place);
      } else {
        for (const PodPtr& pod : place.pods) {
          if (!IsGoing(*pod)) Remove(pod, node);
        }
      }
    }
    return std::move(plan_);
  }

 private:
  void Remove(const PodPtr& pod, const std::string& node,
              Removal::Why why = Removal::Why::kSurplus) {
    plan_.remove.push_back({pod, node, why});
  }

  void Prune(const std::string& node, const View::Place& place) {
    std::vector<PodPtr> running;
    for (const PodPtr& pod : place.pods) {
      if (IsGoing(*pod)) continue;
      if (pod->status().phase() == "Failed") {
        const Duration wait = backoff_(node);
        if (wait == Duration::zero()) {
          Remove(pod, node, Removal::Why::kFailed);
        } else {
          plan_.wait = std::min(wait, plan_.wait.value_or(wait));
        }
      } else if (pod->status().phase() == "Succeeded") {
        Remove(pod, node, Removal::Why::kSucceeded);
      } else {
        running.push_back(pod);
      }
    }
    if (view_.max_surge == 0) {
      for (size_t i = 1; i < running.size(); ++i) Remove(running[i], node);
      return;
    }
    // One that is on its way out does not stand in the way of the next.
    if (running.empty() && place.answer.start) plan_.create.push_back(node);
    if (running.size() > 1) PruneSurge(node, running);
  }

  // At most the oldest pod of each kind stays; the old one for as long as it is the better one.
  void PruneSurge(const std::string& node, const std::vector<PodPtr>& running) {
    PodPtr fresh, old;
    for (const PodPtr& pod : running) {
      PodPtr& slot = view_.IsUpdated(*pod) ? fresh : old;
      if (slot == nullptr) {
        slot = pod;
      } else {
        Remove(pod, node);
      }
    }
    if (fresh == nullptr || old == nullptr) return;
    if (!IsReady(*old) || view_.IsAvailable(*fresh)) Remove(old, node);
  }

  const View& view_;
  const std::function<Duration(const std::string&)>& backoff_;
  Plan plan_;
};

void AddRemovals(std::vector<Removal>& from, int count, Plan& plan) {
  for (int i = 0; i < count && i < static_cast<int>(from.size()); ++i) {
    plan.remove.push_back(std::move(from[static_cast<size_t>(i)]));
  }
}

Plan RollByDeleting(const View& view) {
  Plan plan;
  int unavailable = 0;
  std::vector<Removal> candidates;
  for (const auto& [node, place] : view.places) {
    // A node without a pod counts when it should have one.
    if (place.pods.empty() && !place.answer.start) continue;
    const std::optional<Pair> pair = FindPair(view, place.pods);
    if (!pair.has_value() || (pair->fresh == nullptr) == (pair->old == nullptr)) {
      ++unavailable;
    } else if (pair->fresh != nullptr) {
      unavailable += view.IsAvailable(*pair->fresh) ? 0 : 1;
    } else if (!view.IsAvailable(*pair->old)) {
      // Nothing is lost with it.
      ++unavailable;
      plan.remove.push_back({pair->old, node});
    } else {
      candidates.push_back({pair->old, node});
    }
  }
  AddRemovals(candidates, std::max(0, view.max_unavailable - unavailable), plan);
  return plan;
}

Plan RollBySurging(const View& view) {
  Plan plan;
  int surge = 0, available = 0;
  std::vector<std::string> candidates;
  std::vector<Removal> misplaced;
  for (const auto& [node, place] : view.places) {
    if (place.pods.empty()) continue;
    const std::optional<Pair> pair = FindPair(view, place.pods);
    if (!pair.has_value()) {
      ++surge;
      continue;
    }
    const PodPtr& counted = pair->old != nullptr ? pair->old : pair->fresh;
    if (counted != nullptr && view.IsAvailable(*counted)) ++available;
    if (pair->old == nullptr) continue;
    if (pair->fresh != nullptr) {
      if (view.IsAvailable(*pair->fresh)) {
        plan.remove.push_back({pair->old, node});
      } else {
        ++surge;
      }
    } else if (!view.IsAvailable(*pair->old)) {
      if (place.answer.start) {
        plan.create.push_back(node);
      } else {
        plan.remove.push_back({pair->old, node});
      }
    } else if (place.answer.start) {
      candidates.push_back(node);
    } else {
      misplaced.push_back({pair->old, node});
    }
  }
  // Where a pod may stay but not start, it goes when there are enough others.
  AddRemovals(misplaced, std::max(0, available - view.desired), plan);
  const size_t more = static_cast<size_t>(std::max(0, view.max_surge - surge));
  for (size_t i = 0; i < more && i < candidates.size(); ++i) plan.create.push_back(candidates[i]);
  return plan;
}

}  // namespace

std::string TargetNode(const core::Pod& pod) {
  if (!pod.spec().node_name().empty()) return pod.spec().node_name();
  const auto& affinity = pod.spec().affinity().node_affinity();
  for (const core::NodeSelectorTerm& term :
       affinity.required_during_scheduling_ignored_during_execution().node_selector_terms()) {
    for (const core::NodeSelectorRequirement& field : term.match_fields()) {
      if (field.key() != kNameField || field.operator_() != "In") continue;
      return field.values_size() == 1 ? field.values(0) : "";
    }
  }
  return "";
}

View::View(const apps::DaemonSet& daemon_set, const std::vector<NodePtr>& nodes,
           const std::vector<PodPtr>& pods, std::string hash_of_template, WallTime wall_now)
    : set(daemon_set), hash(std::move(hash_of_template)), now(wall_now) {
  const NodeRule rule(set.spec().template_());
  for (const NodePtr& node : nodes) {
    Place& place = places[node->metadata().name()];
    place.known = true;
    place.answer = rule.Ask(*node);
    desired += place.answer.start ? 1 : 0;
  }
  for (const PodPtr& pod : pods) {
    if (IsFinished(*pod) && IsGoing(*pod)) continue;
    const std::string node = TargetNode(*pod);
    if (node.empty()) continue;
    places[node].pods.push_back(pod);
    Duration in{};
    if (!controllers::IsAvailable(*pod, seconds(set.spec().min_ready_seconds()), now, &in) &&
        in > Duration::zero()) {
      next_available = std::min(in, next_available.value_or(in));
    }
  }
  for (auto& [node, place] : places) absl::c_sort(place.pods, IsOlder);
  if (set.spec().update_strategy().type() != "RollingUpdate") return;
  const apps::RollingUpdateDaemonSet& rolling = set.spec().update_strategy().rolling_update();
  max_surge = rolling.has_max_surge() ? ScaledValue(rolling.max_surge(), desired, true) : 0;
  max_unavailable =
      rolling.has_max_unavailable() ? ScaledValue(rolling.max_unavailable(), desired, true) : 0;
  if (max_surge == 0 && max_unavailable == 0) max_unavailable = 1;
}

bool View::IsUpdated(const core::Pod& pod) const {
  const auto& labels = pod.metadata().labels();
  const auto label = labels.find(kHashLabel);
  if (label != labels.end() && label->second == hash) return true;
  const auto& annotations = set.metadata().annotations();
  const auto wanted = annotations.find(kGenerationAnnotation);
  const auto generation = labels.find(kGenerationLabel);
  return wanted != annotations.end() && generation != labels.end() &&
         wanted->second == generation->second;
}

bool View::IsAvailable(const core::Pod& pod) const {
  return controllers::IsAvailable(pod, seconds(set.spec().min_ready_seconds()), now, nullptr);
}

Plan Manage(const View& view, const std::function<Duration(const std::string& node)>& backoff) {
  return Manager(view, backoff).Run();
}

Plan Roll(const View& view) {
  if (view.set.spec().update_strategy().type() != "RollingUpdate") return {};
  return view.max_surge == 0 ? RollByDeleting(view) : RollBySurging(view);
}

apps::DaemonSetStatus StatusOf(const View& view) {
  apps::DaemonSetStatus status = view.set.status();
  int current = 0, misscheduled = 0, ready = 0, updated = 0, available = 0;
  for (const auto& [node, place] : view.places) {
    if (!place.known || place.pods.empty()) continue;
    if (!place.answer.start) {
      ++misscheduled;
      continue;
    }
    ++current;
    const core::Pod& pod = *place.pods.front();
    ready += IsReady(pod);
    available += view.IsAvailable(pod);
    updated += view.IsUpdated(pod);
  }
  status.set_observed_generation(view.set.metadata().generation());
  status.set_desired_number_scheduled(view.desired);
  status.set_current_number_scheduled(current);
  status.set_number_misscheduled(misscheduled);
  status.set_number_ready(ready);
  status.set_updated_number_scheduled(updated);
  status.set_number_available(available);
  status.set_number_unavailable(view.desired - available);
  return status;
}

core::Pod NewPod(const apps::DaemonSet& set, const std::string& hash, const std::string& node) {
  core::Pod pod = PodFromTemplate(set.spec().template_(), set);
  auto& labels = *pod.mutable_metadata()->mutable_labels();
  labels[kHashLabel] = hash;
  const auto generation = set.metadata().annotations().find(kGenerationAnnotation);
  if (generation != set.metadata().annotations().end()) {
    labels[kGenerationLabel] = generation->second;
  }
  AddDaemonTolerations(*pod.mutable_spec());
  // The scheduler binds it, to this node alone. What the template asks of nodes the node fulfils.
  core::NodeSelector& selector =
      *pod.mutable_spec()
           ->mutable_affinity()
           ->mutable_node_affinity()
           ->mutable_required_during_scheduling_ignored_during_execution();
  selector.clear_node_selector_terms();
  core::NodeSelectorRequirement& field = *selector.add_node_selector_terms()->add_match_fields();
  field.set_key(kNameField);
  field.set_operator_("In");
  field.add_values(node);
  return pod;
}

}  // namespace meltemi::controllers::daemonsets
