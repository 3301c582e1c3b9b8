#include "orchestrator/scheduler/report/pod_status.h"

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/json/write.h"
#include "kube/client/resource.h"
#include "kube/client/typed.h"

namespace meltemi::scheduler {
namespace {

using kube::core::v1::Pod;

std::string TimeText(WallTime time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ",
                          absl::FromUnixNanos(time.time_since_epoch().count()),
                          absl::UTCTimeZone());
}

}  // namespace

const kube::core::v1::PodCondition* FindCondition(const Pod& pod, absl::string_view type) {
  for (const kube::core::v1::PodCondition& condition : pod.status().conditions()) {
    if (condition.type() == type) return &condition;
  }
  return nullptr;
}

bool Has(const Pod& pod, const Condition& condition) {
  const kube::core::v1::PodCondition* found = FindCondition(pod, condition.type);
  return found != nullptr && found->status() == condition.status &&
         found->reason() == condition.reason && found->message() == condition.message;
}

std::string StatusPatch(const Pod& pod, const std::optional<Condition>& condition,
                        const std::optional<std::string>& nominated, WallTime now) {
  std::string patch;
  json::Writer writer(&patch);
  writer.BeginObject().Key("metadata").BeginObject();
  writer.Key("uid").String(pod.metadata().uid()).EndObject();
  writer.Key("status").BeginObject();
  if (condition.has_value()) {
    writer.Key("conditions").BeginArray().BeginObject();
    writer.Key("type").String(condition->type).Key("status").String(condition->status);
    writer.Key("reason").String(condition->reason).Key("message").String(condition->message);
    const kube::core::v1::PodCondition* known = FindCondition(pod, condition->type);
    writer.Key("lastProbeTime").Null();
    if (known == nullptr || known->status() != condition->status) {
      writer.Key("lastTransitionTime").String(TimeText(now));
    }
    writer.EndObject().EndArray();
  }
  if (nominated.has_value()) {
    writer.Key("nominatedNodeName");
    if (nominated->empty()) {
      writer.Null();
    } else {
      writer.String(*nominated);
    }
  }
  writer.EndObject().EndObject();
  return patch;
}

kube::Outcome PatchStatus(kube::Client& client, const PodInfo& pod, absl::string_view patch) {
  kube::ApiCall call;
  call.method = "PATCH";
  call.path = kube::ResourceOf<Pod>().Path(pod.key.ns, pod.key.name, "status");
  call.content_type = "application/strategic-merge-patch+json";
  call.body = std::string(patch);
  const kube::Result<kube::ApiAnswer> answer = client.Call(call);
  if (!answer.ok()) return answer.status();
  return kube::Done{};
}

}  // namespace meltemi::scheduler
