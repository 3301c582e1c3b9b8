// The group "rbac.authorization.k8s.io". Who may write which rights (escalation) is the
// authorizer's matter.
#include <memory>
#include <string>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kube/object/object.h"
#include "kube/selector/selector.h"
#include "orchestrator/apiserver/kinds/columns.h"
#include "orchestrator/apiserver/kinds/groups.h"
#include "orchestrator/apiserver/kinds/names.h"
#include "orchestrator/apiserver/kinds/object_meta.h"
#include "orchestrator/apiserver/kinds/tree.h"

namespace meltemi::apiserver {
namespace {

using kube::FieldErrors;
using kube::FieldPath;

constexpr char kGroup[] = "rbac.authorization.k8s.io";

// Names as "system:node" are fine: nothing but what no path can hold is refused.
class RbacStrategy : public Strategy {
 public:
  std::vector<std::string> CheckName(absl::string_view name, bool prefix) const final {
    return CheckPathSegment(name, false);
  }
  bool AllowCreateOnUpdate() const final { return true; }
};

void ValidatePolicyRule(const json::Value& rule, bool namespaced, const FieldPath& path,
                        FieldErrors& errors) {
  const auto missing = [&](absl::string_view key, absl::string_view detail) {
    if (Items(rule, key).empty()) errors.push_back(kube::Required(path.Child(key), detail));
  };
  missing("verbs", "verbs must contain at least one value");
  if (!Items(rule, "nonResourceURLs").empty()) {
    const auto invalid = [&](absl::string_view detail) {
      errors.push_back(InvalidPrinted(path.Child("nonResourceURLs"),
                                      GoTextList(Get(rule, "nonResourceURLs")), detail));
    };
    if (namespaced) invalid("namespaced rules cannot apply to non-resource URLs");
    if (!Items(rule, "apiGroups").empty() || !Items(rule, "resources").empty() ||
        !Items(rule, "resourceNames").empty()) {
      invalid("rules cannot apply to both regular resources and non-resource URLs");
    }
    return;
  }
  missing("apiGroups", "resource rules must supply at least one api group");
  missing("resources", "resource rules must supply at least one resource");
}

class RoleStrategy final : public RbacStrategy {
 public:
  FieldErrors Validate(const Resource& resource, const json::Value& object) const override {
    FieldErrors errors;
    const auto& rules = Items(object, "rules");
    for (size_t i = 0; i < rules.size(); ++i) {
      ValidatePolicyRule(rules[i], resource.namespaced, FieldPath("rules").Index(i), errors);
    }
    if (Has(object, "aggregationRule")) ValidateAggregation(object, errors);
    return errors;
  }
  FieldErrors ValidateUpdate(const Resource& resource, Scope scope, const json::Value& old_object,
                             const json::Value& object) const override {
    return Validate(resource, object);
  }

