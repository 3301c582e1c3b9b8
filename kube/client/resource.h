// Which resource of the API serves a typed kind: read from the options of its message.
//
// Threads: plain value types; ResourceOf may be called from any thread.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "kube/names/names.h"

namespace google::protobuf {
class Descriptor;
}  // namespace google::protobuf

namespace meltemi::kube {

// "deployments" of apps/v1.
struct ApiResource {
  std::string group, version, resource, kind;
  bool namespaced = true;

  GroupResource group_resource() const { return {group, resource}; }
  GroupVersionKind group_version_kind() const { return {group, version, kind}; }
  // "/apis/apps/v1" or "/api/v1".
  std::string Root() const;
  // "/apis/apps/v1/namespaces/NS/deployments/NAME/SUBRESOURCE"; empty parts are left out. `ns` is
  // not used for what is cluster-scoped; an empty one means all namespaces.
  std::string Path(absl::string_view ns, absl::string_view name = "",
                   absl::string_view subresource = "") const;

  bool operator==(const ApiResource& o) const {
    return group == o.group && version == o.version && resource == o.resource;
  }
};

// Precondition: the message has the option kube.resource (api/kube/options.proto); the version is
// that of its package. The reference stays valid for ever.
const ApiResource& ResourceOf(const google::protobuf::Descriptor& kind);

template <typename T>
const ApiResource& ResourceOf() {
  static const ApiResource& resource = ResourceOf(*T::descriptor());
  return resource;
}

}  // namespace meltemi::kube
