#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "orchestrator/apiserver/admission/admission_fixture.h"

namespace meltemi::apiserver {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;

constexpr char kContainer[] = R"({"containers":[{"name":"c"}]})";

using PluginsTest = AdmissionFixture;

TEST_F(PluginsTest, NothingIsCreatedInANamespaceThatIsMissingOrGoing) {
  AdmissionRequest missing = Request("", "configmaps", R"({"metadata":{"name":"a",
      "namespace":"nowhere"}})");
  EXPECT_EQ(Mutate(missing), "namespaces \"nowhere\" not found");
  Put("", "namespaces", R"({"metadata":{"name":"dev"},"status":{"phase":"Terminating"}})");
  AdmissionRequest going = Request("", "configmaps", R"({"metadata":{"name":"a",
      "namespace":"dev"}})");
  const kube::Outcome outcome = admission_->Mutate(going);
  EXPECT_EQ(outcome.status().code, 403);
  EXPECT_EQ(outcome.status().message,
            "configmaps \"a\" is forbidden: unable to create new content in namespace dev because "
            "it is being terminated");
  ASSERT_EQ(outcome.status().causes.size(), 1u);
  EXPECT_EQ(outcome.status().causes[0].reason, "NamespaceTerminating");
  // What is there may still be changed, and deleted.
  going.operation = Operation::kUpdate;
  EXPECT_EQ(Mutate(going), "");
  AdmissionRequest deletion = Request("", "configmaps", R"({"metadata":{"name":"a",
      "namespace":"nowhere"}})",
                                      Operation::kDelete);
  EXPECT_EQ(Mutate(deletion), "");
}

TEST_F(PluginsTest, WhetherANamespaceExistsIsNotTold) {
  AdmissionRequest review = Request("authorization.k8s.io", "localsubjectaccessreviews",
                                    R"({"metadata":{"namespace":"secret"}})");
  EXPECT_EQ(Mutate(review), "");
}

TEST_F(PluginsTest, SystemNamespacesStay) {
  for (const char* name : {"default", "kube-system", "kube-public"}) {
    AdmissionRequest deletion =
        Request("", "namespaces", absl::StrCat(R"({"metadata":{"name":")", name, "\"}}"),
                Operation::kDelete);
    EXPECT_EQ(Mutate(deletion), absl::StrCat("namespaces \"", name,
                                             "\" is forbidden: this namespace may not be deleted"));
  }
  AdmissionRequest other =
      Request("", "namespaces", R"({"metadata":{"name":"dev"}})", Operation::kDelete);
  EXPECT_EQ(Mutate(other), "");
}

TEST_F(PluginsTest, APodGetsItsAccountsTokenMounted) {
  AdmissionRequest request = PodRequest(
      R"({"containers":[{"name":"c"},{"name":"own","volumeMounts":[{"name":"x",
          "mountPath":"/var/run/secrets/kubernetes.io/serviceaccount"}]}]})");
  ASSERT_EQ(Mutate(request), "");
  EXPECT_EQ(Text(request, "spec.serviceAccountName"), "\"default\"");
  EXPECT_EQ(Text(request, "spec.serviceAccount"), "\"default\"");
  const json::Value& volume = kube::At(request.object, "spec.volumes")->items().at(0);
  const std::string name(volume.FindString("name"));
  EXPECT_THAT(name, MatchesRegex("kube-api-access-[bcdfghjklmnpqrstvwxz2456789]{5}"));
  EXPECT_EQ(
      json::ToString(*volume.Find("projected")),
      R"({"sources":[{"serviceAccountToken":{"expirationSeconds":3607,"path":"token"}},)"
      R"({"configMap":{"name":"kube-root-ca.crt","items":[{"key":"ca.crt","path":"ca.crt"}]}},)"
      R"({"downwardAPI":{"items":[{"path":"namespace","fieldRef":{"apiVersion":"v1",)"
      R"("fieldPath":"metadata.namespace"}}]}}],"defaultMode":420})");
  const auto& containers = kube::At(request.object, "spec.containers")->items();
  EXPECT_EQ(json::ToString(*containers[0].Find("volumeMounts")),
            absl::StrCat(R"([{"name":")", name,
                         R"(","readOnly":true,"mountPath":)"
                         R"("/var/run/secrets/kubernetes.io/serviceaccount"}])"));
  EXPECT_EQ(containers[1].Find("volumeMounts")->items().size(), 1u);
}

