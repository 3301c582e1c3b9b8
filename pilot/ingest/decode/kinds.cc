#include "pilot/ingest/decode/kinds.h"

#include "kube/core/v1/config.pb.h"
#include "kube/core/v1/namespace.pb.h"
#include "kube/core/v1/pod.pb.h"
#include "kube/core/v1/service.pb.h"
#include "kube/discovery/v1/discovery.pb.h"
#include "networking/v1/destination_rule.pb.h"
#include "networking/v1/gateway.pb.h"
#include "networking/v1/service_entry.pb.h"
#include "networking/v1/sidecar.pb.h"
#include "networking/v1/virtual_service.pb.h"
#include "networking/v1/workload_entry.pb.h"
#include "security/v1/authorization_policy.pb.h"
#include "security/v1/peer_authentication.pb.h"

namespace meltemi::pilot {
namespace {

namespace istio_api = ::istio::networking::v1alpha3;

constexpr absl::string_view kIstio = "networking.istio.io";
constexpr absl::string_view kIstioSecurity = "security.istio.io";

constexpr KindInfo IstioKind(Kind kind) {
  return {.kind = kind,
          .group = kIstio,
          .versions = {"v1", "v1beta1", "v1alpha3"},
          .namespaced = true,
          .message_is_spec = true,
          .keeps_manifest = true};
}

constexpr KindInfo SecurityKind(Kind kind) {
  return {.kind = kind,
          .group = kIstioSecurity,
          .versions = {"v1", "v1beta1", ""},
          .namespaced = true,
          .message_is_spec = true,
          .keeps_manifest = true};
}

constexpr KindInfo KubeKind(Kind kind, absl::string_view group, bool keeps_manifest) {
  return {.kind = kind,
          .group = group,
          .versions = {"v1", "", ""},
          .namespaced = kind != Kind::kNamespace,
          .message_is_spec = false,
          .keeps_manifest = keeps_manifest};
}

constexpr KindInfo kKinds[] = {
    KubeKind(Kind::kService, "", true),
    KubeKind(Kind::kEndpoints, "", false),
    KubeKind(Kind::kPod, "", false),
    KubeKind(Kind::kNamespace, "", false),
    KubeKind(Kind::kEndpointSlice, "discovery.k8s.io", false),
    IstioKind(Kind::kVirtualService),
    IstioKind(Kind::kDestinationRule),
    IstioKind(Kind::kGateway),
    IstioKind(Kind::kServiceEntry),
    IstioKind(Kind::kWorkloadEntry),
    IstioKind(Kind::kSidecar),
    SecurityKind(Kind::kPeerAuthentication),
    SecurityKind(Kind::kAuthorizationPolicy),
    // Keys are kept once.
    KubeKind(Kind::kSecret, "", false),
};

}  // namespace

absl::Span<const KindInfo> AllKinds() { return kKinds; }

const KindInfo* FindKind(absl::string_view group, absl::string_view kind_name) {
  for (const KindInfo& info : kKinds) {
    if (info.group == group && KindName(info.kind) == kind_name) return &info;
  }
  return nullptr;
}

std::unique_ptr<google::protobuf::Message> NewSpec(Kind kind) {
  switch (kind) {
    case Kind::kService:
      return std::make_unique<kube::core::v1::Service>();
    case Kind::kEndpoints:
      return std::make_unique<kube::core::v1::Endpoints>();
    case Kind::kEndpointSlice:
      return std::make_unique<kube::discovery::v1::EndpointSlice>();
    case Kind::kPod:
      return std::make_unique<kube::core::v1::Pod>();
    case Kind::kNamespace:
      return std::make_unique<kube::core::v1::Namespace>();
    case Kind::kVirtualService:
      return std::make_unique<istio_api::VirtualService>();
    case Kind::kDestinationRule:
      return std::make_unique<istio_api::DestinationRule>();
    case Kind::kGateway:
      return std::make_unique<istio_api::Gateway>();
    case Kind::kServiceEntry:
      return std::make_unique<istio_api::ServiceEntry>();
    case Kind::kWorkloadEntry:
      return std::make_unique<istio_api::WorkloadEntry>();
    case Kind::kSidecar:
      return std::make_unique<istio_api::Sidecar>();
    case Kind::kPeerAuthentication:
      return std::make_unique<::istio::security::v1beta1::PeerAuthentication>();
    case Kind::kAuthorizationPolicy:
      return std::make_unique<::istio::security::v1beta1::AuthorizationPolicy>();
    case Kind::kSecret:
      return std::make_unique<kube::core::v1::Secret>();
  }
  return nullptr;
}

}  // namespace meltemi::pilot
