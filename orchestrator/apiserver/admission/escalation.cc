// Who writes a role, or binds one, has to have the rights in it, or the verb `escalate` or `bind`.
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kube/object/object.h"
#include "orchestrator/apiserver/admission/plugin.h"
#include "orchestrator/apiserver/authz/policy_rule.h"

namespace meltemi::apiserver {
namespace {

using json::Value;

constexpr absl::string_view kGroup = "rbac.authorization.k8s.io";

// Only metadata that the garbage collector edits differs: nothing is granted.
bool OnlyCollectorFieldsChanged(const Value& before, const Value& after) {
  const auto without = [](Value object) {
    Value& metadata = kube::MutableMetadata(object);
    for (const absl::string_view member :
         {"ownerReferences", "finalizers", "managedFields", "resourceVersion"}) {
      metadata.Remove(member);
    }
    return object;
  };
  return without(before) == without(after);
}

bool HasAggregation(const Value& role) {
  const Value* selectors = role.Find("aggregationRule", "clusterRoleSelectors");
  return selectors != nullptr && !selectors->items().empty();
}

class EscalationCheck {
 public:
  EscalationCheck(const AdmissionRequest& request, Authorizer& authorizer,
                  const RbacAuthorizer& rbac)
      : request_(request), authorizer_(authorizer), rbac_(rbac) {}

  kube::Outcome OfRole() {
    const bool of_cluster = request_.resource->plural == "clusterroles";
    if (May("escalate", request_.resource->plural, request_.name)) return kube::Done{};
    kube::Outcome outcome = Covered(RulesOf(request_.object));
    if (!outcome.ok() || !of_cluster ||
        !(HasAggregation(request_.object) || HasAggregation(request_.old_object))) {
      return outcome;
    }
    // It may gather anything.
    const std::vector<PolicyRule> everything = {
        {.verbs = {"*"}, .api_groups = {"*"}, .resources = {"*"}},
        {.verbs = {"*"}, .non_resource_urls = {"*"}}};
    if (Covered(everything).ok()) return outcome;
    return Refuse(request_, "must have cluster-admin privileges to use the aggregationRule");
  }

  kube::Outcome OfBinding() {
    const Value* reference = request_.object.Find("roleRef");
    const std::string kind(reference == nullptr ? "" : reference->FindString("kind"));
    const std::string name(reference == nullptr ? "" : reference->FindString("name"));
    const bool of_cluster = kind == "ClusterRole";
    // What is neither is for validation to refuse.
    if (!of_cluster && kind != "Role") return kube::Done{};
    if (May("bind", of_cluster ? "clusterroles" : "roles", name)) return kube::Done{};
    const kube::Result<std::vector<PolicyRule>> rules = rbac_.RulesOfRef(kind, name, request_.ns);
    if (!rules.ok()) return rules.status();
    return Covered(*rules);
  }

 private:
  bool May(absl::string_view verb, absl::string_view resource, absl::string_view name) {
    Attributes attributes;
    attributes.user = request_.user;
    attributes.verb = std::string(verb);
    attributes.group = std::string(kGroup);
    attributes.version = "*";
    attributes.resource = std::string(resource);
    attributes.ns = request_.ns;
    attributes.name = std::string(name);
    return authorizer_.Authorize(attributes).decision == Decision::kAllow;
  }

  kube::Outcome Covered(const std::vector<PolicyRule>& rules) {
    std::vector<std::string> errors;
    const std::vector<PolicyRule> missing =
        MissingRules(rbac_.RulesFor(request_.user, request_.ns, &errors), rules);
    if (missing.empty()) return kube::Done{};
    std::set<std::string> texts;
    for (const PolicyRule& rule : CompactRules(missing)) texts.insert(rule.ToString());
    std::string why =
        absl::StrCat("user \"", request_.user.name, "\" (groups=", QuotedList(request_.user.groups),
                     ") is attempting to grant RBAC permissions not currently held:\n",
                     absl::StrJoin(texts, "\n"));
    if (!errors.empty()) {
      absl::StrAppend(&why, "; resolution errors: [", absl::StrJoin(errors, " "), "]");
    }
    return Refuse(request_, why);
  }

  const AdmissionRequest& request_;
  Authorizer& authorizer_;
  const RbacAuthorizer& rbac_;
};

}  // namespace

kube::Outcome CheckEscalation(const AdmissionRequest& request, Authorizer& authorizer,
                              const RbacAuthorizer& rbac) {
  if (request.resource->group != kGroup || !request.subresource.empty() || !IsWrite(request) ||
      request.user.IsSuperuser()) {
    return kube::Done{};
  }
  if (request.operation == Operation::kUpdate &&
      OnlyCollectorFieldsChanged(request.old_object, request.object)) {
    return kube::Done{};
  }
  const std::string& resource = request.resource->plural;
  EscalationCheck check(request, authorizer, rbac);
  if (resource == "roles" || resource == "clusterroles") return check.OfRole();
  if (resource == "rolebindings" || resource == "clusterrolebindings") return check.OfBinding();
  return kube::Done{};
}

}  // namespace meltemi::apiserver
