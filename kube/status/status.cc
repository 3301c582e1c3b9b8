#include "kube/status/status.h"

#include <array>

#include "absl/strings/str_cat.h"

namespace meltemi::kube {
namespace {

using json::Value;

Status OfResource(int code, absl::string_view reason, const GroupResource& resource,
                  absl::string_view name, std::string message) {
  Status out;
  out.code = code;
  out.reason = std::string(reason);
  out.message = std::move(message);
  out.name = std::string(name);
  out.group = resource.group;
  out.kind = resource.resource;
  return out;
}

Status Plain(int code, absl::string_view reason, std::string message) {
  Status out;
  out.code = code;
  out.reason = std::string(reason);
  out.message = std::move(message);
  return out;
}

// These reasons always come with `details`, empty or not; clients compare the whole answer.
bool AlwaysHasDetails(absl::string_view reason) {
  static constexpr std::array<absl::string_view, 9> kReasons = {
      "NotFound",        "AlreadyExists",    "Forbidden",     "Conflict", "Invalid",
      "TooManyRequests", "MethodNotAllowed", "InternalError", "Timeout"};
  for (const absl::string_view known : kReasons) {
    if (reason == known) return true;
  }
  return false;
}

void AddText(Value& object, absl::string_view key, const std::string& text) {
  if (!text.empty()) object.Add(std::string(key), Value::String(text));
}

Value DetailsOf(const Status& status) {
  Value details = Value::Object();
  AddText(details, "name", status.name);
  AddText(details, "group", status.group);
  AddText(details, "kind", status.kind);
  AddText(details, "uid", status.uid);
  if (!status.causes.empty()) {
    Value causes = Value::Array();
    for (const StatusCause& cause : status.causes) {
      Value& item = causes.Append(Value::Object());
      AddText(item, "reason", cause.reason);
      AddText(item, "message", cause.message);
      AddText(item, "field", cause.field);
    }
    details.Add("causes", std::move(causes));
  }
  if (status.retry_after_seconds > 0) {
    details.Add("retryAfterSeconds", Value::Int(status.retry_after_seconds));
  }
  return details;
}

struct CodeWords {
  int code;
  absl::string_view reason, message;
};

// What Kubernetes answers for a bare HTTP code; an empty message: the caller's stands.
constexpr std::array<CodeWords, 12> kCodes = {{
    {400, "BadRequest", "the server rejected our request for an unknown reason"},
    {401, "Unauthorized", "the server has asked for the client to provide credentials"},
    {403, "Forbidden", ""},
    {404, "NotFound", "the server could not find the requested resource"},
    {405, "MethodNotAllowed", "the server does not allow this method on the requested resource"},
    {406, "NotAcceptable",
     "the server was unable to respond with a content type that the client supports"},
    {409, "Conflict", "the server reported a conflict"},
    {415, "UnsupportedMediaType", ""},
    {422, "Invalid", "the server rejected our request due to an error in our request"},
    {429, "TooManyRequests",
     "the server has received too many requests and has asked us to try again later"},
    {503, "ServiceUnavailable", "the server is currently unable to handle the request"},
    {504, "Timeout",
     "the server was unable to return a response in the time allotted, but may still be processing "
     "the request"},
}};

}  // namespace

Value Status::ToJson() const {
  Value out = Value::Object();
  out.Add("kind", Value::String("Status"));
  out.Add("apiVersion", Value::String("v1"));
  out.Add("metadata", Value::Object());
  out.Add("status", Value::String(code >= 200 && code < 300 ? "Success" : "Failure"));
  AddText(out, "message", message);
  AddText(out, "reason", reason);
  Value details = DetailsOf(*this);
  if (!details.members().empty() || AlwaysHasDetails(reason)) {
    out.Add("details", std::move(details));
  }
  out.Add("code", Value::Int(code));
  return out;
}

Status Status::FromJson(const Value& value, int http_code) {
  if (value.FindString("kind") != "Status") return GenericStatus(http_code, "");
  Status out;
  const Value* code = value.Find("code");
  out.code = code == nullptr ? http_code : static_cast<int>(code->AsInt64().value_or(http_code));
  out.reason = std::string(value.FindString("reason"));
  out.message = std::string(value.FindString("message"));
  const Value* details = value.Find("details");
  if (details == nullptr) return out;
  out.name = std::string(details->FindString("name"));
  out.group = std::string(details->FindString("group"));
  out.kind = std::string(details->FindString("kind"));
  out.uid = std::string(details->FindString("uid"));
  if (const Value* retry = details->Find("retryAfterSeconds")) {
    out.retry_after_seconds = static_cast<int>(retry->AsInt64().value_or(0));
  }
  if (const Value* causes = details->Find("causes")) {
    for (const Value& cause : causes->items()) {
      out.causes.push_back({std::string(cause.FindString("reason")),
                            std::string(cause.FindString("message")),
                            std::string(cause.FindString("field"))});
    }
  }
  return out;
}

Status NotFound(const GroupResource& resource, absl::string_view name) {
  return OfResource(404, "NotFound", resource, name,
                    absl::StrCat(resource.ToString(), " ", GoQuote(name), " not found"));
}

Status AlreadyExists(const GroupResource& resource, absl::string_view name) {
  return OfResource(409, "AlreadyExists", resource, name,
                    absl::StrCat(resource.ToString(), " ", GoQuote(name), " already exists"));
}

Status GenerateNameConflict(const GroupResource& resource, absl::string_view name,
                            int retry_after_seconds) {
  Status out = OfResource(
      409, "AlreadyExists", resource, name,
      absl::StrCat(
          resource.ToString(), " ", GoQuote(name),
          " already exists, the server was not able to generate a unique name for the object"));
  out.retry_after_seconds = retry_after_seconds;
  return out;
}

Status Conflict(const GroupResource& resource, absl::string_view name, absl::string_view why) {
  return OfResource(409, "Conflict", resource, name,
                    absl::StrCat("Operation cannot be fulfilled on ", resource.ToString(), " ",
                                 GoQuote(name), ": ", why));
}

Status ModifiedConflict(const GroupResource& resource, absl::string_view name) {
  return Conflict(resource, name,
                  "the object has been modified; please apply your changes to the latest version "
                  "and try again");
}

Status Invalid(const GroupVersionKind& kind, absl::string_view name, const FieldErrors& errors) {
  const GroupResource group_kind{kind.group, kind.kind};
  std::string message = absl::StrCat(group_kind.ToString(), " ", GoQuote(name), " is invalid");
  if (!errors.empty()) absl::StrAppend(&message, ": ", JoinErrors(errors));
  Status out = OfResource(422, "Invalid", group_kind, name, std::move(message));
  for (const FieldError& error : errors) {
    out.causes.push_back({std::string(error.Reason()), error.Body(), error.field});
  }
  return out;
}

Status BadRequest(absl::string_view message) {
  return Plain(400, "BadRequest", std::string(message));
}

Status Unauthorized(absl::string_view message) {
  return Plain(401, "Unauthorized", std::string(message));
}

Status Forbidden(const GroupResource& resource, absl::string_view name, absl::string_view why) {
  std::string message;
  if (resource.group.empty() && resource.resource.empty()) {
    message = absl::StrCat("forbidden: ", why);
  } else if (name.empty()) {
    message = absl::StrCat(resource.ToString(), " is forbidden: ", why);
  } else {
    message = absl::StrCat(resource.ToString(), " ", GoQuote(name), " is forbidden: ", why);
  }
  return OfResource(403, "Forbidden", resource, name, std::move(message));
}

Status MethodNotSupported(const GroupResource& resource, absl::string_view verb) {
  return OfResource(
      405, "MethodNotAllowed", resource, "",
      absl::StrCat(verb, " is not supported on resources of kind ", GoQuote(resource.ToString())));
}

Status NotAcceptable(absl::string_view message) {
  return Plain(406, "NotAcceptable", std::string(message));
}

Status UnsupportedMediaType(absl::string_view message) {
  return Plain(415, "UnsupportedMediaType", std::string(message));
}

Status RequestEntityTooLarge(absl::string_view message) {
  return Plain(413, "RequestEntityTooLarge", absl::StrCat("Request entity too large: ", message));
}

Status TooManyRequests(absl::string_view message, int retry_after_seconds) {
  Status out = Plain(429, "TooManyRequests", std::string(message));
  out.retry_after_seconds = retry_after_seconds;
  return out;
}

Status ResourceExpired(absl::string_view message) {
  return Plain(410, "Expired", std::string(message));
}

Status Gone(absl::string_view message) { return Plain(410, "Gone", std::string(message)); }

Status Timeout(absl::string_view message, int retry_after_seconds) {
  Status out = Plain(504, "Timeout", absl::StrCat("Timeout: ", message));
  out.retry_after_seconds = retry_after_seconds;
  return out;
}

Status ServiceUnavailable(absl::string_view message) {
  return Plain(503, "ServiceUnavailable", std::string(message));
}

Status InternalError(absl::string_view message) {
  Status out = Plain(500, "InternalError", absl::StrCat("Internal error occurred: ", message));
  out.causes.push_back({"", std::string(message), ""});
  return out;
}

Status GenericStatus(int code, absl::string_view message) {
  for (const CodeWords& words : kCodes) {
    if (words.code != code) continue;
    return Plain(code, words.reason, std::string(message.empty() ? words.message : message));
  }
  if (!message.empty())
    return Plain(code, code >= 500 ? "InternalError" : "", std::string(message));
  if (code >= 500) {
    return Plain(code, "InternalError",
                 "an error on the server (\"\") has prevented the request from succeeding");
  }
  return Plain(code, "",
               absl::StrCat("the server responded with the status code ", code,
                            " but did not return more information"));
}

}  // namespace meltemi::kube
