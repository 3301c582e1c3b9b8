// The spec of a pod or of a template as a whole.
#include <algorithm>
#include <limits>
#include <set>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "kube/quantity/quantity.h"
#include "orchestrator/apiserver/kinds/names.h"
#include "orchestrator/apiserver/kinds/object_meta.h"
#include "orchestrator/apiserver/kinds/pod_parts.h"
#include "orchestrator/apiserver/kinds/tree.h"

namespace meltemi::apiserver {
namespace {

using kube::FieldErrors;
using kube::FieldPath;

constexpr size_t kNameserversMax = 3, kSearchesMax = 32, kSearchBytesMax = 2048;
constexpr int64_t kInt32Max = std::numeric_limits<int32_t>::max();

bool IsSearchDomain(absl::string_view text) {
  std::string without_underscores(text);
  std::replace(without_underscores.begin(), without_underscores.end(), '_', 'a');
  return CheckDns1123Subdomain(without_underscores).empty();
}

void ValidateDns(const json::Value& spec, const FieldPath& path, FieldErrors& errors) {
  const json::Value& config = Get(spec, "dnsConfig");
  const std::vector<json::Value>& servers = Items(config, "nameservers");
  const std::vector<json::Value>& searches = Items(config, "searches");
  if (Text(spec, "dnsPolicy") == "None") {
    if (config.is_null()) {
      errors.push_back(kube::Required(path, "must provide `dnsConfig` when `dnsPolicy` is None"));
      return;
    }
    if (servers.empty()) {
      errors.push_back(
          kube::Required(path.Child("nameservers"),
                         "must provide at least one DNS nameserver when `dnsPolicy` is None"));
      return;
    }
  }
  if (servers.size() > kNameserversMax) {
    errors.push_back(InvalidPrinted(path.Child("nameservers"),
                                    GoTextList(Get(config, "nameservers")),
                                    "must not have more than 3 nameservers"));
  }
  for (size_t i = 0; i < servers.size(); ++i) {
    ValidateIp(path.Child("nameservers").Index(i), servers[i].text(), errors);
  }
  if (searches.size() > kSearchesMax) {
    errors.push_back(InvalidPrinted(path.Child("searches"), GoTextList(Get(config, "searches")),
                                    "must not have more than 32 search paths"));
  }
  size_t bytes = 0;
  for (size_t i = 0; i < searches.size(); ++i) {
    bytes += searches[i].text().size() + (i > 0 ? 1 : 0);
    const absl::string_view search = absl::StripSuffix(searches[i].text(), ".");
    if (IsSearchDomain(search)) continue;
    AddInvalid(path.Child("searches").Index(i), search, CheckDns1123Subdomain(search), errors);
  }
  if (bytes > kSearchBytesMax) {
    errors.push_back(InvalidPrinted(
        path.Child("searches"), GoTextList(Get(config, "searches")),
        "must not have more than 2048 characters (including spaces) in the search list"));
  }
  const std::vector<json::Value>& options = Items(config, "options");
  for (size_t i = 0; i < options.size(); ++i) {
    if (!Text(options[i], "name").empty()) continue;
    errors.push_back(kube::Required(path.Child("options").Index(i), "must not be empty"));
  }
}

void ValidateHostNetworkPorts(const json::Value& spec, bool is_pod, const FieldPath& path,
                              FieldErrors& errors) {
  if (!Bool(spec, "hostNetwork")) return;
  const std::vector<json::Value>& containers = Items(spec, "containers");
  for (size_t c = 0; c < containers.size(); ++c) {
    const std::vector<json::Value>& ports = Items(containers[c], "ports");
    for (size_t p = 0; p < ports.size(); ++p) {
      const int64_t host_port = Int(ports[p], "hostPort");
      if ((!is_pod && host_port == 0) || host_port == Int(ports[p], "containerPort")) continue;
      errors.push_back(kube::InvalidField(
          path.Child("containers").Index(c).Child("ports").Index(p).Child("hostPort"), host_port,
          "must match `containerPort` when `hostNetwork` is true"));
    }
  }
}

void ValidateResourceClaims(const json::Value& spec, const FieldPath& path, FieldErrors& errors) {
  std::set<absl::string_view> names;
  const std::vector<json::Value>& claims = Items(spec, "resourceClaims");
  for (size_t i = 0; i < claims.size(); ++i) {
    const FieldPath at = path.Index(i);
    const absl::string_view name = Text(claims[i], "name");
    if (name.empty()) {
      errors.push_back(kube::Required(at.Child("name")));
    } else if (!names.insert(name).second) {
      errors.push_back(kube::DuplicateField(at.Child("name"), Get(claims[i], "name")));
    } else {
      AddInvalid(at.Child("name"), name, CheckDns1123Label(name), errors);
    }
    const bool direct = Has(claims[i], "resourceClaimName");
    const bool by_template = Has(claims[i], "resourceClaimTemplateName");
    if (direct && by_template) {
      errors.push_back(kube::InvalidField(at, claims[i],
                                          "at most one of `resourceClaimName` or "
                                          "`resourceClaimTemplateName` may be specified"));
    }
    if (!direct && !by_template) {
      errors.push_back(kube::InvalidField(at, claims[i],
                                          "must specify one of: `resourceClaimName`, "
                                          "`resourceClaimTemplateName`"));
    }
    for (const char* key : {"resourceClaimName", "resourceClaimTemplateName"}) {
      if (!Has(claims[i], key)) continue;
      AddInvalid(at.Child(key), Text(claims[i], key),
                 NameIsDnsSubdomain(Text(claims[i], key), false), errors);
    }
  }
}

// Readiness gates, scheduling gates, host aliases.
void ValidateLists(const json::Value& spec, const FieldPath& path, FieldErrors& errors) {
  const std::vector<json::Value>& readiness = Items(spec, "readinessGates");
  for (size_t i = 0; i < readiness.size(); ++i) {
    const absl::string_view type = Text(readiness[i], "conditionType");
    AddInvalid(path.Child("readinessGates").Index(i).Child("conditionType"), type,
               CheckQualifiedName(type), errors);
  }
  std::set<absl::string_view> seen;
  const std::vector<json::Value>& gates = Items(spec, "schedulingGates");
  for (size_t i = 0; i < gates.size(); ++i) {
    const FieldPath at = path.Child("schedulingGates").Index(i);
    const absl::string_view name = Text(gates[i], "name");
    AddInvalid(at, name, CheckQualifiedName(name), errors);
    if (!seen.insert(name).second) {
      errors.push_back(kube::DuplicateField(at, Get(gates[i], "name")));
    }
  }
  const std::vector<json::Value>& aliases = Items(spec, "hostAliases");
  for (size_t i = 0; i < aliases.size(); ++i) {
    const FieldPath at = path.Child("hostAliases").Index(i);
    ValidateIp(at.Child("ip"), Text(aliases[i], "ip"), errors);
    const std::vector<json::Value>& hosts = Items(aliases[i], "hostnames");
    for (size_t h = 0; h < hosts.size(); ++h) {
      AddInvalid(at.Child("hostnames").Index(h), hosts[h].text(),
                 CheckDns1123Subdomain(hosts[h].text()), errors);
    }
  }
}

void ValidateNamesInSpec(const json::Value& spec, const FieldPath& path, FieldErrors& errors) {
  for (const char* key :
       {"serviceAccountName", "nodeName", "priorityClassName", "runtimeClassName"}) {
    const absl::string_view name = Text(spec, key);
    if (!name.empty()) AddInvalid(path.Child(key), name, NameIsDnsSubdomain(name, false), errors);
  }
  for (const char* key : {"hostname", "subdomain"}) {
    const absl::string_view name = Text(spec, key);
    if (!name.empty()) AddInvalid(path.Child(key), name, CheckDns1123Label(name), errors);
  }
}

void ValidateScalars(const json::Value& spec, const FieldPath& path, FieldErrors& errors) {
  ValidateOneOf(spec, "restartPolicy", path, {"Always", "OnFailure", "Never"}, true, errors);
  ValidateOneOf(spec, "dnsPolicy", path,
                {"ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"}, true, errors);
  ValidateOneOf(spec, "preemptionPolicy", path, {"PreemptLowerPriority", "Never"}, false, errors);
  const std::optional<int64_t> deadline = OptionalInt(spec, "activeDeadlineSeconds");
  if (deadline.has_value()) {
    AddInvalid(path.Child("activeDeadlineSeconds"), *deadline,
               CheckInRange(*deadline, 1, kInt32Max), errors);
  }
  if (!Bool(spec, "hostUsers", true)) {
    static constexpr absl::string_view kWhy = "when `pod.Spec.HostUsers` is false";
    if (Bool(spec, "hostNetwork")) {
      errors.push_back(kube::ForbiddenField(path.Child("hostNetwork"), kWhy));
    }
    if (Bool(spec, "hostPID")) errors.push_back(kube::ForbiddenField(path.Child("HostPID"), kWhy));
    if (Bool(spec, "hostIPC")) errors.push_back(kube::ForbiddenField(path.Child("HostIPC"), kWhy));
  }
  if (!Has(spec, "os")) return;
  const absl::string_view os = Text(Get(spec, "os"), "name");
  if (os.empty()) {
    errors.push_back(kube::Required(path.Child("os").Child("name"), "cannot be empty"));
  } else if (os != "linux" && os != "windows") {
    errors.push_back(
        kube::NotSupported(path.Child("os"), Get(spec, "os", "name"), {"linux", "windows"}));
  }
}

std::string SeccompAnnotationOf(const json::Value& profile) {
  const absl::string_view type = Text(profile, "type");
  if (type == "Unconfined") return "unconfined";
  if (type == "RuntimeDefault") return "runtime/default";
  if (type == "Localhost") return absl::StrCat("localhost/", Text(profile, "localhostProfile"));
  return "";
}

void ValidateSeccompAnnotation(const json::Value& annotations, absl::string_view key,
                               const json::Value& owner, const FieldPath& path,
                               FieldErrors& errors) {
  const json::Value* annotation = annotations.Find(key);
  const json::Value& profile = Get(owner, "securityContext", "seccompProfile");
  if (annotation == nullptr || profile.is_null()) return;
  const std::string& text = annotation->text();
  if (text == SeccompAnnotationOf(profile) ||
      (text == "docker/default" && Text(profile, "type") == "RuntimeDefault")) {
    return;
  }
  errors.push_back(
      kube::ForbiddenField(path.Child("securityContext").Child("seccompProfile").Child("type"),
                           "seccomp type in annotation and field must match"));
}

}  // namespace

void ValidatePodSpec(const json::Value& spec, const PodSpecOwner& owner, const FieldPath& path,
                     FieldErrors& errors) {
  PodContext context;
  if (!Has(spec, "terminationGracePeriodSeconds")) {
    errors.push_back(kube::Required(path.Child("terminationGracePeriodSeconds")));
  }
  context.grace_period_s = Int(spec, "terminationGracePeriodSeconds");
  context.restart_policy = Text(spec, "restartPolicy");
  context.host_users = Bool(spec, "hostUsers", true);
  for (const json::Value& claim : Items(spec, "resourceClaims")) {
    context.claims.insert(Text(claim, "name"));
  }
  ValidateVolumes(spec, owner, path.Child("volumes"), context, errors);
  ValidateResourceClaims(spec, path.Child("resourceClaims"), errors);
  ValidateContainers(spec, path.Child("containers"), context, errors);
  ValidateInitContainers(spec, path.Child("initContainers"), context, errors);
  ValidateEphemeralContainers(spec, path.Child("ephemeralContainers"), context, errors);
  ValidatePodLevelResources(spec, path, errors);
  ValidateHostNetworkPorts(spec, owner.is_pod, path, errors);
  ValidateScalars(spec, path, errors);
  ValidateLabels(spec.Find("nodeSelector"), path.Child("nodeSelector"), errors);
  ValidatePodSecurityContext(spec, path.Child("securityContext"), errors);
  ValidateAffinity(spec, path.Child("affinity"), errors);
  ValidateDns(spec, path.Child("dnsConfig"), errors);
  ValidateLists(spec, path, errors);
  ValidateTopologySpread(spec, path.Child("topologySpreadConstraints"), errors);
  ValidateNamesInSpec(spec, path, errors);
  ValidateTolerations(spec, path.Child("tolerations"), errors);
}

void ValidatePodAnnotations(const json::Value& annotations, const json::Value& spec,
                            const FieldPath& path, FieldErrors& errors) {
  static constexpr absl::string_view kMirror = "kubernetes.io/config.mirror";
  static constexpr absl::string_view kCost = "controller.kubernetes.io/pod-deletion-cost";
  if (annotations.Find(kMirror) != nullptr && Text(spec, "nodeName").empty()) {
    errors.push_back(kube::InvalidField(path.Key(kMirror), Text(annotations, kMirror),
                                        "must set spec.nodeName if mirror pod annotation is set"));
  }
  if (annotations.Find(kCost) != nullptr) {
    const absl::string_view cost = Text(annotations, kCost);
    int32_t number = 0;
    const bool plain = !cost.empty() && (absl::ascii_isdigit(cost[0]) || cost[0] == '-') &&
                       !(cost.size() > 1 && cost[0] == '0');
    if (!plain || !absl::SimpleAtoi(cost, &number)) {
      errors.push_back(kube::InvalidField(path.Key(kCost), cost, "must be a 32bit integer"));
    }
  }
  const FieldPath spec_path("spec");
  ValidateSeccompAnnotation(annotations, "seccomp.security.alpha.kubernetes.io/pod", spec,
                            spec_path, errors);
  const std::vector<json::Value>& containers = Items(spec, "containers");
  for (size_t i = 0; i < containers.size(); ++i) {
    ValidateSeccompAnnotation(annotations,
                              absl::StrCat("container.seccomp.security.alpha.kubernetes.io/",
                                           Text(containers[i], "name")),
                              containers[i], spec_path.Child("containers").Index(i), errors);
  }
}

void ValidatePodTemplate(const json::Value& pod_template, const FieldPath& path,
                         FieldErrors& errors) {
  const json::Value& metadata = Get(pod_template, "metadata");
  const json::Value& spec = Get(pod_template, "spec");
  ValidateLabels(metadata.Find("labels"), path.Child("labels"), errors);
  ValidateAnnotations(metadata.Find("annotations"), path.Child("annotations"), errors);
  ValidatePodAnnotations(Get(metadata, "annotations"), spec, path.Child("annotations"), errors);
  ValidatePodSpec(spec, {}, path.Child("spec"), errors);
  if (!Items(spec, "ephemeralContainers").empty()) {
    errors.push_back(kube::ForbiddenField(path.Child("spec").Child("ephemeralContainers"),
                                          "ephemeral containers not allowed in pod template"));
  }
}

absl::string_view QosClassOf(const json::Value& spec) {
  bool any = false, guaranteed = true;
  for (const char* list : {"containers", "initContainers"}) {
    for (const json::Value& container : Items(spec, list)) {
      const json::Value& resources = Get(container, "resources");
      int limits_of_container = 0;
      for (const char* resource : {"cpu", "memory"}) {
        const auto limit = kube::Quantity::Parse(Get(resources, "limits", resource).text());
        const auto request = kube::Quantity::Parse(Get(resources, "requests", resource).text());
        const bool limited = limit.has_value() && limit->Sign() > 0;
        const bool requested = request.has_value() && request->Sign() > 0;
        any |= limited || requested;
        limits_of_container += limited ? 1 : 0;
        guaranteed &= limited && (!requested || *limit == *request);
      }
      guaranteed &= limits_of_container == 2;
    }
  }
  if (!any) return "BestEffort";
  return guaranteed ? "Guaranteed" : "Burstable";
}

}  // namespace meltemi::apiserver
