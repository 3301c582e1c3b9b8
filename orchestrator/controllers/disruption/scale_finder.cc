#include "orchestrator/controllers/disruption/scale_finder.h"

#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "kube/autoscaling/v1/autoscaling.pb.h"
#include "kube/codec/codec.h"
#include "orchestrator/controllers/runtime/owners.h"

namespace meltemi::controllers {
namespace {

using kube::apps::v1::Deployment;
using kube::apps::v1::ReplicaSet;
using kube::apps::v1::StatefulSet;
using kube::core::v1::ReplicationController;

constexpr Duration kDiscoveryLife = seconds(30);

bool IsOf(const kube::meta::v1::OwnerReference& reference, absl::string_view kind,
          absl::string_view group) {
  const std::pair<absl::string_view, absl::string_view> parts =
      absl::StrSplit(reference.api_version(), absl::MaxSplits('/', 1));
  const absl::string_view own = parts.second.empty() ? absl::string_view() : parts.first;
  return reference.kind() == kind && own == group;
}

kube::Status Failure(std::string message) {
  kube::Status status;
  status.message = std::move(message);
  return status;
}

}  // namespace

ScaleFinder::ScaleFinder(Context& context)
    : client_(context.client),
      clock_(context.executor.clock()),
      deployments_(context.informers.ListerOf<Deployment>()),
      sets_(context.informers.ListerOf<ReplicaSet>()),
      stateful_sets_(context.informers.ListerOf<StatefulSet>()),
      replication_controllers_(context.informers.ListerOf<ReplicationController>()) {}

kube::Result<ScaleFinder::Found> ScaleFinder::ScaleOf(const std::vector<PodPtr>& pods) {
  Found found;
  std::map<std::string, int64_t> scales;  // of owners, by their uids
  std::map<std::string, bool> looked_at;  // controllers of pods, by theirs
  for (const PodPtr& pod : pods) {
    const Reference* const reference = ControllerOf(*pod);
    if (reference == nullptr) {
      ++found.unmanaged;
      continue;
    }
    if (!looked_at.emplace(reference->uid(), true).second) continue;
    const std::string& ns = pod->metadata().namespace_();
    std::optional<Owner> owner = Known(*reference, ns);
    if (!owner.has_value()) {
      kube::Result<std::optional<Owner>> asked = Asked(*reference, ns);
      if (!asked.ok()) return asked.status();
      owner = *std::move(asked);
    }
    if (!owner.has_value()) {
      return Failure(absl::StrCat("found no controllers for pod \"", pod->metadata().name(), "\""));
    }
    scales[owner->uid] = owner->replicas;
  }
  for (const auto& [uid, scale] : scales) found.scale += scale;
  return found;
}

std::optional<ScaleFinder::Owner> ScaleFinder::Known(const Reference& reference,
                                                     const std::string& ns) const {
  if (IsOf(reference, "ReplicationController", "")) {
    const auto owner = replication_controllers_.Get(ns, reference.name());
    if (owner == nullptr || owner->metadata().uid() != reference.uid()) return std::nullopt;
    return Owner{reference.uid(), owner->spec().replicas()};
  }
  if (IsOf(reference, "StatefulSet", "apps")) {
    const auto owner = stateful_sets_.Get(ns, reference.name());
    if (owner == nullptr || owner->metadata().uid() != reference.uid()) return std::nullopt;
    return Owner{reference.uid(), owner->spec().replicas()};
  }
  if (!IsOf(reference, "ReplicaSet", "apps")) return std::nullopt;
  const auto set = sets_.Get(ns, reference.name());
  if (set == nullptr || set->metadata().uid() != reference.uid()) return std::nullopt;
  const Reference* const above = ControllerOf(*set);
  if (above == nullptr || above->kind() != "Deployment") {
    return Owner{reference.uid(), set->spec().replicas()};
  }
  if (!IsOf(*above, "Deployment", "apps")) return std::nullopt;
  const auto deployment = deployments_.Get(ns, above->name());
  if (deployment == nullptr || deployment->metadata().uid() != above->uid()) return std::nullopt;
  return Owner{above->uid(), deployment->spec().replicas()};
}

kube::Result<std::optional<ScaleFinder::Owner>> ScaleFinder::Asked(const Reference& reference,
                                                                   const std::string& ns) {
  const kube::Result<kube::ServedResource> served = ResourceOf(reference);
  if (!served.ok()) return served.status();
  const kube::ApiResource& resource = served->resource;
  if (!served->Has("scale")) {
    return Failure(absl::StrCat(resource.group_resource().ToString(),
                                " does not implement the scale subresource"));
  }
  kube::ApiCall call;
  call.path = resource.Path(ns, reference.name(), "scale");
  const kube::Result<kube::ApiAnswer> answer = client_.Call(call);
  if (!answer.ok()) {
    if (kube::IsNotFound(answer.status())) return std::optional<Owner>();
    return answer.status();
  }
  kube::autoscaling::v1::Scale scale;
  const absl::Status decoded = kube::FromJson(answer->body, &scale);
  if (!decoded.ok()) return Failure(std::string(decoded.message()));
  if (scale.metadata().uid() != reference.uid()) return std::optional<Owner>();
  return std::optional<Owner>(Owner{reference.uid(), scale.spec().replicas()});
}

kube::Result<kube::ServedResource> ScaleFinder::ResourceOf(const Reference& reference) {
  std::shared_ptr<const kube::ServedResources> served;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (served_ != nullptr && clock_.Now() - served_at_ < kDiscoveryLife) served = served_;
  }
  if (served == nullptr) {
    kube::Result<kube::ServedResources> found = kube::Discover(client_);
    if (!found.ok()) return found.status();
    served = std::make_shared<const kube::ServedResources>(*std::move(found));
    const std::lock_guard<std::mutex> lock(mutex_);
    served_ = served;
    served_at_ = clock_.Now();
  }
  const kube::ServedResource* const resource =
      served->FindKind(reference.api_version(), reference.kind());
  if (resource == nullptr) {
    return Failure(absl::StrCat("no matches for kind \"", reference.kind(), "\" in version \"",
                                reference.api_version(), "\""));
  }
  return *resource;
}

}  // namespace meltemi::controllers
