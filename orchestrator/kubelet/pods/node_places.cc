#include "orchestrator/kubelet/pods/node_places.h"

#include <utility>

namespace meltemi::kubelet {

using PodPtr = std::shared_ptr<const kube::core::v1::Pod>;

void NodePlaces::Take(const PodPtr& pod) {
  if (!Has(pod->metadata().uid())) Add(*scheduler::MakePodInfo(pod));
}

std::optional<Refusal> NodePlaces::Admit(const PodPtr& pod,
                                         const std::shared_ptr<const kube::core::v1::Node>& node) {
  if (Has(pod->metadata().uid())) return std::nullopt;
  const scheduler::PodInfoPtr info = scheduler::MakePodInfo(pod);
  if (node != nullptr) {
    const std::shared_ptr<const scheduler::NodeFacts> facts = scheduler::MakeNodeFacts(node);
    if (std::optional<Refusal> refusal = CheckAdmission(*info, *facts, facts.get(), use_)) {
      return refusal;
    }
  }
  Add(*info);
  return std::nullopt;
}

void NodePlaces::Add(const scheduler::PodInfo& pod) {
  // Of the object nothing is kept alive.
  auto kept = std::make_shared<scheduler::PodInfo>();
  kept->request = pod.request;
  kept->host_ports = pod.host_ports;
  use_.requested.Add(kept->request);
  for (const scheduler::HostPort& port : kept->host_ports) use_.ports.Add(port);
  ++use_.pods;
  taken_[pod.uid] = std::move(kept);
}

void NodePlaces::Release(const std::string& uid) {
  const auto at = taken_.find(uid);
  if (at == taken_.end()) return;
  use_.requested.Subtract(at->second->request);
  for (const scheduler::HostPort& port : at->second->host_ports) use_.ports.Remove(port);
  --use_.pods;
  taken_.erase(at);
}

}  // namespace meltemi::kubelet
