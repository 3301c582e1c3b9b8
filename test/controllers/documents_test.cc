// One story from Kubernetes' documentation for each controller, told with kubectl on hollow nodes.
#include <functional>
#include <memory>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "test/controllers/cluster.h"
#include "test/machine/process.h"

namespace meltemi::controllers {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::MatchesRegex;

constexpr std::chrono::seconds kWaitMax(60);

class Documents : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (!HasKubectl()) return;
    cluster() = std::make_unique<Cluster>(
        ClusterOptions{.nodes = 3,
                       .kubelet_args = {"--stop-delay=20ms", "--run-for=200ms"},
                       .controller_manager_args = {"--load-balancer-pool=192.0.2.10-192.0.2.20",
                                                   "--node-monitor-period=1s",
                                                   "--node-monitor-grace-period=20s"}});
  }
  static void TearDownTestSuite() { cluster().reset(); }
  static std::unique_ptr<Cluster>& cluster() {
    static auto& cluster = *new std::unique_ptr<Cluster>();
    return cluster;
  }

  void SetUp() override {
    if (cluster() == nullptr) GTEST_SKIP() << "there is no kubectl";
    ns_ = absl::AsciiStrToLower(testing::UnitTest::GetInstance()->current_test_info()->name());
    Does("kubectl create namespace " + ns_);
    Does("kubectl config set-context --current --namespace=" + ns_);
  }
  void TearDown() override {
    if (cluster() != nullptr) cluster()->Shell("kubectl delete namespace --wait=false " + ns_);
  }

  std::string Out(const std::string& line, absl::string_view input = "") const {
    return std::string(absl::StripAsciiWhitespace(cluster()->Shell(line, input).output));
  }
  std::string Does(const std::string& line, absl::string_view input = "") const {
    const Answer answer = cluster()->Shell(line, input);
    EXPECT_EQ(answer.exit_status, 0) << line << "\n" << answer.output;
    return answer.output;
  }
  void Apply(absl::string_view yaml) const { Does("kubectl apply -f -", yaml); }
  // Until the line prints this.
  void Becomes(const std::string& line, const std::string& wanted) const {
    std::string got;
    EXPECT_TRUE(machine::Eventually(
        [&] {
          got = Out(line);
          return got == wanted;
        },
        kWaitMax))
        << line << "\nprints: " << got << "\nwanted: " << wanted << "\n"
        << Out("kubectl get all,events");
  }
  void Contains(const std::string& line, const std::string& wanted) const {
    std::string got;
    EXPECT_TRUE(machine::Eventually(
        [&] {
          got = Out(line);
          return absl::StrContains(got, wanted);
        },
        kWaitMax))
        << line << "\nprints: " << got << "\nwanted: " << wanted;
  }

  std::string ns_;
};

constexpr char kCountPods[] = "kubectl get pods --no-headers -o name | wc -l";

TEST_F(Documents, ReplicaSetsReplaceAdoptAndRelease) {
  Apply(R"(apiVersion: apps/v1
kind: ReplicaSet
metadata: {name: frontend}
spec:
  replicas: 3
  selector: {matchLabels: {tier: frontend}}
  template:
    metadata: {labels: {tier: frontend}}
    spec: {containers: [{name: web, image: frontend:v5}]}
)");
  Becomes("kubectl get rs frontend -o jsonpath={.status.readyReplicas}", "3");
  Does("kubectl delete --wait=false $(kubectl get pods -o name | head -1)");
  Becomes("kubectl get pods --field-selector=status.phase=Running -o name | wc -l", "3");
  // Isolated by a change of its label, and replaced.
  Does("kubectl label --overwrite $(kubectl get pods -o name | head -1) tier=debug");
  Becomes(kCountPods, "4");
  Becomes("kubectl get pods -l tier=debug -o jsonpath={.items[0].metadata.ownerReferences}", "");
  Does("kubectl delete rs frontend --cascade=orphan");
  Becomes(kCountPods, "4");
}

TEST_F(Documents, ReplicationControllersRunPodsToo) {
  Apply(R"(apiVersion: v1
kind: ReplicationController
metadata: {name: nginx}
spec:
  replicas: 3
  selector: {app: nginx}
  template:
    metadata: {labels: {app: nginx}}
    spec: {containers: [{name: nginx, image: nginx}]}
)");
  Becomes("kubectl get rc nginx -o jsonpath={.status.availableReplicas}", "3");
  Does("kubectl scale rc nginx --replicas=1");
  Becomes(kCountPods, "1");
}

