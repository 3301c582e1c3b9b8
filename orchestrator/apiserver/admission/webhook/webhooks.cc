#include "orchestrator/apiserver/admission/webhook/webhooks.h"

#include <algorithm>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/json/parse.h"
#include "base/json/write.h"
#include "base/random/random.h"
#include "kube/object/object.h"
#include "kube/status/field_error.h"
#include "orchestrator/apiserver/admission/webhook/hook.h"
#include "orchestrator/apiserver/admission/webhook/match.h"
#include "orchestrator/apiserver/admission/webhook/review.h"
#include "orchestrator/apiserver/admission/webhook/target.h"
#include "orchestrator/apiserver/https_client/https_client.h"
#include "orchestrator/apiserver/kinds/strategy.h"
#include "orchestrator/apiserver/patch/patch.h"
#include "orchestrator/apiserver/schema/walk.h"

namespace meltemi::apiserver {
namespace {

using json::Value;

constexpr absl::string_view kGroup = "admissionregistration.k8s.io";
constexpr size_t kWarningsMax = 64;

bool IsExempt(const AdmissionRequest& request) {
  const std::string& plural = request.resource->plural;
  return request.resource->group == kGroup &&
         (absl::StartsWith(plural, "mutating") || absl::StartsWith(plural, "validating"));
}

// Why a call did not work out. `is_call_failure`: what failurePolicy decides about.
struct CallFailure {
  bool is_call_failure = true;
  kube::Status status;
};

kube::Status FailedCalling(const Hook& hook, absl::string_view why) {
  return kube::InternalError(absl::StrCat("failed calling webhook \"", hook.name, "\": ", why));
}

// What client-go makes of an answer that is no success.
std::string HttpErrorText(const HttpsResponse& response) {
  switch (response.code) {
    case 401:
      return "the server has asked for the client to provide credentials";
    case 403:
      return absl::StrCat("unknown: ", response.body.substr(0, 512));
    case 404:
      return "the server could not find the requested resource";
    case 405:
      return "the server does not allow this method on the requested resource";
    case 429:
      return "the server has received too many requests and has asked us to try again later";
    case 503:
      return "the server is currently unable to handle the request";
    case 504:
      return "the server was unable to return a response in the time allotted, but may still be "
             "processing the request";
    default:
      break;
  }
  if (response.code >= 500) {
    const std::string body = response.body.substr(0, 512);
    return absl::StrCat("an error on the server (\"", body.empty() ? "unknown" : body,
                        "\") has prevented the request from succeeding");
  }
  return absl::StrCat("the server responded with the status code ", response.code,
                      " but did not return more information");
}

// One call under way: from the question to the checked answer.
struct Call {
  Invocation invocation;
  std::string version, uid, url;
  std::shared_ptr<HttpsCall> pending;
  std::optional<CallFailure> failure;  // it could not even begin
};

class WebhooksImpl final : public Webhooks {
 public:
  WebhooksImpl(const Clock& clock, WatchCache& cache, const CatalogSource& catalogs)
      : clock_(clock),
        cache_(cache),
        catalogs_(catalogs),
        mutating_(cache, "mutatingwebhookconfigurations"),
        validating_(cache, "validatingwebhookconfigurations"),
        client_(NewHttpsClient(clock)) {}

  kube::Outcome Mutate(AdmissionRequest& request, ReinvocationState& state) override {
    if (IsExempt(request)) return kube::Done{};
    const std::shared_ptr<const HookList> hooks = mutating_.current();
    if (hooks->empty()) return kube::Done{};
    // What built-in plugins have changed since is new to every hook.
    if (state.is_reinvocation && !(state.last_output == request.object)) RequireAll(state);
    const std::shared_ptr<const Catalog> catalog = catalogs_.current();
    for (const HookPtr& hook : *hooks) {
      const kube::Result<std::optional<Invocation>> match = Match(hook, request, *catalog, cache_);
      if (!match.ok()) return match.status();
      if (!match->has_value()) continue;
      if (state.is_reinvocation && state.required.count(hook->id) == 0) continue;
      kube::Outcome outcome = CallMutating(**match, request, state);
      if (!outcome.ok()) return outcome;
    }
    state.last_output = request.object;
    return kube::Done{};
  }

  kube::Outcome Validate(AdmissionRequest& request) override {
    if (IsExempt(request)) return kube::Done{};
    const std::shared_ptr<const HookList> hooks = validating_.current();
    if (hooks->empty()) return kube::Done{};
    const std::shared_ptr<const Catalog> catalog = catalogs_.current();
    std::vector<Invocation> invocations;
    for (const HookPtr& hook : *hooks) {
      const kube::Result<std::optional<Invocation>> match = Match(hook, request, *catalog, cache_);
      if (!match.ok()) return match.status();
      if (match->has_value()) invocations.push_back(**match);
    }
    if (invocations.empty()) return kube::Done{};
    if (clock_.Now() >= request.deadline) return TimedOut();
    std::vector<Call> calls;
    for (const Invocation& invocation : invocations) calls.push_back(Begin(invocation, request));
    std::optional<kube::Status> first;
    for (Call& call : calls) {
      kube::Outcome outcome = JudgeValidating(call, request);
      if (!outcome.ok() && !first.has_value()) first = outcome.status();
    }
    if (first.has_value()) return *std::move(first);
    return kube::Done{};
  }

