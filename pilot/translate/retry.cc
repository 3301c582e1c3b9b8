#include "pilot/translate/retry.h"

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "envoy/config/route/v3/route_components.pb.h"
#include "envoy/extensions/retry/host/previous_hosts/v3/previous_hosts.pb.h"
#include "networking/v1/virtual_service.pb.h"
#include "pilot/translate/resource.h"

namespace meltemi::pilot {
namespace {

using envoy::config::route::v3::RetryPolicy;

constexpr absl::string_view kRetriableStatusCodes = "retriable-status-codes";
constexpr absl::string_view kDefaultConditions =
    "connect-failure,refused-stream,unavailable,cancelled,503";
constexpr uint32_t kDefaultRetries = 2;
constexpr int64_t kHostSelectionAttempts = 5;

// Status codes may stand among the conditions; Envoy wants them apart.
void SetConditions(absl::string_view conditions, RetryPolicy* policy) {
  std::vector<std::string> words;
  bool names_codes = false;
  for (absl::string_view word : absl::StrSplit(conditions, ',')) {
    word = absl::StripAsciiWhitespace(word);
    uint32_t code = 0;
    if (word.empty()) continue;
    if (absl::SimpleAtoi(word, &code)) {
      policy->add_retriable_status_codes(code);
      continue;
    }
    names_codes = names_codes || word == kRetriableStatusCodes;
    words.emplace_back(word);
  }
  if (policy->retriable_status_codes_size() > 0 && !names_codes) {
    words.emplace_back(kRetriableStatusCodes);
  }
  policy->set_retry_on(absl::StrJoin(words, ","));
}

void PreferOtherHosts(RetryPolicy* policy) {
  auto* predicate = policy->add_retry_host_predicate();
  predicate->set_name("envoy.retry_host_predicates.previous_hosts");
  PackAny(envoy::extensions::retry::host::previous_hosts::v3::PreviousHostsPredicate(),
          predicate->mutable_typed_config());
  policy->set_host_selection_retry_max_attempts(kHostSelectionAttempts);
}

}  // namespace

void SetRetryPolicy(const networking::HTTPRetry* retries, bool hashed,
                    envoy::config::route::v3::RouteAction* out) {
  if (retries != nullptr && retries->attempts() <= 0) return;
  RetryPolicy& policy = *out->mutable_retry_policy();
  const bool own = retries != nullptr && !retries->retry_on().empty();
  SetConditions(own ? absl::string_view(retries->retry_on()) : kDefaultConditions, &policy);
  policy.mutable_num_retries()->set_value(
      retries != nullptr ? static_cast<uint32_t>(retries->attempts()) : kDefaultRetries);
  const bool ignore_previous = retries == nullptr || !retries->has_retry_ignore_previous_hosts() ||
                               retries->retry_ignore_previous_hosts().value();
  if (ignore_previous && !hashed) PreferOtherHosts(&policy);
  if (retries == nullptr) return;
  if (retries->has_per_try_timeout()) {
    *policy.mutable_per_try_timeout() = retries->per_try_timeout();
  }
  if (retries->has_backoff()) {
    *policy.mutable_retry_back_off()->mutable_base_interval() = retries->backoff();
  }
}

}  // namespace meltemi::pilot
