#include <array>
#include <charconv>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/time/time.h"
#include "proxy/observe/format_command.h"
#include "proxy/observe/stream_info.h"
#include "proxy/observe/tls_info.h"
#include "proxy/route/route.h"
#include "proxy/stream/reply/stream_error.h"
#include "proxy/upstream/cluster/host.h"

namespace meltemi::proxy {
namespace {

constexpr std::array<absl::string_view, 17> kGrpcCamel = {
    "OK",       "Canceled",       "Unknown",          "InvalidArgument",   "DeadlineExceeded",
    "NotFound", "AlreadyExists",  "PermissionDenied", "ResourceExhausted", "FailedPrecondition",
    "Aborted",  "OutOfRange",     "Unimplemented",    "Internal",          "Unavailable",
    "DataLoss", "Unauthenticated"};
constexpr std::array<absl::string_view, 17> kGrpcSnake = {
    "OK",        "CANCELLED",      "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
    "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
    "ABORTED",   "OUT_OF_RANGE",   "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
    "DATA_LOSS", "UNAUTHENTICATED"};

ValueKind Text(absl::string_view value, size_t bytes_max, std::string* out) {
  if (value.empty()) return ValueKind::kNone;
  const absl::string_view shown = value.substr(0, bytes_max);
  out->append(shown.data(), shown.size());
  return ValueKind::kText;
}

ValueKind Number(int64_t value, std::string* out) {
  char digits[24];
  const char* const end = std::to_chars(digits, digits + sizeof(digits), value).ptr;
  out->append(digits, static_cast<size_t>(end - digits));
  return ValueKind::kNumber;
}

const http::HeaderMap* MapOf(CommandKind kind, const FormatInput& input) {
  switch (kind) {
    case CommandKind::kResponseHeader:
      return input.response;
    case CommandKind::kTrailer:
      return input.trailers;
    default:
      return input.request;
  }
}

ValueKind Header(const FormatCommand& command, const FormatInput& input, std::string* out) {
  const http::HeaderMap* map = MapOf(command.kind, input);
  if (map == nullptr) return ValueKind::kNone;
  if (command.name == ":status") return Number(map->status(), out);
  absl::string_view value = map->Get(command.name);
  if (value.empty() && !command.alternative.empty()) value = map->Get(command.alternative);
  if (command.kind == CommandKind::kRequestWithoutQuery) value = value.substr(0, value.find('?'));
  return Text(value, command.bytes_max, out);
}

// Days since 1970-01-01 to a proleptic Gregorian date (H. Hinnant's algorithm).
void CivilFromDays(int64_t days, int64_t* year, unsigned* month, unsigned* day) {
  days += 719468;
  const int64_t era = (days >= 0 ? days : days - 146096) / 146097;
  const unsigned day_of_era = static_cast<unsigned>(days - era * 146097);
  const unsigned year_of_era =
      (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  const unsigned day_of_year =
      day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const unsigned shifted = (5 * day_of_year + 2) / 153;
  *day = day_of_year - (153 * shifted + 2) / 5 + 1;
  *month = shifted < 10 ? shifted + 3 : shifted - 9;
  *year = static_cast<int64_t>(year_of_era) + era * 400 + (*month <= 2 ? 1 : 0);
}

void Digits(uint64_t value, int width, char* end) {
  for (int i = 1; i <= width; ++i, value /= 10) *(end - i) = static_cast<char>('0' + value % 10);
}

// Envoy's default: 2024-01-02T03:04:05.678Z.
void AppendDefaultTime(WallTime time, std::string* out) {
  const int64_t ms = ToMillis(time.time_since_epoch());
  const int64_t day_ms = 86'400'000;
  int64_t days = ms / day_ms;
  if (ms % day_ms < 0) --days;
  const uint64_t of_day = static_cast<uint64_t>(ms - days * day_ms);
  int64_t year;
  unsigned month, day;
  CivilFromDays(days, &year, &month, &day);
  char text[] = "0000-00-00T00:00:00.000Z";
  Digits(static_cast<uint64_t>(year < 0 ? 0 : year), 4, text + 4);
  Digits(month, 2, text + 7);
  Digits(day, 2, text + 10);
  Digits(of_day / 3'600'000, 2, text + 13);
  Digits(of_day / 60'000 % 60, 2, text + 16);
  Digits(of_day / 1000 % 60, 2, text + 19);
  Digits(of_day % 1000, 3, text + 23);
  out->append(text, sizeof(text) - 1);
}

ValueKind Time(const FormatCommand& command, WallTime time, std::string* out) {
  if (command.time_format.empty()) {
    AppendDefaultTime(time, out);
  } else {
    absl::StrAppend(out, absl::FormatTime(command.time_format,
                                          absl::FromUnixNanos(time.time_since_epoch().count()),
                                          absl::UTCTimeZone()));
  }
  return ValueKind::kText;
}

ValueKind Span(MonotonicTime from, MonotonicTime to, int64_t tick_ns, std::string* out) {
  if (from == MonotonicTime{} || to == MonotonicTime{} || to < from) return ValueKind::kNone;
  return Number((to - from).count() / tick_ns, out);
}

MonotonicTime At(TimePoint point, const StreamInfo& info) {
  switch (point) {
    case TimePoint::kRequestStart:
      return info.start;
    case TimePoint::kRequestEnd:
      return info.request_complete;
    case TimePoint::kUpstreamTxStart:
      return info.upstream_first_tx;
    case TimePoint::kUpstreamTxEnd:
      return info.upstream_last_tx;
    case TimePoint::kUpstreamRxStart:
      return info.upstream_first_rx;
    case TimePoint::kUpstreamRxEnd:
      return info.upstream_last_rx;
    case TimePoint::kDownstreamTxStart:
      return info.downstream_first_tx;
    case TimePoint::kEnd:
      return info.end;
  }
  return {};
}

ValueKind Address(const net::Address& address, AddressPart part, std::string* out) {
  if (!address.set()) return ValueKind::kNone;
  if (part == AddressPart::kPort) {
    return address.is_ip() ? Number(address.port(), out) : ValueKind::kNone;
  }
  const bool ip_only = part == AddressPart::kIp && address.is_ip();
  return Text(ip_only ? address.ip() : address.ToString(), SIZE_MAX, out);
}

ValueKind HostName(const FormatCommand& command, const Host& host, std::string* out) {
  const EndpointConfig& config = host.config;
  std::string name = !config.hostname.empty() ? config.hostname : config.dns_name;
  if (name.empty()) return Address(config.address, command.part, out);
  if (command.part == AddressPart::kIp) name = name.substr(0, name.find(':'));
  return Text(name, SIZE_MAX, out);
}

ValueKind Cluster(const FormatCommand& command, const StreamInfo& info, std::string* out) {
  if (info.cluster == nullptr) return ValueKind::kNone;
  const bool alternative =
      command.kind == CommandKind::kUpstreamCluster && !info.cluster->alt_stat_name.empty();
  return Text(alternative ? info.cluster->alt_stat_name : info.cluster->name, SIZE_MAX, out);
}

ValueKind GrpcStatus(const FormatCommand& command, const StreamInfo& info, std::string* out) {
  if (info.grpc_status < 0) return ValueKind::kNone;
  if (command.grpc == GrpcFormat::kNumber || info.grpc_status > 16) {
    return Number(info.grpc_status, out);
  }
  const auto& names = command.grpc == GrpcFormat::kCamel ? kGrpcCamel : kGrpcSnake;
  return Text(names[info.grpc_status], SIZE_MAX, out);
}

// One word, as Envoy writes it: logs are cut into fields at spaces.
ValueKind Reason(const std::string& reason, std::string* out) {
  if (reason.empty()) return ValueKind::kNone;
  return Text(absl::StrReplaceAll(reason, {{" ", "_"}}), SIZE_MAX, out);
}

ValueKind Upstream(const FormatCommand& command, const StreamInfo& info, std::string* out) {
  switch (command.kind) {
    case CommandKind::kUpstreamAddress:
      return info.upstream_host == nullptr
                 ? ValueKind::kNone
                 : Address(info.upstream_host->config.address, command.part, out);
    case CommandKind::kUpstreamHostName:
      return info.upstream_host == nullptr ? ValueKind::kNone
                                           : HostName(command, *info.upstream_host, out);
    case CommandKind::kUpstreamLocalAddress:
      return info.upstream_local.has_value() ? Address(*info.upstream_local, command.part, out)
                                             : ValueKind::kNone;
    case CommandKind::kUpstreamProtocol:
      return info.upstream_protocol.has_value()
                 ? Text(http::ProtocolName(*info.upstream_protocol), SIZE_MAX, out)
                 : ValueKind::kNone;
    case CommandKind::kUpstreamAttempts:
      return Number(info.attempts, out);
    case CommandKind::kUpstreamTransportFailure:
      return Reason(info.upstream_transport_failure, out);
    default:
      return Cluster(command, info, out);
  }
}

ValueKind Downstream(const FormatCommand& command, const StreamInfo& info, std::string* out) {
  switch (command.kind) {
    case CommandKind::kDownstreamRemoteAddress:
      return Address(info.downstream_remote, command.part, out);
    case CommandKind::kDownstreamDirectAddress:
      return Address(info.downstream_direct_remote, command.part, out);
    case CommandKind::kDownstreamLocalAddress:
      return Address(info.downstream_local, command.part, out);
    case CommandKind::kProtocol:
      return info.protocol.has_value() ? Text(http::ProtocolName(*info.protocol), SIZE_MAX, out)
                                       : ValueKind::kNone;
    case CommandKind::kConnectionId:
      return Number(static_cast<int64_t>(info.connection_id), out);
    case CommandKind::kServerName:
      return Text(info.requested_server_name, SIZE_MAX, out);
    default:
      return Text(info.connection_termination_details, SIZE_MAX, out);
  }
}

ValueKind Tls(const FormatCommand& command, const TlsInfo* tls, std::string* out) {
  if (tls == nullptr) return ValueKind::kNone;
  const auto at = [](int64_t unix_s) { return WallTime(seconds(unix_s)); };
  switch (command.tls) {
    case TlsField::kVersion:
      return Text(tls->version, SIZE_MAX, out);
    case TlsField::kCipher:
      return Text(tls->cipher, SIZE_MAX, out);
    case TlsField::kPeerUriSan:
      return Text(absl::StrJoin(tls->peer_uri_sans, ","), SIZE_MAX, out);
    case TlsField::kPeerDnsSan:
      return Text(absl::StrJoin(tls->peer_dns_sans, ","), SIZE_MAX, out);
    case TlsField::kPeerSubject:
      return Text(tls->peer_subject, SIZE_MAX, out);
    case TlsField::kPeerIssuer:
      return Text(tls->peer_issuer, SIZE_MAX, out);
    case TlsField::kPeerSerial:
      return Text(tls->peer_serial, SIZE_MAX, out);
    case TlsField::kPeerFingerprint:
      return Text(tls->peer_sha256, SIZE_MAX, out);
    case TlsField::kPeerCertStart:
      return tls->peer_presented ? Time(command, at(tls->peer_not_before_s), out)
                                 : ValueKind::kNone;
    case TlsField::kPeerCertEnd:
      return tls->peer_presented ? Time(command, at(tls->peer_not_after_s), out) : ValueKind::kNone;
    case TlsField::kLocalUriSan:
      return Text(absl::StrJoin(tls->local_uri_sans, ","), SIZE_MAX, out);
    case TlsField::kLocalDnsSan:
      return Text(absl::StrJoin(tls->local_dns_sans, ","), SIZE_MAX, out);
    case TlsField::kLocalSubject:
      return Text(tls->local_subject, SIZE_MAX, out);
  }
  return ValueKind::kNone;
}

// Header changes are made before the response's headers go out, when the record has no code yet.
int ResponseCode(const FormatInput& input) {
  if (input.info->response_code != 0 || input.response == nullptr) return input.info->response_code;
  return input.response->status();
}

ValueKind Interval(const FormatCommand& command, const StreamInfo& info, std::string* out) {
  constexpr int64_t kMs = 1'000'000;
  switch (command.kind) {
    case CommandKind::kDuration:
      return Span(info.start, info.end, kMs, out);
    case CommandKind::kRequestDuration:
      return Span(info.start, info.request_complete, kMs, out);
    case CommandKind::kRequestTxDuration:
      return Span(info.start, info.upstream_last_tx, kMs, out);
    case CommandKind::kResponseDuration:
      return Span(info.start, info.upstream_first_rx, kMs, out);
    case CommandKind::kResponseTxDuration:
      return Span(info.upstream_first_rx, info.end, kMs, out);
    default:
      return Span(At(command.from, info), At(command.to, info), command.tick_ns, out);
  }
}

}  // namespace

ValueKind AppendValue(const FormatCommand& command, const FormatInput& input, std::string* out) {
  const StreamInfo& info = *input.info;
  switch (command.kind) {
    case CommandKind::kConstant:
      return Text(command.name, command.bytes_max, out);
    case CommandKind::kRequestHeader:
    case CommandKind::kResponseHeader:
    case CommandKind::kTrailer:
    case CommandKind::kRequestWithoutQuery:
      return Header(command, input, out);
    case CommandKind::kStartTime:
      return Time(command, info.start_wall, out);
    case CommandKind::kEmitTime:
      // The moment of the log line is the end of the stream.
      return Time(command, info.start_wall + (info.end - info.start), out);
    case CommandKind::kResponseCode:
      return Number(ResponseCode(input), out);
    case CommandKind::kResponseCodeDetails:
      return Text(info.response_code_details, SIZE_MAX, out);
    case CommandKind::kResponseFlags:
      return Text(ResponseFlagsText(info.response_flags), SIZE_MAX, out);  // "-" is a value here
    case CommandKind::kBytesReceived:
      return Number(static_cast<int64_t>(info.bytes_received), out);
    case CommandKind::kBytesSent:
      return Number(static_cast<int64_t>(info.bytes_sent), out);
    case CommandKind::kRequestHeaderBytes:
      return Number(static_cast<int64_t>(info.request_header_bytes), out);
    case CommandKind::kResponseHeaderBytes:
      return Number(static_cast<int64_t>(info.response_header_bytes), out);
    case CommandKind::kRouteName:
      return Text(info.route_name, SIZE_MAX, out);
    case CommandKind::kVirtualHostName:
      return info.route == nullptr ? ValueKind::kNone
                                   : Text(info.route->virtual_host, SIZE_MAX, out);
    case CommandKind::kGrpcStatus:
      return GrpcStatus(command, info, out);
    case CommandKind::kDuration:
    case CommandKind::kRequestDuration:
    case CommandKind::kRequestTxDuration:
    case CommandKind::kResponseDuration:
    case CommandKind::kResponseTxDuration:
    case CommandKind::kCommonDuration:
      return Interval(command, info, out);
    case CommandKind::kDownstreamTransportFailure:
      return Reason(info.downstream_transport_failure, out);
    case CommandKind::kDownstreamTls:
      return Tls(command, info.downstream_tls, out);
    case CommandKind::kUpstreamTls:
      return Tls(command, info.upstream_tls.get(), out);
    case CommandKind::kUpstreamAddress:
    case CommandKind::kUpstreamHostName:
    case CommandKind::kUpstreamLocalAddress:
    case CommandKind::kUpstreamProtocol:
    case CommandKind::kUpstreamAttempts:
    case CommandKind::kUpstreamTransportFailure:
    case CommandKind::kUpstreamCluster:
    case CommandKind::kUpstreamClusterRaw:
      return Upstream(command, info, out);
    default:
      return Downstream(command, info, out);
  }
}

}  // namespace meltemi::proxy
