#include "proxy/stream/request_headers.h"

#include <arpa/inet.h>

#include <cstring>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "proxy/observe/stream_info.h"
#include "proxy/stream/path.h"

namespace meltemi::proxy {
namespace {

using http::HeaderId;
using http::HeaderMap;

// x-envoy headers that steer this proxy: an outside client may not send them.
void RemoveInternalHeaders(HeaderMap& request, bool edge) {
  if (edge) {
    request.Remove(HeaderId::kXEnvoyDecoratorOperation);
    request.Remove("x-envoy-downstream-service-cluster");
    request.Remove("x-envoy-downstream-service-node");
    request.Remove(HeaderId::kXEnvoyOriginalPath);
  }
  static constexpr HeaderId kKnown[] = {
      HeaderId::kXEnvoyRetryOn,
      HeaderId::kXEnvoyRetryGrpcOn,
      HeaderId::kXEnvoyMaxRetries,
      HeaderId::kXEnvoyUpstreamRqTimeoutMs,
      HeaderId::kXEnvoyUpstreamRqPerTryTimeoutMs,
      HeaderId::kXEnvoyExpectedRqTimeoutMs,
  };
  for (HeaderId id : kKnown) {
    if (request.Has(id)) request.Remove(id);
  }
  static constexpr absl::string_view kOthers[] = {
      "x-envoy-retriable-status-codes",
      "x-envoy-retriable-header-names",
      "x-envoy-upstream-alt-stat-name",
      "x-envoy-upstream-rq-timeout-alt-response",
      "x-envoy-force-trace",
      "x-envoy-ip-tags",
      "x-envoy-original-url",
      "x-envoy-hedge-on-per-try-timeout",
  };
  // One pass tells whether any is there: most requests have no x-envoy header at all.
  bool any = false;
  for (const HeaderMap::Entry& entry : request.entries()) {
    any |= entry.id == HeaderId::kUnknown && absl::StartsWith(entry.name, "x-envoy-");
  }
  if (!any) return;
  for (absl::string_view name : kOthers) request.Remove(name);
}

// The address that stands `hops` places before the end of x-forwarded-for; `*single`: it is the
// only one. Unset when there is none or it is no address.
net::Address FromForwardedFor(const HeaderMap& request, uint32_t hops, bool* single) {
  *single = false;
  std::string scratch;
  bool present = false;
  const absl::string_view all = request.GetJoined("x-forwarded-for", &scratch, &present);
  if (!present) return {};
  const std::vector<absl::string_view> parts = absl::StrSplit(all, ',');
  if (hops >= parts.size()) return {};
  const absl::string_view text = absl::StripAsciiWhitespace(parts[parts.size() - 1 - hops]);
  auto address = net::Address::FromIp(text, 0);
  if (!address.ok()) {
    address = net::Address::Parse(text);
    if (!address.ok() || !address->is_ip()) return {};
  }
  *single = parts.size() == 1;
  return *address;
}

void AppendForwardedFor(HeaderMap& request, absl::string_view ip) {
  if (ip.empty()) return;
  const HeaderMap::Entry* entry = request.Find(HeaderId::kXForwardedFor);
  if (entry == nullptr) {
    request.Add(HeaderId::kXForwardedFor, ip);
    return;
  }
  std::string scratch;
  bool present = false;
  const absl::string_view all = request.GetJoined("x-forwarded-for", &scratch, &present);
  const std::string joined = absl::StrCat(all, ",", ip);
  request.Set(HeaderId::kXForwardedFor, joined);
}

bool IsInternal(const HttpConfig& config, const net::Address& address) {
  if (!config.internal_ranges.has_value()) return IsInternalAddress(address);
  for (const net::Cidr& range : *config.internal_ranges) {
    if (range.Contains(address)) return true;
  }
  return false;
}

// Who the client is, and whether it is one of ours. Envoy's mutateRequestHeaders.
bool DecideRemote(const HttpConfig& config, bool tls, absl::string_view forwarded_as,
                  HeaderMap& request, StreamInfo& info) {
  bool single = false;
  net::Address remote;
  const net::Address& direct = info.downstream_direct_remote;
  const absl::string_view proto = tls ? "https" : "http";
  if (config.use_remote_address) {
    single = !request.Has(HeaderId::kXForwardedFor);
    if (config.xff_trusted_hops > 0) {
      bool ignored = false;
      remote = FromForwardedFor(request, config.xff_trusted_hops - 1, &ignored);
    }
    if (!remote.set()) remote = direct;
    if (!config.skip_xff_append) {
      AppendForwardedFor(request, forwarded_as);
    }
    if (config.xff_trusted_hops == 0 || !request.Has(HeaderId::kXForwardedProto)) {
      request.Set(HeaderId::kXForwardedProto, proto);
    }
  } else {
    remote = FromForwardedFor(request, config.xff_trusted_hops, &single);
    if (!request.Has(HeaderId::kXForwardedProto)) {
      request.AddView(HeaderId::kXForwardedProto, "x-forwarded-proto", proto);
    }
  }
  const bool internal = single && remote.set() && IsInternal(config, remote);
  info.downstream_remote = remote.set() ? remote : direct;
  return internal;
}

// Envoy's mutateXfccRequestHeader.
void ForwardCert(const HttpConfig& config, const ForwardedCert& cert, HeaderMap& request) {
  const ForwardClientCert how = config.forward_client_cert;
  if (how == ForwardClientCert::kAlwaysForwardOnly) return;
  if (how == ForwardClientCert::kSanitize || !cert.presented) {
    // Nobody has vouched for it.
    if (request.Has(HeaderId::kXForwardedClientCert)) {
      request.Remove(HeaderId::kXForwardedClientCert);
    }
    return;
  }
  if (how == ForwardClientCert::kForwardOnly || cert.text.empty()) return;
  const bool appends =
      how == ForwardClientCert::kAppendForward && request.Has(HeaderId::kXForwardedClientCert);
  if (appends) {
    std::string scratch;
    bool present = false;
    const absl::string_view before =
        request.GetJoined("x-forwarded-client-cert", &scratch, &present);
    const std::string joined = absl::StrCat(before, ",", cert.text);
    request.Set(HeaderId::kXForwardedClientCert, joined);
    return;
  }
  if (request.Has(HeaderId::kXForwardedClientCert)) {
    request.Remove(HeaderId::kXForwardedClientCert);
  }
  request.AddView(HeaderId::kXForwardedClientCert, "x-forwarded-client-cert", cert.text);
}

void SetRequestId(const HttpConfig& config, bool edge, HeaderMap& request, Random& random) {
  if (!config.generate_request_id) return;
  const bool force = edge && !config.preserve_external_request_id;
  if (request.Has(HeaderId::kXRequestId)) {
    if (!force) return;
    request.Remove(HeaderId::kXRequestId);
  }
  char* id = request.Allocate(36);
  WriteUuid(random, id);
  request.AddView(HeaderId::kXRequestId, "x-request-id", absl::string_view(id, 36));
}

void StripPort(const HttpConfig& config, uint16_t local_port, HeaderMap& request) {
  if (!config.strip_any_port && !config.strip_matching_port) return;
  if (request.method() == "CONNECT" && request.protocol().empty()) return;
  const absl::string_view authority = request.authority();
  const size_t colon = authority.rfind(':');
  if (colon == absl::string_view::npos || authority.find(']', colon) != absl::string_view::npos) {
    return;
  }
  uint32_t port = 0;
  if (!absl::SimpleAtoi(authority.substr(colon + 1), &port)) return;
  if (config.strip_any_port || port == local_port) {
    request.set_authority_view(authority.substr(0, colon));
  }
}

bool ValidAuthority(absl::string_view authority) {
  for (char c : authority) {
    const unsigned char byte = static_cast<unsigned char>(c);
    if (byte <= 0x20 || byte == 0x7f || c == '/' || c == '?' || c == '#' || c == '\\' || c == '@' ||
        c == '"' || c == '<' || c == '>') {
      return false;
    }
  }
  return true;
}

}  // namespace

bool IsInternalAddress(const net::Address& address) {
  if (!address.is_ip()) return false;
  if (address.is_loopback()) return true;
  if (address.family() == AF_INET6) {
    sockaddr_in6 v6;
    std::memcpy(&v6, address.raw(), sizeof(v6));
    return (v6.sin6_addr.s6_addr[0] & 0xfe) == 0xfc;
  }
  sockaddr_in v4;
  std::memcpy(&v4, address.raw(), sizeof(v4));
  const uint32_t ip = ntohl(v4.sin_addr.s_addr);
  return (ip >> 24) == 10 || (ip >> 16) == ((192u << 8) | 168) || (ip >> 20) == ((172u << 4) | 1);
}

void WriteUuid(Random& random, char* to) {
  static constexpr char kHex[] = "0123456789abcdef";
  uint64_t bits[2] = {random.Next(), random.Next()};
  bits[0] = (bits[0] & ~uint64_t{0xf000}) | 0x4000;                  // version 4
  bits[1] = (bits[1] & ~(uint64_t{3} << 62)) | (uint64_t{2} << 62);  // variant 10
  const auto write = [](uint64_t digits, int count, char* at) {
    for (int i = count; i-- > 0; digits >>= 4) at[i] = kHex[digits & 15];
  };
  write(bits[0] >> 32, 8, to);
  write(bits[0] >> 16, 4, to + 9);
  write(bits[0], 4, to + 14);
  write(bits[1] >> 48, 4, to + 19);
  write(bits[1], 12, to + 24);
  to[8] = to[13] = to[18] = to[23] = '-';
}

std::string UpgradeType(const HeaderMap& request) {
  if (request.method() == "CONNECT") {
    return request.protocol().empty() ? "connect" : absl::AsciiStrToLower(request.protocol());
  }
  if (!request.Has(HeaderId::kUpgrade)) return "";
  // h2c by upgrade is never taken up (RFC 9113 3.1): it is then a plain request.
  std::string type = absl::AsciiStrToLower(request.Get(HeaderId::kUpgrade));
  return type == "h2c" || absl::StartsWith(type, "h2c,") ? "" : type;
}

RequestFault CheckRequest(const HttpConfig& config, HeaderMap& request) {
  if (request.authority().empty()) return {400, "missing_host_header", ""};
  if (!ValidAuthority(request.authority())) return {400, "invalid_host_header", ""};
  const bool connect = request.method() == "CONNECT" && request.protocol().empty();
  if (connect) return {};
  const absl::string_view path = request.path();
  if (path.empty()) return {400, "missing_path_rejected", ""};
  if (path == "*" && request.method() == "OPTIONS") return {};
  // Absolute forms were taken apart by the codec; what is left over goes nowhere.
  if (path[0] != '/') return {404, "absolute_path_rejected", ""};
  std::string changed;
  switch (NormalizePath(config, path, &changed)) {
    case PathVerdict::kUnchanged:
      return {};
    case PathVerdict::kChanged:
      request.set_path(changed);
      return {};
    case PathVerdict::kRejected:
      return {400, "path_normalization_failed", ""};
    case PathVerdict::kRedirect:
      return {307, "path_normalization_redirect", std::move(changed)};
  }
  return {};
}

void PrepareRequest(const HttpConfig& config, bool tls, absl::string_view forwarded_as,
                    HeaderMap& request, StreamInfo& info, Random& random,
                    const ForwardedCert& cert) {
  const bool internal = DecideRemote(config, tls, forwarded_as, request, info);
  const bool edge = !internal && config.use_remote_address;
  if (request.scheme().empty()) {
    const absl::string_view proto = request.Get(HeaderId::kXForwardedProto);
    request.set_scheme_view(proto == "https" ? "https" : "http");
  }
  if (internal) {
    request.Set("x-envoy-internal", "true");
  } else {
    request.Remove("x-envoy-internal");
    RemoveInternalHeaders(request, edge);
  }
  ForwardCert(config, cert, request);
  SetRequestId(config, edge, request, random);
  if (!config.via.empty()) {
    const absl::string_view before = request.Get(HeaderId::kVia);
    const std::string via = before.empty() ? config.via : absl::StrCat(before, ", ", config.via);
    request.Set(HeaderId::kVia, via);
  }
  StripPort(config, info.downstream_local.port(), request);
}

}  // namespace meltemi::proxy
