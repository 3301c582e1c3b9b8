#include "pilot/inject/admission.h"

#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/json/parse.h"
#include "base/json/write.h"
#include "pilot/inject/inject_pod.h"
#include "pilot/inject/json_patch.h"
#include "pilot/inject/policy.h"
#include "pilot/inject/workload.h"

namespace meltemi::pilot {
namespace {

using json::Value;

constexpr char kReviewVersion[] = "admission.k8s.io/v1";
// The API server shows 256 characters of each warning.
constexpr size_t kWarningBytesMax = 250;

absl::Status NoReview(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("no AdmissionReview: ", what));
}

Value Response(absl::string_view uid, bool allowed) {
  Value response = Value::Object();
  response.Set("uid", Value::String(std::string(uid)));
  response.Set("allowed", Value::Bool(allowed));
  return response;
}

std::string Review(Value response) {
  Value review = Value::Object();
  review.Set("kind", Value::String("AdmissionReview"));
  review.Set("apiVersion", Value::String(kReviewVersion));
  review.Set("response", std::move(response));
  return json::ToString(review);
}

ReviewAnswer Refused(const ReviewRequest& request, std::string why) {
  Value response = Response(request.uid, false);
  Value& status = response.Set("status", Value::Object());
  status.Set("code", Value::Int(400));
  status.Set("reason", Value::String("BadRequest"));
  status.Set("message", Value::String(why));
  ReviewAnswer answer;
  answer.outcome = ReviewAnswer::Outcome::kRefused;
  answer.body = Review(std::move(response));
  answer.why = std::move(why);
  return answer;
}

ReviewAnswer Allowed(const ReviewRequest& request, const Value& patch,
                     const std::vector<std::string>& warnings, std::string why) {
  Value response = Response(request.uid, true);
  ReviewAnswer answer;
  answer.why = std::move(why);
  if (patch.is_array() && !patch.items().empty()) {
    answer.outcome = ReviewAnswer::Outcome::kInjected;
    response.Set("patchType", Value::String("JSONPatch"));
    response.Set("patch", Value::String(absl::Base64Escape(json::ToString(patch))));
  }
  if (!warnings.empty()) {
    Value& list = response.Set("warnings", Value::Array());
    for (const std::string& warning : warnings) {
      list.Append(Value::String(warning.substr(0, kWarningBytesMax)));
    }
  }
  answer.body = Review(std::move(response));
  return answer;
}

ReviewAnswer Answer(const ReviewRequest& request, const InjectSettings& settings) {
  if (request.kind != "Pod") {
    return Refused(request, absl::StrCat("only pods are injected, not ", request.kind));
  }
  if (!request.object.is_object()) {
    return Allowed(request, Value(), {}, "there is no object in the request");
  }
  const InjectDecision decision = DecideInjection(request.object, request.ns, settings);
  if (!decision.inject) return Allowed(request, Value(), {}, decision.why);
  const Value* const metadata = request.object.Find("metadata");
  const WorkloadMeta workload = metadata == nullptr ? WorkloadMeta() : WorkloadOfPod(*metadata);
  const absl::StatusOr<InjectedPod> injected =
      InjectPod(request.object, request.ns, workload, settings);
  if (!injected.ok()) {
    return Refused(request, absl::StrCat("sidecar injection: ", injected.status().message()));
  }
  return Allowed(request, MakeJsonPatch(request.object, injected->pod), injected->warnings,
                 decision.why);
}

}  // namespace

absl::StatusOr<ReviewRequest> ParseReview(absl::string_view bytes) {
  const json::ParseLimits limits = {
      .size_bytes_max = 8 * 1024 * 1024, .depth_max = 100, .values_max = 500'000};
  absl::StatusOr<Value> review = json::Parse(bytes, limits);
  if (!review.ok()) return NoReview(review.status().message());
  if (review->FindString("kind") != "AdmissionReview") {
    return NoReview("kind must be AdmissionReview");
  }
  if (review->FindString("apiVersion") != kReviewVersion) {
    return NoReview(absl::StrCat("apiVersion must be ", kReviewVersion, ", not \"",
                                 review->FindString("apiVersion"), "\""));
  }
  Value* const asked = review->Find("request");
  if (asked == nullptr || !asked->is_object()) return NoReview("request is missing");
  ReviewRequest request;
  request.uid = std::string(asked->FindString("uid"));
  if (request.uid.empty()) return NoReview("request.uid is missing");
  request.ns = std::string(asked->FindString("namespace"));
  request.name = std::string(asked->FindString("name"));
  request.operation = std::string(asked->FindString("operation"));
  if (const Value* kind = asked->Find("kind")) request.kind = std::string(kind->FindString("kind"));
  if (request.kind.empty()) return NoReview("request.kind.kind is missing");
  if (Value* object = asked->Find("object")) request.object = std::move(*object);
  if (Value* old = asked->Find("oldObject")) request.old_object = std::move(*old);
  return request;
}

absl::StatusOr<ReviewAnswer> AnswerInjection(absl::string_view bytes,
                                             const InjectSettings& settings) {
  const absl::StatusOr<ReviewRequest> request = ParseReview(bytes);
  if (!request.ok()) return request.status();
  ReviewAnswer answer = Answer(*request, settings);
  std::string name = request->name;
  if (const Value* metadata = request->object.Find("metadata"); name.empty() && metadata) {
    name = absl::StrCat(metadata->FindString("name"), metadata->FindString("generateName"));
  }
  answer.pod = absl::StrCat(request->ns, "/", name);
  return answer;
}

}  // namespace meltemi::pilot
