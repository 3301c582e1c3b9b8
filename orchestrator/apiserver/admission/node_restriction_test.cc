#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "orchestrator/apiserver/admission/admission_fixture.h"

namespace meltemi::apiserver {
namespace {

using ::testing::HasSubstr;

class NodeRestrictionTest : public AdmissionFixture {
 protected:
  NodeRestrictionTest() {
    Make({.disabled = {"ServiceAccount"}});
    Put("", "nodes", R"({"metadata":{"name":"n1","uid":"node-uid"}})");
    Put("", "pods", R"({"metadata":{"name":"web","namespace":"dev","uid":"pod-uid"},
        "spec":{"nodeName":"n1","volumes":[{"name":"t","projected":{"sources":[
            {"serviceAccountToken":{"audience":"vault","path":"t"}},
            {"serviceAccountToken":{"path":"t"}}]}}]}})");
  }
  AdmissionRequest ByNode(const std::string& node, AdmissionRequest request) {
    request.user.name = "system:node:" + node;
    request.user.groups = {"system:nodes", "system:authenticated"};
    return request;
  }
  std::string As(const std::string& node, AdmissionRequest request) {
    AdmissionRequest asked = ByNode(node, std::move(request));
    return Mutate(asked);
  }
  AdmissionRequest Mirror(absl::string_view spec, absl::string_view uid = "node-uid") {
    return PodRequest(spec, absl::StrCat(R"(,"annotations":{"kubernetes.io/config.mirror":"x"},
        "ownerReferences":[{"apiVersion":"v1","kind":"Node","name":"n1","controller":true,
        "uid":")",
                                         uid, "\"}]"));
  }
};

TEST_F(NodeRestrictionTest, OnlyMirrorPodsOfItsOwn) {
  EXPECT_EQ(As("n1", PodRequest(R"({"nodeName":"n1"})")),
            "pods \"web\" is forbidden: pod does not have \"kubernetes.io/config.mirror\" "
            "annotation, node \"n1\" can only create mirror pods");
  EXPECT_EQ(As("n1", Mirror(R"({"nodeName":"n1"})")), "");
  EXPECT_THAT(As("n1", Mirror(R"({"nodeName":"n2"})")),
              HasSubstr("can only create pods with spec.nodeName set to itself"));
  EXPECT_THAT(As("n1", Mirror(R"({"nodeName":"n1"})", "other")),
              HasSubstr("node n1 UID mismatch: expected other got node-uid"));
  EXPECT_THAT(As("n1", Mirror(R"({"nodeName":"n1","serviceAccountName":"x"})")),
              HasSubstr("can not create pods that reference a service account"));
  EXPECT_THAT(As("n1", Mirror(R"({"nodeName":"n1","volumes":[{"secret":{"secretName":"s"}}]})")),
              HasSubstr("can not create pods that reference secrets"));
}

TEST_F(NodeRestrictionTest, OnlyPodsThatRunOnIt) {
  AdmissionRequest deletion = PodRequest("{}");
  deletion.operation = Operation::kDelete;
  EXPECT_EQ(As("n1", deletion), "");
  EXPECT_EQ(As("n2", deletion),
            "pods \"web\" is forbidden: node \"n2\" can only delete pods with spec.nodeName set to "
            "itself");
  AdmissionRequest status = PodRequest(R"({"nodeName":"n1"})");
  status.operation = Operation::kUpdate;
  status.subresource = "status";
  status.old_object = status.object;
  EXPECT_EQ(As("n1", status), "");
  EXPECT_THAT(As("n2", status), HasSubstr("can only update pod status for pods with"));
  kube::SetLabel(status.object, "app", "x");
  EXPECT_THAT(As("n1", status), HasSubstr("cannot update labels through pod status"));
}

TEST_F(NodeRestrictionTest, ItsOwnNodeWithoutSteeringWorkToItself) {
  EXPECT_EQ(As("n1", Request("", "nodes", R"({"metadata":{"name":"n2"}})")),
            "nodes \"n2\" is forbidden: node \"n1\" is not allowed to modify node \"n2\"");
  EXPECT_EQ(As("n1", Request("", "nodes", R"({"metadata":{"name":"n1","labels":{
                "kubernetes.io/hostname":"n1","node.kubernetes.io/x":"y","own/label":"z"}}})")),
            "");
  EXPECT_EQ(As("n1", Request("", "nodes", R"({"metadata":{"name":"n1","labels":{
                "node-restriction.kubernetes.io/gold":"y","k8s.io/other":"y"}}})")),
            "nodes \"n1\" is forbidden: node \"n1\" is not allowed to set the following labels: "
            "k8s.io/other, node-restriction.kubernetes.io/gold");
  AdmissionRequest update =
      Request("", "nodes", R"({"metadata":{"name":"n1"},"spec":{}})", Operation::kUpdate);
  update.old_object = *json::Parse(
      R"({"metadata":{"name":"n1"},"spec":{"taints":[{"key":"a","effect":"NoSchedule"}]}})");
  EXPECT_EQ(As("n1", update),
            "nodes \"n1\" is forbidden: node \"n1\" is not allowed to modify taints");
}

TEST_F(NodeRestrictionTest, TokensOfItsPodsForTheirAudiences) {
  Put("", "namespaces", R"({"metadata":{"name":"kube-node-lease"}})");
  const auto token = [&](absl::string_view spec) {
    AdmissionRequest request = Request("", "serviceaccounts",
                                       absl::StrCat(R"({"metadata":{"name":"default",
            "namespace":"dev"},"spec":)",
                                                    spec, "}"));
    request.subresource = "token";
    return request;
  };
  constexpr char kBound[] = R"({"audiences":["vault"],"boundObjectRef":{"apiVersion":"v1",
      "kind":"Pod","name":"web","uid":"pod-uid"}})";
  EXPECT_EQ(As("n1", token(kBound)), "");
  EXPECT_THAT(As("n2", token(kBound)),
              HasSubstr("node requested token bound to a pod scheduled on a different node"));
  EXPECT_THAT(As("n1", token("{}")), HasSubstr("node requested token not bound to a pod"));
  EXPECT_THAT(As("n1", token(R"({"audiences":["other"],"boundObjectRef":{"apiVersion":"v1",
      "kind":"Pod","name":"web","uid":"pod-uid"}})")),
              HasSubstr("audience \"other\" not found in pod spec volume"));
  EXPECT_EQ(As("n1", token(R"({"boundObjectRef":{"apiVersion":"v1",
      "kind":"Pod","name":"web","uid":"pod-uid"}})")),
            "");
}

TEST_F(NodeRestrictionTest, ItsOwnLease) {
  Put("", "namespaces", R"({"metadata":{"name":"kube-node-lease"}})");
  const AdmissionRequest lease =
      Request("coordination.k8s.io", "leases",
              R"({"metadata":{"name":"n1","namespace":"kube-node-lease"}})");
  EXPECT_EQ(As("n1", lease), "");
  EXPECT_THAT(As("n2", lease),
              HasSubstr("can only access node lease with the same name as the requesting node"));
}

TEST_F(NodeRestrictionTest, OthersAreNotConcerned) {
  AdmissionRequest pod = PodRequest(R"({"nodeName":"n1"})");
  EXPECT_EQ(Mutate(pod), "");
}

}  // namespace
}  // namespace meltemi::apiserver
