// How Kubernetes names kinds and the resources that serve them.
//
// Threads: plain value types.
#pragma once

#include <string>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace meltemi::kube {

// "v1" for the core group, else "apps/v1".
inline std::string ApiVersion(absl::string_view group, absl::string_view version) {
  return group.empty() ? std::string(version) : absl::StrCat(group, "/", version);
}

struct GroupVersionKind {
  std::string group, version, kind;

  std::string ApiVersion() const { return kube::ApiVersion(group, version); }
  // Of an object's apiVersion and kind; "a/b/c" goes into `group` and `version` at the first slash.
  static GroupVersionKind Of(absl::string_view api_version, absl::string_view kind);

  bool operator==(const GroupVersionKind& o) const {
    return std::tie(group, version, kind) == std::tie(o.group, o.version, o.kind);
  }
  bool operator<(const GroupVersionKind& o) const {
    return std::tie(group, version, kind) < std::tie(o.group, o.version, o.kind);
  }
};

// "deployments" of "apps". Its text is "deployments.apps", or "pods" in the core group.
struct GroupResource {
  std::string group, resource;

  std::string ToString() const {
    return group.empty() ? resource : absl::StrCat(resource, ".", group);
  }
  bool operator==(const GroupResource& o) const {
    return std::tie(group, resource) == std::tie(o.group, o.resource);
  }
  bool operator<(const GroupResource& o) const {
    return std::tie(group, resource) < std::tie(o.group, o.resource);
  }
};

struct NamespacedName {
  std::string ns, name;  // ns is empty for what is cluster-scoped

  // "ns/name", or "name".
  std::string ToString() const { return ns.empty() ? name : absl::StrCat(ns, "/", name); }
  bool operator==(const NamespacedName& o) const {
    return std::tie(ns, name) == std::tie(o.ns, o.name);
  }
  bool operator<(const NamespacedName& o) const {
    return std::tie(ns, name) < std::tie(o.ns, o.name);
  }
};

}  // namespace meltemi::kube
