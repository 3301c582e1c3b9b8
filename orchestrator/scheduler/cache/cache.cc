#include "orchestrator/scheduler/cache/cache.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace meltemi::scheduler {
namespace {

// Nodes with the same one are in the same zone; empty where nothing is known.
std::string ZoneOf(const NodeFacts& facts) {
  bool found = false;
  absl::string_view zone = facts.Label("topology.kubernetes.io/zone", &found);
  if (!found) zone = facts.Label("failure-domain.beta.kubernetes.io/zone");
  absl::string_view region = facts.Label("topology.kubernetes.io/region", &found);
  if (!found) region = facts.Label("failure-domain.beta.kubernetes.io/region");
  return zone.empty() && region.empty() ? "" : absl::StrCat(region, "/", zone);
}

// Keeps `list` the nodes for which `has` is true, when that of one of them has changed.
void UpdateMembership(NodeInfo* node, bool had, bool has, std::vector<NodeInfo*>& list) {
  if (had == has) return;
  if (has) {
    list.push_back(node);
  } else {
    list.erase(std::find(list.begin(), list.end(), node));
  }
}

void CountImages(const NodeFacts* facts, int by, absl::flat_hash_map<std::string, int>& counts) {
  if (facts == nullptr) return;
  for (const auto& [name, bytes] : facts->image_bytes) {
    const auto count = counts.try_emplace(name, 0).first;
    count->second += by;
    if (count->second == 0) counts.erase(count);
  }
}

}  // namespace

Cache::Node& Cache::NodeNamed(absl::string_view name) {
  auto found = nodes_.find(name);
  if (found == nodes_.end()) {
    found = nodes_.emplace(std::string(name), std::make_unique<Node>()).first;
    found->second->name = std::string(name);
  }
  return *found->second;
}

void Cache::Touch(Node& node) {
  node.info.generation = ++generation_;
  if (node.dirty) return;
  node.dirty = true;
  dirty_.push_back(&node);
}

std::shared_ptr<const NodeFacts> Cache::SetNode(std::shared_ptr<const NodeFacts> facts) {
  const std::lock_guard<std::mutex> lock(mutex_);
  Node& node = NodeNamed(facts->name);
  std::string zone = ZoneOf(*facts);
  if (!node.listed || zone != node.zone) reorder_ = true;
  if (!node.listed) order_.push_back(&node);
  node.listed = true;
  node.zone = std::move(zone);
  std::swap(node.info.facts, facts);
  Touch(node);
  return facts;
}

void Cache::RemoveNode(absl::string_view name) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = nodes_.find(name);
  if (found == nodes_.end() || !found->second->listed) return;
  Node& node = *found->second;
  node.info.facts = nullptr;
  node.listed = false;
  order_.erase(std::find(order_.begin(), order_.end(), &node));
  reorder_ = true;
  Touch(node);
}

PodInfoPtr Cache::SetPod(PodInfoPtr pod) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto known = pods_.find(pod->uid);
  const bool was_assigned = known != pods_.end() && !known->second.assumed;
  PodInfoPtr before = Remove(pod->uid);
  Node& node = NodeNamed(pod->pod->spec().node_name());
  node.info.AddPod(pod);
  Touch(node);
  std::string uid = pod->uid;
  pods_[std::move(uid)] = {std::move(pod), &node, false};
  return was_assigned ? before : nullptr;
}

PodInfoPtr Cache::RemovePod(absl::string_view uid) {
  const std::lock_guard<std::mutex> lock(mutex_);
  return Remove(uid);
}

PodInfoPtr Cache::Remove(absl::string_view uid) {
  const auto found = pods_.find(uid);
  if (found == pods_.end()) return nullptr;
  PodInfoPtr info = std::move(found->second.info);
  Node& node = *found->second.node;
  if (found->second.assumed) --assumed_;
  pods_.erase(found);
  node.info.RemovePod(*info);
  Touch(node);
  return info;
}

void Cache::SetNamespace(absl::string_view name, kube::StringPairs labels) {
  const std::lock_guard<std::mutex> lock(mutex_);
  dirty_namespaces_.emplace_back(std::string(name), std::move(labels));
}

