// Who owns whom, as far as informers have shown it; and from each change: which objects have to be
// looked at.
//
// An object that is named as an owner before it was seen itself is a virtual node: it has to be
// looked for at the API server, once, and is seen or removed then. References to one uid may
// disagree about its kind, namespace or name: only what was seen itself is believed.
//
// Threads: thread-safe; nothing blocks. Source: the rules of Kubernetes' garbage collector (graph
// builder), with uids as the keys of work instead of pointers.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/string_view.h"
#include "kube/meta/v1/meta.pb.h"
#include "orchestrator/controllers/garbage/identity.h"

namespace meltemi::controllers {

// What there is to do after a change: keys (uids) for the two queues, and complaints.
struct GraphWork {
  std::vector<std::string> to_check;    // whether it must be deleted
  std::vector<std::string> to_orphan;   // its dependents
  std::vector<std::string> check_late;  // to_check, but not at once
  struct BadReference {
    Identity dependent;
    Identity owner;  // as the dependent names it
  };
  std::vector<BadReference> bad_references;  // to an owner in another namespace
};

// A node as it was when it was asked for.
struct NodeView {
  Identity identity;
  bool is_virtual = false;
  bool being_deleted = false;
  bool waits_for_dependents = false;  // is deleted in the foreground
  // Somebody wants it checked; without: only a virtual node is to be looked for.
  bool check = false;
  size_t dependents = 0;
};

class OwnerGraph {
 public:
  OwnerGraph();
  ~OwnerGraph();

  // An object was added or changed; `before` is null when it was added, or is not known.
  GraphWork Seen(const KindName& kind, const kube::meta::v1::ObjectMeta* before,
                 const kube::meta::v1::ObjectMeta& after);
  // An object is gone, says an informer.
  GraphWork Gone(const KindName& kind, const kube::meta::v1::ObjectMeta& last);
  // There is no such object, says the API server.
  GraphWork Absent(const Identity& identity);
  // A kind is not watched any more: its objects are not known, but not gone either.
  GraphWork Forget(const KindName& kind);

  std::optional<NodeView> Look(const std::string& uid) const;
  // It was checked, or will be checked again.
  void SetCheck(const std::string& uid, bool check);
  // It can't be decided now: how often that was so before.
  int CountPutOff(const std::string& uid);
  // All that could not be decided, which are counted anew.
  std::vector<std::string> Undecided();
  std::vector<Identity> Dependents(const std::string& uid) const;
  struct Blocking {
    std::string uid;
    bool waits_for_dependents = false;
  };
  // Dependents that keep it from being deleted in the foreground.
  std::vector<Blocking> BlockingDependents(const std::string& uid) const;
  // One of its dependents is deleted in the foreground, too: there may be a circle.
  std::optional<Identity> DependentThatWaits(const std::string& uid) const;

  // Owners that the API server does not have.
  bool IsAbsent(const Identity& identity) const;
  void AddAbsent(const Identity& identity);

  size_t size() const;

 private:
  struct Node;
  class Change;

  Node* Find(absl::string_view uid) const;

  mutable std::mutex mutex_;
  // Guarded by mutex_.
  absl::flat_hash_map<absl::string_view, std::unique_ptr<Node>> nodes_;  // by their uids
  std::set<KindName> kinds_;                                             // what nodes point to
  std::set<std::string> namespaces_;
  mutable IdentityCache absent_;
};

}  // namespace meltemi::controllers
