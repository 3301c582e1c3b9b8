#include "orchestrator/apiserver/kinds/workloads.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "kube/object/object.h"
#include "kube/selector/selector.h"
#include "orchestrator/apiserver/kinds/names.h"
#include "orchestrator/apiserver/kinds/object_meta.h"
#include "orchestrator/apiserver/kinds/pod.h"
#include "orchestrator/apiserver/kinds/pod_template.h"
#include "orchestrator/apiserver/kinds/tree.h"

namespace meltemi::apiserver {
namespace {

using kube::FieldErrors;
using kube::FieldPath;

void DefaultTemplateOf(json::Value& object) {
  DefaultPodTemplate(object.MutableObject("spec").MutableObject("template"));
}

void ValidateSelectorUnchanged(const json::Value& old_object, const json::Value& object,
                               FieldErrors& errors) {
  const json::Value& selector = Get(object, "spec", "selector");
  if (Same(Get(old_object, "spec", "selector"), selector)) return;
  errors.push_back(InvalidPrinted(FieldPath("spec").Child("selector"), GoLabelSelector(selector),
                                  "field is immutable"));
}

void ValidateCollisionCount(const json::Value& old_object, const json::Value& object,
                            FieldErrors& errors) {
  const int64_t count = Int(Get(object, "status"), "collisionCount");
  if (count >= Int(Get(old_object, "status"), "collisionCount")) return;
  errors.push_back(kube::InvalidField(FieldPath("status").Child("collisionCount"), count,
                                      "cannot be decremented"));
}

// What the four kinds have in common.
class Workload : public Strategy {
 public:
  explicit Workload(std::vector<absl::string_view> counters) : counters_(std::move(counters)) {}

  // Counters that Kubernetes writes even when they are 0.
  void PrepareForCreate(const Resource& resource, json::Value& object) const final {
    Strategy::PrepareForCreate(resource, object);
    json::Value status = json::Value::Object();
    for (const absl::string_view counter : counters_) {
      status.Add(std::string(counter), json::Value::Int(0));
    }
    object.Set("status", std::move(status));
  }
  bool CountsGenerations(const Resource& resource) const final { return true; }
  std::vector<std::string> Warnings(const Resource& resource,
                                    const json::Value& object) const final {
    return PodSpecWarnings(Get(object, "spec", "template", "spec"),
                           FieldPath("spec").Child("template").Child("spec"));
  }
  FieldErrors ValidateUpdate(const Resource& resource, Scope scope, const json::Value& old_object,
                             const json::Value& object) const final {
    FieldErrors errors;
    if (scope == Scope::kStatus) {
      ValidateStatus(Get(object, "status"), errors);
      ValidateCollisionCount(old_object, object, errors);
      return errors;
    }
    errors = Validate(resource, object);
    ValidateChange(old_object, object, errors);
    return errors;
  }

 protected:
  virtual void ValidateStatus(const json::Value& status, FieldErrors& errors) const = 0;
  virtual void ValidateChange(const json::Value& old_object, const json::Value& object,
                              FieldErrors& errors) const {
    ValidateSelectorUnchanged(old_object, object, errors);
  }

