// The group "scheduling.k8s.io".
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "kube/object/object.h"
#include "orchestrator/apiserver/kinds/columns.h"
#include "orchestrator/apiserver/kinds/groups.h"
#include "orchestrator/apiserver/kinds/tree.h"

namespace meltemi::apiserver {
namespace {

using kube::FieldErrors;
using kube::FieldPath;

constexpr int64_t kUserPriorityMax = 1'000'000'000;
constexpr struct {
  absl::string_view name;
  int64_t value;
} kSystemClasses[] = {
    {"system-node-critical", 2 * kUserPriorityMax + 1000},
    {"system-cluster-critical", 2 * kUserPriorityMax},
};

// What is wrong with a class that has the name of a system's.
std::string SystemClassError(const json::Value& object) {
  const absl::string_view name = kube::Name(object);
  for (const auto& known : kSystemClasses) {
    if (known.name != name) continue;
    if (Int(object, "value") != known.value) {
      return absl::StrCat("value of ", name, " PriorityClass must be ", known.value);
    }
    if (Bool(object, "globalDefault")) {
      return absl::StrCat("globalDefault of ", name, " PriorityClass must be false");
    }
    return "";
  }
  return absl::StrCat(name, " is not a known system priority class");
}

class PriorityClassStrategy final : public Strategy {
 public:
  void Default(const Resource& resource, json::Value& object) const override {
    SetDefault(object, "preemptionPolicy", "PreemptLowerPriority");
  }
  // 1 for ever: nothing that counts can change.
  bool CountsGenerations(const Resource& resource) const override { return true; }
  bool SpecChanged(const json::Value& old_object, const json::Value& object) const override {
    return false;
  }
  FieldErrors Validate(const Resource& resource, const json::Value& object) const override {
    FieldErrors errors;
    if (absl::StartsWith(kube::Name(object), "system-")) {
      const std::string error = SystemClassError(object);
      if (!error.empty()) {
        errors.push_back(kube::ForbiddenField(
            FieldPath("metadata").Child("name"),
            absl::StrCat("priority class names with 'system-' prefix are reserved for system use "
                         "only. error: ",
                         error)));
      }
    } else if (Int(object, "value") > kUserPriorityMax) {
      errors.push_back(kube::ForbiddenField(
          FieldPath("value"),
          absl::StrCat("maximum allowed value of a user defined priority is ", kUserPriorityMax)));
    }
    if (Has(object, "preemptionPolicy")) {
      ValidateOneOf(object, "preemptionPolicy", FieldPath(), {"PreemptLowerPriority", "Never"},
                    true, errors);
    }
    return errors;
  }
  FieldErrors ValidateUpdate(const Resource& resource, Scope scope, const json::Value& old_object,
                             const json::Value& object) const override {
    FieldErrors errors;
    if (Int(old_object, "value") != Int(object, "value")) {
      errors.push_back(
          kube::ForbiddenField(FieldPath("value"), "may not be changed in an update."));
    }
    ValidateImmutable(Get(old_object, "preemptionPolicy"), Get(object, "preemptionPolicy"),
                      FieldPath("preemptionPolicy"), errors);
    return errors;
  }
};

TableColumn GlobalDefaultColumn() {
  TableColumn column = TextColumn("Global-Default", "Whether it is for pods that name no class.");
  column.type = "boolean";
  return column;
}

std::vector<json::Value> PriorityClassRow(const json::Value& object, int64_t now_s) {
  return {NameCell(object), json::Value::Int(Int(object, "value")),
          json::Value::Bool(Bool(object, "globalDefault")), AgeCell(object, now_s),
          TextCell(Text(object, "preemptionPolicy"))};
}

}  // namespace

void AddScheduling(KindTable& table) {
  table.Add("scheduling.k8s.io", "priorityclasses", std::make_unique<PriorityClassStrategy>(),
            MakeColumns(
                {NameColumn(), NumberColumn("Value", "The priority: larger wins."),
                 GlobalDefaultColumn(), AgeColumn(),
                 TextColumn("PreemptionPolicy", "Whether pods of lower priority are evicted.", 1)},
                PriorityClassRow));
}

}  // namespace meltemi::apiserver
