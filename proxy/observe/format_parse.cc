#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "proxy/observe/format_command.h"

namespace meltemi::proxy {
namespace {

using Kind = CommandKind;

struct PlainCommand {
  absl::string_view name;
  Kind kind;
  AddressPart part = AddressPart::kWhole;
};

// Commands without an argument.
constexpr std::array<PlainCommand, 46> kPlain = {{
    {"PROTOCOL", Kind::kProtocol},
    {"UPSTREAM_PROTOCOL", Kind::kUpstreamProtocol},
    {"RESPONSE_CODE", Kind::kResponseCode},
    {"RESPONSE_CODE_DETAILS", Kind::kResponseCodeDetails},
    {"RESPONSE_FLAGS", Kind::kResponseFlags},
    {"BYTES_RECEIVED", Kind::kBytesReceived},
    {"BYTES_SENT", Kind::kBytesSent},
    {"REQUEST_HEADERS_BYTES", Kind::kRequestHeaderBytes},
    {"RESPONSE_HEADERS_BYTES", Kind::kResponseHeaderBytes},
    {"DURATION", Kind::kDuration},
    {"REQUEST_DURATION", Kind::kRequestDuration},
    {"REQUEST_TX_DURATION", Kind::kRequestTxDuration},
    {"RESPONSE_DURATION", Kind::kResponseDuration},
    {"RESPONSE_TX_DURATION", Kind::kResponseTxDuration},
    {"UPSTREAM_HOST", Kind::kUpstreamAddress},
    {"UPSTREAM_HOST_NAME", Kind::kUpstreamHostName},
    {"UPSTREAM_HOST_NAME_WITHOUT_PORT", Kind::kUpstreamHostName, AddressPart::kIp},
    {"UPSTREAM_REMOTE_ADDRESS", Kind::kUpstreamAddress},
    {"UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT", Kind::kUpstreamAddress, AddressPart::kIp},
    {"UPSTREAM_REMOTE_PORT", Kind::kUpstreamAddress, AddressPart::kPort},
    {"UPSTREAM_LOCAL_ADDRESS", Kind::kUpstreamLocalAddress},
    {"UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT", Kind::kUpstreamLocalAddress, AddressPart::kIp},
    {"UPSTREAM_LOCAL_PORT", Kind::kUpstreamLocalAddress, AddressPart::kPort},
    {"UPSTREAM_CLUSTER", Kind::kUpstreamCluster},
    {"UPSTREAM_CLUSTER_RAW", Kind::kUpstreamClusterRaw},
    {"UPSTREAM_TRANSPORT_FAILURE_REASON", Kind::kUpstreamTransportFailure},
    {"UPSTREAM_REQUEST_ATTEMPT_COUNT", Kind::kUpstreamAttempts},
    {"DOWNSTREAM_REMOTE_ADDRESS", Kind::kDownstreamRemoteAddress},
    {"DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT", Kind::kDownstreamRemoteAddress, AddressPart::kIp},
    {"DOWNSTREAM_REMOTE_PORT", Kind::kDownstreamRemoteAddress, AddressPart::kPort},
    {"DOWNSTREAM_DIRECT_REMOTE_ADDRESS", Kind::kDownstreamDirectAddress},
    {"DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT", Kind::kDownstreamDirectAddress,
     AddressPart::kIp},
    {"DOWNSTREAM_DIRECT_REMOTE_PORT", Kind::kDownstreamDirectAddress, AddressPart::kPort},
    {"DOWNSTREAM_LOCAL_ADDRESS", Kind::kDownstreamLocalAddress},
    {"DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT", Kind::kDownstreamLocalAddress, AddressPart::kIp},
    {"DOWNSTREAM_LOCAL_PORT", Kind::kDownstreamLocalAddress, AddressPart::kPort},
    {"DOWNSTREAM_TRANSPORT_FAILURE_REASON", Kind::kDownstreamTransportFailure},
    {"CONNECTION_ID", Kind::kConnectionId},
    {"REQUESTED_SERVER_NAME", Kind::kServerName},
    {"ROUTE_NAME", Kind::kRouteName},
    {"VIRTUAL_HOST_NAME", Kind::kVirtualHostName},
    {"GRPC_STATUS", Kind::kGrpcStatus},
    {"GRPC_STATUS_NUMBER", Kind::kGrpcStatus},
    {"CONNECTION_TERMINATION_DETAILS", Kind::kTerminationDetails},
    {"START_TIME", Kind::kStartTime},
    {"EMIT_TIME", Kind::kEmitTime},
}};

constexpr std::array<std::pair<absl::string_view, TimePoint>, 8> kTimePoints = {{
    {"DS_RX_BEG", TimePoint::kRequestStart},
    {"DS_RX_END", TimePoint::kRequestEnd},
    {"US_TX_BEG", TimePoint::kUpstreamTxStart},
    {"US_TX_END", TimePoint::kUpstreamTxEnd},
    {"US_RX_BEG", TimePoint::kUpstreamRxStart},
    {"US_RX_END", TimePoint::kUpstreamRxEnd},
    {"DS_TX_BEG", TimePoint::kDownstreamTxStart},
    {"DS_TX_END", TimePoint::kEnd},
}};

// After "DOWNSTREAM_" or "UPSTREAM_".
constexpr std::array<std::pair<absl::string_view, TlsField>, 13> kTlsFields = {{
    {"TLS_VERSION", TlsField::kVersion},
    {"TLS_CIPHER", TlsField::kCipher},
    {"PEER_URI_SAN", TlsField::kPeerUriSan},
    {"PEER_DNS_SAN", TlsField::kPeerDnsSan},
    {"PEER_SUBJECT", TlsField::kPeerSubject},
    {"PEER_ISSUER", TlsField::kPeerIssuer},
    {"PEER_SERIAL", TlsField::kPeerSerial},
    {"PEER_FINGERPRINT_256", TlsField::kPeerFingerprint},
    {"PEER_CERT_V_START", TlsField::kPeerCertStart},
    {"PEER_CERT_V_END", TlsField::kPeerCertEnd},
    {"LOCAL_URI_SAN", TlsField::kLocalUriSan},
    {"LOCAL_DNS_SAN", TlsField::kLocalDnsSan},
    {"LOCAL_SUBJECT", TlsField::kLocalSubject},
}};

std::string Shown(const CommandText& text) {
  return text.has_argument ? absl::StrCat("%", text.name, "(", text.argument, ")%")
                           : absl::StrCat("%", text.name, "%");
}

absl::Status Wrong(const CommandText& text, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("command ", Shown(text), ": ", why));
}

absl::Status ParseHeaders(const CommandText& text, FormatCommand* command) {
  const std::vector<absl::string_view> names = absl::StrSplit(text.argument, '?');
  if (names.size() > 2) return Wrong(text, "at most one alternative header can follow \"?\"");
  if (names[0].empty()) return Wrong(text, "names no header");
  for (const char c : text.argument) {
    if (absl::ascii_iscntrl(static_cast<unsigned char>(c))) {
      return Wrong(text, "a header name has a control character");
    }
  }
  command->name = absl::AsciiStrToLower(names[0]);
  if (names.size() == 2) command->alternative = absl::AsciiStrToLower(names[1]);
  // HTTP/1's name for what the header map keeps as the authority.
  for (std::string* name : {&command->name, &command->alternative}) {
    if (*name == "host") *name = ":authority";
  }
  return absl::OkStatus();
}

// "%3f" and "%f" are Envoy's own; the rest is what absl::FormatTime knows.
std::string TimeFormat(absl::string_view argument) {
  std::string out;
  for (size_t i = 0; i < argument.size(); ++i) {
    out.push_back(argument[i]);
    if (argument[i] != '%' || i + 1 == argument.size()) continue;
    const char next = argument[++i];
    if (next == 'f') {
      out.append("E9f");
    } else if (next >= '1' && next <= '9' && i + 1 < argument.size() && argument[i + 1] == 'f') {
      absl::StrAppend(&out, "E", std::string(1, next), "f");
      ++i;
    } else {
      out.push_back(next);
    }
  }
  return out;
}

absl::Status ParseGrpcStatus(const CommandText& text, FormatCommand* command) {
  if (text.name == "GRPC_STATUS_NUMBER" || text.argument == "NUMBER") {
    command->grpc = GrpcFormat::kNumber;
  } else if (text.argument == "SNAKE_STRING") {
    command->grpc = GrpcFormat::kSnake;
  } else if (!text.argument.empty() && text.argument != "CAMEL_STRING") {
    return Wrong(text, "the format must be CAMEL_STRING, SNAKE_STRING or NUMBER");
  }
  return absl::OkStatus();
}

absl::Status ParseCommonDuration(const CommandText& text, FormatCommand* command) {
  const std::vector<absl::string_view> parts = absl::StrSplit(text.argument, ':');
  if (parts.size() != 2 && parts.size() != 3) return Wrong(text, "wants (START:END:PRECISION)");
  for (size_t i = 0; i < 2; ++i) {
    const auto* found = std::find_if(kTimePoints.begin(), kTimePoints.end(),
                                     [&](const auto& entry) { return entry.first == parts[i]; });
    if (found == kTimePoints.end()) {
      return Wrong(text, absl::StrCat("unknown time point \"", parts[i], "\""));
    }
    (i == 0 ? command->from : command->to) = found->second;
  }
  const absl::string_view precision = parts.size() == 3 ? parts[2] : "ms";
  if (precision == "ms") {
    command->tick_ns = 1'000'000;
  } else if (precision == "us") {
    command->tick_ns = 1'000;
  } else if (precision == "ns") {
    command->tick_ns = 1;
  } else {
    return Wrong(text, "the precision must be ms, us or ns");
  }
  return absl::OkStatus();
}

std::string Variable(const FormatEnvironment& environment, absl::string_view name) {
  for (const auto& [variable, value] : environment.variables) {
    if (variable == name) return value;
  }
  return "";
}

absl::StatusOr<FormatCommand> ParseWithArgument(const CommandText& text, Kind kind) {
  FormatCommand command;
  command.kind = kind;
  command.bytes_max = text.bytes_max;
  if (!text.has_argument) return Wrong(text, "wants a header name in parentheses");
  if (absl::Status parsed = ParseHeaders(text, &command); !parsed.ok()) return parsed;
  return command;
}

// "DOWNSTREAM_TLS_VERSION" and its like; false: no such command.
bool ParseTls(const CommandText& text, FormatCommand* command) {
  absl::string_view rest = text.name;
  if (absl::ConsumePrefix(&rest, "DOWNSTREAM_")) {
    command->kind = Kind::kDownstreamTls;
  } else if (absl::ConsumePrefix(&rest, "UPSTREAM_")) {
    command->kind = Kind::kUpstreamTls;
  } else {
    return false;
  }
  const auto* field = std::find_if(kTlsFields.begin(), kTlsFields.end(),
                                   [&](const auto& entry) { return entry.first == rest; });
  if (field == kTlsFields.end()) return false;
  command->tls = field->second;
  return true;
}

}  // namespace