 private:
  const std::vector<absl::string_view> counters_;
};

void ValidateDeploymentStrategy(const json::Value& spec, const FieldPath& path,
                                FieldErrors& errors) {
  const json::Value& strategy = Get(spec, "strategy");
  const absl::string_view type = Text(strategy, "type");
  const json::Value& rolling = Get(strategy, "rollingUpdate");
  const FieldPath rolling_path = path.Child("rollingUpdate");
  if (type == "Recreate") {
    if (!rolling.is_null()) {
      errors.push_back(kube::ForbiddenField(
          rolling_path, "may not be specified when strategy `type` is 'Recreate'"));
    }
    return;
  }
  if (type != "RollingUpdate") {
    kube::FieldError error = kube::NotSupported(path, json::Value(), {"Recreate", "RollingUpdate"});
    error.bad_value = absl::StrCat("apps.DeploymentStrategy{Type:", GoText(type),
                                   ", RollingUpdate:(*apps.RollingUpdateDeployment)(nil)}");
    errors.push_back(std::move(error));
    return;
  }
  if (rolling.is_null()) {
    errors.push_back(kube::Required(rolling_path, "this should be defaulted and never be nil"));
    return;
  }
  const json::Value& unavailable = Get(rolling, "maxUnavailable");
  const json::Value& surge = Get(rolling, "maxSurge");
  const FieldPath unavailable_path = rolling_path.Child("maxUnavailable");
  ValidateIntOrPercent(unavailable, unavailable_path, errors);
  FieldErrors surge_errors;  // more than 100% are fine here
  ValidateIntOrPercent(surge, rolling_path.Child("maxSurge"), surge_errors);
  for (kube::FieldError& error : surge_errors) {
    if (error.detail != "must not be greater than 100%") errors.push_back(std::move(error));
  }
  if (IntOrPercentValue(unavailable) == 0 && IntOrPercentValue(surge) == 0) {
    errors.push_back(InvalidPrinted(unavailable_path, GoIntOrString(unavailable),
                                    "may not be 0 when `maxSurge` is 0"));
  }
}

class Deployments final : public Workload {
 public:
  Deployments() : Workload({}) {}
  void Default(const Resource& resource, json::Value& object) const override {
    json::Value* spec = &object.MutableObject("spec");
    SetDefault(*spec, "replicas", 1);
    json::Value& strategy = spec->MutableObject("strategy");
    if (Text(strategy, "type").empty()) {
      strategy.Set("type", json::Value::String("RollingUpdate"));
    }
    if (Text(strategy, "type") == "RollingUpdate") {
      json::Value& rolling = strategy.MutableObject("rollingUpdate");
      SetDefault(rolling, "maxUnavailable", "25%");
      SetDefault(rolling, "maxSurge", "25%");
    }
    SetDefault(*spec, "revisionHistoryLimit", 10);
    SetDefault(*spec, "progressDeadlineSeconds", 600);
    DefaultTemplateOf(object);
  }
  // Annotations count too: rollouts are told of by them.
  bool SpecChanged(const json::Value& old_object, const json::Value& object) const override {
    return Strategy::SpecChanged(old_object, object) ||
           !Same(Get(old_object, "metadata", "annotations"),
                 Get(object, "metadata", "annotations"));
  }
  // The controller writes the revision, an annotation, together with the status. Labels stay.
  bool StatusUpdatesMetadata() const override { return true; }
  void PrepareForUpdate(const Resource& resource, Scope scope, const json::Value& old_object,
                        json::Value& object) const override {
    Strategy::PrepareForUpdate(resource, scope, old_object, object);
    if (scope != Scope::kStatus) return;
    CopyMember(Get(old_object, "metadata"), "labels", object.MutableObject("metadata"));
  }
  FieldErrors Validate(const Resource& resource, const json::Value& object) const override {
    FieldErrors errors;
    const json::Value& spec = Get(object, "spec");
    const FieldPath path("spec");
    ValidateNonNegative(spec, "replicas", path, errors);
    ValidateOwnSelector(spec, "deployment", path, errors);
    ValidateOwnedTemplate(spec, "ReplicaSet", path, errors);
    ValidateDeploymentStrategy(spec, path.Child("strategy"), errors);
    for (const char* key : {"minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"}) {
      ValidateNonNegative(spec, key, path, errors);
    }
    const std::optional<int64_t> deadline = OptionalInt(spec, "progressDeadlineSeconds");
    if (deadline.has_value() && *deadline <= Int(spec, "minReadySeconds")) {
      errors.push_back(kube::InvalidField(path.Child("progressDeadlineSeconds"), *deadline,
                                          "must be greater than minReadySeconds"));
    }
    return errors;
  }

