// Objects as owner references name them.
//
// Threads: plain value types; IdentityCache is not thread-safe.
#pragma once

#include <list>
#include <map>
#include <string>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "kube/meta/v1/meta.pb.h"

namespace meltemi::controllers {

struct KindName {
  std::string api_version, kind;

  bool operator==(const KindName& o) const {
    return api_version == o.api_version && kind == o.kind;
  }
  bool operator<(const KindName& o) const {
    return std::tie(kind, api_version) < std::tie(o.kind, o.api_version);
  }
};

struct Identity {
  KindName kind;
  // Empty for what is cluster-scoped. Of an owner that is known by references alone: the
  // dependent's.
  std::string ns;
  std::string name, uid;

  bool operator==(const Identity& o) const {
    return uid == o.uid && name == o.name && ns == o.ns && kind == o.kind;
  }
  bool operator<(const Identity& o) const {
    return std::tie(kind, ns, name, uid) < std::tie(o.kind, o.ns, o.name, o.uid);
  }
  // As events name it: "[v1/Pod, namespace: x, name: y, uid: z]".
  std::string ToString() const {
    return absl::StrCat("[", kind.api_version, "/", kind.kind, ", namespace: ", ns,
                        ", name: ", name, ", uid: ", uid, "]");
  }
};

// Keeps the last ones that were added or asked for.
class IdentityCache {
 public:
  explicit IdentityCache(size_t size_max) : size_max_(size_max) {}

  void Add(const Identity& identity) {
    if (Has(identity)) return;
    order_.push_front(identity);
    places_[identity] = order_.begin();
    if (order_.size() <= size_max_) return;
    places_.erase(order_.back());
    order_.pop_back();
  }
  bool Has(const Identity& identity) {
    const auto found = places_.find(identity);
    if (found == places_.end()) return false;
    order_.splice(order_.begin(), order_, found->second);
    return true;
  }

 private:
  const size_t size_max_;
  std::list<Identity> order_;
  std::map<Identity, std::list<Identity>::iterator> places_;
};

}  // namespace meltemi::controllers
