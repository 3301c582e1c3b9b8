#include "orchestrator/controllers/runtime/disruption_target.h"

#include <string>

#include "base/json/write.h"
#include "kube/client/typed.h"
#include "kube/object/object.h"
#include "orchestrator/controllers/runtime/pods.h"

namespace meltemi::controllers {
namespace {

using kube::core::v1::Pod;
using kube::core::v1::PodCondition;

constexpr char kDisruptionTarget[] = "DisruptionTarget";

bool IsTarget(const PodCondition* condition, const Disruption& disruption) {
  return condition != nullptr && condition->status() == "True" &&
         condition->reason() == disruption.reason && condition->message() == disruption.message;
}

}  // namespace

kube::Result<Pod> MarkDisruption(kube::Client& client, const Pod& seen,
                                 const Disruption& disruption, WallTime now) {
  const PodCondition* const condition = FindCondition(seen, kDisruptionTarget);
  const bool fails = disruption.fails && !IsFinished(seen);
  const bool marks = !disruption.reason.empty() && !IsTarget(condition, disruption);
  if (!fails && !marks) return seen;
  std::string patch;
  json::Writer out(&patch);
  out.BeginObject().Key("metadata").BeginObject();
  out.Key("uid").String(seen.metadata().uid());
  out.Key("resourceVersion").String(seen.metadata().resource_version()).EndObject();
  out.Key("status").BeginObject();
  if (fails) out.Key("phase").String("Failed");
  if (marks) {
    out.Key("conditions").BeginArray().BeginObject().Key("type").String(kDisruptionTarget);
    out.Key("status").String("True").Key("reason").String(disruption.reason);
    out.Key("message").String(disruption.message);
    if (condition == nullptr || condition->status() != "True") {
      out.Key("lastTransitionTime").String(kube::FormatTime(FromWall(now).seconds()));
    }
    out.EndObject().EndArray();
  }
  out.EndObject().EndObject();
  return kube::Patch<Pod>(client, seen.metadata().namespace_(), seen.metadata().name(),
                          kube::PatchType::kStrategicMerge, patch, "status");
}

}  // namespace meltemi::controllers
