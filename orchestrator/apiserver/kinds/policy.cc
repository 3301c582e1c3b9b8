// The group "policy".
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/json/write.h"
#include "orchestrator/apiserver/kinds/columns.h"
#include "orchestrator/apiserver/kinds/groups.h"
#include "orchestrator/apiserver/kinds/names.h"
#include "orchestrator/apiserver/kinds/object_meta.h"
#include "orchestrator/apiserver/kinds/tree.h"
#include "orchestrator/apiserver/kinds/workloads.h"

namespace meltemi::apiserver {
namespace {

using kube::FieldErrors;
using kube::FieldPath;

bool IsConditionReason(absl::string_view reason) {
  const auto is_word = [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_';
  };
  return absl::ascii_isalpha(static_cast<unsigned char>(reason[0])) && is_word(reason.back()) &&
         absl::c_all_of(reason, [&](char c) { return is_word(c) || c == ',' || c == ':'; });
}

// metav1.Condition.
void ValidateCondition(const json::Value& condition, const FieldPath& path, FieldErrors& errors) {
  constexpr size_t kReasonBytesMax = 1024;
  constexpr size_t kMessageBytesMax = 32 * 1024;
  const absl::string_view type = Text(condition, "type"), reason = Text(condition, "reason");
  AddInvalid(path.Child("type"), type, CheckQualifiedName(type), errors);
  const json::Value status = TextCell(Text(condition, "status"));
  if (status.text() != "True" && status.text() != "False" && status.text() != "Unknown") {
    errors.push_back(
        kube::NotSupported(path.Child("status"), status, {"False", "True", "Unknown"}));
  }
  if (Int(condition, "observedGeneration") < 0) {
    errors.push_back(kube::InvalidField(path.Child("observedGeneration"),
                                        Int(condition, "observedGeneration"),
                                        "must be greater than or equal to zero"));
  }
  if (Text(condition, "lastTransitionTime").empty()) {
    errors.push_back(kube::Required(path.Child("lastTransitionTime"), "must be set"));
  }
  if (reason.empty()) {
    errors.push_back(kube::Required(path.Child("reason"), "must be set"));
  } else if (!IsConditionReason(reason)) {
    errors.push_back(kube::InvalidField(
        path.Child("reason"), reason,
        "a condition reason must start with alphabetic character, optionally followed by a string "
        "of alphanumeric characters or '_,:', and must end with an alphanumeric character or '_' "
        "(e.g. 'my_name',  or 'MY_NAME',  or 'MyName',  or 'ReasonA,ReasonB',  or "
        "'ReasonA:ReasonB', regex used for validation is "
        "'[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?')"));
  }
  if (reason.size() > kReasonBytesMax) {
    errors.push_back(kube::TooLong(path.Child("reason"), kReasonBytesMax));
  }
  if (Text(condition, "message").size() > kMessageBytesMax) {
    errors.push_back(kube::TooLong(path.Child("message"), kMessageBytesMax));
  }
}

class DisruptionBudgetStrategy final : public Strategy {
 public:
  bool CountsGenerations(const Resource& resource) const override { return true; }
  bool AllowUnconditionalUpdate() const override { return false; }
  FieldErrors Validate(const Resource& resource, const json::Value& object) const override {
    FieldErrors errors;
    const json::Value& spec = Get(object, "spec");
    const FieldPath path("spec");
    if (Has(spec, "minAvailable") && Has(spec, "maxUnavailable")) {
      errors.push_back(
          kube::InvalidField(path, spec, "minAvailable and maxUnavailable cannot be both set"));
    }
    for (const char* key : {"minAvailable", "maxUnavailable"}) {
      if (Has(spec, key)) ValidateIntOrPercent(Get(spec, key), path.Child(key), errors);
    }
    ValidateLabelSelector(spec.Find("selector"), path.Child("selector"), errors);
    ValidateOneOf(spec, "unhealthyPodEvictionPolicy", path, {"AlwaysAllow", "IfHealthyBudget"},
                  false, errors);
    return errors;
  }
  FieldErrors ValidateUpdate(const Resource& resource, Scope scope, const json::Value& old_object,
                             const json::Value& object) const override {
    if (scope == Scope::kMain) return Validate(resource, object);
    FieldErrors errors;
    const json::Value& status = Get(object, "status");
    const FieldPath path("status");
    std::set<std::string> types;
    const auto& conditions = Items(status, "conditions");
    for (size_t i = 0; i < conditions.size(); ++i) {
      const FieldPath at = path.Child("conditions").Index(i);
      if (!types.emplace(Text(conditions[i], "type")).second) {
        errors.push_back(kube::DuplicateField(at.Child("type"), Get(conditions[i], "type")));
      }
      ValidateCondition(conditions[i], at, errors);
    }
    for (const char* key :
         {"disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"}) {
      ValidateNonNegative(status, key, path, errors);
    }
    return errors;
  }
};

std::vector<json::Value> BudgetRow(const json::Value& budget, int64_t now_s) {
  const json::Value& spec = Get(budget, "spec");
  const auto amount = [&](absl::string_view key) {
    return TextCell(Has(spec, key) ? Get(spec, key).text() : "N/A");
  };
  return {NameCell(budget), amount("minAvailable"), amount("maxUnavailable"),
          json::Value::Int(Int(Get(budget, "status"), "disruptionsAllowed")),
          AgeCell(budget, now_s)};
}

}  // namespace

void AddPolicy(KindTable& table) {
  table.Add("policy", "poddisruptionbudgets", std::make_unique<DisruptionBudgetStrategy>(),
            MakeColumns({NameColumn(), TextColumn("Min Available", "How many pods must be there."),
                         TextColumn("Max Unavailable", "How many pods may be missing."),
                         NumberColumn("Allowed Disruptions", "How many pods may be evicted now."),
                         AgeColumn()},
                        BudgetRow));
}

}  // namespace meltemi::apiserver
