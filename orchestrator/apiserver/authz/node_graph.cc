#include "orchestrator/apiserver/authz/node_graph.h"

#include <algorithm>
#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kube/object/object.h"
#include "orchestrator/apiserver/authz/pod_mentions.h"

namespace meltemi::apiserver {
namespace {

using json::Value;

std::string Key(absl::string_view resource, absl::string_view ns, absl::string_view name) {
  return absl::StrCat(resource, "\n", ns, "\n", name);
}

std::vector<std::string> KeysOf(const Value& pod) {
  std::vector<std::string> out = {Key("pods", kube::Namespace(pod), kube::Name(pod))};
  // A node makes mirror pods itself: they must not open anything to it.
  if (kube::Annotation(pod, "kubernetes.io/config.mirror").has_value()) return out;
  for (const PodMention& mention : PodMentions(pod)) {
    out.push_back(Key(mention.first, kube::Namespace(pod), mention.second));
  }
  return out;
}

// Secrets of a persistent volume that the kubelet needs; those of controllers are not among them.
std::vector<std::string> SecretsOf(const Value& volume, absl::string_view claim_ns) {
  std::vector<std::string> out;
  const Value* spec = volume.Find("spec");
  if (spec == nullptr) return out;
  const auto add = [&](absl::string_view ns, absl::string_view name) {
    if (!name.empty()) out.push_back(Key("secrets", ns.empty() ? claim_ns : ns, name));
  };
  for (const json::Member& member : spec->members()) {
    const Value& source = member.value;
    if (!source.is_object() || member.key == "claimRef") continue;
    add(source.FindString("secretNamespace"), source.FindString("secretName"));
    for (const absl::string_view reference :
         {"secretRef", "nodeStageSecretRef", "nodePublishSecretRef", "nodeExpandSecretRef"}) {
      const Value* secret = source.Find(reference);
      if (secret != nullptr) add(secret->FindString("namespace"), secret->FindString("name"));
    }
  }
  return out;
}

// Empty while it is bound to none.
std::string NodeOf(const CachedObject& pod) {
  for (const auto& [field, value] : pod.fields) {
    if (field == "spec.nodeName") return value;
  }
  return kube::TextAt(pod.Tree(), "spec.nodeName");
}

}  // namespace

void NodeGraph::Unlink(const std::string& key, const Pod& pod) {
  if (const auto unknown = unknown_.find(pod.node); unknown != unknown_.end()) {
    unknown->second.erase(key);
    if (unknown->second.empty()) unknown_.erase(unknown);
  }
  for (const std::string& mentioned : pod.vertices) {
    const auto vertex = vertices_.find(mentioned);
    if (vertex == vertices_.end()) continue;
    const auto count = vertex->second.find(pod.node);
    if (count != vertex->second.end() && --count->second == 0) vertex->second.erase(count);
    if (vertex->second.empty()) vertices_.erase(vertex);
  }
}

void NodeGraph::OnPod(const CacheEvent& event) {
  const CachedObject& object = *event.object;
  const std::string key = absl::StrCat(object.ns, "/", object.name);
  const std::unique_lock<std::shared_mutex> lock(mutex_);
  const auto held = pods_.find(key);
  const bool deleted = event.type == CacheEvent::Type::kDeleted;
  if (held != pods_.end()) {
    // What a bound pod mentions never changes.
    if (!deleted && held->second.uid == object.uid) return;
    Unlink(key, held->second);
    pods_.erase(held);
  }
  if (deleted) return;
  Pod pod{object.uid, NodeOf(object), {}};
  if (pod.node.empty()) return;
  unknown_[pod.node].insert(key);
  pods_.emplace(key, std::move(pod));
}

void NodeGraph::LookUpPodsOf(absl::string_view node) {
  std::vector<std::string> keys;
  {
    const std::shared_lock<std::shared_mutex> lock(mutex_);
    const auto unknown = unknown_.find(node);
    if (unknown == unknown_.end()) return;
    keys.assign(unknown->second.begin(), unknown->second.end());
  }
  for (const std::string& key : keys) {
    const size_t slash = key.find('/');
    // Without the lock: the cache tells of changes while it holds its own.
    const kube::Result<ObjectPtr> object =
        cache_.Get({"", "pods"}, key.substr(0, slash), key.substr(slash + 1), false);
    if (!object.ok() || *object == nullptr) continue;
    std::vector<std::string> mentioned = KeysOf((*object)->Tree());
    const std::unique_lock<std::shared_mutex> lock(mutex_);
    const auto pod = pods_.find(key);
    const auto unknown = unknown_.find(node);
    // Gone in between, or another one of that name, or looked up by somebody else.
    if (pod == pods_.end() || pod->second.uid != (*object)->uid || unknown == unknown_.end() ||
        unknown->second.erase(key) == 0) {
      continue;
    }
    if (unknown->second.empty()) unknown_.erase(unknown);
    pod->second.vertices = std::move(mentioned);
    for (const std::string& vertex : pod->second.vertices) ++vertices_[vertex][pod->second.node];
  }
}

void NodeGraph::OnPersistentVolume(const CacheEvent& event) {
  const std::string& name = event.object->name;
  const std::unique_lock<std::shared_mutex> lock(mutex_);
  const auto held = volumes_.find(name);
  if (held != volumes_.end()) {
    for (const std::string& secret : held->second.secrets) volumes_by_secret_[secret].erase(name);
    volumes_.erase(held);
  }
  if (event.type == CacheEvent::Type::kDeleted) return;
  const Value tree = event.object->Tree();
  const std::string claim_ns = kube::TextAt(tree, "spec.claimRef.namespace");
  const std::string claim = kube::TextAt(tree, "spec.claimRef.name");
  if (claim.empty()) return;
  Volume volume{Key("persistentvolumeclaims", claim_ns, claim), SecretsOf(tree, claim_ns)};
  for (const std::string& secret : volume.secrets) volumes_by_secret_[secret].insert(name);
  volumes_.emplace(name, std::move(volume));
}

bool NodeGraph::HasNode(const std::string& vertex, absl::string_view node) const {
  const auto at = vertices_.find(vertex);
  return at != vertices_.end() && at->second.contains(node);
}

bool NodeGraph::Related(absl::string_view node, absl::string_view resource, absl::string_view ns,
                        absl::string_view name) {
  LookUpPodsOf(node);
  const std::shared_lock<std::shared_mutex> lock(mutex_);
  if (resource == "persistentvolumes") {
    const auto volume = volumes_.find(name);
    return volume != volumes_.end() && HasNode(volume->second.claim, node);
  }
  const std::string key = Key(resource, ns, name);
  if (HasNode(key, node)) return true;
  const auto by_volume = volumes_by_secret_.find(key);
  if (by_volume == volumes_by_secret_.end()) return false;
  return std::any_of(by_volume->second.begin(), by_volume->second.end(),
                     [&](const std::string& volume) {
                       const auto at = volumes_.find(volume);
                       return at != volumes_.end() && HasNode(at->second.claim, node);
                     });
}

}  // namespace meltemi::apiserver