TEST_F(PluginsTest, NoTokenForWhoDoesNotWantOne) {
  AdmissionRequest request =
      PodRequest(R"({"automountServiceAccountToken":false,"containers":[{"name":"c"}]})");
  ASSERT_EQ(Mutate(request), "");
  EXPECT_EQ(Text(request, "spec.volumes"), "");
  Put("", "serviceaccounts", R"({"metadata":{"name":"default","namespace":"dev","uid":"sa"},
      "automountServiceAccountToken":false,"imagePullSecrets":[{"name":"registry"}]})");
  AdmissionRequest by_account = PodRequest(kContainer);
  ASSERT_EQ(Mutate(by_account), "");
  EXPECT_EQ(Text(by_account, "spec.volumes"), "");
  EXPECT_EQ(Text(by_account, "spec.imagePullSecrets"), R"([{"name":"registry"}])");
}

TEST_F(PluginsTest, AnAccountThatIsMissing) {
  AdmissionRequest request =
      PodRequest(R"({"serviceAccountName":"bot","containers":[{"name":"c"}]})");
  EXPECT_EQ(Mutate(request),
            "pods \"web\" is forbidden: error looking up service account dev/bot: serviceaccount "
            "\"bot\" not found");
}

TEST_F(PluginsTest, TheDefaultAccountMayComeAMomentLater) {
  cache_.Delete({"", "serviceaccounts"}, "dev", "default");
  std::thread controller([this] {
    Put("", "serviceaccounts", R"({"metadata":{"name":"default","namespace":"dev","uid":"sa"}})");
  });
  AdmissionRequest request = PodRequest(kContainer);
  EXPECT_EQ(Mutate(request), "");
  controller.join();
}

TEST_F(PluginsTest, AnAccountMayLimitTheSecretsOfItsPods) {
  Put("", "serviceaccounts", R"({"metadata":{"name":"default","namespace":"dev","uid":"sa",
      "annotations":{"kubernetes.io/enforce-mountable-secrets":"true"}},
      "secrets":[{"name":"own"}]})");
  AdmissionRequest request = PodRequest(R"({"containers":[{"name":"c"}],
      "volumes":[{"name":"v","secret":{"secretName":"foreign"}}]})");
  EXPECT_EQ(Mutate(request),
            "pods \"web\" is forbidden: volume with secret.secretName=\"foreign\" is not allowed "
            "because service account default does not reference that secret");
  AdmissionRequest by_env = PodRequest(R"({"containers":[{"name":"c","env":[{"name":"E",
      "valueFrom":{"secretKeyRef":{"name":"foreign"}}}]}]})");
  EXPECT_THAT(Mutate(by_env), HasSubstr("container c with envVar E referencing "
                                        "secret.secretName=\"foreign\" is not allowed"));
  AdmissionRequest own = PodRequest(R"({"containers":[{"name":"c"}],
      "volumes":[{"name":"v","secret":{"secretName":"own"}}]})");
  EXPECT_EQ(Mutate(own), "");
}

TEST_F(PluginsTest, PodsStayOnFailingNodesForAWhile) {
  AdmissionRequest request = PodRequest(kContainer);
  ASSERT_EQ(Mutate(request), "");
  EXPECT_EQ(Text(request, "spec.tolerations"),
            R"([{"key":"node.kubernetes.io/not-ready","operator":"Exists","effect":"NoExecute",)"
            R"("tolerationSeconds":300},{"key":"node.kubernetes.io/unreachable","operator":)"
            R"("Exists","effect":"NoExecute","tolerationSeconds":300}])");
  AdmissionRequest all = PodRequest(R"({"containers":[{"name":"c"}],
      "tolerations":[{"operator":"Exists"}]})");
  ASSERT_EQ(Mutate(all), "");
  EXPECT_EQ(Text(all, "spec.tolerations"), R"([{"operator":"Exists"}])");
}

TEST_F(PluginsTest, APriorityComesFromItsClass) {
  Put("scheduling.k8s.io", "priorityclasses",
      R"({"metadata":{"name":"high"},"value":1000,"preemptionPolicy":"Never"})");
  AdmissionRequest plain = PodRequest(kContainer);
  ASSERT_EQ(Mutate(plain), "");
  EXPECT_EQ(Text(plain, "spec.priority"), "0");
  EXPECT_EQ(Text(plain, "spec.preemptionPolicy"), "\"PreemptLowerPriority\"");
  EXPECT_EQ(Text(plain, "spec.priorityClassName"), "");
  AdmissionRequest high = PodRequest(R"({"containers":[],"priorityClassName":"high"})");
  ASSERT_EQ(Mutate(high), "");
  EXPECT_EQ(Text(high, "spec.priority"), "1000");
  EXPECT_EQ(Text(high, "spec.preemptionPolicy"), "\"Never\"");
  AdmissionRequest unknown = PodRequest(R"({"containers":[],"priorityClassName":"none"})");
  EXPECT_EQ(Mutate(unknown),
            "pods \"web\" is forbidden: no PriorityClass with name none was found");
  AdmissionRequest other = PodRequest(R"({"priority":5,"priorityClassName":"high"})");
  EXPECT_EQ(Mutate(other),
            "pods \"web\" is forbidden: the integer value of priority (5) must not be provided in "
            "pod spec; priority admission controller computed 1000 from the given PriorityClass "
            "name");
}

