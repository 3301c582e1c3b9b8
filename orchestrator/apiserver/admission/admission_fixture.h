// A chain of all plugins over a cache that the test fills.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/clock/clock.h"
#include "base/json/parse.h"
#include "base/json/write.h"
#include "kube/object/object.h"
#include "orchestrator/apiserver/admission/chain.h"
#include "orchestrator/apiserver/authn/object_cache_fake.h"
#include "orchestrator/apiserver/authz/chain.h"
#include "orchestrator/apiserver/authz/objects_fake.h"

namespace meltemi::apiserver {

class AdmissionFixture : public ::testing::Test {
 protected:
  AdmissionFixture() {
    Put("", "namespaces", R"({"metadata":{"name":"dev","labels":{"team":"a"}}})");
    Put("", "serviceaccounts", R"({"metadata":{"name":"default","namespace":"dev","uid":"sa"}})");
    Make({});
  }

  void Make(const AdmissionOptions& options) {
    authorizer_ = *NewAuthorizerChain({"RBAC"}, *rbac_, cache_);
    auto admission = NewAdmission(options, {clock_, cache_, catalog_, *authorizer_, *rbac_});
    ASSERT_TRUE(admission.ok()) << admission.status();
    admission_ = *std::move(admission);
  }

  void Put(const std::string& group, const std::string& resource, absl::string_view text) {
    const auto tree = json::Parse(text);
    ASSERT_TRUE(tree.ok()) << tree.status() << " " << text;
    cache_.Put({group, resource}, *tree);
  }

  AdmissionRequest Request(const std::string& group, const std::string& resource,
                           absl::string_view object, Operation operation = Operation::kCreate) {
    AdmissionRequest out;
    out.resource = catalog_.FindPreferred({group, resource});
    EXPECT_NE(out.resource, nullptr) << resource;
    out.operation = operation;
    const auto tree = json::Parse(object);
    EXPECT_TRUE(tree.ok()) << tree.status() << " " << object;
    if (tree.ok()) out.object = *tree;
    out.ns = std::string(kube::Namespace(out.object));
    out.name = std::string(kube::Name(out.object));
    out.user.name = "jane";
    out.user.groups = {"system:authenticated"};
    out.deadline = clock_.Now() + seconds(20);
    out.options = *json::Parse(R"({"kind":"CreateOptions","apiVersion":"meta.k8s.io/v1"})");
    return out;
  }
  AdmissionRequest PodRequest(absl::string_view spec, absl::string_view metadata = "") {
    return Request("", "pods",
                   absl::StrCat(R"({"apiVersion":"v1","kind":"Pod","metadata":{"name":"web",)"
                                R"("namespace":"dev")",
                                metadata, R"(},"spec":)", spec, "}"));
  }

  // "" when admitted, else the message.
  std::string Mutate(AdmissionRequest& request) {
    const kube::Outcome outcome = admission_->Mutate(request);
    return outcome.ok() ? "" : outcome.status().message;
  }
  std::string Validate(AdmissionRequest& request) {
    const kube::Outcome outcome = admission_->Validate(request);
    return outcome.ok() ? "" : outcome.status().message;
  }
  static std::string Text(const AdmissionRequest& request, absl::string_view path) {
    const json::Value* value = kube::At(request.object, path);
    return value == nullptr ? "" : json::ToString(*value);
  }

  SystemClock clock_;
  ObjectCacheFake cache_;
  CatalogFake catalog_{{
      {"", "v1", "namespaces", "Namespace", false},
      {"", "v1", "pods", "Pod", true},
      {"", "v1", "configmaps", "ConfigMap", true},
      {"", "v1", "nodes", "Node", false},
      {"", "v1", "serviceaccounts", "ServiceAccount", true},
      {"", "v1", "persistentvolumes", "PersistentVolume", false},
      {"", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", true},
      {"networking.k8s.io", "v1", "ingresses", "Ingress", true},
      {"coordination.k8s.io", "v1", "leases", "Lease", true},
      {"scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass", false},
      {"node.k8s.io", "v1", "runtimeclasses", "RuntimeClass", false},
      {"rbac.authorization.k8s.io", "v1", "roles", "Role", true},
      {"rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole", false},
      {"rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding", true},
      {"admissionregistration.k8s.io", "v1", "mutatingwebhookconfigurations",
       "MutatingWebhookConfiguration", false},
      {"admissionregistration.k8s.io", "v1", "validatingwebhookconfigurations",
       "ValidatingWebhookConfiguration", false},
      {"authorization.k8s.io", "v1", "localsubjectaccessreviews", "LocalSubjectAccessReview", true},
  }};
  std::unique_ptr<RbacAuthorizer> rbac_ = NewRbacAuthorizer(cache_);
  std::unique_ptr<Authorizer> authorizer_;
  std::unique_ptr<Admission> admission_;
};

}  // namespace meltemi::apiserver
