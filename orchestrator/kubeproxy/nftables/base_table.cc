#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/substitute.h"
#include "orchestrator/kubeproxy/nftables/writer.h"

namespace meltemi::kubeproxy::nftables {
namespace {

// Hooks. Refusals look at addresses before they are translated; what pods send to a cluster IP and
// was not translated is refused after it.
constexpr char kChains[] = R"(
chain mark-masquerade { meta mark set meta mark | 0x4000; }
chain refuse { reject; }
chain internal-marks { $0 }
chain services {
  ip daddr . meta l4proto . th dport vmap @services
  fib daddr type local $1 meta l4proto . th dport vmap @node-ports
}
chain masquerading {
  meta mark set meta mark ^ 0x4000
  masquerade fully-random
}
chain filter-prerouting {
  type filter hook prerouting priority -110;
  ct state new ip daddr . meta l4proto . th dport vmap @guarded
}
chain filter-input {
  type filter hook input priority -110;
  ct state new ip daddr . meta l4proto . th dport vmap @no-endpoints
  ct state new $1 meta l4proto . th dport vmap @no-port-endpoints
}
chain filter-forward {
  type filter hook forward priority -110;
  ct state new ip daddr . meta l4proto . th dport vmap @no-endpoints
  ct state new ip daddr @cluster-ips goto refuse
}
chain filter-output {
  type filter hook output priority -110;
  ct state new ip daddr . meta l4proto . th dport vmap @guarded
  ct state new ip daddr . meta l4proto . th dport vmap @no-endpoints
}
chain filter-output-translated {
  type filter hook output priority -90;
  ct state new ip daddr @cluster-ips goto refuse
}
chain nat-prerouting {
  type nat hook prerouting priority -100;
  jump services
}
chain nat-output {
  type nat hook output priority -100;
  jump services
}
chain nat-postrouting {
  type nat hook postrouting priority 100;
  meta mark & 0x4000 == 0x4000 goto masquerading
  ct status dnat ip saddr . ip daddr @own-endpoints masquerade fully-random
}
)";

std::string Ranges(const std::vector<SourceRange>& ranges) {
  return absl::StrJoin(ranges, ", ", [](std::string* out, const SourceRange& range) {
    absl::StrAppend(out, range.ToString());
  });
}

}  // namespace

std::string BaseTable(const RulesOptions& options, uint32_t owner) {
  std::string text = absl::StrCat("table ", kTable, " {\nset owner { type mark; elements = { ",
                                  owner, " }; }\nset pods { type ipv4_addr; flags interval; ");
  if (!options.pods.empty()) absl::StrAppend(&text, "elements = { ", Ranges(options.pods), " }; ");
  text += "}\nset own-endpoints { type ipv4_addr . ipv4_addr; }\n";
  for (int i = 0; i < kContainers; i++) {
    const ContainerShape& shape = ShapeOf(static_cast<Container>(i));
    absl::StrAppend(&text, shape.kind, " ", shape.name, " { ", shape.type, "; }\n");
  }
  for (const SharedChain& chain : PickChains()) {
    absl::StrAppend(&text, "chain ", chain.Name(), " {\n", absl::StrJoin(chain.Rules(), "\n"),
                    "\n}\n");
  }
  // Who is neither a pod nor on a node sees an address that leads back here alone.
  std::string internal_marks;
  if (options.masquerade_all) {
    internal_marks = "jump mark-masquerade;";
  } else if (!options.pods.empty()) {
    internal_marks = "ip saddr != @pods jump mark-masquerade;";
  }
  const std::string node_ports =
      options.node_port_addresses.empty()
          ? "ip daddr != 127.0.0.0/8"
          : absl::StrCat("ip daddr { ", Ranges(options.node_port_addresses), " }");
  return absl::StrCat(text, absl::Substitute(kChains, internal_marks, node_ports), "}\n");
}

}  // namespace meltemi::kubeproxy::nftables
