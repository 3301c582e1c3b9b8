// Columns of Services.
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "orchestrator/apiserver/kinds/columns.h"
#include "orchestrator/apiserver/kinds/service.h"
#include "orchestrator/apiserver/kinds/tree.h"

namespace meltemi::apiserver {
namespace {

std::string ExternalIp(const json::Value& service) {
  const json::Value& spec = Get(service, "spec");
  const absl::string_view type = Text(spec, "type");
  if (type == "ExternalName") return std::string(Text(spec, "externalName"));
  if (type != "ClusterIP" && type != "NodePort" && type != "LoadBalancer") return "<unknown>";
  std::vector<std::string> ips;
  if (type == "LoadBalancer") {
    std::set<std::string> of_balancer;
    for (const json::Value& ingress : Items(Get(service, "status", "loadBalancer"), "ingress")) {
      const absl::string_view ip = Text(ingress, "ip"), host = Text(ingress, "hostname");
      if (!ip.empty() || !host.empty()) of_balancer.insert(std::string(ip.empty() ? host : ip));
    }
    ips.assign(of_balancer.begin(), of_balancer.end());
  }
  for (const json::Value& ip : Items(spec, "externalIPs")) ips.push_back(ip.text());
  if (!ips.empty()) return absl::StrJoin(ips, ",");
  return type == "LoadBalancer" ? "<pending>" : "<none>";
}

std::string PortsText(const json::Value& service) {
  std::vector<std::string> ports;
  for (const json::Value& port : Items(Get(service, "spec"), "ports")) {
    const int64_t node_port = Int(port, "nodePort");
    ports.push_back(absl::StrCat(Int(port, "port"), node_port > 0 ? ":" : "",
                                 node_port > 0 ? absl::StrCat(node_port) : "", "/",
                                 Text(port, "protocol")));
  }
  return ports.empty() ? "<none>" : absl::StrJoin(ports, ",");
}

}  // namespace

std::unique_ptr<const TableColumns> ServiceColumns() {
  return MakeColumns(
      {NameColumn(), TextColumn("Type", "From where it can be reached."),
       TextColumn("Cluster-IP", "Its address within the cluster."),
       TextColumn("External-IP", "Its addresses outside of the cluster."),
       TextColumn("Port(s)", "Its ports, with the ports of the nodes that lead to them."),
       AgeColumn(), TextColumn("Selector", "The labels of the pods behind it.", 1)},
      [](const json::Value& object, int64_t now_s) {
        const json::Value& spec = Get(object, "spec");
        const std::vector<json::Value>& ips = Items(spec, "clusterIPs");
        return std::vector<json::Value>{NameCell(object),
                                        TextCell(Text(spec, "type")),
                                        TextCell(ips.empty() ? "<none>" : ips[0].text()),
                                        TextCell(ExternalIp(object)),
                                        TextCell(PortsText(object)),
                                        AgeCell(object, now_s),
                                        TextCell(LabelsText(Get(spec, "selector")))};
      });
}

}  // namespace meltemi::apiserver
