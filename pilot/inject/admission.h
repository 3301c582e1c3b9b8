// AdmissionReviews (admission.k8s.io/v1) about pods: bytes in, bytes out.
//
// Threads: functions without state. Source: Kubernetes, "Dynamic Admission Control".
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/json/value.h"
#include "pilot/inject/settings.h"

namespace meltemi::pilot {

// What every AdmissionReview says, whoever answers it.
struct ReviewRequest {
  std::string uid, ns, name, operation, kind;
  json::Value object;      // null for deletions
  json::Value old_object;  // of updates and deletions
};
// Error: the bytes are no AdmissionReview v1 with a request, and what is missing.
absl::StatusOr<ReviewRequest> ParseReview(absl::string_view bytes);

struct ReviewAnswer {
  enum class Outcome : uint8_t { kInjected, kSkipped, kRefused };
  Outcome outcome = Outcome::kSkipped;
  std::string body;  // the AdmissionReview with the response
  std::string pod;   // "NAMESPACE/NAME", for logs
  std::string why;   // why it was not injected, or is refused
};

// Allows the pod with a patch that injects it, or without one when it shall have no sidecar; or
// refuses it because what it says about its sidecar is wrong. Error: as ParseReview.
absl::StatusOr<ReviewAnswer> AnswerInjection(absl::string_view bytes,
                                             const InjectSettings& settings);

}  // namespace meltemi::pilot
