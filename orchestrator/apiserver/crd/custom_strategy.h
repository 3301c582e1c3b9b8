// The strategy of one version of a custom resource.
//
// Threads: immutable.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/json/value.h"
#include "kube/jsonpath/jsonpath.h"
#include "orchestrator/apiserver/crd/rules.h"
#include "orchestrator/apiserver/kinds/strategy.h"
#include "orchestrator/apiserver/schema/schema.h"

namespace meltemi::apiserver {

struct SelectableField {
  std::string name;  // "spec.color"
  kube::JsonPath path;
};

// The values of the fields; "" where there is none. Sorted by name as `fields` are.
kube::StringPairs ValuesOf(const std::vector<SelectableField>& fields, const json::Value& object);

class CustomStrategy final : public Strategy {
 public:
  struct Options {
    const Schema* schema = nullptr;         // outlives the strategy
    const Schema* status_schema = nullptr;  // of the member status; null when it is not described
    bool has_status = false;
    std::vector<SelectableField> fields;  // sorted by name
    std::string deprecation_warning;      // "" when the version is not deprecated
  };
  explicit CustomStrategy(Options options)
      : options_(std::move(options)), rules_(*options_.schema) {}

  kube::FieldErrors Validate(const Resource& resource, const json::Value& object) const override;
  kube::FieldErrors ValidateUpdate(const Resource& resource, Scope scope,
                                   const json::Value& old_object,
                                   const json::Value& object) const override;
  bool CountsGenerations(const Resource& resource) const override { return true; }
  bool SpecChanged(const json::Value& old_object, const json::Value& object) const override;
  std::vector<std::string> Warnings(const Resource& resource,
                                    const json::Value& object) const override;
  kube::StringPairs SelectableFields(const json::Value& object) const override;
  std::vector<std::string> SelectableFieldNames() const override;
  bool AllowUnconditionalUpdate() const override { return false; }

 private:
  const Options options_;
  const RuleSet rules_;
};

}  // namespace meltemi::apiserver
