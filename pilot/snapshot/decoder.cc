#include "pilot/snapshot/decoder.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "kube/core/v1/config.pb.h"
#include "kube/core/v1/pod.pb.h"
#include "kube/core/v1/service.pb.h"
#include "kube/discovery/v1/discovery.pb.h"
#include "networking/v1/destination_rule.pb.h"
#include "networking/v1/gateway.pb.h"
#include "networking/v1/service_entry.pb.h"
#include "networking/v1/sidecar.pb.h"
#include "networking/v1/virtual_service.pb.h"
#include "networking/v1/workload_entry.pb.h"
#include "pilot/model/decode.h"
#include "security/v1/authorization_policy.pb.h"
#include "security/v1/peer_authentication.pb.h"

namespace meltemi::pilot {
namespace {

template <typename Pointer>
void Take(Pointer decoded, std::vector<Pointer>* out) {
  if (decoded != nullptr) out->push_back(std::move(decoded));
}

template <typename T>
void Append(const std::vector<T>& from, std::vector<T>* to) {
  to->insert(to->end(), from.begin(), from.end());
}

}  // namespace

ObjectSet ObjectDecoder::DecodeOne(const Object& object, const std::string& domain) {
  ObjectSet out;
  ObjectMeta meta = object.meta;
  meta.kind = std::string(KindName(object.kind));
  switch (object.kind) {
    case Kind::kService:
      Take(DecodeService(meta, object.Spec<kube::core::v1::Service>(), domain), &out.services);
      break;
    case Kind::kEndpoints:
      Take(DecodeEndpoints(meta, object.Spec<kube::core::v1::Endpoints>()), &out.endpoint_lists);
      break;
    case Kind::kEndpointSlice:
      Take(DecodeEndpointSlice(meta, object.Spec<kube::discovery::v1::EndpointSlice>()),
           &out.endpoint_lists);
      break;
    case Kind::kPod:
      Take(DecodePod(meta, object.Spec<kube::core::v1::Pod>()), &out.workloads);
      break;
    case Kind::kNamespace:
      break;
    case Kind::kVirtualService:
      Take(DecodeVirtualService(meta, object.Spec<networking::VirtualService>(), domain),
           &out.virtual_services);
      break;
    case Kind::kDestinationRule:
      Take(DecodeDestinationRule(meta, object.Spec<networking::DestinationRule>(), domain),
           &out.destination_rules);
      break;
    case Kind::kGateway:
      Take(DecodeGateway(meta, object.Spec<networking::Gateway>()), &out.gateways);
      break;
    case Kind::kServiceEntry:
      out.services = DecodeServiceEntry(meta, object.Spec<networking::ServiceEntry>());
      break;
    case Kind::kWorkloadEntry:
      Take(DecodeWorkloadEntry(meta, object.Spec<networking::WorkloadEntry>()), &out.workloads);
      break;
    case Kind::kSidecar:
      Take(DecodeSidecar(meta, object.Spec<networking::Sidecar>()), &out.sidecars);
      break;
    case Kind::kPeerAuthentication:
      Take(DecodePeerAuthentication(meta, object.Spec<security::PeerAuthentication>()),
           &out.peer_authentications);
      break;
    case Kind::kAuthorizationPolicy:
      Take(DecodeAuthorizationPolicy(meta, object.Spec<security::AuthorizationPolicy>()),
           &out.authorization_policies);
      break;
    case Kind::kSecret:
      Take(DecodeSecret(meta, object.Spec<kube::core::v1::Secret>()), &out.credentials);
      break;
  }
  return out;
}

ObjectSet ObjectDecoder::Decode(const std::vector<ObjectPtr>& objects) {
  ObjectSet all;
  ++round_;
  for (const ObjectPtr& object : objects) {
    std::unique_ptr<Decoded>& decoded = cache_[object.get()];
    if (decoded == nullptr) {
      decoded = std::make_unique<Decoded>(Decoded{object, DecodeOne(*object, domain_)});
    }
    decoded->round = round_;
    const ObjectSet& parts = decoded->parts;
    Append(parts.services, &all.services);
    Append(parts.workloads, &all.workloads);
    Append(parts.endpoint_lists, &all.endpoint_lists);
    Append(parts.virtual_services, &all.virtual_services);
    Append(parts.destination_rules, &all.destination_rules);
    Append(parts.gateways, &all.gateways);
    Append(parts.sidecars, &all.sidecars);
    Append(parts.peer_authentications, &all.peer_authentications);
    Append(parts.authorization_policies, &all.authorization_policies);
    Append(parts.credentials, &all.credentials);
  }
  absl::erase_if(cache_, [this](const auto& entry) { return entry.second->round != round_; });
  return all;
}

}  // namespace meltemi::pilot
