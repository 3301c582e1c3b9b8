#include "orchestrator/controllers/statefulset/plan.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace meltemi::controllers::statefulsets {
namespace {

namespace apps = kube::apps::v1;
namespace core = kube::core::v1;

bool IsGoing(const core::Pod& pod) { return pod.metadata().has_deletion_timestamp(); }

bool IsRunningAndReady(const core::Pod& pod) {
  return pod.status().phase() == "Running" && IsReady(pod);
}

// Null: it is not there.
bool IsHealthy(const PodPtr& pod) {
  return pod != nullptr && IsRunningAndReady(*pod) && !IsGoing(*pod);
}

std::string LabelOf(const core::Pod& pod, const char* key) {
  const auto label = pod.metadata().labels().find(key);
  return label == pod.metadata().labels().end() ? "" : label->second;
}

class Planner {
 public:
  Planner(const apps::StatefulSet& set, const std::vector<PodPtr>& pods,
          const std::string& update_revision, WallTime now)
      : set_(set),
        update_revision_(update_revision),
        now_(now),
        ordered_(set.spec().pod_management_policy() != "Parallel"),
        start_(set.spec().ordinals().start()),
        replicas_(static_cast<size_t>(std::max(0, set.spec().replicas()))) {
    for (const PodPtr& pod : pods) {
      const std::optional<int> ordinal = OrdinalOf(set, pod->metadata().name());
      if (!ordinal.has_value()) continue;
      const int64_t place = int64_t{*ordinal} - start_;
      if (place >= 0 && place < static_cast<int64_t>(replicas_.size())) {
        replicas_[static_cast<size_t>(place)] = pod;
      } else {
        condemned_[*ordinal] = pod;
      }
    }
  }

  Plan Run() {
    NoteWaits();
    if (!set_.metadata().has_deletion_timestamp() && Keep() && ScaleDown()) Update();
    return std::move(plan_);
  }

 private:
  void NoteWaits() {
    for (const PodPtr& pod : replicas_) {
      Duration in{};
      if (pod == nullptr || IsAvailable(*pod, MinReady(), now_, &in)) continue;
      if (in > Duration::zero()) plan_.wait = std::min(in, plan_.wait.value_or(in));
    }
  }
  Duration MinReady() const { return seconds(set_.spec().min_ready_seconds()); }
  bool MayGoOn(const core::Pod& pod) const {
    return IsRunningAndReady(pod) && IsAvailable(pod, MinReady(), now_, nullptr);
  }
  void Do(Action::Type type, int ordinal, PodPtr pod) {
    plan_.actions.push_back({type, ordinal, std::move(pod)});
  }

  // Each wanted pod is there, and well. False: nothing more is to be done for now.
  bool Keep() {
    for (size_t i = 0; i < replicas_.size(); ++i) {
      if (!KeepOne(start_ + static_cast<int>(i), replicas_[i]) && ordered_) return false;
    }
    return true;
  }
  bool KeepOne(int ordinal, const PodPtr& pod) {
    if (pod == nullptr) {
      Do(Action::Type::kCreate, ordinal, nullptr);
      plan_.actions.back().update = ordinal - start_ >= Partition();
      return false;
    }
    if (IsFinished(*pod)) {
      // Whatever its exit code: it is to run. A new one is made when it has gone.
      if (!IsGoing(*pod)) Do(Action::Type::kDelete, ordinal, pod);
      return false;
    }
    if (pod->status().phase() == "Pending" && set_.spec().volume_claim_templates_size() > 0) {
      Do(Action::Type::kClaims, ordinal, pod);
    }
    if (ordered_ && (IsGoing(*pod) || !MayGoOn(*pod))) return false;
    if (LabelOf(*pod, kPodNameLabel) != pod->metadata().name() && !IsGoing(*pod)) {
      Do(Action::Type::kRepair, ordinal, pod);
    }
    return true;
  }
  int Partition() const {
    return set_.spec().update_strategy().type() == "OnDelete"
               ? 0
               : set_.spec().update_strategy().rolling_update().partition();
  }

  bool ScaleDown() {
    const PodPtr unhealthy = FirstUnhealthyCondemned();
    for (auto it = condemned_.rbegin(); it != condemned_.rend(); ++it) {
      const auto& [ordinal, pod] = *it;
      if (IsGoing(*pod)) {
        if (ordered_) return false;
        continue;
      }
      if (ordered_ && !MayGoOn(*pod) && pod != unhealthy) return false;
      Do(Action::Type::kDelete, ordinal, pod);
      if (ordered_) return false;
    }
    return true;
  }
  // The lowest one that is not well, where all that are to stay are.
  PodPtr FirstUnhealthyCondemned() const {
    if (!std::all_of(replicas_.begin(), replicas_.end(), IsHealthy)) return nullptr;
    for (const auto& [ordinal, pod] : condemned_) {
      if (!IsHealthy(pod)) return pod;
    }
    return nullptr;
  }

  void Update() {
    if (set_.spec().update_strategy().type() == "OnDelete") return;
    for (int i = static_cast<int>(replicas_.size()) - 1; i >= Partition(); --i) {
      const PodPtr& pod = replicas_[static_cast<size_t>(i)];
      if (pod == nullptr) return;
      if (RevisionOf(*pod) != update_revision_ && !IsGoing(*pod)) {
        // One that has ended is being deleted already.
        if (!IsFinished(*pod)) Do(Action::Type::kDelete, start_ + i, pod);
        return;
      }
      if (!IsHealthy(pod)) return;
    }
  }

