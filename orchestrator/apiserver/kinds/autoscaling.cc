// The group "autoscaling".
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "orchestrator/apiserver/kinds/columns.h"
#include "orchestrator/apiserver/kinds/groups.h"
#include "orchestrator/apiserver/kinds/hpa.h"
#include "orchestrator/apiserver/kinds/tree.h"

namespace meltemi::apiserver {
namespace {

using kube::FieldErrors;
using kube::FieldPath;

constexpr absl::string_view kOldVersion = "autoscaling/v1";

json::Value Policy(const char* type, int64_t value) {
  json::Value policy = json::Value::Object();
  policy.Set("type", json::Value::String(type));
  policy.Set("value", json::Value::Int(value));
  policy.Set("periodSeconds", json::Value::Int(15));
  return policy;
}

void DefaultBehavior(json::Value& behavior) {
  json::Value& up = behavior.MutableObject("scaleUp");
  SetDefault(up, "stabilizationWindowSeconds", int64_t{0});
  SetDefault(up, "selectPolicy", "Max");
  json::Value up_policies = json::Value::Array();
  up_policies.Append(Policy("Pods", 4));
  up_policies.Append(Policy("Percent", 100));
  SetDefault(up, "policies", std::move(up_policies));
  json::Value& down = behavior.MutableObject("scaleDown");
  SetDefault(down, "selectPolicy", "Max");
  json::Value down_policies = json::Value::Array();
  down_policies.Append(Policy("Percent", 100));
  SetDefault(down, "policies", std::move(down_policies));
}

json::Value AsV2(const json::Value& object) {
  json::Value copy = object;
  if (Text(object, "apiVersion") == kOldVersion) HpaToV2(copy);
  return copy;
}

class HpaStrategy final : public Strategy {
 public:
  // Version 1 goes through version 2 and back: what its annotations say must be there in its fields
  // too, and the other way round.
  void Default(const Resource& resource, json::Value& object) const override {
    json::Value* spec = MutableMember(object, "spec");
    if (spec == nullptr) return;
    SetDefault(*spec, "minReplicas", 1);
    if (resource.version == "v1") {
      HpaToV2(object);
      HpaToV1(object);
      return;
    }
    DropHpaAnnotations(object);
    if (Items(*spec, "metrics").empty()) {
      json::Value cpu = json::Value::Object();
      HpaToV2(cpu);  // nothing at all becomes the default metric
      spec->Set("metrics", Get(cpu, "spec", "metrics"));
    }
    if (json::Value* behavior = MutableMember(*spec, "behavior")) DefaultBehavior(*behavior);
  }
  void PrepareForCreate(const Resource& resource, json::Value& object) const override {
    if (resource.version != "v1") return Strategy::PrepareForCreate(resource, object);
    HpaToV2(object);
    Strategy::PrepareForCreate(resource, object);
    HpaToV1(object);
  }
  void PrepareForUpdate(const Resource& resource, Scope scope, const json::Value& old_object,
                        json::Value& object) const override {
    if (resource.version != "v1") {
      return Strategy::PrepareForUpdate(resource, scope, old_object, object);
    }
    json::Value old_v2 = old_object;
    HpaToV2(old_v2);
    HpaToV2(object);
    Strategy::PrepareForUpdate(resource, scope, old_v2, object);
    HpaToV1(object);
  }

