// What the conformance list says of pods: how they begin and end, what they are told, what they
// may.
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "test/conformance/nodes/stories.h"

namespace meltemi::conformance {
namespace {

using testing::AllOf;
using testing::ContainsRegex;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

TEST_F(Stories, PodsAreToldWhereTheyAreAndWhatTheyMayUse) {
  const std::string said = Said("pods", "environment");
  const std::string pod = "pod -n pods environment";
  for (const std::string& line : {std::string("MAP_color=blue"),
                                  std::string("MAP_shape=round"),
                                  std::string("SECRET_token=s3cret"),
                                  std::string("COLOR=blue"),
                                  std::string("TOKEN=s3cret"),
                                  std::string("COMPOSED=one;;two"),
                                  std::string("command=one;;two"),
                                  std::string("args=one-$(NONE)-$(ONE)"),
                                  std::string("POD_NAME=environment"),
                                  std::string("POD_NAMESPACE=pods"),
                                  "POD_IP=" + Get(pod, "{.status.podIP}"),
                                  "POD_UID=" + Get(pod, "{.metadata.uid}"),
                                  "HOST_IP=" + NodeIp(),
                                  "HOST_IPS=" + NodeIp(),
                                  std::string("CPU_LIMIT=2"),
                                  std::string("CPU_REQUEST=20"),
                                  std::string("MEMORY_LIMIT=33554432"),
                                  std::string("MEMORY_REQUEST=16777216"),
                                  std::string("EARLY_SERVICE_HOST=10.96.77.6"),
                                  std::string("EARLY_SERVICE_PORT=8765"),
                                  std::string("EARLY_PORT=tcp://10.96.77.6:8765"),
                                  std::string("EARLY_PORT_8765_TCP_PROTO=tcp"),
                                  std::string("EARLY_PORT_8765_TCP_PORT=8765"),
                                  std::string("EARLY_PORT_8765_TCP_ADDR=10.96.77.6")}) {
    EXPECT_THAT(said, HasSubstr(absl::StrCat("limited ", line)));
  }
  EXPECT_THAT(said, HasSubstr("unlimited CPU_LIMIT=" + Get("node", "{..allocatable.cpu}")))
      << "without a limit, what the node has";
  EXPECT_THAT(said, ContainsRegex("unlimited MEMORY_LIMIT=[0-9]{8}"));
}

TEST_F(Stories, CommandsAreTheImagesOrThePods) {
  const std::string ps = "kubectl exec -n pods image-overridden -c ";
  Does(
      "kubectl wait -n pods --for=condition=Ready pod/image-defaults pod/image-overridden "
      "--timeout=60s");
  EXPECT_THAT(Does("kubectl exec -n pods image-defaults -- cat /proc/1/cmdline | tr '\\0' ' '"),
              HasSubstr("/usr/local/bin/serve"));
  EXPECT_EQ(Does(ps + "command -- cat /proc/1/cmdline | tr '\\0' ' '"), "sleep 600");
  EXPECT_EQ(Does(ps + "both -- cat /proc/1/cmdline | tr '\\0' ' '"), "sleep 601");
  EXPECT_THAT(Said("pods", "environment"), HasSubstr("unlimited HOME=")) << "arguments alone";
}

TEST_F(Stories, PodsEndAsTheirContainersDo) {
  Said("pods", "messages");
  EXPECT_EQ(Get("pod -n pods messages",
                "{range .status.containerStatuses[*]}{.name}:{.state.terminated.message};{end}"),
            "from-file:OK;from-log:DONE;no-need:;own-path:DONE;");
  EXPECT_EQ(Said("pods", "says"), "c Hello World");
  Said("pods", "exits-on-failure");
  const std::string facts =
      "{.status.phase} {.status.containerStatuses[0].restartCount} "
      "{.status.containerStatuses[0].state.terminated.exitCode} "
      "{.status.containerStatuses[0].state.terminated.reason}";
  EXPECT_EQ(Get("pod -n pods exits-on-failure", facts), "Succeeded 1 0 Completed");
  Said("pods", "exits-never");
  EXPECT_EQ(Get("pod -n pods exits-never", facts), "Failed 0 3 Error");
  EXPECT_TRUE(
      Prints("kubectl get pod -n pods exits-always -o jsonpath='{.status.phase} "
             "{.status.containerStatuses[0].lastState.terminated.reason} "
             "{.status.containerStatuses[0].state.waiting.reason}'",
             "Running Error CrashLoopBackOff"));
  Does("kubectl delete pod -n pods exits-always --timeout=20s");
}

TEST_F(Stories, ContainersThatPrepareComeFirst) {
  Said("pods", "init-never");
  EXPECT_TRUE(
      Prints("kubectl get pod -n pods init-never-fails -o jsonpath={.status.phase}", "Failed"));
  const std::string facts =
      "{.status.phase} {.status.initContainerStatuses[*].ready} "
      "{.status.conditions[?(@.type==\"Initialized\")].status} "
      "{.status.containerStatuses[0].state.waiting.reason}";
  EXPECT_EQ(Get("pod -n pods init-never", facts), "Succeeded true true True");
  EXPECT_EQ(Get("pod -n pods init-never-fails", facts), "Failed true false False PodInitializing");
  Does("kubectl wait -n pods --for=condition=Ready --timeout=60s pod/init-always");
  EXPECT_EQ(Get("pod -n pods init-always", facts), "Running true true True");
  EXPECT_TRUE(Prints(
      "kubectl get pod -n pods init-always-fails -o jsonpath='{.status.initContainerStatuses[0]"
      ".state.waiting.reason}'",
      "CrashLoopBackOff"));
  EXPECT_EQ(Get("pod -n pods init-always-fails", facts),
            "Pending false false False PodInitializing");
}

TEST_F(Stories, ContainersMayOnlyWhatTheyAreAllowed) {
  const std::string said = Said("pods", "security");
  EXPECT_THAT(said, HasSubstr("of-pod 1001:2002:2002 3003 4004"));
  EXPECT_THAT(said, HasSubstr("of-container 65534:65533"));
  EXPECT_THAT(said, ContainsRegex("of-container NoNewPrivs:\\s+1"));
  EXPECT_THAT(said, HasSubstr("unprivileged REFUSED"));
  EXPECT_THAT(said, HasSubstr("read-only REFUSED"));
  EXPECT_THAT(said, HasSubstr("writable WRITTEN"));
  const std::string refused = Out("kubectl create -f -", R"({
      "kind": "Pod", "apiVersion": "v1", "metadata": {"name": "sysctls"},
      "spec": {"containers": [{"name": "c", "image": "busybox"}], "securityContext": {"sysctls": [
        {"name": "foo-", "value": "bar"}, {"name": "kernel.shmmax", "value": "100000000"},
        {"name": "bar..", "value": "42"}]}}})");
  EXPECT_THAT(refused, AllOf(HasSubstr("sysctls[0].name: Invalid value: \"foo-\""),
                             HasSubstr("sysctls[2].name: Invalid value: \"bar..\""),
                             Not(HasSubstr("sysctls[1]"))));
}

TEST_F(Stories, TheFileOfHostsIsTheNodesUnlessThePodHasOne) {
  const std::string said = Said("pods", "hosts");
  EXPECT_THAT(said, HasSubstr("managed # Kubernetes-managed hosts file."));
  EXPECT_THAT(said, HasSubstr("managed 123.45.67.89\tfoo\tbar"));
  EXPECT_THAT(said, ContainsRegex("managed 10[.][0-9.]+\tgiven"));
  EXPECT_THAT(said, HasSubstr("managed 1\nmanaged given")) << "the sysctl and the host's name";
  EXPECT_THAT(said, HasSubstr("own blue"));
  EXPECT_THAT(Said("pods", "hosts-of-node"), HasSubstr("(host network)"));
}

TEST_F(Stories, HooksAreRunAfterTheStartAndBeforeTheEnd) {
  Does(
      "kubectl wait -n pods --for=condition=Ready pod/hook-commands pod/hook-requests "
      "--timeout=60s");
  EXPECT_THAT(Log("pods", "listener", "c"),
              AllOf(HasSubstr("url:/post-start-command"), HasSubstr("url:/post-start-request"),
                    Not(HasSubstr("pre-stop"))));
  Does("kubectl delete pod -n pods hook-commands hook-requests --timeout=20s");
  EXPECT_THAT(Log("pods", "listener", "c"),
              AllOf(HasSubstr("url:/pre-stop-command"), HasSubstr("url:/pre-stop-request")));
}

TEST_F(Stories, PodsAreChangedAndRemoved) {
  Does("kubectl wait -n pods --for=condition=Ready pod/guaranteed pod/deadline --timeout=60s");
  EXPECT_EQ(Get("pod -n pods guaranteed", "{.status.qosClass} {.status.hostIP}"),
            "Guaranteed " + NodeIp());
  EXPECT_EQ(Get("pod -n pods environment", "{.status.qosClass}"), "Burstable");
  Does("kubectl label pod -n pods guaranteed time=two --overwrite");
  EXPECT_EQ(Out("kubectl get pods -n pods -l time=two -o name"), "pod/guaranteed");
  Does(
      "kubectl patch pod -n pods guaranteed --subresource=status --type=merge "
      "-p '{\"status\":{\"message\":\"patched\"}}'");
  Does("kubectl patch pod -n pods deadline -p '{\"spec\":{\"activeDeadlineSeconds\":5}}'");
  EXPECT_TRUE(
      Prints("kubectl get pod -n pods deadline -o jsonpath='{.status.phase} {.status.reason}'",
             "Failed DeadlineExceeded"));
  const std::string events =
      Out("kubectl get pods -n pods -l group=same --output-watch-events -w > watched & "
          "sleep 1; kubectl delete pods -n pods -l group=same --timeout=30s; "
          "kubectl get pods -n pods -l group=same -o name; sleep 1; kill %1; cat watched");
  EXPECT_THAT(events, AllOf(HasSubstr("DELETED"), HasSubstr("pod \"guaranteed\" deleted"),
                            HasSubstr("pod \"deadline\" deleted")));
  EXPECT_THAT(Out("kubectl get pods -n pods -l group=same -o name"), IsEmpty());
}

TEST_F(Stories, StreamsComeOverWebSockets) {
  Does("kubectl wait -n pods --for=condition=Ready pod/streams --timeout=60s");
  const std::string client = "python3 " + File("../../streams/websocket.py");
  const std::string pod = " '/api/v1/namespaces/pods/pods/streams/";
  EXPECT_EQ(Does(client + pod + "log?container=c' binary.k8s.io"), "from the container");
  EXPECT_THAT(Does(client + pod +
                   "exec?container=c&stdout=1&stderr=1&command=echo&command=remote' "
                   "v4.channel.k8s.io"),
              AllOf(HasSubstr("1:remote"), HasSubstr("\"status\":\"Success\"")));
}

TEST_F(Stories, MapsAndSecretsLiveAndEmptyKeysAreRefused) {
  for (const char* kind : {"ConfigMap", "Secret"}) {
    const std::string object =
        absl::StrCat("{\"kind\":\"", kind, "\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":",
                     "\"short\",\"labels\":{\"lived\":\"short\"}},\"data\":{\"");
    EXPECT_THAT(Out("kubectl create -f -", object + "\":\"eA==\"}}"), HasSubstr("is invalid"));
    Does("kubectl create -f -", object + "key\":\"eA==\"}}");
    Does(absl::StrCat("kubectl patch ", kind, " short -p '{\"data\":{\"key\":\"eQ==\"}}'"));
    EXPECT_EQ(Get(absl::StrCat(kind, " -A -l lived=short"), "{.items[0].data.key}"), "eQ==");
    Does(absl::StrCat("kubectl delete ", kind, " -l lived=short"));
    EXPECT_THAT(Get(absl::StrCat(kind, " -l lived=short"), "{.items[*].metadata.name}"), IsEmpty());
    Does("kubectl create -f -", object + "key\":\"eA==\"},\"immutable\":true}");
    EXPECT_THAT(Out(absl::StrCat("kubectl patch ", kind, " short -p '{\"data\":{\"key\":null}}'")),
                HasSubstr("field is immutable when `immutable` is set"));
    Does(absl::StrCat("kubectl delete ", kind, " short"));
  }
}

TEST_F(Stories, RuntimeClassesSayHowPodsRun) {
  const std::string classes = R"(
kind: List
apiVersion: v1
items:
- {kind: RuntimeClass, apiVersion: node.k8s.io/v1, metadata: {name: usual, labels: {lived: short}},
   handler: runc}
- {kind: RuntimeClass, apiVersion: node.k8s.io/v1, metadata: {name: heavy, labels: {lived: short}},
   handler: runc, overhead: {podFixed: {cpu: 10m, memory: 1Mi}}}
)";
  const std::string pod = R"(
kind: Pod
apiVersion: v1
metadata: {name: CLASS, namespace: pods, labels: {lived: short}}
spec:
  runtimeClassName: CLASS
  terminationGracePeriodSeconds: 0
  containers: [{name: c, image: busybox, imagePullPolicy: IfNotPresent, command: [sleep, "600"]}]
)";
  const auto add = [&](const std::string& name) {
    return Out(absl::StrCat("sed s/CLASS/", name, "/ | kubectl create -f -"), pod);
  };
  EXPECT_THAT(add("none"), HasSubstr("pod rejected: RuntimeClass \"none\" not found"));
  Does("kubectl create -f -", classes);
  Does("kubectl patch runtimeclass usual -p '{\"metadata\":{\"labels\":{\"more\":\"here\"}}}'");
  EXPECT_THAT(Out("kubectl patch runtimeclass usual -p '{\"handler\":\"other\"}'"),
              HasSubstr("field is immutable"));
  add("usual");
  add("heavy");
  Does("kubectl wait -n pods --for=condition=Ready pod/usual pod/heavy --timeout=60s");
  EXPECT_EQ(Get("pod -n pods heavy", "{.spec.overhead.cpu}{.spec.overhead.memory}"), "10m1Mi");
  EXPECT_THAT(Get("pod -n pods usual", "{.spec.overhead}"), IsEmpty());
  Does("kubectl delete pods -n pods -l lived=short");
  Does("kubectl delete runtimeclasses -l lived=short");
  EXPECT_THAT(add("usual"), HasSubstr("pod rejected: RuntimeClass \"usual\" not found"));
}

