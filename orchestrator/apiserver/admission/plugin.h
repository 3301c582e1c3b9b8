// What plugins share, and how each of them is made. For chain.cc and the plugins alone.
//
// Threads: functions without state; plugins are thread-safe.
#pragma once

#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "base/clock/clock.h"
#include "orchestrator/apiserver/admission/admission.h"
#include "orchestrator/apiserver/authz/rbac.h"
#include "orchestrator/apiserver/watch/cache.h"

namespace meltemi::apiserver {

// 403: `pods "x" is forbidden: WHY`. The name is that of the request, or the object's own.
kube::Status Refuse(const AdmissionRequest& request, absl::string_view why);

inline bool IsResource(const AdmissionRequest& request, absl::string_view group,
                       absl::string_view plural) {
  return request.resource->group == group && request.resource->plural == plural;
}
// The resource itself, no subresource.
inline bool IsMain(const AdmissionRequest& request, absl::string_view group,
                   absl::string_view plural) {
  return request.subresource.empty() && IsResource(request, group, plural);
}
inline bool IsWrite(const AdmissionRequest& request) {
  return request.operation == Operation::kCreate || request.operation == Operation::kUpdate;
}
// The member, which becomes an empty array when it is missing or null.
json::Value& MutableArray(json::Value& object, absl::string_view key);
bool IsMirrorPod(const json::Value& pod);

std::unique_ptr<AdmissionPlugin> NewNamespaceLifecycle(const Clock& clock, WatchCache& cache);
std::unique_ptr<AdmissionPlugin> NewServiceAccountPlugin(WatchCache& cache);
std::unique_ptr<AdmissionPlugin> NewNodeRestriction(WatchCache& cache);
std::unique_ptr<AdmissionPlugin> NewTaintNodesByCondition();
std::unique_ptr<AdmissionPlugin> NewPriorityPlugin(WatchCache& cache);
std::unique_ptr<AdmissionPlugin> NewDefaultTolerationSeconds(int64_t not_ready_seconds,
                                                             int64_t unreachable_seconds);
std::unique_ptr<AdmissionPlugin> NewDefaultStorageClass(WatchCache& cache);
std::unique_ptr<AdmissionPlugin> NewDefaultIngressClass(WatchCache& cache);
std::unique_ptr<AdmissionPlugin> NewStorageObjectInUseProtection();
std::unique_ptr<AdmissionPlugin> NewRuntimeClassPlugin(WatchCache& cache);
std::unique_ptr<AdmissionPlugin> NewCertificateApproval(Authorizer& authorizer);
std::unique_ptr<AdmissionPlugin> NewCertificateSigning(Authorizer& authorizer);
std::unique_ptr<AdmissionPlugin> NewCertificateSubjectRestriction();

// No plugin that can be turned off: who grants rights has to have them.
kube::Outcome CheckEscalation(const AdmissionRequest& request, Authorizer& authorizer,
                              const RbacAuthorizer& rbac);

}  // namespace meltemi::apiserver
