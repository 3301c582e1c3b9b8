#include "orchestrator/apiserver/watch/keys.h"

#include <gtest/gtest.h>

namespace meltemi::apiserver {
namespace {

TEST(Keys, AreThoseOfEtcdsRegistry) {
  EXPECT_EQ(ObjectKey({"", "pods"}, "default", "web-0"), "/registry/core/pods/default/web-0");
  EXPECT_EQ(ObjectKey({"", "nodes"}, "", "n1"), "/registry/core/nodes/n1");
  EXPECT_EQ(ObjectKey({"apps", "deployments"}, "a", "b"), "/registry/apps/deployments/a/b");
  EXPECT_EQ(ResourcePrefix({"apps", "deployments"}), "/registry/apps/deployments/");
  EXPECT_EQ(NamespacePrefix({"", "pods"}, "kube-system"), "/registry/core/pods/kube-system/");
}

TEST(Keys, AreReadBack) {
  const auto pod = ParseObjectKey("/registry/core/pods/default/web-0");
  ASSERT_TRUE(pod.has_value());
  EXPECT_EQ(pod->storage, (kube::GroupResource{"", "pods"}));
  EXPECT_EQ(pod->ns, "default");
  EXPECT_EQ(pod->name, "web-0");
  const auto role = ParseObjectKey("/registry/rbac.authorization.k8s.io/clusterroles/system:node");
  ASSERT_TRUE(role.has_value());
  EXPECT_EQ(role->storage.group, "rbac.authorization.k8s.io");
  EXPECT_EQ(role->ns, "");
  EXPECT_EQ(role->name, "system:node");
}

TEST(Keys, OthersAreNotOurs) {
  for (const char* key : {"", "compact_rev_key", "/registry/", "/registry/core/pods",
                          "/registry/core//x", "/registry/core/pods/a/", "/registry/a/b/c/d/e"}) {
    EXPECT_FALSE(ParseObjectKey(key).has_value()) << key;
  }
}

}  // namespace
}  // namespace meltemi::apiserver
