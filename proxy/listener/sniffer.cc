#include "proxy/listener/sniffer.h"

#include <algorithm>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"

namespace meltemi::proxy {
namespace {

// A cursor over bytes that fails softly: after a short read `ok` stays false and reads give zeros.
struct Reader {
  absl::string_view rest;
  bool ok = true;

  uint32_t Number(size_t bytes) {
    const absl::string_view taken = Bytes(bytes);
    uint32_t value = 0;
    for (char c : taken) value = value << 8 | static_cast<uint8_t>(c);
    return value;
  }
  absl::string_view Bytes(size_t count) {
    if (!ok || rest.size() < count) {
      ok = false;
      return {};
    }
    const absl::string_view taken = rest.substr(0, count);
    rest.remove_prefix(count);
    return taken;
  }
  // A vector with a length prefix of `length_bytes`.
  Reader Vector(size_t length_bytes) {
    const size_t length = Number(length_bytes);
    return Reader{Bytes(length), ok};
  }
};

constexpr uint8_t kRecordHandshake = 22;
constexpr uint8_t kClientHello = 1;
constexpr uint32_t kExtensionServerName = 0;
constexpr uint32_t kExtensionAlpn = 16;

void ReadServerName(Reader extension, SniffResult* result) {
  Reader list = extension.Vector(2);
  while (list.ok && !list.rest.empty()) {
    const uint32_t type = list.Number(1);
    const Reader name = list.Vector(2);
    if (list.ok && type == 0) {
      result->server_name = absl::AsciiStrToLower(name.rest);
      return;
    }
  }
}

void ReadAlpn(Reader extension, SniffResult* result) {
  Reader list = extension.Vector(2);
  while (list.ok && !list.rest.empty()) {
    const Reader protocol = list.Vector(1);
    if (list.ok) result->application_protocols.emplace_back(protocol.rest);
  }
}

// RFC 8446 4.1.2. `hello` is the handshake message without its four-byte header.
void ReadClientHello(absl::string_view hello, SniffResult* result) {
  Reader reader{hello};
  reader.Bytes(2 + 32);  // legacy_version, random
  reader.Vector(1);      // legacy_session_id
  reader.Vector(2);      // cipher_suites
  reader.Vector(1);      // legacy_compression_methods
  Reader extensions = reader.Vector(2);
  while (extensions.ok && !extensions.rest.empty()) {
    const uint32_t type = extensions.Number(2);
    const Reader extension = extensions.Vector(2);
    if (!extensions.ok) return;
    if (type == kExtensionServerName) ReadServerName(extension, result);
    if (type == kExtensionAlpn) ReadAlpn(extension, result);
  }
}

bool IsToken(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_' || c == '!' ||
         c == '#' || c == '$' || c == '%' || c == '&' || c == '\'' || c == '*' || c == '+' ||
         c == '.' || c == '^' || c == '`' || c == '|' || c == '~';
}

}  // namespace

PrefaceVerdict LooksLikeHttp2(const Buffer& in) {
  char head[kHttp2Preface.size()];
  const size_t count = std::min(in.size(), kHttp2Preface.size());
  if (count == 0) return PrefaceVerdict::kNeedMore;
  const absl::string_view front = in.Front();
  absl::string_view seen = front.substr(0, count);
  if (front.size() < count) {
    in.CopyOut(0, count, head);
    seen = absl::string_view(head, count);
  }
  if (!absl::StartsWith(kHttp2Preface, seen)) return PrefaceVerdict::kOther;
  return count == kHttp2Preface.size() ? PrefaceVerdict::kHttp2 : PrefaceVerdict::kNeedMore;
}

bool Sniffer::Inspect(Buffer& in, bool end_of_stream) {
  if (in.empty() && !end_of_stream) return false;
  const absl::string_view bytes = in.Linearize(std::min(in.size(), kLookBytesMax));
  const bool last_look = end_of_stream || bytes.size() >= kLookBytesMax;
  if (tls_ && !tls_decided_) {
    const Verdict verdict = InspectTls(bytes);
    if (verdict == Verdict::kNeedMore && !last_look) return false;
    tls_decided_ = true;
    const bool yes = verdict == Verdict::kYes;
    if (!yes) result_ = SniffResult{};
    result_.transport_protocol = yes ? "tls" : "raw_buffer";
  }
  if (result_.transport_protocol == "tls" || !http_) return true;
  return InspectHttp(bytes) != Verdict::kNeedMore || last_look;
}

Sniffer::Verdict Sniffer::InspectTls(absl::string_view bytes) {
  // The handshake message may be cut into several records.
  std::string message;
  Reader records{bytes};
  for (;;) {
    if (message.size() >= 4) {
      Reader header{message};
      if (header.Number(1) != kClientHello) return Verdict::kNo;
      const size_t length = header.Number(3);
      if (length > kLookBytesMax) return Verdict::kNo;
      if (header.rest.size() >= length) {
        ReadClientHello(header.rest.substr(0, length), &result_);
        return Verdict::kYes;
      }
    }
    if (records.rest.empty()) return Verdict::kNeedMore;
    if (static_cast<uint8_t>(records.rest[0]) != kRecordHandshake) return Verdict::kNo;
    if (records.rest.size() > 1 && records.rest[1] != 3) return Verdict::kNo;
    if (records.rest.size() < 5) return Verdict::kNeedMore;
    records.Bytes(3);
    const size_t length = records.Number(2);
    if (length == 0 || length > 16 * 1024 + 256) return Verdict::kNo;
    const absl::string_view payload = records.Bytes(std::min(length, records.rest.size()));
    message.append(payload.data(), payload.size());
    if (!message.empty() && message[0] != kClientHello) return Verdict::kNo;
  }
}

// "METHOD target HTTP/1.x" with its line end. Anything that can still become one needs more.
Sniffer::Verdict Sniffer::InspectHttp(absl::string_view bytes) {
  const absl::string_view head = bytes.substr(0, kHttp2Preface.size());
  if (absl::StartsWith(kHttp2Preface, head)) {
    if (head.size() < kHttp2Preface.size()) return Verdict::kNeedMore;
    result_.application_protocols = {"h2c"};
    return Verdict::kYes;
  }
  // RFC 9112 2.2: an empty line before the request line is ignored.
  while (absl::StartsWith(bytes, "\r\n")) bytes.remove_prefix(2);
  if (bytes.empty() || bytes == "\r") return Verdict::kNeedMore;
  const size_t method_end = bytes.find(' ');
  const absl::string_view method = bytes.substr(0, method_end);
  if (method.empty() || method.size() > 64) return Verdict::kNo;
  if (!std::all_of(method.begin(), method.end(), IsToken)) return Verdict::kNo;
  if (method_end == absl::string_view::npos) return Verdict::kNeedMore;

  const size_t line_end = bytes.find('\n');
  absl::string_view line = bytes.substr(0, line_end);
  for (char c : line) {
    const bool control = static_cast<unsigned char>(c) < 0x20 && c != '\r';
    if (control || c == 0x7f) return Verdict::kNo;
  }
  if (line_end == absl::string_view::npos) return Verdict::kNeedMore;
  if (absl::EndsWith(line, "\r")) line.remove_suffix(1);
  const size_t version_at = line.rfind(' ');
  if (version_at == absl::string_view::npos || version_at <= method_end) return Verdict::kNo;
  const absl::string_view version = line.substr(version_at + 1);
  if (version == "HTTP/1.1") {
    result_.application_protocols = {"http/1.1"};
  } else if (version == "HTTP/1.0") {
    result_.application_protocols = {"http/1.0"};
  } else {
    return Verdict::kNo;
  }
  return Verdict::kYes;
}

}  // namespace meltemi::proxy
