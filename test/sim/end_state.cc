// What must be when nothing has disturbed for a while.
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "kube/batch/v1/batch.pb.h"
#include "kube/core/v1/namespace.pb.h"
#include "kube/core/v1/node.pb.h"
#include "kube/core/v1/replication.pb.h"
#include "kube/core/v1/service.pb.h"
#include "kube/discovery/v1/discovery.pb.h"
#include "test/sim/invariant.h"
#include "test/sim/users.h"

namespace meltemi::sim {
namespace {

using kube::apps::v1::DaemonSet;
using kube::apps::v1::Deployment;
using kube::apps::v1::ReplicaSet;
using kube::apps::v1::StatefulSet;
using kube::batch::v1::Job;
using kube::core::v1::Pod;
using kube::core::v1::ReplicationController;
using kube::discovery::v1::EndpointSlice;

class OwnershipInvariant final : public Invariant {
 public:
  void AtEnd(const Truth& truth, Findings& findings) override {
    for (const auto& [resource, objects] : truth.all()) {
      for (const auto& [name, object] : objects) {
        const auto& meta = kube::MetaOf(*object);
        if (!name.ns.empty() && truth.Of("namespaces").count({"", name.ns}) == 0) {
          findings.Add(
              absl::StrCat(resource, " ", name.ToString(), " is left of a namespace that is gone"));
        }
        if (meta.has_deletion_timestamp()) {
          findings.Add(absl::StrCat(resource, " ", name.ToString(), " is deleted and never goes"));
        }
        bool owned = meta.owner_references().empty();
        for (const auto& owner : meta.owner_references()) owned |= truth.Exists(owner.uid());
        if (!owned) {
          findings.Add(absl::StrCat(resource, " ", name.ToString(), " is left without its owner ",
                                    meta.owner_references(0).kind(), " ",
                                    meta.owner_references(0).name()));
        }
      }
    }
  }
};

bool Impossible(const google::protobuf::Message& object) {
  return kube::MetaOf(object).labels().count(kImpossibleLabel) > 0;
}

class ConvergenceInvariant final : public Invariant {
 public:
  void AtEnd(const Truth& truth, Findings& findings) override {
    Each<Deployment>(truth, "deployments.apps", findings, &DeploymentLacks);
    Each<ReplicaSet>(truth, "replicasets.apps", findings, &ReplicasLack<ReplicaSet>);
    Each<ReplicationController>(truth, "replicationcontrollers", findings,
                                &ReplicasLack<ReplicationController>);
    Each<StatefulSet>(truth, "statefulsets.apps", findings, &StatefulSetLacks);
    Each<DaemonSet>(truth, "daemonsets.apps", findings, &DaemonSetLacks);
    Each<Job>(truth, "jobs.batch", findings, &JobLacks);
    Each<kube::core::v1::Node>(truth, "nodes", findings, &NodeLacks);
    Each<kube::core::v1::Service>(truth, "services", findings, &ServiceLacks);
  }

 private:
  template <typename T>
  static void Each(const Truth& truth, const std::string& resource, Findings& findings,
                   std::string (*lacks)(const Truth&, const T&)) {
    for (const auto& [name, message] : truth.Of(resource)) {
      const T& object = static_cast<const T&>(*message);
      if (Impossible(object)) continue;
      const std::string what = lacks(truth, object);
      if (!what.empty()) findings.Add(absl::StrCat(resource, " ", name.ToString(), ": ", what));
    }
  }

  template <typename T>
  static std::string Observed(const T& object) {
    const int64_t observed = object.status().observed_generation();
    if (observed == object.metadata().generation()) return "";
    return absl::StrCat("generation ", object.metadata().generation(), ", observed ", observed);
  }
  static std::string Differ(absl::string_view what, int is, int wanted) {
    return is == wanted ? "" : absl::StrCat(what, " ", is, " of ", wanted);
  }
  static std::string First(std::initializer_list<std::string> texts) {
    for (const std::string& text : texts) {
      if (!text.empty()) return text;
    }
    return "";
  }

  static std::string DeploymentLacks(const Truth& truth, const Deployment& deployment) {
    const int wanted = deployment.spec().replicas();
    const auto& status = deployment.status();
    return First({Observed(deployment), Differ("replicas", status.replicas(), wanted),
                  Differ("updated", status.updated_replicas(), wanted),
                  Differ("available", status.available_replicas(), wanted)});
  }

