#include "orchestrator/kubeproxy/nftables/fragment.h"

#include <algorithm>
#include <array>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "orchestrator/kubeproxy/names.h"

namespace meltemi::kubeproxy::nftables {
namespace {

using Kind = SharedChain::Kind;

#define ADDRESS_KEY "ip daddr . meta l4proto . th dport"
#define PORT_KEY "meta l4proto . th dport"
#define ADDRESS_TYPE "type ipv4_addr . inet_proto . inet_service"
#define PORT_TYPE "type inet_proto . inet_service"
// The number that numgen gives has no type of its own: it is borrowed from the expression.
#define NUMBER " . numgen random mod 2 : ip daddr . th dport"

constexpr std::array<ContainerShape, kContainers> kShapes = {{
    {"set", "cluster-ips", "type ipv4_addr"},
    {"map", "services", ADDRESS_TYPE " : verdict"},
    {"map", "endpoints", "typeof " ADDRESS_KEY NUMBER},
    {"map", "local-services", ADDRESS_TYPE " : verdict"},
    {"map", "local-endpoints", "typeof " ADDRESS_KEY NUMBER},
    {"map", "node-ports", PORT_TYPE " : verdict"},
    {"map", "port-endpoints", "typeof " PORT_KEY NUMBER},
    {"map", "local-node-ports", PORT_TYPE " : verdict"},
    {"map", "local-port-endpoints", "typeof " PORT_KEY NUMBER},
    {"map", "no-endpoints", ADDRESS_TYPE " : verdict"},
    {"map", "no-port-endpoints", PORT_TYPE " : verdict"},
    {"map", "guarded", ADDRESS_TYPE " : verdict"},
}};

std::string GoTo(absl::string_view chain) { return absl::StrCat("goto ", chain); }

// One endpoint of `endpoints`. Between the two look-ups of a packet the number of endpoints may
// have become smaller: it gets the first then, which is always there.
std::vector<std::string> PickRules(bool of_port, bool local, size_t endpoints) {
  const Container container =
      of_port ? local ? Container::kLocalPortEndpoints : Container::kPortEndpoints
      : local ? Container::kLocalEndpoints
              : Container::kEndpoints;
  const auto rule = [&](size_t mod) {
    return absl::StrCat("dnat ip to ", of_port ? PORT_KEY : ADDRESS_KEY, " . numgen random mod ",
                        mod, " map @", ShapeOf(container).name);
  };
  if (endpoints == 1) return {rule(1)};
  return {rule(endpoints), rule(1)};
}

class Builder {
 public:
  Builder(const ServiceRules& service, Ipv4 node_ip, Fragment& out)
      : service_(service), node_ip_(node_ip), out_(out) {}

  void Build() {
    Add(Container::kClusterIps, IpText(service_.cluster_ip), "");
    for (const PortRules& port : service_.ports) BuildPort(port);
    std::sort(out_.elements.begin(), out_.elements.end());
    std::sort(out_.own.begin(), out_.own.end());
    out_.own.erase(std::unique(out_.own.begin(), out_.own.end()), out_.own.end());
  }

 private:
  void Add(Container container, std::string key, std::string value) {
    out_.elements.push_back({container, std::move(key), std::move(value)});
  }
  void AddTargets(Container container, const std::string& key, const std::vector<Target>& targets) {
    for (size_t i = 0; i < targets.size(); i++) {
      Add(container, absl::StrCat(key, " . ", i),
          absl::StrCat(IpText(targets[i].ip), " . ", targets[i].port));
    }
  }
  std::string Share(Kind kind, size_t endpoints) {
    const SharedChain chain{kind, endpoints};
    for (const SharedChain& needed : chain.Needs()) out_.shared.insert(needed);
    out_.shared.insert(chain);
    return GoTo(chain.Name());
  }

  void BuildPort(const PortRules& port) {
    out_.own.insert(out_.own.end(), port.own.begin(), port.own.end());
    hash_.clear();
    const size_t endpoints = std::max(port.cluster.size(), port.local.size());
    if (endpoints > kSharedMax || (endpoints > 0 && service_.affinity_s > 0)) BuildChains(port);
    if (port.cluster_ip) BuildInternal(port);
    for (Ipv4 ip : port.external_ips) BuildExternal(port, Key(ip, port));
    for (Ipv4 ip : port.load_balancer_ips) BuildExternal(port, Key(ip, port));
    BuildGuard(port);
    if (port.node_port != 0) BuildNodePort(port);
  }

  static std::string Key(Ipv4 ip, const PortRules& port) {
    return absl::StrCat(IpText(ip), " . ", static_cast<int>(port.protocol), " . ", port.port);
  }
  // For traffic that none of the lists has an endpoint for.
  static std::string NoEndpoint(const PortRules& port) {
    return port.has_endpoints ? "drop" : GoTo(kRefuseChain);
  }

