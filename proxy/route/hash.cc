#include "proxy/route/hash.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/bytes/xxhash.h"

namespace meltemi::proxy {
namespace {

using http::HeaderId;
using http::HeaderMap;

std::optional<uint64_t> HashHeader(const HashPolicy& policy, const HeaderMap& request) {
  if (policy.name[0] == ':') {
    const absl::string_view value = request.Get(policy.name);
    if (value.empty()) return std::nullopt;
    return XxHash64(value);
  }
  const HeaderMap::Entry* first = request.Find(policy.name);
  if (first == nullptr) return std::nullopt;
  // Several values count as a set: their order does not change the place.
  std::vector<absl::string_view> values;
  for (const HeaderMap::Entry& entry : request.entries()) {
    if (entry.id == first->id && entry.name == first->name) values.push_back(entry.value);
  }
  if (values.size() == 1) return XxHash64(values[0]);
  std::sort(values.begin(), values.end());
  std::string all;
  for (const absl::string_view value : values) absl::StrAppend(&all, value);
  return XxHash64(all);
}

std::optional<uint64_t> HashParameter(const HashPolicy& policy, const HeaderMap& request) {
  absl::string_view query = request.path();
  const size_t mark = query.find('?');
  if (mark == absl::string_view::npos) return std::nullopt;
  query = query.substr(mark + 1);
  query = query.substr(0, query.find('#'));
  while (!query.empty()) {
    const size_t end = query.find('&');
    const absl::string_view parameter = query.substr(0, end);
    query = end == absl::string_view::npos ? absl::string_view() : query.substr(end + 1);
    const size_t equals = parameter.find('=');
    if (parameter.substr(0, equals) != policy.name) continue;
    return XxHash64(equals == absl::string_view::npos ? absl::string_view()
                                                      : parameter.substr(equals + 1));
  }
  return std::nullopt;
}

std::string SetCookie(const HashPolicy& policy, absl::string_view value) {
  std::string cookie = absl::StrCat(policy.name, "=\"", value, "\"");
  const int64_t age_s = std::chrono::duration_cast<seconds>(*policy.cookie_ttl).count();
  if (age_s != 0) absl::StrAppend(&cookie, "; Max-Age=", age_s);
  if (!policy.cookie_path.empty()) absl::StrAppend(&cookie, "; Path=", policy.cookie_path);
  absl::StrAppend(&cookie, "; HttpOnly");
  return cookie;
}

std::optional<uint64_t> HashCookie(const HashPolicy& policy, const HeaderMap& request,
                                   const net::Address& remote, const net::Address& local,
                                   HashResult* result) {
  const absl::string_view value = CookieValue(request, policy.name);
  if (!value.empty()) return XxHash64(value);
  if (!policy.cookie_ttl.has_value()) return std::nullopt;
  // The same for all streams of a connection, so that requests that race get one cookie.
  const std::string generated =
      absl::StrFormat("%016x", XxHash64(absl::StrCat(remote.ToString(), local.ToString())));
  result->set_cookies.push_back(SetCookie(policy, generated));
  return XxHash64(generated);
}

}  // namespace

absl::string_view CookieValue(const HeaderMap& request, absl::string_view name) {
  if (!request.Has(HeaderId::kCookie)) return {};
  for (const HeaderMap::Entry& entry : request.entries()) {
    if (entry.id != HeaderId::kCookie) continue;
    absl::string_view rest = entry.value;
    while (!rest.empty()) {
      const size_t end = rest.find(';');
      const absl::string_view pair = absl::StripAsciiWhitespace(rest.substr(0, end));
      rest = end == absl::string_view::npos ? absl::string_view() : rest.substr(end + 1);
      const size_t equals = pair.find('=');
      if (equals == absl::string_view::npos || pair.substr(0, equals) != name) continue;
      absl::string_view value = pair.substr(equals + 1);
      if (value.size() >= 2 && value.front() == '"' && value.back() == '"') {
        value = value.substr(1, value.size() - 2);
      }
      return value;
    }
  }
  return {};
}

HashResult ComputeHash(absl::Span<const HashPolicy> policies, const HeaderMap* request,
                       const net::Address& downstream_remote,
                       const net::Address& downstream_local) {
  HashResult result;
  for (const HashPolicy& policy : policies) {
    std::optional<uint64_t> hash;
    if (policy.kind == HashPolicy::Kind::kSourceIp) {
      if (downstream_remote.is_ip()) hash = XxHash64(downstream_remote.ip());
    } else if (request != nullptr) {
      switch (policy.kind) {
        case HashPolicy::Kind::kHeader:
          hash = HashHeader(policy, *request);
          break;
        case HashPolicy::Kind::kQueryParameter:
          hash = HashParameter(policy, *request);
          break;
        case HashPolicy::Kind::kCookie:
          hash = HashCookie(policy, *request, downstream_remote, downstream_local, &result);
          break;
        default:
          break;
      }
    }
    if (hash.has_value()) {
      // Rotating what was there keeps two equal policies from cancelling each other out.
      const uint64_t before = result.hash.value_or(0);
      result.hash = ((before << 1) | (before >> 63)) ^ *hash;
    }
    if (policy.terminal && result.hash.has_value()) break;
  }
  return result;
}

}  // namespace meltemi::proxy
