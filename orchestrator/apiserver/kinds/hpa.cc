#include "orchestrator/apiserver/kinds/hpa.h"

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "base/json/parse.h"
#include "base/json/write.h"
#include "orchestrator/apiserver/kinds/tree.h"

namespace meltemi::apiserver {
namespace {

using json::Value;

constexpr absl::string_view kMetrics = "autoscaling.alpha.kubernetes.io/metrics";
constexpr absl::string_view kCurrentMetrics = "autoscaling.alpha.kubernetes.io/current-metrics";
constexpr absl::string_view kConditions = "autoscaling.alpha.kubernetes.io/conditions";
constexpr absl::string_view kBehavior = "autoscaling.alpha.kubernetes.io/behavior";

constexpr absl::string_view kSources[] = {"object", "pods", "resource", "containerResource",
                                          "external"};

// Copies `from[key]` to `to[name]` where it is.
void Take(const Value& from, absl::string_view key, Value& to, absl::string_view name) {
  if (Has(from, key)) to.Set(name, Get(from, key));
}

void TakeQuantity(const Value& from, absl::string_view key, Value& to, absl::string_view name) {
  to.Set(name, Has(from, key) ? Get(from, key) : Value::String("0"));
}

bool IsPerPodResource(absl::string_view source) {
  return source == "resource" || source == "containerResource";
}

// Version 1 names selectors of external metrics in its own way.
absl::string_view SelectorName(absl::string_view source) {
  return source == "external" ? "metricSelector" : "selector";
}

void IdentifierToV2(const Value& v1, absl::string_view source, Value& v2) {
  Value& metric = v2.Set("metric", Value::Object());
  Take(v1, "metricName", metric, "name");
  Take(v1, SelectorName(source), metric, "selector");
}

Value SourceToV2(absl::string_view source, const Value& v1) {
  Value v2 = Value::Object();
  Value target = Value::Object();
  const bool average = Has(v1, source == "object" ? "averageValue" : "targetAverageValue");
  if (IsPerPodResource(source)) {
    Take(v1, "name", v2, "name");
    Take(v1, "container", v2, "container");
    target.Set("type",
               Value::String(Has(v1, "targetAverageUtilization") ? "Utilization" : "AverageValue"));
    Take(v1, "targetAverageValue", target, "averageValue");
    Take(v1, "targetAverageUtilization", target, "averageUtilization");
    v2.Set("target", std::move(target));
    return v2;
  }
  IdentifierToV2(v1, source, v2);
  if (source == "object") {
    Take(v1, "target", v2, "describedObject");
    target.Set("type", Value::String(average ? "AverageValue" : "Value"));
    // 0 is how version 1 writes that there is none.
    if (!average || Text(v1, "targetValue") != "0") Take(v1, "targetValue", target, "value");
    Take(v1, "averageValue", target, "averageValue");
  } else if (source == "pods") {
    target.Set("type", Value::String("AverageValue"));
    Take(v1, "targetAverageValue", target, "averageValue");
  } else {
    target.Set("type", Value::String(Has(v1, "targetValue") ? "Value" : "AverageValue"));
    Take(v1, "targetValue", target, "value");
    Take(v1, "targetAverageValue", target, "averageValue");
  }
  v2.Set("target", std::move(target));
  return v2;
}

Value SourceToV1(absl::string_view source, const Value& v2) {
  Value v1 = Value::Object();
  const Value& target = Get(v2, "target");
  const Value& metric = Get(v2, "metric");
  if (IsPerPodResource(source)) {
    Take(v2, "name", v1, "name");
    Take(target, "averageUtilization", v1, "targetAverageUtilization");
    Take(target, "averageValue", v1, "targetAverageValue");
    Take(v2, "container", v1, "container");
  } else if (source == "object") {
    Take(v2, "describedObject", v1, "target");
    Take(metric, "name", v1, "metricName");
    TakeQuantity(target, "value", v1, "targetValue");
    Take(metric, "selector", v1, "selector");
    Take(target, "averageValue", v1, "averageValue");
  } else if (source == "pods") {
    Take(metric, "name", v1, "metricName");
    TakeQuantity(target, "averageValue", v1, "targetAverageValue");
    Take(metric, "selector", v1, "selector");
  } else {
    Take(metric, "name", v1, "metricName");
    Take(metric, "selector", v1, "metricSelector");
    Take(target, "value", v1, "targetValue");
    Take(target, "averageValue", v1, "targetAverageValue");
  }
  return v1;
}

Value CurrentToV2(absl::string_view source, const Value& v1) {
  Value v2 = Value::Object();
  Value current = Value::Object();
  if (IsPerPodResource(source)) {
    Take(v1, "name", v2, "name");
    Take(v1, "container", v2, "container");
    Take(v1, "currentAverageUtilization", current, "averageUtilization");
  } else {
    IdentifierToV2(v1, source, v2);
    if (source == "object") Take(v1, "target", v2, "describedObject");
    Take(v1, "currentValue", current, "value");
  }
  Take(v1, source == "object" ? "averageValue" : "currentAverageValue", current, "averageValue");
  v2.Set("current", std::move(current));
  return v2;
}

Value CurrentToV1(absl::string_view source, const Value& v2) {
  Value v1 = Value::Object();
  const Value& current = Get(v2, "current");
  const Value& metric = Get(v2, "metric");
  if (IsPerPodResource(source)) {
    Take(v2, "name", v1, "name");
    Take(current, "averageUtilization", v1, "currentAverageUtilization");
    TakeQuantity(current, "averageValue", v1, "currentAverageValue");
    Take(v2, "container", v1, "container");
    return v1;
  }
  if (source == "object") Take(v2, "describedObject", v1, "target");
  Take(metric, "name", v1, "metricName");
  if (source == "pods") {
    TakeQuantity(current, "averageValue", v1, "currentAverageValue");
  } else {
    TakeQuantity(current, "value", v1, "currentValue");
    Take(current, "averageValue", v1, source == "object" ? "averageValue" : "currentAverageValue");
  }
  Take(metric, "selector", v1, SelectorName(source));
  return v1;
}

using ConvertSource = Value (*)(absl::string_view source, const Value& value);

Value ConvertMetric(const Value& metric, ConvertSource convert) {
  Value out = Value::Object();
  Take(metric, "type", out, "type");
  for (const absl::string_view source : kSources) {
    if (Has(metric, source)) out.Set(source, convert(source, Get(metric, source)));
  }
  return out;
}

Value ConvertMetrics(const std::vector<Value>& metrics, ConvertSource convert) {
  Value out = Value::Array();
  for (const Value& metric : metrics) out.Append(ConvertMetric(metric, convert));
  return out;
}

// The annotation as JSON of the wanted kind; it is removed.
std::optional<Value> TakeAnnotation(Value& object, absl::string_view name, Value::Kind kind) {
  Value* metadata = MutableMember(object, "metadata");
  Value* annotations = metadata == nullptr ? nullptr : MutableMember(*metadata, "annotations");
  const Value* text = annotations == nullptr ? nullptr : annotations->Find(name);
  if (text == nullptr) return std::nullopt;
  absl::StatusOr<Value> value = json::Parse(text->text());
  annotations->Remove(name);
  if (annotations->members().empty()) metadata->Remove("annotations");
  if (!value.ok() || value->kind() != kind) return std::nullopt;
  return *std::move(value);
}

void SetAnnotation(Value& object, absl::string_view name, const Value& value) {
  object.MutableObject("metadata")
      .MutableObject("annotations")
      .Set(name, Value::String(json::ToString(value)));
}

// The behavior is written by Go's own names, "ScaleUp", and read in whatever case.
Value Recased(const Value& value, bool upper) {
  if (value.is_array()) {
    Value out = Value::Array();
    for (const Value& item : value.items()) out.Append(Recased(item, upper));
    return out;
  }
  if (!value.is_object()) return value;
  Value out = Value::Object();
  for (const json::Member& member : value.members()) {
    if (!upper && member.value.is_null()) continue;
    std::string key = member.key;
    const auto first = static_cast<unsigned char>(key.empty() ? '\0' : key[0]);
    if (!key.empty()) key[0] = upper ? absl::ascii_toupper(first) : absl::ascii_tolower(first);
    out.Set(key, Recased(member.value, upper));
  }
  return out;
}

bool IsCpuUtilization(const Value& metric) {
  return Text(metric, "type") == "Resource" && Text(Get(metric, "resource"), "name") == "cpu" &&
         Has(Get(metric, "resource", "target"), "averageUtilization");
}

Value CpuMetric(Value utilization) {
  Value metric = Value::Object();
  metric.Set("type", Value::String("Resource"));
  Value& resource = metric.Set("resource", Value::Object());
  resource.Set("name", Value::String("cpu"));
  Value& target = resource.Set("target", Value::Object());
  target.Set("type", Value::String("Utilization"));
  target.Set("averageUtilization", std::move(utilization));
  return metric;
}

void SpecToV2(Value& object) {
  constexpr int64_t kCpuPercentDefault = 80;
  Value metrics = Value::Array();
  if (auto others = TakeAnnotation(object, kMetrics, Value::Kind::kArray)) {
    metrics = ConvertMetrics(others->items(), SourceToV2);
  }
  Value& spec = object.MutableObject("spec");
  if (Has(spec, "targetCPUUtilizationPercentage")) {
    metrics.Append(CpuMetric(Get(spec, "targetCPUUtilizationPercentage")));
  }
  spec.Remove("targetCPUUtilizationPercentage");
  if (metrics.items().empty()) metrics.Append(CpuMetric(Value::Int(kCpuPercentDefault)));
  spec.Set("metrics", std::move(metrics));
  const auto behavior = TakeAnnotation(object, kBehavior, Value::Kind::kObject);
  if (behavior.has_value() && !behavior->members().empty()) {
    spec.Set("behavior", Recased(*behavior, false));
  }
}

void StatusToV2(Value& object) {
  const auto metrics = TakeAnnotation(object, kCurrentMetrics, Value::Kind::kArray);
  auto conditions = TakeAnnotation(object, kConditions, Value::Kind::kArray);
  Value* status = MutableMember(object, "status");
  if (status == nullptr && !metrics.has_value() && !conditions.has_value()) return;
  if (status == nullptr) status = &object.MutableObject("status");
  const Value cpu = Get(*status, "currentCPUUtilizationPercentage");
  status->Remove("currentCPUUtilizationPercentage");
  if (metrics.has_value()) {
    status->Set("currentMetrics", ConvertMetrics(metrics->items(), CurrentToV2));
  } else if (!cpu.is_null()) {
    Value resource = Value::Object();
    resource.Set("name", Value::String("cpu"));
    resource.Set("current", Value::Object()).Set("averageUtilization", cpu);
    Value metric = Value::Object();
    metric.Set("type", Value::String("Resource"));
    metric.Set("resource", std::move(resource));
    status->Set("currentMetrics", Value::Array()).Append(std::move(metric));
  }
  if (conditions.has_value()) status->Set("conditions", *std::move(conditions));
}

void SpecToV1(Value& object) {
  Value* spec = MutableMember(object, "spec");
  if (spec == nullptr) return;
  std::vector<Value> others;
  Value cpu;
  for (const Value& metric : Items(*spec, "metrics")) {
    if (!IsCpuUtilization(metric)) {
      others.push_back(metric);
    } else if (cpu.is_null()) {
      cpu = Get(Get(metric, "resource", "target"), "averageUtilization");
    }
  }
  const Value behavior = Get(*spec, "behavior");
  spec->Remove("metrics");
  spec->Remove("behavior");
  if (!cpu.is_null()) spec->Set("targetCPUUtilizationPercentage", std::move(cpu));
  if (!others.empty()) SetAnnotation(object, kMetrics, ConvertMetrics(others, SourceToV1));
  if (!behavior.is_null()) SetAnnotation(object, kBehavior, Recased(behavior, true));
}

void StatusToV1(Value& object) {
  Value* status = MutableMember(object, "status");
  if (status == nullptr) return;
  const Value metrics = Get(*status, "currentMetrics");
  const Value conditions = Get(*status, "conditions");
  status->Remove("currentMetrics");
  status->Remove("conditions");
  for (const Value& metric : metrics.items()) {
    const Value& resource = Get(metric, "resource");
    if (Text(metric, "type") == "Resource" && Text(resource, "name") == "cpu") {
      Take(Get(resource, "current"), "averageUtilization", *status,
           "currentCPUUtilizationPercentage");
    }
  }
  if (!metrics.items().empty()) {
    SetAnnotation(object, kCurrentMetrics, ConvertMetrics(metrics.items(), CurrentToV1));
  }
  if (!conditions.items().empty()) SetAnnotation(object, kConditions, conditions);
}

}  // namespace

void HpaToV2(Value& object) {
  SpecToV2(object);
  StatusToV2(object);
}

void DropHpaAnnotations(Value& object) {
  for (const absl::string_view name : {kMetrics, kCurrentMetrics, kConditions, kBehavior}) {
    TakeAnnotation(object, name, Value::Kind::kNull);
  }
}

void HpaToV1(Value& object) {
  DropHpaAnnotations(object);
  SpecToV1(object);
  StatusToV1(object);
}

}  // namespace meltemi::apiserver
