// x-kubernetes-validations of a schema, ready to be tested.
//
// Threads: immutable.
// Source: k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel/validation.go.
#pragma once

#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/json/value.h"
#include "kube/status/field_error.h"
#include "orchestrator/apiserver/schema/cel/program.h"
#include "orchestrator/apiserver/schema/schema.h"

namespace meltemi::apiserver {

class RuleSet {
 public:
  // Of the schema and everything in it. Rules that can't be compiled are left out: see
  // UnevaluatedRules.
  explicit RuleSet(const Schema& schema);

  // old_value: what was there before, null on creation: then rules about a change (oldSelf) do not
  // apply. What has not changed is not tested. Nothing is tested when `errors` says that the object
  // does not have the shape that rules may rely on.
  void Check(const Schema& schema, const json::Value& value, const json::Value* old_value,
             const kube::FieldPath& path, kube::FieldErrors& errors) const;

 private:
  struct Rule {
    const ValidationRule* source;
    cel::Program program;
    std::vector<cel::Program> message;  // one or none
  };

  bool Collect(const Schema* schema);
  void Walk(const Schema& schema, const json::Value& value, const json::Value* old_value,
            const kube::FieldPath& path, cel::Budget& budget, kube::FieldErrors& errors) const;
  void Test(const Schema& schema, const Rule& rule, const json::Value& value,
            const json::Value* old_value, const kube::FieldPath& path, cel::Budget& budget,
            kube::FieldErrors& errors) const;

  std::unordered_map<const Schema*, std::vector<Rule>> rules_;
  std::set<const Schema*> on_the_way_;  // schemas with rules in or below them
};

// The rules of an openAPIV3Schema that are kept but not evaluated, with the reason.
std::vector<std::string> UnevaluatedRules(const json::Value& open_api_v3_schema);

}  // namespace meltemi::apiserver
