#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "base/json/parse.h"
#include "orchestrator/apiserver/authn/object_cache_fake.h"
#include "orchestrator/apiserver/authz/chain.h"

namespace meltemi::apiserver {
namespace {

constexpr char kPod[] = R"({"metadata":{"name":"web","namespace":"dev","uid":"u1"},"spec":{
  "nodeName":"n1","serviceAccountName":"bot","imagePullSecrets":[{"name":"registry"}],
  "containers":[{"env":[{"valueFrom":{"secretKeyRef":{"name":"env-secret"}}},
                        {"valueFrom":{"configMapKeyRef":{"name":"env-map"}}}],
                 "envFrom":[{"secretRef":{"name":"from-secret"}},
                            {"configMapRef":{"name":"from-map"}}]}],
  "volumes":[{"name":"a","secret":{"secretName":"volume-secret"}},
             {"name":"b","configMap":{"name":"volume-map"}},
             {"name":"c","persistentVolumeClaim":{"claimName":"data"}},
             {"name":"scratch","ephemeral":{}},
             {"name":"d","projected":{"sources":[{"secret":{"name":"part-secret"}},
                                                 {"configMap":{"name":"kube-root-ca.crt"}}]}}]}})";

class NodeTest : public ::testing::Test {
 protected:
  NodeTest() { cache_.Put({"", "pods"}, *json::Parse(kPod)); }

  static Attributes Of(const std::string& node, const std::string& verb,
                       const std::string& resource, const std::string& ns,
                       const std::string& name) {
    Attributes out;
    out.user.name = "system:node:" + node;
    out.user.groups = {"system:nodes"};
    out.verb = verb;
    out.resource = resource;
    out.ns = ns;
    out.name = name;
    return out;
  }
  bool May(const Attributes& a) { return node_->Authorize(a).decision == Decision::kAllow; }
  bool Reads(const std::string& node, const std::string& resource, const std::string& name) {
    return May(Of(node, "get", resource, "dev", name));
  }

  ObjectCacheFake cache_;
  std::unique_ptr<Authorizer> node_ = NewNodeAuthorizer(cache_);
};

TEST_F(NodeTest, AKubeletReadsWhatItsPodsMention) {
  for (const char* name :
       {"registry", "env-secret", "from-secret", "volume-secret", "part-secret"}) {
    EXPECT_TRUE(Reads("n1", "secrets", name)) << name;
    EXPECT_FALSE(Reads("n2", "secrets", name)) << name;
  }
  for (const char* name : {"env-map", "from-map", "volume-map", "kube-root-ca.crt"}) {
    EXPECT_TRUE(Reads("n1", "configmaps", name)) << name;
    EXPECT_FALSE(Reads("n2", "configmaps", name)) << name;
  }
  EXPECT_TRUE(Reads("n1", "persistentvolumeclaims", "data"));
  EXPECT_TRUE(Reads("n1", "persistentvolumeclaims", "web-scratch"));
  EXPECT_EQ(node_->Authorize(Of("n1", "get", "secrets", "dev", "other")).reason,
            "no relationship found between node 'n1' and this object");
  EXPECT_FALSE(May(Of("n1", "get", "secrets", "prod", "registry")));
  EXPECT_EQ(node_->Authorize(Of("n1", "list", "secrets", "", "")).reason,
            "can only read namespaced object of this type");
  EXPECT_FALSE(May(Of("n1", "update", "secrets", "dev", "registry")));
}

TEST_F(NodeTest, WhatAPodMentionedIsClosedWhenItGoes) {
  cache_.Put({"", "pods"}, *json::Parse(R"({"metadata":{"name":"two","namespace":"dev","uid":"u2"},
      "spec":{"nodeName":"n1","imagePullSecrets":[{"name":"registry"}]}})"));
  cache_.Delete({"", "pods"}, "dev", "web");
  EXPECT_TRUE(Reads("n1", "secrets", "registry"));  // the other pod's
  EXPECT_FALSE(Reads("n1", "secrets", "env-secret"));
  cache_.Delete({"", "pods"}, "dev", "two");
  EXPECT_FALSE(Reads("n1", "secrets", "registry"));
}

