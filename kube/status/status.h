// What an API server answers when it can't do what was asked: metav1.Status with Kubernetes' own
// codes, reasons and message texts; and Result<T>, a value or such a Status.
//
// Threads: plain value types.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/json/value.h"
#include "kube/names/names.h"
#include "kube/status/field_error.h"

namespace meltemi::kube {

struct StatusCause {
  std::string reason, message, field;
};

struct Status {
  int code = 500;      // HTTP status
  std::string reason;  // metav1.StatusReason: "NotFound", "AlreadyExists", "Conflict", "Invalid" …
  std::string message;
  // details; `kind` holds the resource for NotFound and its like, the kind for Invalid.
  std::string name, group, kind, uid;
  std::vector<StatusCause> causes;
  int retry_after_seconds = 0;

  // {"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure",…}
  json::Value ToJson() const;
  static Status FromJson(const json::Value& value, int http_code);
};

// The words are those of k8s.io/apimachinery/pkg/api/errors.
Status NotFound(const GroupResource& resource, absl::string_view name);
Status AlreadyExists(const GroupResource& resource, absl::string_view name);
// Every name that was made from generateName is taken.
Status GenerateNameConflict(const GroupResource& resource, absl::string_view name,
                            int retry_after_seconds);
Status Conflict(const GroupResource& resource, absl::string_view name, absl::string_view why);
// "Operation cannot be fulfilled on …: the object has been modified; please apply your changes to
// the latest version and try again"
Status ModifiedConflict(const GroupResource& resource, absl::string_view name);
// `Deployment.apps "x" is invalid: …` with one cause per error.
Status Invalid(const GroupVersionKind& kind, absl::string_view name, const FieldErrors& errors);
Status BadRequest(absl::string_view message);
Status Unauthorized(absl::string_view message = "Unauthorized");
Status Forbidden(const GroupResource& resource, absl::string_view name, absl::string_view why);
Status MethodNotSupported(const GroupResource& resource, absl::string_view verb);
Status NotAcceptable(absl::string_view message);
Status UnsupportedMediaType(absl::string_view message);
Status RequestEntityTooLarge(absl::string_view message);
Status TooManyRequests(absl::string_view message, int retry_after_seconds);
Status ResourceExpired(absl::string_view message);                   // 410, reason "Expired"
Status Gone(absl::string_view message);                              // 410, reason "Gone"
Status Timeout(absl::string_view message, int retry_after_seconds);  // 504
Status ServiceUnavailable(absl::string_view message);
Status InternalError(absl::string_view message);  // "Internal error occurred: …"
// For what has no own reason; `reason` follows from the code as in Kubernetes, and so does the
// message when `message` is empty.
Status GenericStatus(int code, absl::string_view message);

// A T, or the Status that says why there is none.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : held_(std::in_place_index<0>, std::move(value)) {}
  Result(Status status)
      : held_(std::in_place_index<1>, std::make_unique<Status>(std::move(status))) {}

  bool ok() const { return held_.index() == 0; }
  // Preconditions: ok() for the value, !ok() for the status.
  T& operator*() & { return std::get<0>(held_); }
  const T& operator*() const& { return std::get<0>(held_); }
  T&& operator*() && { return std::get<0>(std::move(held_)); }
  T* operator->() { return &std::get<0>(held_); }
  const T* operator->() const { return &std::get<0>(held_); }
  const Status& status() const { return *std::get<1>(held_); }

 private:
  std::variant<T, std::unique_ptr<Status>> held_;
};

struct Done {};
// Success without a value, or the Status.
using Outcome = Result<Done>;

}  // namespace meltemi::kube
