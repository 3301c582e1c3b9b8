// The chains and rules that one service makes, with the names that kube-proxy gives them.
//
// Threads: functions without state. Source: pkg/proxy/iptables (chains, their names, which rule is
// where).
#pragma once

#include <array>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "orchestrator/kubeproxy/rules_writer.h"

namespace meltemi::kubeproxy::iptables {

// Chains that all services have rules in.
enum class Shared : uint8_t {
  kNatServices,      // KUBE-SERVICES of table nat
  kNatNodePorts,     // KUBE-NODEPORTS of table nat
  kFilterServices,   // KUBE-SERVICES of table filter
  kFilterExternal,   // KUBE-EXTERNAL-SERVICES
  kFilterNodePorts,  // KUBE-NODEPORTS of table filter
  kFilterFirewall,   // KUBE-PROXY-FIREWALL
};
constexpr size_t kShared = 6;
const char* ChainOf(Shared shared);
inline bool InFilter(Shared shared) { return shared >= Shared::kFilterServices; }

struct Fragment {
  // Rules without "-A CHAIN".
  std::array<std::set<std::string>, kShared> shared;
  // The service's own, all in table nat.
  std::map<std::string, std::vector<std::string>> chains;
};

// `service` may be null: nothing.
Fragment FragmentOf(const ServiceRules* service, const RulesOptions& options);

// A chain of a service, whoever wrote it.
bool IsServiceChain(const std::string& chain);

}  // namespace meltemi::kubeproxy::iptables
