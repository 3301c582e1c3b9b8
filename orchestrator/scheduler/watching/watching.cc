#include "orchestrator/scheduler/watching/watching.h"

#include <algorithm>
#include <string>
#include <utility>

#include "google/protobuf/util/message_differencer.h"
#include "kube/core/v1/namespace.pb.h"
#include "kube/core/v1/node.pb.h"
#include "kube/core/v1/pod.pb.h"
#include "kube/policy/v1/policy.pb.h"
#include "orchestrator/scheduler/model/selectors.h"
#include "orchestrator/scheduler/watching/slim.h"

namespace meltemi::scheduler {
namespace {

namespace core = kube::core::v1;

// Pods that have finished take no room.
constexpr char kUnfinished[] = "status.phase!=Failed,status.phase!=Succeeded";

bool IsFinished(const core::Pod& pod) {
  return pod.status().phase() == "Succeeded" || pod.status().phase() == "Failed";
}

template <typename Fields>
bool Same(const Fields& a, const Fields& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& x, const auto& y) {
    return google::protobuf::util::MessageDifferencer::Equals(x, y);
  });
}

bool SameResources(const Resources& a, const Resources& b) {
  return a.milli_cpu == b.milli_cpu && a.memory_bytes == b.memory_bytes &&
         a.ephemeral_bytes == b.ephemeral_bytes && a.pods == b.pods && a.extended == b.extended;
}

bool SameConditions(const core::Node& a, const core::Node& b) {
  const auto& left = a.status().conditions();
  const auto& right = b.status().conditions();
  return std::equal(left.begin(), left.end(), right.begin(), right.end(),
                    [](const core::NodeCondition& x, const core::NodeCondition& y) {
                      return x.type() == y.type() && x.status() == y.status();
                    });
}

}  // namespace

uint8_t ChangesOf(const NodeFacts& before, const NodeFacts& after) {
  uint8_t changes = 0;
  if (!SameResources(before.allocatable, after.allocatable)) changes |= ClusterEvent::kAllocatable;
  if (before.labels != after.labels) changes |= ClusterEvent::kLabels;
  if (before.node->spec().unschedulable() != after.node->spec().unschedulable() ||
      !Same(before.node->spec().taints(), after.node->spec().taints())) {
    changes |= ClusterEvent::kTaints;
  }
  if (!SameConditions(*before.node, *after.node)) changes |= ClusterEvent::kConditions;
  return changes;
}

Watching::Watching(kube::Informers& informers, Parts parts)
    : parts_(std::move(parts)),
      pods_(informers.Of<core::Pod>(kUnfinished)),
      budgets_(&informers.Of<kube::policy::v1::PodDisruptionBudget>()) {
  kube::Informer& nodes = informers.Of<core::Node>();
  nodes.SetTransform(&SlimNode);
  nodes.AddHandler([this](const kube::Change& change) { OnNode(change); });
  kube::Informer& namespaces = informers.Of<core::Namespace>();
  namespaces.SetTransform(&SlimNamespace);
  namespaces.AddHandler([this](const kube::Change& change) { OnNamespace(change); });
  kube::Informer& pods = informers.Of<core::Pod>(kUnfinished);
  pods.SetTransform(&SlimPod);
  pods.AddHandler([this](const kube::Change& change) { OnPod(change); });
}

std::vector<Budget> Watching::Budgets() const {
  std::vector<Budget> budgets;
  for (const kube::MessagePtr& message : budgets_->ListMessages("")) {
    budgets.push_back(
        BudgetOf(static_cast<const kube::policy::v1::PodDisruptionBudget&>(*message)));
  }
  return budgets;
}

void Watching::OnPod(const kube::Change& change) {
  const auto before = std::static_pointer_cast<const core::Pod>(change.before);
  auto after = std::static_pointer_cast<const core::Pod>(change.after);
  const bool is_another =
      before != nullptr && after != nullptr && before->metadata().uid() != after->metadata().uid();
  if (before != nullptr && (after == nullptr || is_another)) OnGone(*before);
  if (after == nullptr) return;
  if (IsFinished(*after)) {
    OnGone(*after);
  } else if (!after->spec().node_name().empty()) {
    OnAssigned(std::move(after));
  } else if (after->metadata().has_deletion_timestamp()) {
    OnGone(*after);
  } else if (parts_.is_ours(after->spec().scheduler_name())) {
    const bool was_nominated =
        before != nullptr && !is_another && !before->status().nominated_node_name().empty();
    OnWaiting(was_nominated, std::move(after));
  }
}

void Watching::OnAssigned(PodPtr pod) {
  // The informer packs what nobody holds.
  PodPtr placed = PlacedPod(*pod);
  const PodInfoPtr info = MakePodInfo(std::move(pod), std::move(placed));
  // The cache first: a cycle that begins now sees it, and one under way hears of it.
  ClusterEvent event;
  event.pod_before = parts_.cache.SetPod(info);
  event.pod_after = info;
  if (event.pod_before == nullptr) {
    parts_.queue.Remove(info->uid);
    parts_.nominated.Remove(info->uid);
    parts_.reporter.Forget(info->uid);
    event.type = ClusterEvent::Type::kPodAdded;
    parts_.queue.OnEvent(event);
    return;
  }
  if (event.pod_before->labels == info->labels &&
      SameResources(event.pod_before->request, info->request)) {
    return;
  }
  event.type = ClusterEvent::Type::kPodChanged;
  parts_.queue.OnEvent(event);
}

void Watching::OnWaiting(bool was_nominated, PodPtr pod) {
  // It has a place; its binding is under way.
  if (parts_.cache.Knows(pod->metadata().uid())) return;
  PodInfoPtr info = MakePodInfo(std::move(pod));
  parts_.nominated.Observe(was_nominated, info);
  parts_.queue.Set(std::move(info));
}

void Watching::OnGone(const core::Pod& pod) {
  const std::string& uid = pod.metadata().uid();
  parts_.queue.Remove(uid);
  parts_.nominated.Remove(uid);
  parts_.reporter.Forget(uid);
  ClusterEvent event;
  event.type = ClusterEvent::Type::kPodDeleted;
  event.pod_before = parts_.cache.RemovePod(uid);
  if (event.pod_before != nullptr) parts_.queue.OnEvent(event);
}

void Watching::OnNode(const kube::Change& change) {
  if (change.after == nullptr) {
    parts_.cache.RemoveNode(kube::MetaOf(*change.before).name());
    return;
  }
  ClusterEvent event;
  event.node_after = MakeNodeFacts(std::static_pointer_cast<const core::Node>(change.after));
  event.node_before = parts_.cache.SetNode(event.node_after);
  if (event.node_before != nullptr) {
    event.type = ClusterEvent::Type::kNodeChanged;
    event.node_change = ChangesOf(*event.node_before, *event.node_after);
    if (event.node_change == 0) return;
  }
  parts_.queue.OnEvent(event);
}

void Watching::OnNamespace(const kube::Change& change) {
  if (change.after == nullptr) {
    parts_.cache.RemoveNamespace(kube::MetaOf(*change.before).name());
    return;
  }
  const kube::meta::v1::ObjectMeta& meta = kube::MetaOf(*change.after);
  parts_.cache.SetNamespace(meta.name(), SortedLabels(meta.labels()));
  if (change.before != nullptr &&
      SortedLabels(kube::MetaOf(*change.before).labels()) == SortedLabels(meta.labels())) {
    return;
  }
  ClusterEvent event;
  event.type = ClusterEvent::Type::kNamespaceChanged;
  parts_.queue.OnEvent(event);
}

}  // namespace meltemi::scheduler
