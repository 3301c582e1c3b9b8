#include "proxy/stream/forward.h"

#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "proxy/stream/reply/reply.h"

namespace meltemi::proxy {
namespace {

using http::HeaderId;
using http::HeaderMap;

// Envoy's route timeout when none is configured.
constexpr Duration kDefaultTimeout = seconds(15);

std::optional<Duration> TakeMillis(HeaderMap& request, HeaderId id) {
  if (!request.Has(id)) return std::nullopt;
  uint64_t ms = 0;
  const bool valid = absl::SimpleAtoi(request.Get(id), &ms) && ms < (uint64_t{1} << 40);
  request.Remove(id);
  if (!valid) return std::nullopt;
  return milliseconds(ms);
}

Duration GrpcBounded(const Timeouts& timeouts, const HeaderMap& request, Duration otherwise) {
  if (!timeouts.grpc_header_max.has_value() || !IsGrpcRequest(request)) return otherwise;
  const auto asked = ParseGrpcTimeout(request.Get(HeaderId::kGrpcTimeout));
  if (!asked.has_value()) return otherwise;
  Duration timeout = *asked;
  const Duration offset = timeouts.grpc_header_offset.value_or(Duration(0));
  if (timeout > offset) timeout -= offset;
  const Duration limit = *timeouts.grpc_header_max;
  // "0" asks for no limit, and so does a limit of 0.
  if (limit > Duration(0) && (timeout <= Duration(0) || timeout > limit)) timeout = limit;
  return timeout;
}

}  // namespace

std::optional<Duration> ParseGrpcTimeout(absl::string_view text) {
  if (text.size() < 2 || text.size() > 9) return std::nullopt;
  uint64_t amount = 0;
  if (!absl::ascii_isdigit(static_cast<unsigned char>(text[0])) ||
      !absl::SimpleAtoi(text.substr(0, text.size() - 1), &amount)) {
    return std::nullopt;
  }
  switch (text.back()) {
    case 'H':
      return std::chrono::hours(amount);
    case 'M':
      return minutes(amount);
    case 'S':
      return seconds(amount);
    case 'm':
      return milliseconds(amount);
    case 'u':
      return microseconds(amount);
    case 'n':
      return Duration(amount);
    default:
      return std::nullopt;
  }
}

ForwardTimeouts DecideTimeouts(const Route& route, bool suppress_envoy_headers,
                               HeaderMap& request) {
  ForwardTimeouts out;
  out.request =
      GrpcBounded(route.timeouts, request, route.timeouts.request.value_or(kDefaultTimeout));
  if (route.retry != nullptr) {
    out.per_try = route.retry->per_try_timeout;
    out.per_try_idle = route.retry->per_try_idle_timeout;
  }
  if (auto asked = TakeMillis(request, HeaderId::kXEnvoyUpstreamRqTimeoutMs)) out.request = *asked;
  if (auto asked = TakeMillis(request, HeaderId::kXEnvoyUpstreamRqPerTryTimeoutMs)) {
    out.per_try = *asked;
  }
  // A try that may take as long as the whole is no limit of its own.
  if (out.request > Duration(0) && out.per_try >= out.request) out.per_try = Duration(0);

  const Duration expected = out.per_try > Duration(0) ? out.per_try : out.request;
  if (expected > Duration(0)) {
    if (!suppress_envoy_headers) {
      request.Set(HeaderId::kXEnvoyExpectedRqTimeoutMs, absl::StrCat(ToMillis(expected)));
    }
    if (route.timeouts.grpc_header_max.has_value() && IsGrpcRequest(request)) {
      request.Set(HeaderId::kGrpcTimeout, absl::StrCat(ToMillis(expected), "m"));
    }
  }
  return out;
}

absl::string_view ClusterFor(const WeightedCluster& picked, const HeaderMap& request) {
  if (!picked.cluster.empty() || picked.cluster_header.empty()) return picked.cluster;
  return request.Get(picked.cluster_header);
}

void ConvertUpgradeRequest(http::Protocol upstream, Random& random, HeaderMap& request) {
  const bool http2 = upstream == http::Protocol::kHttp2;
  if (request.method() == "CONNECT") {
    if (http2 || request.protocol().empty()) return;
    request.set_method_view("GET");
    request.Set(HeaderId::kUpgrade, request.protocol());
    request.set_protocol_view("");
    // RFC 6455 4.1: HTTP/1.1's handshake has a key of 16 random bytes; RFC 8441's has none.
    if (request.Get(HeaderId::kUpgrade) == "websocket" &&
        request.Find("sec-websocket-key") == nullptr) {
      const uint64_t key[2] = {random.Next(), random.Next()};
      std::string encoded;
      absl::Base64Escape(absl::string_view(reinterpret_cast<const char*>(key), sizeof(key)),
                         &encoded);
      request.Add("sec-websocket-key", encoded);
    }
    return;
  }
  if (!http2 || !request.Has(HeaderId::kUpgrade)) return;
  request.set_method_view("CONNECT");
  request.set_protocol(request.Get(HeaderId::kUpgrade));
  request.Remove(HeaderId::kUpgrade);
}

void ConvertUpgradeResponse(http::Protocol downstream, absl::string_view upgrade,
                            HeaderMap& response) {
  const bool http2 = downstream == http::Protocol::kHttp2;
  if (http2 && response.status() == 101) {
    response.set_status(200);
    response.Remove(HeaderId::kUpgrade);
  } else if (!http2 && upgrade != "connect" && response.status() == 200) {
    response.set_status(101);
    response.Set(HeaderId::kUpgrade, upgrade);
  }
}

}  // namespace meltemi::proxy
