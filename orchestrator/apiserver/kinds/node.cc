#include "orchestrator/apiserver/kinds/node.h"

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "orchestrator/apiserver/kinds/columns.h"
#include "orchestrator/apiserver/kinds/names.h"
#include "orchestrator/apiserver/kinds/pod_parts.h"
#include "orchestrator/apiserver/kinds/tree.h"

namespace meltemi::apiserver {
namespace {

using kube::FieldErrors;
using kube::FieldPath;

constexpr absl::string_view kRolePrefix = "node-role.kubernetes.io/";

// Kubernetes calls the place "metadata.taints".
void ValidateTaints(const json::Value& spec, const FieldPath& path, FieldErrors& errors) {
  std::set<std::pair<absl::string_view, absl::string_view>> seen;
  const std::vector<json::Value>& taints = Items(spec, "taints");
  for (size_t i = 0; i < taints.size(); ++i) {
    const FieldPath at = path.Index(i);
    const absl::string_view key = Text(taints[i], "key"), value = Text(taints[i], "value");
    AddInvalid(at.Child("key"), key, CheckQualifiedName(key), errors);
    const Complaints complaints = CheckLabelValue(value);
    if (!complaints.empty()) {
      errors.push_back(
          kube::InvalidField(at.Child("value"), value, absl::StrJoin(complaints, ";")));
    }
    ValidateOneOf(taints[i], "effect", at, {"NoSchedule", "PreferNoSchedule", "NoExecute"}, true,
                  errors);
    if (seen.insert({key, Text(taints[i], "effect")}).second) continue;
    kube::FieldError error = kube::DuplicateField(at, taints[i]);
    error.detail = "taints must be unique by key and effect pair";
    errors.push_back(std::move(error));
  }
}

void ValidateResources(const json::Value& node, FieldErrors& errors) {
  for (const char* part : {"capacity", "allocatable"}) {
    const FieldPath path = FieldPath("status").Child(part);
    for (const json::Member& entry : Members(Get(node, "status"), part)) {
      ValidateQuantity(entry.key, entry.value, path.Child(entry.key), errors);
    }
  }
}

void ValidatePodCidrs(const json::Value& spec, FieldErrors& errors) {
  const FieldPath path = FieldPath("spec").Child("podCIDRs");
  const std::vector<json::Value>& cidrs = Items(spec, "podCIDRs");
  std::set<absl::string_view> seen;
  int v4 = 0, v6 = 0;
  for (size_t i = 0; i < cidrs.size(); ++i) {
    const std::string& cidr = cidrs[i].text();
    ValidateCidr(path.Index(i), cidr, errors);
    ++(IsIpv6(absl::string_view(cidr).substr(0, cidr.find('/'))) ? v6 : v4);
    if (!seen.insert(cidr).second) {
      errors.push_back(kube::DuplicateField(path.Index(i), cidrs[i]));
    }
  }
  if (v4 > 1 || v6 > 1) {
    errors.push_back(InvalidPrinted(path, GoTextList(Get(spec, "podCIDRs")),
                                    "may specify no more than one CIDR for each IP family"));
  }
}

class Nodes final : public Strategy {
 public:
  void Default(const Resource& resource, json::Value& object) const override {
    if (json::Value* status = MutableMember(object, "status")) {
      if (Has(*status, "capacity")) {
        SetDefault(*status, "allocatable", json::Value(Get(*status, "capacity")));
      }
    }
    JoinPodCidrs(object);
  }
  FieldErrors Validate(const Resource& resource, const json::Value& object) const override {
    FieldErrors errors;
    ValidateTaints(Get(object, "spec"), FieldPath("metadata").Child("taints"), errors);
    ValidateResources(object, errors);
    ValidatePodCidrs(Get(object, "spec"), errors);
    return errors;
  }
  FieldErrors ValidateUpdate(const Resource& resource, Scope scope, const json::Value& old_object,
                             const json::Value& object) const override {
    FieldErrors errors;
    const json::Value& was = Get(old_object, "spec");
    const json::Value& is = Get(object, "spec");
    ValidateResources(object, errors);
    const std::vector<json::Value>& addresses = Items(Get(object, "status"), "addresses");
    for (size_t i = 0; i < addresses.size(); ++i) {
      for (size_t before = 0; before < i; ++before) {
        if (!Same(addresses[before], addresses[i])) continue;
        errors.push_back(
            kube::DuplicateField(FieldPath("status").Child("addresses").Index(i), addresses[i]));
        break;
      }
    }
    if (!Items(was, "podCIDRs").empty() && !SameMember(was, is, "podCIDRs")) {
      errors.push_back(
          kube::ForbiddenField(FieldPath("spec").Child("podCIDRs"),
                               "node updates may not change podCIDR except from \"\" to valid"));
    }
    if (!Text(was, "providerID").empty() && !SameMember(was, is, "providerID")) {
      errors.push_back(
          kube::ForbiddenField(FieldPath("spec").Child("providerID"),
                               "node updates may not change providerID except from \"\" to "
                               "valid"));
    }
    ValidateTaints(is, FieldPath("metadata").Child("taints"), errors);
    return errors;
  }
  kube::StringPairs SelectableFields(const json::Value& object) const override {
    const bool unschedulable = Bool(Get(object, "spec"), "unschedulable");
    return {{"spec.unschedulable", unschedulable ? "true" : "false"}};
  }
  std::vector<std::string> SelectableFieldNames() const override { return {"spec.unschedulable"}; }
  bool StatusUpdatesMetadata() const override { return true; }
  // A kubelet registers with what it knows.
  bool DropsStatusOnCreate() const override { return false; }

