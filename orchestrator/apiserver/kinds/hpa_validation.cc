// What is wrong with an autoscaler's spec.
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kube/quantity/quantity.h"
#include "orchestrator/apiserver/kinds/hpa.h"
#include "orchestrator/apiserver/kinds/names.h"
#include "orchestrator/apiserver/kinds/tree.h"

namespace meltemi::apiserver {
namespace {

using kube::FieldErrors;
using kube::FieldPath;

constexpr int64_t kPeriodSecondsMax = 1800;
constexpr int64_t kWindowSecondsMax = 3600;

void ValidateSegment(const json::Value& object, absl::string_view key, const FieldPath& parent,
                     absl::string_view when_missing, FieldErrors& errors) {
  const absl::string_view text = Text(object, key);
  if (text.empty()) {
    errors.push_back(kube::Required(parent.Child(key), when_missing));
    return;
  }
  AddInvalid(parent.Child(key), text, CheckPathSegment(text, false), errors);
}

void ValidateReference(const json::Value& reference, const FieldPath& path, FieldErrors& errors) {
  ValidateSegment(reference, "kind", path, "", errors);
  ValidateSegment(reference, "name", path, "", errors);
}

void ValidatePositive(const json::Value& target, absl::string_view key, const FieldPath& path,
                      FieldErrors& errors) {
  const std::optional<kube::Quantity> quantity = kube::Quantity::Parse(Text(target, key));
  if (!Has(target, key) || !quantity.has_value() || quantity->Sign() == 1) return;
  // A Quantity prints itself without quotes.
  errors.push_back(InvalidPrinted(path.Child(key), quantity->ToString(), "must be positive"));
}

void ValidateTarget(const json::Value& target, const FieldPath& path, FieldErrors& errors) {
  const absl::string_view type = Text(target, "type");
  if (type.empty()) {
    errors.push_back(kube::Required(path.Child("type"), "must specify a metric target type"));
  }
  if (type != "Utilization" && type != "Value" && type != "AverageValue") {
    errors.push_back(kube::InvalidField(path.Child("type"), type,
                                        "must be either Utilization, Value, or AverageValue"));
  }
  ValidatePositive(target, "value", path, errors);
  ValidatePositive(target, "averageValue", path, errors);
  if (Has(target, "averageUtilization") && Int(target, "averageUtilization") < 1) {
    errors.push_back(kube::InvalidField(path.Child("averageUtilization"),
                                        Int(target, "averageUtilization"),
                                        "must be greater than 0"));
  }
}

void ValidateIdentifier(const json::Value& source, const FieldPath& path, FieldErrors& errors) {
  ValidateSegment(Get(source, "metric"), "name", path.Child("metric"), "must specify a metric name",
                  errors);
}

void ValidateObjectSource(const json::Value& source, const FieldPath& path, FieldErrors& errors) {
  const json::Value& target = Get(source, "target");
  ValidateReference(Get(source, "describedObject"), path.Child("describedObject"), errors);
  ValidateIdentifier(source, path, errors);
  ValidateTarget(target, path.Child("target"), errors);
  if (!Has(target, "value") && !Has(target, "averageValue")) {
    errors.push_back(kube::Required(path.Child("target").Child("averageValue"),
                                    "must set either a target value or averageValue"));
  }
}

void ValidateExternalSource(const json::Value& source, const FieldPath& path, FieldErrors& errors) {
  const json::Value& target = Get(source, "target");
  ValidateIdentifier(source, path, errors);
  ValidateTarget(target, path.Child("target"), errors);
  const bool value = Has(target, "value"), average = Has(target, "averageValue");
  if (!value && !average) {
    errors.push_back(
        kube::Required(path.Child("target").Child("averageValue"),
                       "must set either a target value for metric or a per-pod target"));
  }
  if (value && average) {
    errors.push_back(
        kube::ForbiddenField(path.Child("target").Child("value"),
                             "may not set both a target value for metric and a per-pod target"));
  }
}

void ValidatePodsSource(const json::Value& source, const FieldPath& path, FieldErrors& errors) {
  ValidateIdentifier(source, path, errors);
  ValidateTarget(Get(source, "target"), path.Child("target"), errors);
  if (!Has(Get(source, "target"), "averageValue")) {
    errors.push_back(kube::Required(path.Child("target").Child("averageValue"),
                                    "must specify a positive target averageValue"));
  }
}

// Of pods, or with `container` of one container of each.
void ValidateResourceSource(const json::Value& source, bool container, const FieldPath& path,
                            FieldErrors& errors) {
  if (Text(source, "name").empty()) {
    errors.push_back(kube::Required(path.Child("name"), "must specify a resource name"));
  }
  if (container) {
    const absl::string_view name = Text(source, "container");
    if (name.empty()) {
      errors.push_back(kube::Required(path.Child("container"), "must specify a container"));
    } else {
      AddInvalid(path.Child("container"), name, CheckDns1123Label(name), errors);
    }
  }
  const json::Value& target = Get(source, "target");
  ValidateTarget(target, path.Child("target"), errors);
  const bool utilization = Has(target, "averageUtilization"), value = Has(target, "averageValue");
  if (!utilization && !value) {
    errors.push_back(kube::Required(path.Child("target").Child("averageUtilization"),
                                    "must set either a target raw value or a target utilization"));
  }
  if (utilization && value) {
    errors.push_back(
        kube::ForbiddenField(path.Child("target").Child("averageValue"),
                             "may not set both a target raw value and a target utilization"));
  }
}

void ValidateSource(absl::string_view key, const json::Value& source, const FieldPath& path,
                    FieldErrors& errors) {
  if (key == "object") return ValidateObjectSource(source, path, errors);
  if (key == "external") return ValidateExternalSource(source, path, errors);
  if (key == "pods") return ValidatePodsSource(source, path, errors);
  ValidateResourceSource(source, key == "containerResource", path, errors);
}

// The member that goes with a type.
absl::string_view SourceOf(absl::string_view type) {
  if (type == "Object") return "object";
  if (type == "Pods") return "pods";
  if (type == "Resource") return "resource";
  if (type == "External") return "external";
  if (type == "ContainerResource") return "containerResource";
  return "";
}

void ValidateMetric(const json::Value& metric, const FieldPath& path, FieldErrors& errors) {
  static const auto& types =
      *new std::vector<std::string>{"ContainerResource", "External", "Object", "Pods", "Resource"};
  const absl::string_view type = Text(metric, "type");
  const absl::string_view expected = SourceOf(type);
  if (type.empty()) {
    errors.push_back(kube::Required(path.Child("type"), "must specify a metric source type"));
  }
  const json::Value type_text = json::Value::String(std::string(type));
  if (expected.empty()) {
    errors.push_back(kube::NotSupported(path.Child("type"), type_text, types));
  }
  std::vector<absl::string_view> present;
  for (const char* key : {"object", "external", "pods", "resource", "containerResource"}) {
    if (!Has(metric, key)) continue;
    if (present.empty()) ValidateSource(key, Get(metric, key), path.Child(key), errors);
    present.push_back(key);
  }
  if (expected.empty()) {
    errors.push_back(kube::NotSupported(path.Child("type"), type_text, types));
  } else if (!Has(metric, expected)) {
    errors.push_back(kube::Required(path.Child(expected),
                                    "must populate information for the given metric source"));
  }
  if (present.size() == 1) return;
  for (const absl::string_view key : present) {
    if (key == expected) continue;
    errors.push_back(
        kube::ForbiddenField(path.Child(key), "must populate the given metric source only"));
  }
}

void ValidatePolicy(const json::Value& policy, const FieldPath& path, FieldErrors& errors) {
  const absl::string_view type = Text(policy, "type");
  if (type != "Pods" && type != "Percent") {
    errors.push_back(kube::NotSupported(path.Child("type"), json::Value::String(std::string(type)),
                                        {"Percent", "Pods"}));
  }
  for (const char* key : {"value", "periodSeconds"}) {
    if (Int(policy, key) > 0) continue;
    errors.push_back(
        kube::InvalidField(path.Child(key), Int(policy, key), "must be greater than zero"));
  }
  const int64_t period = Int(policy, "periodSeconds");
  if (period > kPeriodSecondsMax) {
    errors.push_back(
        kube::InvalidField(path.Child("periodSeconds"), period,
                           absl::StrCat("must be less than or equal to ", kPeriodSecondsMax)));
  }
}

void ValidateScaling(const json::Value& rules, const FieldPath& path, FieldErrors& errors) {
  if (rules.is_null()) return;
  const int64_t window = Int(rules, "stabilizationWindowSeconds");
  const FieldPath window_path = path.Child("stabilizationWindowSeconds");
  if (window < 0) {
    errors.push_back(
        kube::InvalidField(window_path, window, "must be greater than or equal to zero"));
  }
  if (window > kWindowSecondsMax) {
    errors.push_back(kube::InvalidField(
        window_path, window, absl::StrCat("must be less than or equal to ", kWindowSecondsMax)));
  }
  ValidateOneOf(rules, "selectPolicy", path, {"Disabled", "Max", "Min"}, false, errors);
  const FieldPath policies_path = path.Child("policies");
  const auto& policies = Items(rules, "policies");
  if (policies.empty()) {
    errors.push_back(kube::Required(policies_path, "must specify at least one Policy"));
  }
  for (size_t i = 0; i < policies.size(); ++i) {
    ValidatePolicy(policies[i], policies_path.Index(i), errors);
  }
}

}  // namespace

void ValidateHpaSpec(const json::Value& spec, int64_t replicas_min, const FieldPath& path,
                     FieldErrors& errors) {
  const std::optional<int64_t> least = OptionalInt(spec, "minReplicas");
  const int64_t most = Int(spec, "maxReplicas");
  if (least.has_value() && *least < replicas_min) {
    errors.push_back(
        kube::InvalidField(path.Child("minReplicas"), *least,
                           absl::StrCat("must be greater than or equal to ", replicas_min)));
  }
  if (most < 1) {
    errors.push_back(kube::InvalidField(path.Child("maxReplicas"), most, "must be greater than 0"));
  }
  if (least.has_value() && most < *least) {
    errors.push_back(kube::InvalidField(path.Child("maxReplicas"), most,
                                        "must be greater than or equal to `minReplicas`"));
  }
  ValidateReference(Get(spec, "scaleTargetRef"), path.Child("scaleTargetRef"), errors);
  const FieldPath metrics_path = path.Child("metrics");
  bool independent = false;  // of its own pods
  const auto& metrics = Items(spec, "metrics");
  for (size_t i = 0; i < metrics.size(); ++i) {
    ValidateMetric(metrics[i], metrics_path.Index(i), errors);
    const absl::string_view type = Text(metrics[i], "type");
    independent = independent || type == "Object" || type == "External";
  }
  if (least == 0 && !independent) {
    errors.push_back(kube::ForbiddenField(metrics_path,
                                          "must specify at least one Object or External metric to "
                                          "support scaling to zero replicas"));
  }
  const FieldPath behavior = path.Child("behavior");
  ValidateScaling(Get(spec, "behavior", "scaleUp"), behavior.Child("scaleUp"), errors);
  ValidateScaling(Get(spec, "behavior", "scaleDown"), behavior.Child("scaleDown"), errors);
}

}  // namespace meltemi::apiserver
