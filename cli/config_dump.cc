#include "cli/config_dump.h"

#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"

namespace meltemi::cli {
namespace {

using json::Value;

// The value at a path of member names; null where it breaks off.
const Value* At(const Value* value, std::initializer_list<const char*> path) {
  for (const char* key : path) {
    if (value == nullptr) return nullptr;
    value = value->Find(key);
  }
  return value;
}

std::string TextAt(const Value* value, std::initializer_list<const char*> path) {
  const Value* found = At(value, path);
  return found == nullptr ? "" : found->text();
}

const std::vector<Value>& ItemsAt(const Value* value, std::initializer_list<const char*> path) {
  static const auto& none = *new std::vector<Value>();
  const Value* found = At(value, path);
  return found == nullptr || !found->is_array() ? none : found->items();
}

// How Envoy's dump holds each type: lists of the section, and the member in each entry.
struct Layout {
  const char* xds;
  const char* section;
  std::vector<const char*> lists;
  std::vector<const char*> path;  // tried in turn
};

const std::vector<Layout>& Layouts() {
  static const auto& layouts = *new std::vector<Layout>{
      {"cds", "ClustersConfigDump", {"static_clusters", "dynamic_active_clusters"}, {"cluster"}},
      {"eds",
       "EndpointsConfigDump",
       {"static_endpoint_configs", "dynamic_endpoint_configs"},
       {"endpoint_config"}},
      {"lds",
       "ListenersConfigDump",
       {"static_listeners", "dynamic_listeners"},
       {"listener", "active_state"}},
      {"rds",
       "RoutesConfigDump",
       {"static_route_configs", "dynamic_route_configs"},
       {"route_config"}},
  };
  return layouts;
}

// Parts of "outbound|80|v1|host"; other names stand whole as the host.
struct ClusterName {
  std::string direction, port, subset, host;
};

ClusterName SplitCluster(absl::string_view name) {
  const std::vector<std::string> parts = absl::StrSplit(name, '|');
  if (parts.size() != 4) return {"-", "-", "-", std::string(name)};
  const auto dash = [](const std::string& text) { return text.empty() ? "-" : text; };
  return {parts[0], dash(parts[1]), dash(parts[2]), dash(parts[3])};
}

// "/apis/…/namespaces/NS/destination-rule/NAME" -> "NAME.NS"
std::string RuleName(const std::string& path) {
  const std::vector<std::string> parts = absl::StrSplit(path, '/');
  if (parts.size() < 4) return path;
  return absl::StrCat(parts[parts.size() - 1], ".", parts[parts.size() - 3]);
}

std::string RuleOf(const Value& resource) {
  return RuleName(TextAt(&resource, {"metadata", "filter_metadata", "istio", "config"}));
}

std::string DescribeMatch(const Value* match) {
  if (match == nullptr) return "ALL";
  std::vector<std::string> parts;
  const std::string port = TextAt(match, {"destination_port"});
  if (!port.empty()) parts.push_back(absl::StrCat("port ", port));
  std::vector<std::string> ranges;
  for (const Value& range : ItemsAt(match, {"prefix_ranges"})) {
    ranges.push_back(
        absl::StrCat(range.FindString("address_prefix"), "/", TextAt(&range, {"prefix_len"})));
  }
  if (!ranges.empty()) parts.push_back(absl::StrJoin(ranges, ","));
  std::vector<std::string> protocols;
  for (const Value& protocol : ItemsAt(match, {"application_protocols"})) {
    protocols.push_back(protocol.text());
  }
  if (!protocols.empty()) parts.push_back(absl::StrCat("app ", absl::StrJoin(protocols, ",")));
  return parts.empty() ? "ALL" : absl::StrJoin(parts, "; ");
}

std::string DescribeWeighted(const Value* clusters) {
  std::vector<std::string> parts;
  for (const Value& cluster : ItemsAt(clusters, {"clusters"})) {
    parts.push_back(absl::StrCat(TextAt(&cluster, {"name"}), " ", TextAt(&cluster, {"weight"})));
  }
  return absl::StrJoin(parts, ", ");
}

// Where the first network filter of a chain sends to.
std::string DescribeChain(const Value& chain) {
  for (const Value& filter : ItemsAt(&chain, {"filters"})) {
    const Value* config = filter.Find("typed_config");
    const std::string route = TextAt(config, {"rds", "route_config_name"});
    if (!route.empty()) return absl::StrCat("Route: ", route);
    const std::string inline_route = TextAt(config, {"route_config", "name"});
    if (!inline_route.empty()) return absl::StrCat("Inline route: ", inline_route);
    const std::string cluster = TextAt(config, {"cluster"});
    if (!cluster.empty()) return absl::StrCat("Cluster: ", cluster);
    const Value* weighted = At(config, {"weighted_clusters"});
    if (weighted != nullptr) return absl::StrCat("Clusters: ", DescribeWeighted(weighted));
  }
  return "-";
}

std::string DescribeStringMatch(const Value* match) {
  if (match == nullptr) return "present";
  for (const auto& [key, word] : {std::pair{"exact", "="}, std::pair{"prefix", "^="}}) {
    const std::string text = TextAt(match, {key});
    if (!text.empty()) return absl::StrCat(word, text);
  }
  return absl::StrCat("~", TextAt(match, {"safe_regex", "regex"}));
}

std::string DescribeRouteMatch(const Value* match) {
  std::vector<std::string> parts;
  if (const std::string path = TextAt(match, {"path"}); !path.empty()) parts.push_back(path);
  if (const std::string prefix = TextAt(match, {"prefix"}); !prefix.empty()) {
    parts.push_back(absl::StrCat(prefix, "*"));
  }
  if (const std::string regex = TextAt(match, {"safe_regex", "regex"}); !regex.empty()) {
    parts.push_back(absl::StrCat("~", regex));
  }
  for (const char* list : {"headers", "query_parameters"}) {
    for (const Value& matcher : ItemsAt(match, {list})) {
      const Value* invert = matcher.Find("invert_match");
      parts.push_back(absl::StrCat(invert != nullptr && invert->bool_value() ? "!" : "",
                                   *list == 'q' ? "?" : "", TextAt(&matcher, {"name"}), " ",
                                   DescribeStringMatch(matcher.Find("string_match"))));
    }
  }
  return absl::StrJoin(parts, " ");
}

std::string DescribeAction(const Value& route) {
  if (const Value* action = route.Find("route")) {
    const std::string cluster = TextAt(action, {"cluster"});
    return cluster.empty() ? DescribeWeighted(action->Find("weighted_clusters")) : cluster;
  }
  if (route.Find("redirect") != nullptr) return "redirect";
  if (const Value* direct = route.Find("direct_response")) {
    return absl::StrCat("answer ", TextAt(direct, {"status"}));
  }
  return "-";
}

}  // namespace

bool Filter::AcceptsCluster(absl::string_view cluster_name) const {
  const ClusterName parts = SplitCluster(cluster_name);
  return (fqdn.empty() || parts.host == fqdn) && (port.empty() || parts.port == port) &&
         (subset.empty() || parts.subset == subset) && (name.empty() || cluster_name == name);
}

bool Filter::AcceptsName(const Value& resource) const {
  std::string own = TextAt(&resource, {"name"});
  if (own.empty()) own = TextAt(&resource, {"cluster_name"});
  if (!name.empty()) return own == name;
  if (fqdn.empty() && port.empty() && subset.empty()) return true;
  return absl::StrContains(own, '|') ? AcceptsCluster(own) : own == port;
}

std::vector<const Value*> ResourcesOf(const Value& dump, absl::string_view xds) {
  std::vector<const Value*> result;
  for (const Layout& layout : Layouts()) {
    if (xds != layout.xds) continue;
    for (const Value& section : ItemsAt(&dump, {"configs"})) {
      if (!absl::EndsWith(section.FindString("@type"), layout.section)) continue;
      for (const char* list : layout.lists) {
        for (const Value& entry : ItemsAt(&section, {list})) {
          const Value* found = At(&entry, {layout.path[0]});
          if (found == nullptr && layout.path.size() > 1) {
            found = At(&entry, {layout.path[1], layout.path[0]});
          }
          if (found != nullptr) result.push_back(found);
        }
      }
    }
  }
  return result;
}

Table ClusterTable(const std::vector<const Value*>& clusters, const Filter& filter) {
  Table table({"SERVICE FQDN", "PORT", "SUBSET", "DIRECTION", "TYPE", "DESTINATION RULE"});
  for (const Value* cluster : clusters) {
    const std::string name = TextAt(cluster, {"name"});
    if (!filter.AcceptsCluster(name)) continue;
    const ClusterName parts = SplitCluster(name);
    const std::string type = TextAt(cluster, {"type"});
    table.Add({parts.host, parts.port, parts.subset, parts.direction,
               type.empty() ? "STATIC" : type, RuleOf(*cluster)});
  }
  table.Sort();
  return table;
}

Table ListenerTable(const std::vector<const Value*>& listeners, const Filter& filter) {
  Table table({"ADDRESS", "PORT", "MATCH", "DESTINATION"});
  for (const Value* listener : listeners) {
    if (!filter.name.empty() && TextAt(listener, {"name"}) != filter.name) continue;
    const std::string address = TextAt(listener, {"address", "socket_address", "address"});
    const std::string port = TextAt(listener, {"address", "socket_address", "port_value"});
    if (!filter.port.empty() && port != filter.port) continue;
    for (const Value& chain : ItemsAt(listener, {"filter_chains"})) {
      table.Add(
          {address, port, DescribeMatch(chain.Find("filter_chain_match")), DescribeChain(chain)});
    }
    if (const Value* chain = listener->Find("default_filter_chain")) {
      table.Add({address, port, "otherwise", DescribeChain(*chain)});
    }
  }
  return table;
}

Table RouteTable(const std::vector<const Value*>& routes, const Filter& filter) {
  Table table({"NAME", "VIRTUAL HOST", "DOMAINS", "MATCH", "DESTINATION", "VIRTUAL SERVICE"});
  for (const Value* configuration : routes) {
    const std::string name = TextAt(configuration, {"name"});
    if (!filter.name.empty() && name != filter.name) continue;
    if (!filter.port.empty() && name != filter.port) continue;
    for (const Value& host : ItemsAt(configuration, {"virtual_hosts"})) {
      const std::string host_name = TextAt(&host, {"name"});
      if (!filter.fqdn.empty() && !absl::StartsWith(host_name, filter.fqdn)) continue;
      std::vector<std::string> domains;
      for (const Value& domain : ItemsAt(&host, {"domains"})) domains.push_back(domain.text());
      const std::string more =
          domains.size() > 1 ? absl::StrCat(" + ", domains.size() - 1, " more") : "";
      for (const Value& route : ItemsAt(&host, {"routes"})) {
        table.Add({name, host_name, domains.empty() ? "" : absl::StrCat(domains[0], more),
                   DescribeRouteMatch(route.Find("match")), DescribeAction(route), RuleOf(route)});
      }
    }
  }
  return table;
}

Table EndpointTable(const std::vector<const Value*>& assignments, const Filter& filter) {
  Table table({"ENDPOINT", "STATUS", "WEIGHT", "CLUSTER"});
  for (const Value* assignment : assignments) {
    const std::string cluster = TextAt(assignment, {"cluster_name"});
    if (!filter.AcceptsCluster(cluster)) continue;
    for (const Value& group : ItemsAt(assignment, {"endpoints"})) {
      for (const Value& entry : ItemsAt(&group, {"lb_endpoints"})) {
        const Value* address = At(&entry, {"endpoint", "address", "socket_address"});
        const std::string status = TextAt(&entry, {"health_status"});
        table.Add({absl::StrCat(TextAt(address, {"address"}), ":", TextAt(address, {"port_value"})),
                   status.empty() ? "HEALTHY" : status, TextAt(&entry, {"load_balancing_weight"}),
                   cluster});
      }
    }
  }
  table.Sort();
  return table;
}

}  // namespace meltemi::cli