 protected:
  void ValidateStatus(const json::Value& status, FieldErrors& errors) const override {
    ValidateReplicaCounts(status, {"updatedReplicas", "readyReplicas", "availableReplicas"},
                          errors);
    for (const char* key : {"unavailableReplicas", "collisionCount"}) {
      ValidateNonNegative(status, key, FieldPath("status"), errors);
    }
  }
};

class ReplicaSets final : public Workload {
 public:
  ReplicaSets() : Workload({"replicas"}) {}
  void Default(const Resource& resource, json::Value& object) const override {
    json::Value* spec = &object.MutableObject("spec");
    SetDefault(*spec, "replicas", 1);
    DefaultTemplateOf(object);
  }
  FieldErrors Validate(const Resource& resource, const json::Value& object) const override {
    FieldErrors errors;
    const json::Value& spec = Get(object, "spec");
    const FieldPath path("spec");
    ValidateNonNegative(spec, "replicas", path, errors);
    ValidateNonNegative(spec, "minReadySeconds", path, errors);
    // Kubernetes says "deployment" here too.
    ValidateOwnSelector(spec, "deployment", path, errors);
    ValidateOwnedTemplate(spec, "ReplicaSet", path, errors);
    return errors;
  }
  kube::StringPairs SelectableFields(const json::Value& object) const override {
    return {{"status.replicas", absl::StrCat(Int(Get(object, "status"), "replicas"))}};
  }
  std::vector<std::string> SelectableFieldNames() const override { return {"status.replicas"}; }

 protected:
  void ValidateStatus(const json::Value& status, FieldErrors& errors) const override {
    ValidateReplicaCounts(status, {"fullyLabeledReplicas", "readyReplicas", "availableReplicas"},
                          errors);
  }
};

void ValidateDaemonStrategy(const json::Value& spec, const FieldPath& path, FieldErrors& errors) {
  const json::Value& strategy = Get(spec, "updateStrategy");
  const absl::string_view type = Text(strategy, "type");
  if (type == "OnDelete") return;
  if (type != "RollingUpdate") {
    kube::FieldError error = kube::NotSupported(path, json::Value(), {"RollingUpdate", "OnDelete"});
    error.bad_value = absl::StrCat("apps.DaemonSetUpdateStrategy{Type:", GoText(type),
                                   ", RollingUpdate:(*apps.RollingUpdateDaemonSet)(nil)}");
    errors.push_back(std::move(error));
    return;
  }
  const FieldPath at = path.Child("rollingUpdate");
  if (!Has(strategy, "rollingUpdate")) {
    errors.push_back(kube::Required(at));
    return;
  }
  const json::Value& unavailable = Get(strategy, "rollingUpdate", "maxUnavailable");
  const json::Value& surge = Get(strategy, "rollingUpdate", "maxSurge");
  ValidateIntOrPercent(unavailable, at.Child("maxUnavailable"), errors);
  ValidateIntOrPercent(surge, at.Child("maxSurge"), errors);
  const bool may_lack = IntOrPercentValue(unavailable) != 0;
  const bool may_surge = IntOrPercentValue(surge) != 0;
  if (may_lack && may_surge) {
    errors.push_back(InvalidPrinted(at.Child("maxSurge"), GoIntOrString(surge),
                                    "may not be set when maxUnavailable is non-zero"));
  } else if (!may_lack && !may_surge) {
    errors.push_back(kube::Required(at.Child("maxUnavailable"), "cannot be 0 when maxSurge is 0"));
  }
}

class DaemonSets final : public Workload {
 public:
  DaemonSets()
      : Workload({"currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled",
                  "numberReady"}) {}
  void Default(const Resource& resource, json::Value& object) const override {
    json::Value* spec = &object.MutableObject("spec");
    json::Value& strategy = spec->MutableObject("updateStrategy");
    if (Text(strategy, "type").empty()) {
      strategy.Set("type", json::Value::String("RollingUpdate"));
    }
    if (Text(strategy, "type") == "RollingUpdate") {
      json::Value& rolling = strategy.MutableObject("rollingUpdate");
      SetDefault(rolling, "maxUnavailable", 1);
      SetDefault(rolling, "maxSurge", int64_t{0});
    }
    SetDefault(*spec, "revisionHistoryLimit", 10);
    DefaultTemplateOf(object);
  }
  FieldErrors Validate(const Resource& resource, const json::Value& object) const override {
    FieldErrors errors;
    const json::Value& spec = Get(object, "spec");
    const FieldPath path("spec");
    if (Has(spec, "selector")) {
      ValidateOwnSelector(spec, "daemonset", path, errors);
    } else {
      errors.push_back(kube::Required(path.Child("selector")));
    }
    ValidateOwnedTemplate(spec, "DaemonSet", path, errors);
    ValidateNonNegative(spec, "minReadySeconds", path, errors);
    ValidateDaemonStrategy(spec, path.Child("updateStrategy"), errors);
    ValidateNonNegative(spec, "revisionHistoryLimit", path, errors);
    return errors;
  }

