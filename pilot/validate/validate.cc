#include "pilot/validate/validate.h"

#include "kube/core/v1/config.pb.h"
#include "kube/core/v1/service.pb.h"
#include "kube/discovery/v1/discovery.pb.h"
#include "networking/v1/destination_rule.pb.h"
#include "networking/v1/gateway.pb.h"
#include "networking/v1/service_entry.pb.h"
#include "networking/v1/sidecar.pb.h"
#include "networking/v1/virtual_service.pb.h"
#include "networking/v1/workload_entry.pb.h"
#include "pilot/validate/rules.h"
#include "pilot/validate/shared_rules.h"
#include "security/v1/authorization_policy.pb.h"
#include "security/v1/peer_authentication.pb.h"

namespace meltemi::pilot {

std::vector<Diagnostic> Validate(const Object& object) {
  std::vector<Diagnostic> found;
  Report report(object, &found);
  ValidateLabels(object.meta.labels, Path("metadata.labels"), &report);
  switch (object.kind) {
    case Kind::kVirtualService:
      ValidateVirtualService(object.Spec<networking::VirtualService>(), &report);
      break;
    case Kind::kDestinationRule:
      ValidateDestinationRule(object.Spec<networking::DestinationRule>(), &report);
      break;
    case Kind::kGateway:
      ValidateGateway(object.Spec<networking::Gateway>(), &report);
      break;
    case Kind::kServiceEntry:
      ValidateServiceEntry(object.Spec<networking::ServiceEntry>(), &report);
      break;
    case Kind::kWorkloadEntry:
      ValidateWorkloadEntry(object.Spec<networking::WorkloadEntry>(), &report);
      break;
    case Kind::kSidecar:
      ValidateSidecar(object.Spec<networking::Sidecar>(), &report);
      break;
    case Kind::kService:
      ValidateService(object.Spec<kube::core::v1::Service>(), &report);
      break;
    case Kind::kEndpoints:
      ValidateEndpoints(object.Spec<kube::core::v1::Endpoints>(), &report);
      break;
    case Kind::kEndpointSlice:
      ValidateEndpointSlice(object.Spec<kube::discovery::v1::EndpointSlice>(), &report);
      break;
    case Kind::kPeerAuthentication:
      ValidatePeerAuthentication(object.Spec<istio::security::v1beta1::PeerAuthentication>(),
                                 &report);
      break;
    case Kind::kSecret:
      ValidateSecret(object.Spec<kube::core::v1::Secret>(), &report);
      break;
    case Kind::kAuthorizationPolicy:
      ValidateAuthorizationPolicy(object.Spec<istio::security::v1beta1::AuthorizationPolicy>(),
                                  &report);
      break;
    case Kind::kPod:
    case Kind::kNamespace:
      break;
  }
  return found;
}

}  // namespace meltemi::pilot