  void BuildInternal(const PortRules& port) {
    const std::string key = Key(service_.cluster_ip, port);
    const bool local = service_.internal_local;
    const std::vector<Target>& targets = local ? port.local : port.cluster;
    if (targets.empty()) {
      Add(Container::kNoEndpoints, key, NoEndpoint(port));
    } else if (!hash_.empty()) {
      Add(Container::kServices, key, GoTo(absl::StrCat("internal-", hash_)));
    } else {
      Add(Container::kServices, key,
          Share(local ? Kind::kInternalLocal : Kind::kInternal, targets.size()));
      AddTargets(local ? Container::kLocalEndpoints : Container::kEndpoints, key, targets);
    }
  }

  void BuildExternal(const PortRules& port, const std::string& key) {
    const bool local = service_.external_local;
    if ((local ? port.local : port.cluster).empty()) {
      Add(Container::kNoEndpoints, key, NoEndpoint(port));
    }
    if (port.cluster.empty()) return;
    if (!hash_.empty()) {
      Add(Container::kServices, key, GoTo(absl::StrCat("external-", hash_)));
      return;
    }
    Add(Container::kServices, key,
        Share(local ? Kind::kExternalLocal : Kind::kExternal, port.cluster.size()));
    AddTargets(Container::kEndpoints, key, port.cluster);
    if (!local || port.local.empty()) return;
    Add(Container::kLocalServices, key, Share(Kind::kPickLocal, port.local.size()));
    AddTargets(Container::kLocalEndpoints, key, port.local);
  }

  void BuildNodePort(const PortRules& port) {
    const std::string key = absl::StrCat(static_cast<int>(port.protocol), " . ", port.node_port);
    const bool local = service_.external_local;
    if ((local ? port.local : port.cluster).empty()) {
      Add(Container::kNoPortEndpoints, key, NoEndpoint(port));
    }
    if (port.cluster.empty()) return;
    if (!hash_.empty()) {
      Add(Container::kNodePorts, key, GoTo(absl::StrCat("external-", hash_)));
      return;
    }
    Add(Container::kNodePorts, key,
        Share(local ? Kind::kPortExternalLocal : Kind::kPortExternal, port.cluster.size()));
    AddTargets(Container::kPortEndpoints, key, port.cluster);
    if (!local || port.local.empty()) return;
    Add(Container::kLocalNodePorts, key, Share(Kind::kPortPickLocal, port.local.size()));
    AddTargets(Container::kLocalPortEndpoints, key, port.local);
  }

  // Clients outside the source ranges are dropped before anything else.
  void BuildGuard(const PortRules& port) {
    if (service_.source_ranges.empty() || port.load_balancer_ips.empty()) return;
    std::vector<std::string> sources;
    bool node = false;
    for (const SourceRange& range : service_.source_ranges) {
      if (range.prefix_bits == 0) return;
      sources.push_back(range.ToString());
      node = node || (node_ip_ != 0 && range.Contains(node_ip_));
    }
    // What the node itself sends to an address that it has has that address as its source.
    for (Ipv4 ip : port.load_balancer_ips) {
      const bool listed = std::any_of(service_.source_ranges.begin(), service_.source_ranges.end(),
                                      [&](const SourceRange& range) { return range.Contains(ip); });
      if (node && !listed) sources.push_back(IpText(ip));
    }
    const std::string chain = absl::StrCat("guard-", Hash(port));
    out_.chains.push_back(
        {chain, {absl::StrCat("ip saddr != { ", absl::StrJoin(sources, ", "), " } drop")}});
    for (Ipv4 ip : port.load_balancer_ips) Add(Container::kGuarded, Key(ip, port), GoTo(chain));
  }

  std::string Hash(const PortRules& port) const {
    return HashedName(absl::StrCat(PortName(service_, port), ProtocolWord(port.protocol)));
  }

  // Chains of the port's own.
  void BuildChains(const PortRules& port) {
    hash_ = Hash(port);
    const std::string pick = absl::StrCat("pick-", hash_);
    const std::string local = absl::StrCat("pick-local-", hash_);
    if (service_.affinity_s > 0) {
      // A client that has an endpoint stays with it: that needs a chain and a set for each.
      std::vector<Target> all = port.cluster;
      all.insert(all.end(), port.local.begin(), port.local.end());
      std::sort(all.begin(), all.end());
      all.erase(std::unique(all.begin(), all.end()), all.end());
      for (const Target& target : all) AddStickyEndpoint(port, target);
    }
    AddPick(pick, port, port.cluster);
    AddPick(local, port, port.local);

    const std::string& internal = service_.internal_local ? local : pick;
    if (!(service_.internal_local ? port.local : port.cluster).empty()) {
      out_.chains.push_back(
          {absl::StrCat("internal-", hash_), {"jump internal-marks", GoTo(internal)}});
    }
    if (!port.external() || port.cluster.empty()) return;
    std::vector<std::string> rules;
    if (!service_.external_local) {
      rules = {absl::StrCat("jump ", kMarkChain), GoTo(pick)};
    } else {
      rules = {absl::StrCat("ip saddr @pods goto ", pick),
               absl::StrCat("fib saddr type local jump ", kMarkChain),
               absl::StrCat("fib saddr type local goto ", pick)};
      if (!port.local.empty()) rules.push_back(GoTo(local));
    }
    out_.chains.push_back({absl::StrCat("external-", hash_), std::move(rules)});
  }

