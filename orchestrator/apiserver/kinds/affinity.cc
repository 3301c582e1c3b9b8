// Where pods may be placed: affinity, tolerations, topology spread.
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "orchestrator/apiserver/kinds/names.h"
#include "orchestrator/apiserver/kinds/object_meta.h"
#include "orchestrator/apiserver/kinds/pod_parts.h"
#include "orchestrator/apiserver/kinds/tree.h"

namespace meltemi::apiserver {
namespace {

using kube::FieldErrors;
using kube::FieldPath;

constexpr absl::string_view kRequired = "requiredDuringSchedulingIgnoredDuringExecution";
constexpr absl::string_view kPreferred = "preferredDuringSchedulingIgnoredDuringExecution";

void ValidateNodeExpression(const json::Value& expression, const FieldPath& path,
                            FieldErrors& errors, bool check_values) {
  const absl::string_view op = Text(expression, "operator"), key = Text(expression, "key");
  const std::vector<json::Value>& values = Items(expression, "values");
  const FieldPath values_path = path.Child("values");
  if (op == "In" || op == "NotIn") {
    if (values.empty()) {
      errors.push_back(
          kube::Required(values_path, "must be specified when `operator` is 'In' or 'NotIn'"));
    }
  } else if (op == "Exists" || op == "DoesNotExist") {
    if (!values.empty()) {
      errors.push_back(kube::ForbiddenField(
          values_path, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"));
    }
  } else if (op == "Gt" || op == "Lt") {
    if (values.size() != 1) {
      errors.push_back(kube::Required(
          values_path, "must be specified single value when `operator` is 'Lt' or 'Gt'"));
    }
  } else {
    errors.push_back(
        kube::InvalidField(path.Child("operator"), op, "not a valid selector operator"));
  }
  AddInvalid(path.Child("key"), key, CheckQualifiedName(key), errors);
  if (!check_values) return;
  for (size_t i = 0; i < values.size(); ++i) {
    AddInvalid(values_path.Index(i), values[i].text(), CheckLabelValue(values[i].text()), errors);
  }
}

void ValidateNodeField(const json::Value& expression, const FieldPath& path, FieldErrors& errors) {
  const absl::string_view op = Text(expression, "operator"), key = Text(expression, "key");
  const std::vector<json::Value>& values = Items(expression, "values");
  if (op != "In" && op != "NotIn") {
    errors.push_back(
        kube::InvalidField(path.Child("operator"), op, "not a valid selector operator"));
  } else if (values.size() != 1) {
    errors.push_back(kube::Required(path.Child("values"),
                                    "must be only one value when `operator` is 'In' or 'NotIn' "
                                    "for node field selector"));
  }
  if (key != "metadata.name") {
    errors.push_back(kube::InvalidField(path.Child("key"), key, "not a valid field selector key"));
    return;
  }
  for (size_t i = 0; i < values.size(); ++i) {
    AddInvalid(path.Child("values").Index(i), values[i].text(),
               NameIsDnsSubdomain(values[i].text(), false), errors);
  }
}

void ValidateNodeSelectorTerm(const json::Value& term, const FieldPath& path, FieldErrors& errors,
                              bool check_values) {
  const std::vector<json::Value>& expressions = Items(term, "matchExpressions");
  for (size_t i = 0; i < expressions.size(); ++i) {
    ValidateNodeExpression(expressions[i], path.Child("matchExpressions").Index(i), errors,
                           check_values);
  }
  const std::vector<json::Value>& fields = Items(term, "matchFields");
  for (size_t i = 0; i < fields.size(); ++i) {
    ValidateNodeField(fields[i], path.Child("matchFields").Index(i), errors);
  }
}

void ValidateWeight(const json::Value& term, const FieldPath& path, FieldErrors& errors) {
  const int64_t weight = Int(term, "weight");
  if (weight >= 1 && weight <= 100) return;
  errors.push_back(kube::InvalidField(path.Child("weight"), weight, "must be in the range 1-100"));
}

bool SelectsKey(const json::Value& selector, absl::string_view key) {
  if (Get(selector, "matchLabels").Find(key) != nullptr) return true;
  for (const json::Value& expression : Items(selector, "matchExpressions")) {
    if (Text(expression, "key") == key) return true;
  }
  return false;
}

void ValidateKeys(const json::Value& term, absl::string_view list, const FieldPath& path,
                  FieldErrors& errors) {
  const std::vector<json::Value>& keys = Items(term, list);
  if (keys.empty()) return;
  if (!Has(term, "labelSelector")) {
    errors.push_back(
        kube::ForbiddenField(path, "must not be specified when labelSelector is not set"));
    return;
  }
  for (size_t i = 0; i < keys.size(); ++i) {
    AddInvalid(path.Index(i), keys[i].text(), CheckQualifiedName(keys[i].text()), errors);
  }
}

void ValidatePodAffinityTerm(const json::Value& term, const FieldPath& path, FieldErrors& errors) {
  for (const char* key : {"labelSelector", "namespaceSelector"}) {
    ValidateLabelSelector(term.Find(key), path.Child(key), errors);
  }
  for (const json::Value& ns : Items(term, "namespaces")) {
    AddInvalid(path.Child("namespace"), ns.text(), NameIsDnsLabel(ns.text(), false), errors);
  }
  ValidateKeys(term, "matchLabelKeys", path.Child("matchLabelKeys"), errors);
  ValidateKeys(term, "mismatchLabelKeys", path.Child("mismatchLabelKeys"), errors);
  const std::vector<json::Value>& keys = Items(term, "matchLabelKeys");
  for (size_t i = 0; i < keys.size(); ++i) {
    for (const json::Value& other : Items(term, "mismatchLabelKeys")) {
      if (other.text() != keys[i].text()) continue;
      errors.push_back(kube::InvalidField(path.Child("matchLabelKeys").Index(i), keys[i],
                                          "exists in both matchLabelKeys and mismatchLabelKeys"));
    }
  }
  const absl::string_view topology = Text(term, "topologyKey");
  if (topology.empty()) {
    errors.push_back(kube::Required(path.Child("topologyKey"), "can not be empty"));
  }
  AddInvalid(path.Child("topologyKey"), topology, CheckQualifiedName(topology), errors);
}

void ValidatePodAffinity(const json::Value& affinity, const FieldPath& path, FieldErrors& errors) {
  const std::vector<json::Value>& required = Items(affinity, kRequired);
  for (size_t i = 0; i < required.size(); ++i) {
    ValidatePodAffinityTerm(required[i], path.Child(kRequired).Index(i), errors);
  }
  const std::vector<json::Value>& preferred = Items(affinity, kPreferred);
  for (size_t i = 0; i < preferred.size(); ++i) {
    const FieldPath at = path.Child(kPreferred).Index(i);
    ValidateWeight(preferred[i], at, errors);
    ValidatePodAffinityTerm(Get(preferred[i], "podAffinityTerm"), at.Child("podAffinityTerm"),
                            errors);
  }
}

void ValidateToleration(const json::Value& toleration, const FieldPath& path, FieldErrors& errors) {
  const absl::string_view key = Text(toleration, "key"), op = Text(toleration, "operator");
  const absl::string_view value = Text(toleration, "value"), effect = Text(toleration, "effect");
  if (!key.empty()) {
    AddInvalid(path.Child("key"), key, CheckQualifiedName(key), errors);
  } else if (op != "Exists") {
    errors.push_back(kube::InvalidField(path.Child("operator"), op,
                                        "operator must be Exists when `key` is empty, which means "
                                        "\"match all values and all keys\""));
  }
  if (Has(toleration, "tolerationSeconds") && effect != "NoExecute") {
    errors.push_back(kube::InvalidField(path.Child("effect"), effect,
                                        "effect must be 'NoExecute' when `tolerationSeconds` is "
                                        "set"));
  }
  if (op.empty() || op == "Equal") {
    const Complaints complaints = CheckLabelValue(value);
    if (!complaints.empty()) {
      errors.push_back(
          kube::InvalidField(path.Child("operator"), value, absl::StrJoin(complaints, ";")));
    }
  } else if (op == "Exists") {
    if (!value.empty()) {
      errors.push_back(kube::InvalidField(path.Child("operator"), value,
                                          "value must be empty when `operator` is 'Exists'"));
    }
  } else {
    errors.push_back(kube::NotSupported(path.Child("operator"), Get(toleration, "operator"),
                                        {"Equal", "Exists"}));
  }
  ValidateOneOf(toleration, "effect", path, {"NoSchedule", "PreferNoSchedule", "NoExecute"}, false,
                errors);
}

void ValidateMinDomains(const json::Value& constraint, const FieldPath& path, FieldErrors& errors) {
  const std::optional<int64_t> domains = OptionalInt(constraint, "minDomains");
  if (!domains.has_value()) return;
  if (*domains <= 0) {
    errors.push_back(kube::InvalidField(path, *domains, "must be greater than zero"));
  }
  const absl::string_view action = Text(constraint, "whenUnsatisfiable");
  if (action != "DoNotSchedule") {
    errors.push_back(kube::InvalidField(
        path, *domains,
        absl::StrCat("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not ", action)));
  }
}

void ValidateConstraint(const std::vector<json::Value>& constraints, size_t i,
                        const FieldPath& path, FieldErrors& errors) {
  const json::Value& constraint = constraints[i];
  const absl::string_view topology = Text(constraint, "topologyKey");
  const absl::string_view action = Text(constraint, "whenUnsatisfiable");
  if (Int(constraint, "maxSkew") <= 0) {
    errors.push_back(kube::InvalidField(path.Child("maxSkew"), Int(constraint, "maxSkew"),
                                        "must be greater than zero"));
  }
  if (topology.empty()) {
    errors.push_back(kube::Required(path.Child("topologyKey"), "can not be empty"));
  }
  if (action != "DoNotSchedule" && action != "ScheduleAnyway") {
    errors.push_back(kube::NotSupported(path.Child("whenUnsatisfiable"),
                                        json::Value::String(std::string(action)),
                                        {"DoNotSchedule", "ScheduleAnyway"}));
  }
  for (size_t other = i + 1; other < constraints.size(); ++other) {
    if (Text(constraints[other], "topologyKey") != topology ||
        Text(constraints[other], "whenUnsatisfiable") != action) {
      continue;
    }
    errors.push_back(
        kube::DuplicateField(path.Child("{topologyKey, whenUnsatisfiable}"),
                             json::Value::String(absl::StrCat("{", topology, ", ", action, "}"))));
    break;
  }
  ValidateMinDomains(constraint, path.Child("minDomains"), errors);
  for (const char* key : {"nodeAffinityPolicy", "nodeTaintsPolicy"}) {
    ValidateOneOf(constraint, key, path, {"Honor", "Ignore"}, false, errors);
  }
  const std::vector<json::Value>& keys = Items(constraint, "matchLabelKeys");
  const FieldPath keys_path = path.Child("matchLabelKeys");
  if (!keys.empty() && !Has(constraint, "labelSelector")) {
    errors.push_back(
        kube::ForbiddenField(keys_path, "must not be specified when labelSelector is not set"));
  }
  for (size_t k = 0; k < keys.size(); ++k) {
    AddInvalid(keys_path.Index(k), keys[k].text(), CheckQualifiedName(keys[k].text()), errors);
    if (SelectsKey(Get(constraint, "labelSelector"), keys[k].text())) {
      errors.push_back(kube::InvalidField(keys_path.Index(k), keys[k],
                                          "exists in both matchLabelKeys and labelSelector"));
    }
  }
  ValidateLabelSelector(constraint.Find("labelSelector"), path.Child("labelSelector"), errors);
}

}  // namespace

void ValidateNodeSelector(const json::Value& selector, const FieldPath& path, FieldErrors& errors,
                          bool check_values) {
  const std::vector<json::Value>& terms = Items(selector, "nodeSelectorTerms");
  const FieldPath terms_path = path.Child("nodeSelectorTerms");
  if (terms.empty()) {
    errors.push_back(kube::Required(terms_path, "must have at least one node selector term"));
  }
  for (size_t i = 0; i < terms.size(); ++i) {
    ValidateNodeSelectorTerm(terms[i], terms_path.Index(i), errors, check_values);
  }
}

void ValidateAffinity(const json::Value& spec, const FieldPath& path, FieldErrors& errors) {
  const json::Value& affinity = Get(spec, "affinity");
  if (affinity.is_null()) return;
  const json::Value& node = Get(affinity, "nodeAffinity");
  const FieldPath node_path = path.Child("nodeAffinity");
  if (Has(node, kRequired)) {
    ValidateNodeSelector(Get(node, kRequired), node_path.Child(kRequired), errors);
  }
  const std::vector<json::Value>& preferred = Items(node, kPreferred);
  for (size_t i = 0; i < preferred.size(); ++i) {
    const FieldPath at = node_path.Child(kPreferred).Index(i);
    ValidateWeight(preferred[i], at, errors);
    ValidateNodeSelectorTerm(Get(preferred[i], "preference"), at.Child("preference"), errors,
                             false);
  }
  for (const char* key : {"podAffinity", "podAntiAffinity"}) {
    ValidatePodAffinity(Get(affinity, key), path.Child(key), errors);
  }
}

void ValidateTolerations(const json::Value& spec, const FieldPath& path, FieldErrors& errors) {
  const std::vector<json::Value>& tolerations = Items(spec, "tolerations");
  for (size_t i = 0; i < tolerations.size(); ++i) {
    ValidateToleration(tolerations[i], path.Index(i), errors);
  }
}

void ValidateTopologySpread(const json::Value& spec, const FieldPath& path, FieldErrors& errors) {
  const std::vector<json::Value>& constraints = Items(spec, "topologySpreadConstraints");
  for (size_t i = 0; i < constraints.size(); ++i) {
    ValidateConstraint(constraints, i, path.Index(i), errors);
  }
}

}  // namespace meltemi::apiserver