 private:
  // podCIDR is the first of podCIDRs; old clients know but the one.
  static void JoinPodCidrs(json::Value& object) {
    json::Value* spec = MutableMember(object, "spec");
    if (spec == nullptr) return;
    const std::string single(Text(*spec, "podCIDR"));
    const std::vector<json::Value>& all = Items(*spec, "podCIDRs");
    if (!single.empty() && all.empty()) {
      json::Value list = json::Value::Array();
      list.Append(json::Value::String(single));
      spec->Set("podCIDRs", std::move(list));
    } else if (single.empty() && !all.empty()) {
      spec->Set("podCIDR", json::Value(all[0]));
    }
  }
};

std::string StatusText(const json::Value& node) {
  std::string text = "Unknown";
  for (const json::Value& condition : Items(Get(node, "status"), "conditions")) {
    if (Text(condition, "type") != "Ready") continue;
    text = Text(condition, "status") == "True" ? "Ready" : "NotReady";
  }
  return Bool(Get(node, "spec"), "unschedulable") ? text + ",SchedulingDisabled" : text;
}

std::string RolesText(const json::Value& node) {
  std::set<std::string> roles;
  for (const json::Member& label : Members(Get(node, "metadata"), "labels")) {
    if (absl::StartsWith(label.key, kRolePrefix) && label.key.size() > kRolePrefix.size()) {
      roles.insert(label.key.substr(kRolePrefix.size()));
    } else if (label.key == "kubernetes.io/role" && !label.value.text().empty()) {
      roles.insert(label.value.text());
    }
  }
  return roles.empty() ? "<none>" : absl::StrJoin(roles, ",");
}

absl::string_view AddressOf(const json::Value& node, absl::string_view type) {
  for (const json::Value& address : Items(Get(node, "status"), "addresses")) {
    if (Text(address, "type") == type) return Text(address, "address");
  }
  return "<none>";
}

absl::string_view OrUnknown(absl::string_view text) { return text.empty() ? "<unknown>" : text; }

std::vector<json::Value> NodeRow(const json::Value& node, int64_t now_s) {
  const json::Value& info = Get(node, "status", "nodeInfo");
  return {NameCell(node),
          TextCell(StatusText(node)),
          TextCell(RolesText(node)),
          AgeCell(node, now_s),
          TextCell(Text(info, "kubeletVersion")),
          TextCell(AddressOf(node, "InternalIP")),
          TextCell(AddressOf(node, "ExternalIP")),
          TextCell(OrUnknown(Text(info, "osImage"))),
          TextCell(OrUnknown(Text(info, "kernelVersion"))),
          TextCell(OrUnknown(Text(info, "containerRuntimeVersion")))};
}

}  // namespace

std::unique_ptr<const Strategy> NodeStrategy() { return std::make_unique<Nodes>(); }

std::unique_ptr<const TableColumns> NodeColumns() {
  return MakeColumns({NameColumn(), TextColumn("Status", "Whether it can run pods."),
                      TextColumn("Roles", "What it is for, by its labels."), AgeColumn(),
                      TextColumn("Version", "The version of its kubelet."),
                      TextColumn("Internal-IP", "Its address within the cluster.", 1),
                      TextColumn("External-IP", "Its address outside of the cluster.", 1),
                      TextColumn("OS-Image", "Its operating system.", 1),
                      TextColumn("Kernel-Version", "The version of its kernel.", 1),
                      TextColumn("Container-Runtime", "What runs its containers.", 1)},
                     NodeRow);
}

}  // namespace meltemi::apiserver
