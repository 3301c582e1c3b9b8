#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "orchestrator/apiserver/kinds/names.h"
#include "orchestrator/apiserver/kinds/object_meta.h"
#include "orchestrator/apiserver/kinds/pod_parts.h"
#include "orchestrator/apiserver/kinds/service.h"
#include "orchestrator/apiserver/kinds/tree.h"

namespace meltemi::apiserver {
namespace {

using kube::FieldErrors;
using kube::FieldPath;

constexpr int64_t kKubeletPort = 10250, kAffinitySecondsMax = 86400;

absl::string_view TypeOf(const json::Value& service) { return Text(Get(service, "spec"), "type"); }

void ValidateOfType(const json::Value& service, const FieldPath& path, FieldErrors& errors) {
  const json::Value& spec = Get(service, "spec");
  const absl::string_view type = TypeOf(service);
  const std::vector<json::Value>& ports = Items(spec, "ports");
  if (ports.empty() && !IsHeadless(service) && type != "ExternalName") {
    errors.push_back(kube::Required(path.Child("ports")));
  }
  if (type == "LoadBalancer") {
    for (size_t i = 0; i < ports.size(); ++i) {
      if (Int(ports[i], "port") != kKubeletPort) continue;
      errors.push_back(
          kube::InvalidField(path.Child("ports").Index(i), kKubeletPort,
                             "may not expose port 10250 externally since it is used by kubelet"));
    }
  }
  if (IsHeadless(service) && (type == "LoadBalancer" || type == "NodePort")) {
    errors.push_back(
        kube::InvalidField(path.Child("clusterIPs").Index(0), absl::string_view("None"),
                           absl::StrCat("may not be set to 'None' for ", type, " services")));
  }
  if (type != "ExternalName") return;
  for (const char* key : {"clusterIPs", "ipFamilies", "ipFamilyPolicy"}) {
    const json::Value& value = Get(spec, key);
    if (value.is_null() || (value.is_array() && value.items().empty())) continue;
    errors.push_back(
        kube::ForbiddenField(path.Child(key), "may not be set for ExternalName services"));
  }
  const absl::string_view name = absl::StripSuffix(Text(spec, "externalName"), ".");
  if (name.empty()) {
    errors.push_back(kube::Required(path.Child("externalName")));
  } else {
    AddInvalid(path.Child("externalName"), name, CheckDns1123Subdomain(name), errors);
  }
}

void ValidatePort(const json::Value& port, bool name_required, const FieldPath& path,
                  std::set<absl::string_view>& names, FieldErrors& errors) {
  const absl::string_view name = Text(port, "name");
  if (!name.empty()) {
    AddInvalid(path.Child("name"), name, CheckDns1123Label(name), errors);
    if (!names.insert(name).second) {
      errors.push_back(kube::DuplicateField(path.Child("name"), Get(port, "name")));
    }
  } else if (name_required) {
    errors.push_back(kube::Required(path.Child("name")));
  }
  const int64_t number = Int(port, "port");
  AddInvalid(path.Child("port"), number, CheckPortNumber(number), errors);
  ValidateOneOf(port, "protocol", path, {"SCTP", "TCP", "UDP"}, true, errors);
  ValidatePortNumberOrName(Get(port, "targetPort"), path.Child("targetPort"), errors);
  const absl::string_view protocol = Text(port, "appProtocol");
  if (Has(port, "appProtocol")) {
    AddInvalid(path.Child("appProtocol"), protocol, CheckQualifiedName(protocol), errors);
  }
}

void ValidateDistinctPorts(const json::Value& service, const FieldPath& path, FieldErrors& errors) {
  const std::vector<json::Value>& ports = Items(Get(service, "spec"), "ports");
  if (TypeOf(service) == "ClusterIP") {
    for (size_t i = 0; i < ports.size(); ++i) {
      if (Int(ports[i], "nodePort") == 0) continue;
      errors.push_back(kube::ForbiddenField(path.Index(i).Child("nodePort"),
                                            "may not be used when `type` is 'ClusterIP'"));
    }
  }
  using Key = std::pair<absl::string_view, int64_t>;
  std::set<Key> node_ports, numbers;
  for (size_t i = 0; i < ports.size(); ++i) {
    const int64_t node_port = Int(ports[i], "nodePort");
    if (node_port != 0 && !node_ports.insert({Text(ports[i], "protocol"), node_port}).second) {
      errors.push_back(
          kube::DuplicateField(path.Index(i).Child("nodePort"), json::Value::Int(node_port)));
    }
  }
  for (size_t i = 0; i < ports.size(); ++i) {
    const absl::string_view protocol = Text(ports[i], "protocol");
    const int64_t number = Int(ports[i], "port");
    if (numbers.insert({protocol, number}).second) continue;
    kube::FieldError error = kube::DuplicateField(path.Index(i), json::Value());
    error.bad_value =
        absl::StrCat("core.ServicePort{Name:\"\", Protocol:", GoText(protocol),
                     ", AppProtocol:(*string)(nil), Port:", number,
                     ", TargetPort:intstr.IntOrString{Type:0, IntVal:0, StrVal:\"\"}, NodePort:0}");
    errors.push_back(std::move(error));
  }
}

void ValidateAffinityConfig(const json::Value& spec, const FieldPath& path, FieldErrors& errors) {
  ValidateOneOf(spec, "sessionAffinity", path, {"ClientIP", "None"}, true, errors);
  const absl::string_view affinity = Text(spec, "sessionAffinity");
  const FieldPath at = path.Child("sessionAffinityConfig");
  if (affinity == "None" && Has(spec, "sessionAffinityConfig")) {
    errors.push_back(kube::ForbiddenField(at, "must not be set when session affinity is None"));
  }
  if (affinity != "ClientIP") return;
  static constexpr absl::string_view kWhen = "when session affinity type is ClientIP";
  const json::Value& config = Get(spec, "sessionAffinityConfig");
  const std::optional<int64_t> seconds = OptionalInt(Get(config, "clientIP"), "timeoutSeconds");
  const FieldPath seconds_path = at.Child("clientIP").Child("timeoutSeconds");
  if (config.is_null()) {
    errors.push_back(kube::Required(at, kWhen));
  } else if (!Has(config, "clientIP")) {
    errors.push_back(kube::Required(at.Child("clientIP"), kWhen));
  } else if (!seconds.has_value()) {
    errors.push_back(kube::Required(seconds_path, kWhen));
  } else if (*seconds <= 0 || *seconds > kAffinitySecondsMax) {
    errors.push_back(
        kube::InvalidField(seconds_path, *seconds, "must be greater than 0 and less than 86400"));
  }
}

void ValidateFamilies(const json::Value& spec, const FieldPath& path, FieldErrors& errors) {
  std::set<absl::string_view> seen;
  const std::vector<json::Value>& families = Items(spec, "ipFamilies");
  for (size_t i = 0; i < families.size(); ++i) {
    const FieldPath at = path.Child("ipFamilies").Index(i);
    if (families[i].text() != "IPv4" && families[i].text() != "IPv6") {
      errors.push_back(kube::NotSupported(at, families[i], {"IPv4", "IPv6"}));
    }
    if (!seen.insert(families[i].text()).second) {
      errors.push_back(kube::DuplicateField(at, families[i]));
    }
  }
  ValidateOneOf(spec, "ipFamilyPolicy", path,
                {"PreferDualStack", "RequireDualStack", "SingleStack"}, false, errors);
}

void ValidateClusterIps(const json::Value& service, const FieldPath& path, FieldErrors& errors) {
  if (TypeOf(service) == "ExternalName") return;
  const json::Value& spec = Get(service, "spec");
  const std::vector<json::Value>& ips = Items(spec, "clusterIPs");
  const FieldPath at = path.Child("clusterIPs");
  const std::string printed = GoTextList(Get(spec, "clusterIPs"));
  const absl::string_view first = Text(spec, "clusterIP");
  if (!first.empty() && ips.empty()) {
    errors.push_back(kube::Required(at));
  } else if (!first.empty() && ips[0].text() != first) {
    errors.push_back(InvalidPrinted(at, printed, "first value must match `clusterIP`"));
  } else if (first.empty() && !ips.empty()) {
    errors.push_back(
        InvalidPrinted(at, printed, "must be empty when `clusterIP` is not specified"));
  }
  ValidateFamilies(spec, path, errors);
  const size_t errors_before = errors.size();
  for (size_t i = 0; i < ips.size(); ++i) {
    if (i == 0 && ips[i].text() == "None") {
      if (ips.size() > 1) {
        errors.push_back(InvalidPrinted(at, printed, "'None' must be the first and only value"));
      }
      continue;
    }
    ValidateIp(at.Index(i), ips[i].text(), errors);
  }
  const bool wrong = errors.size() > errors_before;
  if (ips.size() > 2) {
    errors.push_back(InvalidPrinted(at, printed, "may only hold up to 2 values"));
  }
  if (wrong) return;
  if (ips.size() == 2 && IsIpv4(ips[0].text()) == IsIpv4(ips[1].text())) {
    errors.push_back(
        InvalidPrinted(at, printed, "may specify no more than one IP for each IP family"));
  }
  if (IsHeadless(service)) return;
  const std::vector<json::Value>& families = Items(spec, "ipFamilies");
  for (size_t i = 0; i < ips.size() && i < families.size(); ++i) {
    const bool is_v6 = IsIpv6(ips[i].text());
    if ((families[i].text() == "IPv4" && is_v6) || (families[i].text() == "IPv6" && !is_v6)) {
      errors.push_back(
          kube::InvalidField(at.Index(i), ips[i],
                             absl::StrCat("expected an ", families[i].text(),
                                          " value as indicated by `ipFamilies[", i, "]`")));
    }
  }
}

void ValidateSourceRanges(const json::Value& service, const FieldPath& path, FieldErrors& errors) {
  static constexpr absl::string_view kAnnotation =
      "service.beta.kubernetes.io/load-balancer-source-ranges";
  static constexpr absl::string_view kOnly = "may only be used when `type` is 'LoadBalancer'";
  const bool balancer = TypeOf(service) == "LoadBalancer";
  const std::vector<json::Value>& ranges = Items(Get(service, "spec"), "loadBalancerSourceRanges");
  const json::Value* annotation = Get(service, "metadata", "annotations").Find(kAnnotation);
  if (!ranges.empty()) {
    const FieldPath at = path.Child("LoadBalancerSourceRanges");
    if (!balancer) errors.push_back(kube::ForbiddenField(at, kOnly));
    for (size_t i = 0; i < ranges.size(); ++i) {
      ValidateCidr(at.Index(i), absl::StripAsciiWhitespace(ranges[i].text()), errors);
    }
  } else if (annotation != nullptr) {
    const FieldPath at = FieldPath("metadata").Child("annotations").Key(kAnnotation);
    if (!balancer) errors.push_back(kube::ForbiddenField(at, kOnly));
    const absl::string_view text = absl::StripAsciiWhitespace(annotation->text());
    if (text.empty()) return;
    for (const absl::string_view range : absl::StrSplit(text, ',')) {
      ValidateCidr(at, absl::StripAsciiWhitespace(range), errors);
    }
  }
}

void ValidateBalancerFields(const json::Value& service, const FieldPath& path,
                            FieldErrors& errors) {
  static constexpr absl::string_view kOnly = "may only be used when `type` is 'LoadBalancer'";
  const json::Value& spec = Get(service, "spec");
  const bool balancer = TypeOf(service) == "LoadBalancer";
  if (Has(spec, "allocateLoadBalancerNodePorts") != balancer) {
    if (balancer) {
      errors.push_back(kube::Required(FieldPath("allocateLoadBalancerNodePorts")));
    } else {
      errors.push_back(kube::ForbiddenField(path.Child("allocateLoadBalancerNodePorts"), kOnly));
    }
  }
  if (!Has(spec, "loadBalancerClass")) return;
  const absl::string_view name = Text(spec, "loadBalancerClass");
  const FieldPath at = path.Child("loadBalancerClass");
  if (balancer) {
    AddInvalid(at, name, CheckQualifiedName(name), errors);
  } else {
    errors.push_back(kube::ForbiddenField(at, kOnly));
  }
}

void ValidateTrafficPolicies(const json::Value& service, const FieldPath& path,
                             FieldErrors& errors) {
  const json::Value& spec = Get(service, "spec");
  const absl::string_view external = Text(spec, "externalTrafficPolicy");
  if (IsExternallyAccessible(service)) {
    ValidateOneOf(spec, "externalTrafficPolicy", path, {"Cluster", "Local"}, true, errors);
  } else if (!external.empty()) {
    errors.push_back(kube::InvalidField(path.Child("externalTrafficPolicy"), external,
                                        "may only be set for externally-accessible services"));
  }
  const int64_t health = Int(spec, "healthCheckNodePort");
  const FieldPath health_path = path.Child("healthCheckNodePort");
  if (!NeedsHealthCheckPort(service)) {
    if (health != 0) {
      errors.push_back(kube::InvalidField(health_path, health,
                                          "may only be set when `type` is 'LoadBalancer' and "
                                          "`externalTrafficPolicy` is 'Local'"));
    }
  } else if (health == 0) {
    errors.push_back(kube::Required(health_path));
  } else {
    AddInvalid(health_path, health, CheckPortNumber(health), errors);
  }
  ValidateOneOf(spec, "internalTrafficPolicy", path, {"Cluster", "Local"},
                TypeOf(service) != "ExternalName", errors);
  ValidateOneOf(spec, "trafficDistribution", path, {"PreferClose"}, false, errors);
}

void ValidateListUnchanged(const json::Value& old_service, const json::Value& service,
                           absl::string_view key, absl::string_view what, FieldErrors& errors) {
  const json::Value& spec = Get(service, "spec");
  const std::vector<json::Value>& was = Items(Get(old_service, "spec"), key);
  const std::vector<json::Value>& is = Items(spec, key);
  const FieldPath path = FieldPath("spec").Child(key);
  const std::string printed = GoTextList(Get(spec, key));
  if (was.size() == is.size()) {
    for (size_t i = 0; i < was.size(); ++i) {
      if (was[i] == is[i]) continue;
      errors.push_back(InvalidPrinted(path.Index(i), printed, "may not change once set"));
    }
    return;
  }
  if (was.size() > is.size() && is.empty()) {
    errors.push_back(InvalidPrinted(path.Index(0), printed,
                                    absl::StrCat("primary ", what, " can not be unset")));
  }
  if (!was.empty() && !is.empty() && !(was[0] == is[0])) {
    errors.push_back(InvalidPrinted(path.Index(0), printed, "may not change once set"));
  }
  if (was.size() > is.size() && is.size() == 1 && Text(spec, "ipFamilyPolicy") != "SingleStack") {
    errors.push_back(kube::InvalidField(
        FieldPath("spec").Child("ipFamilyPolicy"), Get(spec, "ipFamilyPolicy"),
        absl::StrCat("must be set to 'SingleStack' when releasing the secondary ", what)));
  }
}

}  // namespace

void ValidateNonSpecialIp(absl::string_view ip, const FieldPath& path, FieldErrors& errors) {
  const std::string bytes = IpBytes(ip);
  if (bytes.empty()) {
    errors.push_back(kube::InvalidField(path, ip, "must be a valid IP address"));
    return;
  }
  const auto at = [&bytes](size_t i) { return static_cast<unsigned char>(bytes[i]); };
  const bool v4 = bytes.size() == 4;
  absl::string_view zeros("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16);
  if (bytes == zeros.substr(0, bytes.size())) {
    errors.push_back(
        kube::InvalidField(path, ip, absl::StrCat("may not be unspecified (", ip, ")")));
  }
  if (v4 ? at(0) == 127 : (bytes.substr(0, 15) == zeros.substr(0, 15) && at(15) == 1)) {
    errors.push_back(
        kube::InvalidField(path, ip, "may not be in the loopback range (127.0.0.0/8, ::1/128)"));
  }
  if (v4 ? (at(0) == 169 && at(1) == 254) : (at(0) == 0xfe && (at(1) & 0xc0) == 0x80)) {
    errors.push_back(kube::InvalidField(
        path, ip, "may not be in the link-local range (169.254.0.0/16, fe80::/10)"));
  }
  if (v4 ? (at(0) == 224 && at(1) == 0 && at(2) == 0) : (at(0) == 0xff && (at(1) & 0xf) == 2)) {
    errors.push_back(kube::InvalidField(
        path, ip, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"));
  }
}

FieldErrors ValidateService(const json::Value& service) {
  FieldErrors errors;
  const FieldPath path("spec"), ports_path = path.Child("ports");
  const json::Value& spec = Get(service, "spec");
  ValidateOfType(service, path, errors);
  std::set<absl::string_view> names;
  const std::vector<json::Value>& ports = Items(spec, "ports");
  for (size_t i = 0; i < ports.size(); ++i) {
    ValidatePort(ports[i], ports.size() > 1, ports_path.Index(i), names, errors);
  }
  ValidateLabels(spec.Find("selector"), path.Child("selector"), errors);
  ValidateAffinityConfig(spec, path, errors);
  ValidateClusterIps(service, path, errors);
  const std::vector<json::Value>& external = Items(spec, "externalIPs");
  for (size_t i = 0; i < external.size(); ++i) {
    const FieldPath at = path.Child("externalIPs").Index(i);
    if (IsIp(external[i].text())) {
      ValidateNonSpecialIp(external[i].text(), at, errors);
    } else {
      ValidateIp(at, external[i].text(), errors);
    }
  }
  ValidateOneOf(spec, "type", path, {"ClusterIP", "ExternalName", "LoadBalancer", "NodePort"}, true,
                errors);
  ValidateDistinctPorts(service, ports_path, errors);
  ValidateSourceRanges(service, path, errors);
  ValidateBalancerFields(service, path, errors);
  ValidateTrafficPolicies(service, path, errors);
  return errors;
}

FieldErrors ValidateServiceUpdate(const json::Value& old_service, const json::Value& service) {
  FieldErrors errors;
  const json::Value& was = Get(old_service, "spec");
  const json::Value& is = Get(service, "spec");
  if (NeedsClusterIp(old_service) && NeedsClusterIp(service)) {
    if (!IsHeadless(old_service) || !IsHeadless(service)) {
      ValidateListUnchanged(old_service, service, "clusterIPs", "clusterIP", errors);
    }
    if (!IsHeadless(old_service) && !IsHeadless(service)) {
      ValidateListUnchanged(old_service, service, "ipFamilies", "ipFamily", errors);
    }
  }
  if (TypeOf(old_service) == "LoadBalancer" && TypeOf(service) == "LoadBalancer" &&
      !SameMember(was, is, "loadBalancerClass")) {
    errors.push_back(kube::InvalidField(FieldPath("spec").Child("loadBalancerClass"),
                                        Get(is, "loadBalancerClass"), "may not change once set"));
  }
  if (NeedsHealthCheckPort(old_service) && NeedsHealthCheckPort(service) &&
      Int(was, "healthCheckNodePort") != Int(is, "healthCheckNodePort")) {
    errors.push_back(
        kube::ForbiddenField(FieldPath("spec").Child("healthCheckNodePort"), "field is immutable"));
  }
  for (kube::FieldError& error : ValidateService(service)) errors.push_back(std::move(error));
  return errors;
}

FieldErrors ValidateServiceStatus(const json::Value& service) {
  FieldErrors errors;
  const FieldPath path = FieldPath("status").Child("loadBalancer").Child("ingress");
  const std::vector<json::Value>& ingress =
      Items(Get(service, "status", "loadBalancer"), "ingress");
  if (TypeOf(service) != "LoadBalancer" && !ingress.empty()) {
    errors.push_back(
        kube::ForbiddenField(path, "may only be used when `spec.type` is 'LoadBalancer'"));
    return errors;
  }
  for (size_t i = 0; i < ingress.size(); ++i) {
    const FieldPath at = path.Index(i);
    const absl::string_view ip = Text(ingress[i], "ip"), host = Text(ingress[i], "hostname");
    if (!ip.empty()) ValidateIp(at.Child("ip"), ip, errors);
    if (ip.empty() && Has(ingress[i], "ipMode")) {
      errors.push_back(
          kube::ForbiddenField(at.Child("ipMode"), "may not be specified when `ip` is not set"));
    } else {
      ValidateOneOf(ingress[i], "ipMode", at, {"Proxy", "VIP"}, false, errors);
    }
    if (host.empty()) continue;
    AddInvalid(at.Child("hostname"), host, CheckDns1123Subdomain(host), errors);
    if (IsIp(host)) {
      errors.push_back(
          kube::InvalidField(at.Child("hostname"), host, "must be a DNS name, not an IP address"));
    }
  }
  return errors;
}

}  // namespace meltemi::apiserver