  std::string StickyName(const Target& target) const {
    return absl::StrCat("endpoint-", hash_, "-", IpText(target.ip), "-", target.port);
  }
  std::string SetName(const Target& target) const {
    return absl::StrCat("clients-", hash_, "-", IpText(target.ip), "-", target.port, "-",
                        service_.affinity_s);
  }
  void AddStickyEndpoint(const PortRules& port, const Target& target) {
    out_.sets.push_back({SetName(target), service_.affinity_s});
    out_.chains.push_back({StickyName(target),
                           {absl::StrCat("update @", SetName(target), " { ip saddr }"),
                            absl::StrCat("meta l4proto ", ProtocolWord(port.protocol), " dnat to ",
                                         target.ToString())}});
  }
  void AddPick(const std::string& name, const PortRules& port, const std::vector<Target>& targets) {
    if (targets.empty()) return;
    if (service_.affinity_s > 0) {
      AddStickyPick(name, targets);
      return;
    }
    std::vector<std::string> choices;
    for (const Target& target : targets) {
      choices.push_back(absl::StrCat(choices.size(), " : ", IpText(target.ip), " . ", target.port));
    }
    out_.chains.push_back({name,
                           {absl::StrCat("meta l4proto ", ProtocolWord(port.protocol),
                                         " dnat ip to numgen random mod ", targets.size(),
                                         " map { ", absl::StrJoin(choices, ", "), " }")}});
  }
  void AddStickyPick(const std::string& name, const std::vector<Target>& targets) {
    Chain chain{name, {}};
    std::vector<std::string> choices;
    for (const Target& target : targets) {
      chain.rules.push_back(
          absl::StrCat("ip saddr @", SetName(target), " goto ", StickyName(target)));
      choices.push_back(absl::StrCat(choices.size(), " : goto ", StickyName(target)));
    }
    chain.rules.push_back(absl::StrCat("numgen random mod ", targets.size(), " vmap { ",
                                       absl::StrJoin(choices, ", "), " }"));
    out_.chains.push_back(std::move(chain));
  }

  const ServiceRules& service_;
  const Ipv4 node_ip_;
  Fragment& out_;
  std::string hash_;  // of the port that is built, where it has chains of its own; else ""
};

}  // namespace

const ContainerShape& ShapeOf(Container container) {
  return kShapes[static_cast<size_t>(container)];
}

std::string SharedChain::Name() const {
  constexpr std::array<const char*, 10> kNames = {
      "pick-",          "pick-local-",          "port-pick-", "port-pick-local-",
      "internal-",      "internal-local-",      "external-",  "external-local-",
      "port-external-", "port-external-local-",
  };
  return absl::StrCat(kNames[static_cast<size_t>(kind)], endpoints);
}

std::vector<SharedChain> SharedChain::Needs() const {
  switch (kind) {
    case Kind::kPick:
    case Kind::kPickLocal:
    case Kind::kPortPick:
    case Kind::kPortPickLocal:
      return {};
    case Kind::kInternal:
    case Kind::kExternal:
    case Kind::kExternalLocal:
      return {{Kind::kPick, endpoints}};
    case Kind::kInternalLocal:
      return {{Kind::kPickLocal, endpoints}};
    case Kind::kPortExternal:
    case Kind::kPortExternalLocal:
      return {{Kind::kPortPick, endpoints}};
  }
  return {};
}

std::vector<std::string> SharedChain::Rules() const {
  switch (kind) {
    case Kind::kPick:
      return PickRules(/*of_port=*/false, /*local=*/false, endpoints);
    case Kind::kPickLocal:
      return PickRules(false, true, endpoints);
    case Kind::kPortPick:
      return PickRules(true, false, endpoints);
    case Kind::kPortPickLocal:
      return PickRules(true, true, endpoints);
    default:
      break;
  }
  const std::string next = Needs()[0].Name();
  switch (kind) {
    case Kind::kInternal:
    case Kind::kInternalLocal:
      return {"jump internal-marks", GoTo(next)};
    case Kind::kExternal:
    case Kind::kPortExternal:
      return {absl::StrCat("jump ", kMarkChain), GoTo(next)};
    default:
      break;
  }
  // Policy Local: pods and the node itself reach all endpoints nevertheless, as if they came back
  // through a load balancer.
  const bool of_port = kind == Kind::kPortExternalLocal;
  return {absl::StrCat("ip saddr @pods goto ", next),
          absl::StrCat("fib saddr type local jump ", kMarkChain),
          absl::StrCat("fib saddr type local goto ", next),
          of_port ? PORT_KEY " vmap @local-node-ports" : ADDRESS_KEY " vmap @local-services"};
}

Fragment FragmentOf(const ServiceRules* service, Ipv4 node_ip) {
  Fragment fragment;
  if (service != nullptr) Builder(*service, node_ip, fragment).Build();
  return fragment;
}

}  // namespace meltemi::kubeproxy::nftables
