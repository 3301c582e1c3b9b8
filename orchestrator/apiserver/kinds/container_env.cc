// Environment of containers, and what the downward API can name.
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kube/quantity/quantity.h"
#include "orchestrator/apiserver/kinds/names.h"
#include "orchestrator/apiserver/kinds/pod_parts.h"
#include "orchestrator/apiserver/kinds/tree.h"

namespace meltemi::apiserver {
namespace {

using kube::FieldErrors;
using kube::FieldPath;

const std::vector<std::string>& EnvFields() {
  static const auto& fields = *new std::vector<std::string>{"metadata.name",
                                                            "metadata.namespace",
                                                            "metadata.uid",
                                                            "spec.nodeName",
                                                            "spec.serviceAccountName",
                                                            "status.hostIP",
                                                            "status.hostIPs",
                                                            "status.podIP",
                                                            "status.podIPs"};
  return fields;
}

const std::vector<std::string>& VolumeFields() {
  static const auto& fields =
      *new std::vector<std::string>{"metadata.annotations", "metadata.labels", "metadata.name",
                                    "metadata.namespace", "metadata.uid"};
  return fields;
}

// The labels that the conversion of field selectors knows.
bool IsKnownField(absl::string_view field) {
  if (absl::EndsWith(field, "']")) {
    return absl::StartsWith(field, "metadata.annotations['") ||
           absl::StartsWith(field, "metadata.labels['");
  }
  for (const absl::string_view known :
       {"metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace",
        "metadata.uid", "spec.nodeName", "spec.restartPolicy", "spec.serviceAccountName",
        "spec.schedulerName", "status.phase", "status.hostIP", "status.hostIPs", "status.podIP",
        "status.podIPs"}) {
    if (field == known) return true;
  }
  return false;
}

constexpr absl::string_view kSizes[] = {"1",   "1k",  "1M",  "1G",  "1T",  "1P", "1E",
                                        "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"};

void ValidateDivisor(absl::string_view resource, const json::Value& divisor, const FieldPath& path,
                     FieldErrors& errors) {
  const std::optional<kube::Quantity> quantity = kube::Quantity::Parse(divisor.text());
  if (!quantity.has_value() || quantity->IsZero()) return;
  const std::string text = quantity->ToString();
  if (absl::EndsWith(resource, ".cpu")) {
    if (text == "1" || text == "1m") return;
    errors.push_back(
        kube::InvalidField(path.Child("divisor"), resource,
                           "only divisor's values 1m and 1 are supported with the cpu resource"));
    return;
  }
  for (const absl::string_view size : kSizes) {
    if (text == size) return;
  }
  absl::string_view what;
  if (absl::EndsWith(resource, ".memory")) what = "memory";
  if (absl::EndsWith(resource, ".ephemeral-storage")) what = "local ephemeral storage";
  if (absl::StrContains(resource, ".hugepages-")) what = "hugepages";
  if (what.empty()) return;
  errors.push_back(
      kube::InvalidField(path.Child("divisor"), resource,
                         absl::StrCat("only divisor's values ", absl::StrJoin(kSizes, ", "),
                                      " are supported with the ", what, " resource")));
}

void ValidateKeySelector(const json::Value& ref, const FieldPath& path, FieldErrors& errors) {
  const absl::string_view name = Text(ref, "name"), key = Text(ref, "key");
  AddInvalid(path.Child("name"), name, NameIsDnsSubdomain(name, false), errors);
  if (key.empty()) {
    errors.push_back(kube::Required(path.Child("key")));
  } else {
    AddInvalid(path.Child("key"), key, CheckConfigMapKey(key), errors);
  }
}

void ValidateValueFrom(const json::Value& variable, const FieldPath& path, FieldErrors& errors) {
  if (!Has(variable, "valueFrom")) return;
  const json::Value& from = Get(variable, "valueFrom");
  int sources = 0;
  if (Has(from, "fieldRef")) {
    ++sources;
    ValidateFieldRef(Get(from, "fieldRef"), FieldRefUse::kEnv, path.Child("fieldRef"), errors);
  }
  if (Has(from, "resourceFieldRef")) {
    ++sources;
    ValidateResourceFieldRef(Get(from, "resourceFieldRef"), FieldRefUse::kEnv,
                             path.Child("resourceFieldRef"), errors);
  }
  for (const char* key : {"configMapKeyRef", "secretKeyRef"}) {
    if (!Has(from, key)) continue;
    ++sources;
    ValidateKeySelector(Get(from, key), path.Child(key), errors);
  }
  absl::string_view wrong;
  if (sources == 0) {
    wrong =
        "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or "
        "`secretKeyRef`";
  } else if (!Text(variable, "value").empty()) {
    wrong = "may not be specified when `value` is not empty";
  } else if (sources > 1) {
    wrong = "may not have more than one field specified at a time";
  }
  if (!wrong.empty()) {
    errors.push_back(kube::InvalidField(path, absl::string_view(""), wrong));
  }
}

void ValidateEnvFrom(const json::Value& container, const FieldPath& path, FieldErrors& errors) {
  const std::vector<json::Value>& sources = Items(container, "envFrom");
  for (size_t i = 0; i < sources.size(); ++i) {
    const FieldPath at = path.Index(i);
    const absl::string_view prefix = Text(sources[i], "prefix");
    if (!prefix.empty()) AddInvalid(at.Child("prefix"), prefix, CheckEnvVarName(prefix), errors);
    int count = 0;
    for (const char* key : {"configMapRef", "secretRef"}) {
      if (!Has(sources[i], key)) continue;
      ++count;
      const absl::string_view name = Text(Get(sources[i], key), "name");
      if (name.empty()) {
        errors.push_back(kube::Required(at.Child(key).Child("name")));
      } else {
        AddInvalid(at.Child(key).Child("name"), name, NameIsDnsSubdomain(name, true), errors);
      }
    }
    if (count == 1) continue;
    errors.push_back(
        kube::InvalidField(path, absl::string_view(""),
                           count == 0 ? "must specify one of: `configMapRef` or `secretRef`"
                                      : "may not have more than one field specified at a time"));
  }
}

}  // namespace

void ValidateEnv(const json::Value& container, const FieldPath& path, FieldErrors& errors) {
  const FieldPath env_path = path.Child("env");
  const std::vector<json::Value>& variables = Items(container, "env");
  for (size_t i = 0; i < variables.size(); ++i) {
    const FieldPath at = env_path.Index(i);
    const absl::string_view name = Text(variables[i], "name");
    if (name.empty()) {
      errors.push_back(kube::Required(at.Child("name")));
    } else {
      AddInvalid(at.Child("name"), name, CheckEnvVarName(name), errors);
    }
    ValidateValueFrom(variables[i], at.Child("valueFrom"), errors);
  }
  ValidateEnvFrom(container, path.Child("envFrom"), errors);
}

void ValidateFieldRef(const json::Value& ref, FieldRefUse use, const FieldPath& path,
                      FieldErrors& errors) {
  const absl::string_view field = Text(ref, "fieldPath");
  if (Text(ref, "apiVersion").empty()) {
    errors.push_back(kube::Required(path.Child("apiVersion")));
    return;
  }
  if (field.empty()) {
    errors.push_back(kube::Required(path.Child("fieldPath")));
    return;
  }
  if (Text(ref, "apiVersion") != "v1") {
    errors.push_back(
        kube::InvalidField(path.Child("fieldPath"), field,
                           absl::StrCat("error converting fieldPath: unsupported pod version: ",
                                        Text(ref, "apiVersion"))));
    return;
  }
  if (!IsKnownField(field)) {
    errors.push_back(kube::InvalidField(
        path.Child("fieldPath"), field,
        absl::StrCat("error converting fieldPath: field label not supported: ", field)));
    return;
  }
  const size_t subscript = field.find("['");
  if (subscript != absl::string_view::npos) {
    const absl::string_view key = field.substr(subscript + 2, field.size() - subscript - 4);
    if (absl::StartsWith(field, "metadata.labels")) {
      AddInvalid(path, key, CheckQualifiedName(key), errors);
    } else {
      const std::string lower = absl::AsciiStrToLower(key);
      AddInvalid(path, lower, CheckQualifiedName(lower), errors);
    }
    return;
  }
  const std::vector<std::string>& fields = use == FieldRefUse::kEnv ? EnvFields() : VolumeFields();
  for (const std::string& allowed : fields) {
    if (field == allowed) return;
  }
  errors.push_back(kube::NotSupported(path.Child("fieldPath"), Get(ref, "fieldPath"), fields));
}

void ValidateResourceFieldRef(const json::Value& ref, FieldRefUse use, const FieldPath& path,
                              FieldErrors& errors) {
  static const auto& allowed = *new std::vector<std::string>{
      "limits.cpu",   "limits.ephemeral-storage",   "limits.memory",
      "requests.cpu", "requests.ephemeral-storage", "requests.memory"};
  const absl::string_view resource = Text(ref, "resource");
  if (use == FieldRefUse::kVolume && Text(ref, "containerName").empty()) {
    errors.push_back(kube::Required(path.Child("containerName")));
  } else if (resource.empty()) {
    errors.push_back(kube::Required(path.Child("resource")));
  } else if (!absl::StartsWith(resource, "limits.hugepages-") &&
             !absl::StartsWith(resource, "requests.hugepages-")) {
    ValidateOneOf(ref, "resource", path, allowed, true, errors);
  }
  ValidateDivisor(resource, Get(ref, "divisor"), path, errors);
}

}  // namespace meltemi::apiserver