  const apps::StatefulSet& set_;
  const std::string& update_revision_;
  const WallTime now_;
  const bool ordered_;
  const int start_;
  std::vector<PodPtr> replicas_;     // by ordinal - start; null: missing
  std::map<int, PodPtr> condemned_;  // by ordinal
  Plan plan_;
};

void UseClaims(const apps::StatefulSet& set, int ordinal, core::Pod& pod) {
  std::set<std::string> names;
  for (const core::PersistentVolumeClaim& claim : set.spec().volume_claim_templates()) {
    names.insert(claim.metadata().name());
  }
  auto& volumes = *pod.mutable_spec()->mutable_volumes();
  volumes.erase(
      std::remove_if(volumes.begin(), volumes.end(),
                     [&](const core::Volume& volume) { return names.count(volume.name()) > 0; }),
      volumes.end());
  for (const std::string& name : names) {
    core::Volume& volume = *volumes.Add();
    volume.set_name(name);
    volume.mutable_volume_source()->mutable_persistent_volume_claim()->set_claim_name(
        absl::StrCat(name, "-", set.metadata().name(), "-", ordinal));
  }
}

}  // namespace

std::optional<int> OrdinalOf(const apps::StatefulSet& set, const std::string& pod_name) {
  absl::string_view rest = pod_name;
  int ordinal = 0;
  if (!absl::ConsumePrefix(&rest, set.metadata().name()) || !absl::ConsumePrefix(&rest, "-")) {
    return std::nullopt;
  }
  // As it would be written here: no signs, spaces or leading zeros.
  if (!absl::SimpleAtoi(rest, &ordinal) || absl::StrCat(ordinal) != rest || ordinal < 0) {
    return std::nullopt;
  }
  return ordinal;
}

std::string RevisionOf(const core::Pod& pod) { return LabelOf(pod, kRevisionLabel); }

Plan PlanSet(const apps::StatefulSet& set, const std::vector<PodPtr>& pods,
             const std::string& update_revision, WallTime now) {
  return Planner(set, pods, update_revision, now).Run();
}

apps::StatefulSetStatus StatusOf(const apps::StatefulSet& set, const std::vector<PodPtr>& pods,
                                 const std::string& current, const std::string& update,
                                 int collision_count, WallTime now) {
  apps::StatefulSetStatus status;
  *status.mutable_conditions() = set.status().conditions();
  status.set_observed_generation(set.metadata().generation());
  status.set_current_revision(current);
  status.set_update_revision(update);
  status.set_collision_count(collision_count);
  int replicas = 0, ready = 0, available = 0, of_current = 0, of_update = 0;
  for (const PodPtr& pod : pods) {
    ++replicas;
    if (IsRunningAndReady(*pod)) {
      ++ready;
      available += IsAvailable(*pod, seconds(set.spec().min_ready_seconds()), now, nullptr);
    }
    if (IsGoing(*pod)) continue;
    of_current += RevisionOf(*pod) == current;
    of_update += RevisionOf(*pod) == update;
  }
  const int wanted = set.spec().replicas();
  if (set.spec().update_strategy().type() == "RollingUpdate" && of_update == wanted &&
      ready == wanted && replicas == wanted) {
    status.set_current_revision(update);
    of_current = of_update;
  }
  status.set_replicas(replicas);
  status.set_ready_replicas(ready);
  status.set_available_replicas(available);
  status.set_current_replicas(of_current);
  status.set_updated_replicas(of_update);
  return status;
}

core::Pod NewPod(const apps::StatefulSet& set, const core::PodTemplateSpec& pod_template,
                 const std::string& revision, int ordinal) {
  const std::string name = absl::StrCat(set.metadata().name(), "-", ordinal);
  core::Pod pod = PodFromTemplate(pod_template, set, name);
  SetIdentity(ordinal, pod);
  (*pod.mutable_metadata()->mutable_labels())[kRevisionLabel] = revision;
  pod.mutable_spec()->set_hostname(name);
  pod.mutable_spec()->set_subdomain(set.spec().service_name());
  UseClaims(set, ordinal, pod);
  return pod;
}

void SetIdentity(int ordinal, core::Pod& pod) {
  auto& labels = *pod.mutable_metadata()->mutable_labels();
  labels[kPodNameLabel] = pod.metadata().name();
  labels[kPodIndexLabel] = absl::StrCat(ordinal);
}

std::vector<core::PersistentVolumeClaim> ClaimsOf(const apps::StatefulSet& set, int ordinal) {
  std::vector<core::PersistentVolumeClaim> claims;
  for (const core::PersistentVolumeClaim& from : set.spec().volume_claim_templates()) {
    core::PersistentVolumeClaim claim = from;
    claim.clear_status();
    claim.mutable_metadata()->set_name(
        absl::StrCat(from.metadata().name(), "-", set.metadata().name(), "-", ordinal));
    claim.mutable_metadata()->set_namespace_(set.metadata().namespace_());
    for (const auto& [key, value] : set.spec().selector().match_labels()) {
      (*claim.mutable_metadata()->mutable_labels())[key] = value;
    }
    claims.push_back(std::move(claim));
  }
  return claims;
}

}  // namespace meltemi::controllers::statefulsets
