// The group "coordination.k8s.io".
#include <memory>
#include <vector>

#include "orchestrator/apiserver/kinds/columns.h"
#include "orchestrator/apiserver/kinds/groups.h"
#include "orchestrator/apiserver/kinds/tree.h"

namespace meltemi::apiserver {
namespace {

using kube::FieldErrors;
using kube::FieldPath;

class LeaseStrategy final : public Strategy {
 public:
  // Coordinated election is not served, as in a Kubernetes without the feature.
  void PrepareForCreate(const Resource& resource, json::Value& object) const override {
    Strategy::PrepareForCreate(resource, object);
    if (json::Value* spec = MutableMember(object, "spec")) {
      spec->Remove("strategy");
      spec->Remove("preferredHolder");
    }
  }
  void PrepareForUpdate(const Resource& resource, Scope scope, const json::Value& old_object,
                        json::Value& object) const override {
    Strategy::PrepareForUpdate(resource, scope, old_object, object);
    if (json::Value* spec = MutableMember(object, "spec")) {
      spec->Remove("strategy");
      spec->Remove("preferredHolder");
    }
  }
  FieldErrors Validate(const Resource& resource, const json::Value& object) const override {
    FieldErrors errors;
    const json::Value& spec = Get(object, "spec");
    const FieldPath path("spec");
    if (Has(spec, "leaseDurationSeconds") && Int(spec, "leaseDurationSeconds") <= 0) {
      errors.push_back(kube::InvalidField(path.Child("leaseDurationSeconds"),
                                          Int(spec, "leaseDurationSeconds"),
                                          "must be greater than 0"));
    }
    ValidateNonNegative(spec, "leaseTransitions", path, errors);
    return errors;
  }
  FieldErrors ValidateUpdate(const Resource& resource, Scope scope, const json::Value& old_object,
                             const json::Value& object) const override {
    return Validate(resource, object);
  }
  bool AllowCreateOnUpdate() const override { return true; }
  bool AllowUnconditionalUpdate() const override { return false; }
};

std::vector<json::Value> LeaseRow(const json::Value& lease, int64_t now_s) {
  return {NameCell(lease), TextCell(Text(Get(lease, "spec"), "holderIdentity")),
          AgeCell(lease, now_s)};
}

}  // namespace

void AddCoordination(KindTable& table) {
  table.Add(
      "coordination.k8s.io", "leases", std::make_unique<LeaseStrategy>(),
      MakeColumns({NameColumn(), TextColumn("Holder", "Who has it."), AgeColumn()}, LeaseRow));
}

}  // namespace meltemi::apiserver