TEST_F(PluginsTest, ARuntimeClassSaysWhatItsPodsTake) {
  Put("node.k8s.io", "runtimeclasses", R"({"metadata":{"name":"plain"},"handler":"runc"})");
  Put("node.k8s.io", "runtimeclasses",
      R"({"metadata":{"name":"heavy"},"handler":"vm","overhead":{"podFixed":{"cpu":"250m"}},
          "scheduling":{"nodeSelector":{"vm":"yes"},"tolerations":[
            {"key":"vm","operator":"Exists"},
            {"key":"node.kubernetes.io/not-ready","operator":"Exists","effect":"NoExecute",
             "tolerationSeconds":5}]}})");
  AdmissionRequest none = PodRequest(R"({"containers":[],"runtimeClassName":"none"})");
  EXPECT_EQ(Mutate(none),
            "pods \"web\" is forbidden: pod rejected: RuntimeClass \"none\" not found");
  AdmissionRequest plain = PodRequest(R"({"containers":[],"runtimeClassName":"plain"})");
  EXPECT_EQ(Mutate(plain), "");
  EXPECT_EQ(Validate(plain), "");

  AdmissionRequest heavy = PodRequest(R"({"containers":[],"runtimeClassName":"heavy",
      "overhead":{"cpu":"0.25"},"nodeSelector":{"a":"b"},"tolerations":[
        {"key":"vm","operator":"Equal","value":"1"}]})");
  EXPECT_EQ(Mutate(heavy), "");
  EXPECT_EQ(Validate(heavy), "");
  EXPECT_EQ(Text(heavy, "spec.overhead"), R"({"cpu":"250m"})");
  EXPECT_EQ(Text(heavy, "spec.nodeSelector"), R"({"a":"b","vm":"yes"})");
  EXPECT_EQ(Text(heavy, "spec.tolerations"),
            R"([{"key":"node.kubernetes.io/not-ready","operator":"Exists","effect":"NoExecute",)"
            R"("tolerationSeconds":300},{"key":"node.kubernetes.io/unreachable","operator":)"
            R"("Exists","effect":"NoExecute","tolerationSeconds":300},)"
            R"({"key":"vm","operator":"Exists"}])")
      << "the class's covers the pod's own, and the longer one the shorter";
}

TEST_F(PluginsTest, WhatDoesNotFitTheRuntimeClassIsRefused) {
  Put("node.k8s.io", "runtimeclasses",
      R"({"metadata":{"name":"heavy"},"handler":"vm","overhead":{"podFixed":{"cpu":"250m"}},
          "scheduling":{"nodeSelector":{"vm":"yes"}}})");
  AdmissionRequest other =
      PodRequest(R"({"containers":[],"runtimeClassName":"heavy","overhead":{"cpu":"1"}})");
  EXPECT_THAT(Mutate(other), HasSubstr("pod rejected: Pod's Overhead doesn't match RuntimeClass's "
                                       "defined Overhead"));
  AdmissionRequest alone = PodRequest(R"({"containers":[],"overhead":{"cpu":"1"}})");
  EXPECT_EQ(Mutate(alone), "");
  EXPECT_THAT(Validate(alone), HasSubstr("pod rejected: Pod Overhead set without corresponding "
                                         "RuntimeClass defined Overhead"));
  AdmissionRequest elsewhere =
      PodRequest(R"({"containers":[],"runtimeClassName":"heavy","nodeSelector":{"vm":"no"}})");
  EXPECT_THAT(Mutate(elsewhere),
              HasSubstr("conflict: runtimeClass.scheduling.nodeSelector[vm] = yes; "
                        "pod.spec.nodeSelector[vm] = no"));
}