 protected:
  void ValidateStatus(const json::Value& status, FieldErrors& errors) const override {
    for (const char* key :
         {"currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady",
          "observedGeneration", "updatedNumberScheduled", "numberAvailable", "numberUnavailable",
          "collisionCount"}) {
      ValidateNonNegative(status, key, FieldPath("status"), errors);
    }
  }
};

void ValidateStatefulStrategy(const json::Value& spec, const FieldPath& path, FieldErrors& errors) {
  const json::Value& strategy = Get(spec, "updateStrategy");
  const absl::string_view type = Text(strategy, "type");
  const json::Value& rolling = Get(strategy, "rollingUpdate");
  const FieldPath at = path.Child("rollingUpdate");
  if (type.empty()) {
    errors.push_back(kube::Required(path));
  } else if (type == "OnDelete") {
    if (!rolling.is_null()) {
      errors.push_back(
          kube::InvalidField(at, rolling, "only allowed for updateStrategy 'RollingUpdate'"));
    }
  } else if (type == "RollingUpdate") {
    ValidateNonNegative(rolling, "partition", at, errors);
    if (!Has(rolling, "maxUnavailable")) return;
    const json::Value& unavailable = Get(rolling, "maxUnavailable");
    ValidateIntOrPercent(unavailable, at.Child("maxUnavailable"), errors);
    if (IntOrPercentValue(unavailable) == 0) {
      errors.push_back(
          InvalidPrinted(at.Child("maxUnavailable"), GoIntOrString(unavailable), "cannot be 0"));
    }
  } else {
    errors.push_back(InvalidPrinted(
        path,
        absl::StrCat("apps.StatefulSetUpdateStrategy{Type:", GoText(type),
                     ", RollingUpdate:(*apps.RollingUpdateStatefulSetStrategy)(nil)}"),
        "must be 'RollingUpdate' or 'OnDelete'"));
  }
}

class StatefulSets final : public Workload {
 public:
  StatefulSets() : Workload({"replicas", "availableReplicas"}) {}
  void Default(const Resource& resource, json::Value& object) const override {
    json::Value* spec = &object.MutableObject("spec");
    SetDefault(*spec, "podManagementPolicy", "OrderedReady");
    json::Value& strategy = spec->MutableObject("updateStrategy");
    if (Text(strategy, "type").empty()) {
      strategy.Set("type", json::Value::String("RollingUpdate"));
      strategy.MutableObject("rollingUpdate");
    }
    json::Value* rolling = MutableMember(strategy, "rollingUpdate");
    if (rolling != nullptr && Text(strategy, "type") == "RollingUpdate") {
      SetDefault(*rolling, "partition", int64_t{0});
    }
    json::Value& retention = spec->MutableObject("persistentVolumeClaimRetentionPolicy");
    SetDefault(retention, "whenDeleted", "Retain");
    SetDefault(retention, "whenScaled", "Retain");
    SetDefault(*spec, "replicas", 1);
    SetDefault(*spec, "revisionHistoryLimit", 10);
    if (std::vector<json::Value>* claims = MutableItems(*spec, "volumeClaimTemplates")) {
      for (json::Value& claim : *claims) DefaultClaimTemplate(claim);
    }
    DefaultTemplateOf(object);
  }
  FieldErrors Validate(const Resource& resource, const json::Value& object) const override {
    FieldErrors errors;
    const json::Value& spec = Get(object, "spec");
    const FieldPath path("spec");
    const absl::string_view management = Text(spec, "podManagementPolicy");
    if (management.empty()) {
      errors.push_back(kube::Required(path.Child("podManagementPolicy")));
    } else if (management != "OrderedReady" && management != "Parallel") {
      errors.push_back(kube::InvalidField(path.Child("podManagementPolicy"), management,
                                          "must be 'OrderedReady' or 'Parallel'"));
    }
    ValidateStatefulStrategy(spec, path.Child("updateStrategy"), errors);
    const FieldPath retention_path = path.Child("persistentVolumeClaimRetentionPolicy");
    for (const char* key : {"whenDeleted", "whenScaled"}) {
      ValidateOneOf(Get(spec, "persistentVolumeClaimRetentionPolicy"), key, retention_path,
                    {"Retain", "Delete"}, false, errors);
    }
    ValidateNonNegative(spec, "replicas", path, errors);
    ValidateNonNegative(spec, "minReadySeconds", path, errors);
    ValidateNonNegative(Int(Get(spec, "ordinals"), "start"), path.Child("ordinals.start"), errors);
    ValidateOwnSelector(spec, "statefulset", path, errors);
    ValidateOwnedTemplate(WithClaims(spec), "StatefulSet", path, errors);
    return errors;
  }

