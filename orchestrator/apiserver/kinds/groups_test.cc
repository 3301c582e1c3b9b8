// The smaller groups: policy, storage, rbac, coordination, scheduling, admissionregistration.
#include "absl/strings/str_cat.h"
#include "orchestrator/apiserver/kinds/kind_test.h"
#include "orchestrator/apiserver/kinds/tree.h"

namespace meltemi::apiserver {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class Groups : public KindTest {};

TEST_F(Groups, PodDisruptionBudgets) {
  Use("policy", "v1", "poddisruptionbudgets");
  const auto budget = [](absl::string_view spec) {
    return absl::StrCat("metadata: {name: b, namespace: d}\nspec: {", spec, "}\n");
  };
  EXPECT_THAT(CreateErrors(budget("minAvailable: 50%, selector: {matchLabels: {a: b}}")),
              IsEmpty());
  EXPECT_THAT(CreateErrors(budget("minAvailable: 1, maxUnavailable: 1")),
              ElementsAre(HasSubstr("minAvailable and maxUnavailable cannot be both set")));
  EXPECT_THAT(CreateErrors(budget("minAvailable: -1")),
              ElementsAre("spec.minAvailable: Invalid value: -1: must be greater than or equal to "
                          "0"));
  EXPECT_THAT(CreateErrors(budget("unhealthyPodEvictionPolicy: Never")),
              ElementsAre(R"(spec.unhealthyPodEvictionPolicy: Unsupported value: "Never": )"
                          R"(supported values: "AlwaysAllow", "IfHealthyBudget")"));
  EXPECT_THAT(
      UpdateErrors(budget(""),
                   "metadata: {name: b}\nstatus: {disruptionsAllowed: -1, conditions: [{type: A, "
                   "status: Maybe, reason: '1', lastTransitionTime: '2026-01-02T03:04:05Z'}]}\n",
                   Scope::kStatus),
      ElementsAre(R"(status.conditions[0].status: Unsupported value: "Maybe": supported values: )"
                  R"("False", "True", "Unknown")",
                  HasSubstr(R"(status.conditions[0].reason: Invalid value: "1": a condition )"
                            "reason must start with alphabetic character"),
                  "status.disruptionsAllowed: Invalid value: -1: must be greater than or equal to "
                  "0"));
  EXPECT_THAT(Row(budget("maxUnavailable: 25%")), ElementsAre("b", "N/A", "25%", "0", "<unknown>"));
}

TEST_F(Groups, StorageClasses) {
  Use("storage.k8s.io", "v1", "storageclasses");
  const char* good = "metadata: {name: fast}\nprovisioner: acme.io/disk\nparameters: {a: b}\n";
  EXPECT_THAT(CreateErrors(good), IsEmpty());
  EXPECT_EQ(Text(Created(good), "volumeBindingMode"), "Immediate");
  EXPECT_THAT(CreateErrors("metadata: {name: fast}\n"), ElementsAre("provisioner: Required value"));
  EXPECT_THAT(CreateErrors("metadata: {name: f}\nprovisioner: a\nvolumeBindingMode: Soon\n"
                           "reclaimPolicy: Recycle\n"),
              ElementsAre(R"(reclaimPolicy: Unsupported value: "Recycle": supported values: )"
                          R"("Delete", "Retain")",
                          R"(volumeBindingMode: Unsupported value: "Soon": supported values: )"
                          R"("Immediate", "WaitForFirstConsumer")"));
  EXPECT_THAT(UpdateErrors(good,
                           "metadata: {name: fast}\nprovisioner: acme.io/other\n"
                           "volumeBindingMode: WaitForFirstConsumer\n"),
              ElementsAre("parameters: Forbidden: updates to parameters are forbidden.",
                          "provisioner: Forbidden: updates to provisioner are forbidden.",
                          R"(volumeBindingMode: Invalid value: "WaitForFirstConsumer": field is )"
                          "immutable"));
  EXPECT_THAT(Row("metadata: {name: fast, annotations: "
                  "{storageclass.kubernetes.io/is-default-class: 'true'}}\nprovisioner: p\n"),
              ElementsAre("fast (default)", "p", "Delete", "Immediate", "false", "<unknown>"));
}

TEST_F(Groups, Roles) {
  Use("rbac.authorization.k8s.io", "v1", "roles");
  EXPECT_THAT(CreateErrors("metadata: {name: 'system:reader', namespace: d}\nrules: [{verbs: "
                           "[get], apiGroups: [''], resources: [pods]}]\n"),
              IsEmpty());
  EXPECT_THAT(
      CreateErrors("metadata: {name: r, namespace: d}\nrules: [{}, {verbs: [get], "
                   "nonResourceURLs: [/x]}]\n"),
      ElementsAre("rules[0].verbs: Required value: verbs must contain at least one value",
                  "rules[0].apiGroups: Required value: resource rules must supply at least one api "
                  "group",
                  "rules[0].resources: Required value: resource rules must supply at least one "
                  "resource",
                  R"(rules[1].nonResourceURLs: Invalid value: []string{"/x"}: namespaced rules )"
                  "cannot apply to non-resource URLs"));
  Use("rbac.authorization.k8s.io", "v1", "clusterroles");
  EXPECT_THAT(CreateErrors("metadata: {name: r}\naggregationRule: {}\n"),
              ElementsAre("aggregationRule.clusterRoleSelectors: Required value: at least one "
                          "clusterRoleSelector required if aggregationRule is non-nil"));
}

TEST_F(Groups, RoleBindings) {
  Use("rbac.authorization.k8s.io", "v1", "rolebindings");
  const char* good = R"(
metadata: {name: b, namespace: d}
roleRef: {kind: Role, name: r}
subjects: [{kind: User, name: ann}, {kind: ServiceAccount, name: sa, namespace: d},
           {kind: Group, name: devs}]
)";
  EXPECT_THAT(CreateErrors(good), IsEmpty());
  EXPECT_EQ(Text(Get(Created(good), "roleRef"), "apiGroup"), "rbac.authorization.k8s.io");
  EXPECT_THAT(CreateErrors("metadata: {name: b, namespace: d}\nroleRef: {kind: Rule}\n"
                           "subjects: [{kind: Robot, name: r}, {kind: ServiceAccount, name: A}]\n"),
              Contains(R"(roleRef.kind: Unsupported value: "Rule": supported values: "Role", )"
                       R"("ClusterRole")"));
  EXPECT_THAT(UpdateErrors(good,
                           "metadata: {name: b, namespace: d}\nroleRef: {kind: Role, name: "
                           "other}\n"),
              ElementsAre(R"(roleRef: Invalid value: rbac.RoleRef{APIGroup:)"
                          R"("rbac.authorization.k8s.io", Kind:"Role", Name:"other"}: cannot )"
                          "change roleRef"));
  EXPECT_THAT(Row(good), ElementsAre("b", "Role/r", "<unknown>", "ann", "devs", "d/sa"));
  Use("rbac.authorization.k8s.io", "v1", "clusterrolebindings");
  EXPECT_THAT(CreateErrors("metadata: {name: b}\nroleRef: {kind: Role, name: r}\nsubjects: "
                           "[{kind: ServiceAccount, name: sa}]\n"),
              ElementsAre(R"(roleRef.kind: Unsupported value: "Role": supported values: )"
                          R"("ClusterRole")",
                          "subjects[0].namespace: Required value"));
}