TEST_F(PluginsTest, OnePriorityClassIsTheDefault) {
  Put("scheduling.k8s.io", "priorityclasses",
      R"({"metadata":{"name":"usual"},"value":10,"globalDefault":true})");
  AdmissionRequest pod = PodRequest(kContainer);
  ASSERT_EQ(Mutate(pod), "");
  EXPECT_EQ(Text(pod, "spec.priorityClassName"), "\"usual\"");
  EXPECT_EQ(Text(pod, "spec.priority"), "10");
  AdmissionRequest second =
      Request("scheduling.k8s.io", "priorityclasses",
              R"({"metadata":{"name":"second"},"value":1,"globalDefault":true})");
  EXPECT_EQ(Validate(second),
            "priorityclasses.scheduling.k8s.io \"second\" is forbidden: PriorityClass usual is "
            "already marked as default. Only one default can exist");
}

TEST_F(PluginsTest, ClassesAreFilledInFromTheNewestDefault) {
  Put("storage.k8s.io", "storageclasses", R"({"metadata":{"name":"a-new",
      "creationTimestamp":"2024-02-01T00:00:00Z",
      "annotations":{"storageclass.kubernetes.io/is-default-class":"true"}}})");
  Put("storage.k8s.io", "storageclasses", R"({"metadata":{"name":"b-old",
      "creationTimestamp":"2024-01-01T00:00:00Z",
      "annotations":{"storageclass.kubernetes.io/is-default-class":"true"}}})");
  Put("networking.k8s.io", "ingressclasses", R"({"metadata":{"name":"nginx",
      "annotations":{"ingressclass.kubernetes.io/is-default-class":"true"}}})");
  AdmissionRequest claim = Request("", "persistentvolumeclaims",
                                   R"({"metadata":{"name":"d","namespace":"dev"},"spec":{}})");
  ASSERT_EQ(Mutate(claim), "");
  EXPECT_EQ(Text(claim, "spec.storageClassName"), "\"a-new\"");
  EXPECT_EQ(Text(claim, "metadata.finalizers"), R"(["kubernetes.io/pvc-protection"])");
  AdmissionRequest none =
      Request("", "persistentvolumeclaims",
              R"({"metadata":{"name":"d","namespace":"dev"},"spec":{"storageClassName":""}})");
  ASSERT_EQ(Mutate(none), "");
  EXPECT_EQ(Text(none, "spec.storageClassName"), "\"\"");
  AdmissionRequest ingress = Request("networking.k8s.io", "ingresses",
                                     R"({"metadata":{"name":"i","namespace":"dev"},"spec":{}})");
  ASSERT_EQ(Mutate(ingress), "");
  EXPECT_EQ(Text(ingress, "spec.ingressClassName"), "\"nginx\"");
}

TEST_F(PluginsTest, ANewNodeIsNotReady) {
  AdmissionRequest node = Request("", "nodes", R"({"metadata":{"name":"n1"}})");
  ASSERT_EQ(Mutate(node), "");
  EXPECT_EQ(Text(node, "spec.taints"),
            R"([{"key":"node.kubernetes.io/not-ready","effect":"NoSchedule"}])");
}

TEST_F(PluginsTest, PluginsAreTurnedOffByName) {
  Make({.disabled = {"TaintNodesByCondition", "ServiceAccount"}});
  AdmissionRequest node = Request("", "nodes", R"({"metadata":{"name":"n1"}})");
  ASSERT_EQ(Mutate(node), "");
  EXPECT_EQ(Text(node, "spec.taints"), "");
  AdmissionRequest pod = PodRequest(kContainer);
  ASSERT_EQ(Mutate(pod), "");
  EXPECT_EQ(Text(pod, "spec.serviceAccountName"), "");
  const auto wrong =
      NewAdmission({.enabled = {"Magic"}}, {clock_, cache_, catalog_, *authorizer_, *rbac_});
  EXPECT_THAT(std::string(wrong.status().message()),
              HasSubstr("unknown admission plugin \"Magic\": there are NamespaceLifecycle, "));
}

class EscalationTest : public AdmissionFixture {
 protected:
  EscalationTest() {
    Put("rbac.authorization.k8s.io", "roles", R"({"metadata":{"name":"mine","namespace":"dev"},
        "rules":[{"apiGroups":[""],"resources":["pods"],"verbs":["get","list"]}]})");
    Put("rbac.authorization.k8s.io", "clusterroles", R"({"metadata":{"name":"root"},
        "rules":[{"apiGroups":["*"],"resources":["*"],"verbs":["*"]}]})");
    Put("rbac.authorization.k8s.io", "rolebindings", R"({"metadata":{"name":"b",
        "namespace":"dev"},"roleRef":{"kind":"Role","name":"mine"},
        "subjects":[{"kind":"User","name":"jane"}]})");
  }
  AdmissionRequest Role(absl::string_view rules) {
    return Request(
        "rbac.authorization.k8s.io", "roles",
        absl::StrCat(R"({"metadata":{"name":"r","namespace":"dev"},"rules":)", rules, "}"));
  }
  AdmissionRequest Binding(absl::string_view kind, absl::string_view name) {
    return Request(
        "rbac.authorization.k8s.io", "rolebindings",
        absl::StrCat(R"({"metadata":{"name":"b2","namespace":"dev"},"roleRef":{"kind":")", kind,
                     R"(","name":")", name, "\"}}"));
  }
};

