#include "orchestrator/kubeproxy/conntrack/stale.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "orchestrator/kubeproxy/model/facts.h"

namespace meltemi::kubeproxy {
namespace {

void AddPort(const ServiceRules& service, const PortRules& port, bool now, Answering& answering) {
  const auto add = [&](Ipv4 ip, uint16_t number) {
    std::set<Ipv4>& ips = answering[{ip, number}];
    if (now) ips.insert(port.serving.begin(), port.serving.end());
  };
  if (port.cluster_ip) add(service.cluster_ip, port.port);
  for (Ipv4 ip : port.external_ips) add(ip, port.port);
  for (Ipv4 ip : port.load_balancer_ips) add(ip, port.port);
  if (port.node_port != 0) add(0, port.node_port);
}

}  // namespace

std::optional<Flow> ParseFlow(absl::string_view line) {
  // "udp 17 29 src=… dst=… sport=… dport=… [UNREPLIED] src=… dst=… sport=… dport=… …": first as it
  // began, then as answers come.
  std::optional<Flow> none;
  Flow flow;
  int sources = 0;
  for (absl::string_view word : absl::StrSplit(line, ' ', absl::SkipEmpty())) {
    if (absl::ConsumePrefix(&word, "src=")) {
      if (++sources < 2) continue;
      const std::optional<Ipv4> ip = ParseIp(word);
      if (!ip || flow.destination == 0 || flow.port == 0) return none;
      flow.answers = *ip;
      return flow;
    }
    if (absl::ConsumePrefix(&word, "dst=")) {
      flow.destination = ParseIp(word).value_or(0);
    } else if (absl::ConsumePrefix(&word, "dport=")) {
      uint32_t port = 0;
      if (!absl::SimpleAtoi(word, &port) || port > 65'535) return none;
      flow.port = static_cast<uint16_t>(port);
    }
  }
  return none;
}

Answering AnsweringOf(const std::vector<ServiceChange>& changes) {
  Answering answering;
  for (const ServiceChange& change : changes) {
    for (const ServiceRulesPtr& service : {change.before, change.after}) {
      if (service == nullptr) continue;
      for (const PortRules& port : service->ports) {
        if (port.protocol != Protocol::kUdp) continue;
        AddPort(*service, port, /*now=*/service == change.after, answering);
      }
    }
  }
  return answering;
}

bool IsStale(const Flow& flow, const Answering& answering) {
  const auto at_address = answering.find({flow.destination, flow.port});
  if (at_address != answering.end()) return !at_address->second.contains(flow.answers);
  const auto at_port = answering.find({0, flow.port});
  return at_port != answering.end() && !at_port->second.contains(flow.answers);
}

}  // namespace meltemi::kubeproxy
