#include "orchestrator/kubeproxy/names.h"

#include "gtest/gtest.h"

namespace meltemi::kubeproxy {
namespace {

TEST(NamesTest, AreThoseThatUsersOfKubernetesKnow) {
  // Every cluster has KUBE-SVC-NPX46M4PTMTKRN6Y (default/kubernetes:https) and KUBE-SVC-TCOU7JCQ…
  // and KUBE-SVC-ERIFXISQ… (kube-system/kube-dns).
  EXPECT_EQ(HashedName("default/kubernetes:httpstcp"), "NPX46M4PTMTKRN6Y");
  EXPECT_EQ(HashedName("kube-system/kube-dns:dnsudp"), "TCOU7JCQXEZGVUNU");
  EXPECT_EQ(HashedName("kube-system/kube-dns:dns-tcptcp"), "ERIFXISQEP7F7OF4");
}

}  // namespace
}  // namespace meltemi::kubeproxy
