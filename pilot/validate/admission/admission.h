// AdmissionReviews (admission.k8s.io/v1) about the mesh's objects: the rules of `meltemi analyze`
// at the door of the API server. Bytes in, bytes out.
//
// Refused: what is invalid on its own, and what would lose traffic whatever else is applied. What
// another object may yet mend (a service or subset that does not exist: such a rule is held back
// until it does) goes through with a warning, so that manifests can be applied in any order.
//
// Threads: functions without state. Source: Kubernetes, "Dynamic Admission Control".
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "pilot/ingest/object.h"

namespace meltemi::pilot {

struct ValidationAnswer {
  bool allowed = true;
  std::string body;                   // the AdmissionReview with the response
  std::string object;                 // "VirtualService default/flaskapp", for logs
  std::string why;                    // it is refused
  std::vector<std::string> warnings;  // what kubectl shows
};

struct ValidationOptions {
  std::string domain = "cluster.local";
  std::string root_namespace = "istio-system";
  size_t errors_max = 20;
  size_t warnings_max = 10;
};

// `objects`: the configuration in effect, in the order of keys (ConfigSource::Objects). Error: the
// bytes are no AdmissionReview, and what is wrong with them: 400.
absl::StatusOr<ValidationAnswer> AnswerValidation(absl::string_view bytes,
                                                  const std::vector<ObjectPtr>& objects,
                                                  const ValidationOptions& options = {});

}  // namespace meltemi::pilot
