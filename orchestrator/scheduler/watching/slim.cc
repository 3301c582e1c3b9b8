#include "orchestrator/scheduler/watching/slim.h"

#include <utility>

#include "kube/apps/v1/apps.pb.h"
#include "kube/core/v1/namespace.pb.h"
#include "kube/core/v1/node.pb.h"
#include "kube/core/v1/pod.pb.h"
#include "kube/core/v1/replication.pb.h"
#include "kube/core/v1/service.pb.h"

namespace meltemi::scheduler {
namespace {

namespace core = kube::core::v1;
using kube::meta::v1::ObjectMeta;

// New messages are filled and swapped in, since a field that is cleared keeps its memory.

void Keep(ObjectMeta& from, ObjectMeta& to) {
  to.set_name(std::move(*from.mutable_name()));
  to.set_namespace_(std::move(*from.mutable_namespace_()));
  to.set_uid(std::move(*from.mutable_uid()));
  to.set_resource_version(std::move(*from.mutable_resource_version()));
  to.mutable_labels()->swap(*from.mutable_labels());
  to.mutable_owner_references()->Swap(from.mutable_owner_references());
  if (from.has_creation_timestamp()) *to.mutable_creation_timestamp() = from.creation_timestamp();
  if (from.has_deletion_timestamp()) *to.mutable_deletion_timestamp() = from.deletion_timestamp();
}

void Keep(core::Container& from, core::Container& to) {
  to.set_name(std::move(*from.mutable_name()));
  to.set_image(std::move(*from.mutable_image()));
  if (from.has_restart_policy()) to.set_restart_policy(from.restart_policy());
  if (from.has_resources()) {
    to.mutable_resources()->mutable_requests()->swap(*from.mutable_resources()->mutable_requests());
  }
  for (core::ContainerPort& port : *from.mutable_ports()) {
    if (port.host_port() > 0) to.add_ports()->Swap(&port);
  }
}

// Of volumes those that are claims, and of these whose.
void KeepClaim(core::Volume& from, core::PodSpec& to) {
  core::VolumeSource& source = *from.mutable_volume_source();
  if (!source.has_persistent_volume_claim() && !source.has_ephemeral()) return;
  core::Volume& volume = *to.add_volumes();
  volume.set_name(std::move(*from.mutable_name()));
  if (source.has_ephemeral()) {
    volume.mutable_volume_source()->mutable_ephemeral();
  } else {
    volume.mutable_volume_source()->mutable_persistent_volume_claim()->Swap(
        source.mutable_persistent_volume_claim());
  }
}

void Keep(core::PodSpec& from, core::PodSpec& to) {
  for (core::Container& one : *from.mutable_init_containers()) Keep(one, *to.add_init_containers());
  for (core::Container& one : *from.mutable_containers()) Keep(one, *to.add_containers());
  to.mutable_node_selector()->swap(*from.mutable_node_selector());
  to.set_node_name(std::move(*from.mutable_node_name()));
  if (from.has_affinity()) to.mutable_affinity()->Swap(from.mutable_affinity());
  to.set_scheduler_name(std::move(*from.mutable_scheduler_name()));
  to.mutable_tolerations()->Swap(from.mutable_tolerations());
  if (from.has_priority()) to.set_priority(from.priority());
  if (from.has_preemption_policy()) to.set_preemption_policy(from.preemption_policy());
  to.mutable_overhead()->swap(*from.mutable_overhead());
  to.mutable_topology_spread_constraints()->Swap(from.mutable_topology_spread_constraints());
  to.mutable_scheduling_gates()->Swap(from.mutable_scheduling_gates());
  for (core::Volume& volume : *from.mutable_volumes()) KeepClaim(volume, to);
}

void Keep(core::PodStatus& from, core::PodStatus& to) {
  to.set_phase(std::move(*from.mutable_phase()));
  to.set_nominated_node_name(std::move(*from.mutable_nominated_node_name()));
  if (from.has_start_time()) *to.mutable_start_time() = from.start_time();
  for (core::PodCondition& condition : *from.mutable_conditions()) {
    // A pod that has been placed needs no more to be told that it was.
    const bool waits = condition.type() == "PodScheduled" && condition.status() != "True";
    if (waits || condition.type() == "DisruptionTarget") to.add_conditions()->Swap(&condition);
  }
}

}  // namespace

std::shared_ptr<const core::Pod> PlacedPod(const core::Pod& pod) {
  auto placed = std::make_shared<core::Pod>();
  ObjectMeta& meta = *placed->mutable_metadata();
  meta.set_name(pod.metadata().name());
  meta.set_namespace_(pod.metadata().namespace_());
  meta.set_uid(pod.metadata().uid());
  meta.set_resource_version(pod.metadata().resource_version());
  if (pod.metadata().has_deletion_timestamp()) {
    *meta.mutable_deletion_timestamp() = pod.metadata().deletion_timestamp();
  }
  placed->mutable_spec()->set_node_name(pod.spec().node_name());
  if (pod.status().has_start_time()) {
    *placed->mutable_status()->mutable_start_time() = pod.status().start_time();
  }
  for (const core::PodCondition& condition : pod.status().conditions()) {
    if (condition.type() == "DisruptionTarget")
      *placed->mutable_status()->add_conditions() = condition;
  }
  return placed;
}

void SlimPod(google::protobuf::Message& message) {
  auto& pod = static_cast<core::Pod&>(message);
  core::Pod slim;
  Keep(*pod.mutable_metadata(), *slim.mutable_metadata());
  Keep(*pod.mutable_spec(), *slim.mutable_spec());
  Keep(*pod.mutable_status(), *slim.mutable_status());
  pod.Swap(&slim);
}

void SlimNode(google::protobuf::Message& message) {
  auto& node = static_cast<core::Node&>(message);
  core::Node slim;
  Keep(*node.mutable_metadata(), *slim.mutable_metadata());
  slim.mutable_spec()->set_unschedulable(node.spec().unschedulable());
  slim.mutable_spec()->mutable_taints()->Swap(node.mutable_spec()->mutable_taints());
  core::NodeStatus& status = *node.mutable_status();
  slim.mutable_status()->mutable_allocatable()->swap(*status.mutable_allocatable());
  slim.mutable_status()->mutable_images()->Swap(status.mutable_images());
  for (const core::NodeCondition& condition : status.conditions()) {
    core::NodeCondition& kept = *slim.mutable_status()->add_conditions();
    kept.set_type(condition.type());
    kept.set_status(condition.status());
  }
  node.Swap(&slim);
}

void SlimNamespace(google::protobuf::Message& message) {
  auto& ns = static_cast<core::Namespace&>(message);
  core::Namespace slim;
  Keep(*ns.mutable_metadata(), *slim.mutable_metadata());
  ns.Swap(&slim);
}

void SlimService(google::protobuf::Message& message) {
  auto& service = static_cast<core::Service&>(message);
  core::Service slim;
  Keep(*service.mutable_metadata(), *slim.mutable_metadata());
  slim.mutable_spec()->mutable_selector()->swap(*service.mutable_spec()->mutable_selector());
  service.Swap(&slim);
}

void SlimReplicationController(google::protobuf::Message& message) {
  auto& controller = static_cast<core::ReplicationController&>(message);
  core::ReplicationController slim;
  Keep(*controller.mutable_metadata(), *slim.mutable_metadata());
  slim.mutable_spec()->mutable_selector()->swap(*controller.mutable_spec()->mutable_selector());
  controller.Swap(&slim);
}

void SlimReplicaSet(google::protobuf::Message& message) {
  auto& set = static_cast<kube::apps::v1::ReplicaSet&>(message);
  kube::apps::v1::ReplicaSet slim;
  Keep(*set.mutable_metadata(), *slim.mutable_metadata());
  slim.mutable_spec()->mutable_selector()->Swap(set.mutable_spec()->mutable_selector());
  set.Swap(&slim);
}

void SlimStatefulSet(google::protobuf::Message& message) {
  auto& set = static_cast<kube::apps::v1::StatefulSet&>(message);
  kube::apps::v1::StatefulSet slim;
  Keep(*set.mutable_metadata(), *slim.mutable_metadata());
  slim.mutable_spec()->mutable_selector()->Swap(set.mutable_spec()->mutable_selector());
  set.Swap(&slim);
}

}  // namespace meltemi::scheduler
