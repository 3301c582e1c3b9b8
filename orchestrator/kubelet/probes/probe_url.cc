#include "orchestrator/kubelet/probes/probe_url.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"

namespace meltemi::kubelet {
namespace {

bool IsHex(absl::string_view text, size_t at) {
  return at < text.size() && absl::ascii_isxdigit(static_cast<unsigned char>(text[at]));
}

// "host:port", "[::1]:port", "host".
bool SplitAuthority(absl::string_view authority, uint16_t default_port, HttpProbe* out) {
  authority = authority.substr(authority.rfind('@') + 1);
  size_t colon = authority.rfind(':');
  const size_t bracket = authority.rfind(']');
  if (bracket != absl::string_view::npos && colon != absl::string_view::npos && colon < bracket) {
    colon = absl::string_view::npos;
  }
  absl::string_view host = authority.substr(0, colon);
  (void)absl::ConsumePrefix(&host, "[");
  (void)absl::ConsumeSuffix(&host, "]");
  uint32_t port = default_port;
  if (colon != absl::string_view::npos &&
      (!absl::SimpleAtoi(authority.substr(colon + 1), &port) || port == 0 || port > 65535)) {
    return false;
  }
  if (host.empty()) return false;
  out->host = std::string(host);
  out->port = static_cast<uint16_t>(port);
  return true;
}

}  // namespace

std::string HostPort(absl::string_view host, uint16_t port) {
  return absl::StrContains(host, ':') ? absl::StrCat("[", host, "]:", port)
                                      : absl::StrCat(host, ":", port);
}

std::string UrlOf(const HttpProbe& probe) {
  return absl::StrCat(probe.https ? "https://" : "http://", HostPort(probe.host, probe.port),
                      probe.path);
}

std::string EncodePath(absl::string_view path) {
  constexpr absl::string_view kAllowed = "-._~!$&'()*+,;=:@/?[]";
  path = path.substr(0, path.find('#'));
  std::string out = absl::StartsWith(path, "/") ? "" : "/";
  for (size_t i = 0; i < path.size(); ++i) {
    const unsigned char c = static_cast<unsigned char>(path[i]);
    const bool escape = c == '%' && IsHex(path, i + 1) && IsHex(path, i + 2);
    if (absl::ascii_isalnum(c) || escape || absl::StrContains(kAllowed, path[i])) {
      out.push_back(path[i]);
    } else {
      absl::StrAppendFormat(&out, "%%%02X", static_cast<int>(c));
    }
  }
  return out;
}

std::optional<HttpProbe> Redirected(const HttpProbe& from, absl::string_view location) {
  HttpProbe out = from;
  absl::string_view rest = location;
  bool absolute = false;
  if (absl::StartsWithIgnoreCase(rest, "http://")) {
    out.https = false;
    rest.remove_prefix(5);
    absolute = true;
  } else if (absl::StartsWithIgnoreCase(rest, "https://")) {
    out.https = true;
    rest.remove_prefix(6);
    absolute = true;
  } else if (const size_t colon = rest.find(':'); colon < rest.find_first_of("/?#")) {
    return std::nullopt;  // another scheme
  }
  if (absl::ConsumePrefix(&rest, "//")) {
    const size_t end = std::min(rest.find_first_of("/?#"), rest.size());
    if (!SplitAuthority(rest.substr(0, end), out.https ? 443 : 80, &out)) return std::nullopt;
    rest.remove_prefix(end);
    out.path = EncodePath(rest);
  } else if (absl::StartsWith(rest, "/")) {
    out.path = EncodePath(rest);
  } else {
    // Relative to the folder of the path.
    const absl::string_view path = absl::string_view(from.path).substr(0, from.path.find('?'));
    const size_t keep = absl::StartsWith(rest, "?") ? path.size() : path.rfind('/') + 1;
    out.path = EncodePath(absl::StrCat(path.substr(0, keep), rest));
  }
  // A Host header of the probe's own goes with it as long as the server is not named.
  if (absolute) out.authority.clear();
  return out;
}

std::string SecondsInGo(Duration duration) {
  const int64_t total = std::chrono::duration_cast<seconds>(duration).count();
  std::string out;
  if (total >= 3600) absl::StrAppend(&out, total / 3600, "h");
  if (total >= 60) absl::StrAppend(&out, total % 3600 / 60, "m");
  return absl::StrCat(out, total % 60, "s");
}

}  // namespace meltemi::kubelet
