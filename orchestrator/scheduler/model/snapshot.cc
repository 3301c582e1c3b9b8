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

int32_t Snapshot::ChangedPlace(int64_t number) const {
  if (number < 0 || number >= changes_ || changes_ - number > kChangesKept) return -1;
  return changed_places_[static_cast<size_t>(number % kChangesKept)];
}

void Snapshot::SetOrder(int64_t order) {
  order_ = order;
  changes_ = 0;
  int32_t place = 0;
  for (NodeInfo* node : nodes_) node->place = place++;
}

void Snapshot::NoteChange(int32_t place) {
  changed_places_.resize(kChangesKept);
  changed_places_[static_cast<size_t>(changes_++ % kChangesKept)] = place;
}

}  // namespace meltemi::scheduler
