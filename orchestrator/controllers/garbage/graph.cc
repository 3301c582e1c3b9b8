#include "orchestrator/controllers/garbage/graph.h"

#include <algorithm>
#include <utility>

namespace meltemi::controllers {
namespace {

using kube::meta::v1::ObjectMeta;
using kube::meta::v1::OwnerReference;

constexpr size_t kAbsentMax = 500;

// An owner reference; what many dependents have in common is kept once.
struct Reference {
  KindName kind;
  std::string name, uid;
  bool blocks = false;

  bool operator==(const Reference& o) const {
    return uid == o.uid && name == o.name && blocks == o.blocks && kind == o.kind;
  }
  bool Names(const Identity& identity) const {
    return uid == identity.uid && name == identity.name && kind == identity.kind;
  }
};
using ReferencePtr = std::shared_ptr<const Reference>;

bool HasFinalizer(const ObjectMeta& meta, absl::string_view name) {
  return std::find(meta.finalizers().begin(), meta.finalizers().end(), name) !=
         meta.finalizers().end();
}

bool IsDeletedWith(const ObjectMeta& meta, absl::string_view finalizer) {
  return meta.has_deletion_timestamp() && HasFinalizer(meta, finalizer);
}

bool StartsToBeDeletedWith(const ObjectMeta* before, const ObjectMeta& after,
                           absl::string_view finalizer) {
  return IsDeletedWith(after, finalizer) &&
         (before == nullptr || !IsDeletedWith(*before, finalizer));
}

}  // namespace

struct OwnerGraph::Node {
  const KindName* kind = nullptr;
  const std::string* ns = nullptr;
  std::string name, uid;
  std::vector<ReferencePtr> owners;
  absl::flat_hash_set<Node*> dependents;
  ReferencePtr named_as;  // the last reference to it
  bool is_virtual = false, being_deleted = false, waits = false, check = false;
  int put_off = 0;  // how often it could not be decided

  Identity identity() const { return {*kind, *ns, name, uid}; }
};

// One change of the graph, with its mutex held.
class OwnerGraph::Change {
 public:
  explicit Change(OwnerGraph& graph) : graph_(graph) {}

  // Sorted: the order in which sets of pointers are walked is nobody's intention.
  GraphWork Take() {
    for (auto* keys : {&work_.to_check, &work_.to_orphan, &work_.check_late}) {
      std::sort(keys->begin(), keys->end());
      keys->erase(std::unique(keys->begin(), keys->end()), keys->end());
    }
    std::sort(work_.bad_references.begin(), work_.bad_references.end(),
              [](const auto& a, const auto& b) { return a.dependent < b.dependent; });
    return std::move(work_);
  }

  void Seen(const Identity& identity, const ObjectMeta* before, const ObjectMeta& after) {
    Node* node = graph_.Find(identity.uid);
    if (node != nullptr && node->is_virtual) Reveal(*node, identity);
    const bool deleted = after.has_deletion_timestamp();
    if (node == nullptr) {
      node = Insert(identity);
      node->waits = IsDeletedWith(after, "foregroundDeletion");
      node->being_deleted = deleted;
      node->owners = ReferencesOf(after);
      AddToOwners(*node, node->owners);
    } else {
      ChangeOwners(*node, ReferencesOf(after));
      node->being_deleted = node->being_deleted || deleted;
    }
    Transition(*node, before, after);
  }

  void Gone(const Identity& identity) {
    Node* const node = graph_.Find(identity.uid);
    if (node != nullptr) Remove(*node, identity);
  }

  void Absent(const Identity& identity) {
    Node* const node = graph_.Find(identity.uid);
    if (node == nullptr) return;
    std::vector<Node*> agree, differ;
    Divide(*node, identity, agree, differ);
    const bool is_it = node->identity() == identity;
    const bool keep = node->is_virtual ? !differ.empty() : !is_it;
    if (!keep) return Remove(*node, identity);
    if (!agree.empty()) graph_.absent_.Add(identity);
    for (Node* dependent : agree) Check(*dependent);
    if (!node->is_virtual || !is_it) return;
    // It may still be what the others take it for.
    if (const std::optional<Identity> other = OtherIdentity(differ, identity)) {
      SetIdentity(*node, *other);
      work_.check_late.push_back(node->uid);
    }
  }

