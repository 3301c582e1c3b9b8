#include "proxy/intercept/rules.h"

#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/net/address.h"

namespace meltemi::proxy {
namespace {

constexpr absl::string_view kOurPrefix = "ISTIO_";
// Health and metrics of the proxy answer for themselves.
constexpr absl::string_view kOwnPorts = "15020,15021,15090";

std::vector<std::string> List(absl::string_view text) {
  std::vector<std::string> items;
  for (absl::string_view item : absl::StrSplit(text, ',', absl::SkipWhitespace())) {
    items.emplace_back(absl::StripAsciiWhitespace(item));
  }
  return items;
}

bool IsV6(absl::string_view range) { return absl::StrContains(range, ':'); }

// What iptables-save says that is ours: chains by table, and the rules that jump to them from
// elsewhere.
struct Present {
  std::map<std::string, std::vector<std::string>> chains;
  std::map<std::string, std::vector<std::string>> jumps;  // "PREROUTING -p tcp -j ISTIO_INBOUND"
};

Present Scan(absl::string_view saved) {
  Present present;
  std::string table;
  for (absl::string_view line : absl::StrSplit(saved, '\n')) {
    if (absl::ConsumePrefix(&line, "*")) {
      table = std::string(line);
    } else if (absl::ConsumePrefix(&line, ":")) {
      if (!absl::StartsWith(line, kOurPrefix)) continue;
      present.chains[table].emplace_back(line.substr(0, line.find(' ')));
    } else if (absl::ConsumePrefix(&line, "-A ")) {
      if (absl::StartsWith(line, kOurPrefix)) continue;
      if (!absl::StrContains(line, absl::StrCat("-j ", kOurPrefix))) continue;
      present.jumps[table].emplace_back(line);
    }
  }
  return present;
}

class Script {
 public:
  explicit Script(absl::string_view table) : text_(absl::StrCat("*", table, "\n")) {}
  template <typename... Args>
  void Line(const Args&... args) {
    absl::StrAppend(&text_, args..., "\n");
  }
  std::string Finish() && { return std::move(text_) + "COMMIT\n"; }