TEST_F(NodeTest, APodOpensItsObjectsOnceItIsBound) {
  constexpr char kUnbound[] = R"({"metadata":{"name":"new","namespace":"dev","uid":"u3"},
      "spec":{"serviceAccountName":"late"%s}})";
  const auto put = [&](const char* node) {
    cache_.Put({"", "pods"},
               *json::Parse(absl::StrCat(
                   absl::string_view(kUnbound).substr(0, sizeof(kUnbound) - 5), node, "}}")));
  };
  put("");
  Attributes token = Of("n1", "create", "serviceaccounts", "dev", "late");
  token.subresource = "token";
  EXPECT_FALSE(May(token));
  put(R"(,"nodeName":"n1")");
  EXPECT_TRUE(May(token));
}

TEST_F(NodeTest, MirrorPodsOpenNothing) {
  cache_.Put({"", "pods"}, *json::Parse(R"({"metadata":{"name":"static","namespace":"dev",
      "uid":"u4","annotations":{"kubernetes.io/config.mirror":"x"}},
      "spec":{"nodeName":"n1","imagePullSecrets":[{"name":"loot"}]}})"));
  EXPECT_FALSE(Reads("n1", "secrets", "loot"));
  EXPECT_TRUE(Reads("n1", "pods", "static"));
}

TEST_F(NodeTest, AVolumeIsReachedThroughItsClaim) {
  cache_.Put({"", "persistentvolumes"}, *json::Parse(R"({"metadata":{"name":"pv1"},"spec":{
      "claimRef":{"namespace":"dev","name":"data"},
      "csi":{"nodeStageSecretRef":{"namespace":"storage","name":"key"},
             "controllerPublishSecretRef":{"namespace":"storage","name":"master"}}}})"));
  EXPECT_TRUE(May(Of("n1", "get", "persistentvolumes", "", "pv1")));
  EXPECT_FALSE(May(Of("n2", "get", "persistentvolumes", "", "pv1")));
  EXPECT_TRUE(May(Of("n1", "get", "secrets", "storage", "key")));
  EXPECT_FALSE(May(Of("n1", "get", "secrets", "storage", "master")));
  cache_.Delete({"", "persistentvolumes"}, "", "pv1");
  EXPECT_FALSE(May(Of("n1", "get", "secrets", "storage", "key")));
}

TEST_F(NodeTest, ItsOwnNodeAndLease) {
  EXPECT_TRUE(May(Of("n1", "get", "nodes", "", "n1")));
  EXPECT_EQ(node_->Authorize(Of("n1", "get", "nodes", "", "n2")).reason,
            "node 'n1' cannot read 'n2', only its own Node object");
  EXPECT_EQ(node_->Authorize(Of("n1", "list", "nodes", "", "")).reason,
            "node 'n1' cannot read all nodes, only its own Node object");
  EXPECT_FALSE(May(Of("n1", "delete", "nodes", "", "n1")));
  Attributes lease = Of("n1", "update", "leases", "kube-node-lease", "n1");
  lease.group = "coordination.k8s.io";
  EXPECT_TRUE(May(lease));
  lease.name = "n2";
  EXPECT_FALSE(May(lease));
  lease.ns = "default";
  EXPECT_EQ(node_->Authorize(lease).reason,
            "can only access leases in the \"kube-node-lease\" system namespace");
}

TEST_F(NodeTest, PodsAreListedByNodeName) {
  Attributes list = Of("n1", "list", "pods", "", "");
  EXPECT_EQ(node_->Authorize(list).reason,
            "can only list/watch pods with spec.nodeName field selector");
  list.field_selector = *kube::FieldSelector::Parse("spec.nodeName=n1");
  EXPECT_TRUE(May(list));
  list.field_selector = *kube::FieldSelector::Parse("spec.nodeName=n2");
  EXPECT_FALSE(May(list));
  Attributes status = Of("n1", "patch", "pods", "dev", "web");
  status.subresource = "status";
  EXPECT_TRUE(May(status));
}

TEST_F(NodeTest, TheRestIsTheRoleOfNodes) {
  EXPECT_TRUE(May(Of("n1", "watch", "services", "", "")));
  EXPECT_TRUE(May(Of("n1", "create", "events", "dev", "")));
  EXPECT_FALSE(May(Of("n1", "create", "deployments", "dev", "")));
  Attributes other = Of("n1", "watch", "services", "", "");
  other.user.groups = {"people"};
  EXPECT_FALSE(May(other));
}

}  // namespace
}  // namespace meltemi::apiserver
