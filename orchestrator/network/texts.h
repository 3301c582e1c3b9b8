// The texts of the pod network: CNI configuration, rules, routes.
//
// Threads: functions without state.
#pragma once

#include <map>
#include <string>

#include "absl/strings/string_view.h"

namespace meltemi::network {

inline constexpr char kCniFile[] = "10-meltemi.conflist";
inline constexpr char kTable[] = "meltemi_network";
// Of our routes (`ip route … proto 77`): those of others are never touched.
inline constexpr int kRouteProtocol = 77;

struct CniOptions {
  std::string bridge, pod_cidr, ipam_dir;
  int mtu = 0;  // 0: the kernel's default
  // Whether packets from pod to pod on one bridge pass through netfilter. Where they do not, an
  // answer would reach a client without the Service's address being put back: pods then get links
  // of their own, without a bridge, and all that they say is routed.
  bool bridge_filtered = true;
  // A plugin that stands behind the others and is told the pod's annotations; "": none.
  std::string chained_plugin = "";
};
// The network configuration list.
std::string CniConfigList(const CniOptions& options);

// The nft script that replaces our table.
std::string MasqueradeScript(absl::string_view pod_cidr, absl::string_view cluster_cidr);

// By pod CIDR, the node's address.
using Routes = std::map<std::string, std::string>;
// What `ip -4 route show proto 77` prints.
Routes ParseRoutes(absl::string_view printed);
// Commands for `ip -batch`; "" when nothing is to be done.
std::string RouteChanges(const Routes& have, const Routes& wanted);

// Of an iptables-save of the nat table: the commands (for iptables-restore --noflush) that take
// away what the portmap plugin has made for the pods of a CNI network, and, when no other pod has
// ports on the host, what it leaves behind for all of them; "" when there is nothing.
std::string PortmapLeftovers(absl::string_view saved, absl::string_view network);

}  // namespace meltemi::network
