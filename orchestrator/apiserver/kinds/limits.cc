#include "orchestrator/apiserver/kinds/limits.h"

#include <algorithm>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "kube/quantity/quantity.h"
#include "orchestrator/apiserver/kinds/columns.h"
#include "orchestrator/apiserver/kinds/names.h"
#include "orchestrator/apiserver/kinds/pod_parts.h"
#include "orchestrator/apiserver/kinds/pod_template.h"
#include "orchestrator/apiserver/kinds/tree.h"
#include "orchestrator/apiserver/kinds/volume.h"

namespace meltemi::apiserver {
namespace {

using kube::FieldErrors;
using kube::FieldPath;
using kube::Quantity;

// ---- LimitRange

std::optional<Quantity> QuantityOf(const json::Value& limit, absl::string_view part,
                                   absl::string_view resource) {
  return Quantity::Parse(Get(limit, part, resource).text());
}

void ValidateLimitResource(absl::string_view type, absl::string_view resource,
                           const FieldPath& path, FieldErrors& errors) {
  if (type == "Pod" || type == "Container") {
    ValidateContainerResourceName(resource, path, errors);
  } else {
    ValidateResourceName(resource, path, errors);
  }
}

// `small` may not be above `large`; `shown` is the value that the error is about.
void ValidateOrder(const std::optional<Quantity>& small, absl::string_view small_name,
                   const std::optional<Quantity>& large, absl::string_view large_name,
                   const Quantity& shown, const FieldPath& path, FieldErrors& errors) {
  if (!small.has_value() || !large.has_value() || small->Compare(*large) <= 0) return;
  errors.push_back(
      kube::InvalidField(path, absl::string_view(shown.ToString()),
                         absl::StrCat(small_name, " value ", small->ToString(), " is greater than ",
                                      large_name, " value ", large->ToString())));
}

void ValidateRatio(const json::Value& limit, absl::string_view resource, const FieldPath& path,
                   FieldErrors& errors) {
  const std::optional<Quantity> ratio = QuantityOf(limit, "maxLimitRequestRatio", resource);
  if (!ratio.has_value()) return;
  const FieldPath at = path.Child("maxLimitRequestRatio").Key(resource);
  const std::string text = ratio->ToString();
  if (*ratio < Quantity::Of(1)) {
    errors.push_back(kube::InvalidField(at, absl::string_view(text),
                                        absl::StrCat("ratio ", text, " is less than 1")));
  }
  const std::optional<Quantity> least = QuantityOf(limit, "min", resource);
  const std::optional<Quantity> most = QuantityOf(limit, "max", resource);
  if (!least.has_value() || !most.has_value() || least->IsZero()) return;
  const double bound =
      static_cast<double>(most->MilliValue()) / static_cast<double>(least->MilliValue());
  if (static_cast<double>(ratio->MilliValue()) / 1000 <= bound) return;
  errors.push_back(
      kube::InvalidField(at, absl::string_view(text),
                         absl::StrFormat("ratio %s is greater than max/min = %f", text, bound)));
}

void ValidateLimitOf(const json::Value& limit, absl::string_view resource, const FieldPath& path,
                     FieldErrors& errors) {
  const auto least = QuantityOf(limit, "min", resource), most = QuantityOf(limit, "max", resource);
  const auto given = QuantityOf(limit, "default", resource);
  const auto request = QuantityOf(limit, "defaultRequest", resource);
  const FieldPath request_path = path.Child("defaultRequest").Key(resource);
  const FieldPath given_path = path.Child("default").Key(resource);
  if (least.has_value()) {
    ValidateOrder(least, "min", most, "max", *least, path.Child("min").Key(resource), errors);
  }
  if (request.has_value()) {
    ValidateOrder(least, "min", request, "default request", *request, request_path, errors);
    ValidateOrder(request, "default request", most, "max", *request, request_path, errors);
    ValidateOrder(request, "default request", given, "default limit", *request, request_path,
                  errors);
  }
  if (least.has_value()) {
    ValidateOrder(least, "min", given, "default", *least, given_path, errors);
  }
  if (most.has_value()) {
    ValidateOrder(given, "default", most, "max", *most, given_path, errors);
  }
  ValidateRatio(limit, resource, path, errors);
}

void ValidateLimit(const json::Value& limit, const FieldPath& path, FieldErrors& errors) {
  const absl::string_view type = Text(limit, "type");
  const Complaints complaints = CheckQualifiedName(type);
  AddInvalid(path.Child("type"), type, complaints, errors);
  if (complaints.empty() && !absl::StrContains(type, '/') && type != "Pod" && type != "Container" &&
      type != "PersistentVolumeClaim") {
    errors.push_back(kube::InvalidField(path.Child("type"), type,
                                        "must be a standard limit type or fully qualified"));
  }
  std::set<std::string> resources;
  for (const char* part : {"max", "min", "default", "defaultRequest", "maxLimitRequestRatio"}) {
    const bool of_defaults = absl::StartsWith(part, "default");
    if (type == "Pod" && of_defaults && !Members(limit, part).empty()) {
      errors.push_back(
          kube::ForbiddenField(path.Child(part), "may not be specified when `type` is 'Pod'"));
      continue;
    }
    for (const json::Member& entry : Members(limit, part)) {
      ValidateLimitResource(type, entry.key, path.Child(part).Key(entry.key), errors);
      resources.insert(entry.key);
    }
  }
  if (type == "PersistentVolumeClaim" && !Has(Get(limit, "min"), "storage") &&
      !Has(Get(limit, "max"), "storage")) {
    errors.push_back(kube::Required(path.Child("limits"),
                                    "either minimum or maximum storage value is required, but "
                                    "neither was provided"));
  }
  for (const std::string& resource : resources) ValidateLimitOf(limit, resource, path, errors);
}

void FillFrom(const json::Value& from, json::Value& to) {
  for (const json::Member& entry : from.members()) SetDefault(to, entry.key, entry.value);
}

class LimitRanges final : public Strategy {
 public:
  void Default(const Resource& resource, json::Value& object) const override {
    json::Value* spec = MutableMember(object, "spec");
    std::vector<json::Value>* limits = spec == nullptr ? nullptr : MutableItems(*spec, "limits");
    if (limits == nullptr) return;
    for (json::Value& limit : *limits) {
      if (Text(limit, "type") != "Container") continue;
      const json::Value most = Get(limit, "max"), least = Get(limit, "min");
      FillFrom(most, limit.MutableObject("default"));
      const json::Value given = Get(limit, "default");
      json::Value& request = limit.MutableObject("defaultRequest");
      FillFrom(given, request);
      FillFrom(least, request);
      for (const char* part : {"default", "defaultRequest"}) {
        if (Members(limit, part).empty()) limit.Remove(part);
      }
    }
  }
  FieldErrors Validate(const Resource& resource, const json::Value& object) const override {
    FieldErrors errors;
    const FieldPath path = FieldPath("spec").Child("limits");
    std::set<absl::string_view> types;
    const std::vector<json::Value>& limits = Items(Get(object, "spec"), "limits");
    for (size_t i = 0; i < limits.size(); ++i) {
      ValidateLimit(limits[i], path.Index(i), errors);
      if (!types.insert(Text(limits[i], "type")).second) {
        errors.push_back(kube::DuplicateField(path.Index(i).Child("type"), Get(limits[i], "type")));
      }
    }
    return errors;
  }
  FieldErrors ValidateUpdate(const Resource& resource, Scope scope, const json::Value& old_object,
                             const json::Value& object) const override {
    return Validate(resource, object);
  }
  bool AllowCreateOnUpdate() const override { return true; }
};

// ---- ResourceQuota

bool IsQuotaResource(absl::string_view resource) {
  static const auto& known = *new std::set<absl::string_view>{"cpu",
                                                              "memory",
                                                              "ephemeral-storage",
                                                              "requests.cpu",
                                                              "requests.memory",
                                                              "requests.storage",
                                                              "requests.ephemeral-storage",
                                                              "limits.cpu",
                                                              "limits.memory",
                                                              "limits.ephemeral-storage",
                                                              "pods",
                                                              "resourcequotas",
                                                              "services",
                                                              "replicationcontrollers",
                                                              "secrets",
                                                              "persistentvolumeclaims",
                                                              "configmaps",
                                                              "services.nodeports",
                                                              "services.loadbalancers"};
  return known.contains(resource) || absl::StartsWith(resource, "hugepages-") ||
         absl::StartsWith(resource, "requests.hugepages-");
}

bool IsScope(absl::string_view scope) {
  for (const absl::string_view known :
       {"Terminating", "NotTerminating", "BestEffort", "NotBestEffort", "PriorityClass",
        "CrossNamespacePodAffinity"}) {
    if (scope == known) return true;
  }
  return false;
}

bool ScopeFits(absl::string_view scope, absl::string_view resource) {
  if (resource == "pods" || !IsScope(scope)) return true;
  if (scope == "BestEffort") return false;
  for (const absl::string_view compute :
       {"cpu", "memory", "limits.cpu", "limits.memory", "requests.cpu", "requests.memory"}) {
    if (resource == compute) return true;
  }
  return false;
}

void ValidateQuotaList(const json::Value& list, const FieldPath& path, FieldErrors& errors) {
  for (const json::Member& entry : list.members()) {
    const FieldPath at = path.Key(entry.key);
    ValidateResourceName(entry.key, at, errors);
    if (!absl::StrContains(entry.key, '/') && !IsQuotaResource(entry.key)) {
      errors.push_back(kube::InvalidField(at, absl::string_view(entry.key),
                                          "must be a standard resource for quota"));
    }
    ValidateQuantity(entry.key, entry.value, at, errors);
  }
}

std::string GoScopes(const json::Value& spec) {
  const std::string texts = GoTextList(Get(spec, "scopes"));
  return absl::StrCat("[]core.ResourceQuotaScope", texts.substr(texts.find("string") + 6));
}

void ValidateScopes(const json::Value& spec, FieldErrors& errors) {
  const FieldPath path = FieldPath("spec").Child("scopes");
  std::set<absl::string_view> seen;
  for (const json::Value& scope : Items(spec, "scopes")) {
    if (!IsScope(scope.text())) {
      errors.push_back(InvalidPrinted(path, GoScopes(spec), "unsupported scope"));
    }
    for (const json::Member& entry : Members(spec, "hard")) {
      if (!IsQuotaResource(entry.key) || ScopeFits(scope.text(), entry.key)) continue;
      errors.push_back(
          InvalidPrinted(path, GoScopes(spec), "unsupported scope applied to resource"));
    }
    seen.insert(scope.text());
  }
  for (const auto& [one, other] :
       {std::pair<const char*, const char*>{"BestEffort", "NotBestEffort"},
        {"Terminating", "NotTerminating"}}) {
    if (seen.contains(one) && seen.contains(other)) {
      errors.push_back(InvalidPrinted(path, GoScopes(spec), "conflicting scopes"));
    }
  }
}

void ValidateScopeSelector(const json::Value& spec, FieldErrors& errors) {
  const FieldPath path = FieldPath("spec").Child("scopeSelector").Child("matchExpressions");
  for (const json::Value& term : Items(Get(spec, "scopeSelector"), "matchExpressions")) {
    const absl::string_view scope = Text(term, "scopeName"), op = Text(term, "operator");
    if (!IsScope(scope)) {
      errors.push_back(kube::InvalidField(path.Child("scopeName"), scope, "unsupported scope"));
    } else if (scope != "PriorityClass" && op != "Exists") {
      errors.push_back(kube::InvalidField(
          path.Child("operator"), op,
          "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, "
          "ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, "
          "ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity"));
    }
    const bool has_values = !Items(term, "values").empty();
    if (op == "In" || op == "NotIn") {
      if (!has_values) {
        errors.push_back(kube::Required(path.Child("values"),
                                        "must be at least one value when `operator` is 'In' or "
                                        "'NotIn' for scope selector"));
      }
    } else if (op == "Exists" || op == "DoesNotExist") {
      if (has_values) {
        errors.push_back(InvalidPrinted(path.Child("values"), GoTextList(Get(term, "values")),
                                        "must be no value when `operator` is 'Exist' or "
                                        "'DoesNotExist' for scope selector"));
      }
    } else {
      errors.push_back(
          kube::InvalidField(path.Child("operator"), op, "not a valid selector operator"));
    }
  }
}

class ResourceQuotas final : public Strategy {
 public:
  void PrepareForCreate(const Resource& resource, json::Value& object) const override {
    Strategy::PrepareForCreate(resource, object);
    object.Set("status", json::Value::Object());
  }
  FieldErrors Validate(const Resource& resource, const json::Value& object) const override {
    FieldErrors errors;
    const json::Value& spec = Get(object, "spec");
    ValidateQuotaList(Get(spec, "hard"), FieldPath("spec").Child("hard"), errors);
    ValidateScopes(spec, errors);
    ValidateScopeSelector(spec, errors);
    return errors;
  }
  FieldErrors ValidateUpdate(const Resource& resource, Scope scope, const json::Value& old_object,
                             const json::Value& object) const override {
    FieldErrors errors;
    if (scope == Scope::kStatus) {
      for (const char* part : {"hard", "used"}) {
        ValidateQuotaList(Get(object, "status", part), FieldPath("status").Child(part), errors);
      }
      return errors;
    }
    errors = Validate(resource, object);
    const auto scopes = [](const json::Value& quota) {
      std::set<std::string> texts;
      for (const json::Value& one : Items(Get(quota, "spec"), "scopes")) texts.insert(one.text());
      return texts;
    };
    if (scopes(old_object) != scopes(object)) {
      errors.push_back(InvalidPrinted(FieldPath("spec").Child("scopes"),
                                      GoScopes(Get(object, "spec")), "field is immutable"));
    }
    return errors;
  }
};

// ---- PodTemplate

class PodTemplates final : public Strategy {
 public:
  void Default(const Resource& resource, json::Value& object) const override {
    DefaultPodTemplate(object.MutableObject("template"));
  }
  FieldErrors Validate(const Resource& resource, const json::Value& object) const override {
    FieldErrors errors;
    ValidatePodTemplate(Get(object, "template"), FieldPath("template"), errors);
    return errors;
  }
  FieldErrors ValidateUpdate(const Resource& resource, Scope scope, const json::Value& old_object,
                             const json::Value& object) const override {
    return Validate(resource, object);
  }
  bool CountsGenerations(const Resource& resource) const override { return true; }
};

}  // namespace

std::unique_ptr<const Strategy> LimitRangeStrategy() { return std::make_unique<LimitRanges>(); }
std::unique_ptr<const Strategy> ResourceQuotaStrategy() {
  return std::make_unique<ResourceQuotas>();
}
std::unique_ptr<const Strategy> PodTemplateStrategy() { return std::make_unique<PodTemplates>(); }

std::unique_ptr<const TableColumns> ResourceQuotaColumns() {
  return MakeColumns(
      {NameColumn(), AgeColumn(), TextColumn("Request", "What is used, of what may be."),
       TextColumn("Limit", "What limits add up to, of what they may.")},
      [](const json::Value& object, int64_t now_s) {
        const json::Value& status = Get(object, "status");
        std::vector<std::string> resources, requests, limits;
        for (const json::Member& entry : Members(status, "hard")) resources.push_back(entry.key);
        std::sort(resources.begin(), resources.end());
        for (const std::string& resource : resources) {
          const bool limit = absl::StartsWith(resource, "limits.");
          (limit ? limits : requests)
              .push_back(absl::StrCat(resource, ": ", QuantityText(Get(status, "used", resource)),
                                      "/", QuantityText(Get(status, "hard", resource))));
        }
        return std::vector<json::Value>{NameCell(object), AgeCell(object, now_s),
                                        TextCell(absl::StrJoin(requests, ", ")),
                                        TextCell(absl::StrJoin(limits, ", "))};
      });
}

}  // namespace meltemi::apiserver