TEST_F(Groups, Leases) {
  Use("coordination.k8s.io", "v1", "leases");
  EXPECT_THAT(CreateErrors("metadata: {name: l, namespace: d}\nspec: {holderIdentity: a, "
                           "leaseDurationSeconds: 15}\n"),
              IsEmpty());
  EXPECT_THAT(CreateErrors("metadata: {name: l, namespace: d}\nspec: {leaseDurationSeconds: 0, "
                           "leaseTransitions: -1}\n"),
              ElementsAre("spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0",
                          "spec.leaseTransitions: Invalid value: -1: must be greater than or equal "
                          "to 0"));
  EXPECT_THAT(Row("metadata: {name: l, namespace: d}\nspec: {holderIdentity: me}\n"),
              ElementsAre("l", "me", "<unknown>"));
}

TEST_F(Groups, RuntimeClasses) {
  Use("node.k8s.io", "v1", "runtimeclasses");
  const char* const full =
      "metadata: {name: r}\nhandler: gvisor\noverhead: {podFixed: {cpu: 250m}}\n"
      "scheduling: {nodeSelector: {a: b}, tolerations: [{key: k, operator: Exists}]}\n";
  EXPECT_THAT(CreateErrors(full), IsEmpty());
  EXPECT_THAT(Row(full), ElementsAre("r", "gvisor", "<unknown>"));
  EXPECT_THAT(CreateErrors("metadata: {name: r}\nhandler: Big_\noverhead: {podFixed: {cpu: -1}}\n"
                           "scheduling: {tolerations: [{key: k}, {key: k}]}\n"),
              ElementsAre(HasSubstr("handler: Invalid value: \"Big_\": a lowercase RFC 1123 label"),
                          HasSubstr("overhead.limits[cpu]: Invalid value: \"-1\": must be greater "
                                    "than or equal to 0"),
                          HasSubstr("scheduling.tolerations[1]: Duplicate value")));
  EXPECT_THAT(UpdateErrors(full, "metadata: {name: r}\nhandler: kata\n"),
              ElementsAre(R"(handler: Invalid value: "kata": field is immutable)"));
}

