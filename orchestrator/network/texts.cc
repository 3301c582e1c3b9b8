#include "orchestrator/network/texts.h"

#include <set>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace meltemi::network {

std::string CniConfigList(const CniOptions& options) {
  std::string interface;
  if (options.bridge_filtered) {
    interface = absl::StrCat(R"("type": "bridge",
      "bridge": ")",
                             options.bridge, R"(",
      "isGateway": true,
      "forceAddress": true,
      "hairpinMode": true,
      "ipMasq": false,
)");
  } else {
    interface = "\"type\": \"ptp\",\n      \"ipMasq\": false,\n";
  }
  const std::string chained = options.chained_plugin.empty()
                                  ? ""
                                  : absl::StrCat(R"(,
    {
      "type": ")",
                                                 options.chained_plugin, R"(",
      "capabilities": {"io.kubernetes.cri.pod-annotations": true}
    })");
  if (options.mtu > 0) absl::StrAppend(&interface, "      \"mtu\": ", options.mtu, ",\n");
  return absl::StrCat(R"({
  "cniVersion": "1.0.0",
  "name": ")",
                      options.bridge, R"(",
  "plugins": [
    {
      )",
                      interface, R"(      "ipam": {
        "type": "host-local",
        "ranges": [[{"subnet": ")",
                      options.pod_cidr, R"("}]],
        "routes": [{"dst": "0.0.0.0/0"}],
        "dataDir": ")",
                      options.ipam_dir, R"("
      }
    },
    {
      "type": "portmap",
      "capabilities": {"portMappings": true}
    })",
                      chained, R"(
  ]
}
)");
}

std::string MasqueradeScript(absl::string_view pod_cidr, absl::string_view cluster_cidr) {
  // Declared, deleted and made anew in one transaction: no packet sees a moment without it.
  return absl::StrCat("table ip ", kTable, "\ndelete table ip ", kTable, "\ntable ip ", kTable,
                      " {\n  chain postrouting {\n",
                      "    type nat hook postrouting priority srcnat; policy accept;\n",
                      "    ip saddr ", pod_cidr, " ip daddr != { ", cluster_cidr,
                      ", 224.0.0.0/4 } masquerade\n  }\n}\n");
}

Routes ParseRoutes(absl::string_view printed) {
  Routes out;
  for (const absl::string_view line : absl::StrSplit(printed, '\n')) {
    const std::vector<absl::string_view> words = absl::StrSplit(line, ' ', absl::SkipEmpty());
    if (words.empty()) continue;
    std::string gateway;
    for (size_t i = 1; i + 1 < words.size(); ++i) {
      if (words[i] == "via") gateway = std::string(words[i + 1]);
    }
    // What is a link's without a gateway is not as we want it, but ours.
    out[std::string(words[0])] = gateway;
  }
  return out;
}

std::string RouteChanges(const Routes& have, const Routes& wanted) {
  std::string out;
  for (const auto& [cidr, gateway] : have) {
    if (wanted.count(cidr) > 0) continue;
    absl::StrAppend(&out, "route del ", cidr, " proto ", kRouteProtocol, "\n");
  }
  for (const auto& [cidr, gateway] : wanted) {
    const auto found = have.find(cidr);
    if (found != have.end() && found->second == gateway) continue;
    absl::StrAppend(&out, "route replace ", cidr, " via ", gateway, " proto ", kRouteProtocol,
                    "\n");
  }
  return out;
}

std::string PortmapLeftovers(absl::string_view saved, absl::string_view network) {
  const std::string ours = absl::StrCat("name: \\\"", network, "\\\" id: ");
  std::set<std::string> of_pods, removed;
  std::vector<std::string> shared, rules, shared_rules;
  for (const absl::string_view line : absl::StrSplit(saved, '\n')) {
    const std::string name(line.substr(0, line.find(' ')));
    if (absl::StartsWith(name, ":CNI-DN-")) {
      of_pods.insert(name.substr(1));
    } else if (absl::StartsWith(name, ":CNI-HOSTPORT-")) {
      shared.push_back(name.substr(1));
    } else if (absl::StartsWith(line, "-A CNI-HOSTPORT-DNAT ") && absl::StrContains(line, ours)) {
      rules.push_back(absl::StrCat("-D ", line.substr(3)));
      removed.emplace(line.substr(line.rfind(' ') + 1));
    } else if (absl::StartsWith(line, "-A ") && !absl::StartsWith(line, "-A CNI-DN-") &&
               absl::StrContains(line, " -j CNI-HOSTPORT-")) {
      shared_rules.push_back(absl::StrCat("-D ", line.substr(3)));
    }
  }
  std::vector<std::string> chains(removed.begin(), removed.end());
  if (of_pods == removed) {
    rules.insert(rules.end(), shared_rules.begin(), shared_rules.end());
    chains.insert(chains.end(), shared.begin(), shared.end());
  }
  if (chains.empty()) return "";
  std::string out = "*nat\n";
  for (const std::string& rule : rules) absl::StrAppend(&out, rule, "\n");
  for (const std::string& chain : chains) absl::StrAppend(&out, "-F ", chain, "\n");
  for (const std::string& chain : chains) absl::StrAppend(&out, "-X ", chain, "\n");
  return absl::StrCat(out, "COMMIT\n");
}

}  // namespace meltemi::network
