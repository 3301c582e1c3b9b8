#include "proxy/observe/format.h"

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/json/write.h"
#include "proxy/observe/format_command.h"

namespace meltemi::proxy {

const absl::string_view kEnvoyDefaultLogFormat =
    "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" "
    "%RESPONSE_CODE% %RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %DURATION% "
    "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" \"%REQ(USER-AGENT)%\" "
    "\"%REQ(X-REQUEST-ID)%\" \"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\"\n";

const absl::string_view kIstioDefaultLogFormat =
    "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" "
    "%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% "
    "\"%UPSTREAM_TRANSPORT_FAILURE_REASON%\" %BYTES_RECEIVED% %BYTES_SENT% %DURATION% "
    "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" \"%REQ(USER-AGENT)%\" "
    "\"%REQ(X-REQUEST-ID)%\" \"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\" %UPSTREAM_CLUSTER_RAW% "
    "%UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% "
    "%REQUESTED_SERVER_NAME% %ROUTE_NAME%\n";

namespace {

bool IsNameCharacter(char c) {
  return absl::ascii_isupper(static_cast<unsigned char>(c)) ||
         absl::ascii_isdigit(static_cast<unsigned char>(c)) || c == '_';
}

// After a closing parenthesis: "%", or ":DIGITS%". Returns the position of the "%", or npos.
size_t CommandEnd(absl::string_view text, size_t at, size_t* bytes_max) {
  if (at < text.size() && text[at] == '%') return at;
  if (at >= text.size() || text[at] != ':') return absl::string_view::npos;
  size_t end = at + 1;
  while (end < text.size() && absl::ascii_isdigit(static_cast<unsigned char>(text[end]))) ++end;
  if (end >= text.size() || text[end] != '%') return absl::string_view::npos;
  uint64_t value = 0;
  if (!absl::SimpleAtoi(text.substr(at + 1, end - at - 1), &value)) return absl::string_view::npos;
  *bytes_max = value;
  return end;
}

absl::Status Malformed(absl::string_view text, size_t at, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(
      "format \"", absl::StripTrailingAsciiWhitespace(text), "\", column ", at + 1, ": ", why));
}

// `at` is behind the opening "%". Advances it behind the closing one.
absl::StatusOr<CommandText> Cut(absl::string_view text, size_t* at) {
  CommandText command;
  const size_t begin = *at;
  size_t end = begin;
  while (end < text.size() && IsNameCharacter(text[end])) ++end;
  command.name = text.substr(begin, end - begin);
  if (command.name.empty()) {
    return Malformed(text, begin - 1, "\"%\" begins a command; a plain percent sign is \"%%\"");
  }
  size_t close = absl::string_view::npos;
  if (end < text.size() && text[end] == '(') {
    command.has_argument = true;
    // A time format may contain "%": the argument ends at a ")" that ends the command.
    for (size_t i = text.find(')', end); i != absl::string_view::npos; i = text.find(')', i + 1)) {
      close = CommandEnd(text, i + 1, &command.bytes_max);
      if (close == absl::string_view::npos) continue;
      command.argument = text.substr(end + 1, i - end - 1);
      break;
    }
  } else {
    close = CommandEnd(text, end, &command.bytes_max);
  }
  if (close == absl::string_view::npos) {
    return Malformed(text, begin - 1, absl::StrCat("command ", command.name, " is not closed"));
  }
  *at = close + 1;
  return command;
}

}  // namespace

Format::Format() = default;
Format::~Format() = default;

bool Format::is_literal() const { return commands_.empty(); }

absl::StatusOr<std::shared_ptr<const Format>> Format::Compile(
    absl::string_view text, bool omit_empty, const FormatEnvironment& environment) {
  std::shared_ptr<Format> format(new Format());
  format->omit_empty_ = omit_empty;
  std::string* literal = &format->literal_;
  for (size_t at = 0; at < text.size();) {
    if (text[at] != '%') {
      literal->push_back(text[at++]);
      continue;
    }
    ++at;
    if (at < text.size() && text[at] == '%') {
      literal->push_back('%');
      ++at;
      continue;
    }
    absl::StatusOr<CommandText> cut = Cut(text, &at);
    if (!cut.ok()) return cut.status();
    absl::StatusOr<FormatCommand> command = ParseCommand(*cut, environment);
    if (!command.ok()) return command.status();
    format->commands_.push_back(*std::move(command));
    literal = &format->commands_.back().literal;
  }
  return std::shared_ptr<const Format>(std::move(format));
}

void Format::Append(const FormatInput& input, std::string* out) const {
  out->append(literal_);
  for (const FormatCommand& command : commands_) {
    if (AppendValue(command, input, out) == ValueKind::kNone && !omit_empty_) out->push_back('-');
    out->append(command.literal);
  }
}

bool Format::AppendJson(const FormatInput& input, std::string* out) const {
  std::string value;
  if (commands_.size() == 1 && literal_.empty() && commands_[0].literal.empty()) {
    const ValueKind kind = AppendValue(commands_[0], input, &value);
    if (kind == ValueKind::kNone) {
      if (omit_empty_) return false;
      out->append("null");
      return true;
    }
    if (kind == ValueKind::kNumber) {
      out->append(value);
      return true;
    }
  } else {
    Append(input, &value);
  }
  out->push_back('"');
  json::AppendEscaped(value, out);
  out->push_back('"');
  return true;
}

namespace {

bool AppendNode(const JsonFormat::Node& node, const FormatInput& input, std::string* out) {
  if (node.kind == JsonFormat::Node::Kind::kFormat) return node.format->AppendJson(input, out);
  if (node.kind == JsonFormat::Node::Kind::kRaw) {
    out->append(node.raw);
    return true;
  }
  const bool object = node.kind == JsonFormat::Node::Kind::kObject;
  out->push_back(object ? '{' : '[');
  bool first = true;
  for (const auto& [name, child] : node.children) {
    const size_t before = out->size();
    if (!first) out->push_back(',');
    if (object) {
      out->push_back('"');
      json::AppendEscaped(name, out);
      out->append("\":");
    }
    if (AppendNode(child, input, out)) {
      first = false;
    } else {
      out->resize(before);  // omitted: it has no value
    }
  }
  out->push_back(object ? '}' : ']');
  return true;
}

}  // namespace

JsonFormat::JsonFormat(Node root) : root_(std::move(root)) {}

void JsonFormat::Append(const FormatInput& input, std::string* out) const {
  AppendNode(root_, input, out);
}

}  // namespace meltemi::proxy