  void Forget(const KindName& kind) {
    std::vector<Node*> known;
    for (const auto& [uid, node] : graph_.nodes_) {
      if (*node->kind == kind) known.push_back(node.get());
    }
    for (Node* node : known) {
      DropFromOwners(*node, node->owners);
      node->owners.clear();
      if (node->dependents.empty()) {
        graph_.nodes_.erase(node->uid);
        continue;
      }
      node->is_virtual = true;
      node->being_deleted = node->waits = node->check = false;
      work_.check_late.push_back(node->uid);
    }
  }

 private:
  void Check(Node& node) {
    node.check = true;
    work_.to_check.push_back(node.uid);
  }

  void SetIdentity(Node& node, const Identity& identity) {
    node.kind = &*graph_.kinds_.insert(identity.kind).first;
    node.ns = &*graph_.namespaces_.insert(identity.ns).first;
    node.name = identity.name;
  }

  Node* Insert(const Identity& identity) {
    auto made = std::make_unique<Node>();
    made->uid = identity.uid;
    SetIdentity(*made, identity);
    Node* const node = made.get();
    graph_.nodes_[node->uid] = std::move(made);
    return node;
  }

  // A virtual node turns out to be this object.
  void Reveal(Node& node, const Identity& identity) {
    node.is_virtual = false;
    if (node.identity() == identity) return;
    std::vector<Node*> agree, differ;
    Divide(node, identity, agree, differ);
    for (Node* dependent : differ) {
      if (!identity.ns.empty() && *dependent->ns != identity.ns) Complain(*dependent, identity.uid);
      Check(*dependent);
    }
    SetIdentity(node, identity);
  }

  std::vector<ReferencePtr> ReferencesOf(const ObjectMeta& meta) {
    std::vector<ReferencePtr> out;
    out.reserve(static_cast<size_t>(meta.owner_references_size()));
    for (const OwnerReference& owner : meta.owner_references()) {
      Reference reference{{owner.api_version(), owner.kind()},
                          owner.name(),
                          owner.uid(),
                          owner.block_owner_deletion()};
      const Node* const node = graph_.Find(reference.uid);
      const bool known =
          node != nullptr && node->named_as != nullptr && *node->named_as == reference;
      out.push_back(known ? node->named_as
                          : std::make_shared<const Reference>(std::move(reference)));
    }
    return out;
  }

  void ChangeOwners(Node& node, std::vector<ReferencePtr> owners) {
    std::vector<ReferencePtr> added, removed;
    const auto find = [](const std::vector<ReferencePtr>& in, const std::string& uid) {
      return std::find_if(in.begin(), in.end(),
                          [&uid](const ReferencePtr& each) { return each->uid == uid; });
    };
    for (const ReferencePtr& owner : owners) {
      if (find(node.owners, owner->uid) == node.owners.end()) added.push_back(owner);
    }
    for (const ReferencePtr& owner : node.owners) {
      const auto now = find(owners, owner->uid);
      if (now == owners.end()) removed.push_back(owner);
      // One dependent less for an owner to wait for.
      if (owner->blocks && (now == owners.end() || !(*now)->blocks)) {
        if (Node* waiting = graph_.Find(owner->uid)) Check(*waiting);
      }
    }
    node.owners = std::move(owners);
    AddToOwners(node, added);
    DropFromOwners(node, removed);
  }