 protected:
  void ValidateChange(const json::Value& old_object, const json::Value& object,
                      FieldErrors& errors) const override {
    json::Value expected = Get(object, "spec");
    for (const char* key : {"replicas", "template", "updateStrategy", "minReadySeconds", "ordinals",
                            "persistentVolumeClaimRetentionPolicy"}) {
      CopyMember(Get(old_object, "spec"), key, expected);
    }
    if (Same(expected, Get(old_object, "spec"))) return;
    errors.push_back(kube::ForbiddenField(
        FieldPath("spec"),
        "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', "
        "'updateStrategy', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are "
        "forbidden"));
  }
  void ValidateStatus(const json::Value& status, FieldErrors& errors) const override {
    ValidateReplicaCounts(
        status, {"readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"},
        errors);
  }

 private:
  // Containers mount claims like volumes of the template, which they become in each pod.
  static json::Value WithClaims(const json::Value& spec) {
    json::Value out = spec;
    if (Items(spec, "volumeClaimTemplates").empty()) return out;
    json::Value& pod = out.MutableObject("template").MutableObject("spec");
    const json::Value* given = pod.Find("volumes");
    json::Value volumes = given != nullptr && given->is_array() ? *given : json::Value::Array();
    for (const json::Value& claim : Items(spec, "volumeClaimTemplates")) {
      const absl::string_view name = Text(Get(claim, "metadata"), "name");
      const bool is_there =
          std::any_of(volumes.items().begin(), volumes.items().end(),
                      [name](const json::Value& volume) { return Text(volume, "name") == name; });
      if (is_there) continue;
      json::Value volume = json::Value::Object();
      volume.Set("name", json::Value::String(std::string(name)));
      volume.Set("emptyDir", json::Value::Object());
      volumes.Append(std::move(volume));
    }
    pod.Set("volumes", std::move(volumes));
    return out;
  }

