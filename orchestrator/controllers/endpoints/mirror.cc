#include "orchestrator/controllers/endpoints/mirror.h"

#include <arpa/inet.h>
#include <google/protobuf/util/message_differencer.h>

#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "orchestrator/controllers/endpoints/subsets.h"
#include "orchestrator/controllers/runtime/owners.h"

namespace meltemi::controllers {
namespace {

using kube::core::v1::EndpointAddress;
using kube::core::v1::Endpoints;
using kube::core::v1::EndpointSubset;
using kube::discovery::v1::Endpoint;
using kube::discovery::v1::EndpointPort;
using kube::discovery::v1::EndpointSlice;

constexpr char kLastApplied[] = "kubectl.kubernetes.io/last-applied-configuration";

// Empty: it is no address.
std::string FamilyOf(const std::string& ip) {
  unsigned char bytes[sizeof(in6_addr)];
  if (inet_pton(AF_INET, ip.c_str(), bytes) == 1) return "IPv4";
  return inet_pton(AF_INET6, ip.c_str(), bytes) == 1 ? "IPv6" : "";
}

std::string KeyOf(const EndpointSlice& slice) {
  return absl::StrCat(slice.address_type(), "\n", PortsKey(slice.ports()));
}

Endpoint EndpointOf(const EndpointAddress& address, bool ready) {
  Endpoint out;
  out.add_addresses(address.ip());
  out.mutable_conditions()->set_ready(ready);
  if (address.has_target_ref()) *out.mutable_target_ref() = address.target_ref();
  if (address.has_node_name()) out.set_node_name(address.node_name());
  if (!address.hostname().empty()) out.set_hostname(address.hostname());
  return out;
}

// Without endpoints.
EndpointSlice NewSlice(const Endpoints& endpoints, const std::string& family,
                       const EndpointSubset& subset) {
  EndpointSlice out;
  kube::meta::v1::ObjectMeta* meta = out.mutable_metadata();
  meta->set_generate_name(SliceNamePrefix(endpoints.metadata().name()));
  meta->set_namespace_(endpoints.metadata().namespace_());
  *meta->mutable_labels() = endpoints.metadata().labels();
  (*meta->mutable_labels())[kServiceNameLabel] = endpoints.metadata().name();
  (*meta->mutable_labels())[kManagedByLabel] = kMirroredBy;
  *meta->mutable_annotations() = endpoints.metadata().annotations();
  meta->mutable_annotations()->erase(kTriggerTimeAnnotation);
  meta->mutable_annotations()->erase(kLastApplied);
  *meta->add_owner_references() = ControllerReference(endpoints);
  out.set_address_type(family);
  for (const auto& port : subset.ports()) {
    EndpointPort* added = out.add_ports();
    added->set_name(port.name());
    added->set_port(port.port());
    added->set_protocol(port.protocol().empty() ? "TCP" : port.protocol());
    if (port.has_app_protocol()) added->set_app_protocol(port.app_protocol());
  }
  return out;
}

std::map<std::string, EndpointSlice> WantedSlices(const Endpoints& endpoints, MirrorPlan* plan) {
  std::map<std::string, EndpointSlice> out;
  for (const EndpointSubset& subset : Repack(endpoints.subsets())) {
    int added = 0;
    const auto add = [&](const EndpointAddress& address, bool ready) {
      const std::string family = FamilyOf(address.ip());
      if (added >= kMirroredPerSubset || family.empty()) {
        ++plan->skipped;
        plan->invalid += added < kMirroredPerSubset;
        return;
      }
      ++added;
      EndpointSlice slice = NewSlice(endpoints, family, subset);
      EndpointSlice& held = out.try_emplace(KeyOf(slice), slice).first->second;
      *held.add_endpoints() = EndpointOf(address, ready);
    };
    for (const EndpointAddress& address : subset.addresses()) add(address, true);
    for (const EndpointAddress& address : subset.not_ready_addresses()) add(address, false);
  }
  return out;
}

// What is wanted, in the place of a slice that there is.
EndpointSlice InPlaceOf(const EndpointSlice& held, const EndpointSlice& wanted) {
  EndpointSlice out = wanted;
  kube::meta::v1::ObjectMeta meta = held.metadata();
  *meta.mutable_labels() = wanted.metadata().labels();
  *meta.mutable_annotations() = wanted.metadata().annotations();
  *meta.mutable_owner_references() = wanted.metadata().owner_references();
  *out.mutable_metadata() = std::move(meta);
  return out;
}

}  // namespace

MirrorPlan PlanMirror(const Endpoints& endpoints, const std::vector<SlicePtr>& existing) {
  MirrorPlan plan;
  SlicePlan& slices = plan.slices;
  std::map<std::string, EndpointSlice> wanted = WantedSlices(endpoints, &plan);
  for (const SlicePtr& slice : existing) {
    const auto at = wanted.find(KeyOf(*slice));
    if (at == wanted.end()) {
      slices.remove.push_back(slice);
      continue;
    }
    EndpointSlice changed = InPlaceOf(*slice, at->second);
    if (!google::protobuf::util::MessageDifferencer::Equals(changed, *slice)) {
      slices.update.push_back(std::move(changed));
    }
    wanted.erase(at);
  }
  for (auto& [key, slice] : wanted) {
    // What is not needed any more is made use of: one write instead of two.
    const auto at = std::find_if(
        slices.remove.begin(), slices.remove.end(),
        [&](const SlicePtr& held) { return held->address_type() == slice.address_type(); });
    if (at == slices.remove.end()) {
      slices.create.push_back(std::move(slice));
    } else {
      slices.update.push_back(InPlaceOf(**at, slice));
      slices.remove.erase(at);
    }
  }
  if (endpoints.metadata().has_deletion_timestamp()) slices.create.clear();
  return plan;
}

}  // namespace meltemi::controllers