TEST_F(Documents, StatefulSetsMakePodsInOrderWithStableNames) {
  Apply(R"(apiVersion: v1
kind: Service
metadata: {name: nginx, labels: {app: nginx}}
spec: {ports: [{port: 80, name: web}], clusterIP: None, selector: {app: nginx}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: web}
spec:
  serviceName: nginx
  replicas: 3
  selector: {matchLabels: {app: nginx}}
  template:
    metadata: {labels: {app: nginx}}
    spec: {containers: [{name: nginx, image: "nginx:0.8"}]}
)");
  Does("kubectl rollout status statefulset/web --timeout=60s");
  EXPECT_EQ(Out("kubectl get pods -o name"), "pod/web-0\npod/web-1\npod/web-2");
  const std::string before = Out("kubectl get pod web-1 -o jsonpath={.metadata.uid}");
  Does("kubectl delete pod web-1");
  Becomes("kubectl get statefulset web -o jsonpath={.status.readyReplicas}", "3");
  EXPECT_NE(Out("kubectl get pod web-1 -o jsonpath={.metadata.uid}"), before);
  Does("kubectl set image statefulset/web nginx=nginx:0.9");
  Does("kubectl rollout status statefulset/web --timeout=60s");
  Becomes("kubectl get pods -o jsonpath={.items[*].spec.containers[0].image}",
          "nginx:0.9 nginx:0.9 nginx:0.9");
  Does("kubectl scale statefulset web --replicas=1");
  Becomes("kubectl get pods -o name", "pod/web-0");
}

TEST_F(Documents, DaemonSetsRunOnePodOnEachNode) {
  Apply(R"(apiVersion: apps/v1
kind: DaemonSet
metadata: {name: fluentd}
spec:
  selector: {matchLabels: {name: fluentd}}
  template:
    metadata: {labels: {name: fluentd}}
    spec: {containers: [{name: fluentd, image: "fluentd:v2.5.2"}]}
)");
  Does("kubectl rollout status daemonset/fluentd --timeout=60s");
  EXPECT_EQ(Out("kubectl get pods -o jsonpath='{.items[*].spec.nodeName}' | tr ' ' '\\n' | sort"),
            "hollow-0\nhollow-1\nhollow-2");
  Does("kubectl set image daemonset/fluentd fluentd=fluentd:v3");
  Does("kubectl rollout status daemonset/fluentd --timeout=60s");
  Becomes("kubectl get pods -o jsonpath={.items[*].spec.containers[0].image}",
          "fluentd:v3 fluentd:v3 fluentd:v3");
}

TEST_F(Documents, JobsRunToCompletion) {
  Apply(R"(apiVersion: batch/v1
kind: Job
metadata: {name: pi}
spec:
  completions: 4
  parallelism: 2
  completionMode: Indexed
  ttlSecondsAfterFinished: 3
  template:
    spec:
      restartPolicy: Never
      containers: [{name: pi, image: perl}]
)");
  Does("kubectl wait --for=condition=complete job/pi --timeout=60s");
  EXPECT_EQ(Out("kubectl get job pi -o jsonpath={.status.succeeded},{.status.completedIndexes}"),
            "4,0-3");
  Contains("kubectl get job pi", "NotFound");  // after its time to live
  Becomes(kCountPods, "0");
}

TEST_F(Documents, JobsGiveUpAfterTheirBackoffLimit) {
  Apply(R"(apiVersion: batch/v1
kind: Job
metadata: {name: broken}
spec:
  backoffLimit: 0
  template:
    metadata: {annotations: {hollow.meltemi.io/exit-code: "1"}}
    spec:
      restartPolicy: Never
      containers: [{name: x, image: x}]
)");
  Does("kubectl wait --for=condition=failed job/broken --timeout=60s");
  EXPECT_THAT(Out("kubectl describe job broken"),
              HasSubstr("Job has reached the specified backoff limit"));
}

TEST_F(Documents, CronJobsMakeJobsFromTheirTemplate) {
  Apply(R"(apiVersion: batch/v1
kind: CronJob
metadata: {name: hello}
spec:
  schedule: "* * * * *"
  jobTemplate:
    spec:
      template:
        spec:
          restartPolicy: OnFailure
          containers: [{name: hello, image: busybox}]
)");
  Does("kubectl create job --from=cronjob/hello by-hand");
  Does("kubectl wait --for=condition=complete job/by-hand --timeout=60s");
  // At the full minute, of which the longest wait is one.
  EXPECT_TRUE(machine::Eventually(
      [&] {
        return !Out("kubectl get cronjob hello -o jsonpath={.status.lastScheduleTime}").empty();
      },
      std::chrono::seconds(75)));
  Becomes("kubectl get jobs -o name | grep -c hello-", "1");
}

TEST_F(Documents, AutoscalersFollowTheLoad) {
  Apply(R"(apiVersion: apps/v1
kind: Deployment
metadata: {name: php-apache}
spec:
  selector: {matchLabels: {run: php-apache}}
  template:
    metadata:
      labels: {run: php-apache}
      annotations: {hollow.meltemi.io/cpu: 100m}
    spec:
      containers:
      - {name: php-apache, image: hpa-example, resources: {requests: {cpu: 100m}}}
)");
  Does("kubectl autoscale deployment php-apache --cpu-percent=50 --min=1 --max=4");
  Contains("kubectl get hpa php-apache", "Deployment/php-apache");
}

