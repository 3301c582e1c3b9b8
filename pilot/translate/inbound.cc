#include "pilot/translate/inbound.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/string_view.h"
#include "networking/v1/sidecar.pb.h"
#include "pilot/model/endpoint_list.h"

namespace meltemi::pilot {
namespace {

using PortMap = std::map<uint32_t, InboundPort>;

void AddPort(const ServicePtr& service, const ServicePort& port, uint32_t target, PortMap* ports) {
  if (target == 0 || port.protocol == Protocol::kUdp) return;
  InboundPort& place = (*ports)[target];
  if (place.services.empty()) {
    place.port = target;
    place.protocol = port.protocol;
    place.service_port = port.number;
  }
  if (std::find(place.services.begin(), place.services.end(), service) == place.services.end()) {
    place.services.push_back(service);
  }
}

void AddSelecting(const ProxyNode& node, const Snapshot& snapshot, PortMap* ports) {
  // A workload object knows named ports, which the node does not.
  WorkloadPtr known;
  for (const std::string& address : node.addresses) {
    known = snapshot.workloads->FindByAddress(address);
    if (known != nullptr) break;
  }
  Workload self;
  if (known != nullptr) self = *known;
  if (!node.labels.empty()) self.meta.labels = node.labels;
  for (const ServicePtr& service : snapshot.services->SelectingIn(node.ns)) {
    if (!LabelsMatch(service->selector, self.meta.labels)) continue;
    for (const ServicePort& port : service->ports) {
      AddPort(service, port, TargetOnWorkload(port, self), ports);
    }
  }
}

void AddAtAddresses(const ProxyNode& node, const Snapshot& snapshot, PortMap* ports) {
  for (const std::string& address : node.addresses) {
    for (const EndpointTable::Instance& instance : snapshot.endpoints->At(address)) {
      const ServicePtr service = snapshot.services->Find(instance.host, node.ns);
      if (service == nullptr) continue;
      if (const ServicePort* port = service->FindPort(instance.service_port)) {
        AddPort(service, *port, instance.port, ports);
      }
    }
  }
}

// "127.0.0.1:8080" -> where a Sidecar's ingress listener forwards. An address of 0.0.0.0 means the
// workload's own: nothing to set but the port.
void ReadDefaultEndpoint(absl::string_view text, InboundPort* port) {
  const size_t colon = text.rfind(':');
  if (colon == absl::string_view::npos) return;
  uint32_t number = 0;
  if (!absl::SimpleAtoi(text.substr(colon + 1), &number)) return;
  const absl::string_view address = text.substr(0, colon);
  port->forward_port = number;
  port->forward_address =
      address == "0.0.0.0" || address.empty() ? std::string("127.0.0.1") : std::string(address);
}

PortMap FromSidecar(const ProxyNode& node, const Scope& scope, const PortMap& from_services) {
  PortMap ports;
  for (const auto& listener : scope.sidecar->spec->ingress()) {
    InboundPort port;
    port.port = listener.port().number();
    port.service_port = port.port;
    port.protocol = ParseProtocol(listener.port().protocol());
    const auto known = from_services.find(port.port);
    if (known != from_services.end()) port.services = known->second.services;
    ReadDefaultEndpoint(listener.default_endpoint(), &port);
    if (listener.has_connection_pool()) port.connection_pool = &listener.connection_pool();
    ports.emplace(port.port, std::move(port));
  }
  return ports;
}

}  // namespace

std::vector<InboundPort> FindInboundPorts(const ProxyNode& node, const Scope& scope) {
  PortMap ports;
  AddSelecting(node, *scope.snapshot, &ports);
  AddAtAddresses(node, *scope.snapshot, &ports);
  if (scope.sidecar != nullptr && scope.sidecar->spec->ingress_size() > 0) {
    ports = FromSidecar(node, scope, ports);
  }
  std::vector<InboundPort> result;
  for (auto& [number, port] : ports) {
    if (scope.sidecar != nullptr && port.connection_pool == nullptr &&
        scope.sidecar->spec->has_inbound_connection_pool()) {
      port.connection_pool = &scope.sidecar->spec->inbound_connection_pool();
    }
    result.push_back(std::move(port));
  }
  return result;
}

}  // namespace meltemi::pilot
