#include "orchestrator/apiserver/http/response_head.h"

#include <algorithm>
#include <ctime>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace meltemi::apiserver {
namespace {

constexpr size_t kWarningBytesMax = 4096;  // all of them together
constexpr size_t kAuditIdBytesMax = 64;

absl::string_view DateNow(LoopContext& context) {
  const int64_t now =
      std::chrono::duration_cast<seconds>(context.loop.WallNow().time_since_epoch()).count();
  if (now == context.date_second) return context.date;
  context.date_second = now;
  const time_t time = now;
  tm parts;
  char text[64];
  gmtime_r(&time, &parts);
  context.date.assign(text, std::strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &parts));
  return context.date;
}

std::string NewUuid(Random& random) {
  const uint64_t high = (random.Next() & ~uint64_t{0xf000}) | 0x4000;
  const uint64_t low = (random.Next() & ~(uint64_t{3} << 62)) | uint64_t{2} << 62;
  return absl::StrFormat("%08x-%04x-%04x-%04x-%012x", high >> 32, high >> 16 & 0xffff,
                         high & 0xffff, low >> 48, low & 0xffffffffffff);
}

std::string Quoted(absl::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out.push_back('\\');
    out.push_back(static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? ' ' : c);
  }
  out.push_back('"');
  return out;
}

}  // namespace

http::HeaderMapPtr NewResponseHead(LoopContext& context, int code, absl::string_view content_type,
                                   const Request& request) {
  http::HeaderMapPtr headers = http::HeaderMap::New();
  headers->set_status(code);
  const absl::string_view audit_id = request.Header("audit-id");
  headers->Add("audit-id", audit_id.empty() ? NewUuid(context.random)
                                            : std::string(audit_id.substr(0, kAuditIdBytesMax)));
  headers->Add("cache-control", "no-cache, private");
  if (!content_type.empty()) headers->Add(http::HeaderId::kContentType, content_type);
  headers->Add(http::HeaderId::kDate, DateNow(context));
  AddWarnings(request.warnings, *headers);
  return headers;
}

void AddWarnings(const std::vector<std::string>& warnings, http::HeaderMap& headers) {
  std::set<absl::string_view> seen;
  size_t bytes = 0;
  for (const std::string& warning : warnings) {
    if (warning.empty() || !seen.insert(warning).second) continue;
    bytes += warning.size();
    if (bytes > kWarningBytesMax) return;
    headers.Add("warning", absl::StrCat("299 - ", Quoted(warning)));
  }
}

}  // namespace meltemi::apiserver
