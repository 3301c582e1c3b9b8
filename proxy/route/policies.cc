#include "proxy/route/policies.h"

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"

namespace meltemi::proxy {
namespace {

constexpr std::array<std::pair<absl::string_view, uint32_t>, 16> kRetryWords = {{
    {"5xx", kRetry5xx},
    {"gateway-error", kRetryGatewayError},
    {"reset", kRetryReset},
    {"reset-before-request", kRetryResetBeforeRequest},
    {"connect-failure", kRetryConnectFailure},
    {"refused-stream", kRetryRefusedStream},
    {"retriable-4xx", kRetryRetriable4xx},
    {"retriable-status-codes", kRetryRetriableStatusCodes},
    {"retriable-headers", kRetryRetriableHeaders},
    {"envoy-ratelimited", kRetryEnvoyRateLimited},
    {"http3-post-connect-failure", kRetryHttp3PostConnect},
    {"cancelled", kRetryGrpcCancelled},
    {"deadline-exceeded", kRetryGrpcDeadlineExceeded},
    {"internal", kRetryGrpcInternal},
    {"resource-exhausted", kRetryGrpcResourceExhausted},
    {"unavailable", kRetryGrpcUnavailable},
}};

}  // namespace

bool ParseRetryOn(absl::string_view words, uint32_t* bits, std::vector<uint32_t>* status_codes,
                  std::string* bad_word) {
  for (const absl::string_view part : absl::StrSplit(words, ',')) {
    const absl::string_view word = absl::StripAsciiWhitespace(part);
    if (word.empty()) continue;
    const auto* known = std::find_if(kRetryWords.begin(), kRetryWords.end(),
                                     [&](const auto& entry) { return entry.first == word; });
    if (known != kRetryWords.end()) {
      *bits |= known->second;
      continue;
    }
    uint32_t code = 0;
    if (!absl::SimpleAtoi(word, &code) || code < 100 || code > 599) {
      if (bad_word != nullptr) *bad_word = std::string(word);
      return false;
    }
    *bits |= kRetryRetriableStatusCodes;
    if (std::find(status_codes->begin(), status_codes->end(), code) == status_codes->end()) {
      status_codes->push_back(code);
    }
  }
  return true;
}

}  // namespace meltemi::proxy