 private:
  static void ValidateAggregation(const json::Value& object, FieldErrors& errors) {
    const FieldPath path = FieldPath("aggregationRule").Child("clusterRoleSelectors");
    const auto& selectors = Items(Get(object, "aggregationRule"), "clusterRoleSelectors");
    if (selectors.empty()) {
      errors.push_back(kube::Required(
          path, "at least one clusterRoleSelector required if aggregationRule is non-nil"));
    }
    for (size_t i = 0; i < selectors.size(); ++i) {
      ValidateLabelSelector(&selectors[i], path.Index(i), errors);
      if (!kube::LabelSelector::FromJson(&selectors[i]).ok()) {
        errors.push_back(InvalidPrinted(path.Index(i), "null", "invalid label selector."));
      }
    }
  }
};

void ValidateGroupName(const json::Value& reference, const FieldPath& path, FieldErrors& errors) {
  if (Text(reference, "apiGroup") == kGroup) return;
  errors.push_back(
      kube::NotSupported(path.Child("apiGroup"), TextCell(Text(reference, "apiGroup")), {kGroup}));
}

void ValidateSubject(const json::Value& subject, bool namespaced, const FieldPath& path,
                     FieldErrors& errors) {
  const absl::string_view name = Text(subject, "name"), kind = Text(subject, "kind");
  if (name.empty()) errors.push_back(kube::Required(path.Child("name")));
  if (kind == "ServiceAccount") {
    if (!name.empty()) {
      AddInvalid(path.Child("name"), name, NameIsDnsSubdomain(name, false), errors);
    }
    if (!Text(subject, "apiGroup").empty()) {
      errors.push_back(kube::NotSupported(path.Child("apiGroup"), Get(subject, "apiGroup"), {""}));
    }
    if (!namespaced && Text(subject, "namespace").empty()) {
      errors.push_back(kube::Required(path.Child("namespace")));
    }
  } else if (kind == "User" || kind == "Group") {
    ValidateGroupName(subject, path, errors);
  } else {
    errors.push_back(kube::NotSupported(path.Child("kind"), TextCell(kind),
                                        {"ServiceAccount", "User", "Group"}));
  }
}

class BindingStrategy final : public RbacStrategy {
 public:
  void Default(const Resource& resource, json::Value& object) const override {
    if (json::Value* role = MutableMember(object, "roleRef")) {
      if (Text(*role, "apiGroup").empty()) role->Set("apiGroup", json::Value::String(kGroup));
    }
    std::vector<json::Value>* subjects = MutableItems(object, "subjects");
    if (subjects == nullptr) return;
    for (json::Value& subject : *subjects) {
      const absl::string_view kind = Text(subject, "kind");
      if (Text(subject, "apiGroup").empty() && (kind == "User" || kind == "Group")) {
        subject.Set("apiGroup", json::Value::String(kGroup));
      }
    }
  }
  FieldErrors Validate(const Resource& resource, const json::Value& object) const override {
    FieldErrors errors;
    const json::Value& role = Get(object, "roleRef");
    const FieldPath path("roleRef");
    ValidateGroupName(role, path, errors);
    const std::vector<std::string> kinds = resource.namespaced
                                               ? std::vector<std::string>{"Role", "ClusterRole"}
                                               : std::vector<std::string>{"ClusterRole"};
    if (!absl::c_linear_search(kinds, Text(role, "kind"))) {
      errors.push_back(kube::NotSupported(path.Child("kind"), TextCell(Text(role, "kind")), kinds));
    }
    const absl::string_view name = Text(role, "name");
    if (name.empty()) {
      errors.push_back(kube::Required(path.Child("name")));
    } else {
      AddInvalid(path.Child("name"), name, CheckPathSegment(name, false), errors);
    }
    const auto& subjects = Items(object, "subjects");
    for (size_t i = 0; i < subjects.size(); ++i) {
      ValidateSubject(subjects[i], resource.namespaced, FieldPath("subjects").Index(i), errors);
    }
    return errors;
  }
  FieldErrors ValidateUpdate(const Resource& resource, Scope scope, const json::Value& old_object,
                             const json::Value& object) const override {
    FieldErrors errors = Validate(resource, object);
    const json::Value& role = Get(object, "roleRef");
    if (!SameMember(old_object, object, "roleRef")) {
      errors.push_back(InvalidPrinted(
          FieldPath("roleRef"),
          absl::StrCat("rbac.RoleRef{APIGroup:", GoText(Text(role, "apiGroup")), ", Kind:",
                       GoText(Text(role, "kind")), ", Name:", GoText(Text(role, "name")), "}"),
          "cannot change roleRef"));
    }
    return errors;
  }
};

std::string SubjectsText(const json::Value& binding, absl::string_view kind) {
  std::vector<std::string> names;
  for (const json::Value& subject : Items(binding, "subjects")) {
    if (Text(subject, "kind") != kind) continue;
    names.push_back(kind == "ServiceAccount"
                        ? absl::StrCat(Text(subject, "namespace"), "/", Text(subject, "name"))
                        : std::string(Text(subject, "name")));
  }
  return absl::StrJoin(names, ", ");
}

std::vector<json::Value> BindingRow(const json::Value& binding, int64_t now_s) {
  const json::Value& role = Get(binding, "roleRef");
  return {NameCell(binding),
          TextCell(absl::StrCat(Text(role, "kind"), "/", Text(role, "name"))),
          AgeCell(binding, now_s),
          TextCell(SubjectsText(binding, "User")),
          TextCell(SubjectsText(binding, "Group")),
          TextCell(SubjectsText(binding, "ServiceAccount"))};
}

std::unique_ptr<const TableColumns> BindingColumns() {
  return MakeColumns({NameColumn(), TextColumn("Role", "The role that is given."), AgeColumn(),
                      TextColumn("Users", "The users who get it.", 1),
                      TextColumn("Groups", "The groups that get it.", 1),
                      TextColumn("ServiceAccounts", "The service accounts that get it.", 1)},
                     BindingRow);
}

}  // namespace

void AddRbac(KindTable& table) {
  for (const char* plural : {"clusterroles", "roles"}) {
    table.Add(kGroup, plural, std::make_unique<RoleStrategy>(), nullptr);
  }
  for (const char* plural : {"clusterrolebindings", "rolebindings"}) {
    table.Add(kGroup, plural, std::make_unique<BindingStrategy>(), BindingColumns());
  }
}

}  // namespace meltemi::apiserver
