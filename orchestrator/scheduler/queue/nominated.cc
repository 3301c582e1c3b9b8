#include "orchestrator/scheduler/queue/nominated.h"

#include <algorithm>
#include <utility>

namespace meltemi::scheduler {

void Nominated::Set(PodInfoPtr pod, absl::string_view node) {
  const std::lock_guard<std::mutex> lock(mutex_);
  Put(std::move(pod), node);
}

void Nominated::Observe(bool was_nominated, PodInfoPtr pod) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const std::string& now = pod->pod->status().nominated_node_name();
  const auto known = node_of_.find(pod->uid);
  if (now.empty() && known == node_of_.end()) return;
  const std::string node = now.empty() && !was_nominated ? known->second : now;
  Put(std::move(pod), node);
}

void Nominated::Remove(absl::string_view uid) {
  if (empty()) return;
  const std::lock_guard<std::mutex> lock(mutex_);
  Take(uid);
}

void Nominated::Put(PodInfoPtr pod, absl::string_view node) {
  Take(pod->uid);
  if (node.empty()) return;
  node_of_[pod->uid] = std::string(node);
  by_node_[node].push_back(std::move(pod));
  size_.store(node_of_.size(), std::memory_order_relaxed);
}

void Nominated::Take(absl::string_view uid) {
  const auto known = node_of_.find(uid);
  if (known == node_of_.end()) return;
  const auto node = by_node_.find(known->second);
  std::vector<PodInfoPtr>& pods = node->second;
  pods.erase(std::find_if(pods.begin(), pods.end(),
                          [&](const PodInfoPtr& pod) { return pod->uid == uid; }));
  if (pods.empty()) by_node_.erase(node);
  node_of_.erase(known);
  size_.store(node_of_.size(), std::memory_order_relaxed);
}

std::string Nominated::NodeOf(absl::string_view uid) const {
  if (empty()) return "";
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto known = node_of_.find(uid);
  return known == node_of_.end() ? "" : known->second;
}

std::vector<PodInfoPtr> Nominated::On(absl::string_view node) const {
  if (empty()) return {};
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = by_node_.find(node);
  return found == by_node_.end() ? std::vector<PodInfoPtr>() : found->second;
}

}  // namespace meltemi::scheduler
