// gRPC's status over HTTP: codes, messages, time-outs (gRPC over HTTP/2, "Responses" and
// "Requests").
//
// Stateless. absl::StatusCode has gRPC's numbers.
#pragma once

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "base/clock/clock.h"
#include "base/http/header_map.h"

namespace meltemi::http::grpc {

// True for application/grpc, also with a suffix or parameters ("+proto", ";…"), not for grpc-web.
bool IsGrpcContentType(absl::string_view content_type);

// The code of an HTTP status that came without grpc-status (gRPC's http-grpc-status-mapping).
absl::StatusCode CodeFromHttpStatus(int http_status);
// The HTTP status that says the same: for statistics and outlier detection.
int HttpStatusFromCode(absl::StatusCode code);
// "UNAVAILABLE" …; "UNKNOWN" for what is no code.
absl::string_view CodeName(absl::StatusCode code);
// "14" or, as some configuration has it, "unavailable" / "UNAVAILABLE".
std::optional<absl::StatusCode> ParseCode(absl::string_view text);

// Percent-encoding of grpc-message: printable ASCII but "%" stays.
std::string EncodeMessage(absl::string_view message);
// Lenient: a malformed escape stays as it is.
std::string DecodeMessage(absl::string_view encoded);

// The status that trailers (or headers that are all of the response) carry; nullopt when they have
// no grpc-status. A grpc-status that is no number is UNKNOWN.
std::optional<absl::Status> StatusFromTrailers(const http::HeaderMap& trailers);

// "15S", "100m" … (at most 8 digits and a unit of H M S m u n); nullopt when malformed.
std::optional<Duration> ParseTimeout(absl::string_view text);
// The largest unit that keeps it within 8 digits without shortening it; never below "1n".
std::string FormatTimeout(Duration timeout);

}  // namespace meltemi::http::grpc
