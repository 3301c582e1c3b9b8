#include "orchestrator/scheduler/binding/binder.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/json/write.h"
#include "kube/client/resource.h"
#include "kube/client/typed.h"
#include "kube/core/v1/pod.pb.h"

namespace meltemi::scheduler {
namespace {

using kube::core::v1::Pod;

constexpr Duration kRetryMin = seconds(1);
constexpr Duration kRetryMax = seconds(10);

kube::ApiCall BindingCall(const PodInfo& pod, const std::string& node) {
  kube::ApiCall call;
  call.method = "POST";
  call.path = kube::ResourceOf<Pod>().Path(pod.key.ns, pod.key.name, "binding");
  json::Writer writer(&call.body);
  writer.BeginObject().Key("apiVersion").String("v1").Key("kind").String("Binding");
  writer.Key("metadata").BeginObject().Key("name").String(pod.key.name);
  writer.Key("namespace").String(pod.key.ns).Key("uid").String(pod.uid).EndObject();
  writer.Key("target").BeginObject().Key("kind").String("Node").Key("name").String(node);
  writer.EndObject().EndObject();
  return call;
}

}  // namespace

Binder::Binder(kube::Client& client, Gate& gate, int in_flight_max, Callbacks callbacks)
    : client_(client), gate_(gate), callbacks_(std::move(callbacks)), lanes_(gate, in_flight_max) {}

void Binder::Add(Binding binding) {
  lanes_.Add([this, kept = std::make_shared<const Binding>(std::move(binding))] { Bind(kept); });
}

void Binder::Bind(const std::shared_ptr<const Binding>& binding) {
  const kube::Result<kube::ApiAnswer> answer =
      client_.Call(BindingCall(*binding->pod, binding->node));
  if (answer.ok()) {
    callbacks_.on_end(*binding, BindingEnd::kBound, "");
    return;
  }
  LookAfter(binding, answer.status().message, kRetryMin);
}

// A refusal may be the second answer to what has worked at first, and a lost answer says nothing:
// only the pod itself tells.
void Binder::LookAfter(const std::shared_ptr<const Binding>& binding, const std::string& why,
                       Duration retry) {
  const PodInfo& wanted = *binding->pod;
  const kube::Result<Pod> pod = kube::Get<Pod>(client_, wanted.key.ns, wanted.key.name);
  BindingEnd end = BindingEnd::kFailed;
  if (!pod.ok() && !kube::IsNotFound(pod.status())) {
    if (!callbacks_.is_wanted(wanted)) {
      callbacks_.on_end(*binding, BindingEnd::kForgotten, "");
      return;
    }
    gate_.Later(retry, [this, binding, why, retry] {
      lanes_.Add([this, binding, why, retry] {
        LookAfter(binding, why, std::min<Duration>(2 * retry, kRetryMax));
      });
    });
    return;
  }
  if (!pod.ok() || pod->metadata().uid() != wanted.uid) {
    end = BindingEnd::kGone;
  } else if (!pod->spec().node_name().empty()) {
    end = pod->spec().node_name() == binding->node ? BindingEnd::kBound : BindingEnd::kGone;
  }
  callbacks_.on_end(*binding, end, why);
}

}  // namespace meltemi::scheduler
