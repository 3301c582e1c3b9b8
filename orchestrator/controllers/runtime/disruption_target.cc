#include "orchestrator/controllers/runtime/disruption_target.h"

#include <string>

#include "kube/client/typed.h"
#include "orchestrator/controllers/runtime/pods.h"

namespace meltemi::controllers {
namespace {

using kube::core::v1::Pod;
using kube::core::v1::PodCondition;

constexpr char kDisruptionTarget[] = "DisruptionTarget";

bool SetTarget(const Disruption& disruption, WallTime now, Pod& pod) {
  if (disruption.reason.empty()) return false;
  PodCondition* condition = nullptr;
  for (PodCondition& each : *pod.mutable_status()->mutable_conditions()) {
    if (each.type() == kDisruptionTarget) condition = &each;
  }
  const bool was_true = condition != nullptr && condition->status() == "True";
  if (was_true && condition->reason() == disruption.reason &&
      condition->message() == disruption.message) {
    return false;
  }
  if (condition == nullptr) condition = pod.mutable_status()->add_conditions();
  condition->set_type(kDisruptionTarget);
  condition->set_status("True");
  condition->set_reason(std::string(disruption.reason));
  condition->set_message(std::string(disruption.message));
  if (!was_true) *condition->mutable_last_transition_time() = FromWall(now);
  return true;
}

}  // namespace

kube::Result<Pod> MarkDisruption(kube::Client& client, const Pod& pod, const Disruption& disruption,
                                 WallTime now) {
  const auto change = [&](Pod& current) {
    if (current.metadata().uid() != pod.metadata().uid()) return false;
    if (disruption.still && !disruption.still(current)) return false;
    const bool fails = disruption.fails && !IsFinished(current);
    if (fails) current.mutable_status()->set_phase("Failed");
    return SetTarget(disruption, now, current) || fails;
  };
  return kube::Modify<Pod>(client, pod.metadata().namespace_(), pod.metadata().name(), change,
                           true);
}

}  // namespace meltemi::controllers
