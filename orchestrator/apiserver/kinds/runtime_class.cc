// The group "node.k8s.io".
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "orchestrator/apiserver/kinds/columns.h"
#include "orchestrator/apiserver/kinds/groups.h"
#include "orchestrator/apiserver/kinds/names.h"
#include "orchestrator/apiserver/kinds/object_meta.h"
#include "orchestrator/apiserver/kinds/pod_parts.h"
#include "orchestrator/apiserver/kinds/tree.h"

namespace meltemi::apiserver {
namespace {

using kube::FieldErrors;
using kube::FieldPath;

// Two are the same whatever their seconds.
void ValidateUnique(const std::vector<json::Value>& tolerations, const FieldPath& path,
                    FieldErrors& errors) {
  for (size_t i = 0; i < tolerations.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      const auto same = [&](absl::string_view key) {
        return Text(tolerations[i], key) == Text(tolerations[j], key);
      };
      if (same("key") && same("operator") && same("value") && same("effect")) {
        errors.push_back(kube::DuplicateField(path.Index(i), tolerations[i]));
        break;
      }
    }
  }
}

class RuntimeClassStrategy final : public Strategy {
 public:
  FieldErrors Validate(const Resource& resource, const json::Value& object) const override {
    FieldErrors errors;
    const absl::string_view handler = Text(object, "handler");
    AddInvalid(FieldPath("handler"), handler, CheckDns1123Label(handler), errors);
    if (Has(object, "overhead")) {
      // As of a pod, in which it ends up.
      json::Value spec = json::Value::Object();
      CopyMember(Get(object, "overhead"), "podFixed", spec);
      json::Value as_pod = json::Value::Object();
      as_pod.Set("overhead", Get(spec, "podFixed"));
      ValidatePodLevelResources(as_pod, FieldPath(), errors);
    }
    if (Has(object, "scheduling")) {
      const json::Value& scheduling = Get(object, "scheduling");
      const FieldPath path("scheduling");
      ValidateLabels(scheduling.Find("nodeSelector"), path.Child("nodeSelector"), errors);
      ValidateTolerations(scheduling, path, errors);
      ValidateUnique(Items(scheduling, "tolerations"), path.Child("tolerations"), errors);
    }
    return errors;
  }
  FieldErrors ValidateUpdate(const Resource& resource, Scope scope, const json::Value& old_object,
                             const json::Value& object) const override {
    FieldErrors errors = Validate(resource, object);
    ValidateImmutable(Get(old_object, "handler"), Get(object, "handler"), FieldPath("handler"),
                      errors);
    return errors;
  }
  bool AllowCreateOnUpdate() const override { return true; }
  bool AllowUnconditionalUpdate() const override { return false; }
};

std::vector<json::Value> RuntimeClassRow(const json::Value& object, int64_t now_s) {
  return {NameCell(object), TextCell(Text(object, "handler")), AgeCell(object, now_s)};
}

}  // namespace

void AddRuntimeClasses(KindTable& table) {
  table.Add("node.k8s.io", "runtimeclasses", std::make_unique<RuntimeClassStrategy>(),
            MakeColumns(
                {NameColumn(), TextColumn("Handler", "What nodes' runtimes call it."), AgeColumn()},
                RuntimeClassRow));
}

}  // namespace meltemi::apiserver
