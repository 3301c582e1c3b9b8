#include "pilot/validate/grammar.h"

#include <arpa/inet.h>
#include <google/protobuf/duration.pb.h>
#include <re2/re2.h>

#include <cmath>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "pilot/ingest/names.h"

namespace meltemi::pilot {
namespace {

constexpr size_t kHostSizeMax = 255;
constexpr size_t kRegexSizeMax = 1024;

// 4, 6, or 0 for what is no address.
int AddressFamily(absl::string_view text) {
  const std::string copy(text);
  unsigned char address[16];
  if (inet_pton(AF_INET, copy.c_str(), address) == 1) return 4;
  if (inet_pton(AF_INET6, copy.c_str(), address) == 1) return 6;
  return 0;
}

// Letters of either case and "_" do occur in hosts of the wild, and Istio takes them.
std::string WhyNoHostLabel(absl::string_view label) {
  std::string lower = absl::AsciiStrToLower(label);
  for (char& c : lower) {
    if (c == '_') c = '-';
  }
  return WhyNoDnsLabel(lower).empty() ? "" : absl::StrCat("the label \"", label, "\" is malformed");
}

bool IsTokenChar(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
         absl::StrContains("!#$%&'*+-.^_`|~", c);
}

bool IsOneOf(absl::string_view word, const std::vector<absl::string_view>& words) {
  for (const absl::string_view known : words) {
    if (absl::EqualsIgnoreCase(word, known)) return true;
  }
  return false;
}

}  // namespace

std::string WhyNoWildcardHost(absl::string_view host) {
  if (host.empty()) return "a host must not be empty";
  if (host.size() > kHostSizeMax) return "the host is longer than 255 characters";
  if (host == "*") return "";
  absl::string_view rest = host;
  if (absl::ConsumePrefix(&rest, "*.") || absl::ConsumePrefix(&rest, "*-")) {
    if (rest.empty()) return absl::StrCat("\"", host, "\" is no host name");
  }
  absl::ConsumeSuffix(&rest, ".");
  for (const absl::string_view label : absl::StrSplit(rest, '.')) {
    if (const std::string wrong = WhyNoHostLabel(label); !wrong.empty()) {
      return absl::StrCat("\"", host, "\" is no host name: ", wrong);
    }
  }
  return "";
}

std::string WhyNoFqdn(absl::string_view host) {
  if (absl::StrContains(host, '*')) return absl::StrCat("\"", host, "\" must not be a wildcard");
  if (std::string wrong = WhyNoWildcardHost(host); !wrong.empty()) return wrong;
  const size_t dot = host.rfind('.');
  const absl::string_view last = dot == absl::string_view::npos ? host : host.substr(dot + 1);
  if (!last.empty() && last.find_first_not_of("0123456789") == absl::string_view::npos) {
    return absl::StrCat("\"", host, "\" is no host name: its last part is a number");
  }
  return "";
}

std::string WhyNoHostOrIp(absl::string_view host) {
  return AddressFamily(host) != 0 ? "" : WhyNoWildcardHost(host);
}

std::string WhyNoIp(absl::string_view text) {
  return AddressFamily(text) != 0 ? "" : absl::StrCat("\"", text, "\" is no IP address");
}

std::string WhyNoSubnet(absl::string_view text) {
  const size_t slash = text.find('/');
  if (slash == absl::string_view::npos) return WhyNoIp(text);
  const int family = AddressFamily(text.substr(0, slash));
  int bits;
  if (family == 0 || !absl::SimpleAtoi(text.substr(slash + 1), &bits) || bits < 0 ||
      bits > (family == 4 ? 32 : 128)) {
    return absl::StrCat("\"", text, "\" is no subnet such as \"10.0.0.0/8\"");
  }
  return "";
}

std::string WhyNoUnixPath(absl::string_view path) {
  if (absl::StartsWith(path, "@") && path.size() > 1) return "";
  if (absl::StartsWith(path, "/") && !absl::EndsWith(path, "/")) return "";
  return absl::StrCat("\"", path, "\" is no absolute path of a socket");
}

std::string WhyNoPort(int64_t number) {
  if (number >= 1 && number <= 65535) return "";
  return absl::StrCat("a port must be from 1 to 65535, not ", number);
}

std::string WhyNoPortName(absl::string_view name) {
  if (name.empty()) return "a port needs a name";
  return WhyNoDnsLabel(name);
}

std::string WhyNoProtocol(absl::string_view word) {
  static const std::vector<absl::string_view> kWords = {"HTTP",  "HTTP2", "GRPC",  "GRPC-WEB",
                                                        "HTTPS", "TLS",   "TCP",   "UDP",
                                                        "MONGO", "MYSQL", "REDIS", "HTTP_PROXY"};
  if (word.empty() || IsOneOf(word, kWords)) return "";
  return absl::StrCat("\"", word, "\" is no protocol: expected one of ",
                      absl::StrJoin(kWords, ", "));
}

bool IsHttpProtocol(absl::string_view word) {
  return IsOneOf(word, {"HTTP", "HTTP2", "GRPC", "GRPC-WEB", "HTTP_PROXY"});
}

bool IsTlsProtocol(absl::string_view word) { return IsOneOf(word, {"HTTPS", "TLS"}); }

std::string WhyNoHeaderName(absl::string_view name) {
  if (name.empty()) return "a header name must not be empty";
  for (const char c : name) {
    if (!IsTokenChar(c)) return absl::StrCat("\"", name, "\" is no header name");
  }
  return "";
}

std::string WhyNoHeaderNameOrPseudo(absl::string_view name) {
  absl::string_view rest = name;
  absl::ConsumePrefix(&rest, ":");
  return WhyNoHeaderName(rest).empty() ? "" : WhyNoHeaderName(name);
}

std::string WhyNoHeaderValue(absl::string_view value) {
  size_t percents = 0;
  for (const char c : value) {
    const unsigned char u = static_cast<unsigned char>(c);
    if (c == '%') ++percents;
    if ((u < 0x20 && c != '\t') || u == 0x7F)
      return "a header value must not hold control characters";
  }
  if (percents % 2 == 0) return "";
  return "a single \"%\" is not allowed: write \"%%\", or \"%NAME%\" for a command operator";
}

std::string WhyNoMethod(absl::string_view method) {
  static const std::vector<absl::string_view> kMethods = {
      "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE", "*"};
  for (const absl::string_view known : kMethods) {
    if (method == known) return "";
  }
  return absl::StrCat("\"", method, "\" is no HTTP method: expected one of ",
                      absl::StrJoin(kMethods, ", "));
}

std::string WhyNoRegex(absl::string_view regex) {
  if (regex.empty()) return "a regular expression must not be empty";
  if (regex.size() > kRegexSizeMax) {
    return absl::StrCat("the regular expression has ", regex.size(), " characters: more than ",
                        kRegexSizeMax);
  }
  const re2::RE2 compiled(re2::StringPiece(regex.data(), regex.size()), re2::RE2::Quiet);
  if (compiled.ok()) return "";
  return absl::StrCat("the regular expression \"", regex,
                      "\" is malformed (RE2): ", compiled.error());
}

std::string WhyNoDuration(const google::protobuf::Duration& duration) {
  const bool at_least_1ms =
      duration.seconds() > 0 || (duration.seconds() == 0 && duration.nanos() >= 1'000'000);
  if (!at_least_1ms) return "a duration must be at least 1ms";
  if (duration.nanos() % 1'000'000 != 0) return "a duration must be in whole milliseconds";
  return "";
}

std::string WhyNoPercent(double percent) {
  if (percent >= 0 && percent <= 100) return "";
  return absl::StrCat("a percentage must be from 0 to 100, not ", percent);
}

std::string WhyNoFractionalPercent(double percent) {
  if (percent == 0 || (percent >= 0.0001 && percent <= 100)) return "";
  return absl::StrCat("a percentage must be 0, or from 0.0001 to 100, not ", percent);
}

std::string WhyNoRetryCondition(absl::string_view word) {
  static const std::vector<absl::string_view> kWords = {"5xx",
                                                        "gateway-error",
                                                        "reset",
                                                        "reset-before-request",
                                                        "connect-failure",
                                                        "retriable-4xx",
                                                        "refused-stream",
                                                        "retriable-status-codes",
                                                        "retriable-headers",
                                                        "envoy-ratelimited",
                                                        "http3-post-connect-failure",
                                                        "cancelled",
                                                        "deadline-exceeded",
                                                        "internal",
                                                        "resource-exhausted",
                                                        "unavailable"};
  int status;
  if (absl::SimpleAtoi(word, &status) && status >= 100 && status <= 599) return "";
  for (const absl::string_view known : kWords) {
    if (word == known) return "";
  }
  return absl::StrCat("\"", word,
                      "\" is no condition for a retry: expected an HTTP status or one of ",
                      absl::StrJoin(kWords, ", "));
}

std::string WhyNoGrpcStatus(absl::string_view word) {
  static const std::vector<absl::string_view> kNames = {"OK",
                                                        "CANCELLED",
                                                        "UNKNOWN",
                                                        "INVALID_ARGUMENT",
                                                        "DEADLINE_EXCEEDED",
                                                        "NOT_FOUND",
                                                        "ALREADY_EXISTS",
                                                        "PERMISSION_DENIED",
                                                        "RESOURCE_EXHAUSTED",
                                                        "FAILED_PRECONDITION",
                                                        "ABORTED",
                                                        "OUT_OF_RANGE",
                                                        "UNIMPLEMENTED",
                                                        "INTERNAL",
                                                        "UNAVAILABLE",
                                                        "DATA_LOSS",
                                                        "UNAUTHENTICATED"};
  int number;
  if (absl::SimpleAtoi(word, &number) && number >= 0 && number <= 16) return "";
  if (IsOneOf(word, kNames)) return "";
  return absl::StrCat("\"", word, "\" is no gRPC status: expected one of ",
                      absl::StrJoin(kNames, ", "));
}

}  // namespace meltemi::pilot
