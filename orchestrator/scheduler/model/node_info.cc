#include "orchestrator/scheduler/model/node_info.h"

#include <algorithm>
#include <string>
#include <utility>

#include "orchestrator/scheduler/model/selectors.h"

namespace meltemi::scheduler {
namespace {

constexpr char kAnyAddress[] = "0.0.0.0";

bool IsSame(const HostPort& a, const HostPort& b) {
  return a.port == b.port && a.protocol == b.protocol && a.ip == b.ip;
}

// The last one takes the place of the one that goes: the order of a node's pods means nothing.
bool Take(std::vector<PodInfoPtr>& pods, const std::string& uid, PodInfoPtr* taken) {
  const auto found = std::find_if(pods.begin(), pods.end(),
                                  [&](const PodInfoPtr& pod) { return pod->uid == uid; });
  if (found == pods.end()) return false;
  if (taken != nullptr) *taken = std::move(*found);
  if (found != pods.end() - 1) *found = std::move(pods.back());
  pods.pop_back();
  return true;
}

}  // namespace

void HostPorts::Add(const HostPort& port) { ports_.push_back(port); }

void HostPorts::Remove(const HostPort& port) {
  const auto found = std::find_if(ports_.begin(), ports_.end(),
                                  [&](const HostPort& other) { return IsSame(other, port); });
  if (found != ports_.end()) ports_.erase(found);
}

bool HostPorts::Conflicts(const HostPort& port) const {
  return std::any_of(ports_.begin(), ports_.end(), [&](const HostPort& other) {
    return other.port == port.port && other.protocol == port.protocol &&
           (other.ip == port.ip || other.ip == kAnyAddress || port.ip == kAnyAddress);
  });
}

absl::string_view NodeFacts::Label(absl::string_view key, bool* found) const {
  const std::string* value = FindLabel(labels, key);
  if (found != nullptr) *found = value != nullptr;
  return value == nullptr ? absl::string_view() : *value;
}

std::shared_ptr<const NodeFacts> MakeNodeFacts(NodePtr node) {
  auto facts = std::make_shared<NodeFacts>();
  facts->name = node->metadata().name();
  facts->labels = SortedLabels(node->metadata().labels());
  facts->allocatable = ResourcesOf(node->status().allocatable());
  facts->unschedulable = node->spec().unschedulable();
  for (const kube::core::v1::Taint& taint : node->spec().taints()) {
    facts->repels |= taint.effect() == "NoSchedule" || taint.effect() == "NoExecute";
    facts->discourages |= taint.effect() == "PreferNoSchedule";
  }
  for (const kube::core::v1::ContainerImage& image : node->status().images()) {
    for (const std::string& name : image.names()) facts->image_bytes[name] = image.size_bytes();
  }
  facts->node = std::move(node);
  return facts;
}

void NodeInfo::AddPod(PodInfoPtr pod) {
  requested.Add(pod->request);
  nonzero_milli_cpu += pod->nonzero_milli_cpu;
  nonzero_memory_bytes += pod->nonzero_memory_bytes;
  for (const HostPort& port : pod->host_ports) host_ports.Add(port);
  if (pod->has_affinity()) pods_with_affinity.push_back(pod);
  if (!pod->required_anti_affinity.empty()) pods_with_required_anti_affinity.push_back(pod);
  pods.push_back(std::move(pod));
}

bool NodeInfo::RemovePod(const PodInfo& pod) {
  const std::string uid = pod.uid;  // `pod` may live in the list alone
  PodInfoPtr taken;
  if (!Take(pods, uid, &taken)) return false;
  requested.Subtract(taken->request);
  nonzero_milli_cpu -= taken->nonzero_milli_cpu;
  nonzero_memory_bytes -= taken->nonzero_memory_bytes;
  for (const HostPort& port : taken->host_ports) host_ports.Remove(port);
  if (taken->has_affinity()) Take(pods_with_affinity, uid, nullptr);
  if (!taken->required_anti_affinity.empty()) {
    Take(pods_with_required_anti_affinity, uid, nullptr);
  }
  return true;
}

}  // namespace meltemi::scheduler
