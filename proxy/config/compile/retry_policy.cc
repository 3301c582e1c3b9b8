#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "envoy/config/route/v3/route_components.pb.h"
#include "proxy/config/compile/matchers.h"
#include "proxy/config/compile/route_action.h"
#include "proxy/config/compile/try.h"
#include "proxy/config/compile/unsupported.h"

namespace meltemi::proxy {
namespace {

namespace route_v3 = envoy::config::route::v3;

constexpr absl::string_view kPreviousHosts =
    "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate";
constexpr absl::string_view kPreviousPriorities =
    "envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig";

absl::Status CompilePredicates(const route_v3::RetryPolicy& policy, absl::string_view where,
                               RetryPolicy* out) {
  for (int i = 0; i < policy.retry_host_predicate_size(); ++i) {
    const auto& predicate = policy.retry_host_predicate(i);
    // By the type when there is one (Istio sends it), else by Envoy's well-known name.
    const bool previous = predicate.has_typed_config()
                              ? AnyTypeName(predicate.typed_config()) == kPreviousHosts
                              : predicate.name() == "envoy.retry_host_predicates.previous_hosts";
    if (!previous) {
      return absl::InvalidArgumentError(absl::StrCat(where, ".retry_host_predicate[", i, "]: '",
                                                     predicate.name(), "' is not supported"));
    }
    out->other_hosts = true;
  }
  if (policy.has_retry_priority()) {
    const auto& priority = policy.retry_priority();
    if (AnyTypeName(priority.typed_config()) != kPreviousPriorities &&
        priority.name() != "envoy.retry_priorities.previous_priorities") {
      return absl::InvalidArgumentError(
          absl::StrCat(where, ".retry_priority: '", priority.name(), "' is not supported"));
    }
    out->other_priorities = true;
  }
  return absl::OkStatus();
}

absl::Status CompileBackoff(const route_v3::RetryPolicy& policy, absl::string_view where,
                            RetryPolicy* out) {
  if (!policy.has_retry_back_off()) return absl::OkStatus();
  const auto& backoff = policy.retry_back_off();
  const std::string at = absl::StrCat(where, ".retry_back_off");
  if (backoff.has_base_interval()) {
    ASSIGN_OR_RETURN(out->backoff_base,
                     CompileDuration(backoff.base_interval(), absl::StrCat(at, ".base_interval")));
  }
  if (out->backoff_base <= Duration(0)) {
    return absl::InvalidArgumentError(absl::StrCat(at, ".base_interval must be above 0"));
  }
  out->backoff_max = out->backoff_base * 10;
  if (backoff.has_max_interval()) {
    ASSIGN_OR_RETURN(out->backoff_max,
                     CompileDuration(backoff.max_interval(), absl::StrCat(at, ".max_interval")));
  }
  if (out->backoff_max < out->backoff_base) {
    return absl::InvalidArgumentError(absl::StrCat(at, ".max_interval is below base_interval"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::shared_ptr<const RetryPolicy>> CompileRetryPolicy(
    const route_v3::RetryPolicy& policy, absl::string_view where) {
  RETURN_IF_ERROR(
      CheckSupported(policy, where,
                     {"retry_on", "num_retries.**", "per_try_timeout.**", "per_try_idle_timeout.**",
                      "retry_priority.**", "retry_host_predicate.**",
                      "host_selection_retry_max_attempts", "retriable_status_codes",
                      "retry_back_off.**", "retriable_headers", "retriable_request_headers"}));
  auto out = std::make_shared<RetryPolicy>();
  std::string bad_word;
  if (!ParseRetryOn(policy.retry_on(), &out->retry_on, &out->retriable_status_codes, &bad_word)) {
    return absl::InvalidArgumentError(
        absl::StrCat(where, ".retry_on: unknown condition \"", bad_word, "\""));
  }
  if (policy.has_num_retries()) out->retries_max = policy.num_retries().value();
  if (policy.has_per_try_timeout()) {
    ASSIGN_OR_RETURN(
        out->per_try_timeout,
        CompileDuration(policy.per_try_timeout(), absl::StrCat(where, ".per_try_timeout")));
  }
  if (policy.has_per_try_idle_timeout()) {
    ASSIGN_OR_RETURN(out->per_try_idle_timeout,
                     CompileDuration(policy.per_try_idle_timeout(),
                                     absl::StrCat(where, ".per_try_idle_timeout")));
  }
  RETURN_IF_ERROR(CompilePredicates(policy, where, out.get()));
  RETURN_IF_ERROR(CompileBackoff(policy, where, out.get()));
  if (policy.host_selection_retry_max_attempts() > 0) {
    out->host_selection_tries =
        static_cast<uint32_t>(std::min<int64_t>(policy.host_selection_retry_max_attempts(), 100));
  }
  for (const uint32_t code : policy.retriable_status_codes()) {
    out->retriable_status_codes.push_back(code);
  }
  ASSIGN_OR_RETURN(
      out->retriable_headers,
      CompileHeaderMatchers(policy.retriable_headers(), absl::StrCat(where, ".retriable_headers")));
  ASSIGN_OR_RETURN(out->retriable_request_headers,
                   CompileHeaderMatchers(policy.retriable_request_headers(),
                                         absl::StrCat(where, ".retriable_request_headers")));
  return std::shared_ptr<const RetryPolicy>(std::move(out));
}

}  // namespace meltemi::proxy
