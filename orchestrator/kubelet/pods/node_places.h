// What the pods of the node take of it, and whether it takes one more.
//
// Threads: guarded by its owner.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "kube/core/v1/node.pb.h"
#include "kube/core/v1/pod.pb.h"
#include "orchestrator/kubelet/admission/admission.h"

namespace meltemi::kubelet {

class NodePlaces {
 public:
  // Whatever the node has: it is there already. Twice does no harm.
  void Take(const std::shared_ptr<const kube::core::v1::Pod>& pod);
  // nullopt: it has its place now. `node` may be null: not known yet, all are welcome.
  std::optional<Refusal> Admit(const std::shared_ptr<const kube::core::v1::Pod>& pod,
                               const std::shared_ptr<const kube::core::v1::Node>& node);
  void Release(const std::string& uid);
  bool Has(const std::string& uid) const { return taken_.count(uid) != 0; }

 private:
  void Add(const scheduler::PodInfo& pod);

  NodeUse use_;
  std::map<std::string, scheduler::PodInfoPtr> taken_;  // by UID
};

}  // namespace meltemi::kubelet