  // A claim without a name of its own: it has the kind's defaults, and shows as pending.
  static void DefaultClaimTemplate(json::Value& claim) {
    SetDefault(claim, "apiVersion", "v1");
    SetDefault(claim, "kind", "PersistentVolumeClaim");
    if (json::Value* spec = MutableMember(claim, "spec")) DefaultClaimSpec(*spec);
    if (claim.is_object()) SetDefault(claim.MutableObject("status"), "phase", "Pending");
  }
};

class ReplicationControllers final : public Workload {
 public:
  ReplicationControllers() : Workload({"replicas"}) {}
  // Selector and labels are taken from the template.
  void Default(const Resource& resource, json::Value& object) const override {
    json::Value* spec = &object.MutableObject("spec");
    SetDefault(*spec, "replicas", 1);
    if (json::Value* pods = MutableMember(*spec, "template")) DefaultPodTemplate(*pods);
    const json::Value labels = Get(*spec, "template", "metadata", "labels");
    if (!labels.is_object() || labels.members().empty()) return;
    if (Members(*spec, "selector").empty()) spec->Set("selector", labels);
    if (Get(object, "metadata", "labels").members().empty()) {
      object.MutableObject("metadata").Set("labels", labels);
    }
  }
  FieldErrors Validate(const Resource& resource, const json::Value& object) const override {
    FieldErrors errors;
    const json::Value& spec = Get(object, "spec");
    const FieldPath path("spec");
    ValidateNonNegative(spec, "minReadySeconds", path, errors);
    if (Members(spec, "selector").empty()) {
      errors.push_back(kube::Required(path.Child("selector")));
    }
    ValidateNonNegative(spec, "replicas", path, errors);
    ValidateOwnedTemplate(spec, "ReplicationController", path, errors);
    return errors;
  }
  kube::StringPairs SelectableFields(const json::Value& object) const override {
    return {{"status.replicas", absl::StrCat(Int(Get(object, "status"), "replicas"))}};
  }
  std::vector<std::string> SelectableFieldNames() const override { return {"status.replicas"}; }
  bool OrphansDependentsByDefault() const override { return true; }