TEST_F(Groups, PriorityClasses) {
  Use("scheduling.k8s.io", "v1", "priorityclasses");
  EXPECT_EQ(Text(Created("metadata: {name: high}\nvalue: 10\n"), "preemptionPolicy"),
            "PreemptLowerPriority");
  EXPECT_THAT(CreateErrors("metadata: {name: high}\nvalue: 1000000001\n"),
              ElementsAre("value: Forbidden: maximum allowed value of a user defined priority is "
                          "1000000000"));
  EXPECT_THAT(CreateErrors("metadata: {name: system-mine}\nvalue: 1\n"),
              ElementsAre("metadata.name: Forbidden: priority class names with 'system-' prefix "
                          "are reserved for system use only. error: system-mine is not a known "
                          "system priority class"));
  EXPECT_THAT(CreateErrors("metadata: {name: system-node-critical}\nvalue: 2000001000\n"),
              IsEmpty());
  EXPECT_THAT(UpdateErrors("metadata: {name: high}\nvalue: 1\n",
                           "metadata: {name: high}\nvalue: 2\npreemptionPolicy: Never\n"),
              ElementsAre("value: Forbidden: may not be changed in an update.",
                          R"(preemptionPolicy: Invalid value: "Never": field is immutable)"));
  EXPECT_THAT(Row("metadata: {name: high}\nvalue: 10\npreemptionPolicy: Never\n"),
              ElementsAre("high", "10", "false", "<unknown>", "Never"));
}

class WebhookConfigurations : public KindTest {
 protected:
  WebhookConfigurations() {
    Use("admissionregistration.k8s.io", "v1", "mutatingwebhookconfigurations");
  }
  static std::string Hook(absl::string_view rest,
                          absl::string_view config = "{url: 'https://hook.example.com/x'}") {
    return absl::StrCat(
        "metadata: {name: c}\nwebhooks: [{name: a.b.c, sideEffects: None, "
        "admissionReviewVersions: [v1], clientConfig: ",
        config, rest.empty() ? "" : ", ", rest, "}]\n");
  }
};

