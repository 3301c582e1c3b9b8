// What the kernel is to do for a service: plain values, made from objects by the tracker, written
// by the modes. IPv4 only.
//
// Threads: plain value types; shared ones are immutable.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "kube/names/names.h"

namespace meltemi::kubeproxy {

using Ipv4 = uint32_t;  // in the host's byte order

std::string IpText(Ipv4 ip);

enum class Protocol : uint8_t { kTcp = 6, kUdp = 17, kSctp = 132 };
absl::string_view ProtocolWord(Protocol protocol);  // "tcp"

// Where a packet may end: a pod's address and port.
struct Target {
  Ipv4 ip = 0;
  uint16_t port = 0;

  std::string ToString() const;  // "10.244.0.5:8080"
  auto operator<=>(const Target&) const = default;
};

struct SourceRange {
  Ipv4 ip = 0;  // the bits after the prefix are 0
  uint8_t prefix_bits = 0;

  bool Contains(Ipv4 other) const;
  std::string ToString() const;  // "10.0.0.0/8"
  auto operator<=>(const SourceRange&) const = default;
};

struct PortRules {
  std::string name;
  Protocol protocol = Protocol::kTcp;
  uint16_t port = 0;
  // What is not to be served, because another service has it already, is left out: cluster_ip is
  // false, the node port 0, the address not listed.
  bool cluster_ip = true;
  uint16_t node_port = 0;
  std::vector<Ipv4> external_ips, load_balancer_ips;  // sorted

  // Sorted. For traffic policy Cluster, and Local; empty as well where the policy is never asked.
  std::vector<Target> cluster, local;
  // Is there anything on any node that could serve?
  bool has_endpoints = false;
  // Of both lists, those that may run on this node: they may call their own service.
  std::vector<Ipv4> own;
  // Whose flows may go on although new ones may not begin there; of UDP ports only.
  std::vector<Ipv4> serving;

  bool external() const {
    return node_port != 0 || !external_ips.empty() || !load_balancer_ips.empty();
  }
  bool operator==(const PortRules&) const = default;
};

struct ServiceRules {
  kube::NamespacedName key;
  Ipv4 cluster_ip = 0;
  int affinity_s = 0;  // 0: none
  bool internal_local = false, external_local = false;
  std::vector<SourceRange> source_ranges;  // of clients of load balancer addresses; none: all
  uint16_t health_check_port = 0;
  int local_ready = 0;  // endpoints on this node that are ready, each once
  std::vector<PortRules> ports;

  bool operator==(const ServiceRules&) const = default;
};
using ServiceRulesPtr = std::shared_ptr<const ServiceRules>;

// "ns/name:port", or "ns/name" of a port without a name: Kubernetes' name of a service's port,
// which its chains' names are made from.
std::string PortName(const ServiceRules& service, const PortRules& port);

// Null: it is not there.
struct ServiceChange {
  ServiceRulesPtr before, after;
};

}  // namespace meltemi::kubeproxy
