// A configuration object as it was read: metadata, decoded spec, and where it came from. Immutable
// once shared; any thread.
#pragma once

#include <memory>
#include <string>
#include <tuple>

#include "absl/strings/string_view.h"
#include "base/json/value.h"
#include "pilot/model/meta.h"

namespace google::protobuf {
class Message;
}  // namespace google::protobuf

namespace meltemi::pilot {

// The kinds that the control plane reads; all others are passed over.
enum class Kind {
  kService,
  kEndpoints,
  kEndpointSlice,
  kPod,
  kNamespace,
  kVirtualService,
  kDestinationRule,
  kGateway,
  kServiceEntry,
  kWorkloadEntry,
  kSidecar,
  kPeerAuthentication,
  kAuthorizationPolicy,
  kSecret,
};

// "VirtualService".
absl::string_view KindName(Kind kind);

// Names an object: one object per key, under whichever API version it was written.
struct ObjectKey {
  Kind kind = Kind::kService;
  std::string ns;  // empty for kinds without namespace
  std::string name;

  // "VirtualService default/flaskapp"
  std::string ToString() const;
  bool operator==(const ObjectKey& other) const {
    return std::tie(kind, ns, name) == std::tie(other.kind, other.ns, other.name);
  }
  bool operator<(const ObjectKey& other) const {
    return std::tie(kind, ns, name) < std::tie(other.kind, other.ns, other.name);
  }
};

struct Object {
  Kind kind = Kind::kService;
  std::string api_version;
  ObjectMeta meta;

  // Istio's kinds: their `spec` (istio.networking.v1alpha3.VirtualService, …). Kubernetes' kinds:
  // the object as a whole (meltemi.kube.core.v1.Service, …) but for its metadata, which is in
  // `meta` alone. Never null.
  std::shared_ptr<const google::protobuf::Message> spec;

  std::string file;  // as the source names it; empty when it is no file
  int line = 0;      // of the first line of the object in the file
  // The text as a tree, to find the line of a field. Null for kinds that can be large (endpoints,
  // pods).
  std::shared_ptr<const json::Value> manifest;

  ObjectKey Key() const { return {.kind = kind, .ns = meta.ns, .name = meta.name}; }
  // The line of a field path such as "spec.http[0].route[1].weight", or of its nearest ancestor
  // that is written in the file; the object's own line when it is not known better.
  int LineOf(absl::string_view path) const;

  // The spec as what the kind says it is: Spec<VirtualService>(). The caller has checked the kind.
  template <typename M>
  const M& Spec() const {
    return static_cast<const M&>(*spec);
  }
};

using ObjectPtr = std::shared_ptr<const Object>;

}  // namespace meltemi::pilot
