#include "orchestrator/controllers/endpoints/slice_writes.h"

#include <utility>

#include "kube/client/typed.h"

namespace meltemi::controllers {
namespace {

using kube::discovery::v1::EndpointSlice;

kube::Outcome Write(kube::Client& client, Expectations& expectations,
                    const kube::NamespacedName& key, EndpointSlice slice, bool create,
                    const std::optional<std::string>& trigger_time) {
  auto& annotations = *slice.mutable_metadata()->mutable_annotations();
  if (trigger_time.has_value()) {
    annotations[kTriggerTimeAnnotation] = *trigger_time;
  } else {
    annotations.erase(kTriggerTimeAnnotation);
  }
  const kube::Result<EndpointSlice> written =
      create ? kube::Create(client, slice) : kube::Update(client, slice);
  if (!written.ok()) return written.status();
  expectations.ExpectRevision(key, written->metadata().resource_version());
  return kube::Done{};
}

}  // namespace

kube::Outcome WriteSlices(kube::Client& client, Expectations& expectations,
                          const kube::NamespacedName& key, const SlicePlan& plan,
                          const std::optional<std::string>& trigger_time) {
  kube::Outcome done = kube::Done{};
  for (const EndpointSlice& slice : plan.create) {
    if (done.ok()) done = Write(client, expectations, key, slice, true, trigger_time);
  }
  for (const EndpointSlice& slice : plan.update) {
    if (done.ok()) done = Write(client, expectations, key, slice, false, trigger_time);
  }
  for (const SlicePtr& slice : plan.remove) {
    if (!done.ok()) break;
    kube::DeleteOptions options;
    options.uid = slice->metadata().uid();
    expectations.ExpectGone(key, *slice);
    kube::Outcome deleted =
        kube::Delete<EndpointSlice>(client, key.ns, slice->metadata().name(), options);
    if (deleted.ok()) continue;
    expectations.Forget(key, *slice);
    if (!kube::IsNotFound(deleted.status()) && !kube::IsConflict(deleted.status())) {
      done = std::move(deleted);
    }
  }
  if (!done.ok() && kube::IsNamespaceTerminating(done.status())) return kube::Done{};
  return done;
}

}  // namespace meltemi::controllers
