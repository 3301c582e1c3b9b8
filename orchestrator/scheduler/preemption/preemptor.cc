#include "orchestrator/scheduler/preemption/preemptor.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log/log.h"
#include "kube/client/typed.h"
#include "kube/core/v1/pod.pb.h"
#include "orchestrator/scheduler/report/pod_status.h"

namespace meltemi::scheduler {
namespace {

using kube::core::v1::Pod;

constexpr int kLanes = 16;

}  // namespace

Preemptor::Preemptor(kube::Client& client, kube::EventRecorder& recorder, Gate& gate)
    : client_(client), recorder_(recorder), gate_(gate), lanes_(gate, kLanes) {}

void Preemptor::Preempt(PodInfoPtr pod, std::vector<PodInfoPtr> victims, std::string node,
                        std::function<void(bool ok)> done) {
  lanes_.Add([this, pod = std::move(pod), victims = std::move(victims), node = std::move(node),
              done = std::move(done)] {
    // After a failure the others would go for nothing; the next attempt of the pod decides anew.
    done(std::all_of(victims.begin(), victims.end(),
                     [&](const PodInfoPtr& victim) { return Evict(*pod, *victim, node); }));
  });
}

bool Preemptor::Evict(const PodInfo& pod, const PodInfo& victim, const std::string& node) {
  const Condition condition{"DisruptionTarget", "True", "PreemptionByScheduler",
                            absl::StrCat(pod.pod->spec().scheduler_name(),
                                         ": preempting to accommodate a higher priority pod")};
  if (!Has(*victim.pod, condition)) {
    const kube::Outcome marked = PatchStatus(
        client_, victim,
        StatusPatch(*victim.pod, condition, std::nullopt, gate_.executor().clock().WallNow()));
    if (!marked.ok() && !kube::IsNotFound(marked.status()) && !kube::IsConflict(marked.status())) {
      LOG(kWarn, "scheduler", "pod ", victim.key.ToString(),
          " can't be marked as preempted: ", marked.status().message);
      return false;
    }
    if (!marked.ok()) return true;  // it is gone, or another one by now
  }
  kube::DeleteOptions options;
  options.uid = victim.uid;
  const kube::Outcome deleted = kube::Delete<Pod>(client_, victim.key.ns, victim.key.name, options);
  if (!deleted.ok()) {
    if (kube::IsNotFound(deleted.status()) || kube::IsConflict(deleted.status())) return true;
    LOG(kWarn, "scheduler", "pod ", victim.key.ToString(),
        " can't be deleted for preemption: ", deleted.status().message);
    return false;
  }
  recorder_.Record(*victim.pod, kube::kNormal, "Preempted",
                   absl::StrCat("Preempted by pod ", pod.uid, " on node ", node));
  return true;
}

}  // namespace meltemi::scheduler
