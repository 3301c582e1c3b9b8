#include "orchestrator/apiserver/watch/store_status.h"

#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace meltemi::apiserver {

kube::Status FromStoreError(const absl::Status& status) {
  const std::string message(status.message());
  if (absl::IsOutOfRange(status) && absl::StrContains(message, "future revision")) {
    return kube::Timeout("Too large resource version", 1);
  }
  if (absl::IsOutOfRange(status)) {
    return kube::ResourceExpired("The resourceVersion for the provided list is too old.");
  }
  if (absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status)) {
    kube::Status unavailable = kube::ServiceUnavailable(message);
    unavailable.retry_after_seconds = 1;
    return unavailable;
  }
  if (absl::IsInvalidArgument(status)) return kube::RequestEntityTooLarge(message);
  return kube::Status{.code = 500, .reason = "", .message = message};
}

kube::Status TooLargeResourceVersion(store::Revision wanted, store::Revision current) {
  kube::Status status = kube::Timeout(
      absl::StrCat("Too large resource version: ", wanted, ", current: ", current), 1);
  status.causes.push_back(
      {.reason = "ResourceVersionTooLarge", .message = "Too large resource version", .field = ""});
  return status;
}

kube::Status TooOldResourceVersion(store::Revision wanted, store::Revision oldest) {
  return kube::ResourceExpired(
      absl::StrCat("too old resource version: ", wanted, " (", oldest, ")"));
}

kube::Status ExpiredContinue() {
  return kube::ResourceExpired(
      "The provided continue parameter is too old to display a consistent list result. You can "
      "start a new list without the continue parameter, or use the continue token in this response "
      "to retrieve the remainder of the results. Continuing with the provided token results in an "
      "inconsistent list - objects that were created, modified, or deleted between the time the "
      "first chunk was returned and now may show up in the list.");
}

}  // namespace meltemi::apiserver