 protected:
  void ValidateChange(const json::Value& old_object, const json::Value& object,
                      FieldErrors& errors) const override {}
  void ValidateStatus(const json::Value& status, FieldErrors& errors) const override {
    ValidateReplicaCounts(status, {"fullyLabeledReplicas", "readyReplicas", "availableReplicas"},
                          errors);
  }
};

class ControllerRevisions final : public Strategy {
 public:
  FieldErrors Validate(const Resource& resource, const json::Value& object) const override {
    FieldErrors errors;
    ValidateNonNegative(object, "revision", FieldPath(""), errors);
    if (!Has(object, "data")) {
      errors.push_back(kube::Required(FieldPath("data"), "data is mandatory"));
    } else if (!Get(object, "data").is_object()) {
      errors.push_back(kube::Required(FieldPath("data"), "data must be a valid JSON object"));
    }
    return errors;
  }
  FieldErrors ValidateUpdate(const Resource& resource, Scope scope, const json::Value& old_object,
                             const json::Value& object) const override {
    FieldErrors errors;
    ValidateNonNegative(object, "revision", FieldPath(""), errors);
    ValidateImmutable(Get(old_object, "data"), Get(object, "data"), FieldPath("data"), errors);
    return errors;
  }
};

}  // namespace

void ValidateIntOrPercent(const json::Value& value, const FieldPath& path, FieldErrors& errors) {
  if (value.is_string()) {
    for (const std::string& complaint : CheckPercent(value.text())) {
      errors.push_back(InvalidPrinted(path, GoIntOrString(value), complaint));
    }
    if (IntOrPercentValue(value) > 100 && absl::EndsWith(value.text(), "%")) {
      errors.push_back(InvalidPrinted(path, GoIntOrString(value), "must not be greater than 100%"));
    }
  } else {
    ValidateNonNegative(value.AsInt64().value_or(0), path, errors);
  }
}

int64_t IntOrPercentValue(const json::Value& value) {
  if (!value.is_string()) return value.AsInt64().value_or(0);
  int64_t number = 0;
  return absl::SimpleAtoi(absl::StripSuffix(value.text(), "%"), &number) ? number : 0;
}

std::string GoIntOrString(const json::Value& value) {
  if (value.is_string()) {
    return absl::StrCat("intstr.IntOrString{Type:1, IntVal:0, StrVal:", GoText(value.text()), "}");
  }
  return absl::StrCat("intstr.IntOrString{Type:0, IntVal:", value.AsInt64().value_or(0),
                      ", StrVal:\"\"}");
}

void ValidateOwnSelector(const json::Value& spec, absl::string_view what, const FieldPath& path,
                         FieldErrors& errors) {
  const json::Value& selector = Get(spec, "selector");
  const FieldPath at = path.Child("selector");
  if (selector.is_null()) {
    errors.push_back(kube::Required(at));
    return;
  }
  ValidateLabelSelector(&selector, at, errors);
  if (Members(selector, "matchLabels").empty() && Items(selector, "matchExpressions").empty()) {
    errors.push_back(InvalidPrinted(at, GoLabelSelector(selector),
                                    absl::StrCat("empty selector is invalid for ", what)));
  }
}

void ValidateOwnedTemplate(const json::Value& spec, absl::string_view what, const FieldPath& path,
                           FieldErrors& errors) {
  const FieldPath at = path.Child("template");
  const json::Value& pods = Get(spec, "template");
  if (pods.is_null()) {
    errors.push_back(kube::Required(at));
    return;
  }
  json::Value selector = Get(spec, "selector");
  if (what == "ReplicationController") {  // whose selector is a plain map
    json::Value wrapped = json::Value::Object();
    wrapped.Add("matchLabels", std::move(selector));
    selector = std::move(wrapped);
  }
  const auto parsed = kube::LabelSelector::FromJson(selector.is_null() ? nullptr : &selector);
  kube::StringPairs labels;
  for (const json::Member& label : Members(Get(pods, "metadata"), "labels")) {
    labels.emplace_back(label.key, label.value.text());
  }
  std::sort(labels.begin(), labels.end());
  if (parsed.ok() && !selector.is_null() && !parsed->empty() && !parsed->Matches(labels)) {
    errors.push_back(InvalidPrinted(at.Child("metadata").Child("labels"),
                                    GoTextMap(Get(pods, "metadata", "labels")),
                                    "`selector` does not match template `labels`"));
  }
  ValidatePodTemplate(pods, at, errors);
  const json::Value& restart = Get(pods, "spec", "restartPolicy");
  if (restart.text() != "Always") {
    errors.push_back(
        kube::NotSupported(at.Child("spec").Child("restartPolicy"), restart, {"Always"}));
  }
  if (Has(Get(pods, "spec"), "activeDeadlineSeconds")) {
    errors.push_back(
        kube::ForbiddenField(at.Child("spec").Child("activeDeadlineSeconds"),
                             absl::StrCat("activeDeadlineSeconds in ", what, " is not Supported")));
  }
}

void ValidateReplicaCounts(const json::Value& status, std::initializer_list<absl::string_view> keys,
                           FieldErrors& errors) {
  const FieldPath path("status");
  const int64_t replicas = Int(status, "replicas");
  ValidateNonNegative(status, "replicas", path, errors);
  ValidateNonNegative(status, "observedGeneration", path, errors);
  for (const absl::string_view key : keys) ValidateNonNegative(status, key, path, errors);
  for (const absl::string_view key : keys) {
    if (Int(status, key) <= replicas) continue;
    errors.push_back(kube::InvalidField(path.Child(key), Int(status, key),
                                        "cannot be greater than status.replicas"));
  }
  const int64_t available = Int(status, "availableReplicas");
  if (available > Int(status, "readyReplicas")) {
    errors.push_back(kube::InvalidField(path.Child("availableReplicas"), available,
                                        "cannot be greater than readyReplicas"));
  }
}

std::unique_ptr<const Strategy> DeploymentStrategy() { return std::make_unique<Deployments>(); }
std::unique_ptr<const Strategy> ReplicaSetStrategy() { return std::make_unique<ReplicaSets>(); }
std::unique_ptr<const Strategy> DaemonSetStrategy() { return std::make_unique<DaemonSets>(); }
std::unique_ptr<const Strategy> StatefulSetStrategy() { return std::make_unique<StatefulSets>(); }
std::unique_ptr<const Strategy> ReplicationControllerStrategy() {
  return std::make_unique<ReplicationControllers>();
}
std::unique_ptr<const Strategy> ControllerRevisionStrategy() {
  return std::make_unique<ControllerRevisions>();
}

}  // namespace meltemi::apiserver
