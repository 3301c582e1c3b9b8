#include "orchestrator/apiserver/admission/webhook/review.h"

#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/json/parse.h"
#include "kube/object/object.h"

namespace meltemi::apiserver {
namespace {

using json::Value;

constexpr absl::string_view kGroup = "admission.k8s.io";
constexpr size_t kShownBytesMax = 512;

Value Text(absl::string_view text) { return Value::String(std::string(text)); }

Value KindJson(const kube::GroupVersionKind& kind) {
  Value out = Value::Object();
  out.Add("group", Text(kind.group));
  out.Add("version", Text(kind.version));
  out.Add("kind", Text(kind.kind));
  return out;
}

Value ResourceJson(const Resource& resource) {
  Value out = Value::Object();
  out.Add("group", Text(resource.group));
  out.Add("version", Text(resource.version));
  out.Add("resource", Text(resource.plural));
  return out;
}

Value UserJson(const UserInfo& user) {
  const auto list = [](const std::vector<std::string>& texts) {
    Value out = Value::Array();
    for (const std::string& text : texts) out.Append(Value::String(text));
    return out;
  };
  Value out = Value::Object();
  if (!user.name.empty()) out.Add("username", Value::String(user.name));
  if (!user.uid.empty()) out.Add("uid", Value::String(user.uid));
  if (!user.groups.empty()) out.Add("groups", list(user.groups));
  if (user.extra.empty()) return out;
  Value& extra = out.Add("extra", Value::Object());
  for (const auto& [key, values] : user.extra) extra.Add(key, list(values));
  return out;
}

// Of subresources the object says (Scale, Eviction, Binding); else it is the resource's.
kube::GroupVersionKind KindOf(const Resource& resource, const AdmissionRequest& request,
                              const Value& object) {
  if (request.subresource.empty() || !object.is_object()) return resource.gvk();
  kube::GroupVersionKind kind = kube::KindOf(object);
  return kind.kind.empty() ? resource.gvk() : kind;
}

absl::Status Wrong(absl::string_view why) { return absl::InvalidArgumentError(why); }

absl::Status CheckPatch(bool mutating, const Value& response, const ReviewAnswer& answer) {
  const bool has_type =
      response.Find("patchType") != nullptr && !response.Find("patchType")->is_null();
  if (!mutating) {
    if (!answer.patch.empty()) return Wrong("validating webhook may not return response.patch");
    if (has_type) return Wrong("validating webhook may not return response.patchType");
    return absl::OkStatus();
  }
  if (!answer.patch.empty() && !has_type) {
    return Wrong("webhook returned response.patch but not response.patchType");
  }
  if (answer.patch.empty() && has_type) {
    return Wrong("webhook returned response.patchType but not response.patch");
  }
  if (has_type && answer.patch_type.empty()) {
    return Wrong("webhook returned invalid response.patchType of \"\"");
  }
  return absl::OkStatus();
}

// v1 webhooks have to answer the very question; v1beta1 never had to.
absl::Status CheckIdentity(absl::string_view uid, const Value& review, const Value& response) {
  if (response.FindString("uid") != uid) {
    return Wrong(absl::StrCat("expected response.uid=\"", uid, "\", got \"",
                              response.FindString("uid"), "\""));
  }
  const kube::GroupVersionKind kind = kube::KindOf(review);
  if (kind == kube::GroupVersionKind{std::string(kGroup), "v1", "AdmissionReview"}) {
    return absl::OkStatus();
  }
  return Wrong(
      absl::StrCat("expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got ",
                   kind.group, "/", kind.version, ", Kind=", kind.kind));
}

absl::StatusOr<Value> ParseReview(absl::string_view body) {
  absl::StatusOr<Value> review = json::Parse(body);
  if (!review.ok()) {
    return Wrong(
        absl::StrCat("couldn't get version/kind; json parse error: ", review.status().message()));
  }
  for (const absl::string_view member : {"kind", "apiVersion"}) {
    if (review->is_object() && !review->FindString(member).empty()) continue;
    return Wrong(absl::StrCat("Object '", member == "kind" ? "Kind" : "apiVersion",
                              "' is missing in '", body.substr(0, kShownBytesMax), "'"));
  }
  return review;
}

}  // namespace

std::string ReviewVersion(const Hook& hook) {
  for (const std::string& version : hook.review_versions) {
    if (version == "v1" || version == "v1beta1") return version;
  }
  return "";
}

Value BuildReview(absl::string_view version, absl::string_view uid, const Invocation& invocation,
                  const AdmissionRequest& request, Value object, Value old_object) {
  const Resource& asked = *request.resource;
  Value body = Value::Object();
  body.Add("uid", Text(uid));
  body.Add("kind", KindJson(KindOf(*invocation.resource, request, request.object)));
  body.Add("resource", ResourceJson(*invocation.resource));
  if (!request.subresource.empty()) body.Add("subResource", Text(request.subresource));
  body.Add("requestKind", KindJson(KindOf(asked, request, request.object)));
  body.Add("requestResource", ResourceJson(asked));
  if (!request.subresource.empty()) body.Add("requestSubResource", Text(request.subresource));
  if (!request.name.empty()) body.Add("name", Text(request.name));
  if (!request.ns.empty()) body.Add("namespace", Text(request.ns));
  body.Add("operation", Text(OperationName(request.operation)));
  body.Add("userInfo", UserJson(request.user));
  body.Add("object", std::move(object));
  body.Add("oldObject", std::move(old_object));
  body.Add("dryRun", Value::Bool(request.dry_run));
  body.Add("options", request.options);
  Value review = Value::Object();
  review.Add("kind", Text("AdmissionReview"));
  review.Add("apiVersion", Text(absl::StrCat(kGroup, "/", version)));
  review.Add("request", std::move(body));
  return review;
}

absl::StatusOr<ReviewAnswer> ReadAnswer(absl::string_view version, absl::string_view uid,
                                        bool mutating, absl::string_view body) {
  const absl::StatusOr<Value> review = ParseReview(body);
  if (!review.ok()) return review.status();
  const Value* response = review->Find("response");
  if (response == nullptr || !response->is_object()) return Wrong("webhook response was absent");
  if (version == "v1") {
    const absl::Status identity = CheckIdentity(uid, *review, *response);
    if (!identity.ok()) return identity;
  }
  ReviewAnswer answer;
  answer.allowed = kube::BoolAt(*response, "allowed", false);
  answer.patch_type = std::string(response->FindString("patchType"));
  if (!absl::Base64Unescape(response->FindString("patch"), &answer.patch)) {
    return Wrong("response.patch is not base64");
  }
  if (version == "v1") {
    const absl::Status patch = CheckPatch(mutating, *response, answer);
    if (!patch.ok()) return patch;
  } else if (!mutating) {
    answer.patch.clear();
  } else if (!answer.patch.empty()) {
    answer.patch_type = "JSONPatch";
  }
  if (const Value* result = response->Find("status"); result != nullptr) answer.result = *result;
  if (const Value* warnings = response->Find("warnings"); warnings != nullptr) {
    for (const Value& warning : warnings->items()) answer.warnings.push_back(warning.text());
  }
  return answer;
}

kube::Status DeniedBy(absl::string_view hook_name, const Value& result) {
  kube::Status status;
  if (result.is_object()) status = kube::Status::FromJson(result, 400);
  const int64_t code = kube::IntAt(result, "code", 0);
  status.code = code < 400 || code > 999 ? 400 : static_cast<int>(code);
  status.reason = std::string(result.FindString("reason"));
  const std::string denied =
      absl::StrCat("admission webhook \"", hook_name, "\" denied the request");
  const absl::string_view message = result.FindString("message");
  if (!message.empty()) {
    status.message = absl::StrCat(denied, ": ", message);
  } else if (!status.reason.empty()) {
    status.message = absl::StrCat(denied, ": ", status.reason);
  } else {
    status.message = absl::StrCat(denied, " without explanation");
  }
  return status;
}

void Convert(const Resource& from, const Resource& to, Value& object) {
  if (&from == &to || !object.is_object()) return;
  if (from.to_storage != nullptr) from.to_storage(object);
  if (to.from_storage != nullptr) to.from_storage(object);
  object.Set("apiVersion", Value::String(to.api_version()));
  object.Set("kind", Value::String(to.kind));
}

}  // namespace meltemi::apiserver
