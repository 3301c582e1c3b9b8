#include "orchestrator/scheduler/model/snapshot.h"

namespace meltemi::scheduler {

NodeInfo* Snapshot::Find(absl::string_view name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : found->second.get();
}

int Snapshot::NodesWithImage(absl::string_view image) const {
  const auto found = image_nodes_.find(image);
  return found == image_nodes_.end() ? 0 : found->second;
}

const kube::StringPairs& Snapshot::NamespaceLabels(absl::string_view ns) const {
  static const kube::StringPairs& none = *new kube::StringPairs();
  const auto found = namespace_labels_.find(ns);
  return found == namespace_labels_.end() ? none : found->second;
}

}  // namespace meltemi::scheduler