 private:
  static kube::Status TimedOut() {
    return kube::Timeout("request did not complete within requested timeout", 0);
  }

  static void RequireAll(ReinvocationState& state) {
    state.required.insert(state.invoked.begin(), state.invoked.end());
    state.invoked.clear();
  }

  kube::Outcome CallMutating(const Invocation& invocation, AdmissionRequest& request,
                             ReinvocationState& state) {
    const Hook& hook = *invocation.hook;
    Call call = Begin(invocation, request);
    bool changed = false;
    std::optional<CallFailure> failure = EndMutating(call, request, &changed);
    if (changed) {
      RequireAll(state);
      state.wanted = true;
    }
    if (hook.reinvoked_if_needed) state.invoked.insert(hook.id);
    return Judge(hook, request, std::move(failure));
  }

  kube::Outcome JudgeValidating(Call& call, AdmissionRequest& request) {
    const Hook& hook = *call.invocation.hook;
    ReviewAnswer answer;
    std::optional<CallFailure> failure = End(call, false, &answer);
    if (!failure.has_value()) {
      Warn(request, answer);
      if (!answer.allowed) failure = CallFailure{false, DeniedBy(hook.name, answer.result)};
    }
    return Judge(hook, request, std::move(failure));
  }

  // Lets go by what failurePolicy says is no matter.
  kube::Outcome Judge(const Hook& hook, const AdmissionRequest& request,
                      std::optional<CallFailure> failure) {
    if (!failure.has_value()) return kube::Done{};
    if (!failure->is_call_failure || !hook.ignores_failure) return std::move(failure->status);
    if (clock_.Now() >= request.deadline) return TimedOut();
    return kube::Done{};
  }

  // The question is on its way, or `failure` says why not.
  Call Begin(const Invocation& invocation, const AdmissionRequest& request) {
    const Hook& hook = *invocation.hook;
    Call call{invocation, ReviewVersion(hook), "", "", nullptr, std::nullopt};
    if (request.dry_run && !hook.dry_run_safe) {
      call.failure =
          CallFailure{false, kube::BadRequest(absl::StrCat("admission webhook \"", hook.name,
                                                           "\" does not support dry run"))};
      return call;
    }
    if (call.version.empty()) {
      call.failure = CallFailure{
          true, FailedCalling(hook,
                              "could not create admission objects: webhook does not accept known "
                              "AdmissionReview versions (v1, v1beta1)")};
      return call;
    }
    WebhookTarget target;
    absl::Status found;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      call.uid = NewUuid();
      found = FindTarget(hook, cache_, random_, &target);
    }
    const Duration timeout =
        std::min<Duration>(seconds(hook.timeout_seconds), request.deadline - clock_.Now());
    const int64_t whole_seconds = std::max<int64_t>((ToMillis(timeout) + 999) / 1000, 1);
    call.url = absl::StrCat(target.url, "?timeout=", whole_seconds, "s");
    if (!found.ok()) {
      call.failure =
          CallFailure{true, FailedCalling(hook, hook.url.empty() && hook.service_name.empty()
                                                    ? std::string(found.message())
                                                    : PostError(call, found.message()))};
      return call;
    }
    Value object = request.object, old_object = request.old_object;
    if (request.subresource.empty()) {
      Convert(*request.resource, *invocation.resource, object);
      Convert(*request.resource, *invocation.resource, old_object);
    }
    target.request.path += absl::StrCat("?timeout=", whole_seconds, "s");
    target.request.timeout = timeout;
    target.request.body = json::ToString(BuildReview(call.version, call.uid, invocation, request,
                                                     std::move(object), std::move(old_object)));
    call.pending = client_->Start(std::move(target.request));
    return call;
  }

  static std::string PostError(const Call& call, absl::string_view why) {
    return absl::StrCat("failed to call webhook: Post \"", call.url, "\": ", why);
  }

  std::optional<CallFailure> End(Call& call, bool mutating, ReviewAnswer* answer) {
    if (call.failure.has_value()) return std::move(call.failure);
    const Hook& hook = *call.invocation.hook;
    const absl::StatusOr<HttpsResponse> response = call.pending->Wait();
    if (!response.ok()) {
      return CallFailure{true, FailedCalling(hook, PostError(call, response.status().message()))};
    }
    if (response->code < 200 || response->code > 206) {
      return CallFailure{true, FailedCalling(hook, absl::StrCat("failed to call webhook: ",
                                                                HttpErrorText(*response)))};
    }
    absl::StatusOr<ReviewAnswer> read =
        ReadAnswer(call.version, call.uid, mutating, response->body);
    if (!read.ok()) {
      return CallFailure{true, FailedCalling(hook, absl::StrCat("received invalid webhook "
                                                                "response: ",
                                                                read.status().message()))};
    }
    *answer = *std::move(read);
    return std::nullopt;
  }

