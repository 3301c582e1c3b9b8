// The grammars of the values in Istio's kinds. Each function returns what is wrong, or an empty
// text.
#pragma once

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace google::protobuf {
class Duration;
}  // namespace google::protobuf

namespace meltemi::pilot {

// DNS names; the first label may be "*" or begin with "*-". At most 255 characters.
std::string WhyNoWildcardHost(absl::string_view host);
// Without a wildcard, and not ending in a number (that would be an address).
std::string WhyNoFqdn(absl::string_view host);
// A wildcard host or an IP address.
std::string WhyNoHostOrIp(absl::string_view host);
std::string WhyNoIp(absl::string_view text);
// An address, or an address "/" prefix length.
std::string WhyNoSubnet(absl::string_view text);
// The path behind "unix://": absolute, or "@abstract".
std::string WhyNoUnixPath(absl::string_view path);
std::string WhyNoPort(int64_t number);
// Of a VirtualService's port names and the like: a DNS label.
std::string WhyNoPortName(absl::string_view name);
// "HTTP", "GRPC", "TLS", … in any case; empty means: look at the bytes.
std::string WhyNoProtocol(absl::string_view word);
bool IsHttpProtocol(absl::string_view word);
bool IsTlsProtocol(absl::string_view word);

// RFC 9110 token.
std::string WhyNoHeaderName(absl::string_view name);
// The same, or a pseudo-header such as ":authority": for matches.
std::string WhyNoHeaderNameOrPseudo(absl::string_view name);
// No control characters; "%" only in pairs (Envoy's command operators).
std::string WhyNoHeaderValue(absl::string_view value);
std::string WhyNoMethod(absl::string_view method);
// RE2, not empty, at most 1,024 characters.
std::string WhyNoRegex(absl::string_view regex);

// At least 1 ms, in whole milliseconds.
std::string WhyNoDuration(const google::protobuf::Duration& duration);
std::string WhyNoPercent(double percent);
// 0, or from 0.0001 to 100: finer than a millionth cannot be told apart.
std::string WhyNoFractionalPercent(double percent);
// A condition of Envoy's retry_on, or an HTTP status.
std::string WhyNoRetryCondition(absl::string_view word);
// "UNAVAILABLE" or "14".
std::string WhyNoGrpcStatus(absl::string_view word);

}  // namespace meltemi::pilot