 private:
  std::string text_;
};

void AddInbound(const InterceptOptions& options, const std::vector<std::string>& outbound_ranges,
                Script& script) {
  for (const std::string& interface : List(options.exclude_interfaces)) {
    script.Line("-A ISTIO_INBOUND -i ", interface, " -j RETURN");
  }
  for (const std::string& interface : List(options.kube_virt_interfaces)) {
    for (const std::string& range : outbound_ranges) {
      script.Line("-A ISTIO_INBOUND -i ", interface, range, " -p tcp -j ISTIO_REDIRECT");
    }
    script.Line("-A ISTIO_INBOUND -i ", interface, " -j RETURN");
  }
  const std::vector<std::string> excluded =
      List(absl::StrCat(kOwnPorts, ",", options.exclude_inbound_ports));
  if (options.include_inbound_ports == "*") {
    for (const std::string& port : excluded) {
      script.Line("-A ISTIO_INBOUND -p tcp --dport ", port, " -j RETURN");
    }
    script.Line("-A ISTIO_INBOUND -p tcp -j ISTIO_IN_REDIRECT");
    return;
  }
  for (const std::string& port : List(options.include_inbound_ports)) {
    if (std::find(excluded.begin(), excluded.end(), port) != excluded.end()) continue;
    script.Line("-A ISTIO_INBOUND -p tcp --dport ", port, " -j ISTIO_IN_REDIRECT");
  }
}

// What the proxy itself sends: untouched, except that what it sends to its own pod is inbound.
void AddProxyOwned(absl::string_view owner, const std::vector<std::string>& ids,
                   absl::string_view loopback, Script& script) {
  for (const std::string& id : ids) {
    script.Line("-A ISTIO_OUTPUT -o lo ! -d ", loopback, " -p tcp -m owner --", owner, "-owner ",
                id, " -j ISTIO_IN_REDIRECT");
    script.Line("-A ISTIO_OUTPUT -m owner --", owner, "-owner ", id, " -j RETURN");
  }
}

void AddOutbound(const InterceptOptions& options, IpFamily family,
                 const std::vector<std::string>& outbound_ranges, Script& script) {
  const bool v6 = family == IpFamily::kV6;
  const absl::string_view loopback = v6 ? "::1/128" : "127.0.0.1/32";
  // The proxy's connections to the application carry this source address.
  script.Line("-A ISTIO_OUTPUT -o lo -s ", v6 ? "::6/128" : "127.0.0.6/32", " -j RETURN");
  for (const std::string& interface : List(options.exclude_interfaces)) {
    script.Line("-A ISTIO_OUTPUT -o ", interface, " -j RETURN");
  }
  for (const std::string& port : List(options.exclude_outbound_ports)) {
    script.Line("-A ISTIO_OUTPUT -p tcp --dport ", port, " -j RETURN");
  }
  AddProxyOwned("uid", List(options.proxy_uids), loopback, script);
  AddProxyOwned("gid", List(options.proxy_gids), loopback, script);
  // One application to another, or to itself, inside the pod.
  script.Line("-A ISTIO_OUTPUT -o lo -j RETURN");
  script.Line("-A ISTIO_OUTPUT -d ", loopback, " -j RETURN");
  for (const std::string& range : List(options.exclude_outbound_ips)) {
    if (IsV6(range) == v6) script.Line("-A ISTIO_OUTPUT -d ", range, " -j RETURN");
  }
  for (const std::string& port : List(options.include_outbound_ports)) {
    script.Line("-A ISTIO_OUTPUT -p tcp --dport ", port, " -j ISTIO_REDIRECT");
  }
  for (const std::string& range : outbound_ranges) {
    script.Line("-A ISTIO_OUTPUT", range, " -p tcp -j ISTIO_REDIRECT");
  }
}

std::string NatScript(const InterceptOptions& options, IpFamily family, const Present& present) {
  Script script("nat");
  // Creates or empties each.
  for (absl::string_view chain :
       {"ISTIO_INBOUND", "ISTIO_IN_REDIRECT", "ISTIO_OUTPUT", "ISTIO_REDIRECT"}) {
    script.Line(":", chain, " - [0:0]");
  }
  auto jumps = present.jumps.find("nat");
  if (jumps != present.jumps.end()) {
    for (const std::string& jump : jumps->second) script.Line("-D ", jump);
  }
  // " -d RANGE" for each, or "" for everything.
  std::vector<std::string> outbound_ranges;
  for (const std::string& range : List(options.include_outbound_ips)) {
    if (range == "*") {
      outbound_ranges = {""};
      break;
    }
    if (IsV6(range) == (family == IpFamily::kV6)) {
      outbound_ranges.push_back(absl::StrCat(" -d ", range));
    }
  }
  script.Line("-A ISTIO_REDIRECT -p tcp -j REDIRECT --to-ports ", options.proxy_port);
  script.Line("-A ISTIO_IN_REDIRECT -p tcp -j REDIRECT --to-ports ", options.inbound_port);
  AddInbound(options, outbound_ranges, script);
  AddOutbound(options, family, outbound_ranges, script);
  script.Line("-A PREROUTING -p tcp -j ISTIO_INBOUND");
  script.Line("-A OUTPUT -p tcp -j ISTIO_OUTPUT");
  return std::move(script).Finish();
}

std::string MangleScript(const Present& present) {
  Script script("mangle");
  script.Line(":ISTIO_DROP - [0:0]");
  auto jumps = present.jumps.find("mangle");
  if (jumps != present.jumps.end()) {
    for (const std::string& jump : jumps->second) script.Line("-D ", jump);
  }
  script.Line("-A ISTIO_DROP -j DROP");
  script.Line("-A PREROUTING -m conntrack --ctstate INVALID -j ISTIO_DROP");
  return std::move(script).Finish();
}

std::string RemoveTable(const std::string& table, const Present& present) {
  Script script(table);
  auto jumps = present.jumps.find(table);
  if (jumps != present.jumps.end()) {
    for (const std::string& jump : jumps->second) script.Line("-D ", jump);
  }
  auto chains = present.chains.find(table);
  if (chains != present.chains.end()) {
    // Our chains jump to each other: all are emptied before the first is deleted.
    for (const std::string& chain : chains->second) script.Line("-F ", chain);
    for (const std::string& chain : chains->second) script.Line("-X ", chain);
  }
  return std::move(script).Finish();
}

absl::Status CheckPorts(absl::string_view option, absl::string_view text, bool star) {
  if (star && text == "*") return absl::OkStatus();
  for (const std::string& item : List(text)) {
    uint32_t port = 0;
    if (absl::SimpleAtoi(item, &port) && port > 0 && port <= 65535) continue;
    return absl::InvalidArgumentError(absl::StrCat("--", option, ": '", item,
                                                   "' is no port from 1 to 65535",
                                                   star ? " and not the only entry \"*\"" : ""));
  }
  return absl::OkStatus();
}

absl::Status CheckRanges(absl::string_view option, absl::string_view text, bool star) {
  if (star && text == "*") return absl::OkStatus();
  for (const std::string& item : List(text)) {
    if (net::Cidr::Parse(item).ok() || net::Address::FromIp(item, 0).ok()) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("--", option, ": '", item, "' is no IP range such as 10.0.0.0/8"));
  }
  return absl::OkStatus();
}

absl::Status CheckIds(absl::string_view option, absl::string_view text) {
  const std::vector<std::string> ids = List(text);
  if (ids.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--", option, " is empty: the proxy's own connections would be redirected to itself"));
  }
  for (const std::string& id : ids) {
    uint32_t number = 0;
    if (absl::SimpleAtoi(id, &number)) continue;
    return absl::InvalidArgumentError(absl::StrCat("--", option, ": '", id, "' is no numeric id"));
  }
  return absl::OkStatus();
}

absl::Status CheckInterfaces(absl::string_view option, absl::string_view text) {
  for (const std::string& item : List(text)) {
    const bool plain = std::all_of(item.begin(), item.end(), [](unsigned char c) {
      return c > ' ' && c < 0x7f && c != '/' && c != '"';
    });
    if (plain && item.size() <= 15 && item[0] != '-') continue;
    return absl::InvalidArgumentError(
        absl::StrCat("--", option, ": '", item, "' is no name of a network interface"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckInterceptOptions(const InterceptOptions& options) {
  for (const absl::Status& status : {
           CheckIds("proxy-uid", options.proxy_uids),
           CheckIds("proxy-gid", options.proxy_gids),
           CheckPorts("include-inbound-ports", options.include_inbound_ports, true),
           CheckPorts("exclude-inbound-ports", options.exclude_inbound_ports, false),
           CheckPorts("include-outbound-ports", options.include_outbound_ports, false),
           CheckPorts("exclude-outbound-ports", options.exclude_outbound_ports, false),
           CheckRanges("include-outbound-ips", options.include_outbound_ips, true),
           CheckRanges("exclude-outbound-ips", options.exclude_outbound_ips, false),
           CheckInterfaces("kube-virt-interfaces", options.kube_virt_interfaces),
           CheckInterfaces("exclude-interfaces", options.exclude_interfaces),
       }) {
    if (!status.ok()) return status;
  }
  if (options.proxy_port == options.inbound_port) {
    return absl::InvalidArgumentError(
        absl::StrCat("--proxy-port and --inbound-port are both ", options.proxy_port,
                     ": inbound and outbound traffic need listeners of their own"));
  }
  return absl::OkStatus();
}

std::string ApplyScript(const InterceptOptions& options, IpFamily family,
                        absl::string_view current) {
  const Present present = Scan(current);
  std::string script = NatScript(options, family, present);
  if (options.drop_invalid) {
    script += MangleScript(present);
  } else if (present.chains.contains("mangle") || present.jumps.contains("mangle")) {
    script += RemoveTable("mangle", present);
  }
  return script;
}

std::string RemoveScript(absl::string_view current) {
  const Present present = Scan(current);
  std::set<std::string> tables;
  for (const auto& [table, chains] : present.chains) tables.insert(table);
  for (const auto& [table, jumps] : present.jumps) tables.insert(table);
  std::string script;
  for (const std::string& table : tables) script += RemoveTable(table, present);
  return script;
}

}  // namespace meltemi::proxy
