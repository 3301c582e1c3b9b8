// One command of the substitution language: how it is parsed and what it prints. Private to
// format.cc.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/http/header_map.h"
#include "proxy/observe/format.h"

namespace meltemi::proxy {

enum class CommandKind : uint8_t {
  kConstant,
  kRequestHeader,
  kResponseHeader,
  kTrailer,
  kRequestWithoutQuery,
  kStartTime,
  kEmitTime,
  kProtocol,
  kUpstreamProtocol,
  kResponseCode,
  kResponseCodeDetails,
  kResponseFlags,
  kBytesReceived,
  kBytesSent,
  kRequestHeaderBytes,
  kResponseHeaderBytes,
  kDuration,
  kRequestDuration,
  kRequestTxDuration,
  kResponseDuration,
  kResponseTxDuration,
  kCommonDuration,
  kUpstreamAddress,
  kUpstreamHostName,
  kUpstreamLocalAddress,
  kUpstreamCluster,
  kUpstreamClusterRaw,
  kUpstreamTransportFailure,
  kUpstreamAttempts,
  kDownstreamRemoteAddress,
  kDownstreamDirectAddress,
  kDownstreamLocalAddress,
  kConnectionId,
  kServerName,
  kRouteName,
  kVirtualHostName,
  kGrpcStatus,
  kTerminationDetails,
  kDownstreamTransportFailure,
  kDownstreamTls,
  kUpstreamTls,
};

// Of the handshake that kDownstreamTls and kUpstreamTls name.
enum class TlsField : uint8_t {
  kVersion,
  kCipher,
  kPeerUriSan,
  kPeerDnsSan,
  kPeerSubject,
  kPeerIssuer,
  kPeerSerial,
  kPeerFingerprint,
  kPeerCertStart,
  kPeerCertEnd,
  kLocalUriSan,
  kLocalDnsSan,
  kLocalSubject,
};

enum class AddressPart : uint8_t { kWhole, kIp, kPort };
enum class GrpcFormat : uint8_t { kCamel, kSnake, kNumber };
enum class TimePoint : uint8_t {
  kRequestStart,
  kRequestEnd,
  kUpstreamTxStart,
  kUpstreamTxEnd,
  kUpstreamRxStart,
  kUpstreamRxEnd,
  kDownstreamTxStart,
  kEnd,
};

struct FormatCommand {
  CommandKind kind = CommandKind::kConstant;
  std::string name, alternative;  // headers, lower case; kConstant: name is the text
  size_t bytes_max = SIZE_MAX;    // of the printed value
  std::string time_format;        // absl::FormatTime's; "": Envoy's default
  AddressPart part = AddressPart::kWhole;
  GrpcFormat grpc = GrpcFormat::kCamel;
  TlsField tls = TlsField::kVersion;
  TimePoint from = TimePoint::kRequestStart, to = TimePoint::kEnd;
  int64_t tick_ns = 1'000'000;  // kCommonDuration's unit
  std::string literal;          // text that follows
};

// `name`, `argument` and `bytes_max` of "%NAME(ARGUMENT):MAX%". has_argument: there were
// parentheses.
struct CommandText {
  absl::string_view name, argument;
  bool has_argument = false;
  size_t bytes_max = SIZE_MAX;
};
absl::StatusOr<FormatCommand> ParseCommand(const CommandText& text,
                                           const FormatEnvironment& environment);

enum class ValueKind : uint8_t { kNone, kText, kNumber };
// Appends the value; nothing for kNone.
ValueKind AppendValue(const FormatCommand& command, const FormatInput& input, std::string* out);

}  // namespace meltemi::proxy