TEST_F(WebhookConfigurations, GetDefaults) {
  const json::Value object =
      Created(Hook("rules: [{operations: [CREATE], apiGroups: [''], apiVersions: [v1], resources: "
                   "[pods]}]",
                   "{service: {name: s, namespace: n}}"));
  const json::Value& hook = Items(object, "webhooks")[0];
  EXPECT_EQ(Text(hook, "failurePolicy"), "Fail");
  EXPECT_EQ(Text(hook, "reinvocationPolicy"), "Never");
  EXPECT_EQ(Int(hook, "timeoutSeconds"), 10);
  EXPECT_EQ(Int(Get(hook, "clientConfig", "service"), "port"), 443);
  EXPECT_EQ(Text(Items(hook, "rules")[0], "scope"), "*");
  EXPECT_EQ(Json(Get(hook, "namespaceSelector")), "{}");
}

TEST_F(WebhookConfigurations, WhatIsWrongIsToldInKubernetesWords) {
  EXPECT_THAT(CreateErrors(Hook("")), IsEmpty());
  const std::pair<std::string, const char*> cases[] = {
      {"metadata: {name: c}\nwebhooks: [{name: a}]\n",
       R"(webhooks[0].name: Invalid value: "a": should be a domain with at least three segments )"
       "separated by dots"},
      {"metadata: {name: c}\nwebhooks: [{name: a.b.c}]\n",
       "webhooks[0].sideEffects: Required value: must specify one of None, NoneOnDryRun"},
      {"metadata: {name: c}\nwebhooks: [{name: a.b.c}]\n",
       "webhooks[0].admissionReviewVersions: Required value: must specify one of v1, v1beta1"},
      {Hook("", "{}"),
       "webhooks[0].clientConfig: Required value: exactly one of url or service is required"},
      {Hook("", "{url: 'http://a/b'}"),
       R"(webhooks[0].clientConfig.url: Invalid value: "http": 'https' is the only allowed URL )"
       "scheme; desired format: https://host[/path]"},
      {Hook("", "{url: 'https://u@a/b?q#f'}"),
       R"(webhooks[0].clientConfig.url: Invalid value: "u": user information is not permitted in )"
       "the URL"},
      {Hook("", "{service: {name: s, namespace: n, path: /a//b}}"),
       R"(webhooks[0].clientConfig.service.path: Invalid value: "/a//b": segment[1] may not be )"
       "empty"},
      {Hook("timeoutSeconds: 60"),
       "webhooks[0].timeoutSeconds: Invalid value: 60: the timeout value must be between 1 and 30 "
       "seconds"},
      {Hook("failurePolicy: Retry"),
       R"(webhooks[0].failurePolicy: Unsupported value: "Retry": supported values: "Fail", )"
       R"("Ignore")"},
      {Hook("rules: [{operations: [READ], apiGroups: ['*'], apiVersions: [v1], resources: "
            "[pods]}]"),
       R"(webhooks[0].rules[0].operations[0]: Unsupported value: "READ": supported values: "*", )"
       R"("CONNECT", "CREATE", "DELETE", "UPDATE")"},
      {Hook("rules: [{operations: [CREATE], apiGroups: ['*', apps], apiVersions: [v1], "
            "resources: [pods]}]"),
       R"(webhooks[0].rules[0].apiGroups: Invalid value: []string{"*", "apps"}: if '*' is )"
       "present, must not specify other API groups"},
      {Hook("rules: [{operations: [CREATE], apiGroups: [''], apiVersions: [v1], resources: "
            "['*/*', pods]}]"),
       R"(webhooks[0].rules[0].resources: Invalid value: []string{"*/*", "pods"}: if '*/*' is )"
       "present, must not specify other resources"},
  };
  for (const auto& [text, expected] : cases) {
    EXPECT_THAT(CreateErrors(text), Contains(expected)) << text;
  }
}

TEST_F(WebhookConfigurations, OldObjectsNeedNotKeepNewRules) {
  const std::string old_text =
      "metadata: {name: c}\nwebhooks: [{name: a.b.c, sideEffects: Some, admissionReviewVersions: "
      "[v1], clientConfig: {url: 'https://h'}}]\n";
  EXPECT_THAT(CreateErrors(old_text), Contains(HasSubstr("sideEffects: Unsupported value")));
  EXPECT_THAT(UpdateErrors(old_text, old_text), IsEmpty());
}

}  // namespace
}  // namespace meltemi::apiserver