TEST_F(Stories, TemplatesLeasesAndNodesAreObjects) {
  const std::string object = R"({"kind": "PodTemplate", "apiVersion": "v1",
      "metadata": {"name": "template", "labels": {"lived": "short"}}, "template": {"spec":
        {"containers": [{"name": "c", "image": "IMAGE"}]}}})";
  Does("sed s/IMAGE/busybox/ | kubectl create -f -", object);
  Does("sed s/IMAGE/nginx/ | kubectl replace -f -", object);
  Does("kubectl patch podtemplate template -p '{\"metadata\":{\"labels\":{\"a\":\"b\"}}}'");
  EXPECT_EQ(Get("podtemplate -A -l a=b", "{.items[0].template.spec.containers[0].image}"), "nginx");
  Does("kubectl delete podtemplates -l lived=short");
  EXPECT_THAT(Get("podtemplates", "{.items[*].metadata.name}"), IsEmpty());
  const std::string lease = R"({"kind": "Lease", "apiVersion": "coordination.k8s.io/v1", "metadata":
      {"name": "lease", "labels": {"lived": "short"}}, "spec": {"holderIdentity": "HOLDER"}})";
  Does("sed s/HOLDER/one/ | kubectl create -f -", lease);
  Does("sed s/HOLDER/two/ | kubectl replace -f -", lease);
  EXPECT_EQ(Get("lease lease", "{.spec.holderIdentity}"), "two");
  Does("kubectl delete leases -l lived=short");
  Does("kubectl create -f -", R"({"kind": "Node", "apiVersion": "v1", "metadata":
      {"name": "other", "labels": {"lived": "short"}}, "spec": {"unschedulable": true}})");
  Does(
      "kubectl patch node other --subresource=status -p "
      "'{\"status\":{\"conditions\":[{\"type\":\"Own\",\"status\":\"True\"}]}}'");
  EXPECT_THAT(Get("node other", "{.status.conditions[*].type}"), HasSubstr("Own"));
  Does("kubectl delete nodes -l lived=short");
  EXPECT_EQ(cluster()->NodeNames().size(), 1u);
}

}  // namespace
}  // namespace meltemi::conformance
