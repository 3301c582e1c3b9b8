#include "orchestrator/kubeproxy/iptables/fragment.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "orchestrator/kubeproxy/names.h"

namespace meltemi::kubeproxy::iptables {
namespace {

constexpr std::array<const char*, 5> kPrefixes = {"KUBE-SVC-", "KUBE-SVL-", "KUBE-EXT-", "KUBE-FW-",
                                                  "KUBE-SEP-"};

class Builder {
 public:
  Builder(const ServiceRules& service, const RulesOptions& options, Fragment& out)
      : service_(service), options_(options), out_(out) {}

  void Build() {
    for (const PortRules& port : service_.ports) BuildPort(port);
    if (service_.health_check_port != 0) {
      Add(Shared::kFilterNodePorts,
          absl::StrCat("-p tcp -m tcp --dport ", service_.health_check_port, " -j ACCEPT"));
    }
  }

 private:
  void Add(Shared shared, std::string rule) {
    out_.shared[static_cast<size_t>(shared)].insert(std::move(rule));
  }
  void AddTo(const std::string& chain, std::string rule) {
    out_.chains[chain].push_back(std::move(rule));
  }

  void BuildPort(const PortRules& port) {
    word_ = std::string(ProtocolWord(port.protocol));
    const std::string name = PortName(service_, port);
    const std::string hash = HashedName(absl::StrCat(name, word_));
    name_ = absl::StrCat(name, word_);
    svc_ = "KUBE-SVC-" + hash;
    svl_ = "KUBE-SVL-" + hash;
    ext_ = "KUBE-EXT-" + hash;
    fw_ = "KUBE-FW-" + hash;
    if (port.cluster_ip) BuildInternal(port);
    if (port.external()) BuildExternal(port);
    BuildPicks(port);
  }

  std::string To(Ipv4 ip, const PortRules& port) const {
    return absl::StrCat("-d ", IpText(ip), "/32 ", ToPort(port.port));
  }
  std::string ToPort(uint16_t port) const {
    return absl::StrCat("-p ", word_, " -m ", word_, " --dport ", port);
  }
  static std::string Verdict(const PortRules& port) {
    return port.has_endpoints ? " -j DROP" : " -j REJECT";
  }

  void BuildInternal(const PortRules& port) {
    const std::string to = To(service_.cluster_ip, port);
    const bool local = service_.internal_local;
    if ((local ? port.local : port.cluster).empty()) {
      Add(Shared::kFilterServices, absl::StrCat(to, Verdict(port)));
      return;
    }
    const std::string& chain = local ? svl_ : svc_;
    Add(Shared::kNatServices, absl::StrCat(to, " -j ", chain));
    if (options_.masquerade_all) {
      AddTo(chain, absl::StrCat(to, " -j KUBE-MARK-MASQ"));
    } else if (!options_.pods.empty()) {
      AddTo(chain,
            absl::StrCat("! -s ", options_.pods[0].ToString(), " ", to, " -j KUBE-MARK-MASQ"));
    }
  }

  void BuildExternal(const PortRules& port) {
    const bool guarded = !service_.source_ranges.empty() && !port.load_balancer_ips.empty();
    if (!port.cluster.empty()) {
      for (Ipv4 ip : port.external_ips) {
        Add(Shared::kNatServices, absl::StrCat(To(ip, port), " -j ", ext_));
      }
      for (Ipv4 ip : port.load_balancer_ips) {
        Add(Shared::kNatServices, absl::StrCat(To(ip, port), " -j ", guarded ? fw_ : ext_));
      }
      if (port.node_port != 0) {
        Add(Shared::kNatNodePorts, absl::StrCat(ToPort(port.node_port), " -j ", ext_));
      }
      BuildExternalChain(port);
      if (guarded) BuildGuard(port);
    }
    if (guarded) {
      // Who was let in has another destination by now.
      for (Ipv4 ip : port.load_balancer_ips) {
        Add(Shared::kFilterFirewall, absl::StrCat(To(ip, port), " -j DROP"));
      }
    }
    if (!(service_.external_local ? port.local : port.cluster).empty()) return;
    for (const std::vector<Ipv4>* ips : {&port.external_ips, &port.load_balancer_ips}) {
      for (Ipv4 ip : *ips) {
        Add(Shared::kFilterExternal, absl::StrCat(To(ip, port), Verdict(port)));
      }
    }
    if (port.node_port != 0) {
      Add(Shared::kFilterExternal,
          absl::StrCat("-m addrtype --dst-type LOCAL ", ToPort(port.node_port), Verdict(port)));
    }
  }

