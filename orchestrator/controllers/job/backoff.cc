#include "orchestrator/controllers/job/backoff.h"

#include <algorithm>
#include <set>

namespace meltemi::controllers::jobs {
namespace {

namespace core = kube::core::v1;
using Statuses = google::protobuf::RepeatedPtrField<core::ContainerStatus>;

// Takes the last end of them into `latest`; false when one of them has not ended.
bool LatestEnd(const Statuses& statuses, const std::set<std::string>* only,
               std::optional<WallTime>& latest) {
  for (const core::ContainerStatus& status : statuses) {
    if (only != nullptr && only->count(status.name()) == 0) continue;
    if (!status.state().terminated().has_finished_at()) return false;
    const WallTime end = ToWall(status.state().terminated().finished_at());
    latest = latest.has_value() ? std::max(*latest, end) : end;
  }
  return true;
}

std::optional<WallTime> EndOfContainers(const core::Pod& pod) {
  std::optional<WallTime> latest;
  if (!LatestEnd(pod.status().container_statuses(), nullptr, latest)) return std::nullopt;
  std::set<std::string> sidecars;
  for (const core::Container& container : pod.spec().init_containers()) {
    if (container.restart_policy() == "Always") sidecars.insert(container.name());
  }
  if (!LatestEnd(pod.status().init_container_statuses(), &sidecars, latest)) return std::nullopt;
  return latest;
}

}  // namespace

WallTime FinishTime(const core::Pod& pod) {
  if (const std::optional<WallTime> end = EndOfContainers(pod); end.has_value()) return *end;
  const core::PodCondition* ready = FindCondition(pod, "Ready");
  if (ready != nullptr && ready->status() == "False" && ready->has_last_transition_time()) {
    return ToWall(ready->last_transition_time());
  }
  if (pod.metadata().has_deletion_timestamp()) {
    return ToWall(pod.metadata().deletion_timestamp()) -
           seconds(pod.metadata().deletion_grace_period_seconds());
  }
  return ToWall(pod.metadata().creation_timestamp());
}

void FailureRun::Add(const std::vector<PodPtr>& succeeded, const std::vector<PodPtr>& failed) {
  std::optional<WallTime> success;
  for (const PodPtr& pod : succeeded) {
    const WallTime end = FinishTime(*pod);
    success = success.has_value() ? std::max(*success, end) : end;
  }
  if (success.has_value()) failures = 0;
  for (const PodPtr& pod : failed) {
    const WallTime end = FinishTime(*pod);
    if (success.has_value() && end <= *success) continue;
    last = failures == 0 ? end : std::max(last, end);
    ++failures;
  }
}

Duration FailureRun::Remaining(WallTime now) const {
  if (failures == 0) return Duration::zero();
  Duration wait = kBackoffMin;
  for (int i = 1; i < failures && wait < kBackoffMax; ++i) wait *= 2;
  wait = std::min(wait, kBackoffMax);
  const Duration elapsed = now - last;
  // A clock that has jumped back, or a node's that is far ahead, is not waited for.
  if (elapsed >= wait || elapsed < -kBackoffMax) return Duration::zero();
  return wait - std::max(elapsed, Duration::zero());
}

}  // namespace meltemi::controllers::jobs
