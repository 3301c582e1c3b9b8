// What kubectl writes, and what it is told when it may not.
#include "test/kubectl/stories.h"

namespace meltemi::kubectl {
namespace {

class WriteTest : public Stories {
 protected:
  // kubectl with a scripted editor.
  std::string Edit(const std::string& what, const std::string& sed) const {
    return Out("export KUBE_EDITOR=\"sed -i '" + sed + "'\"; kubectl edit " + what);
  }
};
INSTANTIATE_TEST_SUITE_P(Kubectl, WriteTest, ::testing::Values(0u, 1u), ProgramName);

TEST_P(WriteTest, ApplyCreatesConfiguresAndLeavesAlone) {
  EXPECT_EQ(Out("kubectl apply -f -", kWeb), "deployment.apps/web created\nservice/web created");
  EXPECT_EQ(Out("kubectl apply -f -", kWeb),
            "deployment.apps/web unchanged\nservice/web unchanged");
  EXPECT_EQ(Out("kubectl apply -f -", absl::StrReplaceAll(kWeb, {{"replicas: 3", "replicas: 4"}})),
            "deployment.apps/web configured\nservice/web unchanged");
  EXPECT_EQ(Out("kubectl get deployment web -o jsonpath={.spec.replicas}/{.metadata.generation}"),
            "4/2");
  // What is no longer in the file goes.
  EXPECT_EQ(Run("kubectl apply -f -", absl::StrReplaceAll(kWeb, {{"  labels: {app: web}\n", ""}}))
                .exit_status,
            0);
  EXPECT_EQ(Out("kubectl get deployment web -o jsonpath={.metadata.labels}"), "");
}

TEST_P(WriteTest, DiffSaysWhatWouldChange) {
  ASSERT_EQ(Run("kubectl apply -f -", kWeb).exit_status, 0);
  const Answer same = Run("kubectl diff -f -", kWeb);
  EXPECT_EQ(same.exit_status, 0) << same.output;
  const Answer other =
      Run("kubectl diff -f -", absl::StrReplaceAll(kWeb, {{"replicas: 3", "replicas: 7"}}));
  EXPECT_EQ(other.exit_status, 1);
  EXPECT_THAT(other.output, HasSubstr("-  replicas: 3\n+  replicas: 7"));
}

TEST_P(WriteTest, ServerSideApply) {
  const std::string one = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {a: '1'}\n";
  const std::string two = absl::StrReplaceAll(one, {{"'1'", "'2'"}});
  EXPECT_EQ(Out("kubectl apply --server-side -f -", one), "configmap/c serverside-applied");
  const std::string conflict = Out("kubectl apply --server-side --field-manager=other -f -", two);
  EXPECT_THAT(conflict, HasSubstr("Apply failed with 1 conflict: conflict with \"kubectl\""));
  EXPECT_THAT(conflict, HasSubstr(".data.a"));
  EXPECT_EQ(Out("kubectl apply --server-side --field-manager=other --force-conflicts -f -", two),
            "configmap/c serverside-applied");
  EXPECT_EQ(Out("kubectl get configmap c -o jsonpath={.data.a}"), "2");
  // The first manager owns nothing of it any more: leaving it out does no harm.
  EXPECT_EQ(Out("kubectl apply --server-side -f -",
                "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n"),
            "configmap/c serverside-applied");
  EXPECT_EQ(Out("kubectl get configmap c -o jsonpath={.data.a}"), "2");
}

TEST_P(WriteTest, PatchInThreeKinds) {
  ASSERT_EQ(Run("kubectl apply -f -", kWeb).exit_status, 0);
  EXPECT_EQ(
      Out("kubectl patch deployment web -p '{\"spec\":{\"template\":{\"spec\":{\"containers\":"
          "[{\"name\":\"web\",\"image\":\"nginx:2\"},{\"name\":\"log\",\"image\":\"log\"}]}}}}'"),
      "deployment.apps/web patched");
  EXPECT_EQ(Out("kubectl get deployment web -o jsonpath='{range "
                ".spec.template.spec.containers[*]}{.name}={.image} {end}'"),
            "web=nginx:2 log=log");
  EXPECT_EQ(Out("kubectl patch deployment web --type=json -p "
                "'[{\"op\":\"remove\",\"path\":\"/spec/template/spec/containers/1\"}]'"),
            "deployment.apps/web patched");
  EXPECT_EQ(Out("kubectl patch deployment web --type=merge -p '{\"spec\":{\"replicas\":9}}'"),
            "deployment.apps/web patched");
  EXPECT_EQ(Out("kubectl get deployment web -o jsonpath={.spec.replicas}"), "9");
  // kubectl compares whole objects: of what no controller writes the status meanwhile.
  const char* const sticky =
      "kubectl patch service web --type=merge -p '{\"spec\":{\"sessionAffinity\":\"ClientIP\"}}'";
  EXPECT_EQ(Out(sticky), "service/web patched");
  EXPECT_EQ(Out(sticky), "service/web patched (no change)");
}

TEST_P(WriteTest, LabelsAnnotationsScaleImageEdit) {
  ASSERT_EQ(Run("kubectl apply -f -", kWeb).exit_status, 0);
  EXPECT_EQ(Out("kubectl label deployment web tier=front"), "deployment.apps/web labeled");
  EXPECT_THAT(Out("kubectl label deployment web tier=back"),
              HasSubstr("'tier' already has a value (front), and --overwrite is false"));
  EXPECT_EQ(Out("kubectl annotate deployment web note=x"), "deployment.apps/web annotated");
  EXPECT_EQ(Out("kubectl scale deployment web --replicas=5"), "deployment.apps/web scaled");
  EXPECT_THAT(Out("kubectl scale deployment web --current-replicas=2 --replicas=1"),
              HasSubstr("Expected replicas to be 2, was 5"));
  EXPECT_EQ(Out("kubectl set image deployment/web web=nginx:3"),
            "deployment.apps/web image updated");
  EXPECT_EQ(Edit("deployment web", "s/replicas: 5/replicas: 6/"), "deployment.apps/web edited");
  EXPECT_EQ(Out("kubectl get deployment web -o jsonpath={.spec.replicas}"), "6");
  EXPECT_EQ(Out("kubectl autoscale deployment web --min=1 --max=4 --cpu-percent=50"),
            "horizontalpodautoscaler.autoscaling/web autoscaled");
}

TEST_P(WriteTest, DeleteAndWait) {
  ASSERT_EQ(Run("kubectl apply -f -", kWeb).exit_status, 0);
  EXPECT_EQ(Out("kubectl delete service web"), "service \"web\" deleted");
  EXPECT_EQ(Out("kubectl delete service web"),
            "Error from server (NotFound): services \"web\" not found");
  EXPECT_EQ(Out("kubectl delete service web --ignore-not-found"), "");
  // A finalizer holds the deployment until it is taken away.
  EXPECT_EQ(Run("kubectl patch deployment web --type=merge -p "
                "'{\"metadata\":{\"finalizers\":[\"example.com/hold\"]}}'")
                .exit_status,
            0);
  EXPECT_EQ(Out("kubectl delete deployment web --wait=false"), "deployment.apps \"web\" deleted");
  EXPECT_THAT(Out("kubectl wait --for=delete deployment/web --timeout=1s"),
              HasSubstr("timed out waiting for the condition on deployments/web"));
  EXPECT_EQ(Run("kubectl patch deployment web --type=merge -p "
                "'{\"metadata\":{\"finalizers\":null}}'")
                .exit_status,
            0);
  EXPECT_EQ(Out("kubectl get deployment web"),
            "Error from server (NotFound): deployments.apps \"web\" not found");
  EXPECT_EQ(Run("kubectl create configmap a && kubectl create configmap b").exit_status, 0);
  EXPECT_THAT(Out("kubectl delete configmap --all"), HasSubstr("configmap \"b\" deleted"));
}

TEST_P(WriteTest, FoldersAndKustomizations) {
  cluster()->Write("one.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\n");
  cluster()->Write("kustomization.yaml",
                   "namePrefix: my-\nresources: [one.yaml]\ncommonLabels: {team: blue}\n");
  EXPECT_EQ(Out("mkdir -p folder && cp one.yaml folder/ && kubectl apply -f folder"),
            "configmap/one created");
  EXPECT_THAT(Out("kubectl apply -k ."), HasSubstr("configmap/my-one created"));
  EXPECT_EQ(Out("kubectl get configmap -l team=blue -o name"), "configmap/my-one");
}

TEST_P(WriteTest, DryRunOnTheServerWritesNothing) {
  EXPECT_THAT(Out("kubectl apply --dry-run=server -f -", kWeb),
              HasSubstr("deployment.apps/web created (server dry run)"));
  EXPECT_EQ(Out("kubectl get deployment"), "No resources found in " + ns_ + " namespace.");
}

TEST_P(WriteTest, WhatIsWrongIsSaidInKubernetesWords) {
  const std::string no_port =
      "apiVersion: v1\nkind: Service\nmetadata: {name: s}\n"
      "spec: {ports: [{port: 70000, targetPort: 80}]}\n";
  EXPECT_THAT(Out("kubectl apply -f -", no_port),
              HasSubstr("The Service \"s\" is invalid: spec.ports[0].port: Invalid value: 70000: "
                        "must be between 1 and 65535, inclusive"));
  EXPECT_THAT(Out("kubectl apply --validate=false -f -",
                  absl::StrReplaceAll(kWeb, {{"matchLabels: {app: web}", "matchLabels: {a: b}"}})),
              HasSubstr("`selector` does not match template `labels`"));
  ASSERT_EQ(Run("kubectl apply -f -", kWeb).exit_status, 0);
  EXPECT_THAT(Out("kubectl patch deployment web -p "
                  "'{\"spec\":{\"selector\":{\"matchLabels\":{\"x\":\"y\"}}}}'"),
              HasSubstr("field is immutable"));
  EXPECT_THAT(Out("kubectl create configmap Upper_Case"),
              HasSubstr("a lowercase RFC 1123 subdomain must consist of lower case alphanumeric "
                        "characters, '-' or '.'"));
  if (older()) return;  // validates by itself, in its own words
  EXPECT_THAT(Out("kubectl apply -f -", absl::StrReplaceAll(kWeb, {{"replicas", "replicaz"}})),
              HasSubstr("strict decoding error: unknown field \"spec.replicaz\""));
}

}  // namespace
}  // namespace meltemi::kubectl
