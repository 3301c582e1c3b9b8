#include "base/grpc/status.h"

#include <algorithm>
#include <cstdint>
#include <limits>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace meltemi::http::grpc {
namespace {

constexpr absl::string_view kContentType = "application/grpc";

constexpr absl::string_view kCodeNames[] = {
    "OK",
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
    "UNAUTHENTICATED",
};
constexpr int kCodesCount = sizeof(kCodeNames) / sizeof(kCodeNames[0]);

struct Unit {
  char letter;
  int64_t nanoseconds;
};
// From the smallest up.
constexpr Unit kUnits[] = {{'n', 1},
                           {'u', 1000},
                           {'m', 1000 * 1000},
                           {'S', 1000 * 1000 * 1000},
                           {'M', 60LL * 1000 * 1000 * 1000},
                           {'H', 3600LL * 1000 * 1000 * 1000}};
constexpr int64_t kTimeoutValueMax = 99999999;

int HexValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

bool IsGrpcContentType(absl::string_view content_type) {
  if (!absl::StartsWithIgnoreCase(content_type, kContentType)) return false;
  if (content_type.size() == kContentType.size()) return true;
  const char next = content_type[kContentType.size()];
  return next == '+' || next == ';' || next == ' ';
}

absl::StatusCode CodeFromHttpStatus(int http_status) {
  switch (http_status) {
    case 400:
      return absl::StatusCode::kInternal;
    case 401:
      return absl::StatusCode::kUnauthenticated;
    case 403:
      return absl::StatusCode::kPermissionDenied;
    case 404:
      return absl::StatusCode::kUnimplemented;
    case 429:
    case 502:
    case 503:
    case 504:
      return absl::StatusCode::kUnavailable;
    default:
      return absl::StatusCode::kUnknown;
  }
}

int HttpStatusFromCode(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kOk:
      return 200;
    case absl::StatusCode::kCancelled:
      return 499;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kOutOfRange:
      return 400;
    case absl::StatusCode::kDeadlineExceeded:
      return 504;
    case absl::StatusCode::kNotFound:
      return 404;
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kAborted:
      return 409;
    case absl::StatusCode::kPermissionDenied:
      return 403;
    case absl::StatusCode::kUnauthenticated:
      return 401;
    case absl::StatusCode::kResourceExhausted:
      return 429;
    case absl::StatusCode::kUnimplemented:
      return 501;
    case absl::StatusCode::kUnavailable:
      return 503;
    default:
      return 500;
  }
}

absl::string_view CodeName(absl::StatusCode code) {
  const int number = static_cast<int>(code);
  return number >= 0 && number < kCodesCount ? kCodeNames[number] : "UNKNOWN";
}

std::optional<absl::StatusCode> ParseCode(absl::string_view text) {
  int number = -1;
  if (absl::SimpleAtoi(text, &number)) {
    if (number < 0 || number >= kCodesCount) return std::nullopt;
    return static_cast<absl::StatusCode>(number);
  }
  for (int i = 0; i < kCodesCount; ++i) {
    if (absl::EqualsIgnoreCase(text, kCodeNames[i])) return static_cast<absl::StatusCode>(i);
  }
  return std::nullopt;
}

std::string EncodeMessage(absl::string_view message) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string encoded;
  encoded.reserve(message.size());
  for (const char c : message) {
    const auto byte = static_cast<uint8_t>(c);
    if (byte >= 0x20 && byte < 0x7f && c != '%') {
      encoded.push_back(c);
    } else {
      encoded.append({'%', kHex[byte >> 4], kHex[byte & 15]});
    }
  }
  return encoded;
}

std::string DecodeMessage(absl::string_view encoded) {
  std::string message;
  message.reserve(encoded.size());
  for (size_t i = 0; i < encoded.size(); ++i) {
    if (encoded[i] == '%' && i + 2 < encoded.size() && HexValue(encoded[i + 1]) >= 0 &&
        HexValue(encoded[i + 2]) >= 0) {
      message.push_back(
          static_cast<char>(HexValue(encoded[i + 1]) * 16 + HexValue(encoded[i + 2])));
      i += 2;
    } else {
      message.push_back(encoded[i]);
    }
  }
  return message;
}

std::optional<absl::Status> StatusFromTrailers(const http::HeaderMap& trailers) {
  const http::HeaderMap::Entry* status = trailers.Find(http::HeaderId::kGrpcStatus);
  if (status == nullptr) return std::nullopt;
  const std::string message = DecodeMessage(trailers.Get(http::HeaderId::kGrpcMessage));
  int number = -1;
  if (!absl::SimpleAtoi(status->value, &number) || number < 0) {
    return absl::UnknownError(absl::StrCat("grpc-status \"", status->value, "\": ", message));
  }
  if (number == 0) return absl::OkStatus();
  if (number >= kCodesCount) return absl::UnknownError(message);
  return absl::Status(static_cast<absl::StatusCode>(number), message);
}

std::optional<Duration> ParseTimeout(absl::string_view text) {
  if (text.size() < 2 || text.size() > 9) return std::nullopt;
  int64_t value = 0;
  for (const char c : text.substr(0, text.size() - 1)) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + (c - '0');
  }
  for (const Unit& unit : kUnits) {
    if (unit.letter != text.back()) continue;
    if (value > std::numeric_limits<int64_t>::max() / unit.nanoseconds) return Duration::max();
    return Duration(value * unit.nanoseconds);
  }
  return std::nullopt;
}

std::string FormatTimeout(Duration timeout) {
  const int64_t nanoseconds = std::max<int64_t>(timeout.count(), 1);
  for (const Unit& unit : kUnits) {
    // Rounded up: the peer must not give up before we do.
    const int64_t value = nanoseconds / unit.nanoseconds + (nanoseconds % unit.nanoseconds != 0);
    const bool last = unit.letter == 'H';
    if (value <= kTimeoutValueMax || last) {
      return absl::StrCat(std::min(value, kTimeoutValueMax), absl::string_view(&unit.letter, 1));
    }
  }
  return "1n";
}

}  // namespace meltemi::http::grpc
