#include "orchestrator/scheduler/watching/owners.h"

#include <string>

#include "kube/apps/v1/apps.pb.h"
#include "kube/core/v1/pod.pb.h"
#include "kube/core/v1/replication.pb.h"
#include "kube/core/v1/service.pb.h"
#include "orchestrator/scheduler/model/selectors.h"
#include "orchestrator/scheduler/watching/slim.h"

namespace meltemi::scheduler {
namespace {

namespace core = kube::core::v1;
namespace apps = kube::apps::v1;
using LabelMap = google::protobuf::Map<std::string, std::string>;

struct Listers {
  kube::Lister<core::Service> services;
  kube::Lister<core::ReplicationController> controllers;
  kube::Lister<apps::ReplicaSet> replica_sets;
  kube::Lister<apps::StatefulSet> stateful_sets;
};

bool Matches(const LabelMap& selector, const kube::StringPairs& labels) {
  if (selector.empty()) return false;
  for (const auto& [key, value] : selector) {
    const std::string* label = FindLabel(labels, key);
    if (label == nullptr || *label != value) return false;
  }
  return true;
}

void Merge(const LabelMap& labels, kube::meta::v1::LabelSelector& selector) {
  for (const auto& [key, value] : labels) (*selector.mutable_match_labels())[key] = value;
}

// As expressions: several selectors may want different values of one label.
void Add(const kube::meta::v1::LabelSelector& more, kube::meta::v1::LabelSelector& selector) {
  for (const auto& [key, value] : more.match_labels()) {
    kube::meta::v1::LabelSelectorRequirement& added = *selector.add_match_expressions();
    added.set_key(key);
    added.set_operator_("In");
    added.add_values(value);
  }
  selector.mutable_match_expressions()->MergeFrom(more.match_expressions());
}

void AddOwner(const Listers& listers, const PodInfo& pod, kube::meta::v1::LabelSelector& selector) {
  for (const kube::meta::v1::OwnerReference& owner : pod.pod->metadata().owner_references()) {
    if (!owner.controller()) continue;
    const std::string& ns = pod.key.ns;
    if (owner.kind() == "ReplicationController" && owner.api_version() == "v1") {
      const auto found = listers.controllers.Get(ns, owner.name());
      if (found != nullptr) Merge(found->spec().selector(), selector);
    } else if (owner.kind() == "ReplicaSet" && owner.api_version() == "apps/v1") {
      const auto found = listers.replica_sets.Get(ns, owner.name());
      if (found != nullptr) Add(found->spec().selector(), selector);
    } else if (owner.kind() == "StatefulSet" && owner.api_version() == "apps/v1") {
      const auto found = listers.stateful_sets.Get(ns, owner.name());
      if (found != nullptr) Add(found->spec().selector(), selector);
    }
    return;
  }
}

template <typename T>
kube::Lister<T> SlimLister(kube::Informers& informers, void (*slim)(google::protobuf::Message&)) {
  kube::Informer& informer = informers.Of<T>();
  informer.SetTransform(slim);
  return kube::Lister<T>(informer);
}

}  // namespace

SelectorsOf SelectorsOfOwners(kube::Informers& informers) {
  const Listers listers = {
      SlimLister<core::Service>(informers, &SlimService),
      SlimLister<core::ReplicationController>(informers, &SlimReplicationController),
      SlimLister<apps::ReplicaSet>(informers, &SlimReplicaSet),
      SlimLister<apps::StatefulSet>(informers, &SlimStatefulSet)};
  return [listers](const PodInfo& pod) {
    kube::meta::v1::LabelSelector selector;
    if (!pod.labels.empty() && listers.services.informer().size() > 0) {
      for (const auto& service : listers.services.List(pod.key.ns)) {
        if (Matches(service->spec().selector(), pod.labels)) {
          Merge(service->spec().selector(), selector);
        }
      }
    }
    AddOwner(listers, pod, selector);
    return SelectorOf(selector);
  };
}

}  // namespace meltemi::scheduler