  void AddToOwners(Node& node, const std::vector<ReferencePtr>& owners) {
    bool doubtful = false;
    for (const ReferencePtr& reference : owners) {
      Node* owner = graph_.Find(reference->uid);
      const bool is_new = owner == nullptr;
      if (is_new) {
        owner = Insert({reference->kind, *node.ns, reference->name, reference->uid});
        owner->is_virtual = true;
        work_.to_check.push_back(owner->uid);
      }
      owner->dependents.insert(&node);
      owner->named_as = reference;
      if (is_new || doubtful) continue;
      doubtful = IsDoubtful(node, *reference, *owner);
    }
    if (doubtful) Check(node);
  }

  bool IsDoubtful(const Node& node, const Reference& reference, const Node& owner) {
    if (!owner.ns->empty() && *owner.ns != *node.ns) {
      if (!owner.is_virtual) Complain(node, reference.uid);
      return true;
    }
    if (!reference.Names(owner.identity())) return true;
    // Of a cluster-scoped object that names a namespaced owner no more is known than this.
    return owner.ns->empty() && !node.ns->empty() && owner.is_virtual;
  }

  void Complain(const Node& dependent, const std::string& uid) {
    for (const ReferencePtr& owner : dependent.owners) {
      if (owner->uid != uid) continue;
      work_.bad_references.push_back(
          {dependent.identity(), {owner->kind, *dependent.ns, owner->name, uid}});
      return;
    }
  }

  void DropFromOwners(Node& node, const std::vector<ReferencePtr>& owners) {
    for (const ReferencePtr& reference : owners) {
      if (Node* owner = graph_.Find(reference->uid)) owner->dependents.erase(&node);
    }
  }

  void Remove(Node& node, const Identity& identity) {
    DropFromOwners(node, node.owners);
    const std::unique_ptr<Node> removed = std::move(graph_.nodes_[node.uid]);
    graph_.nodes_.erase(absl::string_view(removed->uid));
    if (!removed->dependents.empty()) graph_.absent_.Add(identity);
    for (Node* dependent : removed->dependents) Check(*dependent);
    for (const ReferencePtr& reference : removed->owners) {
      Node* const owner = graph_.Find(reference->uid);
      if (owner != nullptr && owner->waits) Check(*owner);
    }
  }

  // Dependents that mean this identity by the uid, and those that mean another one; or both.
  static void Divide(const Node& node, const Identity& identity, std::vector<Node*>& agree,
                     std::vector<Node*>& differ) {
    for (Node* dependent : node.dependents) {
      bool agrees = false, differs = false;
      if (!identity.ns.empty() && identity.ns != *dependent->ns) {
        differs = true;
      } else {
        for (const ReferencePtr& reference : dependent->owners) {
          if (reference->uid != identity.uid) continue;
          (reference->Names(identity) ? agrees : differs) = true;
        }
      }
      if (agrees) agree.push_back(dependent);
      if (differs) differ.push_back(dependent);
    }
  }

  // What else dependents name by this uid: the next one in order, or from the start.
  static std::optional<Identity> OtherIdentity(const std::vector<Node*>& dependents,
                                               const Identity& absent) {
    std::set<Identity> others;
    for (const Node* dependent : dependents) {
      for (const ReferencePtr& reference : dependent->owners) {
        if (reference->uid != absent.uid) continue;
        Identity other{reference->kind, *dependent->ns, reference->name, reference->uid};
        if (absent.ns.empty() && other.kind == absent.kind) other.ns.clear();
        others.insert(std::move(other));
      }
    }
    others.erase(absent);
    if (others.empty()) return std::nullopt;
    const auto next = others.upper_bound(absent);
    return next != others.end() ? *next : *others.begin();
  }

  void Transition(Node& node, const ObjectMeta* before, const ObjectMeta& after) {
    if (StartsToBeDeletedWith(before, after, "orphan")) {
      work_.to_orphan.push_back(node.uid);
      return;
    }
    if (!StartsToBeDeletedWith(before, after, "foregroundDeletion")) return;
    node.waits = true;
    for (Node* dependent : node.dependents) Check(*dependent);
    Check(node);
  }

