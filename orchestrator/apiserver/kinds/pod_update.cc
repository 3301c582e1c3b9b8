#include "orchestrator/apiserver/kinds/pod_update.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/json/write.h"
#include "orchestrator/apiserver/kinds/names.h"
#include "orchestrator/apiserver/kinds/pod_parts.h"
#include "orchestrator/apiserver/kinds/tree.h"

namespace meltemi::apiserver {
namespace {

using kube::FieldErrors;
using kube::FieldPath;

constexpr absl::string_view kRequired = "requiredDuringSchedulingIgnoredDuringExecution";

// False: the lists have different lengths, and further comparison makes no sense.
bool ValidateImages(const json::Value& old_spec, const json::Value& spec, absl::string_view list,
                    FieldErrors& errors) {
  const FieldPath path = FieldPath("spec").Child(list);
  const std::vector<json::Value>& containers = Items(spec, list);
  if (containers.size() != Items(old_spec, list).size()) {
    errors.push_back(kube::ForbiddenField(path, "pod updates may not add or remove containers"));
    return false;
  }
  return true;
}

// False: nothing else is compared.
bool ValidateDeadline(const json::Value& old_spec, const json::Value& spec, FieldErrors& errors) {
  static constexpr absl::string_view kKey = "activeDeadlineSeconds";
  const FieldPath path = FieldPath("spec").Child(kKey);
  const std::optional<int64_t> was = OptionalInt(old_spec, kKey), is = OptionalInt(spec, kKey);
  if (!is.has_value()) {
    if (was.has_value()) {
      errors.push_back(kube::InvalidField(path, json::Value(),
                                          "must not update from a positive integer to nil value"));
    }
    return true;
  }
  const Complaints complaints = CheckInRange(*is, 0, std::numeric_limits<int32_t>::max());
  AddInvalid(path, *is, complaints, errors);
  if (complaints.empty() && was.has_value() && *was < *is) {
    errors.push_back(kube::InvalidField(path, *is, "must be less than or equal to previous value"));
    return false;
  }
  return complaints.empty();
}

void ValidateOnlyAddedTolerations(const json::Value& old_spec, const json::Value& spec,
                                  FieldErrors& errors) {
  for (const json::Value& old_one : Items(old_spec, "tolerations")) {
    const bool found =
        std::any_of(Items(spec, "tolerations").begin(), Items(spec, "tolerations").end(),
                    [&old_one](const json::Value& one) {
                      json::Value expected = old_one;
                      CopyMember(one, "tolerationSeconds", expected);
                      return Same(expected, one);
                    });
    if (found) continue;
    errors.push_back(kube::ForbiddenField(FieldPath("spec").Child("tolerations"),
                                          "existing toleration can not be modified except its "
                                          "tolerationSeconds"));
    return;
  }
}

void ValidateOnlyRemovedGates(const json::Value& old_spec, const json::Value& spec,
                              FieldErrors& errors) {
  const std::vector<json::Value>& gates = Items(spec, "schedulingGates");
  for (size_t i = 0; i < gates.size(); ++i) {
    bool known = false;
    for (const json::Value& old_gate : Items(old_spec, "schedulingGates")) {
      known |= Text(old_gate, "name") == Text(gates[i], "name");
    }
    if (known) continue;
    errors.push_back(kube::ForbiddenField(
        FieldPath("spec").Child("schedulingGates").Index(i).Child("name"),
        absl::StrCat("only deletion is allowed, but found new scheduling gate '",
                     Text(gates[i], "name"), "'")));
  }
}

bool StartsWithAll(const json::Value& old_term, const json::Value& term, absl::string_view list) {
  const std::vector<json::Value>& was = Items(old_term, list);
  const std::vector<json::Value>& is = Items(term, list);
  return was.size() <= is.size() && std::equal(was.begin(), was.end(), is.begin(), Same);
}

void ValidateGatedAffinity(const json::Value& was, const json::Value& is, FieldErrors& errors) {
  const FieldPath path = FieldPath("spec")
                             .Child("affinity")
                             .Child("nodeAffinity")
                             .Child(kRequired)
                             .Child("nodeSelectorTerms");
  const std::vector<json::Value>& old_terms = Items(Get(was, kRequired), "nodeSelectorTerms");
  const std::vector<json::Value>& terms = Items(Get(is, kRequired), "nodeSelectorTerms");
  if (old_terms.empty()) return;
  if (old_terms.size() != terms.size()) {
    errors.push_back(kube::InvalidField(
        path, Get(is, kRequired, "nodeSelectorTerms"),
        "no additions/deletions to non-empty NodeSelectorTerms list are allowed"));
    return;
  }
  for (size_t i = 0; i < terms.size(); ++i) {
    const bool was_empty = Items(old_terms[i], "matchExpressions").empty() &&
                           Items(old_terms[i], "matchFields").empty();
    if (was_empty && Same(old_terms[i], terms[i])) continue;
    if (!was_empty && StartsWithAll(old_terms[i], terms[i], "matchExpressions") &&
        StartsWithAll(old_terms[i], terms[i], "matchFields")) {
      continue;
    }
    errors.push_back(kube::InvalidField(path.Index(i), terms[i],
                                        "only additions are allowed (no mutations or deletions)"));
  }
}

// Until its gates are gone, a pod may be bound more closely to nodes. Undoes that in `munged`.
void AllowGatedChanges(const json::Value& old_spec, json::Value& munged, FieldErrors& errors) {
  if (!SameMember(old_spec, munged, "nodeSelector")) {
    for (const json::Member& label : Members(old_spec, "nodeSelector")) {
      const json::Value* now = Get(munged, "nodeSelector").Find(label.key);
      if (now != nullptr && *now == label.value) continue;
      errors.push_back(InvalidPrinted(
          FieldPath("spec").Child("nodeSelector"), GoTextMap(Get(munged, "nodeSelector")),
          "only additions to spec.nodeSelector are allowed (no mutations or deletions)"));
      break;
    }
    CopyMember(old_spec, "nodeSelector", munged);
  }
  const json::Value& was = Get(old_spec, "affinity", "nodeAffinity");
  const json::Value is = Get(munged, "affinity", "nodeAffinity");
  if (Same(was, is)) return;
  ValidateGatedAffinity(was, is, errors);
  json::Value* affinity = MutableMember(munged, "affinity");
  if (affinity == nullptr) {
    munged.MutableObject("affinity").Set("nodeAffinity", was);
    return;
  }
  CopyMember(Get(old_spec, "affinity"), "nodeAffinity", *affinity);
  if (!Has(old_spec, "affinity") && affinity->members().empty()) munged.Remove("affinity");
}

void ValidateNoRestart(const json::Value& old_pod, const json::Value& pod, absl::string_view list,
                       FieldErrors& errors) {
  const json::Value& spec = Get(old_pod, "spec");
  absl::string_view policy = Text(spec, "restartPolicy");
  if (list == "ephemeralContainerStatuses") policy = "Never";
  if (policy == "Always") return;
  const std::vector<json::Value>& old_statuses = Items(Get(old_pod, "status"), list);
  for (size_t i = 0; i < old_statuses.size(); ++i) {
    const json::Value& terminated = Get(old_statuses[i], "state", "terminated");
    if (terminated.is_null() || (Int(terminated, "exitCode") != 0 && policy == "OnFailure")) {
      continue;
    }
    const absl::string_view name = Text(old_statuses[i], "name");
    bool sidecar = false;
    if (list == "initContainerStatuses") {
      for (const json::Value& container : Items(spec, "initContainers")) {
        sidecar |= Text(container, "name") == name && Text(container, "restartPolicy") == "Always";
      }
    }
    if (sidecar) continue;
    for (const json::Value& status : Items(Get(pod, "status"), list)) {
      if (Text(status, "name") != name || Has(Get(status, "state"), "terminated")) continue;
      errors.push_back(kube::ForbiddenField(FieldPath("status").Child(list).Index(i).Child("state"),
                                            "may not be transitioned to non-terminated state"));
    }
  }
}

void ValidateIps(const json::Value& status, absl::string_view list, absl::string_view single,
                 FieldErrors& errors) {
  const FieldPath path = FieldPath("status").Child(list);
  const std::vector<json::Value>& ips = Items(status, list);
  if (list == "hostIPs" && !ips.empty() && Text(ips[0], "ip") != Text(status, single)) {
    errors.push_back(kube::InvalidField(path.Index(0).Child("ip"), Text(ips[0], "ip"),
                                        "must be equal to `hostIP`"));
  }
  bool v4 = false, v6 = false, clash = false;
  for (size_t i = 0; i < ips.size(); ++i) {
    const absl::string_view ip = Text(ips[i], "ip");
    ValidateIp(path.Index(i), ip, errors);
    bool& family = IsIpv6(ip) ? v6 : v4;
    clash |= family;
    family = true;
  }
  if (clash) {
    errors.push_back(kube::InvalidField(path, Get(status, list),
                                        "may specify no more than one IP for each IP family"));
  }
}

void AppendDifference(const std::string& path, const json::Value& was, const json::Value& is,
                      std::string* out) {
  if (Same(was, is)) return;
  if (was.is_object() && is.is_object()) {
    const std::string prefix = path.empty() ? "" : path + ".";
    for (const json::Member& member : was.members()) {
      AppendDifference(prefix + member.key, member.value, Get(is, member.key), out);
    }
    for (const json::Member& member : is.members()) {
      if (was.Find(member.key) == nullptr) {
        AppendDifference(prefix + member.key, json::Value(), member.value, out);
      }
    }
    return;
  }
  if (was.is_array() && is.is_array() && was.items().size() == is.items().size()) {
    for (size_t i = 0; i < was.items().size(); ++i) {
      AppendDifference(absl::StrCat(path, "[", i, "]"), was.items()[i], is.items()[i], out);
    }
    return;
  }
  if (!was.is_null()) absl::StrAppend(out, "-\t", path, ": ", json::ToString(was), "\n");
  if (!is.is_null()) absl::StrAppend(out, "+\t", path, ": ", json::ToString(is), "\n");
}

}  // namespace

std::string Difference(const json::Value& old_value, const json::Value& value) {
  std::string out;
  AppendDifference("", old_value, value, &out);
  return out;
}

void ValidatePodSpecUpdate(const json::Value& old_spec, const json::Value& spec,
                           FieldErrors& errors) {
  static constexpr absl::string_view kForbidden =
      "pod updates may not change fields other than "
      "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,"
      "`spec.tolerations` (only additions to existing tolerations),"
      "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously "
      "negative)\n";
  for (const char* list : {"containers", "initContainers"}) {
    if (!ValidateImages(old_spec, spec, list, errors)) return;
  }
  if (!ValidateDeadline(old_spec, spec, errors)) return;
  ValidateOnlyAddedTolerations(old_spec, spec, errors);
  ValidateOnlyRemovedGates(old_spec, spec, errors);
  if (Same(old_spec, spec)) return;

  json::Value munged = spec;
  for (const char* list : {"containers", "initContainers"}) {
    std::vector<json::Value>* containers = MutableItems(munged, list);
    if (containers == nullptr) continue;
    for (size_t i = 0; i < containers->size(); ++i) {
      CopyMember(Items(old_spec, list)[i], "image", (*containers)[i]);
    }
  }
  for (const char* key : {"activeDeadlineSeconds", "schedulingGates", "tolerations"}) {
    CopyMember(old_spec, key, munged);
  }
  static constexpr absl::string_view kGrace = "terminationGracePeriodSeconds";
  if (Int(old_spec, kGrace) < 0 && Int(munged, kGrace) == 1) CopyMember(old_spec, kGrace, munged);
  if (!Items(old_spec, "schedulingGates").empty()) AllowGatedChanges(old_spec, munged, errors);
  if (Same(old_spec, munged)) return;
  errors.push_back(kube::ForbiddenField(FieldPath("spec"),
                                        absl::StrCat(kForbidden, Difference(old_spec, munged))));
}

void ValidatePodStatusUpdate(const json::Value& old_pod, const json::Value& pod,
                             FieldErrors& errors) {
  const FieldPath path("status");
  const json::Value& was = Get(old_pod, "status");
  const json::Value& is = Get(pod, "status");
  const absl::string_view nominated = Text(is, "nominatedNodeName");
  if (!nominated.empty() && nominated != Text(was, "nominatedNodeName")) {
    AddInvalid(path.Child("nominatedNodeName"), nominated, NameIsDnsSubdomain(nominated, false),
               errors);
  }
  ValidateImmutable(Get(was, "qosClass"), Get(is, "qosClass"), path.Child("qosClass"), errors);
  for (const char* list :
       {"containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"}) {
    ValidateNoRestart(old_pod, pod, list, errors);
  }
  ValidateIps(is, "podIPs", "podIP", errors);
  ValidateIps(is, "hostIPs", "hostIP", errors);
}

void ValidatePodAnnotationUpdate(const json::Value& old_pod, const json::Value& pod,
                                 FieldErrors& errors) {
  static constexpr absl::string_view kMirror = "kubernetes.io/config.mirror";
  static constexpr absl::string_view kAppArmor = "container.apparmor.security.beta.kubernetes.io/";
  const FieldPath path = FieldPath("metadata").Child("annotations");
  const json::Value& was = Get(old_pod, "metadata", "annotations");
  const json::Value& is = Get(pod, "metadata", "annotations");
  const auto check = [&](const json::Member& annotation, absl::string_view verb) {
    if (absl::StartsWith(annotation.key, kAppArmor)) {
      errors.push_back(kube::ForbiddenField(
          path.Key(annotation.key), absl::StrCat("may not ", verb, " AppArmor annotations")));
    }
    if (annotation.key == kMirror) {
      errors.push_back(kube::ForbiddenField(
          path.Key(annotation.key), absl::StrCat("may not ", verb, " mirror pod annotation")));
    }
  };
  for (const json::Member& annotation : was.members()) {
    const json::Value* now = is.Find(annotation.key);
    if (now == nullptr || !(*now == annotation.value)) check(annotation, "remove or update");
  }
  for (const json::Member& annotation : is.members()) {
    if (was.Find(annotation.key) == nullptr) check(annotation, "add");
  }
}

}  // namespace meltemi::apiserver
