// AdmissionReview: what a webhook is sent, and what is made of its answer.
//
// Threads: functions without state. Source: k8s.io/api/admission/v1.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/json/value.h"
#include "kube/status/status.h"
#include "orchestrator/apiserver/admission/admission.h"
#include "orchestrator/apiserver/admission/webhook/match.h"

namespace meltemi::apiserver {

// "v1" or "v1beta1": the first of the hook's that is known; "" when none is.
std::string ReviewVersion(const Hook& hook);

// `object` and `old_object` are in the version of `invocation.resource`; null for none.
json::Value BuildReview(absl::string_view version, absl::string_view uid,
                        const Invocation& invocation, const AdmissionRequest& request,
                        json::Value object, json::Value old_object);

struct ReviewAnswer {
  bool allowed = false;
  std::string patch;  // JSON, decoded; "" for none
  std::string patch_type;
  json::Value result;  // a Status, or null
  std::vector<std::string> warnings;
};

// Error: why it is no answer to this question, in Kubernetes' words.
absl::StatusOr<ReviewAnswer> ReadAnswer(absl::string_view version, absl::string_view uid,
                                        bool mutating, absl::string_view body);

// `admission webhook "x" denied the request: …`, with the webhook's own code and reason.
kube::Status DeniedBy(absl::string_view hook_name, const json::Value& result);

// Between versions of the same object, in place.
void Convert(const Resource& from, const Resource& to, json::Value& object);

}  // namespace meltemi::apiserver
