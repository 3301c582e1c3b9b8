#include "test/sim/truth.h"

#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/strip.h"
#include "base/log/log.h"
#include "kube/autoscaling/v1/autoscaling.pb.h"
#include "kube/batch/v1/batch.pb.h"
#include "kube/codec/codec.h"
#include "kube/coordination/v1/coordination.pb.h"
#include "kube/core/v1/namespace.pb.h"
#include "kube/core/v1/node.pb.h"
#include "kube/core/v1/replication.pb.h"
#include "kube/core/v1/service.pb.h"
#include "kube/discovery/v1/discovery.pb.h"
#include "kube/policy/v1/policy.pb.h"

namespace meltemi::sim {
namespace {

using google::protobuf::Message;

// Of other resources the metadata alone is of interest: evictions have nothing else that could
// clash.
const Message& PrototypeOf(const std::string& resource) {
  static const std::map<std::string, const Message*>& known =
      *new std::map<std::string, const Message*>{
          {"pods", &kube::core::v1::Pod::default_instance()},
          {"nodes", &kube::core::v1::Node::default_instance()},
          {"namespaces", &kube::core::v1::Namespace::default_instance()},
          {"services", &kube::core::v1::Service::default_instance()},
          {"replicationcontrollers", &kube::core::v1::ReplicationController::default_instance()},
          {"deployments.apps", &kube::apps::v1::Deployment::default_instance()},
          {"replicasets.apps", &kube::apps::v1::ReplicaSet::default_instance()},
          {"statefulsets.apps", &kube::apps::v1::StatefulSet::default_instance()},
          {"daemonsets.apps", &kube::apps::v1::DaemonSet::default_instance()},
          {"jobs.batch", &kube::batch::v1::Job::default_instance()},
          {"cronjobs.batch", &kube::batch::v1::CronJob::default_instance()},
          {"endpointslices.discovery.k8s.io",
           &kube::discovery::v1::EndpointSlice::default_instance()},
          {"leases.coordination.k8s.io", &kube::coordination::v1::Lease::default_instance()},
          {"poddisruptionbudgets.policy",
           &kube::policy::v1::PodDisruptionBudget::default_instance()},
      };
  const auto found = known.find(resource);
  return found == known.end() ? kube::policy::v1::Eviction::default_instance() : *found->second;
}

}  // namespace

absl::string_view Change::by() const {
  return absl::StripPrefix(entry.user, "system:serviceaccount:kube-system:");
}

bool Change::deletion_begins() const {
  if (before == nullptr || IsTerminating(*before)) return false;
  return after == nullptr || IsTerminating(*after);
}

Change Truth::Apply(const apiserver::HistoryEntry& entry) {
  const kube::NamespacedName name{entry.ns, entry.name};
  MessagePtr& held = objects_[entry.resource][name];
  Change change{.entry = entry, .before = held, .after = nullptr};
  if (held != nullptr) {
    owned_[ControllerUid(*held)].erase({entry.resource, name});
  }
  if (entry.type == "DELETED") {
    uids_.erase(kube::MetaOf(*held).uid());
    objects_[entry.resource].erase(name);
    return change;
  }
  std::shared_ptr<Message> now(PrototypeOf(entry.resource).New());
  const absl::Status decoded = kube::FromJson(entry.json, now.get());
  CHECK(decoded.ok());
  held = std::move(now);
  uids_.insert(kube::MetaOf(*held).uid());
  const std::string owner = ControllerUid(*held);
  if (!owner.empty()) owned_[owner].insert({entry.resource, name});
  change.after = held;
  return change;
}

const Truth::Objects& Truth::Of(const std::string& resource) const {
  static const Objects& none = *new Objects;
  const auto found = objects_.find(resource);
  return found == objects_.end() ? none : found->second;
}

std::string ControllerUid(const Message& object) {
  for (const auto& owner : kube::MetaOf(object).owner_references()) {
    if (owner.controller()) return owner.uid();
  }
  return "";
}

bool IsReady(const kube::core::v1::Pod& pod) {
  for (const auto& condition : pod.status().conditions()) {
    if (condition.type() == "Ready") return condition.status() == "True";
  }
  return false;
}

bool IsFinished(const kube::core::v1::Pod& pod) {
  return pod.status().phase() == "Succeeded" || pod.status().phase() == "Failed";
}

bool IsTerminating(const Message& object) { return kube::MetaOf(object).has_deletion_timestamp(); }

bool IsActive(const kube::core::v1::Pod& pod) { return !IsFinished(pod) && !IsTerminating(pod); }

int Scaled(const kube::intstr::IntOrString& value, int total, bool round_up) {
  absl::string_view text = value.str_val();
  int percent = 0;
  if (!absl::ConsumeSuffix(&text, "%") || !absl::SimpleAtoi(text, &percent)) {
    return value.int_val();
  }
  return (percent * total + (round_up ? 99 : 0)) / 100;
}

}  // namespace meltemi::sim
