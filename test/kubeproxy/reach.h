// Where a packet may end, read from the rules that the kernel has, whichever mode wrote them: what
// `nft list` and `iptables-save` say is walked as a packet would.
//
// Threads: functions without state.
#pragma once

#include <set>
#include <string>

#include "orchestrator/kubeproxy/model/rules.h"

namespace meltemi::kubeproxy {

struct Packet {
  enum class From : uint8_t { kPod, kNode, kOutside };
  From from = From::kPod;
  Protocol protocol = Protocol::kTcp;
  Ipv4 ip = 0;  // 0: an address of the node
  uint16_t port = 0;
};

struct Reach {
  std::set<std::string> endpoints;  // "10.244.0.5:8080"
  bool masquerade = false;          // of what reaches one
  std::string refusal;              // of what reaches none: "", "refuse", "drop"

  std::string Text() const;
  bool operator==(const Reach&) const = default;
};

Reach ReachByNft(const std::string& table, const Packet& packet);
Reach ReachByIptables(const std::string& saved, const Packet& packet);

}  // namespace meltemi::kubeproxy