TEST_F(EscalationTest, NobodyGrantsWhatTheyDoNotHold) {
  AdmissionRequest held = Role(R"([{"apiGroups":[""],"resources":["pods"],"verbs":["get"]}])");
  EXPECT_EQ(Mutate(held), "");
  AdmissionRequest more = Role(
      R"([{"apiGroups":["","apps"],"resources":["pods","secrets"],"verbs":["get","delete"]}])");
  EXPECT_EQ(Mutate(more),
            "roles.rbac.authorization.k8s.io \"r\" is forbidden: user \"jane\" "
            "(groups=[\"system:authenticated\"]) is attempting to grant RBAC permissions not "
            "currently held:\n"
            "{APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"delete\"]}\n"
            "{APIGroups:[\"\"], Resources:[\"secrets\"], Verbs:[\"get\" \"delete\"]}\n"
            "{APIGroups:[\"apps\"], Resources:[\"pods\"], Verbs:[\"get\" \"delete\"]}\n"
            "{APIGroups:[\"apps\"], Resources:[\"secrets\"], Verbs:[\"get\" \"delete\"]}");
  more.user.groups = {"system:masters"};
  EXPECT_EQ(Mutate(more), "");
}

TEST_F(EscalationTest, NobodyBindsWhatTheyDoNotHold) {
  AdmissionRequest held = Binding("Role", "mine");
  EXPECT_EQ(Mutate(held), "");
  AdmissionRequest root = Binding("ClusterRole", "root");
  EXPECT_THAT(Mutate(root), HasSubstr("{APIGroups:[\"*\"], Resources:[\"*\"], Verbs:[\"*\"]}"));
  AdmissionRequest missing = Binding("Role", "missing");
  EXPECT_EQ(Mutate(missing), "roles.rbac.authorization.k8s.io \"missing\" not found");
}

TEST_F(EscalationTest, TheVerbsBindAndEscalateAllowIt) {
  Put("rbac.authorization.k8s.io", "roles", R"({"metadata":{"name":"mine","namespace":"dev"},
      "rules":[{"apiGroups":["rbac.authorization.k8s.io"],"resources":["clusterroles"],
                "resourceNames":["root"],"verbs":["bind"]}]})");
  AdmissionRequest root = Binding("ClusterRole", "root");
  EXPECT_EQ(Mutate(root), "");
  AdmissionRequest role = Role(R"([{"apiGroups":["*"],"resources":["*"],"verbs":["*"]}])");
  EXPECT_NE(Mutate(role), "");
  Put("rbac.authorization.k8s.io", "roles", R"({"metadata":{"name":"mine","namespace":"dev"},
      "rules":[{"apiGroups":["rbac.authorization.k8s.io"],"resources":["roles"],
                "verbs":["escalate"]}]})");
  EXPECT_EQ(Mutate(role), "");
}

TEST_F(EscalationTest, WhatTheGarbageCollectorChangesGrantsNothing) {
  AdmissionRequest update = Role(R"([{"apiGroups":["*"],"resources":["*"],"verbs":["*"]}])");
  update.operation = Operation::kUpdate;
  update.old_object = update.object;
  kube::MutableMetadata(update.object).Set("finalizers", json::Value::Array());
  EXPECT_EQ(Mutate(update), "");
  kube::SetLabel(update.object, "x", "y");
  EXPECT_NE(Mutate(update), "");
}

TEST_F(EscalationTest, AggregationIsForAdministrators) {
  AdmissionRequest role = Request("rbac.authorization.k8s.io", "clusterroles",
                                  R"({"metadata":{"name":"all"},"rules":[],"aggregationRule":
                                      {"clusterRoleSelectors":[{}]}})");
  EXPECT_EQ(Mutate(role),
            "clusterroles.rbac.authorization.k8s.io \"all\" is forbidden: must have cluster-admin "
            "privileges to use the aggregationRule");
}

}  // namespace
}  // namespace meltemi::apiserver