  template <typename T>
  static std::string ReplicasLack(const Truth& truth, const T& set) {
    int ready = 0, active = 0;
    for (const Pod* pod : truth.OwnedBy<Pod>("pods", set.metadata().uid())) {
      active += IsActive(*pod) ? 1 : 0;
      ready += IsActive(*pod) && IsReady(*pod) ? 1 : 0;
    }
    const int wanted = set.spec().replicas();
    return First({Observed(set), Differ("pods", active, wanted),
                  Differ("status.replicas", set.status().replicas(), wanted),
                  Differ("status.readyReplicas", set.status().ready_replicas(), ready),
                  Impossible(set) ? "" : Differ("ready", ready, wanted)});
  }

  static std::string StatefulSetLacks(const Truth& truth, const StatefulSet& set) {
    const int wanted = set.spec().replicas();
    const auto& status = set.status();
    return First({Observed(set), Differ("replicas", status.replicas(), wanted),
                  Differ("ready", status.ready_replicas(), wanted),
                  Differ("updated", status.updated_replicas(), wanted),
                  status.current_revision() == status.update_revision() ? "" : "two revisions"});
  }

  static std::string DaemonSetLacks(const Truth& truth, const DaemonSet& set) {
    const auto& status = set.status();
    const int wanted = status.desired_number_scheduled();
    return First({Observed(set),
                  Differ("nodes", wanted, static_cast<int>(truth.Of("nodes").size())),
                  Differ("scheduled", status.current_number_scheduled(), wanted),
                  Differ("ready", status.number_ready(), wanted),
                  Differ("updated", status.updated_number_scheduled(), wanted)});
  }

  static std::string JobLacks(const Truth& truth, const Job& job) {
    for (const auto& condition : job.status().conditions()) {
      const bool end = condition.type() == "Complete" || condition.type() == "Failed";
      if (end && condition.status() == "True") return Differ("active", job.status().active(), 0);
    }
    // A CronJob may have begun it a moment ago.
    return ControllerUid(job).empty() ? "never ends" : "";
  }

  static std::string NodeLacks(const Truth& truth, const kube::core::v1::Node& node) {
    for (const auto& condition : node.status().conditions()) {
      if (condition.type() != "Ready") continue;
      if (condition.status() != "True") return absl::StrCat("Ready is ", condition.status());
      return node.spec().taints().empty() ? "" : "is ready and has taints";
    }
    return "has no condition Ready";
  }

  static std::string ServiceLacks(const Truth& truth, const kube::core::v1::Service& service) {
    if (service.spec().selector().empty()) return "";
    std::set<std::string> wanted, told;
    for (const auto& [name, message] : truth.Of("pods")) {
      const Pod& pod = static_cast<const Pod&>(*message);
      bool selected = name.ns == service.metadata().namespace_();
      for (const auto& [key, value] : service.spec().selector()) {
        const auto found = pod.metadata().labels().find(key);
        selected = selected && found != pod.metadata().labels().end() && found->second == value;
      }
      if (selected && IsActive(pod) && IsReady(pod)) wanted.insert(pod.status().pod_ip());
    }
    for (const auto& [name, message] : truth.Of("endpointslices.discovery.k8s.io")) {
      const auto& slice = static_cast<const EndpointSlice&>(*message);
      const auto of = slice.metadata().labels().find("kubernetes.io/service-name");
      if (name.ns != service.metadata().namespace_() || of == slice.metadata().labels().end() ||
          of->second != service.metadata().name()) {
        continue;
      }
      for (const auto& endpoint : slice.endpoints()) {
        if (endpoint.conditions().ready()) told.insert(endpoint.addresses(0));
      }
    }
    if (wanted == told) return "";
    return absl::StrCat("slices have ", told.size(), " ready addresses, of ", wanted.size(),
                        " pods");
  }
};

}  // namespace

std::unique_ptr<Invariant> NewOwnershipInvariant() {
  return std::make_unique<OwnershipInvariant>();
}
std::unique_ptr<Invariant> NewConvergenceInvariant() {
  return std::make_unique<ConvergenceInvariant>();
}

std::vector<std::unique_ptr<Invariant>> AllInvariants() {
  std::vector<std::unique_ptr<Invariant>> all;
  for (std::unique_ptr<Invariant> (*make)() :
       {&NewReplicasInvariant, &NewRolloutInvariant, &NewOrderInvariant, &NewPlacementInvariant,
        &NewCompletionsInvariant, &NewForbidInvariant, &NewBudgetInvariant, &NewOwnershipInvariant,
        &NewConvergenceInvariant}) {
    all.push_back(make());
  }
  return all;
}

}  // namespace meltemi::sim