  OwnerGraph& graph_;
  GraphWork work_;
};

OwnerGraph::OwnerGraph() : absent_(kAbsentMax) {}
OwnerGraph::~OwnerGraph() = default;

OwnerGraph::Node* OwnerGraph::Find(absl::string_view uid) const {
  const auto found = nodes_.find(uid);
  return found == nodes_.end() ? nullptr : found->second.get();
}

GraphWork OwnerGraph::Seen(const KindName& kind, const ObjectMeta* before,
                           const ObjectMeta& after) {
  const std::lock_guard<std::mutex> lock(mutex_);
  Change change(*this);
  change.Seen({kind, after.namespace_(), after.name(), after.uid()}, before, after);
  return change.Take();
}

GraphWork OwnerGraph::Gone(const KindName& kind, const ObjectMeta& last) {
  const std::lock_guard<std::mutex> lock(mutex_);
  Change change(*this);
  change.Gone({kind, last.namespace_(), last.name(), last.uid()});
  return change.Take();
}

GraphWork OwnerGraph::Absent(const Identity& identity) {
  const std::lock_guard<std::mutex> lock(mutex_);
  Change change(*this);
  change.Absent(identity);
  return change.Take();
}

GraphWork OwnerGraph::Forget(const KindName& kind) {
  const std::lock_guard<std::mutex> lock(mutex_);
  Change change(*this);
  change.Forget(kind);
  return change.Take();
}

std::optional<NodeView> OwnerGraph::Look(const std::string& uid) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  const Node* const node = Find(uid);
  if (node == nullptr) return std::nullopt;
  return NodeView{node->identity(), node->is_virtual, node->being_deleted,
                  node->waits,      node->check,      node->dependents.size()};
}

void OwnerGraph::SetCheck(const std::string& uid, bool check) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (Node* node = Find(uid)) node->check = check;
}

int OwnerGraph::CountPutOff(const std::string& uid) {
  const std::lock_guard<std::mutex> lock(mutex_);
  Node* const node = Find(uid);
  return node == nullptr ? 0 : node->put_off++;
}

std::vector<std::string> OwnerGraph::Undecided() {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::vector<std::string> out;
  for (auto& [uid, node] : nodes_) {
    if (node->put_off == 0) continue;
    node->put_off = 0;
    if (node->is_virtual || node->check) out.emplace_back(uid);
  }
  std::sort(out.begin(), out.end());
  return out;
}

std::vector<Identity> OwnerGraph::Dependents(const std::string& uid) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::vector<Identity> out;
  const Node* const node = Find(uid);
  if (node == nullptr) return out;
  for (const Node* dependent : node->dependents) out.push_back(dependent->identity());
  std::sort(out.begin(), out.end());
  return out;
}

std::vector<OwnerGraph::Blocking> OwnerGraph::BlockingDependents(const std::string& uid) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::vector<Blocking> out;
  const Node* const node = Find(uid);
  if (node == nullptr) return out;
  for (const Node* dependent : node->dependents) {
    if (dependent == node) continue;  // nothing waits for itself
    const bool blocks = std::any_of(
        dependent->owners.begin(), dependent->owners.end(),
        [&uid](const ReferencePtr& owner) { return owner->uid == uid && owner->blocks; });
    if (blocks) out.push_back({dependent->uid, dependent->waits});
  }
  std::sort(out.begin(), out.end(),
            [](const Blocking& a, const Blocking& b) { return a.uid < b.uid; });
  return out;
}

std::optional<Identity> OwnerGraph::DependentThatWaits(const std::string& uid) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  const Node* const node = Find(uid);
  if (node == nullptr) return std::nullopt;
  for (const Node* dependent : node->dependents) {
    if (dependent->waits) return dependent->identity();
  }
  return std::nullopt;
}

bool OwnerGraph::IsAbsent(const Identity& identity) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return absent_.Has(identity);
}

void OwnerGraph::AddAbsent(const Identity& identity) {
  const std::lock_guard<std::mutex> lock(mutex_);
  absent_.Add(identity);
}

size_t OwnerGraph::size() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return nodes_.size();
}

}  // namespace meltemi::controllers
