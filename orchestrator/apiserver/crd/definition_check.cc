#include "orchestrator/apiserver/crd/definition_check.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/json/utf8.h"
#include "orchestrator/apiserver/crd/version_check.h"
#include "orchestrator/apiserver/kinds/names.h"
#include "orchestrator/apiserver/kinds/tree.h"
#include "orchestrator/apiserver/schema/values.h"

namespace meltemi::apiserver {
namespace {

using json::Value;
using kube::FieldErrors;
using kube::FieldPath;

constexpr absl::string_view kApproval = "api-approved.kubernetes.io";

void AddComplaints(const FieldPath& path, absl::string_view text, const Complaints& complaints,
                   FieldErrors& errors, absl::string_view before = "") {
  if (complaints.empty()) return;
  errors.push_back(
      kube::InvalidField(path, text, absl::StrCat(before, absl::StrJoin(complaints, ","))));
}

void CheckGroup(const Value& spec, const FieldPath& path, FieldErrors& errors) {
  const absl::string_view group = Text(spec, "group");
  const FieldPath group_path = path.Child("group");
  if (group.empty()) {
    errors.push_back(kube::Required(group_path));
  } else if (const Complaints complaints = CheckDns1123Subdomain(group); !complaints.empty()) {
    AddComplaints(group_path, group, complaints, errors);
  } else if (!absl::StrContains(group, ".")) {
    errors.push_back(
        kube::InvalidField(group_path, group, "should be a domain with at least one dot"));
  }
}

// Of spec.names and of status.acceptedNames.
void CheckNames(const Value& names, const FieldPath& path, FieldErrors& errors) {
  constexpr absl::string_view kMixed = "may have mixed case, but should otherwise match: ";
  for (const absl::string_view name : {"plural", "singular"}) {
    const absl::string_view text = Text(names, name);
    if (!text.empty()) AddComplaints(path.Child(name), text, CheckDns1035Label(text), errors);
  }
  for (const absl::string_view name : {"kind", "listKind"}) {
    const absl::string_view text = Text(names, name);
    if (text.empty()) continue;
    AddComplaints(path.Child(name), text, CheckDns1035Label(absl::AsciiStrToLower(text)), errors,
                  kMixed);
  }
  for (const absl::string_view name : {"shortNames", "categories"}) {
    if (name == "categories" && !Text(names, "kind").empty() &&
        Text(names, "kind") == Text(names, "listKind")) {
      errors.push_back(kube::InvalidField(path.Child("listKind"), Text(names, "listKind"),
                                          "kind and listKind may not be the same"));
    }
    const std::vector<Value>& texts = Items(names, name);
    for (size_t i = 0; i < texts.size(); ++i) {
      AddComplaints(path.Child(name).Index(i), texts[i].text(), CheckDns1035Label(texts[i].text()),
                    errors);
    }
  }
}

void CheckRequiredNames(const Value& names, const FieldPath& path, FieldErrors& errors) {
  for (const absl::string_view name : {"plural", "singular", "kind", "listKind"}) {
    if (Text(names, name).empty()) errors.push_back(kube::Required(path.Child(name)));
  }
}

void CheckConversion(const Value& spec, const FieldPath& path, FieldErrors& errors) {
  if (!Has(spec, "conversion")) return;
  const Value& conversion = Get(spec, "conversion");
  const FieldPath strategy_path = path.Child("conversion").Child("strategy");
  const absl::string_view strategy = Text(conversion, "strategy");
  if (strategy.empty()) {
    errors.push_back(kube::Required(strategy_path));
  } else if (strategy == "Webhook") {
    // Kubernetes has it; converting by webhook is not part of this server.
    kube::FieldError error =
        kube::NotSupported(strategy_path, Get(conversion, "strategy"), {"None"});
    absl::StrAppend(&error.detail, ": this server does not convert by webhook");
    errors.push_back(std::move(error));
  } else if (strategy != "None") {
    errors.push_back(
        kube::NotSupported(strategy_path, Get(conversion, "strategy"), {"None", "Webhook"}));
  } else if (Has(conversion, "webhook")) {
    errors.push_back(kube::ForbiddenField(path.Child("conversion").Child("webhook"),
                                          "should not be set when strategy is not set to Webhook"));
  }
}

void CheckSpec(const Value& spec, const FieldPath& path, FieldErrors& errors) {
  CheckGroup(spec, path, errors);
  ValidateOneOf(spec, "scope", path, {"Cluster", "Namespaced"}, true, errors);
  CheckVersions(spec, path, errors);
  const Value& names = Get(spec, "names");
  CheckRequiredNames(names, path.Child("names"), errors);
  CheckNames(names, path.Child("names"), errors);
  CheckSharedParts(spec, path, errors);
  CheckConversion(spec, path, errors);
}

void CheckStoredVersions(const Value& definition, FieldErrors& errors) {
  const FieldPath path = FieldPath("status").Child("storedVersions");
  const Value& stored = Get(definition, "status", "storedVersions");
  if (stored.items().empty()) {
    errors.push_back(
        InvalidPrinted(path, "[]string(nil)", "must have at least one stored version"));
    return;
  }
  std::set<std::string> served;
  const auto is_stored = [&](absl::string_view name) {
    return std::any_of(stored.items().begin(), stored.items().end(),
                       [&](const Value& one) { return one.text() == name; });
  };
  for (const Value& version : Items(Get(definition, "spec"), "versions")) {
    const absl::string_view name = Text(version, "name");
    served.emplace(name);
    if (Bool(version, "storage") && !is_stored(name)) {
      errors.push_back(InvalidPrinted(path, GoTextList(stored),
                                      absl::StrCat("must have the storage version ", name)));
    }
  }
  for (size_t i = 0; i < stored.items().size(); ++i) {
    const std::string& name = stored.items()[i].text();
    if (served.count(name) == 0) {
      errors.push_back(kube::InvalidField(path.Index(i), absl::string_view(name),
                                          "must appear in spec.versions"));
    }
  }
}

bool IsProtectedGroup(absl::string_view group) {
  for (const absl::string_view community : {"k8s.io", "kubernetes.io"}) {
    if (group == community || absl::EndsWith(group, absl::StrCat(".", community))) return true;
  }
  return false;
}

// "" when it is approved or the author says that it is not.
std::string ApprovalProblem(const Value& definition) {
  constexpr absl::string_view kWhere = "https://github.com/kubernetes/enhancements/pull/1111";
  const absl::string_view approval = Text(Get(definition, "metadata", "annotations"), kApproval);
  if (approval.empty()) {
    return absl::StrCat("protected groups must have approval annotation \"", kApproval, "\", see ",
                        kWhere);
  }
  if (absl::StartsWith(approval, "unapproved")) return "";
  const size_t scheme = approval.find("://");
  if (scheme != absl::string_view::npos && scheme > 0 && scheme + 3 < approval.size()) return "";
  return absl::StrCat("protected groups must have approval annotation \"", kApproval,
                      "\" with either a URL or a reason starting with \"unapproved\", see ",
                      kWhere);
}

void CheckApproval(const Value& definition, const Value* old_definition, FieldErrors& errors) {
  if (!IsProtectedGroup(Text(Get(definition, "spec"), "group"))) return;
  const std::string problem = ApprovalProblem(definition);
  if (problem.empty()) return;
  if (old_definition != nullptr && ApprovalProblem(*old_definition) == problem) return;
  const FieldPath path = FieldPath("metadata").Child("annotations").Key(kApproval);
  const absl::string_view approval = Text(Get(definition, "metadata", "annotations"), kApproval);
  errors.push_back(approval.empty() ? kube::Required(path, problem)
                                    : kube::InvalidField(path, approval, problem));
}

void CheckWhole(const Value& definition, const Value* old_definition, FieldErrors& errors) {
  const Value& spec = Get(definition, "spec");
  CheckSpec(spec, FieldPath("spec"), errors);
  if (old_definition != nullptr) {
    const Value& old_spec = Get(*old_definition, "spec");
    const auto immutable = [&](const Value& old_value, const Value& value, const FieldPath& path) {
      if (SameTree(old_value, value)) return;
      errors.push_back(kube::InvalidField(path, value, "field is immutable"));
    };
    const FieldPath path("spec");
    if (HasCondition(*old_definition, "Established")) {
      immutable(Get(old_spec, "scope"), Get(spec, "scope"), path.Child("scope"));
      immutable(Get(old_spec, "names", "kind"), Get(spec, "names", "kind"),
                path.Child("names").Child("kind"));
    }
    immutable(Get(old_spec, "group"), Get(spec, "group"), path.Child("group"));
    immutable(Get(old_spec, "names", "plural"), Get(spec, "names", "plural"),
              path.Child("names").Child("plural"));
  }
  const FieldErrors status = CheckDefinitionStatus(definition);
  errors.insert(errors.end(), status.begin(), status.end());
  CheckStoredVersions(definition, errors);
  CheckApproval(definition, old_definition, errors);
  if (Bool(spec, "preserveUnknownFields")) {
    errors.push_back(kube::InvalidField(
        FieldPath("spec").Child("preserveUnknownFields"), Value::Bool(true),
        "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in "
        "spec.versions[*].schema instead"));
  }
}

}  // namespace

bool HasCondition(const Value& definition, absl::string_view type) {
  for (const Value& condition : Items(Get(definition, "status"), "conditions")) {
    if (Text(condition, "type") == type) return Text(condition, "status") == "True";
  }
  return false;
}

absl::string_view StorageVersionOf(const Value& definition) {
  for (const Value& version : Items(Get(definition, "spec"), "versions")) {
    if (Bool(version, "storage")) return Text(version, "name");
  }
  return "";
}

FieldErrors CheckDefinition(const Value& definition) {
  FieldErrors errors;
  const absl::string_view name = Text(Get(definition, "metadata"), "name");
  const Value& spec = Get(definition, "spec");
  if (name != absl::StrCat(Text(Get(spec, "names"), "plural"), ".", Text(spec, "group"))) {
    errors.push_back(kube::InvalidField(FieldPath("metadata").Child("name"), name,
                                        "must be spec.names.plural+\".\"+spec.group"));
  }
  CheckWhole(definition, nullptr, errors);
  return errors;
}

FieldErrors CheckDefinitionUpdate(const Value& old_definition, const Value& definition) {
  FieldErrors errors;
  CheckWhole(definition, &old_definition, errors);
  return errors;
}

FieldErrors CheckDefinitionStatus(const Value& definition) {
  FieldErrors errors;
  CheckNames(Get(definition, "status", "acceptedNames"), FieldPath("status").Child("acceptedNames"),
             errors);
  return errors;
}

}  // namespace meltemi::apiserver