  void BuildExternalChain(const PortRules& port) {
    if (!service_.external_local) {
      AddTo(ext_, "-j KUBE-MARK-MASQ");
      AddTo(ext_, absl::StrCat("-j ", svc_));
      return;
    }
    // Pods and the node itself are not outside: policy Local is not for them.
    for (const SourceRange& pods : options_.pods) {
      AddTo(ext_, absl::StrCat("-s ", pods.ToString(), " -j ", svc_));
    }
    AddTo(ext_, "-m addrtype --src-type LOCAL -j KUBE-MARK-MASQ");
    AddTo(ext_, absl::StrCat("-m addrtype --src-type LOCAL -j ", svc_));
    if (!port.local.empty()) AddTo(ext_, absl::StrCat("-j ", svl_));
  }

  void BuildGuard(const PortRules& port) {
    bool node = false;
    for (const SourceRange& range : service_.source_ranges) {
      AddTo(fw_, absl::StrCat("-s ", range.ToString(), " -j ", ext_));
      node = node || (options_.node_ip != 0 && range.Contains(options_.node_ip));
    }
    if (!node) return;
    // What the node itself sends to an address that it has has that address as its source.
    for (Ipv4 ip : port.load_balancer_ips) {
      AddTo(fw_, absl::StrCat("-s ", IpText(ip), "/32 -j ", ext_));
    }
  }

  void BuildPicks(const PortRules& port) {
    const bool svc = out_.chains.contains(svc_) || LeadTo(svc_);
    const bool svl = out_.chains.contains(svl_) || LeadTo(svl_);
    if (svc) BuildPick(svc_, port.cluster);
    if (svl) BuildPick(svl_, port.local);
    std::set<Target> targets;
    if (svc) targets.insert(port.cluster.begin(), port.cluster.end());
    if (svl) targets.insert(port.local.begin(), port.local.end());
    for (const Target& target : targets) BuildEndpoint(target);
  }
  // Whether a rule jumps to the chain.
  bool LeadTo(const std::string& chain) const {
    const std::string jump = absl::StrCat("-j ", chain);
    const auto jumps = [&](const std::string& rule) { return absl::EndsWith(rule, jump); };
    const auto& services = out_.shared[static_cast<size_t>(Shared::kNatServices)];
    if (std::any_of(services.begin(), services.end(), jumps)) return true;
    const auto ext = out_.chains.find(ext_);
    return ext != out_.chains.end() && std::any_of(ext->second.begin(), ext->second.end(), jumps);
  }

  std::string EndpointChain(const Target& target) const {
    return absl::StrCat("KUBE-SEP-", HashedName(absl::StrCat(name_, target.ToString())));
  }
  void BuildPick(const std::string& chain, const std::vector<Target>& targets) {
    out_.chains[chain];
    if (service_.affinity_s > 0) {
      for (const Target& target : targets) {
        const std::string endpoint = EndpointChain(target);
        AddTo(chain, absl::StrCat("-m recent --name ", endpoint, " --rcheck --seconds ",
                                  service_.affinity_s, " --reap -j ", endpoint));
      }
    }
    for (size_t i = 0; i < targets.size(); i++) {
      const size_t left = targets.size() - i;
      std::string rule;
      if (left > 1) {
        rule = absl::StrFormat("-m statistic --mode random --probability %.10f ",
                               1.0 / static_cast<double>(left));
      }
      AddTo(chain, absl::StrCat(rule, "-j ", EndpointChain(targets[i])));
    }
  }
  void BuildEndpoint(const Target& target) {
    const std::string chain = EndpointChain(target);
    AddTo(chain, absl::StrCat("-s ", IpText(target.ip), "/32 -j KUBE-MARK-MASQ"));
    const std::string recent =
        service_.affinity_s > 0 ? absl::StrCat("-m recent --name ", chain, " --set ") : "";
    AddTo(chain, absl::StrCat(recent, "-p ", word_, " -m ", word_, " -j DNAT --to-destination ",
                              target.ToString()));
  }

  const ServiceRules& service_;
  const RulesOptions& options_;
  Fragment& out_;
  // Of the port that is built.
  std::string word_, name_, svc_, svl_, ext_, fw_;
};

}  // namespace

const char* ChainOf(Shared shared) {
  switch (shared) {
    case Shared::kNatServices:
    case Shared::kFilterServices:
      return "KUBE-SERVICES";
    case Shared::kNatNodePorts:
    case Shared::kFilterNodePorts:
      return "KUBE-NODEPORTS";
    case Shared::kFilterExternal:
      return "KUBE-EXTERNAL-SERVICES";
    case Shared::kFilterFirewall:
      return "KUBE-PROXY-FIREWALL";
  }
  return "";
}

Fragment FragmentOf(const ServiceRules* service, const RulesOptions& options) {
  Fragment fragment;
  if (service != nullptr) Builder(*service, options, fragment).Build();
  return fragment;
}

bool IsServiceChain(const std::string& chain) {
  return std::any_of(kPrefixes.begin(), kPrefixes.end(),
                     [&](const char* prefix) { return absl::StartsWith(chain, prefix); });
}

}  // namespace meltemi::kubeproxy::iptables
