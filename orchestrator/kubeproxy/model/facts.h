// What is read from Service and EndpointSlice objects: checked, compact, without what rules do not
// need. Whatever is not valid (an address of the other family, a port that is none) is left out.
//
// Threads: functions without state.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "orchestrator/kubeproxy/model/rules.h"

namespace meltemi::kube::core::v1 {
class Service;
}  // namespace meltemi::kube::core::v1
namespace meltemi::kube::discovery::v1 {
class EndpointSlice;
}  // namespace meltemi::kube::discovery::v1

namespace meltemi::kubeproxy {

std::optional<Ipv4> ParseIp(absl::string_view text);
std::optional<SourceRange> ParseRange(absl::string_view text);

struct PortFacts {
  std::string name;
  Protocol protocol = Protocol::kTcp;
  uint16_t port = 0, node_port = 0;
};

struct ServiceFacts {
  Ipv4 cluster_ip = 0;
  int affinity_s = 0;
  bool internal_local = false, external_local = false;
  uint16_t health_check_port = 0;
  std::vector<Ipv4> external_ips, load_balancer_ips;  // sorted, each once
  std::vector<SourceRange> source_ranges;
  std::vector<PortFacts> ports;
};

// nullopt: none for us (headless, ExternalName, of another proxy, no IPv4 address).
std::optional<ServiceFacts> ReadService(const kube::core::v1::Service& service);

struct EndpointFacts {
  Ipv4 ip = 0;
  bool local : 1;
  bool placed : 1;  // its node is known
  bool ready : 1;
  bool serving : 1;
  bool terminating : 1;
};

struct SlicePort {
  std::string name;
  Protocol protocol = Protocol::kTcp;
  uint16_t port = 0;
};

struct SliceFacts {
  std::vector<SlicePort> ports;
  std::vector<EndpointFacts> endpoints;
};

// nullopt: not IPv4, or of another proxy.
std::optional<SliceFacts> ReadSlice(const kube::discovery::v1::EndpointSlice& slice,
                                    absl::string_view node_name);

// The service that the slice belongs to; "": none.
std::string ServiceOf(const kube::discovery::v1::EndpointSlice& slice);

// What informers need not keep.
void TrimService(kube::core::v1::Service& service);
void TrimSlice(kube::discovery::v1::EndpointSlice& slice);

}  // namespace meltemi::kubeproxy