TEST_F(Documents, ServicesHaveTheReadyPodsBehindThem) {
  Does("kubectl create deployment my-nginx --image=nginx --port=80 --replicas=2");
  Does("kubectl expose deployment my-nginx --type=LoadBalancer");
  Becomes(
      "kubectl get endpointslices -l kubernetes.io/service-name=my-nginx -o "
      "jsonpath='{.items[*].endpoints[*].conditions.ready}'",
      "true true");
  Becomes("kubectl get endpoints my-nginx -o jsonpath='{.subsets[0].addresses[*].ip}' | wc -w",
          "2");
  Contains("kubectl get service my-nginx", "192.0.2.1");
  Does("kubectl scale deployment my-nginx --replicas=0");
  Becomes("kubectl get endpoints my-nginx -o jsonpath={.subsets}", "");
}

TEST_F(Documents, OwnersTakeTheirDependentsAlong) {
  Does("kubectl create deployment web --image=nginx --replicas=2");
  Does("kubectl rollout status deployment/web --timeout=60s");
  Does("kubectl delete deployment web --cascade=foreground");
  EXPECT_EQ(Out("kubectl get deployments,replicasets,pods -o name"), "");
  Does("kubectl create deployment web --image=nginx --replicas=2");
  Does("kubectl rollout status deployment/web --timeout=60s");
  Does("kubectl delete deployment web --cascade=orphan");
  EXPECT_THAT(Out("kubectl get replicasets -o name"), HasSubstr("replicaset.apps/web-"));
  Becomes("kubectl get replicasets -o jsonpath={.items[0].metadata.ownerReferences}", "");
  Does("kubectl delete replicasets --all --cascade=background");
  Becomes(kCountPods, "0");
}

TEST_F(Documents, NamespacesTakeTheirContentAlong) {
  Does("kubectl create namespace short-lived");
  Does("kubectl -n short-lived create configmap c --from-literal=a=b");
  Does("kubectl -n short-lived create deployment web --image=nginx --replicas=2");
  Does("kubectl -n short-lived rollout status deployment/web --timeout=60s");
  Does("kubectl delete namespace short-lived --timeout=60s");
  EXPECT_THAT(Out("kubectl get namespace short-lived"), HasSubstr("NotFound"));
}

TEST_F(Documents, EachNamespaceHasItsAccountAndTheRootCa) {
  Becomes("kubectl get serviceaccounts -o name", "serviceaccount/default");
  Contains("kubectl get configmap kube-root-ca.crt -o jsonpath={.data}", "BEGIN CERTIFICATE");
  Does("kubectl delete serviceaccount default");
  Becomes("kubectl get serviceaccounts -o name", "serviceaccount/default");
}

TEST_F(Documents, ADrainRespectsABudget) {
  Does("kubectl create deployment zk --image=zookeeper --replicas=3");
  Does("kubectl create poddisruptionbudget zk --selector=app=zk --min-available=2");
  Does("kubectl rollout status deployment/zk --timeout=60s");
  Becomes("kubectl get pdb zk -o jsonpath={.status.disruptionsAllowed}", "1");
  Does("kubectl drain hollow-0 --ignore-daemonsets --delete-emptydir-data --force --timeout=60s");
  Contains("kubectl get node hollow-0", "Ready,SchedulingDisabled");
  Becomes("kubectl get pods -o wide --no-headers | grep -c hollow-0", "0");
  Does("kubectl rollout status deployment/zk --timeout=60s");
  Does("kubectl uncordon hollow-0");
}

// Last: it takes the nodes away.
TEST_F(Documents, ZNodesThatAreSilentLoseTheirPods) {
  Apply(R"(apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      tolerations:
      - key: node.kubernetes.io/unreachable
        operator: Exists
        effect: NoExecute
        tolerationSeconds: 1
      - key: node.kubernetes.io/not-ready
        operator: Exists
        effect: NoExecute
        tolerationSeconds: 1
      containers: [{name: web, image: nginx}]
)");
  Does("kubectl rollout status deployment/web --timeout=60s");
  cluster()->Kill("kubelet");
  Contains("kubectl get nodes", "NotReady");
  Contains("kubectl describe node hollow-0", "node.kubernetes.io/unreachable:NoSchedule");
  Contains("kubectl describe node hollow-0", "NodeStatusUnknown");
  cluster()->Start("kubelet");
  Becomes("kubectl get nodes --no-headers | grep -c ' Ready '", "3");
  Does("kubectl rollout status deployment/web --timeout=60s");
}

}  // namespace
}  // namespace meltemi::controllers