absl::StatusOr<FormatCommand> ParseCommand(const CommandText& text,
                                           const FormatEnvironment& environment) {
  if (text.name == "REQ") return ParseWithArgument(text, Kind::kRequestHeader);
  if (text.name == "RESP") return ParseWithArgument(text, Kind::kResponseHeader);
  if (text.name == "TRAILER") return ParseWithArgument(text, Kind::kTrailer);
  if (text.name == "REQ_WITHOUT_QUERY") return ParseWithArgument(text, Kind::kRequestWithoutQuery);

  FormatCommand command;
  command.bytes_max = text.bytes_max;
  absl::Status parsed;
  if (text.name == "HOSTNAME") {
    command.name = environment.hostname;
    return command;
  }
  if (text.name == "ACCESS_LOG_TYPE") {
    command.name = "DownstreamEnd";
    return command;
  }
  if (text.name == "ENVIRONMENT") {
    command.name = Variable(environment, text.argument);
    return command;
  }
  if (text.name == "COMMON_DURATION") {
    command.kind = Kind::kCommonDuration;
    parsed = ParseCommonDuration(text, &command);
    if (!parsed.ok()) return parsed;
    return command;
  }
  if (ParseTls(text, &command)) {
    const bool time =
        command.tls == TlsField::kPeerCertStart || command.tls == TlsField::kPeerCertEnd;
    if (text.has_argument && !time) return Wrong(text, "takes no argument");
    if (time) command.time_format = TimeFormat(text.argument);
    return command;
  }
  const auto* plain = std::find_if(kPlain.begin(), kPlain.end(),
                                   [&](const auto& entry) { return entry.name == text.name; });
  if (plain == kPlain.end()) return Wrong(text, "unknown or not supported");
  command.kind = plain->kind;
  command.part = plain->part;
  if (plain->kind == Kind::kStartTime || plain->kind == Kind::kEmitTime) {
    command.time_format = TimeFormat(text.argument);
  } else if (plain->kind == Kind::kGrpcStatus) {
    parsed = ParseGrpcStatus(text, &command);
  } else if (text.has_argument) {
    parsed = Wrong(text, "takes no argument");
  }
  if (!parsed.ok()) return parsed;
  return command;
}

}  // namespace meltemi::proxy
