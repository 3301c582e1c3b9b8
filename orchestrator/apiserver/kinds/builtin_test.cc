// Every built-in resource, as `kubectl api-resources -o wide` shows it.
#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "orchestrator/apiserver/kinds/kind_test.h"

namespace meltemi::apiserver {
namespace {

class Builtin : public KindTest {
 protected:
  // "deployments deploy apps/v1 namespaced Deployment * all scale,status"; *: all verbs.
  static std::string Describe(const Resource& resource) {
    std::vector<std::string> subresources = resource.other_subresources;
    if (resource.status_subresource) subresources.push_back("status");
    if (resource.scale.has_value()) subresources.push_back("scale");
    std::sort(subresources.begin(), subresources.end());
    const auto list = [](const std::vector<std::string>& texts) {
      const std::string joined = absl::StrJoin(texts, ",");
      if (joined == "create,delete,deletecollection,get,list,patch,update,watch") {
        return std::string("*");
      }
      return texts.empty() ? std::string("-") : joined;
    };
    return absl::StrJoin(
        {resource.plural, list(resource.short_names), resource.api_version(),
         std::string(resource.namespaced ? "namespaced" : "cluster"), resource.kind,
         list(resource.verbs), list(resource.categories), list(subresources)},
        " ");
  }
  static std::string DescribeAll() {
    std::vector<std::string> lines;
    for (const auto& resource : Resources()) lines.push_back(Describe(*resource));
    return absl::StrJoin(lines, "\n");
  }
};

TEST_F(Builtin, IsServedAsKubernetesServesIt) {
  const std::vector<std::string> expected = {
      "bindings - v1 namespaced Binding create - -",
      "componentstatuses cs v1 cluster ComponentStatus get,list - -",
      "configmaps cm v1 namespaced ConfigMap * - -",
      "endpoints ep v1 namespaced Endpoints * - -",
      "events ev v1 namespaced Event * - -",
      "limitranges limits v1 namespaced LimitRange * - -",
      "namespaces ns v1 cluster Namespace create,delete,get,list,patch,update,watch - "
      "finalize,status",
      "nodes no v1 cluster Node * - proxy,status",
      "persistentvolumeclaims pvc v1 namespaced PersistentVolumeClaim * - status",
      "persistentvolumes pv v1 cluster PersistentVolume * - status",
      "pods po v1 namespaced Pod * all "
      "attach,binding,ephemeralcontainers,eviction,exec,log,portforward,proxy,status",
      "podtemplates - v1 namespaced PodTemplate * - -",
      "replicationcontrollers rc v1 namespaced ReplicationController * all scale,status",
      "resourcequotas quota v1 namespaced ResourceQuota * - status",
      "secrets - v1 namespaced Secret * - -",
      "serviceaccounts sa v1 namespaced ServiceAccount * - token",
      "services svc v1 namespaced Service * all proxy,status",
      "mutatingwebhookconfigurations - admissionregistration.k8s.io/v1 cluster "
      "MutatingWebhookConfiguration * api-extensions -",
      "validatingwebhookconfigurations - admissionregistration.k8s.io/v1 cluster "
      "ValidatingWebhookConfiguration * api-extensions -",
      "customresourcedefinitions crd,crds apiextensions.k8s.io/v1 cluster CustomResourceDefinition "
      "* api-extensions status",
      "controllerrevisions - apps/v1 namespaced ControllerRevision * - -",
      "daemonsets ds apps/v1 namespaced DaemonSet * all status",
      "deployments deploy apps/v1 namespaced Deployment * all scale,status",
      "replicasets rs apps/v1 namespaced ReplicaSet * all scale,status",
      "statefulsets sts apps/v1 namespaced StatefulSet * all scale,status",
      "selfsubjectreviews - authentication.k8s.io/v1 cluster SelfSubjectReview create - -",
      "tokenreviews - authentication.k8s.io/v1 cluster TokenReview create - -",
      "localsubjectaccessreviews - authorization.k8s.io/v1 namespaced LocalSubjectAccessReview "
      "create - -",
      "selfsubjectaccessreviews - authorization.k8s.io/v1 cluster SelfSubjectAccessReview create - "
      "-",
      "selfsubjectrulesreviews - authorization.k8s.io/v1 cluster SelfSubjectRulesReview create - -",
      "subjectaccessreviews - authorization.k8s.io/v1 cluster SubjectAccessReview create - -",
      "horizontalpodautoscalers hpa autoscaling/v1 namespaced HorizontalPodAutoscaler * all status",
      "horizontalpodautoscalers hpa autoscaling/v2 namespaced HorizontalPodAutoscaler * all status",
      "cronjobs cj batch/v1 namespaced CronJob * all status",
      "jobs - batch/v1 namespaced Job * all status",
      "certificatesigningrequests csr certificates.k8s.io/v1 cluster CertificateSigningRequest * - "
      "approval,status",
      "leases - coordination.k8s.io/v1 namespaced Lease * - -",
      "endpointslices - discovery.k8s.io/v1 namespaced EndpointSlice * - -",
      "events ev events.k8s.io/v1 namespaced Event * - -",
      "nodes - metrics.k8s.io/v1beta1 cluster NodeMetrics get,list - -",
      "pods - metrics.k8s.io/v1beta1 namespaced PodMetrics get,list - -",
      "ingressclasses - networking.k8s.io/v1 cluster IngressClass * - -",
      "ingresses ing networking.k8s.io/v1 namespaced Ingress * - status",
      "networkpolicies netpol networking.k8s.io/v1 namespaced NetworkPolicy * - -",
      "runtimeclasses - node.k8s.io/v1 cluster RuntimeClass * - -",
      "poddisruptionbudgets pdb policy/v1 namespaced PodDisruptionBudget * - status",
      "clusterrolebindings - rbac.authorization.k8s.io/v1 cluster ClusterRoleBinding * - -",
      "clusterroles - rbac.authorization.k8s.io/v1 cluster ClusterRole * - -",
      "rolebindings - rbac.authorization.k8s.io/v1 namespaced RoleBinding * - -",
      "roles - rbac.authorization.k8s.io/v1 namespaced Role * - -",
      "priorityclasses pc scheduling.k8s.io/v1 cluster PriorityClass * - -",
      "csidrivers - storage.k8s.io/v1 cluster CSIDriver * - -",
      "csinodes - storage.k8s.io/v1 cluster CSINode * - -",
      "csistoragecapacities - storage.k8s.io/v1 namespaced CSIStorageCapacity * - -",
      "storageclasses sc storage.k8s.io/v1 cluster StorageClass * - -",
      "volumeattachments - storage.k8s.io/v1 cluster VolumeAttachment * - status",
  };
  EXPECT_EQ(DescribeAll(), absl::StrJoin(expected, "\n"));
}

TEST_F(Builtin, EveryResourceHasItsParts) {
  std::set<std::string> seen;
  for (const auto& resource : Resources()) {
    EXPECT_TRUE(seen.insert(resource->api_version() + "/" + resource->plural).second);
    ASSERT_NE(resource->schema, nullptr) << resource->plural;
    ASSERT_NE(resource->strategy, nullptr) << resource->plural;
    ASSERT_NE(resource->columns, nullptr) << resource->plural;
    EXPECT_FALSE(resource->storage.resource.empty()) << resource->plural;
    EXPECT_FALSE(resource->storage_version.empty()) << resource->plural;
  }
}

TEST_F(Builtin, ReviewsAreNotStored) {
  for (const auto& resource : Resources()) {
    const bool answers_only = resource->verbs == std::vector<std::string>{"create"};
    if (answers_only) {
      EXPECT_FALSE(resource->stored) << resource->plural;
    }
  }
  EXPECT_FALSE(Find("authorization.k8s.io", "v1", "subjectaccessreviews").stored);
  EXPECT_TRUE(Find("", "v1", "pods").stored);
}

TEST_F(Builtin, ViewsOfTheSameObjectsAreKeptOnce) {
  const Resource& event = Find("events.k8s.io", "v1", "events");
  EXPECT_EQ(event.storage, (kube::GroupResource{"", "events"}));
  EXPECT_EQ(event.storage_version, "v1");
  EXPECT_NE(event.to_storage, nullptr);
  for (const char* version : {"v1", "v2"}) {
    const Resource& scaler = Find("autoscaling", version, "horizontalpodautoscalers");
    EXPECT_EQ(scaler.storage, (kube::GroupResource{"autoscaling", "horizontalpodautoscalers"}));
    EXPECT_EQ(scaler.storage_version, "autoscaling/v2");
  }
}

TEST_F(Builtin, ScaleIsFoundInTheObject) {
  for (const auto& [group, plural] : {std::pair<const char*, const char*>{"apps", "deployments"},
                                      {"apps", "replicasets"},
                                      {"apps", "statefulsets"},
                                      {"", "replicationcontrollers"}}) {
    const Resource& resource = Find(group, "v1", plural);
    ASSERT_TRUE(resource.scale.has_value()) << plural;
    EXPECT_EQ(resource.scale->spec_replicas_path, "spec.replicas");
    EXPECT_EQ(resource.scale->status_replicas_path, "status.replicas");
    EXPECT_EQ(resource.scale->label_selector_path, "spec.selector");
  }
}

TEST_F(Builtin, ResourcesOutliveTheListThatTheyCameIn) {
  SchemaArena arena;
  std::shared_ptr<const Resource> kept = BuiltinResources(arena)[0];
  EXPECT_FALSE(kept->plural.empty());
  EXPECT_TRUE(kept->strategy->CheckName("a", false).empty());
}

}  // namespace
}  // namespace meltemi::apiserver
