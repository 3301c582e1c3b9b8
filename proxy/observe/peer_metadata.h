// What two sidecars tell each other in x-envoy-peer-metadata: Istio's format, the base64 of a
// serialised google.protobuf.Struct. Pure functions; any thread.
//
// Source: Istio's metadata exchange (NAME, NAMESPACE, WORKLOAD_NAME, OWNER, CLUSTER_ID, LABELS with
// app, version, service.istio.io/canonical-name and -revision).
#pragma once

#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace meltemi::proxy {

struct Workload;

// Who is at the other end, as far as Istio's labels tell; "" what it did not say.
struct MeshPeer {
  std::string workload, namespace_, app, version, canonical_service, canonical_revision, cluster;

  friend bool operator==(const MeshPeer&, const MeshPeer&) = default;
  template <typename H>
  friend H AbslHashValue(H h, const MeshPeer& p) {
    return H::combine(std::move(h), p.workload, p.namespace_, p.app, p.version, p.canonical_service,
                      p.canonical_revision, p.cluster);
  }
};

// The header's value for this workload.
std::string EncodePeerMetadata(const Workload& self);
// nullopt: not base64, not a Struct, or too large.
std::optional<MeshPeer> DecodePeerMetadata(absl::string_view header_value);
// "name;namespace;canonical name;canonical revision;cluster": Istio's endpoint metadata.
MeshPeer ParseWorkloadText(absl::string_view text);
MeshPeer PeerOf(const Workload& self);

}  // namespace meltemi::proxy
