// What kubectl reads.
#include "test/kubectl/stories.h"

namespace meltemi::kubectl {
namespace {

class ReadTest : public Stories {};
INSTANTIATE_TEST_SUITE_P(Kubectl, ReadTest, ::testing::Values(0u, 1u), ProgramName);

TEST_P(ReadTest, GetInAllForms) {
  ASSERT_EQ(Run("kubectl apply -f -", kWeb).exit_status, 0);
  EXPECT_THAT(Out("kubectl get deployment web"),
              MatchesRegex("NAME +READY +UP-TO-DATE +AVAILABLE +AGE\nweb +0/3 +[0-3] +0 +[0-9]+s"));
  EXPECT_THAT(Out("kubectl get deployment web -o wide"),
              MatchesRegex("NAME +READY +UP-TO-DATE +AVAILABLE +AGE +CONTAINERS +IMAGES +SELECTOR\n"
                           "web +0/3 +[0-3] +0 +[0-9]+s +web +nginx:1.25 +app=web"));
  EXPECT_THAT(Out("kubectl get service web"),
              MatchesRegex("NAME +TYPE +CLUSTER-IP +EXTERNAL-IP +PORT\\(S\\) +AGE\n"
                           "web +ClusterIP +10\\.[0-9.]+ +<none> +80/TCP +[0-9]+s"));
  EXPECT_EQ(Out("kubectl get deployment web -o name"), "deployment.apps/web");
  EXPECT_EQ(Out("kubectl get deployment web -o jsonpath={.spec.template.spec.containers[0].image}"),
            "nginx:1.25");
  EXPECT_EQ(Out("kubectl get deployment web -o go-template={{.spec.replicas}}"), "3");
  EXPECT_THAT(Out("kubectl get deployment -o custom-columns=N:.metadata.name,R:.spec.replicas"),
              MatchesRegex("N +R\nweb +3"));
  EXPECT_THAT(Out("kubectl get deployment web -o yaml"), HasSubstr("maxUnavailable: 25%"));
  EXPECT_THAT(Out("kubectl get deployment web -o json"), HasSubstr("\"kind\": \"Deployment\""));
  EXPECT_THAT(Out("kubectl get deployment web --show-labels"), HasSubstr("app=web"));
  EXPECT_THAT(Out("kubectl get all"), HasSubstr("service/web"));
  EXPECT_EQ(Out("kubectl get deployment -l app!=web"),
            "No resources found in " + ns_ + " namespace.");
  EXPECT_EQ(Out("kubectl get deployment nothing"),
            "Error from server (NotFound): deployments.apps \"nothing\" not found");
}

TEST_P(ReadTest, Describe) {
  ASSERT_EQ(Run("kubectl apply -f -", kWeb).exit_status, 0);
  const std::string deployment = Out("kubectl describe deployment web");
  EXPECT_THAT(deployment, HasSubstr("Replicas:               3 desired"));
  EXPECT_THAT(deployment, HasSubstr("RollingUpdateStrategy:  25% max unavailable, 25% max surge"));
  EXPECT_THAT(Out("kubectl describe service web"), HasSubstr("TargetPort:"));
  EXPECT_THAT(Out("kubectl describe namespace default"), HasSubstr("Status:       Active"));
}

TEST_P(ReadTest, Explain) {
  const std::string text = Out("kubectl explain deployment.spec.replicas");
  EXPECT_THAT(text, HasSubstr("VERSION:"));
  EXPECT_THAT(text, HasSubstr("replicas"));
  EXPECT_THAT(text, HasSubstr("integer"));
  EXPECT_THAT(Out("kubectl explain pod --recursive"), HasSubstr("terminationGracePeriodSeconds"));
  EXPECT_THAT(Out("kubectl explain pod.spec.nonsense"), HasSubstr("nonsense"));
}

TEST_P(ReadTest, ResourcesAndVersions) {
  const std::string resources = Out("kubectl api-resources");
  EXPECT_THAT(resources, HasSubstr("deployments"));
  EXPECT_THAT(resources, HasSubstr("deploy"));
  EXPECT_THAT(Out("kubectl api-resources --api-group=batch -o name"),
              ::testing::Eq("cronjobs.batch\njobs.batch"));
  EXPECT_THAT(Out("kubectl api-versions"), HasSubstr("autoscaling/v2"));
  EXPECT_THAT(Out("kubectl version"), HasSubstr("v1.32.0+meltemi"));
  EXPECT_THAT(Out("kubectl cluster-info"), HasSubstr("is running at"));
  EXPECT_EQ(Out("kubectl get --raw /readyz"), "ok");
}

TEST_P(ReadTest, WatchSeesChangesInOrder) {
  ASSERT_EQ(Run("kubectl create configmap a --from-literal=k=0").exit_status, 0);
  const std::string seen =
      Out(": > seen; (kubectl get configmap a --watch -o jsonpath='{.data.k}{\"\\n\"}' > seen "
          "2>/dev/null &"
          " until grep -q 0 seen; do sleep 0.02; done;"
          " for i in 1 2 3; do"
          "   kubectl patch configmap a -p '{\"data\":{\"k\":\"'$i'\"}}' >/dev/null; done;"
          " until grep -q 3 seen; do sleep 0.02; done;"
          " pkill -P $!; wait; cat seen)");
  EXPECT_EQ(seen, "0\n1\n2\n3");
}

TEST_P(ReadTest, WhoMayDoWhat) {
  EXPECT_EQ(Out("kubectl auth can-i delete pods"), "yes");
  EXPECT_EQ(Out("kubectl auth can-i delete pods --as bob"), "no");
  EXPECT_EQ(Out("kubectl create serviceaccount robot"), "serviceaccount/robot created");
  EXPECT_EQ(Out("kubectl create role reader --verb=get,list --resource=pods"),
            "role.rbac.authorization.k8s.io/reader created");
  EXPECT_EQ(
      Out("kubectl create rolebinding robot --role=reader --serviceaccount=" + ns_ + ":robot"),
      "rolebinding.rbac.authorization.k8s.io/robot created");
  const std::string as = " --as system:serviceaccount:" + ns_ + ":robot";
  EXPECT_EQ(Out("kubectl auth can-i list pods" + as), "yes");
  EXPECT_EQ(Out("kubectl auth can-i list secrets" + as), "no");
  EXPECT_EQ(
      Out("kubectl get secrets" + as),
      "Error from server (Forbidden): secrets is forbidden: User \"system:serviceaccount:" + ns_ +
          ":robot\" cannot list resource \"secrets\" in API group \"\" in the namespace \"" + ns_ +
          "\"");
  if (older()) return;  // has no `create token`
  EXPECT_EQ(Out("token=$(kubectl create token robot);"
                "server=$(kubectl config view -o jsonpath={.clusters[0].cluster.server});"
                "curl -sk -o /dev/null -w %{http_code} -H \"Authorization: Bearer $token\" "
                "$server/api/v1/namespaces/" +
                ns_ + "/pods"),
            "200");
}

TEST_P(ReadTest, RestartLosesNothing) {
  ASSERT_EQ(Run("kubectl create configmap kept --from-literal=a=b").exit_status, 0);
  EXPECT_THAT(cluster()->Meltemi({"up", "--control-plane-only"}).output, HasSubstr("up already"));
  EXPECT_THAT(cluster()->Meltemi({"status"}).output, HasSubstr("ready"));
  EXPECT_THAT(cluster()->Meltemi({"down"}).output, HasSubstr("stopped; the data stays"));
  EXPECT_THAT(cluster()->Meltemi({"down"}).output, HasSubstr("nothing was running"));
  EXPECT_EQ(cluster()->Meltemi({"status"}).exit_status, 1);
  ASSERT_EQ(cluster()->Meltemi({"up", "--control-plane-only", "--port=0"}).exit_status, 0);
  ASSERT_EQ(Run("kubectl config set-context --current --namespace=" + ns_).exit_status, 0);
  EXPECT_EQ(Out("kubectl get configmap kept -o jsonpath={.data.a}"), "b");
}

}  // namespace
}  // namespace meltemi::kubectl