  std::optional<CallFailure> EndMutating(Call& call, AdmissionRequest& request, bool* changed) {
    const Hook& hook = *call.invocation.hook;
    ReviewAnswer answer;
    std::optional<CallFailure> failure = End(call, true, &answer);
    if (failure.has_value()) return failure;
    Warn(request, answer);
    if (!answer.allowed) return CallFailure{false, DeniedBy(hook.name, answer.result)};
    if (answer.patch.empty()) return std::nullopt;
    if (answer.patch_type != "JSONPatch") {
      return CallFailure{true, FailedCalling(hook, absl::StrCat("unsupported patch type \"",
                                                                answer.patch_type, "\""))};
    }
    kube::Result<Value> patched = Patch(call, request, answer.patch);
    if (!patched.ok()) return CallFailure{false, patched.status()};
    *changed = !(*patched == request.object);
    request.object = *std::move(patched);
    return std::nullopt;
  }

  // In the version that the webhook knows, and back.
  static kube::Result<Value> Patch(const Call& call, const AdmissionRequest& request,
                                   absl::string_view patch_text) {
    const absl::StatusOr<Value> patch = json::Parse(patch_text);
    if (!patch.ok()) return kube::InternalError(patch.status().message());
    if (patch->is_array() && patch->items().empty()) return request.object;
    if (!request.object.is_object()) {
      return kube::InternalError(
          absl::StrCat("admission webhook \"", call.invocation.hook->name,
                       "\" attempted to modify the object, which is not supported for this "
                       "operation"));
    }
    const Resource& from = *request.resource;
    const Resource& to = *call.invocation.resource;
    const bool main = request.subresource.empty();
    Value object = request.object;
    if (main) Convert(from, to, object);
    kube::Result<Value> patched = ApplyJsonPatch(object, *patch);
    if (!patched.ok()) return kube::InternalError(patched.status().message);
    if (!main) return patched;
    kube::Outcome decoded = Decode(to, *patched);
    if (!decoded.ok()) return decoded.status();
    Convert(to, from, *patched);
    return patched;
  }

  // What the decoder and the defaults do to an object that a client sends.
  static kube::Outcome Decode(const Resource& resource, Value& object) {
    if (!object.is_object()) return kube::InternalError("the patched object is no object");
    if (resource.schema == nullptr) return kube::Done{};
    const std::string wrong = CheckTypes(*resource.schema, object);
    if (!wrong.empty()) return kube::InternalError(wrong);
    Prune(*resource.schema, object);
    ApplyDefaults(*resource.schema, object);
    if (resource.strategy != nullptr) resource.strategy->Default(resource, object);
    return kube::Done{};
  }

  static void Warn(AdmissionRequest& request, const ReviewAnswer& answer) {
    for (const std::string& warning : answer.warnings) {
      if (request.warnings.size() >= kWarningsMax) return;
      request.warnings.push_back(warning);
    }
  }

  // With mutex_ held. RFC 4122, version 4.
  std::string NewUuid() {
    const uint64_t high = (random_.Next() & ~uint64_t{0xF000}) | 0x4000;
    const uint64_t low = (random_.Next() & ~(uint64_t{3} << 62)) | (uint64_t{1} << 63);
    return absl::StrFormat("%08x-%04x-%04x-%04x-%012x", high >> 32, (high >> 16) & 0xFFFF,
                           high & 0xFFFF, low >> 48, low & 0xFFFFFFFFFFFF);
  }

  const Clock& clock_;
  WatchCache& cache_;
  const CatalogSource& catalogs_;
  const HookIndex mutating_, validating_;
  const std::unique_ptr<HttpsClient> client_;

  std::mutex mutex_;
  FastRandom random_;  // guarded by mutex_
};

}  // namespace

std::unique_ptr<Webhooks> NewWebhooks(const Clock& clock, WatchCache& cache,
                                      const CatalogSource& catalogs) {
  return std::make_unique<WebhooksImpl>(clock, cache, catalogs);
}

kube::Outcome CheckWebhookConfiguration(const AdmissionRequest& request) {
  const bool written =
      request.operation == Operation::kCreate || request.operation == Operation::kUpdate;
  const Value* hooks = request.object.Find("webhooks");
  if (!written || !IsExempt(request) || hooks == nullptr) return kube::Done{};
  kube::FieldErrors errors;
  for (size_t i = 0; i < hooks->items().size(); ++i) {
    const Value* conditions = hooks->items()[i].Find("matchConditions");
    if (conditions == nullptr || conditions->items().empty()) continue;
    errors.push_back(kube::ForbiddenField(
        kube::FieldPath("webhooks").Index(i).Child("matchConditions"),
        "conditions are CEL expressions, which this server does not evaluate; select by rules, "
        "namespaceSelector and objectSelector"));
  }
  if (errors.empty()) return kube::Done{};
  return kube::Invalid(request.resource->gvk(), request.name, errors);
}

}  // namespace meltemi::apiserver
