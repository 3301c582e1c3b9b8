#include "orchestrator/controllers/endpoints/subsets.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"

namespace meltemi::controllers {
namespace {

using kube::core::v1::EndpointAddress;
using kube::core::v1::EndpointPort;
using kube::core::v1::EndpointSubset;
using kube::core::v1::Pod;
using kube::core::v1::Service;
using Addresses = google::protobuf::RepeatedPtrField<EndpointAddress>;

struct Backend {
  EndpointAddress address;
  bool ready = false;
};

std::string AddressKey(const Backend& backend) {
  return absl::StrCat(backend.address.ip(), "|", backend.address.target_ref().uid(), "|",
                      backend.ready ? "1" : "0");
}

auto PortKey(const EndpointPort& port) {
  return std::make_tuple(port.name(), port.port(), port.protocol(), port.app_protocol());
}

bool SameAddress(const EndpointAddress& a, const EndpointAddress& b) {
  return a.ip() == b.ip() && a.hostname() == b.hostname() && a.node_name() == b.node_name() &&
         a.target_ref().kind() == b.target_ref().kind() &&
         a.target_ref().namespace_() == b.target_ref().namespace_() &&
         a.target_ref().name() == b.target_ref().name() &&
         a.target_ref().uid() == b.target_ref().uid();
}

bool SameAddresses(const Addresses& a, const Addresses& b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), SameAddress);
}

std::string Family(const Service& service) {
  return service.spec().ip_families().empty() ? "IPv4" : service.spec().ip_families(0);
}

// All ports at which one address is reached come together first, then all addresses with the same
// ports.
class Packer {
 public:
  void Add(const Backend& backend, const EndpointPort* port) {
    Reached& reached = reached_[AddressKey(backend)];
    reached.backend = backend;
    if (port != nullptr) reached.ports.emplace(PortKey(*port), *port);
  }

  Subsets Pack() {
    std::map<std::vector<Key>, std::vector<const Reached*>> by_ports;
    for (const auto& [key, reached] : reached_) {
      std::vector<Key> ports;
      for (const auto& [port_key, port] : reached.ports) ports.push_back(port_key);
      by_ports[std::move(ports)].push_back(&reached);
    }
    Subsets out;
    for (const auto& [ports, members] : by_ports) {
      EndpointSubset* subset = out.Add();
      for (const auto& [key, port] : members.front()->ports) *subset->add_ports() = port;
      for (const Reached* member : members) {
        *(member->backend.ready ? subset->add_addresses() : subset->add_not_ready_addresses()) =
            member->backend.address;
      }
    }
    return out;
  }

 private:
  using Key = decltype(PortKey(EndpointPort()));
  struct Reached {
    Backend backend;
    std::map<Key, EndpointPort> ports;
  };
  std::map<std::string, Reached> reached_;
};

void KeepFirst(int count, Addresses* addresses) {
  if (count < addresses->size()) addresses->DeleteSubrange(count, addresses->size() - count);
}

}  // namespace

Subsets SubsetsOf(const Service& service, const std::vector<PodPtr>& pods) {
  Packer packer;
  const bool unready_too = service.spec().publish_not_ready_addresses();
  for (const PodPtr& pod : pods) {
    if (!IsBackend(*pod, unready_too)) continue;
    Backend backend;
    backend.address.set_ip(AddressOf(*pod, Family(service)));
    if (backend.address.ip().empty()) continue;
    backend.address.set_node_name(pod->spec().node_name());
    backend.address.set_hostname(HostnameOf(*pod, service));
    *backend.address.mutable_target_ref() = TargetOf(*pod);
    backend.ready = unready_too || IsReady(*pod);
    if (service.spec().ports().empty() && IsHeadless(service)) packer.Add(backend, nullptr);
    for (const kube::core::v1::ServicePort& port : service.spec().ports()) {
      const std::optional<int32_t> target = TargetPort(*pod, port);
      if (!target.has_value()) continue;
      EndpointPort endpoint;
      endpoint.set_name(port.name());
      endpoint.set_port(*target);
      endpoint.set_protocol(port.protocol().empty() ? "TCP" : port.protocol());
      if (port.has_app_protocol()) endpoint.set_app_protocol(port.app_protocol());
      packer.Add(backend, &endpoint);
    }
  }
  return packer.Pack();
}

Subsets Repack(const Subsets& subsets) {
  using Key = std::pair<std::string, decltype(PortKey(EndpointPort()))>;
  std::set<Key> unready;
  Packer packer;
  const auto add = [&](const EndpointSubset& subset, const EndpointAddress& address, bool ready) {
    const Backend backend{address, ready};
    const std::string key = AddressKey({address, false});
    if (subset.ports().empty()) packer.Add(backend, nullptr);
    for (const EndpointPort& port : subset.ports()) {
      if (!ready) unready.insert({key, PortKey(port)});
      if (!ready || unready.count({key, PortKey(port)}) == 0) packer.Add(backend, &port);
    }
  };
  for (const EndpointSubset& subset : subsets) {
    for (const EndpointAddress& address : subset.not_ready_addresses()) add(subset, address, false);
  }
  for (const EndpointSubset& subset : subsets) {
    for (const EndpointAddress& address : subset.addresses()) add(subset, address, true);
  }
  return packer.Pack();
}

bool Truncate(Subsets* subsets) {
  int ready = 0, unready = 0;
  for (const EndpointSubset& subset : *subsets) {
    ready += subset.addresses_size();
    unready += subset.not_ready_addresses_size();
  }
  if (ready + unready <= kAddressesMax) return false;
  const bool cut_ready = ready > kAddressesMax;
  const int room = cut_ready ? kAddressesMax : kAddressesMax - ready;
  const int total = cut_ready ? ready : unready;
  int left = room;
  for (EndpointSubset& subset : *subsets) {
    Addresses* const cut =
        cut_ready ? subset.mutable_addresses() : subset.mutable_not_ready_addresses();
    const double share = static_cast<double>(cut->size()) / total * room;
    const int kept = std::min(left, static_cast<int>(std::ceil(share)));
    KeepFirst(kept, cut);
    if (cut_ready) subset.clear_not_ready_addresses();
    left -= kept;
  }
  return true;
}

bool SameSubsets(const Subsets& a, const Subsets& b) {
  return a.size() == b.size() &&
         std::equal(a.begin(), a.end(), b.begin(),
                    [](const EndpointSubset& x, const EndpointSubset& y) {
                      return SameAddresses(x.addresses(), y.addresses()) &&
                             SameAddresses(x.not_ready_addresses(), y.not_ready_addresses()) &&
                             x.ports_size() == y.ports_size() &&
                             std::equal(x.ports().begin(), x.ports().end(), y.ports().begin(),
                                        [](const EndpointPort& p, const EndpointPort& q) {
                                          return PortKey(p) == PortKey(q);
                                        });
                    });
}

}  // namespace meltemi::controllers