void Cache::RemoveNamespace(absl::string_view name) {
  const std::lock_guard<std::mutex> lock(mutex_);
  dirty_namespaces_.emplace_back(std::string(name), std::nullopt);
}

bool Cache::Assume(PodInfoPtr pod, absl::string_view node_name) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (pods_.contains(pod->uid)) return false;
  Node& node = NodeNamed(node_name);
  node.info.AddPod(pod);
  Touch(node);
  ++assumed_;
  std::string uid = pod->uid;
  pods_.emplace(std::move(uid), Pod{std::move(pod), &node, true});
  return true;
}

bool Cache::Forget(absl::string_view uid) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = pods_.find(uid);
  if (found == pods_.end() || !found->second.assumed) return false;
  Remove(uid);
  return true;
}

bool Cache::IsAssumed(absl::string_view uid) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = pods_.find(uid);
  return found != pods_.end() && found->second.assumed;
}

bool Cache::Knows(absl::string_view uid) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return pods_.contains(uid);
}

void Cache::Update(Snapshot& snapshot) {
  const std::lock_guard<std::mutex> lock(mutex_);
  for (Node* node : dirty_) UpdateNode(*node, snapshot);
  dirty_.clear();
  if (reorder_) {
    UpdateOrder(snapshot);
    snapshot.SetOrder(++generation_);
  }
  reorder_ = false;
  for (auto& [name, labels] : dirty_namespaces_) {
    if (labels.has_value()) {
      snapshot.namespace_labels_[name] = *std::move(labels);
    } else {
      snapshot.namespace_labels_.erase(name);
    }
  }
  dirty_namespaces_.clear();
  snapshot.generation_ = generation_;
}

void Cache::UpdateNode(Node& node, Snapshot& snapshot) {
  node.dirty = false;
  auto copy = snapshot.by_name_.find(node.name);
  const bool exists = node.info.facts != nullptr;
  if (!exists && copy == snapshot.by_name_.end()) {
    // Nobody knows it but its last pod, which may be gone.
    if (node.info.pods.empty()) nodes_.erase(node.name);
    return;
  }
  if (copy == snapshot.by_name_.end()) {
    copy = snapshot.by_name_.emplace(node.name, std::make_unique<NodeInfo>()).first;
  }
  NodeInfo& old = *copy->second;
  UpdateMembership(&old, !old.pods_with_affinity.empty(),
                   exists && !node.info.pods_with_affinity.empty(), snapshot.with_affinity_);
  UpdateMembership(&old, !old.pods_with_required_anti_affinity.empty(),
                   exists && !node.info.pods_with_required_anti_affinity.empty(),
                   snapshot.with_required_anti_affinity_);
  if (old.facts != node.info.facts) {
    CountImages(node.info.facts.get(), 1, snapshot.image_nodes_);
    CountImages(old.facts.get(), -1, snapshot.image_nodes_);
  }
  if (exists) {
    const int32_t place = old.place;
    old = node.info;
    old.place = place;
    if (place >= 0) snapshot.NoteChange(place);
    return;
  }
  snapshot.nodes_.clear();  // points to it; the order is made anew
  snapshot.by_name_.erase(copy);
  if (node.info.pods.empty()) nodes_.erase(node.name);
}

void Cache::UpdateOrder(Snapshot& snapshot) {
  // Zones in the order in which they came, one node of each in turn.
  std::vector<std::vector<NodeInfo*>> zones;
  absl::flat_hash_map<absl::string_view, size_t> zone_numbers;
  for (const Node* node : order_) {
    const size_t zone = zone_numbers.try_emplace(node->zone, zones.size()).first->second;
    if (zone == zones.size()) zones.emplace_back();
    zones[zone].push_back(snapshot.by_name_.find(node->name)->second.get());
  }
  snapshot.nodes_.clear();
  snapshot.nodes_.reserve(order_.size());
  for (size_t turn = 0; snapshot.nodes_.size() < order_.size(); ++turn) {
    for (const std::vector<NodeInfo*>& zone : zones) {
      if (turn < zone.size()) snapshot.nodes_.push_back(zone[turn]);
    }
  }
}

Cache::Size Cache::size() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return {order_.size(), pods_.size(), assumed_};
}

}  // namespace meltemi::scheduler