  FieldErrors Validate(const Resource& resource, const json::Value& object) const override {
    FieldErrors errors;
    ValidateHpaSpec(Get(AsV2(object), "spec"), 1, FieldPath("spec"), errors);
    return errors;
  }
  FieldErrors ValidateUpdate(const Resource& resource, Scope scope, const json::Value& old_object,
                             const json::Value& object) const override {
    FieldErrors errors;
    if (scope == Scope::kStatus) {
      for (const char* key : {"currentReplicas", "desiredReplicas"}) {
        ValidateNonNegative(Get(object, "status"), key, FieldPath("status"), errors);
      }
      return errors;
    }
    const bool was_zero = OptionalInt(Get(old_object, "spec"), "minReplicas") == 0;
    ValidateHpaSpec(Get(AsV2(object), "spec"), was_zero ? 0 : 1, FieldPath("spec"), errors);
    return errors;
  }
};

std::string Or(const json::Value& object, absl::string_view key, absl::string_view otherwise) {
  return Has(object, key) ? Get(object, key).text() : std::string(otherwise);
}

// "30%/80%", "12/20 (avg)", "cpu: <unknown>/80%".
std::string MetricText(const json::Value& metric, const json::Value& status) {
  const absl::string_view type = Text(metric, "type");
  const bool per_container = type == "ContainerResource";
  if (per_container || type == "Resource") {
    const char* key = per_container ? "containerResource" : "resource";
    const json::Value& target = Get(metric, key, "target");
    const json::Value& current = Get(status, key, "current");
    const std::string head = absl::StrCat(Text(Get(metric, key), "name"), ": ");
    if (Has(target, "averageValue")) {
      return absl::StrCat(head, Or(current, "averageValue", "<unknown>"), "/",
                          Text(target, "averageValue"));
    }
    const bool known = Has(current, "averageUtilization");
    return absl::StrCat(head, Or(current, "averageUtilization", "<unknown>"), known ? "%/" : "/",
                        Or(target, "averageUtilization", "<auto>"),
                        Has(target, "averageUtilization") ? "%" : "");
  }
  const char* key = type == "External" ? "external"
                    : type == "Pods"   ? "pods"
                    : type == "Object" ? "object"
                                       : "";
  if (*key == '\0') return "<unknown type>";
  const json::Value& target = Get(metric, key, "target");
  const json::Value& current = Get(status, key, "current");
  if (type == "Pods" || Has(target, "averageValue")) {
    return absl::StrCat(Or(current, "averageValue", "<unknown>"), "/", Text(target, "averageValue"),
                        type == "Pods" ? "" : " (avg)");
  }
  return absl::StrCat(Or(current, "value", "<unknown>"), "/", Text(target, "value"));
}

std::string MetricsText(const json::Value& hpa) {
  constexpr size_t kShown = 2;
  const auto& metrics = Items(Get(hpa, "spec"), "metrics");
  const auto& statuses = Items(Get(hpa, "status"), "currentMetrics");
  if (metrics.empty()) return "<none>";
  std::vector<std::string> texts;
  for (size_t i = 0; i < metrics.size() && i < kShown; ++i) {
    texts.push_back(
        MetricText(metrics[i], i < statuses.size() ? statuses[i] : json::Value::Object()));
  }
  const std::string text = absl::StrJoin(texts, ", ");
  return metrics.size() > kShown ? absl::StrCat(text, " + ", metrics.size() - kShown, " more...")
                                 : text;
}

std::vector<json::Value> HpaRow(const json::Value& object, int64_t now_s) {
  const json::Value hpa = AsV2(object);
  const json::Value& spec = Get(hpa, "spec");
  const json::Value& target = Get(spec, "scaleTargetRef");
  return {NameCell(hpa),
          TextCell(absl::StrCat(Text(target, "kind"), "/", Text(target, "name"))),
          TextCell(MetricsText(hpa)),
          TextCell(Or(spec, "minReplicas", "<unset>")),
          json::Value::Int(Int(spec, "maxReplicas")),
          json::Value::Int(Int(Get(hpa, "status"), "currentReplicas")),
          AgeCell(hpa, now_s)};
}

}  // namespace

void AddAutoscaling(KindTable& table) {
  table.SetStorage("autoscaling", "v1", "horizontalpodautoscalers",
                   {.storage = {"autoscaling", "horizontalpodautoscalers"},
                    .version = "autoscaling/v2",
                    .kind = "HorizontalPodAutoscaler",
                    .to_storage = HpaToV2,
                    .from_storage = HpaToV1});
  table.Add("autoscaling", "horizontalpodautoscalers", std::make_unique<HpaStrategy>(),
            MakeColumns({NameColumn(), TextColumn("Reference", "What it scales."),
                         TextColumn("Targets", "Its metrics: what they are, and should be."),
                         TextColumn("MinPods", "The least number of pods."),
                         TextColumn("MaxPods", "The greatest number of pods."),
                         TextColumn("Replicas", "How many pods it last saw."), AgeColumn()},
                        HpaRow));
}

}  // namespace meltemi::apiserver
