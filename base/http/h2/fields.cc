#include "base/http/h2/fields.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/match.h"
#include "base/http/syntax.h"

namespace meltemi::http::h2 {
namespace {

nghttp2_nv Nv(absl::string_view name, absl::string_view value) {
  nghttp2_nv nv;
  // nghttp2 takes plain pointers but copies the bytes (NGHTTP2_NV_FLAG_NONE).
  nv.name = reinterpret_cast<uint8_t*>(const_cast<char*>(name.data()));
  nv.namelen = name.size();
  nv.value = reinterpret_cast<uint8_t*>(const_cast<char*>(value.data()));
  nv.valuelen = value.size();
  nv.flags = NGHTTP2_NV_FLAG_NONE;
  return nv;
}

// Fields of one HTTP/1 hop have no meaning in HTTP/2 and are forbidden there (RFC 9113 8.2.2).
bool IsLeftOut(const HeaderMap::Entry& entry) {
  switch (entry.id) {
    case HeaderId::kConnection:
    case HeaderId::kHost:
    case HeaderId::kHttp2Settings:
    case HeaderId::kKeepAlive:
    case HeaderId::kProxyConnection:
    case HeaderId::kTransferEncoding:
    case HeaderId::kUpgrade:
      return true;
    case HeaderId::kTe:
      return entry.value != "trailers";
    default:
      return !IsValidFieldValue(entry.value);
  }
}

void AppendFields(const HeaderMap& headers, NvList* list) {
  for (const HeaderMap::Entry& entry : headers.entries()) {
    if (!IsLeftOut(entry)) list->push_back(Nv(entry.name, entry.value));
  }
}

void JoinCookies(HeaderMap* headers) {
  size_t bytes = 0;
  size_t count = 0;
  for (const HeaderMap::Entry& entry : headers->entries()) {
    if (entry.id != HeaderId::kCookie) continue;
    bytes += entry.value.size() + 2;
    ++count;
  }
  if (count < 2) return;
  char* const joined = headers->Allocate(bytes);
  char* at = joined;
  for (const HeaderMap::Entry& entry : headers->entries()) {
    if (entry.id != HeaderId::kCookie) continue;
    if (at != joined) at = std::copy_n("; ", 2, at);
    at = std::copy_n(entry.value.data(), entry.value.size(), at);
  }
  headers->Remove(HeaderId::kCookie);
  headers->AddView(HeaderId::kCookie, HeaderName(HeaderId::kCookie),
                   {joined, static_cast<size_t>(at - joined)});
}

}  // namespace

void AddReceivedField(absl::string_view name, absl::string_view value, HeaderMap* headers) {
  if (name.empty() || name[0] != ':') return headers->Add(name, value);
  if (name == ":method") return headers->set_method(value);
  if (name == ":path") return headers->set_path(value);
  if (name == ":authority") return headers->set_authority(value);
  if (name == ":scheme") return headers->set_scheme(value);
  if (name == ":protocol") return headers->set_protocol(value);
  if (name == ":status" && value.size() == 3) {
    headers->set_status((value[0] - '0') * 100 + (value[1] - '0') * 10 + (value[2] - '0'));
  }
}

const char* FinishRequest(HeaderMap* headers) {
  if (const HeaderMap::Entry* host = headers->Find(HeaderId::kHost)) {
    if (headers->authority().empty()) {
      headers->set_authority_view(host->value);
    } else if (!absl::EqualsIgnoreCase(host->value, headers->authority())) {
      return "host differs from :authority";
    }
    headers->Remove(HeaderId::kHost);
  }
  if (!headers->authority().empty() && !IsValidAuthority(headers->authority())) {
    return ":authority is not valid";
  }
  const bool connect = headers->method() == "CONNECT" && headers->protocol().empty();
  const absl::string_view path = headers->path();
  if (connect) {
    if (headers->authority().empty()) return "CONNECT without :authority";
  } else {
    if (!IsValidTarget(path)) return ":path has a character that is not allowed";
    const bool asterisk = path == "*" && headers->method() == "OPTIONS";
    if (path[0] != '/' && !asterisk) return ":path does not begin with a slash";
  }
  JoinCookies(headers);
  return nullptr;
}

HeaderMapPtr AsExtendedConnect(const HeaderMap& upgrade) {
  HeaderMapPtr connect = upgrade.Clone();
  connect->set_method("CONNECT");
  connect->set_protocol(connect->Get(HeaderId::kUpgrade));
  connect->Remove(HeaderId::kUpgrade);
  return connect;
}

NvList RequestFields(const HeaderMap& headers) {
  NvList list;
  const bool connect = headers.method() == "CONNECT" && headers.protocol().empty();
  list.push_back(Nv(":method", headers.method()));
  if (!connect) {
    list.push_back(Nv(":scheme", headers.scheme().empty() ? "http" : headers.scheme()));
    list.push_back(Nv(":path", headers.path().empty() ? "/" : headers.path()));
  }
  if (!headers.authority().empty()) list.push_back(Nv(":authority", headers.authority()));
  if (!headers.protocol().empty()) list.push_back(Nv(":protocol", headers.protocol()));
  AppendFields(headers, &list);
  return list;
}

NvList ResponseFields(const HeaderMap& headers, char (&status_text)[3]) {
  const int status = std::clamp(headers.status(), 100, 999);
  status_text[0] = static_cast<char>('0' + status / 100);
  status_text[1] = static_cast<char>('0' + status / 10 % 10);
  status_text[2] = static_cast<char>('0' + status % 10);
  NvList list;
  list.push_back(Nv(":status", absl::string_view(status_text, 3)));
  AppendFields(headers, &list);
  return list;
}

NvList TrailerFields(const HeaderMap& trailers) {
  NvList list;
  AppendFields(trailers, &list);
  return list;
}

}  // namespace meltemi::http::h2
