// What is, as the history of writes tells it: the state that invariants are checked against, which
// no controller sees as fresh.
//
// Threads: one.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "kube/apps/v1/apps.pb.h"
#include "kube/core/v1/pod.pb.h"
#include "kube/informer/informer.h"
#include "kube/meta/v1/meta.pb.h"
#include "kube/names/names.h"
#include "orchestrator/apiserver/memory/memory_api.h"

namespace meltemi::sim {

using kube::MessagePtr;

// One write and what it has done.
struct Change {
  const apiserver::HistoryEntry& entry;
  MessagePtr before;  // null: created
  MessagePtr after;   // null: gone

  // "pods", "deployments.apps".
  const std::string& resource() const { return entry.resource; }
  // Of a controller, without "system:serviceaccount:kube-system:"; or the whole name of the user.
  absl::string_view by() const;
  bool created() const { return before == nullptr; }
  bool gone() const { return after == nullptr; }
  // The write that first asks for its deletion, or that deletes it at once.
  bool deletion_begins() const;

  template <typename T>
  const T* Before() const {
    return static_cast<const T*>(before.get());
  }
  template <typename T>
  const T* After() const {
    return static_cast<const T*>(after.get());
  }
  // What it is now, or was at last.
  template <typename T>
  const T& Object() const {
    return static_cast<const T&>(after != nullptr ? *after : *before);
  }
};

class Truth {
 public:
  using Objects = std::map<kube::NamespacedName, MessagePtr>;

  // The change that the entry is. Call with every entry, in order.
  Change Apply(const apiserver::HistoryEntry& entry);

  const Objects& Of(const std::string& resource) const;
  template <typename T>
  const T* Find(const std::string& resource, absl::string_view ns, absl::string_view name) const {
    const Objects& objects = Of(resource);
    const auto found = objects.find({std::string(ns), std::string(name)});
    return found == objects.end() ? nullptr : static_cast<const T*>(found->second.get());
  }
  // Objects of the resource with this controlling owner, by name.
  template <typename T>
  std::vector<const T*> OwnedBy(const std::string& resource, absl::string_view uid) const {
    std::vector<const T*> out;
    const auto owned = owned_.find(std::string(uid));
    if (owned == owned_.end()) return out;
    for (const auto& [of, name] : owned->second) {
      if (of == resource) out.push_back(Find<T>(resource, name.ns, name.name));
    }
    return out;
  }
  // Every object with this uid; null: there is none.
  bool Exists(absl::string_view uid) const { return uids_.count(std::string(uid)) > 0; }
  // Of all resources.
  const std::map<std::string, Objects>& all() const { return objects_; }

 private:
  std::map<std::string, Objects> objects_;
  std::map<std::string, std::set<std::pair<std::string, kube::NamespacedName>>> owned_;
  std::set<std::string> uids_;
};

// The controlling owner's; empty: none.
std::string ControllerUid(const google::protobuf::Message& object);
bool IsReady(const kube::core::v1::Pod& pod);
bool IsFinished(const kube::core::v1::Pod& pod);
bool IsTerminating(const google::protobuf::Message& object);
// Neither finished nor terminating.
bool IsActive(const kube::core::v1::Pod& pod);
// "25%" of `total`, or the number.
int Scaled(const kube::intstr::IntOrString& value, int total, bool round_up);

}  // namespace meltemi::sim
